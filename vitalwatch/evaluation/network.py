"""VitalWatch's own scores as detectors under test: rarity, and its surprise without the rest."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms.limits import HYSTERESIS
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.logic import Threshold
from vitalwatch.evaluation.streams import DataSet, Streams
from vitalwatch.model.checkpoint import Model
from vitalwatch.scoring.evidence import Calibration, hazard
from vitalwatch.scoring.passes import FADING_SECONDS
from vitalwatch.scoring.scorer import Scorer
from vitalwatch.state import Table

OURS: Final = "VitalWatch"
ALONE: Final = "network's surprise alone"
ONE_STEP: Final = "one-step LSTM surprise"

_SURPRISE: Final = 0  # in evidence.TERMS
_ORDINARY: Final = np.float32(10)  # one over the tail


class Network:
    """A model over whole streams; the last ones' scores are kept for who asks next."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._calibration = Calibration.of(model.calibration)
        self._streams: Streams | None = None
        self._scores: Floats = np.empty((3, 0), dtype=np.float32)

    def scores(self, streams: Streams) -> Floats:
        """Rarity, summed tails of surprise, and mean surprise in nats, (3, n)."""
        if self._streams is not streams:
            self._scores, self._streams = self._run(streams), streams
        return self._scores

    def _run(self, streams: Streams) -> Floats:
        table = Table()
        scorer = Scorer(table, self._model)
        table.grow(max(len(streams), 1))
        rarity = np.empty(len(streams.times), dtype=np.float32)
        surprise = np.empty(streams.values.shape, dtype=np.float32)
        following = np.empty_like(surprise)
        for rows, places in streams.rounds():
            found = scorer.step(
                rows, streams.times[places], streams.clean[places], self._calibration
            )
            rarity[places] = found.rarity
            surprise[places] = found.answers.surprise
            following[places] = found.answers.next
        measured = ~np.isnan(streams.clean)
        any_measured = measured.any(axis=1)
        rarity[~any_measured] = np.nan
        mean = np.full(len(rarity), np.nan, dtype=np.float32)
        asked = ~np.isnan(following)
        some = asked.any(axis=1)
        np.divide(np.nansum(following, axis=1), asked.sum(axis=1), out=mean, where=some)
        tables = self._calibration.tables()
        tails = np.empty_like(surprise)
        even = np.ones(vitals.COUNT, dtype=np.float32)
        hazard(surprise, tables.tails[_SURPRISE], tables.tails_beyond[_SURPRISE], even, tails)
        # As -log10 of the tail, beyond what is ordinary.
        tails = np.log10(np.maximum(tails, _ORDINARY)) - np.log10(_ORDINARY)
        alone = np.empty_like(rarity)
        _hold(streams.edges, measured, streams.age, tails, alone)
        alone[~any_measured] = np.nan
        return np.stack((rarity, alone, mean))


@compiled
def _hold(edges: Ints, measured: Bools, age: Floats, tails: Floats, out: Floats) -> None:
    """Sum each vital's last tail (n, V), faded with its age as in the evidence, to ``out`` (n,)."""
    held = np.empty(tails.shape[1], dtype=np.float32)
    for record in range(len(edges) - 1):
        held[:] = 0
        for i in range(edges[record], edges[record + 1]):
            total = np.float32(0)
            for v in range(tails.shape[1]):
                if measured[i, v]:
                    held[v] = tails[i, v]
                total += held[v] * max(np.float32(0), np.float32(1) - age[i, v] / FADING_SECONDS)
            out[i] = total


@dataclass
class Score:
    """One of the network's scores."""

    name: str
    network: Network
    which: int
    setting: Threshold | None = None

    def learn(self, people: DataSet) -> None:
        """Nothing: the model is as it is shipped."""

    def score(self, streams: Streams) -> Floats:
        """That score of each reading."""
        return np.asarray(self.network.scores(streams)[self.which])


def vitalwatch(model: Model, budget: float, name: str = OURS) -> Score:
    """The network's rarity, as it is shipped with a ``budget`` of false alarms a patient-day."""
    return Score(name, Network(model), 0, Threshold(1 / budget, 1 / budget / HYSTERESIS))


def surprises(ours: Score) -> tuple[Score, Score]:
    """The network's surprise as calibrated tails, and as it is."""
    return Score(ALONE, ours.network, 1), Score(ONE_STEP, ours.network, 2)
