"""Readings in the usual form, straight from the bytes of a batch into columns.

Almost every reading on a hospital's stream is plain: known fields, each once, short numbers, text
without escapes. Those are read here, without a Python object. Whatever is not plain, or not a
reading, or to be refused, is left to :mod:`vitalwatch.stream.decode`, which decides; nothing is
ever refused here, and it makes no difference which of the two read a reading.

Functions read and return addresses as those of :mod:`vitalwatch.stream.plain_json` do.
"""

from typing import Final

import numpy as np

from vitalwatch.arrays import Bools, Buffer, Floats, Ints
from vitalwatch.compiled import address, byte_at, compiled
from vitalwatch.stream.plain_json import (
    CLOSER,
    QUOTE,
    code,
    read_integer,
    read_literal,
    read_moment,
    read_name,
    read_number,
    read_text,
    skip_blanks,
)

LONGEST_PATIENT: Final = 256
"""A longer name may still have few enough characters, but that is not usual."""

_MOST_STRANGE: Final = 16
_LARGEST: Final = float(np.finfo(np.float32).max)

_COMMA, _OPEN, _CLOSE = (ord(sign) for sign in ",{}")
_F, _N, _T = (ord(sign) for sign in "fnt")

_PATIENT, _TIME, _VITALS, _VERSION = (code(word) for word in ("patient", "time", "vitals", "v"))
_SEQ, _OXYGEN, _QUALITY = (code(word) for word in ("seq", "oxygen", "quality"))
_DEVICE, _WARD, _BED = (code(word) for word in ("device", "ward", "bed"))
_NULL, _TRUE, _FALSE = (code(word) for word in ("null", "true", "false"))
_ALL_SEEN: Final = 0b111


@compiled
def _numbers(
    at: int, end: int, known: int, names: Ints, strange: Ints, values: Floats, row: int
) -> tuple[int, int, int]:
    """Behind an object of numbers; how many of them are vitals, and how many are unknown.

    Vitals fill their row of ``values``, all ``known`` of them; the unknown go into ``strange``,
    to find one that is there twice. With none known, as the devices' word on quality, nothing is
    written and nothing may be null.
    """
    no = (CLOSER, 0, 0)
    for vital in range(known):
        values[row, vital] = np.nan
    if at >= end or byte_at(at) != _OPEN:
        return no
    at = skip_blanks(at + 1, end)
    if at < end and byte_at(at) == _CLOSE:
        return at + 1, 0, 0
    seen, vitals, others = 0, 0, 0
    vital = -1
    while True:
        at, name = read_name(at, end)
        if at == CLOSER or at >= end:
            return no
        found = False
        for _ in range(known):  # they come in the table's order, as a rule
            vital = vital + 1 if vital + 1 < known else 0
            if names[vital] == name:
                found = True
                break
        if found:
            bit = 1 << vital
            if seen & bit:
                return no
            seen |= bit
            vitals += 1
        else:
            for other in range(others):
                if strange[other] == name:
                    return no
            if others == len(strange):
                return no
            strange[others] = name
            others += 1
        if byte_at(at) == _N and known > 0:
            at = read_literal(at, end, _NULL, 4)
        else:
            at, value = read_number(at, end)
            if found:
                if abs(value) > _LARGEST:
                    return no
                values[row, vital] = value
        if at == CLOSER:
            return no
        at = skip_blanks(at, end)
        if at >= end:
            return no
        if byte_at(at) == _CLOSE:
            return at + 1, vitals, others
        if byte_at(at) != _COMMA:
            return no
        at = skip_blanks(at + 1, end)


@compiled
def _unused(at: int, end: int, name: int) -> int:
    """Behind the value of a field that does not enter a score."""
    first = byte_at(at)
    if first == _N:
        return read_literal(at, end, _NULL, 4)
    if name == _SEQ:
        at, _whole = read_integer(at, end)
        return at
    if first == QUOTE:
        return read_text(at + 1, end) if name != _OXYGEN else CLOSER
    if name in (_DEVICE, _WARD, _BED):
        return CLOSER
    if name != _OXYGEN and first == _T:
        return read_literal(at, end, _TRUE, 4)
    if name != _OXYGEN and first == _F:
        return read_literal(at, end, _FALSE, 5)
    at, _value = read_number(at, end)
    return at


