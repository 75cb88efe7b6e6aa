"""Scores of a batch as records of the scores topic, written straight from the columns.

Numbers have as many decimals as they are worth. Which digits are written follows from the float32
alone, so that two runs that score alike write alike: ``expected``, ``low`` and ``high`` have one
decimal more than the device's resolution, ``surprise`` has two, both rounded to the nearest, half
to even; ``rarity`` has four significant digits. What is not finite is null.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final, NamedTuple

import msgspec
import numpy as np

from vitalwatch import config
from vitalwatch.arrays import Bools, Buffer, Floats, Ints, Spans
from vitalwatch.compiled import address, byte_at, compiled, copy_eight, put_byte
from vitalwatch.messages import SCHEMA_VERSION, ScoreBlock
from vitalwatch.readings import Detection, Readings
from vitalwatch.vitals import COUNT, NAMES, VITALS

BLOCK_READINGS: Final = 7_000
"""In one block at most, some 1.5 MB; and below what a topic takes whatever the patients' names."""

_TABLES: Final = ("surprise", "expected", "low", "high")
_SURPRISE_DECIMALS: Final = 2
_RARITY_DIGITS: Final = 4
_DECIMALS: Final = np.array(
    [1 + max(0, -round(np.log10(vital.resolution))) for vital in VITALS], dtype=np.int64
)

_COMMA, _POINT, _MINUS, _ZERO, _E = (ord(sign) for sign in ",.-0e")
_QUOTE, _BACKSLASH, _N, _U, _L, _A = (ord(sign) for sign in '"\\nula')

_WRITTEN: Final = 10_000  # whole numbers below that are looked up as texts
_LONGEST_NUMBER: Final = 24  # more than any, with its comma
_MOST: Final = 1e9
"""A number with its decimals as a whole: from here on it has nine digits and an exponent."""

_LEAST_POWER: Final = -60
_POWERS: Final = np.array([float(f"1e{power}") for power in range(_LEAST_POWER, 61)])
_WHOLE_POWERS: Final = np.array([10**power for power in range(19)], dtype=np.int64)


class Record(NamedTuple):
    """One record of the scores topic; the timestamp in ms."""

    key: bytes
    value: bytes
    timestamp: int


def blocks(
    readings: Readings, detection: Detection, model: str, emit: config.Emit
) -> Iterator[Record]:
    """The records of one batch: blocks, one for each reading, or none. Late ones are left out."""
    if emit == "none":
        return
    tables = tuple(np.ascontiguousarray(getattr(detection, name)) for name in _TABLES)
    scored = np.flatnonzero(~detection.late)
    size = 1 if emit == "reading" else BLOCK_READINGS
    for begin in range(0, len(scored), size):
        rows = scored[begin : begin + size]
        key = readings.patients[int(rows[0])] if emit == "reading" else b"%d" % readings.partition
        value = _write(readings, detection.rarity, tables, rows, model)
        yield Record(key or b"", value, int(readings.times[rows].max()))


def read(value: bytes) -> ScoreBlock:
    """A record's scores; raises ValueError for what is no score block."""
    return _decoder().decode(value)


@cache
def _decoder() -> msgspec.json.Decoder[ScoreBlock]:
    return msgspec.json.Decoder(ScoreBlock)


def _write(
    readings: Readings, rarity: Floats, tables: tuple[Floats, ...], rows: Ints, model: str
) -> bytes:
    measured = np.empty(COUNT, dtype=np.bool_)
    _measured(tables, rows, measured)
    vitals = np.flatnonzero(measured)
    frame = _frame(readings.topic, readings.partition, model, tuple(vitals.tolist()))
    patients = readings.patients
    cells = 3 + len(_TABLES) * len(vitals)
    # Of a patient's name each byte may become six.
    size = len(frame.data) + 6 * int(patients.lengths[rows].sum())
    out = np.empty(size + len(rows) * (3 + cells * _LONGEST_NUMBER) + 8, dtype=np.uint8)
    end = _fill(
        out,
        frame.data,
        frame.lengths,
        rows,
        readings.offsets,
        patients.data,
        patients.starts,
        patients.lengths,
        readings.times,
        rarity,
        tables,
        vitals,
        _DECIMALS,
        _texts(),
    )
    return out[:end].tobytes()


