from dataclasses import replace

import numpy as np
import pytest

from simulator import Ward, population
from simulator.devices import CUFF_INFLATION, Devices
from simulator.population import Population
from vitalwatch.arrays import Floats, Ints
from vitalwatch.vitals import COUNT, INDEX, VITALS

PRESSURES = [INDEX[name] for name in ("sbp", "dbp", "map")]


@pytest.fixture(scope="module")
def ward() -> Ward:
    return Ward(300, 6, 5.0, scenarios=None)


@pytest.fixture(scope="module")
def values(ward: Ward) -> Floats:
    """Two hours of readings, ``(T, N, V)``."""
    return ward.read(1440)[1]


def test_readings_come_in_the_devices_steps(values: Floats) -> None:
    for index, vital in enumerate(VITALS):
        seen = values[:, :, index]
        seen = seen[np.isfinite(seen)] / vital.resolution
        assert np.abs(seen - np.rint(seen)).max() < 1e-3, vital.name


def test_cuff_pressures_are_events_at_the_patients_own_period(ward: Ward, values: Floats) -> None:
    people = ward.population
    seen = np.isfinite(values[:, :, PRESSURES])
    cuff: Ints = np.flatnonzero(~people.arterial_line)
    together = seen[:, cuff].sum(axis=2)
    assert set(np.unique(together)) == {0, 3}
    counts = together.sum(axis=0) / 3
    expected = 7200 / people.cuff_period[cuff]
    # a lost frame may take a cuff reading with it
    assert (np.abs(counts - expected) <= 2).all()
    assert 300 <= people.cuff_period.min() <= people.cuff_period.max() <= 3600


def test_an_arterial_line_shows_pressure_in_every_frame(ward: Ward, values: Floats) -> None:
    lines = ward.population.arterial_line
    assert np.isfinite(values[:, lines][:, :, PRESSURES]).mean() > 0.97


def test_temperature_is_a_spot_reading_unless_there_is_a_probe(ward: Ward, values: Floats) -> None:
    probe = ward.population.temperature_probe
    seen = np.isfinite(values[:, :, INDEX["temp"]]).mean(axis=0)
    assert (seen[probe] > 0.9).all()
    assert (seen[~probe] <= 3 / 1440).all()
    assert set(ward.population.temperature_period.tolist()) <= {3600.0, 7200.0, 14400.0}


def test_only_patients_with_a_capnograph_have_end_tidal_carbon_dioxide(
    ward: Ward, values: Floats
) -> None:
    seen = np.isfinite(values[:, :, INDEX["etco2"]]).any(axis=0)
    assert (seen == ward.population.capnograph).all()
    assert 0 < seen.mean() < 0.5


def shown(people: Population, saturation: float, interval: float = 60.0) -> Floats:
    """What oximeters show of a constant true saturation, ``(T, N)``."""
    devices = Devices(people, interval, np.random.default_rng(3))
    levels = np.full((60, COUNT, len(people)), 80, dtype=np.float32)
    levels[:, INDEX["spo2"]] = saturation
    calm = np.zeros((60, len(people)), dtype=np.float32)
    times = np.arange(60.0)[:, None] * interval + np.zeros(len(people))
    measured, _ = devices.measure(devices.average(levels, calm), times)
    return measured[:, INDEX["spo2"]]


def test_oximeters_over_read_in_darker_skin_the_more_the_lower_the_saturation() -> None:
    people = population.draw(4000, np.random.default_rng(1))
    dark, light = people.skin_tone >= 5, people.skin_tone <= 2

    def bias(saturation: float) -> float:
        seen = shown(people, saturation)
        return float(seen[:, dark].mean() - seen[:, light].mean())

    assert 0.3 < bias(95) < bias(88) < bias(80) < 4
    occult = shown(people, 87.5) >= 92
    assert occult[:, dark].mean() > 2 * occult[:, light].mean()


def test_oximeters_err_by_about_two_percent() -> None:
    people = population.draw(4000, np.random.default_rng(1))
    light = people.skin_tone <= 2
    error = shown(people, 92)[:, light] - 92
    assert 1 < np.sqrt((error**2).mean()) < 2


