from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import likeness
from simulator.figures import Figure
from simulator.likeness import Line, Stream
from vitalwatch.vitals import COUNT, INDEX

SPREAD = Figure("hr", "spread")


def patients(count: int, spread: float, seed: int, rows: int = 600) -> list[Stream]:
    """Streams of one row a second whose heart rates scatter so."""
    rng = np.random.default_rng(seed)
    streams = []
    for _ in range(count):
        values = np.full((rows, COUNT), np.nan)
        values[:, INDEX["hr"]] = 80 + spread * rng.standard_normal(rows)
        streams.append(Stream(np.arange(rows, dtype=float), values))
    return streams


def test_what_can_be_told_depends_on_the_rate_and_on_how_long_it_lasts() -> None:
    second = likeness.rate(patients(5, 3, 1, rows=480))
    assert (second.interval, second.irregular, second.lags) == (1, False, (5, 30, 60))
    assert second.length == 479

    minutes = [Stream(60 * stream.times, stream.values) for stream in patients(5, 3, 1)]
    assert likeness.rate(minutes).lags == (60, 300, 900, 3600)
    assert likeness.rate(minutes).length == 4 * 3600

    rng = np.random.default_rng(3)
    charted = [
        Stream(np.cumsum(rng.exponential(3600, 600)), stream.values) for stream in patients(5, 3, 1)
    ]
    at = likeness.rate(charted)
    assert at.irregular
    assert at.length == 86_400
    assert at.step == 3600


def test_streams_like_the_recorded_ones_are_inside_and_others_are_not() -> None:
    recorded = patients(40, 3, 1)
    at = likeness.rate(recorded)
    figures = likeness.of_patients(recorded, at)

    def spread(made: list[Stream]) -> Line:
        lines = likeness.compare(figures, likeness.of_patients(made, at))
        return next(line for line in lines if line.figure == SPREAD)

    assert spread(patients(40, 3, 2)).inside
    assert not spread(patients(40, 4, 2)).inside
    assert spread(patients(40, 3, 2)).patients == 40


def test_a_figure_that_nothing_simulated_has_is_outside() -> None:
    recorded = patients(20, 3, 1)
    at = likeness.rate(recorded)
    lines = likeness.compare(likeness.of_patients(recorded, at), [])
    assert lines
    assert not any(line.inside for line in lines)


def test_a_figure_of_few_recorded_patients_is_left_out() -> None:
    figures = [{SPREAD: 1.0}] * 7 + [{}] * 5
    assert not likeness.compare(figures, figures)
    assert likeness.compare([{SPREAD: 1.0}] * 8, figures)


def test_halves_of_like_patients_are_inside_each_other() -> None:
    figures = likeness.of_patients(patients(60, 3, 1), likeness.rate(patients(2, 3, 1)))
    assert likeness.yardstick(figures, np.random.default_rng(1)) > 0.9
    assert np.isnan(likeness.yardstick(figures[:4], np.random.default_rng(1)))


@given(st.permutations(range(12)))
def test_the_order_of_patients_does_not_matter(order: list[int]) -> None:
    figures = [{SPREAD: float(place)} for place in range(12)]
    shuffled = [figures[place] for place in order]
    assert likeness.compare(shuffled, figures) == likeness.compare(figures, shuffled)


def test_of_few_patients_each_stretch_may_stand_for_itself() -> None:
    streams = patients(2, 3, 1, rows=2400)
    at = likeness.rate(streams)._replace(length=600.0)
    assert len(likeness.of_patients(streams, at)) == 2
    assert len(likeness.of_patients(streams, at, apart=True)) == 8


def test_simulated_streams_come_at_the_recorded_rate() -> None:
    at = likeness.rate(patients(5, 3, 1, rows=480))
    made = likeness.simulated("bedside", at, 6, seed=1)
    assert len(made) == 6
    assert likeness.rate(made) == at


@pytest.mark.parametrize(
    ("files", "style"),
    [
        ("bidmc-numerics/*.csv", "bedside"),
        ("mimic2-numerics/[as]*n.csv", "bedside"),
        ("cinc2009-train/map*.csv", "bedside"),
        ("sedation-oximetry/vitals.csv.gz", "sedation"),
        ("mimic4-demo-vitals/vitals_wide.csv.gz", "charted"),
        ("cinc2019-sample/setB/p1000*.psv", "charted"),
        ("noneeg/vitals.csv.gz", "wearable"),
    ],
)
def test_most_figures_of_simulated_patients_lie_within_those_of_real_ones(
    files: str, style: str, recordings: Path
) -> None:
    from vitalwatch.commands import compare
    from vitalwatch.commands.progress import Work

    found = sorted(recordings.glob(files))
    with Work() as work:
        streams = compare.read("recordings", found, work)
    at = likeness.rate(streams)
    apart = len(streams) < compare.FEW
    recorded = likeness.of_patients(streams, at, apart=apart)
    made = likeness.of_patients(likeness.simulated(style, at, 100, 1), at, apart=apart)
    lines = likeness.compare(recorded, made)
    assert np.mean([line.inside for line in lines]) >= 0.75
