import dataclasses
import functools
import gzip
from pathlib import Path

import numpy as np
import pytest

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.calibration import people, site
from vitalwatch.calibration.people import People
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation.streams import DAY, HOUR, MINUTE, Streams
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Model
from vitalwatch.recordings.recording import Recording


def crowd(records: list[tuple[Ints, Floats]]) -> People:
    """A person a record."""
    streams = Streams.joined(records)
    said = np.full((len(streams.times), 4), np.nan, dtype=np.float32)
    names = [f"p{number}" for number in range(len(streams))]
    return People(streams, np.arange(len(streams)), names, said)


@functools.cache
def ward(patients: int = 60, seed: int = 11, scenarios: str | None = None) -> People:
    """People at a reading a minute, for a day; some deteriorate if there are ``scenarios``."""
    simulated = Ward(patients=patients, seed=seed, interval=60, scenarios=scenarios, share=0.1)
    times, values = simulated.read(1440)
    return crowd([(times[:, who], values[:, who]) for who in range(patients)])


def shifted(decades: float) -> Model:
    """The shipped model, saying of everything that it is rarer by so many decades."""
    shipped = checkpoint.load()
    tables = dict(shipped.calibration)
    tables["log_days"] = tables["log_days"] + decades
    return dataclasses.replace(shipped, calibration=tables)


def quietly(_: float) -> None:
    pass


@functools.cache
def result(decades: float, scenarios: str | None = None) -> site.Result:
    return site.calibrate(shifted(decades), ward(60, 11, scenarios), 2.0, quietly)


def test_a_model_that_alarms_thrice_too_often_comes_near_its_promise() -> None:
    found = result(np.log10(3))
    assert abs(np.log(found.after.ratio)) < abs(np.log(found.before.ratio))
    assert 0.5 < found.after.ratio < 1.5


def test_a_model_that_alarms_too_seldom_comes_nearer_to_its_promise() -> None:
    found = result(-np.log10(10))
    assert found.before.ratio < 0.5
    assert found.before.ratio < found.after.ratio < 1.25


def test_the_rate_after_is_of_people_the_tables_were_not_made_from() -> None:
    first, second = site._halves(np.array([3.0, 1.0, 0.5, 2.0, 0.5]))
    assert not (first & second).any()
    assert (first | second).all()
    assert np.array([3.0, 1.0, 0.5, 2.0, 0.5])[first].sum() == pytest.approx(3.5, abs=0.5)


def test_some_true_deteriorations_make_alarms_no_more_than_a_little_rarer() -> None:
    quiet, ill = result(0.0), result(0.0, "mixed")
    budgets = np.array([4.0, 2.0, 1.0, 0.5, 0.25])
    levels = np.interp(-np.log10(budgets), quiet.calibration.log_days, quiet.calibration.sums)
    rarer = np.interp(levels, ill.calibration.sums, ill.calibration.log_days)
    assert np.abs(rarer + np.log10(budgets)).max() < np.log10(2)


def test_with_few_patient_days_the_shipped_tables_count_for_most() -> None:
    shipped = checkpoint.load().calibration
    tails = site.calibrate(shifted(0), ward(4, 12), 1.0, quietly).calibration.tails
    many = result(0.0).calibration.tails
    away = [np.abs(each - shipped["tails"])[:, :3, :8].mean() for each in (tails, many)]
    assert away[0] < away[1]


def test_the_tables_are_rising_and_the_detector_takes_them(tmp_path: Path) -> None:
    found, model = result(0.0), checkpoint.load()
    assert (np.diff(found.calibration.sums) > 0).all()
    assert (np.diff(found.calibration.log_days) >= 0).all()
    assert (np.diff(found.calibration.tails, axis=-1) > 0).all()
    path = tmp_path / "ours.safetensors"
    checkpoint.save(path, model.weights, found.calibration.tensors(), model.card)
    again = checkpoint.load(path)
    assert again.fingerprint != model.fingerprint
    assert again.calibration.keys() == model.calibration.keys()


