"""Lines of a file that may be anything: one without line breaks is not read whole into memory."""

from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

from vitalwatch.errors import RecordingError

LONGEST: Final = 2**26
"""Bytes (of text: characters) that a line may have: four times the largest record of a topic."""

Line = TypeVar("Line", bytes, str, covariant=True)


class _File(Protocol[Line]):
    def readline(self, size: int, /) -> Line:
        """Up to ``size`` of the next line."""


def lines_of(file: _File[Line], prefix: str = "") -> Iterator[Line]:
    """The file's lines, with their breaks. Raises RecordingError for one beyond LONGEST.

    ``prefix`` comes before what it says.
    """
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            most = f"{LONGEST // 2**20} MiB"
            raise RecordingError(f"{prefix}line {number} is longer than {most}: no recording.")
        yield line
