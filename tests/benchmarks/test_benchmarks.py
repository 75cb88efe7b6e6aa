"""The benchmarks' parts on a small scale, so that they work when they are wanted.

Nothing here looks at how fast anything is.
"""

import importlib.util
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from kafka.record import MemoryRecords

from tests.benchmarks import breakdown, pipeline, throughput, watching
from tests.benchmarks.cluster import Cluster, Progress
from tests.benchmarks.context import TRIAL, Context
from tests.benchmarks.figures import Figure, Target, ratio, short, table
from tests.benchmarks.load import ward, wire
from tests.benchmarks.plain_model import PlainModel, State
from tests.benchmarks.publisher import (
    BEYOND,
    CROSSING_SECONDS,
    CYCLE_SECONDS,
    batches,
    schedule,
)
from vitalwatch import vitals
from vitalwatch.messages import Reading
from vitalwatch.model import checkpoint, layout

PATIENTS = 50


@pytest.fixture
def context(kafka_address: str, tmp_path: Path) -> Iterator[Context]:
    """An invocation on the node that all tests share; nothing is pinned."""
    with ExitStack() as stack:
        context = Context(TRIAL, tmp_path, [], stack)
        context.cluster = stack.enter_context(closing(Cluster(kafka_address, 0)))
        yield context


def test_a_figure_says_its_median_spread_and_whether_its_target_is_met() -> None:
    runs = Figure("throughput", [90.0, 120.0, 100.0], "readings/s", Target("≥", 95, 200))
    assert runs.row() == (
        "throughput",
        "100 readings/s",
        "90.0 to 120",
        "≥ 95.0 readings/s, aim 200",
        "yes",
    )
    assert Figure("latency", [80.0], "ms", Target("≤", 50)).row()[-1] == "NO"
    assert Figure("latency", [math.nan], "ms", Target("≤", 50)).row()[-1] == "not measured"
    lines = table([runs.row()]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_a_ratio_is_taken_run_by_run() -> None:
    above, below = Figure("a", [10.0, 30.0]), Figure("b", [5.0, 10.0])
    assert ratio("a / b", above, below).values == [2.0, 3.0]


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.5, "1.50"), (1234567.0, "1,234,567"), (0, "0")]
)
def test_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_a_rate_counts_from_the_first_commit_or_from_where_it_is_told() -> None:
    progress = Progress([(0.0, {}), (1.0, {0: 10}), (2.0, {0: 60, 1: 50}), (3.0, {0: 110, 1: 100})])
    assert progress.first() == 1.0
    assert progress.rate() == 100
    assert progress.rate({0: 20, 1: 20}) == 100
    assert math.isnan(progress.rate({0: 110}))


def test_readings_are_as_devices_send_them() -> None:
    sent = list(wire(ward(PATIENTS), 3 * PATIENTS))
    decoded = [msgspec.json.decode(each.value(), type=Reading) for each in sent]
    assert [each.key for each in sent] == [each.patient.encode() for each in decoded]
    assert [each.time for each in decoded] == sorted(each.time for each in sent)
    assert len({each.key for each in sent}) == PATIENTS
    assert all(set(each.vitals) <= set(vitals.NAMES) for each in decoded)
    assert 150 < np.mean([len(each.value()) for each in sent]) < 200


def test_a_batch_bears_the_times_it_is_given_and_a_kafka_client_reads_it() -> None:
    made = [batch for queue in batches(PATIENTS, PATIENTS, 3) for batch in queue]
    wires = {each.key: each for each in wire(ward(PATIENTS), PATIENTS)}
    for batch in made:
        times = 1_700_000_000_000 + np.arange(len(batch.times_at)) * 7
        read = MemoryRecords(batch.at(times)).next_batch()
        assert read.validate_crc()
        for record, moment in zip(read, times.tolist(), strict=True):
            assert record.timestamp == times[0]
            reading = msgspec.json.decode(record.value, type=Reading)
            assert reading.time == moment
            assert reading.patient.encode() == record.key
            assert record.key in wires


def test_every_crossing_patient_has_a_critical_heart_rate_for_a_part_of_a_cycle() -> None:
    made = [batch for queue in batches(PATIENTS, PATIENTS, 3) for batch in queue]
    seconds: Counter[str] = Counter()
    for second in range(round(CYCLE_SECONDS)):
        critical = set()
        for batch in made:
            times = np.full(len(batch.times_at), 1_700_000_000_000 + second * 1000)
            for record in MemoryRecords(batch.at(times)).next_batch():
                reading = msgspec.json.decode(record.value, type=Reading)
                if reading.vitals.get("hr") == int(BEYOND):
                    critical.add(reading.patient)
        seconds.update(critical)
    assert len(seconds) == PATIENTS
    assert set(seconds.values()) == {round(CROSSING_SECONDS)}


def test_the_publisher_keeps_its_rate_and_the_patients_order() -> None:
    made = batches(PATIENTS, 0, 1)
    sent: dict[bytes, list[int]] = {}
    for due in schedule(made, 2000, 0.3, time.time()):
        for each in due:
            for record in MemoryRecords(each.records).next_batch():
                reading = msgspec.json.decode(record.value, type=Reading)
                assert isinstance(reading.time, int)
                sent.setdefault(record.key, []).append(reading.time)
    assert 300 < sum(map(len, sent.values())) <= 600
    for times in sent.values():
        assert times == sorted(set(times))


