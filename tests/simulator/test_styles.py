import numpy as np
import pytest

from simulator import Ward
from simulator.figures import clean
from simulator.styles import STYLES
from vitalwatch.arrays import Bools, Floats
from vitalwatch.errors import UsageError
from vitalwatch.vitals import COUNT, INDEX, NAMES, bounds

HR, SPO2, RR, MAP, TEMP = (INDEX[name] for name in ("hr", "spo2", "rr", "map", "temp"))
PRESSURES = slice(INDEX["sbp"], INDEX["map"] + 1)


def read(style: str, patients: int, interval: float, frames: int) -> Floats:
    """Readings ``(T, N, V)`` of stable patients."""
    return Ward(patients, 3, interval, scenarios=None, style=style).read(frames)[1]


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_gives_the_same_bits_however_the_frames_are_drawn(style: str) -> None:
    whole = Ward(9, 4, STYLES[style].interval, style=style)
    times, values = whole.read(700)
    other = Ward(9, 4, STYLES[style].interval, style=style)
    parts = [other.read(1), other.read(298), *other.frames(3), other.read(398)]
    assert b"".join(part[0].tobytes() for part in parts) == times.tobytes()
    assert b"".join(part[1].tobytes() for part in parts) == values.tobytes()
    assert other.truth == whole.truth


def test_a_ward_is_a_general_ward_unless_said_otherwise() -> None:
    plain, ward = Ward(20, 1).read(50)[1], Ward(20, 1, style="ward").read(50)[1]
    assert plain.tobytes() == ward.tobytes()


def test_a_style_that_there_is_not_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="'moon'; there are: ward, swinging"):
        Ward(1, 1, style="moon")


@pytest.mark.parametrize("style", STYLES)
def test_a_style_shows_its_vitals_and_no_others(style: str) -> None:
    seen = np.logical_or.reduce(np.isfinite(read(style, 60, 60.0, 300)), axis=(0, 1))
    assert [name for name, shown in zip(NAMES, seen, strict=True) if shown] == [
        name for name in NAMES if name in STYLES[style].vitals
    ]


@pytest.mark.parametrize("style", STYLES)
def test_stable_patients_hardly_ever_become_critical_in_any_style(style: str) -> None:
    ward = Ward(150, 8, 60.0, scenarios=None, style=style)
    low, high = bounds("critical")
    critical = np.zeros(150, dtype=bool)
    for _ in ward.frames(24 * 60):
        critical |= ((ward.levels < low) | (ward.levels > high)).any(axis=1)
    assert critical.sum() <= (4 if style == "swinging" else 1)
    assert all(truth.benign for truth in ward.truth)


@pytest.mark.parametrize("style", STYLES)
def test_deteriorations_happen_in_every_style(style: str) -> None:
    ward = Ward(120, 8, 60.0, share=1.0, onset=(600.0, 3600.0), style=style)
    ward.read(16 * 60)
    events = [truth for truth in ward.truth if not truth.benign]
    assert len(events) == 120
    assert sum(truth.critical is not None for truth in events) > 60


def test_a_bedside_monitor_stores_minutes_as_means_in_tenths_and_shows_seconds_as_integers() -> (
    None
):
    minutes = read("bedside", 40, 60.0, 240)
    hr = minutes[:, :, HR][minutes[:, :, HR] > 0]
    assert np.abs(hr * 10 - np.rint(hr * 10)).max() < 1e-2
    assert 0.05 < (np.abs(hr - np.rint(hr)) < 0.01).mean() < 0.2
    seconds = read("bedside", 40, 1.0, 300)[:, :, HR]
    assert (np.isnan(seconds) | (seconds == np.rint(seconds))).all()


def test_a_stored_mean_of_saturation_is_mostly_a_whole_number() -> None:
    spo2 = read("bedside", 40, 60.0, 240)[:, :, SPO2]
    spo2 = spo2[spo2 > 0]
    assert (np.abs(spo2 - np.rint(spo2)) < 0.01).mean() > 0.3
    assert spo2.max() <= 100


def test_an_oximeter_at_sedation_renews_its_numbers_every_four_seconds() -> None:
    values = read("sedation", 30, 1.0, 400)[:, :, HR]
    for path in values.T:
        kept = np.nan_to_num(path, nan=-1)
        changes = np.flatnonzero(np.diff(kept))
        assert len(set(changes % 4)) == 1
    # not all of them at the same moment
    phases = {int(np.flatnonzero(np.diff(np.nan_to_num(path, nan=-1)))[0] % 4) for path in values.T}
    assert len(phases) == 4


