"""One round of scoring: the only place where state, network and evidence meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bytes8, Floats, Ints
from vitalwatch.model.layout import CONTEXT_NAMES
from vitalwatch.scoring import evidence, features, passes
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.scoring.passes import Workspace
from vitalwatch.scoring.prediction import Weights
from vitalwatch.state import NEVER, Field, Table

_SIDE_BY_SIDE: Final = ("hidden", "cell", "memory", "held", "outside")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a round of readings shows, before it is weighed; all ``(n, V)``, NaN if not measured.

    ``surprise`` (nats); ``expected``, ``low``, ``high``: the prediction and its central 90 % in
    the vitals' units; ``level`` and ``danger`` as in :mod:`~vitalwatch.scoring.evidence`.
    """

    surprise: Floats
    expected: Floats
    low: Floats
    high: Floats
    level: Floats
    danger: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """A round's scores: ``evidence`` (n,) and ``rarity`` (n,) patient-days of these ``rows`` (n,).

    ``usual`` (2, n, V) is mean and deviation of the patient's own normal before the reading,
    standardised; NaN where a vital was never seen.
    """

    rows: Ints
    answers: Answers
    evidence: Floats
    rarity: Floats
    usual: Floats


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why readings are rare, by vital, all ``(n, V)``: rows that were not asked for hold anything.

    ``share`` in the evidence adds up to 1 (0 where there is no evidence), and ``cause`` is the
    index in ``evidence.TERMS`` of the term that gave most of it; ``observed`` the value last seen;
    ``usual``, ``low``, ``high`` the patient's own normal before this reading; ``outside`` seconds
    that the vital has been outside of it, negative below; NaN where a vital was never seen.
    """

    share: Floats
    cause: Bytes8
    observed: Floats
    usual: Floats
    low: Floats
    high: Floats
    outside: Floats


class Scorer:
    """Advances patients' state by a round of readings and scores them."""

    def __init__(self, table: Table, weights: Mapping[str, Floats]) -> None:
        """``weights`` are a network's, by name."""
        self._state = table
        hidden = weights["head.weight"].shape[1]
        blank = features.Memory.blank(1).parts.ravel()
        # held: each vital's last part in the evidence, valid while the vital is fresh; cause: the
        # term that gave most of it; outside: signed seconds outside of the usual; context: what
        # the detector was told of the person; times: ms of the last reading.
        table.declare(
            {
                "hidden": Field(np.float32, hidden, 0),
                "cell": Field(np.float32, hidden, 0),
                "memory": Field(np.float32, len(blank), blank, vitals.NAMES),
                "held": Field(np.float32, vitals.COUNT, 0, vitals.NAMES),
                "outside": Field(np.float32, vitals.COUNT, 0, vitals.NAMES),
                "context": Field(np.float32, len(CONTEXT_NAMES), 0, CONTEXT_NAMES),
                "cause": Field(np.int8, vitals.COUNT, 0, vitals.NAMES),
                "times": Field(np.int64, 0, NEVER),
            }
        )
        self._weights = Weights.of(weights)
        self._work = Workspace.of(self._weights)
        self._scales = passes.scales()
        self._calibration = evidence.NOTHING
        self._tables = self._calibration.tables()

    def step(
        self, rows: Ints, times: Ints, values: Floats, calibration: Calibration | None
    ) -> Scores:
        """Score one reading each of distinct ``rows`` (n,) and take it into their state.

        ``times`` (n,) ms, later than each row's last; ``values`` (n, V) plausible values in the
        vitals' units, NaN where not measured. Without a ``calibration`` (when one is being made)
        evidence and rarity stay 0.
        """
        if calibration is not None and calibration is not self._calibration:
            self._calibration, self._tables = calibration, calibration.tables()
        state, shape = self._state, (len(rows), vitals.COUNT)
        answers = np.empty((passes.ANSWERS, *shape), dtype=np.float32)
        usual = np.empty((2, *shape), dtype=np.float32)
        totals = np.zeros((2, len(rows)), dtype=np.float32)
        passes.score(
            *state.words(_SIDE_BY_SIDE),
            state["times"],
            state["cause"],
            np.ascontiguousarray(rows),
            np.ascontiguousarray(times),
            np.ascontiguousarray(values),
            self._scales,
            self._weights,
            calibration is not None,
            self._tables,
            self._work,
            answers,
            usual,
            totals,
        )
        return Scores(rows, Answers(*answers), totals[0], totals[1], usual)

    def explain(self, scores: Scores, readings: Ints) -> Reasons:
        """Why ``readings`` (k,) of a round are rare; to be asked before the next round."""
        state, shape = self._state, scores.usual.shape[1:]
        reasons = np.empty((6, *shape), dtype=np.float32)
        passes.explain(
            readings,
            scores.rows,
            scores.evidence,
            scores.usual,
            state["memory"],
            state["held"],
            state["outside"],
            self._scales,
            reasons,
        )
        share, observed, usual, low, high, outside = reasons
        cause = np.empty(shape, dtype=np.int8)
        cause[readings] = state["cause"][scores.rows[readings]]
        return Reasons(share, cause, observed, usual, low, high, outside)