def test_the_plain_model_is_the_shipped_network() -> None:
    model, network = PlainModel(), checkpoint.load().forecaster()
    state, memory = model.blank(), network.cell.blank(1)
    for each in islice(wire(ward(1)), 5):
        reading = msgspec.json.decode(each.value(), type=Reading)
        assert isinstance(reading.time, int)
        measured = {name: value for name, value in reading.vitals.items() if value is not None}
        before, (state, surprise) = state, model.step(state, reading.time, measured)
        elapsed = reading.time / 1000 - before.time if before.time else 0.0
        mask = [float(name in measured) for name in vitals.NAMES]
        squashed = [layout.squash(seconds) for seconds in (*state.age, elapsed)]
        parts = (*state.last, *mask, *squashed[:-1], *state.mean, *state.deviation, squashed[-1])
        features = torch.tensor([[[*parts, *[0.0] * len(layout.CONTEXT_NAMES)]]])
        output, _, memory = network(features, memory)
        assert torch.allclose(output[0], state.hidden, atol=1e-5)
        assert torch.allclose(memory, torch.cat((state.hidden, state.cell), dim=1), atol=1e-5)
        said = network.said(output)
        assert torch.allclose(said.flatten(), torch.tensor(state.said), atol=1e-5)
        told = network.predict(said, features, torch.tensor([[7.0]]))
        for vital in range(vitals.COUNT):
            wanted = (float(part[0, 0, vital]) for part in told)
            assert model._foretold(state, vital, 7.0) == pytest.approx(tuple(wanted), abs=1e-4)
        assert surprise >= 0


def test_a_patients_state_survives_a_store() -> None:
    model = PlainModel()
    state, _ = model.step(model.blank(), 1000, {"hr": 80, "temp": 36.6})
    again = State.unpack(state.pack(), model.hidden)
    assert torch.equal(again.hidden, state.hidden)
    assert torch.equal(again.cell, state.cell)
    assert again[2:] == state[2:]


def test_a_threads_time_goes_to_the_innermost_rooms_of_its_stacks() -> None:
    raw = """\
thread (7): MainThread;run (/x/vitalwatch/daemon.py:1);decode (/x/vitalwatch/stream/decode.py:9) 6
thread (7): MainThread;run (/x/vitalwatch/daemon.py:1);step (/x/vitalwatch/scoring/scorer.py:9) 2
thread (7): MainThread;run (/x/vitalwatch/scoring/scorer.py:1);mm (/x/torch/a.py:1) 1
thread (7): MainThread;run (/x/vitalwatch/daemon.py:1) 1
thread (8): io;poll (/x/kafka/net/selector.py:4);select (/lib/selectors.py:468) 90
thread (8): io;poll (/x/kafka/net/selector.py:4);data_received (/x/kafka/net/connection.py:2) 10
"""
    found = breakdown.stages(raw, {7: 10.0, 8: 3.0, 9: 0.5})
    assert {stage: seconds for stage, seconds in found.items() if seconds} == pytest.approx(
        {"decode": 6, "network and evidence": 3, "fetch and parse": 3, breakdown.OTHER: 1.5}
    )
    weighed = breakdown.weighed(raw, {7: 10.0, 8: 3.0})
    assert weighed["decode (/x/vitalwatch/stream/decode.py:9)"] == 6


def test_the_daemon_and_what_it_is_compared_with_read_a_whole_topic(context: Context) -> None:
    readings = context.size.readings
    prefix = context.topic(PATIENTS, readings)
    topic = context.cluster.make_topics(prefix).readings
    assert sum(context.cluster.ends(topic).values()) == readings
    counted = context.subject("poll", topic, context.name("poll"), readings)
    assert 0 < counted["readings"] <= readings
    scored = context.subject("loop", topic, context.name("loop"), 100, "--alerts", "none")
    assert scored["readings"] == 100
    # This raises unless each is scored once; how fast cannot be told of so few.
    throughput.daemon(context, prefix, check=True)


def test_the_daemon_works_with_a_helper_and_without(context: Context) -> None:
    figures = {figure.name: figure.values for figure in pipeline.measure(context)}
    assert figures.keys() == {
        "daemon with a helper thread",
        "daemon on one thread",
        "with a helper thread / on one",
    }


def test_the_daemon_works_unwatched_and_traced(context: Context) -> None:
    readings = context.size.readings
    prefix, group = context.topic(PATIENTS, readings), context.name("watching")
    flags = ("--unwatched", "--traced")
    found = context.program("pipeline", context.cluster.address, prefix, group, readings, *flags)
    assert found.keys() == {"rate", "processor"}


def test_what_watching_takes_is_timed_alone(context: Context) -> None:
    by_reading, by_transaction, untraced, scoring = watching.alone(context)
    assert all(us > 0 for us in (*by_reading.values, *by_transaction, *untraced, *scoring.values))


@pytest.mark.skipif(not importlib.util.find_spec("quixstreams"), reason="needs the extra bench")
def test_quixstreams_works_on_the_same_topic(context: Context) -> None:
    prefix = context.topic(PATIENTS, context.size.readings)
    topics = context.cluster.make_topics(prefix)
    how = ("--alerts", topics.alerts, "--guarantee", "exactly-once", "--folder", context.folder)
    scored = context.subject("quix", topics.readings, context.name("quix"), 100, *how)
    assert scored["readings"] == 100


def test_the_command_prints_a_table() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--trial", "--only", "network"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "LSTM step / matrix product" in done.stdout
    assert "scoring, µs a reading in rounds of 1,000" in done.stdout
    assert "state a patient" in done.stdout
