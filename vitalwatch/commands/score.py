"""``vitalwatch score``: score recordings without a broker."""

import argparse
import contextlib
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import msgspec

from vitalwatch import config
from vitalwatch.calibration import units
from vitalwatch.commands.progress import Work
from vitalwatch.errors import ConfigurationError
from vitalwatch.messages import PRIORITIES, Alert

if TYPE_CHECKING:
    from vitalwatch.readings import Detection, Readings
    from vitalwatch.recordings.recording import Recording
    from vitalwatch.recordings.scores import Scores

DESCRIPTION = """\
Score recorded readings and write what the daemon would have published: DIR/alerts.jsonl, the
alert events, and DIR/scores.csv, a row a reading with its patient, time (ms since 1970), rarity
(in patient-days) and the surprise of each vital sign (in nats). Each file is a stream of its own.
Files are wide CSV (patient, time, hr, spo2, rr, sbp, dbp, map, temp, etco2; or a bedside monitor's
export, one patient a file) or JSON Lines of readings, plain or gzip. In a CSV, time is in seconds,
or ISO 8601 (UTC where no offset stands); blank is not measured, 0 is no signal.
"""

EPILOG = """\
examples:
  vitalwatch score ward.csv -o out
  vitalwatch score ward.csv.gz other.jsonl -o out --format parquet --alarms-budget 0.5
  vitalwatch score ward.csv -o out --json | jq .recordings[].alerts
"""

_ADULT: Final = 16
"""Years of age from which NEWS2, the table's limits and the trained network hold."""


class Detector(Protocol):
    """What this needs of :class:`vitalwatch.detector.Detector`."""

    def process(self, batch: "Sequence[Readings]") -> "list[Detection]":
        """Advance by the readings of some partitions."""


@dataclass
class Result:
    """What was found in one recording; ``alerts`` counts by kind and highest priority."""

    recording: str
    readings: int = 0
    patients: int = 0
    late: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = [
            f"{sum(counts.values())} {kind} ("
            + ", ".join(f"{count} {priority}" for priority, count in counts.items())
            + ")"
            for kind, counts in self.alerts.items()
        ]
        text = (
            f"{self.recording}: {self.readings} readings of {self.patients} "
            f"{'patient' if self.patients == 1 else 'patients'}; "
            f"alerts: {' and '.join(kinds) if kinds else 'none'}"
        )
        return text + (f"; {self.late} readings were late and not scored" if self.late else "")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "score",
        help="score recordings without a broker",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results"
    )
    parser.add_argument(
        "--format",
        choices=("csv", "parquet"),
        default="csv",
        help="of the scores; parquet needs vitalwatch[parquet] [default: csv]",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    config.add_flags(parser, "model", "alarms")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score the files."""
    # Here and not above: numba takes a second to import, and --help needs none of it.
    from vitalwatch.detector import Detector as NetworkDetector
    from vitalwatch.model import checkpoint
    from vitalwatch.recordings.recording import Recording

    settings = config.load(arguments)
    recordings = [Recording(path) for path in arguments.files]
    model = checkpoint.load(settings.model.path)
    results = score(
        recordings,
        arguments.output,
        arguments.format,
        lambda: NetworkDetector(model, settings.alarms),
    )
    if arguments.json:
        summary = {"model": model.fingerprint, "recordings": results}
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        sys.stdout.writelines(f"{result}\n" for result in results)
    return 0


def score(
    recordings: "Sequence[Recording]",
    output: Path,
    scores_format: str,
    detector: Callable[[], Detector],
) -> list[Result]:
    """Score each recording with a detector of its own; write the files, complete or not at all.

    Raises ConfigurationError if ``output`` cannot be written to.
    """
    from vitalwatch.recordings.scores import FORMATS

    gc.freeze()  # what is there for good need not be looked at: reading takes half the time
    try:
        output.mkdir(parents=True, exist_ok=True)
        with (
            Work() as work,
            _written(output / f"scores.{scores_format}", FORMATS[scores_format]) as scores,
            _written(output / "alerts.jsonl", lambda path: path.open("wb")) as alerts,
        ):
            return [_score(each, detector(), scores, alerts, work) for each in recordings]
    except FileExistsError:
        raise ConfigurationError(f"{output} is a file: -o names a folder.") from None
    except OSError as error:
        raise ConfigurationError(f"Cannot write to {output}: {error.strerror}.") from None


@contextlib.contextmanager
def _written(path: Path, opened: Callable[[Path], Any]) -> Iterator[Any]:
    """A file under another name until it is complete."""
    partial = path.with_name(path.name + ".partial")
    try:
        with contextlib.closing(opened(partial)) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _score(
    recording: "Recording", detector: Detector, scores: "Scores", alerts: IO[bytes], work: Work
) -> Result:
    result = Result(recording.name)
    worst: dict[str, Alert] = {}
    encode = msgspec.json.Encoder().encode
    children = False
    with recording.stream(work.bar(f"reading {recording.name}", recording.size)) as stream:
        bar = work.bar(f"scoring {recording.name}", stream.count)
        for rows in stream.parts:
            if not result.readings:  # the beginning tells what units it is in
                for doubt in units.doubts(rows["values"]):
                    work.say(f"{recording.name}: {doubt}; it is scored as it is")
            readings = stream.readings(rows, recording.name, result.readings)
            children |= _of_children(readings)
            (detection,) = detector.process([readings])
            scores.write(readings, detection)
            for alert in detection.alerts:
                alerts.write(encode(alert) + b"\n")
                before = worst.get(alert.alert_id, alert)
                worst[alert.alert_id] = max(
                    before, alert, key=lambda event: PRIORITIES.index(event.priority)
                )
            result.readings += len(rows)
            result.late += int(detection.late.sum())
            bar(result.readings)
        result.patients = len(stream.names)
    result.dropped = dict(recording.dropped.counts)
    for kind in ("physiological", "technical"):
        counts = Counter(alert.priority for alert in worst.values() if alert.kind == kind)
        if counts:
            result.alerts[kind] = {word: counts[word] for word in PRIORITIES if counts[word]}
    if children:
        work.say(
            f"{recording.name}: some are younger than {_ADULT}: limits and network are "
            "adults', so that what is usual at their age may be alarmed"
        )
    for note in (str(recording.dropped) if recording.dropped.counts else "", recording.ignored):
        if note:
            work.say(f"{recording.name}: {note}")
    return result


def _of_children(readings: "Readings") -> bool:
    from vitalwatch import context

    said = readings.context
    return said is not None and bool((said.values[:, context.AGE] < _ADULT).any())
