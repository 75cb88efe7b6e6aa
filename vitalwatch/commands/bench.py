"""``vitalwatch bench``: how many patients this machine can carry."""

import argparse
import gc
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from vitalwatch import config
from vitalwatch.errors import UsageError

if TYPE_CHECKING:
    from vitalwatch.arrays import Ints
    from vitalwatch.model.checkpoint import Model
    from vitalwatch.stream.broker import RecordBatch

DESCRIPTION: Final = """\
Measure, without a broker, how fast one core of this machine takes readings from bytes to scores
and alerts in bytes: decode, detect (the network, its evidence and the alarms), encode. The patients
are simulated; what is read is what a daemon finds when it works off a backlog. Reading from Kafka
and committing to it come on top.
"""

EXAMPLES: Final = """\
examples:
  vitalwatch bench                              about half a minute
  vitalwatch bench --patients 500 --seconds 3   a ward, quickly
  vitalwatch bench --patients 1000 1000000      needs 4 GB of memory
  vitalwatch bench --json > capacity.json

The table goes to standard output, progress to standard error. Other programs that compute at the
same time make the figures worse.
"""

STAGES: Final = ("decode", "detect", "encode")
PARTITIONS: Final = 8
MEMORY_FOR: Final = (1_000, 10_000, 100_000, 1_000_000)

