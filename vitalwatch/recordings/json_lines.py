"""Recordings as JSON Lines: readings as on the wire, one a line."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, Final

import msgspec
import numpy as np

from vitalwatch.messages import Reading
from vitalwatch.recordings.lines import lines_of
from vitalwatch.recordings.rows import ROW, Dropped, Patients, Rows
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.decode import Decoder

_LINES_AT_ONCE: Final = 4096


class JsonLines:
    """The readings of one file; ``line`` is how far it has been read.

    What they hold besides the vital signs (device, ward, bed, …) is kept: :meth:`messages` goes
    back to the lines of the file. Where it cannot seek in the file, because it is compressed,
    ``copy`` is a file that takes a copy of them.
    """

    def __init__(self, stream: BinaryIO, name: str, copy: BinaryIO | None) -> None:
        self.line = 0
        self._stream = stream
        self._copy = copy
        self._source = TopicPartition(name, 0)
        self._unknown = 0

    @property
    def ignored(self) -> str | None:
        """What of the file is not used, in words; known when all of it was read."""
        if not self._unknown:
            return None
        return f"ignored {self._unknown} value{'s' * (self._unknown > 1)} of unknown vitals"

    def parts(self, patients: Patients, dropped: Dropped) -> Iterator[Rows]:
        """All readings in the order of the file."""
        decoder = Decoder(keyed=False)
        start = 0
        all_lines = lines_of(self._stream)
        while some := list(islice(all_lines, _LINES_AT_ONCE)):
            if self._copy is not None:
                self._copy.writelines(some)
            sizes = np.array([len(line) for line in some])
            starts = start + np.cumsum(sizes) - sizes
            start += int(sizes.sum())
            places = [place for place, line in enumerate(some) if not line.isspace()]
            values: list[bytes | None] = [some[place] for place in places]
            batch = RecordBatch.of(
                self._source,
                places,
                [-1] * len(places),
                [None] * len(places),
                values,
                [()] * len(places),
                len(some),
            )
            decoded = decoder.decode(batch)
            for rejected in decoded.rejected:
                line = self.line + places[rejected.index] + 1
                dropped.add(rejected.reason.replace("_", " "), 1, line)
            self._unknown += decoded.unknown_vitals
            self.line += len(some)
            readings = decoded.readings
            rows: Rows = np.zeros(len(readings.patients), ROW)
            rows["patient"] = [patients[name] for name in readings.patients.texts()]
            rows["time"] = readings.times
            rows["values"] = readings.values
            rows["context"] = np.nan
            if readings.context is not None:
                rows["context"][readings.context.places] = readings.context.values
            rows["start"] = starts[readings.offsets]
            rows["size"] = sizes[readings.offsets]
            yield rows

    def messages(self, rows: Rows, names: Sequence[str], shift: int) -> Iterator[bytes]:  # noqa: ARG002
        """Each reading as it stands in the file, ``shift`` ms later than recorded."""
        decode, encode = msgspec.json.Decoder(Reading).decode, msgspec.json.Encoder().encode
        stream = self._stream if self._copy is None else self._copy
        for time, start, size in zip(
            rows["time"].tolist(), rows["start"].tolist(), rows["size"].tolist(), strict=True
        ):
            stream.seek(start)
            line = stream.read(size).strip()
            if shift:
                line = encode(msgspec.structs.replace(decode(line), time=time + shift))
            yield line