def test_saturation_is_averaged_over_eight_to_sixteen_seconds() -> None:
    people = population.draw(500, np.random.default_rng(1))
    devices = Devices(people, 1.0, np.random.default_rng(3))
    levels = np.full((120, COUNT, 500), 97, dtype=np.float32)
    levels[60:, INDEX["spo2"]] = 80
    average = devices.average(levels, np.zeros((120, 500), np.float32))[:, INDEX["spo2"]]
    fallen = (97 - average.mean(axis=1)) / 17
    # an average over a window w is at half after w / 2
    assert 4 <= (fallen > 0.5).argmax() - 59 <= 8
    assert fallen[80] > 0.93


def test_the_cuff_errs_by_at_most_five_plus_minus_eight() -> None:
    people = population.draw(3000, np.random.default_rng(1))
    people = replace(people, arterial_line=np.zeros(3000, dtype=bool))
    devices = Devices(people, 600.0, np.random.default_rng(3))
    levels = np.full((30, COUNT, 3000), 90, dtype=np.float32)
    times = np.arange(30.0)[:, None] * 600 + np.zeros(3000)
    measured, _ = devices.measure(levels, times)
    error = measured[:, INDEX["map"]] - 90
    assert abs(np.nanmean(error)) < 5
    assert 3 < np.nanstd(error) < 8


def test_a_cuff_on_the_probe_arm_silences_the_oximeter_while_it_inflates() -> None:
    ward = Ward(200, 6, 1.0, scenarios=None)
    people = ward.population
    _, values = ward.read(900)
    due = np.isfinite(values[:, :, INDEX["map"]]) & ~people.arterial_line
    frames, patients = np.nonzero(due[60:])
    inflating = np.array(
        [
            values[frame + 60 - int(CUFF_INFLATION) + 2 : frame + 58, patient, INDEX["spo2"]]
            for frame, patient in zip(frames, patients, strict=True)
        ]
    )
    silent = ~(inflating > 0)
    same = people.cuff_on_probe_arm[patients]
    assert silent[same].all()
    assert silent[~same].mean() < 0.1
    off = inflating[same]
    assert np.isnan(off).any()
    assert (off == 0).any()


def statistics(path: Floats) -> tuple[float, float, float, float, float]:
    """Share unchanged, deviation, largest step, autocorrelation at 5 s and 30 s of one patient."""
    steps = np.abs(np.diff(path))
    centred = path - path.mean()
    variance = (centred**2).mean() or np.nan
    memory = [(centred[lag:] * centred[:-lag]).mean() / variance for lag in (5, 30)]
    return float((steps == 0).mean()), float(path.std()), float(steps.max()), *memory


@pytest.mark.parametrize(
    ("vital", "unchanged", "deviation", "step", "memory"),
    # quartiles of 53 intensive-care recordings of 8 min, at one reading a second
    [
        ("hr", (0.61, 0.87), (1.0, 3.0), (1, 6), (0.47, 0.75)),
        ("spo2", (0.93, 1.0), (0.1, 0.7), (1, 1), (0.38, 0.67)),
        ("rr", (0.89, 0.94), (0.7, 1.5), (1, 3), (0.71, 0.86)),
    ],
)
def test_one_second_readings_look_like_those_of_real_monitors(
    vital: str,
    unchanged: tuple[float, float],
    deviation: tuple[float, float],
    step: tuple[float, float],
    memory: tuple[float, float],
) -> None:
    ward = Ward(200, 5, 1.0, scenarios=None)
    ward.read(300)
    paths = ward.read(480)[1][:, :, INDEX[vital]].T
    rows = np.array([statistics(path) for path in paths if (path > 0).all()])
    assert len(rows) > 100
    median = np.nanmedian(rows, axis=0)
    for seen, (low, high) in zip(median, (unchanged, deviation, step, memory), strict=False):
        assert low - 0.02 <= seen <= high + 0.02
    assert abs(median[4]) < 0.3
