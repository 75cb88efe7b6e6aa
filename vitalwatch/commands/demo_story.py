"""The demo's cast: a simulated ward on which one patient, known to nobody, deteriorates."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from simulator.publish import Introductions, readings
from simulator.ward import Ward
from vitalwatch.alarms.wording import span
from vitalwatch.commands.ward_view import clock as time_of_day
from vitalwatch.messages import Alert, Reading, Truth, epoch_ms
from vitalwatch.stream.broker import Publisher
from vitalwatch.vitals import INDEX, VITALS

INTERVAL: Final = 5.0
"""Seconds between a patient's readings."""

MINUTE: Final = 60_000

HISTORY_SECONDS: Final = 60 * 60.0
"""The first hour goes by at once: from it the network gets to know its patients."""

ONSET_SECONDS: Final = HISTORY_SECONDS + 10 * 60

CRITICAL_MINUTES: Final = (20, 45)
"""A story's length: from onset to the first critical vital sign."""

AFTER_MINUTES: Final = 5
"""The story goes on for so long after that."""

NOTHING: Final = "The demo ended before anything happened."

SCENARIOS: Final = ("haemorrhage", "opioid_respiratory_depression", "desaturation", "pneumothorax")


class Cast(NamedTuple):
    """Patients' readings by frame, and what happens to the one who deteriorates.

    ``beds`` gives each patient a bed; ``end`` is when the story is over, in ms.
    """

    wards: Sequence[Ward]
    beds: dict[str, str]
    truth: Truth
    start: int
    end: int

    def frames(self) -> Iterator[list[Reading]]:
        """One reading of every patient, again and again, in order of time."""
        introduced = [(ward, Introductions(ward)) for ward in self.wards]
        while True:
            frame = [reading for each in introduced for reading in self._step(*each)]
            yield sorted(frame, key=lambda reading: epoch_ms(reading.time))

    def _step(self, ward: Ward, introductions: Introductions) -> Iterator[Reading]:
        for reading in introductions.add(readings(ward.patients, *ward.step())):
            yield msgspec.structs.replace(reading, ward="demo", bed=self.beds[reading.patient])


def cast(patients: int, seed: int) -> Cast:
    """``patients`` patients, one of whom becomes critical within the time of a demo.

    Of the courses that the seed gives, the first is taken that becomes critical in
    :data:`CRITICAL_MINUTES`; whether VitalWatch catches it plays no part in the choice.
    """
    rng = np.random.default_rng(seed)
    for chosen in rng.integers(1_000_000, 1_000_000_000, 1000).tolist():
        ward = _sick(chosen)
        ward.read(round((ONSET_SECONDS + 60 * CRITICAL_MINUTES[1]) / INTERVAL))
        truth = ward.truth[0]
        if truth.critical is None:
            continue
        minutes = (truth.critical - truth.onset) / MINUTE
        if CRITICAL_MINUTES[0] <= minutes <= CRITICAL_MINUTES[1]:
            break
    else:
        raise AssertionError("no course of a thousand becomes critical in time")
    wards = [_sick(chosen)]
    if patients > 1:
        wards.append(Ward(patients - 1, seed, INTERVAL, scenarios=None))
    names = [name for ward in wards for name in ward.patients]
    beds = (rng.permutation(patients) + 1).tolist()
    return Cast(
        wards,
        dict(zip(names, map(str, beds), strict=True)),
        truth,
        ward.start_ms,
        truth.critical + AFTER_MINUTES * MINUTE,
    )


def _sick(seed: int) -> Ward:
    onset = (ONSET_SECONDS, ONSET_SECONDS)
    return Ward(1, seed, INTERVAL, scenarios=SCENARIOS, share=1.0, onset=onset)


def play(
    cast: Cast,
    publisher: Publisher,
    topic: str,
    speed: float,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Publish the story until its end or ``stop``: the history at once, then at ``speed``."""
    encode = msgspec.json.Encoder().encode
    begin = clock()
    for number, frame in enumerate(cast.frames()):
        due = begin + max(0.0, number * INTERVAL - HISTORY_SECONDS) / speed
        if stop.wait(max(0.0, due - clock())):
            return
        for reading in frame:
            key, value = reading.patient.encode(), encode(reading)
            publisher.send(topic, key, value, timestamp=epoch_ms(reading.time))
        publisher.flush()
        if cast.start + number * INTERVAL * 1000 >= cast.end:
            return


def told(cast: Cast, alerts: Sequence[Alert], now: int) -> list[str]:
    """What the people who watch are told while the story goes on; VitalWatch is not."""
    event, vital, onset, critical = _course(cast)
    if now < onset:
        return ["One patient will deteriorate. VitalWatch does not know who, when or how."]
    lines = [f"Not known to VitalWatch: {event} since {time_of_day(onset)}"]
    if now < critical:
        lines[0] += f"; {vital} becomes critical in {span(critical - now)}."
    else:
        lines[0] += f"; {vital} has been critical since {time_of_day(critical)}."
    first = _caught(cast.truth, alerts)
    lines.append(f"Caught {_lead(first, critical)}." if first else "Not caught so far.")
    return lines


def verdict(cast: Cast, alerts: Sequence[Alert], now: int) -> list[str]:
    """What happened up to ``now`` and when VitalWatch said so, in sentences."""
    event, vital, onset, critical = _course(cast)
    if now < onset:
        return [NOTHING]
    became = "became" if now >= critical else "would have become"
    said = [
        f"{event[0].upper()}{event[1:]} began at {time_of_day(onset)}; "
        f"{vital} {became} critical at {time_of_day(critical)}."
    ]
    first = _caught(cast.truth, alerts)
    if first is None:
        said.append(f"VitalWatch had not caught it by {time_of_day(now)}.")
    else:
        lead, moment = _lead(first, critical), time_of_day(first.time)
        said.append(f"VitalWatch caught it at {moment}, {lead}: {first.sentence}.")
    return said


def _course(cast: Cast) -> tuple[str, str, int, int]:
    """What happens in words, which vital sign becomes critical, onset and critical time in ms."""
    truth = cast.truth
    event = f"{truth.event.replace('_', ' ')} of bed {cast.beds[truth.patient]}"
    vital = VITALS[INDEX[truth.vital]].label if truth.vital else ""
    return event, vital, truth.onset, truth.critical or 0  # it was chosen to become critical


def _lead(alert: Alert, critical: int) -> str:
    when = "before" if alert.time <= critical else "after"
    return f"{span(abs(critical - alert.time))} {when} critical"


def _caught(truth: Truth, alerts: Sequence[Alert]) -> Alert | None:
    """The first physiological alert raised for the patient since the onset."""
    for alert in alerts:
        if (
            alert.patient == truth.patient
            and alert.kind == "physiological"
            and alert.event == "raised"
            and alert.time >= truth.onset
        ):
            return alert
    return None