@compiled
def _reading(
    at: int, end: int, version: int, names: Ints, strange: Ints, values: Floats, row: int
) -> tuple[bool, int, int, int, int]:
    """Whether this is a plain reading; where its patient starts and ends; its time, ms.

    And how many of its vitals are unknown.
    """
    start, stop, time, unknown = 0, 0, 0, 0
    no = (False, 0, 0, 0, 0)
    at = skip_blanks(at, end)
    if at >= end or byte_at(at) != _OPEN:
        return no
    seen = 0
    while True:
        at = skip_blanks(at + 1, end)  # behind the brace or comma
        at, name = read_name(at, end)
        if at == CLOSER or at >= end:
            return no
        bit = 0
        if name == _VITALS:
            bit = 1
            at, vitals, unknown = _numbers(at, end, len(names), names, strange, values, row)
            if unknown > 0 and vitals == 0:
                return no
        elif name == _TIME:
            bit = 2
            if byte_at(at) == QUOTE:
                at, time = read_moment(at + 1, end)
            else:
                at, time = read_integer(at, end)
        elif name == _PATIENT:
            bit = 4
            if byte_at(at) != QUOTE:
                return no
            start = at + 1
            at = read_text(start, end)
            stop = at - 1
        elif name == _VERSION:
            at, found = read_integer(at, end)
            if found != version:
                return no
        elif name == _QUALITY and byte_at(at) != _N:
            at, _vitals, _others = _numbers(at, end, 0, names, strange, values, row)
        else:
            at = _unused(at, end, name)
        if at == CLOSER or seen & bit:
            return no
        seen |= bit
        at = skip_blanks(at, end)
        if at >= end:
            return no
        if byte_at(at) == _CLOSE:
            break
        if byte_at(at) != _COMMA:
            return no
    plain = skip_blanks(at + 1, end) == end and seen == _ALL_SEEN
    return plain, start, stop, time, unknown


@compiled
def _same(start: int, stop: int, key: int, length: int) -> bool:
    """Whether a stretch holds the same bytes as the key."""
    if stop - start != length:
        return False
    for place in range(length):  # noqa: SIM110
        if byte_at(start + place) != byte_at(key + place):
            return False
    return True


@compiled
def read(
    data: Buffer,
    starts: Ints,
    lengths: Ints,
    keyed: bool,
    keys: Buffer,
    key_starts: Ints,
    key_lengths: Ints,
    timestamps: Ints,
    max_bytes: int,
    max_ahead_ms: int,
    max_behind_ms: int,
    end_of_time: int,
    version: int,
    names: Ints,
    patients: Ints,
    sizes: Ints,
    times: Ints,
    values: Floats,
    unknown: Ints,
    done: Bools,
) -> None:
    """Read n records that begin at ``starts`` of ``data`` and have ``lengths`` bytes (-1: none).

    Where ``done`` (n,) is set true the record is a reading that nothing is wrong with: its
    patient is ``sizes`` bytes from ``patients`` in ``data`` on, and the same as its key if
    ``keyed``; ``times`` in ms; ``values`` (n, V), NaN where not measured; ``unknown`` (n,) counts
    its other vitals. In the other rows nothing means anything. ``version`` is the schema's;
    ``names`` (V,) are the vitals' as given by :func:`code`.
    """
    strange = np.empty(_MOST_STRANGE, dtype=np.int64)
    first, first_key = address(data), address(keys)
    for row in range(len(starts)):
        done[row] = False
        if lengths[row] < 0 or lengths[row] > max_bytes:
            continue
        begin = first + starts[row]
        plain, start, stop, time, strangers = _reading(
            begin, begin + lengths[row], version, names, strange, values, row
        )
        if not (plain and 0 < stop - start <= LONGEST_PATIENT and 0 <= time < end_of_time):
            continue
        stamp = timestamps[row]
        if stamp >= 0 and (time - max_ahead_ms > stamp or time < stamp - max_behind_ms):
            continue
        if keyed and not _same(start, stop, first_key + key_starts[row], key_lengths[row]):
            continue
        patients[row] = start - first
        sizes[row] = stop - start
        times[row] = time
        unknown[row] = strangers
        done[row] = True
