"""Alerts as messages: their identity, what drove them, and one sentence for a person."""

import hashlib
import math
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms import limits
from vitalwatch.alarms.conditions import CONDITIONS, Condition
from vitalwatch.alarms.explain import DANGEROUS, HEADING, SUDDEN, Explanation
from vitalwatch.alarms.machine import CLEARED, ESCALATED, RAISED, UPDATED, Event
from vitalwatch.alarms.technical import Assessment
from vitalwatch.arrays import Floats
from vitalwatch.messages import PRIORITIES, Alert, Driver, Origin
from vitalwatch.messages import Event as Word

WORDS: Final[dict[int, Word]] = {
    RAISED: "raised",
    ESCALATED: "escalated",
    CLEARED: "cleared",
    UPDATED: "updated",
}

SMALLEST_SHARE: Final = 0.05
"""A vital with less of the whole is not named among the drivers."""

SPOKEN_DRIVERS: Final = 3
"""So many drivers are named in the sentence."""

_CAUSE: Final = {
    "sbp": "line flushed, damped or being zeroed",
    "dbp": "line flushed, damped or being zeroed",
    "map": "line flushed, damped or being zeroed",
    "temp": "probe not in place",
}
_CHECK: Final = {
    "hr": "the electrodes",
    "spo2": "the probe",
    "rr": "the sensor",
    "sbp": "the line or cuff",
    "dbp": "the line or cuff",
    "map": "the line or cuff",
    "temp": "the probe",
    "etco2": "the sampling line",
}


class Context(NamedTuple):
    """What is known of the readings that transitions point into, each for n readings."""

    assessment: Assessment | None
    rarity: Floats | None
    explanation: Explanation | None


def alert_id(patient: str, condition: str, raised: int) -> str:
    """32 hexadecimal digits that stand for one alarm, from when it was raised (ms).

    A rerun of the same readings, or a replay of them elsewhere, gives the same.
    """
    name = f"{len(patient)}:{patient}:{condition}:{raised}".encode()
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def alert(event: Event, patient: str, origin: Origin, model: str, context: Context) -> Alert:
    """One event as the message that is published."""
    condition = CONDITIONS[event.condition]
    physiological = condition.kind == "physiological"
    named = _named(event, condition, context)
    return Alert(
        alert_id=alert_id(patient, condition.name, event.raised),
        patient=patient,
        event=WORDS[event.event],
        kind=condition.kind,
        condition=condition.name,
        priority=PRIORITIES[event.priority - 1],
        time=event.time,
        onset=event.onset,
        rarity=_number(context.rarity, event.reading) if physiological else None,
        drivers=named,
        sentence=_sentence(event, condition, named, context),
        origin=origin,
        model=model,
    )


def _number(values: Floats | None, *place: int) -> float | None:
    """One value, or None where there is none; event.reading is -1 where there is no reading."""
    if values is None or place[0] < 0:
        return None
    value = float(values[place])
    return value if math.isfinite(value) else None


def in_steps(value: float | None, vital: int) -> float | None:
    """Rounded to the device's resolution."""
    if value is None:
        return None
    return round(value, 0 if vitals.VITALS[vital].resolution >= 1 else 1)


def _driver(
    share: float, vital: int, observed: float | None, reading: int, explanation: Explanation | None
) -> Driver:
    expected = low = high = None
    if explanation is not None:
        expected = _number(explanation.expected, reading, vital)
        low = _number(explanation.low, reading, vital)
        high = _number(explanation.high, reading, vital)
    return Driver(
        vital=vitals.NAMES[vital],
        share=round(share, 3),
        observed=in_steps(observed, vital),
        expected=in_steps(expected, vital),
        low=in_steps(low, vital),
        high=in_steps(high, vital),
    )


def _named(event: Event, condition: Condition, context: Context) -> list[Driver]:
    """The vital of the condition; for a deterioration those that make it up, most first."""
    reading, explanation = event.reading, context.explanation
    if reading < 0:
        return []
    if condition.vital is not None:
        raw = context.assessment.raw if context.assessment else None
        observed = _number(raw, reading, condition.vital)
        return [_driver(1.0, condition.vital, observed, reading, explanation)]
    if condition.rule != "deterioration" or explanation is None:
        return []
    return drivers(explanation, reading)


