"""Which patient's which reading of a recording is to be explained, and the way there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from vitalwatch.context import Context
from vitalwatch.errors import UsageError
from vitalwatch.explanation.course import Course
from vitalwatch.messages import Alert, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitalwatch.readings import Detection, Readings
    from vitalwatch.recordings.recording import Recording, Stream
    from vitalwatch.recordings.rows import Rows

_NAMED: Final = 8
"""So many patients are named where one has to be chosen."""


class Detector(Protocol):
    """What this needs of :class:`vitalwatch.detector.Detector`."""

    def process(self, batch: "Sequence[Readings]") -> "list[Detection]":
        """Advance by the readings of some partitions."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: a patient, a time in ms or an alert's identity (or how it begins)."""

    patient: str | None = None
    time: int | None = None
    alert: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """``course`` of the patient, which ends with the reading that is to be explained.

    ``why`` it was chosen, and the ``alert`` event that belongs to it, if any.
    """

    patient: str
    course: Course
    why: str
    alert: Alert | None


@dataclass(slots=True)
class _Seen:
    """What came up in a replay: the rarest reading, and alerts, of the patients looked at."""

    rarest: float = -1.0
    patient: int = -1
    time: int = 0
    alerts: list[Alert] = field(default_factory=list)


def find(
    recording: "Recording",
    detector: Callable[[], Detector],
    wish: Wish,
    bar: Callable[[str, float], Callable[[float], None]],
) -> Moment:
    """Replay a recording and find what is asked for.

    Without a time or an alert it is the first alert of a deterioration, or if there is none the
    reading with the highest score. ``bar`` shows what is being done. Raises UsageError if what is
    asked for is not in the recording.
    """
    seen = _Seen()
    with recording.stream(bar(f"reading {recording.name}", recording.size)) as stream:
        only = _chosen(stream, recording, wish)
        names = stream.names
        if wish.time is None:
            replaying, done = bar(f"replaying {recording.name}", stream.count), 0
            process = detector()
            for rows in stream.parts:
                # All patients, as when the recording is scored: together they have one budget.
                readings = stream.readings(rows, recording.name, done)
                _note(rows, process.process([readings])[0], only, names, seen)
                done += len(rows)
                replaying(done)
    patient, time, why, alert = _decide(seen, names, only, wish, recording.name)
    course = _collect(recording, names.index(patient), time)
    if not course.seen.any():
        raise UsageError(f"By then no vital sign of {patient} was measured: name a later --time.")
    return Moment(patient, course, why, alert)


def _chosen(stream: "Stream", recording: "Recording", wish: Wish) -> int | None:
    """Index of the patient who was asked for, or of the only one; None for any."""
    names = stream.names
    several = f"{recording.name} holds {len(names)} patients: {_listed(names)}."
    if wish.patient is not None:
        if wish.patient not in names:
            raise UsageError(f"There is no patient {wish.patient!r}. {several}")
        return names.index(wish.patient)
    if len(names) == 1:
        return 0
    if wish.time is not None:
        raise UsageError(f"{several} Name one with --patient.")
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _note(
    rows: "Rows", detection: "Detection", only: int | None, names: list[str], seen: _Seen
) -> None:
    seen.alerts += [
        alert
        for alert in detection.alerts
        if alert.event in ("raised", "escalated") and only in (None, names.index(alert.patient))
    ]
    looked_at = np.isfinite(detection.rarity)
    if only is not None:
        looked_at &= rows["patient"] == only
    rarity = np.where(looked_at, detection.rarity, np.float32(-1))
    most = int(rarity.argmax())
    if rarity[most] > seen.rarest:
        seen.rarest = float(rarity[most])
        seen.patient, seen.time = int(rows["patient"][most]), int(rows["time"][most])


def _decide(
    seen: _Seen, names: list[str], only: int | None, wish: Wish, recording: str
) -> tuple[str, int, str, Alert | None]:
    """Patient, time, why, and the alert that belongs to it."""
    if wish.alert is not None:
        found = [alert for alert in seen.alerts if alert.alert_id.startswith(wish.alert)]
        if not found:
            raise UsageError(
                f"No alert {wish.alert} is raised in {recording} ({len(seen.alerts)} others are). "
                "`vitalwatch score` lists them in alerts.jsonl; an alert of other settings, or of "
                "another model, may not come up here."
            )
        if len({alert.alert_id for alert in found}) > 1:
            raise UsageError(f"Several alerts begin with {wish.alert}: give more of it.")
        return found[0].patient, found[0].time, "the alert that was asked for", found[0]
    if wish.time is not None:
        assert only is not None  # noqa: S101 - a time asks for a patient
        return names[only], wish.time, "the time that was asked for", None
    raised = [alert for alert in seen.alerts if alert.condition == "deterioration"]
    if raised:
        return raised[0].patient, raised[0].time, "the first alert of a deterioration", raised[0]
    if seen.patient < 0:
        raise UsageError(f"No reading of {recording} has a score: no vital sign was measured.")
    why = "no deterioration was alerted; this is where the score was highest"
    return names[seen.patient], seen.time, why, None


def _collect(recording: "Recording", patient: int, time: int) -> Course:
    """The patient's course up to a time."""
    with recording.stream() as stream:
        parts = [part[part["patient"] == patient] for part in stream.parts]
    rows = np.concatenate(parts)
    first, last = int(rows["time"][0]), int(rows["time"][-1])
    if not first <= time <= last:
        raise UsageError(
            f"At {rfc3339(time)} there is no reading: the patient's go from {rfc3339(first)} to "
            f"{rfc3339(last)}."
        )
    rows = rows[rows["time"] <= time]
    speakers = np.flatnonzero(~np.isnan(rows["context"]).all(axis=1))
    said = Context(speakers, rows["context"][speakers]) if len(speakers) else None
    return Course.of(rows["time"].copy(), rows["values"].astype(np.float32), said)
