"""Scoring and alarms for the partitions of a stream: readings in, scores and alert events out.

This is the whole detector without a broker. The daemon feeds it polled batches, ``vitalwatch
score`` feeds it files, evaluation feeds it simulated patients; all get the same output for the
same log, however the log is cut into batches.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from vitalwatch import adjustment, config, context, vitals
from vitalwatch.adjustment import Adjustment
from vitalwatch.alarms import Alarms, Explanation, Transitions, conditions, machine
from vitalwatch.alarms.technical import Assessment
from vitalwatch.arrays import Floats, Ints, Spans
from vitalwatch.clock import Clock, advance
from vitalwatch.compiled import compiled
from vitalwatch.departures import Departures
from vitalwatch.messages import Alert, Origin
from vitalwatch.model.checkpoint import Model
from vitalwatch.readings import Detection, Readings
from vitalwatch.register import Register
from vitalwatch.rounds import Plan, Planner
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.scoring.scorer import Scorer, Scores
from vitalwatch.snapshot import Snapshot
from vitalwatch.state import NEVER, Table

_Array = TypeVar("_Array", Ints, Floats)

_OF_THE_NETWORK: Final = ("network", "foretold", "foretold_at", "held", "risks", "cause")
"""State that another model cannot use: all else is of the patient."""


@dataclass(slots=True)
class _Source:
    """One partition: its number in here, name, time, rate, and who of it is to be discharged."""

    number: int
    topic: str
    partition: int
    clock: Clock
    adjustment: Adjustment
    departures: Departures


@dataclass(frozen=True, slots=True)
class _Batch:
    """All readings of one call, n, of which m count; where a partition's lie, by its number.

    ``offsets`` and ``stream`` (n,) are in log order; ``values`` (m, V), ``numbers`` (m,) of the
    partitions, and ``said``, what is said of patients (None: nothing), are in order of rounds.
    """

    spans: dict[int, slice]
    offsets: Ints
    stream: Ints
    plan: Plan
    values: Floats
    numbers: Ints
    said: context.Said | None

    def place(self, number: int, time: int, after: int, before: int | None = None) -> int:
        """Which reading brought a partition's stream to ``time``, for a patient.

        That is the first with such a stream time, but not before the patient's own last one
        (``after``), nor after the one ``before`` which something happened: a pure function of the
        log, however it is cut.
        """
        span = self.spans[number]
        first = int(span.start + np.searchsorted(self.stream[span], time))
        return max(first if before is None else min(first, before), after)


@dataclass(frozen=True, slots=True)
class _Round:
    """What was found at ``places`` (k,) of a batch."""

    places: Ints
    assessment: Assessment
    scores: Scores


class _Output:
    """What is said of n readings, in log order; alerts with their places, by partition number.

    By that number as well (P,): ``watched`` ms, ``counted`` alarms, and the ``factors`` by which
    rarities are divided.
    """

    def __init__(self, count: int, sources: Sequence[_Source]) -> None:
        self.rarity = np.full(count, np.nan, dtype=np.float32)
        self.by_vital = np.full((4, count, vitals.COUNT), np.nan, dtype=np.float32)
        self.alerts: dict[int, list[tuple[int, Alert]]] = {each.number: [] for each in sources}
        numbers = [each.number for each in sources]
        self.watched = np.zeros(max(numbers) + 1, dtype=np.int64)
        self.counted = np.zeros(max(numbers) + 1, dtype=np.int64)
        self.factors = np.ones(max(numbers) + 1, dtype=np.float32)
        self.factors[numbers] = [each.adjustment.factor for each in sources]

    def detection(self, source: _Source, joined: _Batch) -> Detection:
        """The part that is of one partition."""
        span = joined.spans[source.number]
        alerts = self.alerts[source.number]
        alerts.sort(key=lambda dated: (dated[0], dated[1].time, dated[1].patient))
        surprise, expected, low, high = self.by_vital[:, span]
        late, rarity = joined.plan.late[span], self.rarity[span]
        told = [alert for _, alert in alerts]
        watched, factor = int(self.watched[source.number]), float(self.factors[source.number])
        return Detection(late, rarity, surprise, expected, low, high, told, watched, factor)


class Detector:
    """All patients' state, and the one way to advance it; for one thread at a time."""

    def __init__(self, model: Model, settings: config.Alarms) -> None:
        self._model = model.fingerprint
        self._state = Table()
        self._scorer = Scorer(self._state, model)
        self._calibration = Calibration.of(model.calibration)
        self._alarms = Alarms(self._state, settings, model.fingerprint)
        self._state.declare(adjustment.FIELDS)
        self._adjusts = settings.adjust
        self._budget = settings.budget
        self._gone_ms = round(settings.discharge_hours * 3_600_000)
        self._planner = Planner(self._gone_ms)
        self._register = Register()
        self._sources: dict[tuple[str, int], _Source] = {}
        self._by_number: dict[int, _Source] = {}
        self._opened = 0

    @property
    def patients(self) -> int:
        """Patients whose state is held."""
        return self._register.count

    @property
    def in_alarm(self) -> int:
        """Patients with a physiological alarm."""
        return self._alarms.in_alarm()

    @property
    def layout(self) -> str:
        """What stands for the form of a snapshot's rows: only such as have it can be restored."""
        return self._state.layout

    @property
    def row_bytes(self) -> int:
        """Bytes of state a patient, alarms included."""
        return self._state.row_bytes

    def stream_time(self, topic: str, partition: int) -> int | None:
        """How far the patients of a partition have got, ms since 1970; None where none has yet."""
        source = self._sources.get((topic, partition))
        return None if source is None or source.clock.time == NEVER else source.clock.time

    def drop(self, topic: str, partition: int) -> None:
        """Forget a partition and its patients: it is another worker's now."""
        source = self._sources.pop((topic, partition), None)
        if source is not None:
            del self._by_number[source.number]
            rows = self._register.close(source.number)
            self._alarms.forget(rows)
            self._alarms.close(source.number)
            self._state.free(rows)

    def snapshot(self, topic: str, partition: int) -> Snapshot:
        """The state of a partition as it is now, between two batches."""
        source = self._source(topic, partition)
        rows = self._register.of(source.number)
        return Snapshot(
            self._model,
            self._state.layout,
            source.clock,
            source.adjustment,
            self._register.names(rows),
            self._state.copy(rows),
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
        alone is forgotten. What the other model's alarms said of its rate says nothing of this
        one's: the adjustment begins anew. Raises ValueError for a snapshot of another layout.
        """
        self._check(snapshot)
        held = self._register.rows(self._source(topic, partition).number, snapshot.patients)
        unknown = self._state.take()
        held[held < 0] = unknown
        own = {name: self._state[name][held] for name in _OF_THE_NETWORK}
        self._state.free(np.array([unknown]))
        rows = self._put(topic, partition, snapshot)
        for name, content in own.items():
            self._state[name][rows] = content
        self._source(topic, partition).adjustment = Adjustment()

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions (at most one entry a partition)."""
        parts = [self._steps(readings) for readings in batch]
        found: list[list[Detection]] = [[] for _ in batch]
        for turn in range(max(map(len, parts), default=0)):
            present = [place for place, cut in enumerate(parts) if turn < len(cut)]
            detections = self._process([parts[place][turn] for place in present])
            for place, detection in zip(present, detections, strict=True):
                found[place].append(detection)
        return [Detection.joined(each) for each in found]

    def _steps(self, readings: Readings) -> list[Readings]:
        """Readings cut where the stream's time enters another step of the adjustment."""
        if not self._adjusts:
            return [readings]
        source = self._source(readings.topic, readings.partition)
        _, stream = advance(source.clock, readings.times, readings.patients)
        edges = adjustment.edges(stream)
        if len(edges) == 2:
            return [readings]
        return [readings.part(*each) for each in itertools.pairwise(edges)]

    def _process(self, batch: Sequence[Readings]) -> list[Detection]:
        """The same for readings that are each of one step."""
        sources = [self._source(readings.topic, readings.partition) for readings in batch]
        joined = self._join(batch, sources)
        output = _Output(len(joined.offsets), sources)
        returned = bool(joined.plan.back.any())
        for begin, end in itertools.pairwise(joined.plan.edges):
            span = slice(begin, end)
            if returned:
                self._discharge_who_returns(joined, span, output)
            self._round(joined, span, output)
        for source, readings in zip(sources, batch, strict=True):
            # Without a reading time stands still, and what is due (under settings that are newer
            # than the state) waits for the one that it can be said of.
            if len(readings.times):
                self._end_of_batch(joined, source, output)
            if self._adjusts:
                counts = output.watched[source.number], output.counted[source.number]
                source.adjustment = source.adjustment.having(*map(int, counts))
        return [output.detection(source, joined) for source in sources]

    def _check(self, snapshot: Snapshot) -> None:
        if snapshot.layout != self._state.layout:
            raise ValueError(f"rows of layout {snapshot.layout}, not of {self._state.layout}")

    def _put(self, topic: str, partition: int, snapshot: Snapshot) -> Ints:
        """Replace a partition's state; the rows (n,) of the snapshot's patients."""
        self._check(snapshot)
        self.drop(topic, partition)
        source = self._source(topic, partition)
        rows = self._enter(source, snapshot.patients)
        self._state.put(rows, snapshot.rows)
        self._alarms.adopt(rows, source.number)
        source.clock, source.adjustment = snapshot.clock, snapshot.adjustment
        source.departures.expect(rows, self._state["times"][rows])
        return rows

    def _source(self, topic: str, partition: int) -> _Source:
        key = (topic, partition)
        if key not in self._sources:
            departures = Departures(self._gone_ms)
            source = _Source(self._opened, *key, Clock(), Adjustment(), departures)
            self._sources[key] = self._by_number[self._opened] = source
            self._opened += 1
        return self._sources[key]

    def _enter(self, source: _Source, patients: Spans) -> Ints:
        """Blank rows for new patients (n)."""
        rows = np.array([self._state.take() for _ in range(len(patients))], dtype=np.int64)
        self._register.enter(source.number, patients, rows)
        return rows

    def _join(self, batch: Sequence[Readings], sources: Sequence[_Source]) -> _Batch:
        spans, streams, rows = {}, [], []
        begin = 0
        for readings, source in zip(batch, sources, strict=True):
            source.clock, stream = advance(source.clock, readings.times, readings.patients)
            if self._adjusts and len(stream):
                step = int(stream[0]) // adjustment.STEP_MS
                source.adjustment = source.adjustment.reached(step, self._budget)
            streams.append(stream)
            rows.append(self._rows(source, readings, stream))
            spans[source.number] = slice(begin, begin + len(stream))
            begin += len(stream)
        times, stream = _joined([readings.times for readings in batch]), _joined(streams)
        plan = self._planner.plan(_joined(rows), times, stream, self._state["times"])
        numbers = [
            np.full(len(each), source.number) for each, source in zip(rows, sources, strict=True)
        ]
        begins = [spans[source.number].start for source in sources]
        contexts = [readings.context for readings in batch]
        return _Batch(
            spans=spans,
            offsets=_joined([readings.offsets for readings in batch]),
            stream=stream,
            plan=plan,
            values=_joined([readings.values for readings in batch])[plan.places],
            numbers=_joined(numbers)[plan.places],
            said=context.in_order(contexts, begins, plan.places),
        )

    def _rows(self, source: _Source, readings: Readings, stream: Ints) -> Ints:
        """The rows of a partition's readings (n,); new patients get one, unless they are gone."""
        rows = self._register.rows(source.number, readings.patients)
        if rows.min(initial=0) < 0:
            new = np.flatnonzero((rows < 0) & (readings.times + self._gone_ms > stream))
            names = Spans.of(dict.fromkeys(readings.patients.at(new)))
            fresh = self._enter(source, names)
            earliest = readings.times[new].min(initial=-NEVER)
            source.departures.expect(fresh, np.full(len(fresh), earliest))
            rows[new] = self._register.rows(source.number, readings.patients.at(new))
        return rows

    def _discharge_who_returns(self, joined: _Batch, span: slice, output: _Output) -> None:
        """Who was gone before his reading of this round is a new patient now."""
        places = joined.plan.places[span]
        back = joined.plan.back[places]
        if back.any():
            rows, places = joined.plan.rows[span][back], places[back]
            ended = self._alarms.discharge(rows, self._state["times"][rows] + self._gone_ms)
            self._state.clear(rows)
            before = dict(zip(rows.tolist(), places.tolist(), strict=True))
            self._write(joined, ended, output, before=before)

    def _round(self, joined: _Batch, span: slice, output: _Output) -> None:
        """One reading each of distinct patients: judge, score, advance alarms, write alerts."""
        plan = joined.plan
        places, rows, times = plan.places[span], plan.rows[span], plan.times[span]
        assessment = self._alarms.assess(
            rows, times, joined.values[span], plan.reached[span], joined.numbers[span]
        )
        if joined.said is not None:
            joined.said.hold(span, rows, self._state["context"])
        numbers = joined.numbers[span]
        adjustment.watch(rows, times, self._state["times"], numbers, output.watched)
        scores = self._scorer.step(rows, times, assessment.clean, self._calibration)
        if self._adjusts:
            scores = replace(scores, rarity=scores.rarity / output.factors[numbers])
        answers = scores.answers
        rarity = np.empty(len(rows), dtype=np.float32)
        _say(
            places, assessment.clean, scores.rarity,
            answers.surprise, answers.expected, answers.low, answers.high,
            output.rarity, output.by_vital, rarity,
        )  # fmt: skip
        # What drives it is an artefact at this very reading: that says nothing, this way or that.
        rarity[assessment.artefact[np.arange(len(rows)), scores.top]] = np.nan
        transitions = self._alarms.advance(rows, times, assessment, rarity)
        if len(transitions):
            self._count(transitions, numbers, output)
            self._write(joined, transitions, output, _Round(places, assessment, scores))

    def _count(self, transitions: Transitions, numbers: Ints, output: _Output) -> None:
        """Count the deteriorations that a round's readings, of partitions ``numbers``, raised."""
        new = np.isin(transitions.event, (machine.RAISED, machine.UPDATED))
        new &= transitions.condition == conditions.DETERIORATION
        if new.any():
            rows, times = transitions.rows[new], transitions.time[new]
            counting = adjustment.count(self._state, rows, times, self._budget)
            np.add.at(output.counted, numbers[transitions.reading[new][counting]], 1)

    def _end_of_batch(self, joined: _Batch, source: _Source, output: _Output) -> None:
        """Signals lost and patients discharged by now, by the partition's stream time."""
        stream, times = source.clock.time, self._state["times"]
        gone = source.departures.due(stream, times)
        if len(gone):  # first, for nobody's signal is lost who is gone already
            ended = self._alarms.discharge(gone, times[gone] + self._gone_ms)
            self._write(joined, ended, output)
            self._alarms.forget(gone)
            self._register.leave(gone)
            self._state.free(gone)
        self._write(joined, self._alarms.stale(source.number, stream), output)

    def _write(
        self,
        joined: _Batch,
        transitions: Transitions,
        output: _Output,
        found: _Round | None = None,
        before: Mapping[int, int] | None = None,
    ) -> None:
        """Put transitions into words, each with the reading that brought it.

        ``found`` is what their readings showed. ``before``, where they have none: by row, the
        place of the reading that the row's transitions lie before.
        """
        if not len(transitions):
            return
        previous = joined.plan.previous
        places, patients, origins, sources = [], [], [], []
        for reading, row, time, condition, event in zip(
            transitions.reading.tolist(),
            transitions.rows.tolist(),
            transitions.time.tolist(),
            transitions.condition.tolist(),
            transitions.event.tolist(),
            strict=True,
        ):
            source = self._by_number[self._register.partition(row)]
            if found is not None and reading >= 0:
                place = int(found.places[reading])
                if condition == conditions.STALE and event == machine.RAISED:
                    place = joined.place(source.number, time, int(previous[place]), place)
            elif before is not None:
                place = before[row]
                place = joined.place(source.number, time, int(previous[place]), place)
            else:
                place = joined.place(source.number, time, self._planner.latest(row))
            places.append(place)
            patients.append(self._register.name(row))
            origins.append(Origin(source.topic, source.partition, int(joined.offsets[place])))
            sources.append(source.number)
        if found is None:
            written = self._alarms.alerts(transitions, patients, origins)
        else:
            told = transitions.reading[transitions.reading >= 0]
            why = self._scorer.explain(found.scores, told)
            explanation = Explanation(
                share=why.share,
                cause=why.cause,
                observed=why.observed,
                expected=why.usual,
                low=why.low,
                high=why.high,
                outside=why.outside,
            )
            written = self._alarms.alerts(
                transitions, patients, origins, found.assessment, found.scores.rarity, explanation
            )
        for number, place, alert in zip(sources, places, written, strict=True):
            output.alerts[number].append((place, alert))


def _joined(parts: Sequence[_Array]) -> _Array:
    """Columns of several partitions as one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@compiled
def _say(
    places: Ints,
    clean: Floats,
    scored: Floats,
    surprise: Floats,
    expected: Floats,
    low: Floats,
    high: Floats,
    rarity: Floats,
    by_vital: Floats,
    measured: Floats,
) -> None:
    """Put what a round's readings (k) show to their places; ``measured`` rarity where any did."""
    blank = np.float32(np.nan)
    for i in range(len(places)):
        place, measures = places[i], False
        for vital in range(clean.shape[1]):
            measures |= not np.isnan(clean[i, vital])
            nats = surprise[i, vital]
            by_vital[0, place, vital] = nats
            by_vital[1, place, vital] = blank if np.isnan(nats) else expected[i, vital]
            by_vital[2, place, vital] = blank if np.isnan(nats) else low[i, vital]
            by_vital[3, place, vital] = blank if np.isnan(nats) else high[i, vital]
        rarity[place] = scored[i]
        measured[i] = scored[i] if measures else blank