def drivers(explanation: Explanation, reading: int) -> list[Driver]:
    """The vitals that make up a deterioration, most first."""
    share = explanation.share[reading]
    return [
        _driver(
            float(share[vital]),
            vital,
            _number(explanation.observed, reading, vital),
            reading,
            explanation,
        )
        for vital in np.argsort(-share, kind="stable").tolist()
        if share[vital] >= SMALLEST_SHARE
    ]


def _sentence(event: Event, condition: Condition, named: list[Driver], context: Context) -> str:
    lasted = span(event.time - event.onset)
    vital = condition.vital
    if event.event == CLEARED:
        return f"{_ended(event, condition, named)}, after {lasted}"
    if condition.rule == "deterioration":
        return deterioration(named, context.explanation, event.reading)
    if condition.rule == "no_heartbeat":
        return f"No heartbeat signal for {lasted}: asystole, or electrodes off"
    if condition.rule == "no_breathing":
        return f"No breathing signal for {lasted}: apnoea, or sensor off"
    if vital is None:
        return "No readings: device off, or connection lost"
    name, label = vitals.VITALS[vital].name, vitals.VITALS[vital].label
    if condition.rule == "no_signal":
        silence = _number(
            context.assessment.silence if context.assessment else None, event.reading, vital
        )
        lasted = span(silence or 0)
        return f"{label}: no signal for {lasted}: check {_CHECK[name]}"
    observed = named[0].observed
    if condition.rule == "implausible":
        return f"{label} {_shown(observed, vital)} is not plausible: {_CAUSE.get(name, 'artefact')}"
    end = limits.limit(vital, condition.rule, event.priority)
    return f"{label} {_shown(observed, vital)} (limit {end:g}), {condition.rule} for {lasted}"


def _ended(event: Event, condition: Condition, named: list[Driver]) -> str:
    if event.reading < 0:
        return "No longer watched"
    if condition.rule == "deterioration":
        return "Vital signs are as expected again"
    if condition.vital is None:
        return "Readings are back"
    value = _shown(named[0].observed, condition.vital)
    back = "back within limits" if condition.kind == "physiological" else "the signal is back"
    return f"{vitals.VITALS[condition.vital].label} {value}: {back}"


def deterioration(named: list[Driver], explanation: Explanation | None, reading: int) -> str:
    """The sentence of a deterioration that such drivers make up."""
    parts = []
    for driver in named[:SPOKEN_DRIVERS]:
        vital = vitals.INDEX[driver.vital]
        part = f"{vitals.VITALS[vital].label} {_shown(driver.observed, vital)}"
        if explanation is not None:
            part += _why(driver, vital, reading, explanation)
        parts.append(f"{part}, drives {100 * driver.share:.0f} %")
    return "; ".join(parts) or "Vital signs are rare for a stable patient"


def _why(driver: Driver, vital: int, reading: int, explanation: Explanation) -> str:
    """What is rare about a driver's value; never that it is as expected."""
    if driver.observed is None or driver.low is None or driver.high is None:
        return ""
    band = f"{_plain(driver.low, vital)} to {_plain(driver.high, vital)}"
    if driver.low <= driver.observed <= driver.high:
        # Normal for this patient, perhaps, but then it has just changed, or is low for anybody.
        cause, end = int(explanation.cause[reading, vital]), limits.nearest(vital, driver.observed)
        if cause == DANGEROUS and end is not None:
            return f" (limit {end:g})"
        if cause == SUDDEN:
            return f" (sudden change within {band})"
        if cause == HEADING:
            return f" (expected {band}, heading for danger)"
        return f" (at the edge of {band})"
    side = "low" if driver.observed < driver.low else "high"
    seconds = abs(float(explanation.outside[reading, vital]))
    # The first value outside says nothing of how long.
    lasted = f" for {span(round(seconds * 1000))}" if seconds > 1 else ""
    return f" (expected {band}), {side}{lasted}"


def _plain(value: float, vital: int) -> str:
    return f"{value:.0f}" if vitals.VITALS[vital].resolution >= 1 else f"{value:.1f}"


def _shown(value: float | None, vital: int) -> str:
    return "" if value is None else f"{_plain(value, vital)} {vitals.VITALS[vital].unit}"


def span(ms: float) -> str:
    """A duration for people: seconds below 90 s, minutes below 90 min, then hours."""
    seconds = round(ms / 1000)
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{round(minutes / 60)} h"