_SEED: Final = 1
_MOST_SECONDS: Final = 20  # of a backlog of few patients
_LEAST_READINGS: Final = 20_000
_DIGITS: Final = 13  # of a time in ms, from 2001 to 2286


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured with so many ``patients``: seconds by stage for so many ``readings``."""

    patients: int
    readings: int
    seconds: dict[str, float]

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / sum(self.seconds.values())

    def microseconds(self, stage: str) -> float:
        """What a stage costs a reading."""
        return self.seconds[stage] / self.readings * 1e6


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "bench",
        help="measure how many patients this machine can carry",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--patients",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        metavar="N",
        help="numbers of patients to measure with [default: 1000 10000 100000]",
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="time to measure for, in all [default: 20]"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    config.add_flags(parser, "scores", "alarms", "model")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    settings = config.load(arguments)
    if not 0 < arguments.seconds < math.inf:
        raise UsageError("--seconds must be above 0.")
    if not all(1 <= count <= 5_000_000 for count in arguments.patients):
        raise UsageError("--patients must be 1 to 5000000.")
    from vitalwatch.commands.progress import Work
    from vitalwatch.detector import Detector
    from vitalwatch.model import checkpoint

    model = checkpoint.load(settings.model.path)
    counts = sorted(set(arguments.patients))
    rows = []
    with Work() as work:
        for count in counts:
            done = work.bar(f"{count:,} patients", 1.0)
            rows.append(measure(model, settings, count, arguments.seconds / len(counts), done))
    state = Detector(model, settings.alarms).row_bytes
    if arguments.json:
        print(json.dumps(_report(rows, state, model.fingerprint), indent=2))  # noqa: T201
    else:
        _print(rows, state, model.fingerprint)
    return 0


def measure(
    model: "Model",
    settings: config.Settings,
    patients: int,
    seconds: float,
    progress: Callable[[float], None] = lambda _: None,
) -> Row:
    """Work off readings of so many patients for so many seconds; what is prepared is not counted.

    ``progress`` is called with the share that is done, 0 to 1.
    """
    import msgspec

    from vitalwatch.detector import Detector
    from vitalwatch.stream import score_blocks
    from vitalwatch.stream.decode import Decoder

    decoder, detector = Decoder(), Detector(model, settings.alarms)
    encode, clock = msgspec.json.Encoder().encode, time.perf_counter
    spent = dict.fromkeys(STAGES, 0.0)
    readings = 0
    backlog = _Backlog(patients, settings.daemon.max_records)
    gc.collect()
    gc.freeze()  # as the daemon does
    try:
        for turn, batch in backlog.turns():
            began = clock()
            decoded = decoder.decode(batch).readings
            ready = clock()
            (detection,) = detector.process([decoded])
            found = clock()
            for _ in score_blocks.blocks(
                decoded, detection, model.fingerprint, settings.scores.emit
            ):
                pass
            for alert in detection.alerts:
                encode(alert)
            ended = clock()
            if not turn:
                continue  # patients are new, and kernels may be compiled
            lengths = (ready - began, found - ready, ended - found)
            for stage, length in zip(STAGES, lengths, strict=True):
                spent[stage] += length
            readings += len(batch)
            progress(sum(spent.values()) / seconds)
            if sum(spent.values()) >= seconds:
                break
    finally:
        gc.unfreeze()
    return Row(patients, readings, spent)


class _Backlog:
    """Readings of simulated patients as batches of one partition each, again and again, later."""

    def __init__(self, patients: int, batch: int) -> None:
        """At most ``batch`` readings a batch."""
        import msgspec
        import numpy as np

        from simulator import Ward
        from simulator.publish import readings
        from vitalwatch.messages import epoch_ms

        encode = msgspec.json.Encoder().encode
        ward = Ward(patients, _SEED, 1.0)
        self._seconds = min(_MOST_SECONDS, math.ceil(_LEAST_READINGS / patients))
        # Patients come in order of their moment within the second, one partition after the other.
        wire: list[list[tuple[bytes, bytes, int]]] = [[] for _ in range(PARTITIONS)]
        for times, values in ward.frames(self._seconds):
            order = np.argsort(times, kind="stable")
            names = [ward.patients[row] for row in order]
            for each in readings(names, times[order], values[order]):
                partition = int(each.patient[-6:]) % PARTITIONS
                wire[partition].append((each.patient.encode(), encode(each), epoch_ms(each.time)))
        self._batches = [
            _Batch(partition, part[begin : begin + batch])
            for partition, part in enumerate(wire)
            for begin in range(0, len(part), batch)
        ]

    def turns(self) -> Iterator[tuple[int, "RecordBatch"]]:
        """Batches without end, each with the number of times that all have been given before."""
        turn = 0
        while True:
            for batch in self._batches:
                yield turn, batch.later(turn * self._seconds * 1000)
            turn += 1


class _Batch:
    """Readings on the wire, whose times can be moved."""

    def __init__(self, partition: int, wire: list[tuple[bytes, bytes, int]]) -> None:
        import numpy as np

        from vitalwatch.arrays import Spans
        from vitalwatch.stream.broker import TopicPartition

        self._source = TopicPartition("bench", partition)
        keys, values, times = zip(*wire, strict=True)
        self._keys, self._values = Spans.of(keys), Spans.of(values)
        self._values.data = self._values.data.copy()  # to be written to
        self._times: Ints = np.array(times, dtype=np.int64)
        marks = [value.index(b'"time":') + len(b'"time":') for value in values]
        self._places: Ints = self._values.starts + np.array(marks, dtype=np.int64)

    def later(self, milliseconds: int) -> "RecordBatch":
        """The same readings, so much later than at first."""
        import numpy as np

        from vitalwatch.stream.broker import RecordBatch

        times = self._times + milliseconds
        powers = 10 ** np.arange(_DIGITS - 1, -1, -1)
        digits = times[:, None] // powers % 10 + ord("0")
        self._values.data[self._places[:, None] + np.arange(_DIGITS)] = digits
        offsets = np.arange(len(times))
        headers: list[tuple[()]] = [()] * len(times)
        return RecordBatch(
            self._source, offsets, times, self._keys, self._values, headers, len(times)
        )


def _report(rows: list[Row], state: int, fingerprint: str) -> dict[str, Any]:
    return {
        "machine": _machine(),
        "model": fingerprint,
        "measured": [
            {
                "patients": row.patients,
                "readings_per_second": round(row.rate),
                "microseconds_per_reading": {
                    stage: round(row.microseconds(stage), 3) for stage in STAGES
                },
            }
            for row in rows
        ],
        "patients_at_1_hz": _capacity(rows),
        "state_bytes_per_patient": state,
        "state_bytes": {str(count): state * count for count in MEMORY_FOR},
    }


def _capacity(rows: list[Row]) -> int:
    """Patients, each read once a second, that one core keeps up with: two digits are enough.

    Judged by the measurement with the number of patients that is nearest to the answer.
    """
    nearest = min(rows, key=lambda row: abs(math.log(row.rate / row.patients)))
    return int(float(f"{nearest.rate:.1e}"))


def _print(rows: list[Row], state: int, fingerprint: str) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Console(soft_wrap=True, highlight=False, markup=False)
    table = Table("patients", "readings/s", *(f"{stage}, µs" for stage in STAGES), box=None)
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        stages = (f"{row.microseconds(stage):.2f}" for stage in STAGES)
        table.add_row(f"{row.patients:,}", f"{row.rate:,.0f}", *stages)
    out.print(f"{_machine()}; model {fingerprint}; one core, without Kafka\n")
    out.print(table)
    memory = ", ".join(f"{count:,} {_size(state * count)}" for count in MEMORY_FOR)
    out.print(
        f"\nOne core keeps up with some {_capacity(rows):,} patients who are read once a second.\n"
        f"State is {state:,} bytes a patient; for patients: {memory}."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _machine() -> str:
    cores = os.cpu_count()
    return (
        f"{platform.system()} {platform.machine()}, {cores} cores; Python "
        f"{platform.python_version()}, numba {version('numba')}"
    )
