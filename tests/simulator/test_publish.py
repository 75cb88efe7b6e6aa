import gzip
import json
import time
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulator import Ward
from simulator.publish import (
    AGAIN_MS,
    CONTEXT,
    Introductions,
    JsonLines,
    Pace,
    Topics,
    WideCsv,
    create,
    play,
    readings,
)
from vitalwatch.errors import ConfigurationError
from vitalwatch.messages import Reading, Truth, epoch_ms
from vitalwatch.recordings.recording import Recording
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.vitals import COUNT, NAMES, VITALS


class Collected:
    """An output that keeps what it gets, and when."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.truth: list[Truth] = []
        self.at: list[float] = []
        self.now = 0.0

    def write(self, readings: Iterable[Reading]) -> int:
        times = [epoch_ms(reading.time) for reading in readings]
        self.times += times
        self.at += [self.now] * len(times)
        return len(times)

    def tell(self, truth: Sequence[Truth]) -> None:
        self.truth += truth

    def close(self) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_reading_holds_what_was_measured_and_nothing_else() -> None:
    values = np.full((2, COUNT), np.nan, dtype=np.float32)
    values[0, :2] = 71, 0
    values[0, NAMES.index("temp")] = 36.9
    (reading,) = readings(["a", "b"], np.array([5, 6]), values)
    assert msgspec.json.decode(msgspec.json.encode(reading)) == {
        "patient": "a",
        "time": 5,
        "vitals": {"hr": 71, "spo2": 0, "temp": 36.9},
    }


def test_a_csv_says_the_same_of_patients_as_lines_of_json(tmp_path: Path) -> None:
    found = []
    for name, form in (("a.jsonl", JsonLines), ("a.csv", WideCsv)):
        with create(tmp_path / name) as stream:
            for _ in play(Ward(5, 3), form(stream), Pace(np.inf), 20):
                pass
        with Recording(tmp_path / name).stream() as recorded:
            (rows,) = recorded.parts
        found.append((rows["time"].tolist(), repr(rows["context"].tolist())))
    assert found[0] == found[1]
    assert "nan" in found[0][1]


def test_simulated_readings_are_readings_in_order_of_time_and_know_no_truth() -> None:
    ward = Ward(30, 3, 10.0, share=1.0, onset=(60.0, 600.0))
    stream = BytesIO()
    written = sum(play(ward, JsonLines(stream), Pace(np.inf), 360))
    lines = stream.getvalue().splitlines()
    decoded = [msgspec.json.decode(line, type=Reading) for line in lines]
    assert len(lines) == written
    assert [epoch_ms(r.time) for r in decoded] == sorted(epoch_ms(r.time) for r in decoded)
    keys = {key for line in lines for key in json.loads(line)}
    assert keys == {"patient", "time", "vitals", *CONTEXT}
    assert {name for reading in decoded for name in reading.vitals} == set(NAMES)
    assert any(truth.critical for truth in ward.truth)
    for vital in VITALS:
        seen = [r.vitals[vital.name] for r in decoded if vital.name in r.vitals]
        whole = [isinstance(value, int) or value == round(value or 0, 1) for value in seen]
        assert all(whole)


def test_a_wide_csv_holds_the_same_readings() -> None:
    lines, table = BytesIO(), BytesIO()
    for output in (JsonLines(lines), WideCsv(table)):
        for _ in play(Ward(5, 3), output, Pace(np.inf), 20):
            pass
    rows = table.getvalue().decode().splitlines()
    assert rows[0] == ("patient,time,hr,spo2,rr,sbp,dbp,map,temp,etco2,age,sex,oxygen,beta_blocker")
    decoded = [msgspec.json.decode(line, type=Reading) for line in lines.getvalue().splitlines()]
    assert len(rows) - 1 == len(decoded)
    for row, reading in zip(rows[1:], decoded, strict=True):
        patient, _, *columns = row.split(",")
        assert patient == reading.patient
        vitals = {n: float(c) for n, c in zip(NAMES, columns, strict=False) if c}
        assert vitals == reading.vitals
        age, *known = columns[COUNT:]
        assert (float(age) if age else None) == reading.age
        parts = [reading.sex, reading.oxygen, reading.beta_blocker]
        assert known == ["" if part is None else str(part).lower() for part in parts]


def test_what_is_known_of_patients_is_said_at_first_and_again_every_ten_minutes() -> None:
    stream, ward = BytesIO(), Ward(40, 3, 60.0)
    for _ in play(ward, JsonLines(stream), Pace(np.inf), 30):
        pass
    truth = {name: values.tolist() for name, values in ward.context.items()}
    said: dict[str, list[int]] = {}
    for line in stream.getvalue().splitlines():
        reading = msgspec.json.decode(line, type=Reading)
        if (reading.age, reading.sex, reading.oxygen, reading.beta_blocker) == (None,) * 4:
            continue
        who = ward.patients.index(reading.patient)
        assert reading.age == int(truth["age"][who])
        assert reading.sex == ("female" if truth["female"][who] else "male")
        assert reading.oxygen is (truth["oxygen"][who] > 0)
        assert reading.beta_blocker is (truth["beta_blocker"][who] > 0)
        said.setdefault(reading.patient, []).append(epoch_ms(reading.time))
    assert set(said) == set(ward.patients)
    assert all(len(times) == 3 for times in said.values())
    gaps = np.concatenate([np.diff(times) for times in said.values()])
    assert ((gaps >= AGAIN_MS) & (gaps < AGAIN_MS + 5 * 60_000)).all()  # a frame may be empty


def test_a_late_first_reading_and_one_after_a_gap_say_what_is_known() -> None:
    ward = Ward(2, 3, 60.0)
    introductions = Introductions(ward)
    minutes = [("0", 0), ("0", 5), ("1", 6), ("0", 25), ("0", 34), ("1", 16), ("0", 35)]
    plain = [Reading(f"sim-3-00000{who}", minute * 60_000, {}) for who, minute in minutes]
    told = [reading.age is not None for reading in introductions.add(plain)]
    assert told == [True, False, True, True, False, True, True]


def test_the_pace_is_kept_within_an_interval_too() -> None:
    collected = Collected()
    pace = Pace(2.0, clock=lambda: collected.now, sleep=collected.sleep)
    ward = Ward(50, 1, 10.0, scenarios=None)
    for _ in play(ward, collected, pace, 6):
        pass
    due = (np.array(collected.times) - collected.times[0]) / 1000 / 2
    assert collected.times == sorted(collected.times)
    late = np.array(collected.at) - due
    assert np.abs(late).max() < 0.11
    assert collected.now > 25


def test_at_full_speed_nothing_waits() -> None:
    def never(_: float) -> None:
        raise AssertionError

    for _ in play(Ward(3, 1), Collected(), Pace(np.inf, time.monotonic, never), 5):
        pass


def test_a_broker_gets_readings_and_truth_in_topics_of_their_own_stamped_with_their_time() -> None:
    broker = MemoryBroker()
    broker.create([TopicSpec("in.readings", 1), TopicSpec("in.truth", 1)])
    publisher = broker.publisher()
    ward = Ward(20, 3, 10.0, share=1.0, onset=(60.0, 600.0))
    output = Topics(publisher, "in.readings", "in.truth")
    written = sum(play(ward, output, Pace(np.inf), 360))
    output.close()

    (batch,) = broker.read(TopicPartition("in.readings", 0), 0)
    assert len(batch) == written
    for key, value, stamp in zip(batch.keys, batch.values, batch.timestamps, strict=True):
        reading = msgspec.json.decode(value or b"", type=Reading)
        assert key == reading.patient.encode()
        assert stamp == reading.time
    (told,) = broker.read(TopicPartition("in.truth", 0), 0)
    last = {}
    for value in told.values:
        truth = msgspec.json.decode(value or b"", type=Truth)
        last[truth.patient, truth.event, truth.onset] = truth
    assert sorted(last.values(), key=repr) == sorted(ward.truth, key=repr)


def test_compressed_files_are_the_same_for_the_same_ward(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        with create(tmp_path / name) as stream:
            for _ in play(Ward(3, 1), JsonLines(stream), Pace(np.inf), 10):
                pass
    packed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "b.jsonl.gz").read_bytes()
    assert len(gzip.decompress(packed).splitlines()) >= 25


def test_a_file_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        create(tmp_path / "missing" / "a.csv")
