"""One round of scoring: the only place where state, network and evidence meet."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from vitalwatch import vitals
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints
from vitalwatch.model import head
from vitalwatch.model.network import INPUTS, Network
from vitalwatch.scoring import evidence, features
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.state import NEVER, Field, Table

BLOCK: Final = 16
"""Rounds are padded to a multiple of so many rows. On one thread torch's matrix product gives a
row the same bits in any batch of 4 rows and more; its vector loops give an element the same bits
only where the last block is full."""

FADING_SECONDS: Final = np.float32(1200)
"""A vital's part in the evidence fades over so long after it was last seen."""

USUAL_DEVIATIONS: Final = np.float32(2)

_PLAUSIBLE: Final = vitals.bounds("plausible")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a round of readings shows, before it is weighed; all ``(n, V)``.

    ``surprise`` (nats), ``level`` and ``danger`` as in :mod:`~vitalwatch.scoring.evidence`, NaN
    where a vital was not measured; ``expected``, ``low``, ``high``: the prediction and its central
    90 % in the vitals' units, for every vital.
    """

    surprise: Floats
    level: Floats
    danger: Floats
    expected: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """A round's scores. ``evidence`` (n,) and ``rarity`` (n,) patient-days; the rest ``(n, V)``.

    ``share`` of each vital in the evidence adds up to 1 (0 where there is no evidence), and
    ``cause`` is the index in ``evidence.TERMS`` of the term that gave most of it;
    ``observed`` the value last seen; ``usual``, ``usual_low``, ``usual_high`` the patient's own
    normal before this reading; ``outside`` seconds that the vital has been outside of it, negative
    below; NaN where a vital was never seen.
    """

    answers: Answers
    evidence: Floats
    rarity: Floats
    cause: Bytes8
    share: Floats
    observed: Floats
    usual: Floats
    usual_low: Floats
    usual_high: Floats
    outside: Floats


class Scorer:
    """Advances patients' state by a round of readings and scores them."""

    def __init__(self, table: Table, network: Network) -> None:
        self._network = network.eval()
        # held: each vital's last part in the evidence, valid while the vital is fresh; cause: the
        # term that gave most of it; outside: signed seconds outside of the usual; times: ms of
        # the last reading.
        self._state = table
        table.declare(
            {
                "hidden": Field(np.float32, network.hidden, 0),
                "cell": Field(np.float32, network.hidden, 0),
                "memory": Field(np.float32, features.Memory.WIDTH, features.Memory.blank(1)[0]),
                "held": Field(np.float32, vitals.COUNT, 0),
                "outside": Field(np.float32, vitals.COUNT, 0),
                "cause": Field(np.int8, vitals.COUNT, 0),
                "times": Field(np.int64, 0, NEVER),
            }
        )

    def step(
        self, rows: Ints, times: Ints, values: Floats, calibration: Calibration | None
    ) -> Scores:
        """Score one reading each of distinct ``rows`` (n,) and take it into their state.

        ``times`` (n,) ms, later than each row's last; ``values`` (n, V) plausible values in the
        vitals' units, NaN where not measured. Without a ``calibration`` (when one is being made)
        evidence and rarity stay 0.
        """
        state = self._state
        count = len(rows)
        before = state["times"][rows]
        elapsed = np.asarray(np.where(before == NEVER, 0, times - before) / 1000, np.float32)
        remembered = state["memory"][rows]
        memory = features.Memory(remembered)
        padded = -(-count // BLOCK) * BLOCK
        inputs = np.zeros((padded, INPUTS), dtype=np.float32)
        features.inputs(memory, elapsed, inputs[:count])
        value = features.standardise(values)
        seen = ~np.isnan(value)

        surprise, location, scale = self._predict(rows, inputs, value)
        surprise[~seen] = np.nan
        half = scale * np.float32(head.CENTRAL_90)
        answers = Answers(
            surprise=surprise,
            level=evidence.level(memory, value),
            danger=evidence.danger(value),
            expected=features.restore(location),
            low=_possible(location - half),
            high=_possible(location + half),
        )
        held = state["held"][rows]
        cause = state["cause"][rows]
        outside = state["outside"][rows]
        if calibration is not None:
            terms = np.stack(
                [calibration.excess(term, getattr(answers, term)) for term in evidence.TERMS]
            )
            np.copyto(held, terms.sum(axis=0), where=seen)
            state["held"][rows] = held
            np.copyto(cause, terms.argmax(axis=0).astype(np.int8), where=seen)
            state["cause"][rows] = cause
        never = memory.watched == 0
        spread = USUAL_DEVIATIONS * memory.deviation
        usual_low, usual_high = memory.mean - spread, memory.mean + spread
        _time_outside(outside, memory, value, (usual_low, usual_high), seen & ~never)
        state["outside"][rows] = outside
        usual = memory.mean.copy()

        features.observe(memory, value, seen)
        state["memory"][rows] = remembered
        state["times"][rows] = times
        faded = held * np.maximum(0, 1 - memory.age / FADING_SECONDS)
        total = faded.sum(axis=1)
        return Scores(
            answers=answers,
            evidence=total,
            rarity=calibration.rarity(total) if calibration else np.zeros(count, np.float32),
            cause=cause,
            share=faded / np.where(total > 0, total, 1)[:, None],
            observed=np.where(memory.watched > 0, features.restore(memory.last), np.nan),
            usual=np.where(never, np.nan, features.restore(usual)),
            usual_low=np.where(never, np.nan, _possible(usual_low)),
            usual_high=np.where(never, np.nan, _possible(usual_high)),
            outside=outside,
        )

    def _predict(self, rows: Ints, inputs: Floats, value: Floats) -> tuple[Floats, Floats, Floats]:
        """One padded matrix step: surprise, location and scale, each (n, V), standardised."""
        count, padded = len(rows), len(inputs)
        table, hidden = self._state, self._network.hidden
        state = np.zeros((2, 1, padded, hidden), dtype=np.float32)
        state[0, 0, :count] = table["hidden"][rows]
        state[1, 0, :count] = table["cell"][rows]
        target = np.zeros((padded, vitals.COUNT), dtype=np.float32)
        np.copyto(target[:count], value, where=~np.isnan(value))
        with torch.inference_mode():
            state_in = torch.from_numpy(state)
            prediction, (after, cell) = self._network(
                torch.from_numpy(inputs)[None], (state_in[0], state_in[1])
            )
            nats = head.surprise(
                torch.from_numpy(target),
                prediction.location[0],
                prediction.scale[0],
                self._network.step,
            )
        table["hidden"][rows] = after[0].numpy()[:count]
        table["cell"][rows] = cell[0].numpy()[:count]
        return (
            nats.numpy()[:count],
            prediction.location[0].numpy()[:count],
            prediction.scale[0].numpy()[:count],
        )


def _possible(bound: Floats) -> Floats:
    """A bound in the vitals' units, no further out than a living patient's monitor can show."""
    return np.clip(features.restore(bound), *_PLAUSIBLE)


def _time_outside(
    outside: Floats,
    memory: features.Memory,
    value: Floats,
    usual: tuple[Floats, Floats],
    seen: Bools,
) -> None:
    """Advance ``outside`` (n, V): signed seconds since a vital left its usual band, 0 inside.

    The first value outside counts from now, so it starts at one second.
    """
    below, above = value < usual[0], value > usual[1]
    went_on = np.where(below, outside < 0, outside > 0)
    seconds = np.where(went_on, np.abs(outside) + memory.age, 1)
    signed = np.where(below, -seconds, np.where(above, seconds, 0))
    np.copyto(outside, signed.astype(np.float32), where=seen)
