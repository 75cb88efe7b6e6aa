"""One recorded stream: a file whose layout is found by its content."""

import csv
import gzip
import io
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np

from vitalwatch.arrays import Ints, Spans
from vitalwatch.context import Context
from vitalwatch.errors import RecordingError
from vitalwatch.readings import Readings
from vitalwatch.recordings.json_lines import JsonLines
from vitalwatch.recordings.ordering import RUN, in_time_order
from vitalwatch.recordings.rows import Dropped, Patients, Rows
from vitalwatch.recordings.wide_csv import WideCsv

AT_ONCE: Final = 1 << 14
"""Readings in a part, at most."""

_GZIP: Final = b"\x1f\x8b"
_BEGINNING: Final = 1 << 12


@dataclass(frozen=True)
class Stream:
    """The readings of a recording in time order; iterate ``parts`` once.

    ``count`` is at least the number of readings; ``first`` and ``last`` are times in ms.
    """

    count: int
    first: int
    last: int
    names: list[str]
    parts: Iterator[Rows]
    _layout: WideCsv | JsonLines

    def messages(self, rows: Rows, shift: int = 0) -> Iterator[tuple[bytes, bytes, int]]:
        """Key, value and time in ms of each row, ``shift`` ms later than recorded."""
        values = self._layout.messages(rows, self.names, shift)
        patients, times = rows["patient"].tolist(), (rows["time"] + shift).tolist()
        for patient, value, time in zip(patients, values, times, strict=True):
            yield self.names[patient].encode(), value, time

    def readings(self, rows: Rows, topic: str, offset: int) -> Readings:
        """Rows as the detector takes them; ``offset`` is that of the first."""
        return Readings(
            topic,
            0,
            Spans.of(self.names[patient] for patient in rows["patient"].tolist()),
            rows["time"].copy(),
            rows["values"].astype(np.float32),
            np.arange(offset, offset + len(rows), dtype=np.int64),
            Context.among(rows["context"]),
        )


class Recording:
    """A file of readings, plain or gzip: wide CSV or JSON Lines.

    Raises RecordingError, with the file and what is wrong, if it is neither. After
    :meth:`stream` has been read, ``dropped`` counts the rows that were left out, and ``ignored``
    says what else of the file was not used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.dropped = Dropped()
        with ExitStack() as stack:
            _, layout = self._open(stack)
            self.ignored = layout.ignored

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    @contextmanager
    def stream(
        self, on_read: Callable[[int], None] = lambda _: None, run: int = RUN
    ) -> Iterator[Stream]:
        """Read the whole file; its readings in time order, at most :data:`AT_ONCE` a part.

        ``on_read`` is told how many bytes of the file have been read. Rows that cannot be read,
        and those whose time is not after the patient's last, are left out. Raises RecordingError
        for a damaged file, and for one without any reading.
        """
        patients = Patients()
        self.dropped = Dropped()
        with ExitStack() as stack:
            raw, layout = self._open(stack)
            with self._explained(layout):
                parts = _watched(layout.parts(patients, self.dropped), raw, on_read)
                ordered = stack.enter_context(in_time_order(parts, run))
            self.ignored = layout.ignored
            if not ordered.count:
                why = f" ({self.dropped})" if self.dropped.counts else ""
                raise RecordingError(f"{self.path} holds no readings{why}.")
            rows = _after_the_last(ordered.parts, len(patients), self.dropped)
            yield Stream(
                ordered.count,
                ordered.first,
                ordered.last,
                list(patients),
                _slices(rows),
                layout,
            )

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, WideCsv | JsonLines]:
        with self._explained():
            raw = stack.enter_context(self.path.open("rb"))
            if raw.peek(2)[:2] == _GZIP:
                unzipped = stack.enter_context(gzip.GzipFile(fileobj=raw))
                beginning = unzipped.peek(_BEGINNING)
                stream = cast(BinaryIO, unzipped)
                spool = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
                copy = cast(BinaryIO, stack.enter_context(spool))
            else:
                beginning = raw.peek(_BEGINNING)
                stream, copy = raw, None
            if beginning.lstrip().startswith(b"{"):
                return raw, JsonLines(stream, self.name, copy)
            if not beginning:
                raise RecordingError("the file is empty.")
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            return raw, WideCsv(text, _stem(self.name))

    @contextmanager
    def _explained(self, layout: WideCsv | JsonLines | None = None) -> Iterator[None]:
        """Turn what goes wrong in reading into a RecordingError that names the file and line."""
        try:
            yield
        except RecordingError as error:
            raise RecordingError(f"{self.path}: {error}") from None
        except UnicodeDecodeError:
            problem = "not UTF-8 text"
        except csv.Error as error:
            problem = str(error)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            problem = "the gzip file is damaged or cut short"
        except IsADirectoryError:
            raise RecordingError(f"{self.path} is a folder: name the files in it.") from None
        except OSError as error:
            raise RecordingError(f"Cannot read {self.path}: {error.strerror}.") from None
        else:
            return
        where = f", after line {layout.line}" if layout else ""
        raise RecordingError(f"{self.path}{where}: {problem}.")


def _stem(name: str) -> str:
    return Path(name.removesuffix(".gz")).stem


def _watched(
    parts: Iterable[Rows], raw: BinaryIO, on_read: Callable[[int], None]
) -> Iterator[Rows]:
    for part in parts:
        on_read(raw.tell())
        yield part


def _after_the_last(parts: Iterable[Rows], patients: int, dropped: Dropped) -> Iterator[Rows]:
    """Drop rows whose time is that of the patient's last one; the rows are in time order."""
    last: Ints = np.full(patients, -1, dtype=np.int64)
    for rows in parts:
        order = np.argsort(rows["patient"], kind="stable")
        patient, time = rows["patient"][order], rows["time"][order]
        before = last[patient]
        same = patient[1:] == patient[:-1]
        before[1:][same] = time[:-1][same]
        fresh = time > before
        last[patient] = time  # of several the last counts, which is the largest
        if fresh.all():
            yield rows
        else:
            dropped.add("time not after the last", int((~fresh).sum()))
            yield rows[np.sort(order[fresh])]


def _slices(parts: Iterable[Rows]) -> Iterator[Rows]:
    for rows in parts:
        for start in range(0, len(rows), AT_ONCE):
            yield rows[start : start + AT_ONCE]
