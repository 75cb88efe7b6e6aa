"""The room's one entry: from a round of readings to what happened to alarms, and to alerts."""

from collections.abc import Sequence

import numpy as np

from vitalwatch import config
from vitalwatch.alarms import limits, wording
from vitalwatch.alarms.conditions import STALE
from vitalwatch.alarms.explain import Explanation
from vitalwatch.alarms.machine import NOTHING, Machine, Transitions
from vitalwatch.alarms.technical import Assessment, Watch
from vitalwatch.arrays import Floats, Ints
from vitalwatch.messages import Alert, Origin
from vitalwatch.state import Field, Table


class Alarms:
    """Alarm state of all patients, by the row that the caller gives each.

    A round of readings goes first through :meth:`assess`, is scored, and then goes through
    :meth:`advance`; when a batch of a partition is through, :meth:`stale` follows. All return
    :class:`Transitions`, of which :meth:`alerts` makes messages.
    """

    def __init__(self, table: Table, settings: config.Alarms, model: str) -> None:
        """``model`` is the fingerprint that alerts carry."""
        self._model = model
        self._level_days = 1 / settings.budget
        self._watch = Watch(table, round(settings.stale_seconds * 1000))
        self._machine = Machine(table)
        self._state = table
        table.declare({"dipped": Field(np.bool_, 0, False)})

    def in_alarm(self) -> int:
        """Number of patients with a physiological condition in alarm."""
        return self._machine.in_alarm()

    def adopt(self, rows: Ints, partition: int) -> None:
        """Take up patients (n,) whose blank rows were just overwritten with a snapshot's.

        ``partition`` is the number that their readings will have from now on.
        """
        self._watch.staleness.adopt(rows, partition)
        self._machine.adopt(rows)

    def forget(self, rows: Ints) -> None:
        """Let go of patients (n,): to be called before their rows are freed or overwritten."""
        self._machine.forget(rows)
        self._watch.staleness.forget(rows)

    def close(self, partition: int) -> None:
        """Let go of a partition, all of whose patients are forgotten."""
        self._watch.staleness.close(partition)

    def assess(
        self, rows: Ints, times: Ints, values: Floats, stream: Ints, partition: Ints
    ) -> Assessment:
        """What one reading of each of n distinct patients is worth; remembers it.

        ``times`` (n,) ms, after each patient's last; ``values`` (n, V) as received, NaN where not
        measured; ``partition`` (n,) the number of each reading's partition, and ``stream`` (n,)
        that partition's stream time at this reading, or the reading's own time if that is later.
        """
        return self._watch.assess(rows, times, values, stream, partition)

    def advance(
        self, rows: Ints, times: Ints, assessment: Assessment, rarity: Floats
    ) -> Transitions:
        """Advance all conditions by the readings that were just assessed.

        ``rarity`` (n,) patient-days, NaN where the network had nothing to score. Levels of the
        physiological conditions are filled in to the assessment. A signal that was lost before a
        reading is raised first, at its deadline.
        """
        limits.judge(
            assessment.clean,
            assessment.artefact,
            rarity,
            self._level_days,
            rows,
            self._state["dipped"],
            assessment.level,
            assessment.clear,
        )
        if not assessment.stale.any():
            return self._machine.step(rows, times, assessment.level, assessment.clear)
        lost = np.flatnonzero(assessment.stale)
        lost = lost[~self._machine.active(rows[lost], STALE)]
        before = self._machine.hold(rows[lost], assessment.deadline[lost], STALE).pointing(lost)
        later = self._machine.step(rows, times, assessment.level, assessment.clear)
        return before.joined(later)

    def stale(self, partition: int, stream: int) -> Transitions:
        """Signals of a partition that are lost now that its stream time is ``stream`` ms.

        For the end of a batch, after its readings. The events have no reading (reading -1); each
        belongs to the first record of the batch that brought the stream to the event's time.
        """
        rows, deadlines = self._watch.staleness.due(partition, stream)
        if not len(rows):
            return NOTHING
        new = ~self._machine.active(rows, STALE)
        return self._lost(rows[new], deadlines[new])

    def discharge(self, rows: Ints, times: Ints) -> Transitions:
        """Clear all alarms of patients (n,) who are gone at ``times`` (n,) ms.

        A signal that was lost before, but not yet said to be, is raised first.
        """
        deadlines = self._watch.staleness.deadlines(rows)
        lost = (deadlines <= times) & ~self._machine.active(rows, STALE)
        before = self._lost(rows[lost], deadlines[lost])
        return before.joined(self._machine.end(rows, times))

    def alerts(
        self,
        transitions: Transitions,
        patients: Sequence[str],
        origins: Sequence[Origin],
        assessment: Assessment | None = None,
        rarity: Floats | None = None,
        explanation: Explanation | None = None,
    ) -> list[Alert]:
        """The messages for k transitions, in their order.

        ``patients`` and ``origins`` k each; the rest is of the n readings that the transitions
        point into, and may be left out where no transition has a reading.
        """
        context = wording.Context(assessment, rarity, explanation)
        events = transitions.events()
        return [
            wording.alert(event, patient, origin, self._model, context)
            for event, patient, origin in zip(events, patients, origins, strict=True)
        ]

    def _lost(self, rows: Ints, deadlines: Ints) -> Transitions:
        """Signals that are lost without a reading."""
        raised = self._machine.hold(rows, deadlines, STALE)
        return raised.pointing(np.full(len(rows), -1))
