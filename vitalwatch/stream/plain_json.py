"""Parts of JSON as readings hold them, straight from the bytes: names, texts, numbers and times.

So that it makes no difference whether a value is read here or by a library, a number is taken only
where one operation on doubles rounds it exactly, and text only where it is UTF-8 without escapes.

Functions begin to read at one address and read nothing from ``end`` on. They return the address
behind what they read, or ``CLOSER``: this is not for here.
"""

from typing import Final

import numpy as np

from vitalwatch.compiled import byte_at, compiled

CLOSER: Final = -1

_LONGEST_NAME: Final = 7  # of those that are known, so that 56 bits hold them
_LONG: Final = 1 << 62  # and this is in no such number
_PRIME: Final = 1_099_511_628_211
_MOST_DIGITS: Final = 18  # such a number is an int64, ...
_MOST_WHOLE: Final = 2**53  # ... and up to here a double, ...
_MOST_TENS: Final = 22  # as such a power of ten is

QUOTE, _BACKSLASH, _COLON = (ord(sign) for sign in '"\\:')
_MINUS, _PLUS, _POINT, _ZERO, _E = (ord(sign) for sign in "-+.0e")
_T, _Z, _BLANK = (ord(sign) for sign in "tz ")

_TENS: Final = np.array([10.0**power for power in range(_MOST_TENS + 1)])
_DAYS_BEFORE: Final = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])


def code(word: str) -> int:
    """A word as a number, as :func:`read_name` gives it."""
    content = word.encode()
    if len(content) <= _LONGEST_NAME:
        return int.from_bytes(content, "big")
    number = 0
    for byte in content:
        number = (number ^ byte) * _PRIME % 2**64
    return (number | _LONG) - (2**64 if number >= 2**63 else 0)


@compiled
def skip_blanks(at: int, end: int) -> int:
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
def read_text(at: int, end: int) -> int:
    """Behind the quote that ends a text, which begins here; no escapes."""
    while at < end:
        byte = byte_at(at)
        if byte == QUOTE:
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
def read_name(at: int, end: int) -> tuple[int, int]:
    """Behind a field's name, its colon and white space; and the name as a number.

    Two names of one number may still differ if they are long; those of two numbers do.
    """
    if at >= end or byte_at(at) != QUOTE:
        return CLOSER, 0
    at += 1
    first = at
    limit = min(end, at + _LONGEST_NAME)
    word = 0
    while at < limit and _BLANK <= byte_at(at) < 0x80 and byte_at(at) != QUOTE:
        if byte_at(at) == _BACKSLASH:
            return CLOSER, 0
        word = word << 8 | byte_at(at)
        at += 1
    if at < end and byte_at(at) == QUOTE:
        at += 1
    else:
        at = read_text(at, end)
        if at == CLOSER:
            return CLOSER, 0
        word = 0
        for place in range(first, at - 1):
            word = (word ^ byte_at(place)) * _PRIME
        word |= _LONG
    at = skip_blanks(at, end)
    if at >= end or byte_at(at) != _COLON:
        return CLOSER, 0
    return skip_blanks(at + 1, end), word


@compiled
def read_literal(at: int, end: int, word: int, size: int) -> int:
    """Behind a word of so many bytes, such as null."""
    if at + size > end:
        return CLOSER
    found = 0
    for place in range(at, at + size):
        found = found << 8 | byte_at(place)
    return at + size if found == word else CLOSER


@compiled
def read_word(at: int, end: int) -> tuple[int, int]:
    """Behind a quoted word of at most seven bytes, which are ASCII, and the word as a number."""
    if at >= end or byte_at(at) != QUOTE:
        return CLOSER, 0
    word = 0
    for place in range(at + 1, min(end, at + _LONGEST_NAME + 2)):
        byte = byte_at(place)
        if byte == QUOTE:
            return place + 1, word
        if byte < _BLANK or byte >= 0x80 or byte == _BACKSLASH:
            break
        word = word << 8 | byte
    return CLOSER, 0


@compiled
def _digits(at: int, end: int, before: int) -> tuple[int, int]:
    """Behind some digits, and their number, ``before`` standing in front of them."""
    while at < end and 0x30 <= byte_at(at) <= 0x39:
        before = before * 10 + (byte_at(at) - 0x30)
        at += 1
    return at, before


@compiled
def read_integer(at: int, end: int) -> tuple[int, int]:
    """Behind an integer, and what it is."""
    negative = at < end and byte_at(at) == _MINUS
    first = at + 1 if negative else at
    at, value = _digits(first, end, 0)
    count = at - first
    if count == 0 or count > _MOST_DIGITS or (count > 1 and byte_at(first) == _ZERO):
        return CLOSER, 0
    return at, -value if negative else value


@compiled
def read_number(at: int, end: int) -> tuple[int, float]:
    """Behind a number, and what it is."""
    negative = at < end and byte_at(at) == _MINUS
    begin = at + 1 if negative else at
    at, whole = read_integer(at, end)
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
def read_moment(at: int, end: int) -> tuple[int, int]:
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
    if at >= end or byte_at(at) != QUOTE:
        return CLOSER, 0
    return at + 1, ms
