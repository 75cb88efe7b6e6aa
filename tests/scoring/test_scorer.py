import dataclasses
import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.model import checkpoint, layout
from vitalwatch.scoring import evidence, features
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.scoring.known import follow
from vitalwatch.scoring.scorer import Reasons, Scorer, Scores
from vitalwatch.scoring.workspace import CHUNK
from vitalwatch.state import Table

PATIENTS = 2 * CHUNK + 7
ROUNDS = 6
HR, SPO2 = vitals.INDEX["hr"], vitals.INDEX["spo2"]
FIELDS = (
    *("network", "memory", "held", "risks", "outside", "cause", "times"),
    *("foretold", "foretold_at"),
)
MODEL = checkpoint.load()
CALIBRATION = Calibration.of(MODEL.calibration)
START = 1_700_000_000_000


class Bench:
    """A scorer and its table."""

    def __init__(self, rows: int = PATIENTS) -> None:
        self.table = Table()
        self.scorer = Scorer(self.table, MODEL)
        self.table.grow(rows)

    def step(self, rows: Ints, times: Ints, values: Floats) -> tuple[Scores, Reasons]:
        scores = self.scorer.step(rows, times, values, CALIBRATION)
        return scores, self.scorer.explain(scores, np.arange(len(rows)))


@functools.cache
def frames() -> list[tuple[Ints, Floats]]:
    """Rounds of a ward in which much is not measured."""
    ward = Ward(patients=PATIENTS, seed=3, interval=30, scenarios="mixed")
    generator = np.random.default_rng(4)
    lowest, highest = vitals.bounds("plausible")
    found = []
    for times, values in ward.frames(ROUNDS):
        shown = (values >= lowest) & (values <= highest) & (generator.random(values.shape) > 0.2)
        found.append((times, np.where(shown, values, np.float32(np.nan))))
    return found


def columns(scores: Scores, reasons: Reasons) -> list[npt.NDArray[np.generic]]:
    answers = scores.answers
    return [
        *(answers.surprise, answers.next, answers.expected, answers.low, answers.high),
        *(answers.level, answers.danger, scores.evidence, scores.rarity),
        *(reasons.share, reasons.cause, reasons.observed, reasons.usual),
        *(reasons.low, reasons.high, reasons.outside),
    ]


@functools.cache
def whole() -> tuple[list[list[npt.NDArray[np.generic]]], list[bytes]]:
    """Everything of a bench that takes each frame as one round."""
    bench, rows = Bench(), np.arange(PATIENTS)
    found = [columns(*bench.step(rows, times, values)) for times, values in frames()]
    return found, [bench.table[name].tobytes() for name in FIELDS]


@given(st.permutations(range(PATIENTS)), st.lists(st.integers(0, PATIENTS), max_size=12))
def test_rounds_of_any_size_and_order_give_the_same_bits(
    order: Sequence[int], cuts: Sequence[int]
) -> None:
    bench = Bench()
    wanted, state = whole()
    rounds = [part for part in np.split(np.array(order), sorted(cuts)) if len(part)]
    for (times, values), columns_wanted in zip(frames(), wanted, strict=True):
        for rows in rounds:
            found = columns(*bench.step(rows, times[rows], values[rows]))
            for column, column_wanted in zip(found, columns_wanted, strict=True):
                assert column.tobytes() == column_wanted[rows].tobytes()
    assert [bench.table[name].tobytes() for name in FIELDS] == state


def digest() -> str:
    """Stands for all bits of a bench that takes each frame as one round."""
    found, state = whole()
    content = [column.tobytes() for columns in found for column in columns]
    return hashlib.blake2b(b"".join(content + state)).hexdigest()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="asks for processors of this family")
def test_an_old_processor_gives_the_same_bits(tmp_path: Path) -> None:
    script = "from tests.scoring.test_scorer import digest; print(digest())"
    oldest = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env=os.environ | oldest | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()


def test_rows_that_no_reading_is_of_stay_as_they_are() -> None:
    bench = Bench()
    before = bench.table.copy(np.arange(PATIENTS))
    others = np.delete(np.arange(PATIENTS), [5, 70])
    times, values = frames()[0]
    bench.step(np.array([5, 70]), times[[5, 70]], values[[5, 70]])
    after = bench.table.copy(np.arange(PATIENTS))
    assert after[others].tobytes() == before[others].tobytes()
    assert (after[[5, 70]] != before[[5, 70]]).any(axis=1).all()


