"""Readings in the usual form, straight from the bytes of a batch into columns.

Almost every reading on a hospital's stream is plain: known fields, each once, short numbers, text
without escapes. Those are read here, without a Python object. Whatever is not plain, or not a
reading, or to be refused, is left to :mod:`vitalwatch.stream.decode`, which decides; nothing is
ever refused here. So that it makes no difference which of the two read a reading, this one takes a
number only where one operation on doubles rounds it exactly, and text only where it is UTF-8.

Functions begin to read at one address and read nothing from ``end`` on. They return the address
behind what they read, or ``CLOSER``: this is not for here.
"""

from typing import Final

import numpy as np

from vitalwatch.arrays import Bools, Buffer, Floats, Ints
from vitalwatch.compiled import address, byte_at, compiled

CLOSER: Final = -1

LONGEST_PATIENT: Final = 256
"""A longer name may still have few enough characters, but that is not usual."""

_LONGEST_NAME: Final = 7  # of those that are known, so that 56 bits hold them
_LONG: Final = 1 << 62  # and this is in no such number
_PRIME: Final = 1_099_511_628_211
_MOST_STRANGE: Final = 16
_MOST_DIGITS: Final = 18  # such a number is an int64, ...
_MOST_WHOLE: Final = 2**53  # ... and up to here a double, ...
_MOST_TENS: Final = 22  # as such a power of ten is
_LARGEST: Final = float(np.finfo(np.float32).max)

_QUOTE, _BACKSLASH, _COLON, _COMMA = (ord(sign) for sign in '"\\:,')
_OPEN, _CLOSE = ord("{"), ord("}")
_MINUS, _PLUS, _POINT, _ZERO, _E = (ord(sign) for sign in "-+.0e")
_F, _N, _T, _Z, _BLANK = (ord(sign) for sign in "fntz ")


def code(word: str) -> int:
    """A word of at most seven bytes as a number."""
    return int.from_bytes(word.encode(), "big")


_PATIENT, _TIME, _VITALS, _VERSION = (code(word) for word in ("patient", "time", "vitals", "v"))
_SEQ, _OXYGEN, _QUALITY = (code(word) for word in ("seq", "oxygen", "quality"))
_DEVICE, _WARD, _BED = (code(word) for word in ("device", "ward", "bed"))
_NULL, _TRUE, _FALSE = (code(word) for word in ("null", "true", "false"))
_ALL_SEEN: Final = 0b111

_TENS: Final = np.array([10.0**power for power in range(_MOST_TENS + 1)])
_DAYS_BEFORE: Final = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])


@compiled
def _skip(at: int, end: int) -> int:
    """Behind white space."""
    while at < end and byte_at(at) <= _BLANK:
        byte = byte_at(at)
        if byte != 0x20 and byte != 0x0A and byte != 0x0D and byte != 0x09:
            break
        at += 1
    return at


@compiled
def _multibyte(at: int, end: int) -> int:
    """Behind one character of UTF-8 that is not ASCII."""
    first = byte_at(at)
    least, most = 0x80, 0xBF  # of the second byte
    if 0xC2 <= first <= 0xDF:
        size = 2
    elif 0xE0 <= first <= 0xEF:
        size = 3
        if first == 0xE0:
            least = 0xA0
        elif first == 0xED:
            most = 0x9F
    elif 0xF0 <= first <= 0xF4:
        size = 4
        if first == 0xF0:
            least = 0x90
        elif first == 0xF4:
            most = 0x8F
    else:
        return CLOSER
    if at + size > end or not least <= byte_at(at + 1) <= most:
        return CLOSER
    for place in range(at + 2, at + size):
        if byte_at(place) & 0xC0 != 0x80:
            return CLOSER
    return at + size


@compiled
def _text(at: int, end: int) -> int:
    """Behind the quote that ends a text, which begins here; no escapes."""
    while at < end:
        byte = byte_at(at)
        if byte == _QUOTE:
            return at + 1
        if byte < _BLANK or byte == _BACKSLASH:
            return CLOSER
        if byte < 0x80:
            at += 1
        else:
            at = _multibyte(at, end)
            if at == CLOSER:
                return CLOSER
    return CLOSER


