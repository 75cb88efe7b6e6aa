import numpy as np
import pytest

from simulator import Ward
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.messages import Truth
from vitalwatch.vitals import INDEX

SPO2, HR, RR, MAP, TEMP = (INDEX[name] for name in ("spo2", "hr", "rr", "map", "temp"))


class Shift:
    """Eight hours of 120 stable patients: times ``(T, N)``, values and levels ``(T, N, V)``."""

    def __init__(self) -> None:
        self.ward = Ward(120, 12, 5.0, scenarios=None)
        drawn = [(t, v, self.ward.levels.copy()) for t, v in self.ward.frames(8 * 720)]
        self.times: Ints = np.stack([times for times, _, _ in drawn])
        self.values: Floats = np.stack([values for _, values, _ in drawn])
        self.levels: Floats = np.stack([levels for _, _, levels in drawn])
        self.truth: list[Truth] = self.ward.truth

    def during(self, event: str) -> Bools:
        """Where ``(T, N)`` an event is on."""
        on = np.zeros(self.times.shape, dtype=bool)
        for truth in self.truth:
            if truth.event == event:
                row = int(truth.patient.rsplit("-", 1)[1])
                on[:, row] |= (self.times[:, row] >= truth.onset) & (self.times[:, row] < truth.end)
        return on


@pytest.fixture(scope="module")
def day() -> Shift:
    return Shift()


def test_a_probe_that_is_off_reads_zero_on_some_monitors_and_nothing_on_others(day: Shift) -> None:
    off = day.during("probe_off")
    seen = day.values[off][:, SPO2]
    assert ((seen == 0) | np.isnan(seen)).all()
    assert 0.2 < np.isnan(seen).mean() < 0.8
    assert (day.levels[off][:, SPO2] > 80).all()


def test_leads_that_are_off_take_heart_rate_and_breathing_along(day: Shift) -> None:
    seen = day.values[day.during("leads_off")][:, [HR, RR]]
    assert ((seen == 0) | np.isnan(seen)).all()
    assert (seen == 0).any()


def test_a_flushed_line_shows_about_300_and_a_zeroed_one_about_0(day: Shift) -> None:
    quiet = ~day.during("dropout")
    flushed = day.values[day.during("flushing") & quiet][:, MAP]
    zeroed = day.values[day.during("zeroing") & quiet][:, MAP]
    assert (np.abs(flushed - 300) < 70).all()
    assert (np.abs(zeroed) < 10).all()
    assert len(flushed) > 20
    assert len(zeroed) > 20
    seconds = [t.end - t.onset for t in day.truth if t.event in ("flushing", "zeroing")]
    assert max(seconds) < 120_000
    lines = {f"sim-12-{row:06d}" for row in np.flatnonzero(day.ward.population.arterial_line)}
    assert {t.patient for t in day.truth if t.event in ("flushing", "zeroing")} <= lines


def test_a_dropout_loses_whole_frames(day: Shift) -> None:
    lost = day.during("dropout")
    assert lost.any()
    assert np.isnan(day.values[lost]).all()


def test_motion_disturbs_the_oximeter_and_not_the_patient(day: Shift) -> None:
    moving = day.during("motion") & ~day.during("probe_off") & ~day.during("dropout")
    calm = ~moving
    for name in ("turning", "walking", "coughing", "feeding", "probe_off", "dropout"):
        calm &= ~day.during(name)
    error = np.abs(day.values[:, :, SPO2] - day.levels[:, :, SPO2])
    assert np.nanmean(error[moving]) > 2 * np.nanmean(error[calm & (error < 50)])
    lost = np.isnan(day.values[:, :, SPO2])
    assert lost[moving].mean() > 3 * lost[calm].mean()
    change = np.abs(day.levels[1:, :, SPO2] - day.levels[:-1, :, SPO2])
    assert change[moving[1:]].mean() < 0.3


def test_a_shocked_patients_finger_gives_the_oximeter_no_pulse() -> None:
    ward = Ward(100, 3, 5.0, scenarios="haemorrhage_blunted", share=1.0, onset=(600.0, 600.0))
    lost = {True: [], False: []}  # type: dict[bool, list[float]]
    for _, values in ward.frames(1800):
        shocked = ward.levels[:, MAP] < 40
        for state in (True, False):
            group = values[shocked == state]
            lost[state] += np.isnan(group[:, SPO2]).tolist()
    assert np.mean(lost[True]) > 2 * np.mean(lost[False])


def test_benign_events_do_what_they_do(day: Shift) -> None:
    def change(event: str, index: int) -> float:
        on = day.during(event)
        who = on.any(axis=0)
        level = day.levels[:, :, index]
        return float(np.mean([level[on[:, n], n].mean() - level[~on[:, n], n].mean()
                              for n in np.flatnonzero(who)]))  # fmt: skip

    assert change("walking", HR) > 8
    assert change("walking", RR) > 1
    assert change("pain", HR) > 4
    assert change("pain", MAP) > 3
    assert change("feeding", HR) > 1
    assert change("turning", HR) > 1
    assert change("coughing", RR) > 1


def test_nobody_walks_or_eats_asleep() -> None:
    ward = Ward(200, 2, 60.0, scenarios=None, start_ms=1_767_304_800_000)  # 22:00
    ward.read(9 * 60)
    nights = {t.patient: (t.onset, t.end) for t in ward.truth if t.event == "sleep"}
    assert len(nights) == 200
    for truth in ward.truth:
        if truth.event in ("walking", "feeding"):
            asleep, awake = nights[truth.patient]
            assert not asleep + 1_800_000 < truth.onset < awake - 1_800_000
