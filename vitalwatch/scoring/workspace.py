"""Room in which a chunk of patients is scored, and the ways from the table into it and back."""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import CONTEXT_NAMES
from vitalwatch.scoring import cells, features
from vitalwatch.scoring.evidence import LIMITS, TERMS
from vitalwatch.scoring.features import PARTS
from vitalwatch.scoring.forecast import Ahead, Head
from vitalwatch.scoring.products import aligned

CHUNK: Final = 64
"""Patients of a chunk, who share the weights that the second cache gives; a multiple of the rows
that products of matrices take at a time."""

TYPICAL, SPREAD, STEP, LOW_LIMIT, HIGH_LIMIT, LEAST, MOST = range(7)
"""What each vital is measured by, in the order of :func:`scales`."""

LOCATION, SCALE = range(2)
"""What is foretold of each vital."""


def scales() -> Floats:
    """What vitals are measured by ``(7, CHUNK V)``: STEP and limits standardised, LEAST and MOST
    the plausible range in the vitals' units."""
    rows = (features.TYPICAL, features.SPREAD, features.STEP, *LIMITS)
    return np.tile(np.stack((*rows, *vitals.bounds("plausible"))), (1, CHUNK))


class Network(NamedTuple):
    """A forecaster as scoring takes it: which cell, with how many units, and its weights."""

    kind: int
    units: int
    cell: cells.Weights
    head: Head


class Workspace(NamedTuple):
    """Room for a chunk: c patients, S numbers of a cell's state, V vitals.

    ``record`` (c, S + 9 V + C) of the table; ``net`` (c, S); ``parts`` (6, c, V) of the memory;
    ``context`` (c, C); ``held``, ``risks``, ``outside`` and ``value`` (c, V); ``elapsed`` (c,);
    ``row`` (c, ...) what multiplies the weights, ``room`` a cell's; ``logits`` (c, R V or more);
    ``ahead`` a forecast's; ``foretold`` (2, c, V) of this reading and ``past`` (2, c, V) of an
    older forecast, of which ``known`` (c, V) is 1 where there is one; ``nats`` (c, V) and how many
    were ``asked`` (c, V); ``hazards`` (3, c, V).
    """

    record: Floats
    net: Floats
    parts: Floats
    context: Floats
    held: Floats
    risks: Floats
    outside: Floats
    value: Floats
    elapsed: Floats
    row: Floats
    room: cells.Room
    logits: Floats
    ahead: Ahead
    foretold: Floats
    past: Floats
    known: Floats
    nats: Floats
    asked: Floats
    hazards: Floats

    @classmethod
    def of(cls, network: Network, numbers: int) -> "Workspace":
        """For a network with so many ``numbers`` of state."""
        width, known = vitals.COUNT, len(CONTEXT_NAMES)
        return cls(
            record=aligned(CHUNK, numbers + (PARTS + 3) * width + known),
            net=aligned(CHUNK, numbers),
            parts=aligned(PARTS, CHUNK, width),
            context=aligned(CHUNK, known),
            held=aligned(CHUNK, width),
            risks=aligned(CHUNK, width),
            outside=aligned(CHUNK, width),
            value=aligned(CHUNK, width),
            elapsed=aligned(CHUNK),
            row=cells.rows(CHUNK, network.units),
            room=cells.Room.of(network.cell, CHUNK),
            logits=network.head.logits(CHUNK),
            ahead=Ahead.of(CHUNK),
            foretold=aligned(2, CHUNK, width),
            past=aligned(2, CHUNK, width),
            known=aligned(CHUNK, width),
            nats=aligned(CHUNK, width),
            asked=aligned(CHUNK, width),
            hazards=aligned(len(TERMS), CHUNK, width),
        )


# Between the table and the workspace numbers are counted without a sign: an index that may be
# below 0 is first tested for meaning one from the end, and the loop does not become vectors.


@compiled
def gather(words: Floats, stride: np.uint64, start: np.uint64, rows: Ints, work: Workspace) -> None:
    """Bring the records of ``rows`` (n,) in.

    First by as few instructions as can be, so that the processor waits for many records, each
    somewhere else in memory, at the same time; only then is each put in its places.
    """
    record, net, context = work.record, work.net, work.context
    parts, held, risks, outside = work.parts, work.held, work.risks, work.outside
    numbers, width = np.uint64(net.shape[1]), np.uint64(held.shape[1])
    for k in range(len(rows)):
        at = np.uint64(rows[k]) * stride + start
        for j in range(np.uint64(record.shape[1])):
            record[k, j] = words[at + j]
    for k in range(len(rows)):
        at = np.uint64(0)
        for j in range(numbers):
            net[k, j] = record[k, j]
        at += numbers
        for part in range(PARTS):
            for v in range(width):
                parts[part, k, v] = record[k, at + v]
            at += width
        for v in range(width):
            held[k, v] = record[k, at + v]
        at += width
        for v in range(width):
            risks[k, v] = record[k, at + v]
        at += width
        for v in range(width):
            outside[k, v] = record[k, at + v]
        at += width
        for j in range(np.uint64(context.shape[1])):
            context[k, j] = record[k, at + j]


@compiled
def scatter(
    words: Floats, stride: np.uint64, start: np.uint64, rows: Ints, work: Workspace
) -> None:
    """Put the records of ``rows`` (n,) back, but for the context, which is only read here."""
    net, parts = work.net, work.parts
    held, risks, outside = work.held, work.risks, work.outside
    numbers, width = np.uint64(net.shape[1]), np.uint64(held.shape[1])
    for k in range(len(rows)):
        at = np.uint64(rows[k]) * stride + start
        for j in range(numbers):
            words[at + j] = net[k, j]
        at += numbers
        for part in range(PARTS):
            for v in range(width):
                words[at + v] = parts[part, k, v]
            at += width
        for v in range(width):
            words[at + v] = held[k, v]
        at += width
        for v in range(width):
            words[at + v] = risks[k, v]
        at += width
        for v in range(width):
            words[at + v] = outside[k, v]