@compiled
def _name(at: int, end: int) -> tuple[int, int]:
    """Behind a field's name, its colon and white space; and the name as a number.

    Two names of one number may still differ if they are long; those of two numbers do.
    """
    if at >= end or byte_at(at) != _QUOTE:
        return CLOSER, 0
    at += 1
    first = at
    limit = min(end, at + _LONGEST_NAME)
    word = 0
    while at < limit and _BLANK <= byte_at(at) < 0x80 and byte_at(at) != _QUOTE:
        if byte_at(at) == _BACKSLASH:
            return CLOSER, 0
        word = word << 8 | byte_at(at)
        at += 1
    if at < end and byte_at(at) == _QUOTE:
        at += 1
    else:
        at = _text(at, end)
        if at == CLOSER:
            return CLOSER, 0
        word = 0
        for place in range(first, at - 1):
            word = (word ^ byte_at(place)) * _PRIME
        word |= _LONG
    at = _skip(at, end)
    if at >= end or byte_at(at) != _COLON:
        return CLOSER, 0
    return _skip(at + 1, end), word


@compiled
def _literal(at: int, end: int, word: int, size: int) -> int:
    """Behind a word of so many bytes, such as null."""
    if at + size > end:
        return CLOSER
    found = 0
    for place in range(at, at + size):
        found = found << 8 | byte_at(place)
    return at + size if found == word else CLOSER


@compiled
def _digits(at: int, end: int, before: int) -> tuple[int, int]:
    """Behind some digits, and their number, ``before`` standing in front of them."""
    while at < end and 0x30 <= byte_at(at) <= 0x39:
        before = before * 10 + (byte_at(at) - 0x30)
        at += 1
    return at, before


@compiled
def _integer(at: int, end: int) -> tuple[int, int]:
    """Behind an integer, and what it is."""
    negative = at < end and byte_at(at) == _MINUS
    first = at + 1 if negative else at
    at, value = _digits(first, end, 0)
    count = at - first
    if count == 0 or count > _MOST_DIGITS or (count > 1 and byte_at(first) == _ZERO):
        return CLOSER, 0
    return at, -value if negative else value


@compiled
def _number(at: int, end: int) -> tuple[int, float]:
    """Behind a number, and what it is."""
    negative = at < end and byte_at(at) == _MINUS
    begin = at + 1 if negative else at
    at, whole = _integer(at, end)
    if at == CLOSER:
        return CLOSER, 0.0
    if at >= end or (byte_at(at) != _POINT and (byte_at(at) | 0x20) != _E):
        return at, float(whole)
    whole = abs(whole)
    tens = 0
    if byte_at(at) == _POINT:
        first = at + 1
        at, whole = _digits(first, end, whole)
        tens = first - at
        if tens == 0 or at - begin > _MOST_DIGITS:
            return CLOSER, 0.0
    if at < end and (byte_at(at) | 0x20) == _E:
        at += 1
        down = at < end and byte_at(at) == _MINUS
        if down or (at < end and byte_at(at) == _PLUS):
            at += 1
        first = at
        at, more = _digits(first, end, 0)
        if at == first or at - first > 3:
            return CLOSER, 0.0
        tens += -more if down else more
    if whole > _MOST_WHOLE or not -_MOST_TENS <= tens <= _MOST_TENS:
        return CLOSER, 0.0
    value = whole / _TENS[-tens] if tens < 0 else whole * _TENS[tens]
    return at, -value if negative else value


@compiled
def _two(at: int) -> int:
    """What two digits say; something far below 0 if they are none."""
    ten, one = byte_at(at) - 0x30, byte_at(at + 1) - 0x30
    return ten * 10 + one if 0 <= ten <= 9 and 0 <= one <= 9 else -1_000_000


