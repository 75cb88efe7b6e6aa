"""Scoring and alarms for the partitions of a stream: readings in, scores and alert events out.

This is the whole detector without a broker. The daemon feeds it polled batches, ``vitalwatch
score`` feeds it files, evaluation feeds it simulated patients; all get the same output for the
same log, however the log is cut into batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from vitalwatch import config, vitals
from vitalwatch.alarms import Alarms, Explanation, Transitions, conditions, machine
from vitalwatch.alarms.technical import Assessment
from vitalwatch.arrays import Bools, Floats, Ints, Spans
from vitalwatch.messages import Alert, Origin
from vitalwatch.model.checkpoint import Model
from vitalwatch.readings import Detection, Readings
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.scoring.rounds import rounds
from vitalwatch.scoring.scorer import Answers, Scorer, Scores
from vitalwatch.snapshot import Snapshot
from vitalwatch.state import NEVER, Table


class _Source(NamedTuple):
    """One partition: its number in here, its name, and its patients' rows."""

    number: int
    topic: str
    partition: int
    rows: dict[str, int]


class _Patient(NamedTuple):
    """Whose row it is."""

    name: str
    source: _Source


@dataclass(frozen=True, slots=True)
class _Batch:
    """All readings of one call, (n,) each; ``spans`` says where a partition's lie, by its number.

    ``stream`` is the partition's stream time at each reading: the largest time so far. ``late``
    is filled in round by round.
    """

    rows: Ints
    times: Ints
    values: Floats
    offsets: Ints
    number: Ints
    stream: Ints
    late: Bools
    spans: dict[int, slice]

    def place(self, source: int, row: int, time: int, before: int | None) -> int:
        """Which reading brought the partition's stream to ``time`` for a patient without one.

        That is the first with such a stream time, but none before the patient's own last (which
        lies ``before`` the given place and is not late): a pure function of the log, however it
        is cut.
        """
        span = self.spans[source]
        first = int(span.start + np.searchsorted(self.stream[span], time))
        earlier = slice(span.start, before if before is not None else span.stop)
        own = np.flatnonzero((self.rows[earlier] == row) & ~self.late[earlier])
        return max(first, int(span.start + own[-1])) if len(own) else first


@dataclass(frozen=True, slots=True)
class _Round:
    """What was found at ``places`` (k,) of a batch."""

    places: Ints
    assessment: Assessment
    scores: Scores


def _rows(source: _Source) -> Ints:
    return np.fromiter(source.rows.values(), np.int64, len(source.rows))


_Dated = tuple[int, Alert]  # the place in the batch that brought it

_OF_THE_NETWORK: Final = ("hidden", "cell", "held", "cause")
"""State that another model cannot use: all else is of the patient."""


