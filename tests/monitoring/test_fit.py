import numpy as np
from prometheus_client import CollectorRegistry

from vitalwatch import vitals
from vitalwatch.monitoring.fit import DAY_SECONDS, Fit, RarityHistogram
from vitalwatch.readings import Detection


def found(rarity: list[float], low: float = 70, high: float = 80) -> Detection:
    """What is said of readings of the heart rate alone, all expected from ``low`` to ``high``."""

    def column(value: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        table = np.full((len(rarity), vitals.COUNT), np.nan, dtype=np.float32)
        table[:, 0] = value
        return table

    return Detection(
        late=np.isnan(rarity),
        rarity=np.array(rarity, dtype=np.float32),
        surprise=column(1.5),
        expected=column(75),
        low=column(low),
        high=column(high),
        alerts=[],
    )


def heart_rates(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    table = np.full((len(values), vitals.COUNT), np.nan, dtype=np.float32)
    table[:, 0] = values
    return table


def test_values_within_the_expected_range_are_counted_with_its_ends() -> None:
    fit = Fit()
    fit.add(heart_rates(69, 70, 75, 80, 81), found([1.0] * 5))
    assert fit.measured.tolist() == [5, 0, 0, 0, 0, 0, 0, 0]
    assert fit.inside.tolist() == [3, 0, 0, 0, 0, 0, 0, 0]
    assert fit.nats.tolist() == [7.5, 0, 0, 0, 0, 0, 0, 0]


def test_a_late_reading_counts_for_nothing() -> None:
    fit = Fit()
    fit.add(heart_rates(75, 75), found([np.nan, 1.0]))
    assert fit.measured[0] == 1
    assert fit.rarities.sum() == 1


def test_a_vital_that_was_not_measured_or_is_an_artefact_counts_for_nothing() -> None:
    detection = found([1.0])
    detection.surprise[:] = np.nan
    fit = Fit()
    fit.add(heart_rates(300), detection)
    assert not fit.measured.any()


def test_the_histogram_is_in_seconds_and_its_bounds_are_inclusive() -> None:
    registry = CollectorRegistry()
    histogram = RarityHistogram("rarity_seconds", "of readings")
    registry.register(histogram)
    for _ in range(2):
        fit = Fit()
        fit.add(heart_rates(*[75] * 4), found([1 / 24, 1.0, 1.5, 1000.0]))
        histogram.add(fit)

    def below(bound: str) -> float | None:
        return registry.get_sample_value("rarity_seconds_bucket", {"le": bound})

    assert below("3600.0") == 2
    assert below(f"{DAY_SECONDS:.1f}") == 4
    assert below(f"{2 * DAY_SECONDS:.1f}") == 6
    assert below("8.64e+06") == 6
    assert below("+Inf") == registry.get_sample_value("rarity_seconds_count") == 8
    total = registry.get_sample_value("rarity_seconds_sum")
    assert total is not None
    assert round(total / DAY_SECONDS) == 2005