def test_the_same_recordings_give_the_same_tables() -> None:
    once = site.calibrate(shifted(0), ward(6, 13), 1.0, quietly).calibration.tensors()
    again = site.calibrate(shifted(0), ward(6, 13), 1.0, quietly).calibration.tensors()
    assert all(np.array_equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize(("patients", "frames"), [(1, 1440), (30, 20)])
def test_one_patient_or_some_minutes_are_too_little(patients: int, frames: int) -> None:
    times, values = Ward(patients=patients, seed=3, interval=60).read(frames)
    someone = crowd([(times[:, who], values[:, who]) for who in range(patients)])
    with pytest.raises(RecordingError, match="Too little to calibrate with"):
        site.calibrate(checkpoint.load(), someone, 1.0, quietly)


def course(every_s: float, count: int, seed: int) -> tuple[Ints, Floats]:
    """One patient's readings, steady but for noise."""
    generator = np.random.default_rng(seed)
    typical = vitals.column("typical")
    values = typical + generator.normal(0, 0.3, (count, vitals.COUNT)) * vitals.column("spread")
    values[:, vitals.INDEX["spo2"]] = values[:, vitals.INDEX["spo2"]].clip(max=100)
    times = 1_700_000_000_000 + (np.arange(count) * every_s * 1000).astype(np.int64)
    return times, values.astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["one vital", "zeros", "ten a second", "one a day", "infant", "old"]
)
def test_odd_recordings_are_taken_and_tables_stay_finite(kind: str) -> None:
    every, count = {"ten a second": (0.1, 3000), "one a day": (86_400.0, 12)}.get(kind, (60, 900))
    records = [course(every, count, seed) for seed in range(5)]
    if kind == "ten a second":  # beside some who are watched for long enough
        records += [course(60, 900, seed) for seed in range(5, 10)]
    for times, values in records:
        if kind == "one vital":
            values[:, 1:] = np.nan
        if kind == "zeros":
            values[np.random.default_rng(int(times[-1])).random(values.shape) < 0.9] = 0
        if kind == "infant":
            values[:, vitals.INDEX["hr"]] += 45
            values[:, vitals.INDEX["rr"]] += 20
            values[:, vitals.INDEX["sbp"]] -= 30
    someone = crowd(records)
    years = {"infant": 0.5, "old": 95.0}.get(kind)
    if years is not None:
        someone.said[:, 0] = years
    found = site.calibrate(checkpoint.load(), someone, 1.0, quietly)
    for tensor in found.calibration.tensors().values():
        assert not np.isnan(tensor).any()
    assert np.isfinite(found.calibration.log_days).all()


def test_an_hour_around_a_critical_value_is_not_quiet() -> None:
    times, values = course(600, 40, 1)
    values[20, vitals.INDEX["spo2"]] = 70
    someone = crowd([(times, values), course(600, 40, 2)])
    away = np.abs(times - times[20]) <= HOUR
    assert someone.quiet().tolist() == [*(~away).tolist(), *[True] * 40]
    days = someone.days(someone.quiet())
    assert days[1] == pytest.approx(39 * 10 * MINUTE / DAY)
    assert days[0] == pytest.approx((39 - 14) * 10 * MINUTE / DAY)


def write(path: Path, names: list[str], seed: int = 0, temp: float = 37.0) -> Path:
    lines = ["patient,time,hr,temp"]
    lines += [f"{n},{60 * k},{80 + k % 3},{temp}" for k in range(30 + seed) for n in names]
    path.write_text("\n".join(lines))
    return path


def test_what_cannot_be_used_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ["p1", "p2"])
    write(tmp_path / "b.csv", ["p2", "p3"], seed=4)
    write(tmp_path / "fahrenheit.csv", ["p4"], temp=98.6)
    whole = gzip.compress(write(tmp_path / "c.csv", ["p5"]).read_bytes())
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    files = ["a.csv", "b.csv", "fahrenheit.csv", "cut.csv.gz"]
    recordings = []
    for file in files:
        try:
            recordings.append(Recording(tmp_path / file))
        except RecordingError as error:
            said.append(str(error))
    found = people.read(recordings, lambda *_: quietly, said.append)
    assert found.names == ["p1", "p2", "p3"]
    assert found.person.tolist() == [0, 1, 1, 2]
    told = "\n".join(said)
    assert "fahrenheit.csv: temp has the middle value 98.6, as in °F" in told
    assert "cut.csv.gz" in told


def test_nothing_that_can_be_used_is_an_error(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path / "f.csv", ["p"], temp=98.6))
    with pytest.raises(RecordingError, match="None of the recordings"):
        people.read([recording], lambda *_: quietly, lambda _: None)
