"""One round of scoring: the only place where state, network and evidence meet."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bytes8, Floats, Ints
from vitalwatch.model import layout
from vitalwatch.model.checkpoint import Model
from vitalwatch.model.layout import CELLS, CONTEXT_NAMES
from vitalwatch.scoring import cells, evidence, features, forecast, foretold, passes, workspace
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.state import NEVER, Field, Table

_SIDE_BY_SIDE: Final = ("network", "memory", "held", "risks", "outside", "context")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a round of readings shows, before it is weighed; all ``(n, V)``, NaN if not measured.

    ``surprise``: mean of the nats after the forecast of this reading (``next``) and after those of
    1, 5, 15 and 60 min ago, as far as there are; ``expected``, ``low``, ``high``: the prediction
    and its central 90 % in the vitals' units; ``level`` and ``danger`` as in
    :mod:`~vitalwatch.scoring.evidence`. But for danger also NaN at a vital's first value.
    """

    surprise: Floats
    next: Floats
    expected: Floats
    low: Floats
    high: Floats
    level: Floats
    danger: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """A round's scores: ``evidence`` (n,) and ``rarity`` (n,) patient-days of these ``rows`` (n,).

    ``usual`` (2, n, V) is mean and deviation of the patient's own normal before the reading,
    standardised; NaN where a vital was never seen. ``top`` (n,) is the vital with most of the
    evidence.
    """

    rows: Ints
    answers: Answers
    evidence: Floats
    rarity: Floats
    usual: Floats
    top: Ints


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why readings are rare, by vital, all ``(n, V)``: rows that were not asked for hold anything.

    ``share`` of the hazards adds up to 1 (0 where there is none), and ``cause`` is the index in
    ``evidence.TERMS`` of the term that gave most of it, or ``evidence.RISK``; ``observed`` the
    value last seen; ``usual``, ``low``, ``high`` the patient's own normal before this reading;
    ``outside`` seconds that the vital has been outside of it, negative below; NaN where a vital was
    never seen.
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

    def __init__(self, table: Table, model: Model) -> None:
        self._state = table
        numbers = layout.state_width(model.cell, model.hidden)
        blank = features.Memory.blank(1).parts.ravel()
        # network: the cell's state. held: each vital's hazard but for its risk, valid while the
        # vital is fresh; cause: the term that gave most of it; risks: the vitals' hazards by their
        # risks, as of the last reading; outside: signed seconds outside of the usual; context: what
        # the detector was told of the person; times: ms of the last reading.
        table.declare(
            {
                "network": Field(np.float32, numbers, 0, (model.cell,)),
                "memory": Field(np.float32, len(blank), blank, vitals.NAMES),
                "held": Field(np.float32, vitals.COUNT, 0, vitals.NAMES),
                "risks": Field(np.float32, vitals.COUNT, 0, vitals.NAMES),
                "outside": Field(np.float32, vitals.COUNT, 0, vitals.NAMES),
                "context": Field(np.float32, len(CONTEXT_NAMES), 0, CONTEXT_NAMES),
                "cause": Field(np.int8, vitals.COUNT, 0, vitals.NAMES),
                "times": Field(np.int64, 0, NEVER),
            }
            | foretold.FIELDS
        )
        self._network = workspace.Network(
            CELLS.index(model.cell),
            model.hidden,
            cells.Weights.of(model.cell, model.weights),
            forecast.Head.of(model.weights),
        )
        self._work = workspace.Workspace.of(self._network, numbers)
        self._scales = workspace.scales()
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
        top = np.zeros(len(rows), dtype=np.int64)
        passes.score(
            *state.words(_SIDE_BY_SIDE),
            state["times"],
            state["cause"],
            foretold.Ring(state["foretold"], state["foretold_at"]),
            np.ascontiguousarray(rows),
            np.ascontiguousarray(times),
            np.ascontiguousarray(values),
            self._scales,
            self._network,
            calibration is not None,
            self._tables,
            self._work,
            answers,
            usual,
            totals,
            top,
        )
        return Scores(rows, Answers(*answers), totals[0], totals[1], usual, top)

    def explain(self, scores: Scores, readings: Ints) -> Reasons:
        """Why ``readings`` (k,) of a round are rare; to be asked before the next round."""
        state, shape = self._state, scores.usual.shape[1:]
        reasons = np.empty((7, *shape), dtype=np.float32)
        passes.explain(
            readings,
            scores.rows,
            scores.usual,
            state["memory"],
            state["held"],
            state["risks"],
            state["cause"],
            state["outside"],
            self._scales,
            reasons,
        )
        share, observed, usual, low, high, outside, causes = reasons
        cause = np.zeros(shape, dtype=np.int8)
        cause[readings] = causes[readings]
        return Reasons(share, cause, observed, usual, low, high, outside)
