"""``vitalwatch audit``: run readings again and compare with what was said of them."""

import argparse
import gc
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vitalwatch import config
from vitalwatch.commands.watch import since
from vitalwatch.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from vitalwatch.audit.logs import Log, Topic
    from vitalwatch.audit.report import Difference, Report
    from vitalwatch.audit.rerun import Committed
    from vitalwatch.stream.broker import TopicPartition
    from vitalwatch.stream.kafka import KafkaBroker

DESCRIPTION = """\
Run the readings of the input topic again, with this model and these settings, and compare the
scores, alerts and dead letters with those that were committed: equal, or the first difference.
The patients' state is built from all readings that are retained, so that it is that of then.
Nothing is written, and no group is joined. Patients are named by partition and offset alone.

With FILEs, the readings are those of a recording of the input topic, as kcat writes it:

  kcat -C -b 127.0.0.1:9092 -t vitals.readings -o beginning -e -q -J > readings.jsonl

With recordings of the other topics, made in the same way, no broker is asked; what is not given
is not compared.
"""

EPILOG = """\
examples:
  vitalwatch audit                                      all that is retained and scored
  vitalwatch audit --since 2026-01-06T00:00:00Z --until 2026-01-07T00:00:00Z
  vitalwatch audit --from-offset 3:120000 --to-offset 3:130000 --json | jq .first
  vitalwatch audit readings.jsonl --scores scores.jsonl --alerts alerts.jsonl \\
                   --dead-letters dead-letters.jsonl

Times are those of the records. Scores are compared as they are written, to the last digit: audit
with the daemon's version of VitalWatch. Exit codes: 0 equal, 1 not.
"""