@lru_cache(maxsize=256)
def _frame(topic: str, partition: int, model: str, vitals: tuple[int, ...]) -> Spans:
    """What stands before each column, and behind the last."""
    head = {"topic": topic, "partition": partition, "model": model}
    parts = [msgspec.json.encode(head)[:-1] + b',"offsets":[', b'],"patients":[', b'],"times":[']
    parts.append(b'],"rarity":[')
    close = b"]"
    for table in _TABLES:
        close += b',"%s":{' % table.encode()
        for vital in vitals:
            parts.append(close + b'"%s":[' % NAMES[vital].encode())
            close = b"],"
        close = b"]}" if vitals else close + b"}"
    parts.append(close + b',"v":%d}' % SCHEMA_VERSION)
    return Spans.of(parts)


@cache
def _texts() -> Buffer:
    """Texts ``(2, 10001, 8)`` of 0 to 9999 with one and with two decimals, and of null.

    Each is followed by a comma; the last byte is its length.
    """
    texts = np.zeros((2, _WRITTEN + 1, 8), dtype=np.uint8)
    for decimals in (1, 2):
        ten = 10**decimals
        parts = [b"%d.%0*d," % (whole // ten, decimals, whole % ten) for whole in range(_WRITTEN)]
        parts.append(b"null,")
        rows = b"".join(part.ljust(7, b"\0") + bytes([len(part)]) for part in parts)
        texts[decimals - 1] = np.frombuffer(rows, dtype=np.uint8).reshape(-1, 8)
    return texts


@compiled
def _measured(tables: tuple[Floats, ...], rows: Ints, measured: Bools) -> None:
    """Which vitals (V,) have a number in a row of any table."""
    for vital in range(len(measured)):
        measured[vital] = False
        for table in tables:
            for row in rows:
                if not np.isnan(table[row, vital]):
                    measured[vital] = True
                    break
            if measured[vital]:
                break


# Functions from here on write from one address on, and return the address behind what they wrote.


@compiled
def _copy(at: int, source: int, length: int) -> int:
    """Bytes as they are."""
    for place in range(length):
        put_byte(at + place, byte_at(source + place))
    return at + length


@compiled
def _padded(at: int, whole: int, width: int) -> int:
    """A whole number in so many digits."""
    for place in range(at + width - 1, at - 1, -1):
        rest = whole // 10
        put_byte(place, _ZERO + whole - rest * 10)
        whole = rest
    return at + width


@compiled
def _whole(at: int, whole: int) -> int:
    """A whole number."""
    if whole < 0:
        put_byte(at, _MINUS)
        at, whole = at + 1, -whole
    width = 1
    while width < len(_WHOLE_POWERS) and whole >= _WHOLE_POWERS[width]:
        width += 1
    return _padded(at, whole, width)


@compiled
def _point(at: int, whole: int, decimals: int) -> int:
    """A number that is ``whole`` without its point."""
    ten = _WHOLE_POWERS[decimals]
    at = _whole(at, whole // ten)
    if decimals:
        put_byte(at, _POINT)
        at = _padded(at + 1, whole % ten, decimals)
    return at


@compiled
def _rounded(at: int, value: float, count: int) -> int:
    """A finite number in so many significant digits."""
    if value == 0.0:
        return _whole(at, 0)
    if value < 0.0:
        put_byte(at, _MINUS)
        at, value = at + 1, -value
    power = -_LEAST_POWER
    while value >= _POWERS[power + 1]:
        power += 1
    while value < _POWERS[power]:
        power -= 1
    power += _LEAST_POWER
    shift = count - 1 - power
    if shift >= 0:
        value *= _POWERS[shift - _LEAST_POWER]
    else:
        value /= _POWERS[-shift - _LEAST_POWER]
    whole = int(np.rint(value))
    if whole == _WHOLE_POWERS[count]:
        whole //= 10
        power += 1
    if -4 <= power < count:
        return _point(at, whole, count - 1 - power)
    at = _point(at, whole, count - 1)
    put_byte(at, _E)
    return _whole(at + 1, power)


@compiled
def _significant(at: int, value: float, count: int) -> int:
    """A number in so many significant digits, or null; and a comma."""
    if not np.isfinite(value):
        for letter in (_N, _U, _L, _L):
            put_byte(at, letter)
            at += 1
    else:
        at = _rounded(at, value, count)
    put_byte(at, _COMMA)
    return at + 1


@compiled
def _decimal(at: int, value: float, decimals: int, ten: float, texts: int) -> int:
    """A number with so many decimals, or null; and a comma."""
    scaled = value * ten  # exact: a float32 has 24 bits, a hundred has seven
    if 0.0 <= scaled < _WRITTEN - 1:
        text = texts + 8 * int(np.rint(scaled))
    elif np.isnan(scaled):
        text = texts + 8 * _WRITTEN
    elif abs(scaled) < _MOST:
        whole = int(np.rint(abs(scaled)))
        if value < 0.0 and whole:
            put_byte(at, _MINUS)
            at += 1
        at = _point(at, whole, decimals)
        put_byte(at, _COMMA)
        return at + 1
    else:
        return _significant(at, value, 9)
    copy_eight(at, text)
    return at + byte_at(text + 7)


@compiled
def _control(at: int, byte: int) -> int:
    """A control character as an escape."""
    put_byte(at, _BACKSLASH)
    put_byte(at + 1, _U)
    put_byte(at + 2, _ZERO)
    put_byte(at + 3, _ZERO)
    put_byte(at + 4, _ZERO + (byte >> 4))
    put_byte(at + 5, (byte & 15) + (_ZERO if byte & 15 < 10 else _A - 10))
    return at + 6


@compiled
def _text(at: int, source: int, length: int) -> int:
    """UTF-8 as a JSON text, and a comma."""
    put_byte(at, _QUOTE)
    at += 1
    for place in range(source, source + length):
        byte = byte_at(place)
        if byte < 0x20:
            at = _control(at, byte)
            continue
        if byte in (_QUOTE, _BACKSLASH):
            put_byte(at, _BACKSLASH)
            at += 1
        put_byte(at, byte)
        at += 1
    put_byte(at, _QUOTE)
    put_byte(at + 1, _COMMA)
    return at + 2


@compiled
def _fill(
    out: Buffer,
    parts: Buffer,
    lengths: Ints,
    rows: Ints,
    offsets: Ints,
    data: Buffer,
    starts: Ints,
    sizes: Ints,
    times: Ints,
    rarity: Floats,
    tables: tuple[Floats, ...],
    vitals: Ints,
    decimals: Ints,
    texts: Buffer,
) -> int:
    """Write a block into ``out``, each column behind its part of the frame; its length."""
    first, part, names = address(out), address(parts), address(data)
    at = _copy(first, part, lengths[0])
    part += lengths[0]
    for row in rows:
        at = _whole(at, offsets[row])
        put_byte(at, _COMMA)
        at += 1
    at = _copy(at - 1, part, lengths[1])  # over the last comma
    part += lengths[1]
    for row in rows:
        at = _text(at, names + starts[row], sizes[row])
    at = _copy(at - 1, part, lengths[2])
    part += lengths[2]
    for row in rows:
        at = _whole(at, times[row])
        put_byte(at, _COMMA)
        at += 1
    at = _copy(at - 1, part, lengths[3])
    part += lengths[3]
    for row in rows:
        at = _significant(at, np.float64(rarity[row]), _RARITY_DIGITS)
    number = 4
    for place, table in enumerate(tables):
        for vital in vitals:
            at = _copy(at - 1, part, lengths[number])
            part += lengths[number]
            number += 1
            count = decimals[vital] if place else _SURPRISE_DECIMALS
            ten = _POWERS[count - _LEAST_POWER]
            source = address(texts) + (count - 1) * (_WRITTEN + 1) * 8
            for row in rows:
                at = _decimal(at, np.float64(table[row, vital]), count, ten, source)
    return _copy(at - 1, part, lengths[number]) - first
