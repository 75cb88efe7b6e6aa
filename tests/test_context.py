"""What readings say of their patients holds from each on, however the log is cut."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import Ward
from simulator.publish import JsonLines, Pace, Topics, WideCsv, create, play
from vitalwatch import config, context, vitals
from vitalwatch.arrays import Floats, Spans
from vitalwatch.detector import Detector
from vitalwatch.messages import SEXES, Reading, epoch_ms
from vitalwatch.model import checkpoint
from vitalwatch.model.layout import CONTEXT_NAMES
from vitalwatch.readings import Readings
from vitalwatch.recordings.recording import Recording
from vitalwatch.snapshot import Snapshot
from vitalwatch.stream.broker import RecordBatch, TopicPartition, TopicSpec
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.memory import MemoryBroker

TOPIC = "vitals.readings"
MINUTE = 60_000
GONE = 30 * MINUTE
BLANK = (0.0,) * len(CONTEXT_NAMES)
SETTINGS = config.Alarms(discharge_hours=GONE / 3_600_000)

Held = tuple[float, ...]
Key = tuple[str, int]  # a patient and a time


@functools.cache
def model() -> checkpoint.Model:
    return checkpoint.load()


def decoded(log: Sequence[Reading], begin: int = 0) -> Readings:
    """Readings of one partition, as the daemon gets them."""
    values = [msgspec.json.encode(each) for each in log]
    batch = RecordBatch.of(
        TopicPartition(TOPIC, 0),
        range(begin, begin + len(log)),
        [-1] * len(log),
        [each.patient.encode() for each in log],
        values,
        [()] * len(log),
        begin + len(log),
    )
    return Decoder().decode(batch).readings


class Witness:
    """A detector, and what it held of each patient when a reading was scored."""

    def __init__(self) -> None:
        self.detector = Detector(model(), SETTINGS)
        self.seen: dict[Key, Held] = {}

    def process(self, readings: Readings) -> None:
        detector, step = self.detector, self.detector._scorer.step

        def watched(rows: Any, times: Any, *others: Any) -> Any:
            held = detector._state["context"][rows]
            for row, time, each in zip(rows.tolist(), times.tolist(), held.tolist(), strict=True):
                self.seen[detector._register.name(row), time] = tuple(each)
            return step(rows, times, *others)

        with mock.patch.object(detector._scorer, "step", watched):
            detector.process([readings])


def expected(log: Sequence[Reading]) -> dict[Key, Held]:
    """What holds when each reading is scored that is not late, if nobody is discharged."""
    held: dict[str, list[float]] = {}
    last: dict[str, int] = {}
    found: dict[Key, Held] = {}
    for each in log:
        time = epoch_ms(each.time)
        if time <= last.get(each.patient, -1):
            continue
        mine = held.setdefault(each.patient, list(BLANK))
        if each.age is not None:
            mine[0:2] = float((np.float32(each.age) - np.float32(64)) / np.float32(17)), 1.0
        if each.sex is not None:
            mine[2] = {"female": 1.0, "male": -1.0}.get(each.sex, 0.0)
        if each.oxygen is not None:
            mine[3] = 1.0 if each.oxygen > 0 else -1.0
        if each.beta_blocker is not None:
            mine[4] = 1.0 if each.beta_blocker else -1.0
        last[each.patient] = time
        found[each.patient, time] = tuple(mine)
    return found


def field(taken: Snapshot, detector: Detector) -> dict[str, Held]:
    """What a snapshot holds of each patient."""
    rows = taken.rows.reshape(-1).view(detector._state._dtype())["context"]
    return {
        name: tuple(each) for name, each in zip(taken.patients.texts(), rows.tolist(), strict=True)
    }


def spoken(patient: str, minute: float, **said: Any) -> Reading:
    return Reading(patient, round(minute * MINUTE), {"hr": 80}, **said)


def logs(minutes: st.SearchStrategy[int]) -> st.SearchStrategy[list[Reading]]:
    one = st.builds(
        spoken,
        st.sampled_from("abc"),
        minutes,
        age=st.none() | st.sampled_from([0, 64, 64.1, 130]),
        sex=st.none() | st.sampled_from(SEXES),
        oxygen=st.none() | st.booleans() | st.sampled_from([0.0, 2.5]),
        beta_blocker=st.none() | st.booleans(),
    )
    return st.lists(one, min_size=1, max_size=14)


def run(log: Sequence[Reading], edges: Sequence[int], taken: int | None = None) -> Witness:
    """Who has seen a log in parts; from one edge on, another one who took over a snapshot."""
    witness = Witness()
    for begin, end in itertools.pairwise(edges):
        if begin == taken:
            other = Witness()
            other.process(decoded([spoken("z", 0, age=9), spoken("a", 0, age=8, sex="male")]))
            other.detector.restore(TOPIC, 0, witness.detector.snapshot(TOPIC, 0))
            other.seen = witness.seen
            witness = other
        witness.process(decoded(log[begin:end], begin))
    return witness


@settings(max_examples=150)
@given(logs(st.integers(0, 20)), st.sets(st.integers(1, 13)))
@example([spoken("a", k, age=60 + k) for k in range(9)], {3, 4})
def test_what_is_said_holds_from_its_reading_on(log: list[Reading], cuts: set[int]) -> None:
    edges = sorted({0, *(at for at in cuts if at < len(log)), len(log)})
    assert run(log, edges).seen == expected(log)


@settings(max_examples=150)
@given(
    logs(st.integers(0, 9) | st.sampled_from([15, 45, 46, 80])),
    st.sets(st.integers(1, 13)),
    st.integers(0, 13),
)
def test_neither_cut_nor_snapshot_changes_what_is_known_even_of_who_was_discharged(
    log: list[Reading], cuts: set[int], taken: int
) -> None:
    edges = sorted({0, *(at for at in {*cuts, taken} if at < len(log)), len(log)})
    assert run(log, edges, taken).seen == run(log, range(len(log) + 1)).seen


def test_readings_of_one_batch_each_know_what_was_said_up_to_them() -> None:
    log = [
        spoken("a", 0),
        spoken("b", 0, sex="male"),
        spoken("a", 1, age=81),
        spoken("a", 2, oxygen=True),
        spoken("b", 1, sex="unknown", beta_blocker=True),
        spoken("a", 3, oxygen=0.0, age=64),
    ]
    witness = Witness()
    witness.process(decoded(log))
    assert {place: tuple(map(float, each)) for place, each in witness.seen.items()} == {
        ("a", 0): (0, 0, 0, 0, 0),
        ("b", 0): (0, 0, -1, 0, 0),
        ("a", MINUTE): (1, 1, 0, 0, 0),
        ("a", 2 * MINUTE): (1, 1, 0, 1, 0),
        ("b", MINUTE): (0, 0, 0, 0, 1),
        ("a", 3 * MINUTE): (0, 1, 0, -1, 0),
    }


def test_a_patient_who_was_discharged_is_known_by_nothing_when_he_returns() -> None:
    witness = Witness()
    witness.process(decoded([spoken("a", 0, age=81, sex="male"), spoken("a", 31, sex="female")]))
    witness.process(decoded([spoken("b", 70)]))
    witness.process(decoded([spoken("a", 70)]))
    assert witness.seen["a", 31 * MINUTE] == (0, 0, 1, 0, 0)
    assert witness.seen["b", 70 * MINUTE] == witness.seen["a", 70 * MINUTE] == BLANK


def test_a_late_reading_says_nothing() -> None:
    witness = Witness()
    witness.process(decoded([spoken("a", 5), spoken("a", 4, age=81), spoken("a", 6)]))
    assert set(witness.seen.values()) == {BLANK}


def test_under_another_model_what_is_known_goes_on() -> None:
    old, new = Witness().detector, Witness().detector
    old.process([decoded([spoken("a", 0, age=81), spoken("b", 0, sex="male")])])
    new.process([decoded([spoken("b", 0)])])
    new.overlay(TOPIC, 0, old.snapshot(TOPIC, 0))
    known = field(new.snapshot(TOPIC, 0), new)
    assert known == {"a": (1, 1, 0, 0, 0), "b": (0, 0, -1, 0, 0)}


def through_a_topic(ward: Ward, _: Path) -> Iterator[Readings]:
    broker = MemoryBroker()
    broker.create([TopicSpec(TOPIC, 1), TopicSpec("truth", 1)])
    for _frame in play(ward, Topics(broker.publisher(), TOPIC, "truth"), Pace(math.inf), 5):
        pass
    for batch in broker.read(TopicPartition(TOPIC, 0), 0):
        yield Decoder().decode(batch).readings


def through_a_file(ward: Ward, path: Path) -> Iterator[Readings]:
    with create(path) as stream:
        form = WideCsv(stream) if path.suffix == ".csv" else JsonLines(stream)
        for _ in play(ward, form, Pace(math.inf), 5):
            pass
    with Recording(path).stream() as stream:
        for rows in stream.parts:
            yield stream.readings(rows, TOPIC, 0)


@pytest.mark.parametrize(
    ("way", "name"),
    [(through_a_topic, ""), (through_a_file, "r.jsonl"), (through_a_file, "r.csv")],
)
def test_what_the_simulator_knows_arrives_as_forecasters_learn_it(
    way: Callable[[Ward, Path], Iterator[Readings]], name: str, tmp_path: Path
) -> None:
    ward, detector = Ward(50, 3, 10.0), Detector(model(), SETTINGS)
    for readings in way(ward, tmp_path / name):
        detector.process([readings])
    held = field(detector.snapshot(TOPIC, 0), detector)
    persons = ward.context
    scaled = {
        "age": (np.floor(persons["age"]) - np.float32(64)) / np.float32(17),
        "age known": np.ones(50),
        "female": 2 * persons["female"] - 1,
        "oxygen": 2 * persons["oxygen"] - 1,
        "beta blocker": 2 * persons["beta_blocker"] - 1,
    }
    for number, patient in enumerate(ward.patients):
        assert held[patient] == tuple(float(scaled[name][number]) for name in CONTEXT_NAMES)


def test_partitions_of_one_batch_are_not_taken_for_each_other() -> None:
    def only(said: context.Context | None, partition: int) -> Readings:
        return Readings(
            TOPIC,
            partition,
            Spans.of(["x", "y"]),
            np.array([0, 1]),
            np.full((2, vitals.COUNT), 80, dtype=np.float32),
            np.arange(2),
            said,
        )

    def saying(place: int, age: float) -> context.Context:
        values: Floats = np.array([[age, np.nan, np.nan, np.nan]], dtype=np.float32)
        return context.Context(np.array([place]), values)

    detector = Witness().detector
    detector.process([only(saying(1, 81), 0), only(None, 1), only(saying(0, 47), 2)])
    known = [field(detector.snapshot(TOPIC, part), detector) for part in range(3)]
    assert known == [
        {"x": BLANK, "y": (1, 1, 0, 0, 0)},
        {"x": BLANK, "y": BLANK},
        {"x": (-1, 1, 0, 0, 0), "y": BLANK},
    ]


@given(st.integers(0, 40), st.integers(0, 40), st.sets(st.integers(0, 39), min_size=1))
def test_a_part_says_what_its_readings_say(begin: int, length: int, places: set[int]) -> None:
    ordered = np.array(sorted(places))
    values = np.repeat(ordered[:, None], context.COUNT, axis=1).astype(np.float32)
    part = context.Context(ordered, values).part(begin, begin + length)
    within = [place for place in sorted(places) if begin <= place < begin + length]
    assert (part is None) == (not within)
    if part is not None:
        assert part.places.tolist() == [place - begin for place in within]
        assert part.values[:, 0].tolist() == within


@pytest.mark.parametrize("reading", [spoken("a", 0, age=64.1, sex="other"), spoken("a", 0)])
def test_what_a_reading_says_can_be_said_again(reading: Reading) -> None:
    parts = context.of(reading) or [math.nan] * context.COUNT
    again = Reading("a", 0, {}, **context.fields(np.array(parts, dtype=np.float32).tolist()))
    assert repr(context.of(again)) == repr(context.of(reading))


@given(
    age=st.none() | st.floats(0, 130, width=32),
    sex=st.none() | st.sampled_from(SEXES),
    oxygen=st.none() | st.booleans(),
    beta_blocker=st.none() | st.booleans(),
)
def test_what_is_kept_as_numbers_comes_back_bit_for_bit(**said: Any) -> None:
    parts = context.of(Reading("a", 0, {}, **said)) or [math.nan] * context.COUNT
    kept = np.array(parts, dtype=np.float32)
    again = context.of(Reading("a", 0, {}, **context.fields(kept.tolist())))
    assert np.array_equal(
        kept,
        np.array([math.nan] * context.COUNT if again is None else again, dtype=np.float32),
        equal_nan=True,
    )