def test_a_table_that_grows_between_rounds_changes_nothing() -> None:
    bench, rows = Bench(), np.arange(PATIENTS)
    wanted, _ = whole()
    for (times, values), columns_wanted in zip(frames(), wanted, strict=True):
        found = columns(*bench.step(rows, times, values))
        bench.table.grow(bench.table.capacity * 2)
        assert [c.tobytes() for c in found] == [c.tobytes() for c in columns_wanted]


def test_what_was_not_measured_is_not_answered_and_of_a_first_value_only_its_danger() -> None:
    wanted, _ = whole()
    known = np.zeros((PATIENTS, vitals.COUNT), dtype=np.bool_)
    for (_, values), found in zip(frames(), wanted, strict=True):
        for column in found[:6]:
            expected = ~np.isnan(values) & known
            assert (~np.isnan(column.astype(np.float32)) == expected).all()
        assert (np.isnan(found[6].astype(np.float32)) == np.isnan(values)).all()
        known |= ~np.isnan(values)


def test_without_a_calibration_there_is_no_evidence() -> None:
    bench, rows = Bench(), np.arange(PATIENTS)
    times, values = frames()[0]
    scores = bench.scorer.step(rows, times, values, None)
    assert not scores.evidence.any()
    assert not scores.rarity.any()
    assert bench.scorer.step(rows, times + 1000, values, CALIBRATION).rarity.all()


def test_shares_add_up_to_one_where_there_is_evidence() -> None:
    wanted, _ = whole()
    for found in wanted:
        sums = found[9].astype(np.float32).sum(axis=1)
        np.testing.assert_allclose(sums, 1, rtol=1e-5)


def reading(**values: float) -> Floats:
    row = np.full((1, vitals.COUNT), np.nan, dtype=np.float32)
    for name, value in values.items():
        row[0, vitals.INDEX[name]] = value
    return row


def test_of_the_risk_more_is_given_to_a_vital_that_has_gone_far_from_its_usual() -> None:
    bench, row = Bench(1), np.array([0])
    for number in range(100):
        usual = reading(hr=80, spo2=97)
        scores = bench.scorer.step(row, np.array([START + 10_000 * number]), usual, CALIBRATION)
    gone = reading(hr=95, spo2=97)
    scores = bench.scorer.step(row, np.array([START + 1_000_000]), gone, CALIBRATION)
    bench.table["held"][0] = 0
    bench.table["risks"][0] = 0
    bench.table["risks"][0, [HR, SPO2]] = 2, 1
    share = bench.scorer.explain(scores, row).share[0]
    assert share[HR] > 0.8  # 2/3 by the risks alone
    assert share[SPO2] > 0
    assert share.sum() == pytest.approx(1)


def test_only_the_readings_that_are_asked_for_are_explained() -> None:
    bench, rows = Bench(3), np.arange(3)
    values = np.repeat(reading(hr=80, spo2=97), 3, axis=0)
    scores = bench.scorer.step(rows, np.full(3, START), values, CALIBRATION)
    whole = bench.scorer.explain(scores, rows)
    for asked in ([], [1], [2, 0, 2]):
        found = bench.scorer.explain(scores, np.array(asked, dtype=np.int64))
        for part, wanted in zip(
            columns(scores, found)[9:], columns(scores, whole)[9:], strict=True
        ):
            assert part.shape == wanted.shape
            assert part[asked].tobytes() == wanted[asked].tobytes()


def test_a_reason_tells_the_normal_before_the_reading_and_the_value_after_it() -> None:
    bench, row = Bench(1), np.array([0])
    for number in range(100):
        scores, reasons = bench.step(row, np.array([START + 10_000 * number]), reading(hr=80))
    assert reasons.usual[0, HR] == 80
    assert np.isnan(reasons.usual[0, SPO2])
    assert np.isnan(reasons.observed[0, SPO2])
    assert reasons.low[0, HR] < 80 < reasons.high[0, HR]
    assert reasons.outside[0, HR] == 0
    for seconds, outside in ((1000, 1), (1010, 11), (1030, 31)):
        time = np.array([START + 1000 * seconds])
        scores, reasons = bench.step(row, time, reading(hr=150, spo2=97))
        assert reasons.outside[0, HR] == outside
    assert reasons.observed[0, HR] == 150
    assert 80 < reasons.usual[0, HR] < 90
    assert reasons.share[0, HR] > 0.5
    assert 0 <= reasons.cause[0, HR] <= evidence.RISK
    assert scores.rarity[0] > 0.01


