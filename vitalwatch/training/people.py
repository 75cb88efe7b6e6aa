"""The people of the recordings, and who of them may be used for what: the one place that says so.

Each person stands on one side for good, found from a hash of the identifier: neither a new
recording nor the order of files moves anybody. Some real patients have two identifiers, because
two collections hold the same minutes of them; both go by the first one's hash. Simulated people
are told apart by ranges of seeds (:mod:`vitalwatch.training.data`).
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TextIO

from vitalwatch.errors import RecordingError

Side = Literal["train", "calibrate", "test"]

_SHARES: Final[tuple[tuple[Side, float], ...]] = (("train", 0.4), ("calibrate", 0.25))
"""The rest are tested on."""

_SALT: Final = b"people 14"
"""Chosen, before anything was scored, so that the smallest collections have somebody on each side:
of mimic2-numerics, whose three people are one each, only a40834n has all vitals and events."""

ALIASES: Final = {"cinc2009-train/H1_04": "mimic2-numerics/a40834n"}
"""Other identifiers of the same real patient. 99 % of the mean pressures of H1_04 are those of
a40834n from its minute 1,465 on; of no other record more than 3 % are, at any shift."""


class Collection(NamedTuple):
    """A folder of recordings, watched in one of the simulator's styles.

    Of one that is ``checks_only`` nobody trains or calibrates.
    """

    name: str
    style: str
    where: str  # the people are: rows of a table, "FILE:COLUMN", or files, by a pattern
    checks_only: bool = False


COLLECTIONS: Final = {
    each.name: each
    for each in (
        Collection("bidmc-numerics", "bedside", "bidmc_*.csv"),
        Collection("cinc2009-train", "bedside", "labels.csv:record"),
        Collection("cinc2019-sample", "charted", "set?/p*.psv"),
        Collection("mimic2-numerics", "bedside", "[as]*n.csv"),
        Collection("mimic4-demo-vitals", "charted", "stays.csv:patient_id"),
        Collection("noneeg", "wearable", "vitals.csv.gz:patient"),
        Collection("sedation-oximetry", "sedation", "vitals.csv.gz:patient"),
        Collection("vitaldb-surgery", "bedside", "vitals.csv.gz:patient", checks_only=True),
    )
}


@dataclass(frozen=True, slots=True)
class Person:
    """One real person, as one collection knows him or her."""

    identifier: str  # COLLECTION/NAME
    collection: str

    @property
    def name(self) -> str:
        """As in the collection's files."""
        return self.identifier.partition("/")[2]

    @property
    def side(self) -> Side:
        """What this person may be used for."""
        if COLLECTIONS[self.collection].checks_only:
            return "test"
        return side(self.identifier)


def side(identifier: str) -> Side:
    """The side of a person by the identifier, ``COLLECTION/NAME``, whatever it may be used for."""
    known = ALIASES.get(identifier, identifier)
    digest = hashlib.blake2b(known.encode(), digest_size=8, person=_SALT).digest()
    place = int.from_bytes(digest, "big") / 2**64
    for name, share in _SHARES:
        if place < share:
            return name
        place -= share
    return "test"


def people(folder: Path, collection: str) -> list[Person]:
    """Everybody in one collection, in order of identifier, given the folder of all recordings.

    Raises RecordingError if the collection is not there or its list cannot be read.
    """
    row = COLLECTIONS[collection]
    place, file, column = folder / collection, *row.where.partition(":")[::2]
    if not place.is_dir():
        raise RecordingError(
            f"There is no {collection} in {folder}: name the folder that holds the recordings."
        )
    names = (
        {each[column] for each in table(place / file, column)}
        if column
        else {path.stem for path in place.glob(file)}
    )
    return [Person(f"{collection}/{name}", collection) for name in sorted(names)]


def table(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, plain or gzip.

    Raises RecordingError, with the file and what is wrong, if it cannot be read or lacks one of
    ``columns``.
    """
    try:
        with _text(path) as text:
            reader = csv.DictReader(text)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise RecordingError(f"{path} has no column {', '.join(sorted(missing))}.")
            yield from reader
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RecordingError(f"Cannot read {path}: {cause}.") from error


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