_MOST_HOURS = 1_000_000
_PLURALS = {"score": "scores", "alert": "alerts", "dead letter": "dead letters"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "audit",
        help="run readings again and compare with the committed scores and alerts",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="recorded readings")
    for name in ("scores", "alerts", "dead-letters"):
        parser.add_argument(
            f"--{name}",
            metavar="FILE",
            action="append",
            type=Path,
            default=[],
            help=f"recorded {name.replace('-', ' ')}; may be repeated",
        )
    parser.add_argument("--since", metavar="WHEN", help="readings from then on: 2h, 1d, RFC 3339")
    parser.add_argument("--until", metavar="WHEN", help="readings before then")
    for name, what in (("from", "from"), ("to", "below")):
        parser.add_argument(
            f"--{name}-offset",
            metavar="PARTITION:OFFSET",
            action="append",
            type=_offset,
            default=[],
            help=f"readings of this partition {what} this offset; may be repeated",
        )
    parser.add_argument(
        "--history",
        metavar="HOURS",
        type=_hours,
        help="build the state from so many hours before the range only: quicker, but the state, "
        "and so what comes of it, may not be that of then [default: all that is retained]",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    config.add_flags(parser, "kafka", "topics", "daemon.group", "scores", "alarms", "model")
    parser.set_defaults(run=run)


def _offset(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not PARTITION:OFFSET, such as 3:120000")
    return int(partition), int(offset)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= _MOST_HOURS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of hours of at least 0 and at most {_MOST_HOURS:,}"
        )
    return hours


def run(arguments: argparse.Namespace) -> int:
    """Audit; 1 if anything differs."""
    settings = config.load(arguments)
    recorded = [*arguments.scores, *arguments.alerts, *arguments.dead_letters]
    if recorded and not arguments.files:
        raise UsageError("Name the recording of the readings beside those of the outputs.")
    with ExitStack() as stack:
        # Here and not above: these take a second to import, and --help needs none of them.
        from vitalwatch.recordings.topic_file import TopicFile
        from vitalwatch.stream import kafka

        files = TopicFile(arguments.files) if arguments.files else None
        if files and not files.topic:
            raise UsageError(f"{arguments.files[0]} holds no readings to be audited.")
        topic = files.topic if files else settings.topics.readings
        if files and recorded:
            return _audit(arguments, settings, topic, files, _in_files(arguments), {})
        broker = stack.enter_context(closing(kafka.connect(settings.kafka)))
        _check(broker, settings, [] if files else [topic])
        reached = _reached(broker, settings.daemon.group, topic)
        committed = _on_broker(broker, settings)
        return _audit(arguments, settings, topic, files or broker, committed, reached)


def _audit(
    arguments: argparse.Namespace,
    settings: config.Settings,
    topic: str,
    readings: "Log",
    committed: "Committed",
    reached: "Mapping[TopicPartition, int]",
) -> int:
    from vitalwatch.audit.ranges import Limits, spans
    from vitalwatch.audit.rerun import audit
    from vitalwatch.commands.progress import Work

    now = round(time.time() * 1000)
    limits = Limits(
        arguments.since and since(arguments.since, now),
        arguments.until and since(arguments.until, now, "--until"),
        dict(arguments.from_offset),
        dict(arguments.to_offset),
        arguments.history,
    )
    wanted = spans(readings, topic, limits, reached)

    # Last, after all that may be wrong: its loops take a while to be ready.
    from vitalwatch.checkup.scoring import build
    from vitalwatch.detector import Detector
    from vitalwatch.model import checkpoint

    model = checkpoint.load(settings.model.path)
    detector = Detector(model, settings.alarms)
    gc.freeze()
    with Work() as work:
        report = audit(wanted, readings, committed, detector, settings, model.fingerprint, work.bar)
    lines = as_json(report, build()) if arguments.json else as_text(report, build())
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0 if report.equal else 1


def _reached(broker: "KafkaBroker", group: str, topic: str) -> "Mapping[TopicPartition, int]":
    """How far the group has come. Before its outputs are looked at: they are all there then."""
    from vitalwatch.stream import inspection

    reached = inspection.committed(broker, group)
    if any(source.topic == topic for source in reached):
        return defaultdict(int, reached)  # nothing is scored yet of the other partitions
    sys.stderr.write(
        f"vitalwatch: group {group} has committed nothing of {topic} that is still known: "
        "comparing to its end\n"
    )
    return {}


def _check(broker: "KafkaBroker", settings: config.Settings, needed: list[str]) -> None:
    """Raise BrokerError if any of the topics ``needed``, or of the outputs, is missing."""
    topics = settings.topics
    needed = [*needed, topics.alerts, topics.dead_letters]
    needed += [] if settings.scores.emit == "none" else [topics.scores]
    found = broker.topics(needed)
    missing = [name for name in needed if name not in found]
    if missing:
        raise BrokerError(
            f"There is no topic {', '.join(missing)}: correct --topics-prefix and --scores-emit."
        )


def _on_broker(broker: "KafkaBroker", settings: config.Settings) -> "Committed":
    from vitalwatch.audit.logs import Topic
    from vitalwatch.audit.rerun import Committed

    topics, emit = settings.topics, settings.scores.emit
    scores = Topic(broker, topics.scores, scattered=emit == "reading")
    alerts, letters = Topic(broker, topics.alerts), Topic(broker, topics.dead_letters)
    return Committed(None if emit == "none" else scores, alerts, letters)


def _in_files(arguments: argparse.Namespace) -> "Committed":
    from vitalwatch.audit.logs import Topic
    from vitalwatch.audit.rerun import Committed
    from vitalwatch.recordings.topic_file import TopicFile

    def recorded(paths: list[Path]) -> "Topic | None":
        if not paths:
            return None
        file = TopicFile(paths)
        return Topic(file, file.topic, scattered=True)

    return Committed(
        recorded(arguments.scores), recorded(arguments.alerts), recorded(arguments.dead_letters)
    )


def as_json(report: "Report", build: str) -> Iterator[str]:
    """The report as one JSON object; ``build`` names processor and compiler."""
    from vitalwatch.audit import reasons

    content = {
        "equal": report.equal,
        "first": report.first,
        "totals": report.totals,
        "notes": list(reasons.notes(report)),
        "reasons": list(reasons.reasons(report, build)),
        "report": report,
        "build": build,
    }
    yield msgspec.json.encode(content).decode()


def as_text(report: "Report", build: str) -> Iterator[str]:
    """The report for a person, line by line."""
    from vitalwatch.audit import reasons

    totals = report.totals
    yield f"{report.topic}, run again with model {report.model}"
    yield ""
    rows: list[Sequence[str]] = [("partition", "offsets", *(_PLURALS[kind] for kind in totals))]
    for part in report.parts:
        offsets = f"{part.start:,} to {part.end - 1:,}"
        cells = [_counted(msgspec.to_builtins(part.counts[kind])) for kind in totals]
        rows.append((str(part.partition), offsets, *cells))
    if len(report.parts) > 1:
        rows.append(("all", "", *(_counted(msgspec.to_builtins(each)) for each in totals.values())))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    first = report.first
    if first is not None:
        yield from _difference(first)
        yield ""
    for sentence in (*reasons.notes(report), *reasons.reasons(report, build)):
        yield f"- {sentence}"
    yield "Equal." if report.equal else "Not equal."


def _counted(counts: Mapping[str, int]) -> str:
    """``12 equal, 1 missing``."""
    told = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    return ", ".join(told) or "none"


def _difference(first: "Difference") -> Iterator[str]:
    where = f"partition {first.source.partition}, offset {first.source.offset}"
    yield f"First difference: the {first.kind} of {where} is {_WHAT[first.what]}"
    if first.name:
        yield f"  {first.kind}: {first.name}"
    if first.record:
        yield f"  committed as: {first.record}"
    if first.fields:
        rows = [("field", "committed", "recomputed")]
        rows += [(f.name, _shown(f.committed), _shown(f.recomputed)) for f in first.fields]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for name, one, other in rows:
            yield f"  {name.ljust(widths[0])}  {one.ljust(widths[1])}  {other}"


_WHAT = {
    "different": "different",
    "missing": "missing: it is recomputed but was not committed",
    "unexpected": "unexpected: it was committed but is not recomputed",
    "twice": "there twice, or out of order",
}


def _shown(value: Any) -> str:
    return "-" if value is None else msgspec.json.encode(value).decode()
