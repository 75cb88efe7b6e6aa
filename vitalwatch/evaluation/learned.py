"""Detectors that libraries learn from people to train on; the libraries are an extra."""

import importlib.util
from typing import Any, Final

import numpy as np

from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.evaluation.logic import Threshold
from vitalwatch.evaluation.own import features
from vitalwatch.evaluation.streams import MINUTE, DataSet, Streams
from vitalwatch.scoring.features import standardise

EXTRA: Final = "pip install 'vitalwatch[evaluation]'"
"""What installs scikit-learn, River and matplotlib."""


def installed(library: str) -> bool:
    """Whether an optional library can be imported."""
    return importlib.util.find_spec(library) is not None


class Trees:
    """Gradient-boosted trees on window features: is this reading one before an event's onset?"""

    name = "gradient-boosted trees"
    setting: Threshold | None = None

    _MOST = 200_000  # readings to learn from

    def __init__(self) -> None:
        self._model: Any = None
        self._columns: Ints = np.empty(0, dtype=np.int64)

    def learn(self, people: DataSet) -> None:
        """Fit to readings before events and in quiet; without both, scores will be NaN."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        self._model = None
        kept = np.concatenate(
            (_thinned(people.due, self._MOST // 2), _thinned(people.quiet, self._MOST))
        )
        labels = people.due[kept]
        if not labels.any() or labels.all():
            return
        # Every event counts alike, however many readings lie before it.
        weight = np.where(labels, (~labels).sum() / labels.sum(), 1.0)
        model = HistGradientBoostingClassifier(
            max_iter=150,
            learning_rate=0.06,
            max_leaf_nodes=15,
            min_samples_leaf=100,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=0,
        )
        told = features(people.streams)[kept]
        self._columns = np.flatnonzero(np.fmin.reduce(told) < np.fmax.reduce(told))
        # Threads that wait for each other on a busy machine are slower than one.
        with threadpool_limits(1):
            self._model = model.fit(told[:, self._columns], labels, sample_weight=weight)

    def score(self, streams: Streams) -> Floats:
        """Log odds (n,)."""
        if self._model is None:
            return np.full(len(streams.times), np.nan, dtype=np.float32)
        from threadpoolctl import threadpool_limits

        told = features(streams)[:, self._columns]
        with threadpool_limits(1):
            return np.asarray(self._model.decision_function(told), dtype=np.float32)


class HalfSpaceTrees:
    """River's half-space trees: how few of the people to train on had such readings.

    The trees learn from those people and from nobody after, so that a score does not depend on
    who else is scored. A reading costs 100 µs, so of faster streams one a minute is scored.
    """

    name = "HalfSpaceTrees"
    setting: Threshold | None = None

    _MOST = 20_000  # readings to learn from
    _REACH = 4.0  # spreads of the population that the trees part

    def __init__(self) -> None:
        self._model: Any = None

    def learn(self, people: DataSet) -> None:
        """Fit to readings of quiet times."""
        from river.anomaly import HalfSpaceTrees as Model

        self._model = Model(n_trees=10, height=6, window_size=250, seed=0)
        values = self._scaled(people.streams.held)
        for place in _thinned(people.quiet, self._MOST).tolist():
            self._model.learn_one(dict(enumerate(values[place].tolist())))

    def score(self, streams: Streams) -> Floats:
        """Anomaly scores (n,), each minute's first for all of that minute."""
        minute = streams.times // MINUTE
        fresh = np.ones(len(minute), dtype=np.bool_)
        fresh[1:] = (np.diff(minute) != 0) | (np.diff(streams.record) != 0)
        values = self._scaled(streams.held[fresh]).tolist()
        scores = [self._model.score_one(dict(enumerate(row))) for row in values]
        return np.asarray(np.array(scores, dtype=np.float32)[np.cumsum(fresh) - 1])

    def _scaled(self, held: Floats) -> Floats:
        """To [0, 1]; what is not known is typical."""
        scaled = 0.5 + standardise(held) / (2 * self._REACH)
        return np.asarray(np.nan_to_num(scaled, nan=0.5).clip(0, 1), dtype=np.float32)


def _thinned(which: Bools, most: int) -> Ints:
    """Places of those, or of ``most`` spread evenly among them."""
    places = np.flatnonzero(which)
    if len(places) > most:
        places = places[np.linspace(0, len(places) - 1, most).astype(np.int64)]
    return places
