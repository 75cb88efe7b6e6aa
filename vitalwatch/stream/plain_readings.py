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
from vitalwatch.context import AGE, BETA_BLOCKER, FEMALE, OXYGEN, SIGNS
from vitalwatch.messages import OLDEST
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
    read_word,
    skip_blanks,
)

LONGEST_PATIENT: Final = 256
"""A longer name may still have few enough characters, but that is not usual."""

_MOST_STRANGE: Final = 16
_LARGEST: Final = float(np.finfo(np.float32).max)

_COMMA, _OPEN, _CLOSE = (ord(sign) for sign in ",{}")
_F, _N, _T = (ord(sign) for sign in "fnt")

_PATIENT, _TIME, _VITALS, _VERSION = (code(word) for word in ("patient", "time", "vitals", "v"))
_SEQ, _QUALITY = (code(word) for word in ("seq", "quality"))
_DEVICE, _WARD, _BED = (code(word) for word in ("device", "ward", "bed"))
_AGE, _SEX, _OXYGEN, _BETA_BLOCKER = map(code, ("age", "sex", "oxygen", "beta_blocker"))
_BETA_BYTES: Final = np.frombuffer(b"beta_blocker", dtype=np.uint8)
_SEXES: Final = np.array([code(word) for word in SIGNS])
_SEX_SIGNS: Final = np.array([*SIGNS.values()])
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
        return read_text(at + 1, end)
    if name in (_DEVICE, _WARD, _BED):
        return CLOSER
    if first == _T:
        return read_literal(at, end, _TRUE, 4)
    if first == _F:
        return read_literal(at, end, _FALSE, 5)
    at, _value = read_number(at, end)
    return at


@compiled
def _age(at: int, end: int) -> tuple[int, float]:
    """Behind an age, and what it says, as all of these: NaN is nothing."""
    if byte_at(at) == _N:
        return read_literal(at, end, _NULL, 4), np.nan
    at, years = read_number(at, end)
    return at if 0.0 <= years <= OLDEST else CLOSER, years


@compiled
def _sex(at: int, end: int) -> tuple[int, float]:
    """Behind a sex, and whether it is female: 1, -1 or, if that is not known, 0."""
    if byte_at(at) == _N:
        return read_literal(at, end, _NULL, 4), np.nan
    at, word = read_word(at, end)
    for sex in range(len(_SEXES)):
        if _SEXES[sex] == word:
            return at, _SEX_SIGNS[sex]
    return CLOSER, np.nan


@compiled
def _given(at: int, end: int, measured: bool) -> tuple[int, float]:
    """Behind true (1), false (-1) or, if it may be ``measured``, how much is given."""
    first = byte_at(at)
    if first == _N:
        return read_literal(at, end, _NULL, 4), np.nan
    if first == _T:
        return read_literal(at, end, _TRUE, 4), 1.0
    if first == _F:
        return read_literal(at, end, _FALSE, 5), -1.0
    at, flow = read_number(at, end)
    return at if measured and flow >= 0.0 else CLOSER, 1.0 if flow > 0.0 else -1.0


@compiled
def _is_beta_blocker(at: int) -> bool:
    """Whether a name of that number, which begins here, is that name."""
    for place in range(len(_BETA_BYTES)):
        if byte_at(at + place) != _BETA_BYTES[place]:
            return False
    return byte_at(at + len(_BETA_BYTES)) == QUOTE


@compiled
def _reading(
    at: int, end: int, version: int, names: Ints, strange: Ints, values: Floats, row: int
) -> tuple[bool, int, int, int, int, float, float, float, float]:
    """Whether this is a plain reading; where its patient starts and ends; its time, ms.

    And how many of its vitals are unknown, and what it says of the patient: the parts of
    :data:`vitalwatch.context.PARTS`, NaN where it says nothing.
    """
    start, stop, time, unknown = 0, 0, 0, 0
    age, female, oxygen, beta_blocker = np.nan, np.nan, np.nan, np.nan
    no = (False, 0, 0, 0, 0, np.nan, np.nan, np.nan, np.nan)
    at = skip_blanks(at, end)
    if at >= end or byte_at(at) != _OPEN:
        return no
    seen = 0
    while True:
        begin = skip_blanks(at + 1, end)  # behind the brace or comma
        at, name = read_name(begin, end)
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
        elif name in (_SEQ, _DEVICE, _WARD, _BED):  # of most readings, so before what few say
            at = _unused(at, end, name)
        elif name == _AGE:
            bit = 8
            at, age = _age(at, end)
        elif name == _SEX:
            bit = 16
            at, female = _sex(at, end)
        elif name == _OXYGEN:
            bit = 32
            at, oxygen = _given(at, end, True)
        elif name == _BETA_BLOCKER:
            bit = 64
            if not _is_beta_blocker(begin + 1):
                return no
            at, beta_blocker = _given(at, end, False)
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
    plain = skip_blanks(at + 1, end) == end and seen & _ALL_SEEN == _ALL_SEEN
    return plain, start, stop, time, unknown, age, female, oxygen, beta_blocker


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
    speakers: Ints,
    known: Floats,
    done: Bools,
) -> int:
    """Read n records that begin at ``starts`` of ``data`` and have ``lengths`` bytes (-1: none).

    Where ``done`` (n,) is set true the record is a reading that nothing is wrong with: its
    patient is ``sizes`` bytes from ``patients`` in ``data`` on, and the same as its key if
    ``keyed``; ``times`` in ms; ``values`` (n, V), NaN where not measured; ``unknown`` (n,) counts
    its other vitals. In the other rows nothing means anything. ``version`` is the schema's;
    ``names`` (V,) are the vitals' as given by :func:`code`.

    Returns how many of them say what is known of their patients: the first of ``speakers`` (n,) are
    their rows, and the first of ``known`` (n, 4) what they say, as in
    :class:`vitalwatch.context.Context`.
    """
    spoke = 0
    strange = np.empty(_MOST_STRANGE, dtype=np.int64)
    first, first_key = address(data), address(keys)
    for row in range(len(starts)):
        done[row] = False
        if lengths[row] < 0 or lengths[row] > max_bytes:
            continue
        begin = first + starts[row]
        plain, start, stop, time, strangers, age, female, oxygen, beta_blocker = _reading(
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
        if not (np.isnan(age) and np.isnan(female) and np.isnan(oxygen) and np.isnan(beta_blocker)):
            speakers[spoke] = row
            known[spoke, AGE], known[spoke, FEMALE] = age, female
            known[spoke, OXYGEN], known[spoke, BETA_BLOCKER] = oxygen, beta_blocker
            spoke += 1
    return spoke
