"""What is published while faults happen: a ward where much goes on, and records that are none."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from simulator import Ward
from simulator.publish import Introductions, readings
from vitalwatch.messages import Reading

INTERVAL: Final = 10.0
STALE_SECONDS: Final = 60.0
DISCHARGE_HOURS: Final = 0.15

_BAD_SHARE: Final = 0.03
_ROUND_S: Final = 2400
_AWAY_S: Final = (900, 150)  # every other patient is discharged, every other only stale


class Record(NamedTuple):
    """One record of the input."""

    key: bytes | None
    value: bytes | None
    timestamp: int


def _wire(reading: Reading, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(reading), **changes})


def _record(reading: Reading, value: bytes | None, *, key: str | None = "") -> Record:
    """``key`` "" is the patient."""
    name = reading.patient if key == "" else key
    return Record(None if name is None else name.encode(), value, _ms(reading))


def _ms(reading: Reading) -> int:
    assert isinstance(reading.time, int)
    return reading.time


BAD: Final[dict[str, Callable[[Reading], Record]]] = {
    "not JSON": lambda r: _record(r, b"HR 80"),
    "cut off": lambda r: _record(r, _wire(r)[:-9]),
    "no time": lambda r: _record(r, _wire(r, time=None)),
    "a tombstone": lambda r: _record(r, None),
    "no key": lambda r: _record(r, _wire(r), key=None),
    "another's key": lambda r: _record(r, _wire(r), key="somebody"),
    "of a newer version": lambda r: _record(r, _wire(r, v=99)),
    "of an impossible age": lambda r: _record(r, _wire(r, age=200)),
    "of no known vital": lambda r: _record(r, _wire(r, vitals={"mood": 7})),
    "ahead of its time": lambda r: _record(r, _wire(r, time=_ms(r) + 3_600_000)),
    "a duplicate": lambda r: _record(r, _wire(r)),
    "late": lambda r: _record(r, _wire(r, time=_ms(r) - 45_000, vitals={"hr": 30})),
}
"""Records beside a good reading that have to become dead letters."""

ODD: Final[dict[str, dict[str, Any]]] = {
    "nothing is measured": {"vitals": {}},
    "the probe is off": {"vitals": {"hr": 0, "spo2": 0, "rr": 14}},
    "a line is flushed": {"vitals": {"hr": 80, "map": 320, "sbp": 330, "dbp": 300}},
    "an unknown vital, a null": {"vitals": {"hr": 80, "mood": 7, "rr": None}},
    "something new is known": {"oxygen": 4.5, "beta_blocker": True},
}
"""Readings that are none of the ward's own, and good ones all the same."""


def frames(seed: int, patients: int) -> Iterator[list[Record]]:
    """Frame after frame without end, one every :data:`INTERVAL` seconds of the ward.

    Nearly everybody deteriorates within the hour, again and again, and everybody is away now and
    then, for as long as makes a signal lost (:data:`STALE_SECONDS`) or a patient discharged
    (:data:`DISCHARGE_HOURS`). The same arguments give the same records.
    """
    ward = Ward(patients, seed, INTERVAL, share=0.9, onset=(60.0, 1800.0), every=3600.0)
    introductions = Introductions(ward)
    chance = random.Random(seed)
    for number, (times, values) in zip(itertools.count(), ward.frames(), strict=False):
        second = number * INTERVAL
        there = [who for who in np.argsort(times, kind="stable") if _is_there(int(who), second)]
        names = [ward.patients[who] for who in there]
        records = []
        for reading in introductions.add(readings(names, times[there], values[there])):
            strange = chance.random() < _BAD_SHARE
            changes = ODD[chance.choice(list(ODD))] if strange else {}
            records.append(_record(reading, _wire(reading, **changes)))
            if chance.random() < _BAD_SHARE:
                records.append(BAD[chance.choice(list(BAD))](reading))
        yield records


def _is_there(patient: int, second: float) -> bool:
    since = (second + patient * 431) % _ROUND_S
    return since >= _AWAY_S[patient % 2]
