import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Ward
from vitalwatch import config
from vitalwatch.alarms.limits import HYSTERESIS
from vitalwatch.arrays import Spans
from vitalwatch.calibration import site, table
from vitalwatch.calibration.people import People
from vitalwatch.calibration.table import Watched
from vitalwatch.detector import Detector
from vitalwatch.evaluation.streams import Streams
from vitalwatch.model import checkpoint
from vitalwatch.readings import Readings
from vitalwatch.scoring.evidence import Calibration

PATIENTS, FRAMES = 30, 720


def shipped() -> Calibration:
    return Calibration.of(checkpoint.load().calibration)


def watched(patients: int, seed: int) -> tuple[Watched, Readings]:
    """A ward's evidence by the shipped model; and the same readings as a partition's log."""
    ward = Ward(patients=patients, seed=seed, interval=60, scenarios=None)
    times, values = ward.read(FRAMES)
    streams = Streams.joined([(times[:, who], values[:, who]) for who in range(patients)])
    said = np.full((len(streams.times), 4), np.nan, dtype=np.float32)
    names = ward.patients
    people = People(streams, np.arange(patients), names, said)
    quiet = np.ones(len(streams.times), dtype=np.bool_)
    course = site._run(checkpoint.load(), shipped(), people, lambda: None)
    order = np.argsort(times.ravel(), kind="stable")
    log = Readings(
        "vitals.readings",
        0,
        Spans.of(names[place % patients] for place in order.tolist()),
        times.ravel()[order],
        values.reshape(-1, values.shape[-1])[order],
        np.arange(len(order)),
    )
    days = people.days(quiet)
    return Watched(streams, people.person, course.evidence, quiet, days), log


@pytest.mark.parametrize("budget", [0.5, 2.0])
def test_alarms_are_counted_as_the_detector_raises_them(budget: float) -> None:
    people, log = watched(PATIENTS, 21)
    (found,) = Detector(checkpoint.load(), config.Alarms(budget=budget)).process([log])
    raised = [a for a in found.alerts if a.condition == "deterioration" and a.event == "raised"]
    assert raised
    counted = table.at_budget(shipped(), people, budget)
    assert counted.sum() == pytest.approx(len(raised), abs=1 + len(raised) // 10)


def test_new_patients_realise_what_the_table_promises() -> None:
    people, _ = watched(150, 22)
    start = dataclasses.replace(
        shipped(), sums=np.linspace(0, 20, 4), log_days=np.linspace(-2.0, 3.0, 4)
    )
    made, promised = table.made(start, people, prior_days=0)
    others, _ = watched(150, 23)
    for budget in (1.0, 2.0):
        rate = table.at_budget(made, others, budget).sum() / others.days.sum()
        assert 0.6 < rate / budget < 1.35
    assert promised > 5


def test_where_nobody_alarms_the_rarities_stay_as_they_are() -> None:
    people, _ = watched(3, 24)
    silent = people._replace(scored=np.zeros_like(people.scored))
    made, promised = table.made(shipped(), silent, prior_days=20)
    assert promised == 0
    assert np.array_equal(made.log_days, shipped().log_days)


@given(st.floats(-2, 4))
def test_evidence_and_rarity_are_each_others_inverse(wanted: float) -> None:
    level = table.evidence(shipped(), np.array([wanted]))
    assert table.log_days(shipped(), level)[0] == pytest.approx(wanted, abs=1e-6)
    clears = table.evidence(shipped(), np.array([wanted - np.log10(HYSTERESIS)]))
    assert clears[0] < level[0]