def test_but_for_its_risk_a_vital_that_was_seen_long_ago_has_no_part_in_the_evidence() -> None:
    bench, row = Bench(1), np.array([0])
    bench.step(row, np.array([START]), reading(hr=170, spo2=97))
    tails = dataclasses.replace(
        CALIBRATION, weights=CALIBRATION.weights.copy(), pace=np.zeros_like(CALIBRATION.pace)
    )
    tails.weights[evidence.RISK :] = -np.inf  # the network's own say, which knows of ages
    found = [
        bench.scorer.step(row, np.array([START + after]), reading(spo2=97), tails).evidence[0]
        for after in (600_000, 1_200_000)
    ]
    assert found[0] > -8
    assert found[1] == pytest.approx(-9)


def test_the_pace_of_readings_is_added_to_the_evidence() -> None:
    pace = np.array([-1, -0.5, 0, 0.5, 1], dtype=np.float32)
    for seconds, added in ((1, -1), (5, -0.5), (60, 0.5), (300, 1), (4000, 1), (0.2, -1)):
        found = []
        for by in (pace, np.zeros_like(pace)):
            bench, row = Bench(1), np.array([0])
            bench.step(row, np.array([START]), reading(hr=80, spo2=97))
            tables = dataclasses.replace(CALIBRATION, pace=by)
            at = np.array([START + round(1000 * seconds)])
            found.append(bench.scorer.step(row, at, reading(hr=90, spo2=93), tables).evidence[0])
        assert found[0] - found[1] == pytest.approx(added, abs=1e-5)


def test_a_reading_in_which_nothing_is_measured_moves_time_alone() -> None:
    bench, row = Bench(1), np.array([0])
    bench.step(row, np.array([START]), reading(hr=80))
    memory = features.Memory(bench.table["memory"][0].reshape(features.PARTS, 1, -1).copy())
    bench.step(row, np.array([START + 5000]), reading())
    after = features.Memory(bench.table["memory"][0].reshape(features.PARTS, 1, -1))
    assert after.age[0, HR] == 5
    assert after.last[0, HR] == memory.last[0, HR]
    assert after.mean[0, HR] == memory.mean[0, HR]
    assert not after.mask.any()


@pytest.mark.parametrize("kind", ["strided", "reversed"])
def test_arrays_may_lie_in_memory_as_they_like(kind: str) -> None:
    every = slice(None, None, 2 if kind == "strided" else -1)
    times, values = frames()[0]
    rows = np.arange(PATIENTS)
    apart, packed = Bench(), Bench()
    found = apart.scorer.step(rows[every], times[every], values[every], CALIBRATION)
    wanted = packed.scorer.step(
        rows[every].copy(), times[every].copy(), values[every].copy(), CALIBRATION
    )
    assert found.rarity.tobytes() == wanted.rarity.tobytes()


def torchs(course: list[tuple[Ints, Floats]]) -> tuple[Floats, Floats]:
    """Expected values (T, n, V) of each reading, by the forecast before it, and hazards (T, n)."""
    made = MODEL.forecaster()
    count = len(course[0][0])
    memory, state = features.Memory.blank(count), made.cell.blank(count)
    who = np.zeros((count, len(layout.CONTEXT_NAMES)), dtype=np.float32)
    expected, hazards = [], []
    before, told, said = course[0][0], None, None
    for times, values in course:
        elapsed = ((times - before) / 1000).astype(np.float32)
        before = times
        expected.append(np.full(values.shape, np.nan, dtype=np.float32))
        if told is not None and said is not None:
            ahead = torch.from_numpy(elapsed)[None]
            location = made.predict(said, told, ahead).location[0].numpy()
            expected[-1] = np.where(memory.watched > 0, features.restore(location), np.nan)
        out = np.empty((1, count, layout.FEATURES), dtype=np.float32)
        value = features.standardise(values)[None]
        follow(memory.parts, elapsed[None], value, who, features.STEP, out)
        told = torch.from_numpy(out)
        output, inputs, state = made(told, state)
        said = made.said(output)
        softplus = torch.nn.functional.softplus(made.risks(output, inputs))[0].numpy()
        weights = 10.0 ** CALIBRATION.weights[evidence.RISK :]
        hazards.append(((softplus * weights).sum(axis=1) * (memory.watched > 0)).sum(axis=1))
    return np.array(expected), np.array(hazards)


def test_what_is_expected_and_the_risks_are_those_of_the_network_that_was_trained() -> None:
    bench, rows = Bench(), np.arange(PATIENTS)
    expected, hazards = torchs(frames())
    for number, (times, values) in enumerate(frames()):
        scores, _ = bench.step(rows, times, values)
        there = ~np.isnan(values)
        np.testing.assert_allclose(
            scores.answers.expected[there], expected[number][there], rtol=1e-4, atol=1e-3
        )
        found = bench.table["risks"][rows].sum(axis=1)
        np.testing.assert_allclose(found, hazards[number], rtol=1e-3, atol=1e-5)