@compiled
def _moment(at: int, end: int) -> tuple[int, int]:
    """Behind the quote after a time such as 2026-01-01T08:00:05.250+01:00; and its ms."""
    if end - at < 21:
        return CLOSER, 0
    signs = (
        byte_at(at + 4) == _MINUS and byte_at(at + 7) == _MINUS and (byte_at(at + 10) | 0x20) == _T
    )
    if not (signs and byte_at(at + 13) == _COLON and byte_at(at + 16) == _COLON):
        return CLOSER, 0
    year = _two(at) * 100 + _two(at + 2)
    month, day = _two(at + 5), _two(at + 8)
    hour, minute, second = _two(at + 11), _two(at + 14), _two(at + 17)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1970 or not 1 <= month <= 12:
        return CLOSER, 0
    last = 29 if leap and month == 2 else _DAYS_BEFORE[month + 1] - _DAYS_BEFORE[month]
    if not (1 <= day <= last and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return CLOSER, 0
    past = year - 1
    days = (year - 1970) * 365 + (past // 4 - past // 100 + past // 400 - 477)
    days += _DAYS_BEFORE[month] + day - 1
    if leap and month > 2:
        days += 1
    ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000
    at += 19
    if byte_at(at) == _POINT:
        first = at + 1
        at, fraction = _digits(first, end, 0)
        if not 1 <= at - first <= 3:
            return CLOSER, 0
        for _ in range(at - first, 3):
            fraction *= 10
        ms += fraction
    if at >= end:
        return CLOSER, 0
    if (byte_at(at) | 0x20) == _Z:
        at += 1
    else:
        east = byte_at(at) == _PLUS
        if not (east or byte_at(at) == _MINUS) or end - at < 6 or byte_at(at + 3) != _COLON:
            return CLOSER, 0
        hours, minutes = _two(at + 1), _two(at + 4)
        if not (0 <= hours < 24 and 0 <= minutes < 60):
            return CLOSER, 0
        offset = (hours * 60 + minutes) * 60_000
        ms += -offset if east else offset
        at += 6
    if at >= end or byte_at(at) != _QUOTE:
        return CLOSER, 0
    return at + 1, ms


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
    at = _skip(at + 1, end)
    if at < end and byte_at(at) == _CLOSE:
        return at + 1, 0, 0
    seen, vitals, others = 0, 0, 0
    vital = -1
    while True:
        at, name = _name(at, end)
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
            at = _literal(at, end, _NULL, 4)
        else:
            at, value = _number(at, end)
            if found:
                if abs(value) > _LARGEST:
                    return no
                values[row, vital] = value
        if at == CLOSER:
            return no
        at = _skip(at, end)
        if at >= end:
            return no
        if byte_at(at) == _CLOSE:
            return at + 1, vitals, others
        if byte_at(at) != _COMMA:
            return no
        at = _skip(at + 1, end)


@compiled
def _unused(at: int, end: int, name: int) -> int:
    """Behind the value of a field that does not enter a score."""
    first = byte_at(at)
    if first == _N:
        return _literal(at, end, _NULL, 4)
    if name == _SEQ:
        at, _whole = _integer(at, end)
        return at
    if first == _QUOTE:
        return _text(at + 1, end) if name != _OXYGEN else CLOSER
    if name in (_DEVICE, _WARD, _BED):
        return CLOSER
    if name != _OXYGEN and first == _T:
        return _literal(at, end, _TRUE, 4)
    if name != _OXYGEN and first == _F:
        return _literal(at, end, _FALSE, 5)
    at, _value = _number(at, end)
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
    at = _skip(at, end)
    if at >= end or byte_at(at) != _OPEN:
        return no
    seen = 0
    while True:
        at = _skip(at + 1, end)  # behind the brace or comma
        at, name = _name(at, end)
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
            if byte_at(at) == _QUOTE:
                at, time = _moment(at + 1, end)
            else:
                at, time = _integer(at, end)
        elif name == _PATIENT:
            bit = 4
            if byte_at(at) != _QUOTE:
                return no
            start = at + 1
            at = _text(start, end)
            stop = at - 1
        elif name == _VERSION:
            at, found = _integer(at, end)
            if found != version:
                return no
        elif name == _QUALITY and byte_at(at) != _N:
            at, _vitals, _others = _numbers(at, end, 0, names, strange, values, row)
        else:
            at = _unused(at, end, name)
        if at == CLOSER or seen & bit:
            return no
        seen |= bit
        at = _skip(at, end)
        if at >= end:
            return no
        if byte_at(at) == _CLOSE:
            break
        if byte_at(at) != _COMMA:
            return no
    plain = _skip(at + 1, end) == end and seen == _ALL_SEEN
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