class Detector:
    """All patients' state, and the one way to advance it; for one thread at a time.

    Keeps torch to one thread of its own, because the matrix product of a row has the same bits in
    any batch only there, and because idle OpenMP threads would spin against everything else.
    """

    def __init__(self, model: Model, settings: config.Alarms) -> None:
        self._model = model.fingerprint
        self._state = Table()
        self._scorer = Scorer(self._state, model.network)
        self._calibration = Calibration.of(model.calibration)
        self._alarms = Alarms(self._state, settings, model.fingerprint)
        self._gone_ms = round(settings.discharge_hours * 3_600_000)
        self._sources: dict[tuple[str, int], _Source] = {}
        self._opened = 0
        self._streams: dict[int, int] = {}  # by partition: the largest time seen
        self._earliest: dict[int, int] = {}  # by partition: nobody is discharged before
        self._patients: dict[int, _Patient] = {}  # by row

    @property
    def patients(self) -> int:
        """Patients whose state is held."""
        return len(self._patients)

    @property
    def in_alarm(self) -> int:
        """Patients with a physiological alarm."""
        return self._alarms.in_alarm()

    @property
    def row_bytes(self) -> int:
        """Bytes of state a patient, alarms included."""
        return self._state.row_bytes

    def drop(self, topic: str, partition: int) -> None:
        """Forget a partition and its patients: it is another worker's now."""
        source = self._sources.pop((topic, partition), None)
        if source is not None:
            self._forget(_rows(source))
            self._streams.pop(source.number, None)
            self._earliest.pop(source.number, None)

    def snapshot(self, topic: str, partition: int) -> Snapshot:
        """The state of a partition as it is now, between two batches."""
        source = self._source(topic, partition)
        return Snapshot(
            self._model,
            self._state.layout,
            self._streams.get(source.number, NEVER),
            Spans.of(source.rows),
            self._state.copy(_rows(source)),
        )

    def restore(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        """Put a partition's state in place of whatever is held of it.

        From there on it is as if this detector had seen the log up to the cut. Raises ValueError
        for a snapshot of another model or layout.
        """
        if snapshot.model != self._model:
            raise ValueError(f"a snapshot of model {snapshot.model}, not of {self._model}")
        self._put(topic, partition, snapshot)

    def overlay(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        """Put another model's state in place of whatever is held, but for the network's part.

        For a detector that has run the readings before the cut again: what its own network makes
        of them stays, and alarms, baselines and times go on as they were. A patient of the
        snapshot who is unknown here begins with a blank network state; one who is known here
        alone is forgotten. Raises ValueError for a snapshot of another layout.
        """
        held = self._source(topic, partition).rows
        known = [(name, held[name]) for name in snapshot.patients.texts() if name in held]
        own = {name: self._state[name][[row for _, row in known]] for name in _OF_THE_NETWORK}
        blank = self._state.take()
        empty = {name: self._state[name][blank].copy() for name in _OF_THE_NETWORK}
        self._state.free(np.array([blank]))
        self._put(topic, partition, snapshot)
        source = self._source(topic, partition)
        rows, again = _rows(source), [source.rows[name] for name, _ in known]
        for name in _OF_THE_NETWORK:
            self._state[name][rows] = empty[name]
            self._state[name][again] = own[name]

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions (at most one entry a partition)."""
        if not batch:
            return []
        if torch.get_num_threads() != 1:  # kept by OpenMP for each calling thread
            torch.set_num_threads(1)
        sources = [self._source(readings.topic, readings.partition) for readings in batch]
        joined = self._join(batch, sources)
        count = len(joined.rows)
        rarity = np.full(count, np.nan, dtype=np.float32)
        by_vital = np.full((4, count, vitals.COUNT), np.nan, dtype=np.float32)
        alerts: list[_Dated] = []
        for turn in rounds(joined.rows):
            self._discharge_who_returns(joined, turn, alerts)
            # Late is what is not after the patient's last reading, whatever came between.
            fresh = joined.times[turn] > self._state["times"][joined.rows[turn]]
            joined.late[turn[~fresh]] = True
            places = turn[fresh]
            if not len(places):
                continue
            answers, rarity[places] = self._round(joined, places, alerts)
            by_vital[0, places] = answers.surprise
            seen = ~np.isnan(answers.surprise)
            predicted = np.stack((answers.expected, answers.low, answers.high))
            by_vital[1:, places] = np.where(seen, predicted, np.nan)
        for source in sources:
            self._end_of_batch(joined, source, alerts)
        alerts.sort(key=lambda dated: (dated[0], dated[1].time, dated[1].patient))
        detections = []
        for source in sources:
            span = joined.spans[source.number]
            own = [alert for place, alert in alerts if span.start <= place < span.stop]
            surprise, expected, low, high = by_vital[:, span]
            detections.append(
                Detection(joined.late[span], rarity[span], surprise, expected, low, high, own)
            )
        return detections

    def _put(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        if snapshot.layout != self._state.layout:
            raise ValueError(f"rows of layout {snapshot.layout}, not of {self._state.layout}")
        self.drop(topic, partition)
        source = self._source(topic, partition)
        for name in snapshot.patients.texts():
            source.rows[name] = self._admit(_Patient(name, source))
        rows = _rows(source)
        self._state.put(rows, snapshot.rows)
        self._alarms.adopt(rows, source.number)
        self._streams[source.number] = snapshot.stream
        self._earliest[source.number] = NEVER

    def _source(self, topic: str, partition: int) -> _Source:
        key = (topic, partition)
        if key not in self._sources:
            self._sources[key] = _Source(self._opened, *key, {})
            self._opened += 1
        return self._sources[key]

    def _join(self, batch: Sequence[Readings], sources: Sequence[_Source]) -> _Batch:
        rows: list[int] = []
        spans, streams, numbers = {}, [], []
        for readings, source in zip(batch, sources, strict=True):
            begin = len(rows)
            held = source.rows
            for name in readings.patients.texts():
                row = held.get(name)
                if row is None:
                    row = held[name] = self._admit(_Patient(name, source))
                rows.append(row)
            spans[source.number] = slice(begin, len(rows))
            reached = self._streams.get(source.number, NEVER)
            stream = np.maximum(np.maximum.accumulate(readings.times), reached)
            if len(stream):
                self._streams[source.number] = int(stream[-1])
                # A clock that lags far behind the stream brings a deadline before all others.
                deadline = int(readings.times.min()) + self._gone_ms
                earliest = self._earliest.get(source.number, deadline)
                self._earliest[source.number] = min(earliest, deadline)
            streams.append(stream)
            numbers.append(np.full(len(stream), source.number))
        return _Batch(
            rows=np.array(rows, dtype=np.int64),
            times=np.concatenate([readings.times for readings in batch]),
            values=np.concatenate([readings.values for readings in batch]),
            offsets=np.concatenate([readings.offsets for readings in batch]),
            number=np.concatenate(numbers),
            stream=np.concatenate(streams),
            late=np.zeros(len(rows), dtype=np.bool_),
            spans=spans,
        )

    def _admit(self, patient: _Patient) -> int:
        row = self._state.take()
        self._patients[row] = patient
        return row

    def _discharge_who_returns(self, joined: _Batch, places: Ints, alerts: list[_Dated]) -> None:
        """Who was gone by the stream's time, within this batch, is a new patient now."""
        rows = joined.rows[places]
        last = self._state["times"][rows]
        gone = (last != NEVER) & (joined.stream[places] >= last + self._gone_ms)
        if gone.any():
            ended = self._alarms.discharge(rows[gone], last[gone] + self._gone_ms)
            self._state.clear(rows[gone])
            before = dict(zip(rows[gone].tolist(), places[gone].tolist(), strict=True))
            self._write(joined, ended, None, alerts, before)

    def _round(self, joined: _Batch, places: Ints, alerts: list[_Dated]) -> tuple[Answers, Floats]:
        """One reading each of distinct patients: judge, score, advance alarms, write alerts."""
        rows, times = joined.rows[places], joined.times[places]
        assessment = self._alarms.assess(
            rows, times, joined.values[places], joined.stream[places], joined.number[places]
        )
        scores = self._scorer.step(rows, times, assessment.clean, self._calibration)
        measured = ~np.isnan(assessment.clean).all(axis=1)
        transitions = self._alarms.advance(
            rows, times, assessment, np.where(measured, scores.rarity, np.float32(np.nan))
        )
        self._write(joined, transitions, _Round(places, assessment, scores), alerts)
        return scores.answers, scores.rarity

    def _end_of_batch(self, joined: _Batch, source: _Source, alerts: list[_Dated]) -> None:
        """Signals lost and patients discharged by now, by the partition's stream time."""
        stream = self._streams.get(source.number, NEVER)
        self._write(joined, self._alarms.stale(source.number, stream), None, alerts)
        if stream < self._earliest.get(source.number, stream):
            return
        rows = np.fromiter(source.rows.values(), np.int64, len(source.rows))
        deadlines = self._state["times"][rows] + self._gone_ms
        gone = deadlines <= stream
        self._earliest[source.number] = int(deadlines[~gone].min(initial=stream + self._gone_ms))
        if gone.any():
            ended = self._alarms.discharge(rows[gone], deadlines[gone])
            self._write(joined, ended, None, alerts)
            self._forget(rows[gone])

    def _write(
        self,
        joined: _Batch,
        transitions: Transitions,
        found: _Round | None,
        alerts: list[_Dated],
        before: Mapping[int, int] | None = None,
    ) -> None:
        """Put transitions into words, each with the reading that brought it.

        ``before``: by row, the place of a reading that the row's transitions lie before.
        """
        if not len(transitions):
            return
        places, patients, origins = [], [], []
        for reading, row, time, condition, event in zip(
            transitions.reading.tolist(),
            transitions.rows.tolist(),
            transitions.time.tolist(),
            transitions.condition.tolist(),
            transitions.event.tolist(),
            strict=True,
        ):
            name, source = self._patients[row]
            if found is not None and reading >= 0:
                place = int(found.places[reading])
                if condition == conditions.STALE and event == machine.RAISED:
                    place = joined.place(source.number, row, time, place)
            else:
                bound = None if before is None else before[row]
                place = joined.place(source.number, row, time, bound)
            places.append(place)
            patients.append(name)
            offset = int(joined.offsets[place])
            origins.append(Origin(source.topic, source.partition, offset))
        if found is None:
            written = self._alarms.alerts(transitions, patients, origins)
        else:
            explanation = Explanation(
                share=found.scores.share,
                cause=found.scores.cause,
                observed=found.scores.observed,
                expected=found.scores.usual,
                low=found.scores.usual_low,
                high=found.scores.usual_high,
                outside=found.scores.outside,
            )
            written = self._alarms.alerts(
                transitions, patients, origins, found.assessment, found.scores.rarity, explanation
            )
        alerts.extend(zip(places, written, strict=True))

    def _forget(self, rows: Ints) -> None:
        self._alarms.forget(rows)
        self._state.free(rows)
        for row in rows.tolist():
            name, source = self._patients.pop(row)
            del source.rows[name]