def test_a_damped_line_goes_on_showing_its_last_pressure() -> None:
    ward = Ward(60, 3, 5.0, scenarios=None, style="bedside")
    times, values = ward.read(2 * 720)
    held = 0
    for truth in ward.truth:
        if truth.event == "damped":
            row = int(truth.patient.rsplit("-", 1)[1])
            during = (times[:, row] >= truth.onset) & (times[:, row] < truth.end)
            shown = values[during, row, MAP]
            shown = shown[shown > 0]
            assert len(set(shown.tolist())) <= 3  # unless the line is closed or lost meanwhile
            held += len(shown) > 3
    assert held > 20


def test_a_closed_line_reads_zero() -> None:
    ward = Ward(60, 3, 5.0, scenarios=None, style="bedside")
    times, values = ward.read(2 * 720)
    closed = [truth for truth in ward.truth if truth.event == "closed"]
    assert len(closed) > 10
    for truth in closed:
        row = int(truth.patient.rsplit("-", 1)[1])
        during = (times[:, row] >= truth.onset) & (times[:, row] < truth.end)
        shown = values[during, row, PRESSURES]
        assert np.median(np.nan_to_num(shown)) == 0 if len(shown) > 2 else True


def test_charts_hold_the_vitals_at_moments_of_their_own() -> None:
    values = read("charted", 80, 60.0, 24 * 60)
    held = np.isfinite(values)
    rows = held.any(axis=2)
    assert 20 < np.median(rows.sum(axis=0)) < 60
    together = held[rows]
    # pressure is often taken some minutes after the rest, temperature seldom
    only = together[:, PRESSURES].all(axis=1) & ~together[:, HR]
    assert 0.05 < only.mean() < 0.35
    assert 0.05 < together[:, TEMP].mean() < 0.35
    assert (together[:, INDEX["sbp"]] == together[:, MAP]).all()


def test_charts_hold_hardly_any_artefact_and_the_slips_of_who_writes_them() -> None:
    values = read("charted", 300, 60.0, 24 * 60).astype(float).reshape(-1, COUNT)
    wrong = np.array(
        [
            (np.isfinite(values[:, place]) & np.isnan(clean(values, place))).sum()
            / np.isfinite(values[:, place]).sum()
            for place in (HR, MAP, TEMP)
        ]
    )
    assert (wrong < 2e-3).all()
    assert wrong.sum() > 0


@pytest.mark.parametrize(("interval", "frames"), [(3600.0, 48), (60.0, 48 * 60), (1.0, 3 * 3600)])
def test_charting_is_about_hourly_at_any_interval(interval: float, frames: int) -> None:
    held = np.isfinite(read("charted", 12, interval, frames)[:, :, HR])
    hourly = held.sum(axis=0) / (interval * frames / 3600)
    assert 0.6 <= np.median(hourly) <= 1.5


def test_wearables_are_taken_off_for_long_and_show_activity() -> None:
    ward = Ward(40, 5, 10.0, scenarios=None, style="wearable")
    values = ward.read(10 * 360)[1]
    lost: Bools = np.logical_and.reduce(np.isnan(values), axis=2)
    assert 0.02 < lost.mean() < 0.4
    longest = max(
        np.diff(np.flatnonzero(np.diff(np.r_[False, path, False]))).max(initial=0)
        for path in lost.T
    )
    assert longest > 180  # half an hour
    hr = values[:, :, HR].astype(float)
    spread = np.nanpercentile(hr, 95, axis=0) - np.nanpercentile(hr, 20, axis=0)
    assert np.median(spread) > 20


def test_the_context_of_patients_is_that_of_the_population() -> None:
    ward = Ward(500, 1, style="bedside")
    context = ward.context
    assert set(context) == {"age", "female", "oxygen", "beta_blocker", "copd", "skin_tone"}
    assert all(column.shape == (500,) and column.dtype == np.float32 for column in context.values())
    assert (context["age"] == ward.population.age).all()
    assert ((context["oxygen"] == 1) == (ward.population.fio2 > 0.21)).all()
    assert 0.5 < context["oxygen"].mean() < 0.9
    assert Ward(500, 1, style="wearable").context["oxygen"].mean() < 0.05
