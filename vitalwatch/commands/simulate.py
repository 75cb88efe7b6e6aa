"""``vitalwatch simulate``: a ward of simulated patients, to a file, to Kafka or to the screen."""

import argparse
import datetime
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from simulator import Ward, scenarios, styles
from simulator.publish import (
    JsonLines,
    Live,
    Output,
    Pace,
    Topics,
    WideCsv,
    create,
    play,
    write_truth,
)
from simulator.ward import DEFAULT_START
from vitalwatch import config
from vitalwatch.errors import UsageError
from vitalwatch.messages import rfc3339

DESCRIPTION: Final = """\
Simulate patients on their monitors: coupled physiology, cuff and spot readings, artefacts,
daily life that must not alarm, and deteriorations whose truth is known. The same seed gives the
same readings. Without --to or --kafka, readings go to standard output as JSON Lines.
"""

EPILOG: Final = f"""\
scenarios (--scenario): mixed (any of them), none (stable patients only), or some of
  {", ".join(scenarios.NAMES[:4])},
  {", ".join(scenarios.NAMES[4:9])},
  {", ".join(scenarios.NAMES[9:])}

styles (--style): how the patients are watched, and so what is seen of them
{chr(10).join(f"  {style.name:10}{style.about}" for style in styles.STYLES.values())}

examples:
  vitalwatch simulate --patients 4                      four patients, live, on the screen
  vitalwatch simulate --patients 1000 --duration 1d --to ward.jsonl.gz --truth truth.jsonl
                                                        a day of a large ward, as fast as possible
  vitalwatch simulate --scenario sepsis --share 1 --onset 1h --duration 16h --to sepsis.csv
  vitalwatch simulate --style charted --duration 2d --to charts.csv
  vitalwatch simulate --patients 200 --kafka            live to Kafka, until Ctrl+C
  vitalwatch simulate --kafka --duration 6h --speed 60 --topics-prefix trial
                                                        six hours to Kafka within six minutes

Times are 90, 90s, 15m, 6h or 2d. The truth (what happens to whom, from when, and when it becomes
critical) is never among the readings: it goes to --truth FILE as JSON Lines and, with --kafka, to
the topic PREFIX.truth.
"""

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``15m``, ``6h`` or ``2d``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 15m, 6h or 2d")
    return float(match[1]) * _UNITS[match[2]]


def _span(text: str) -> tuple[float, float]:
    """``30m`` or ``30m-6h`` as seconds."""
    parts = [_duration(part) for part in text.split("-")]
    if len(parts) > 2 or parts[0] > parts[-1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time: write 30m, or 30m-6h")
    return parts[0], parts[-1]


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to 1")
    return share


def _speed(text: str) -> float:
    words = {"realtime": 1.0, "max": math.inf}
    try:
        speed = words[text] if text in words else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: write realtime, max, or a number")
    return speed


def _instant(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write for example 2026-01-01T08:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "simulate",
        help="simulate a ward of patients, to a file or to Kafka",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ward = parser.add_argument_group("the ward")
    ward.add_argument(
        "--patients", type=int, default=20, metavar="N", help="how many patients [default: 20]"
    )
    ward.add_argument(
        "--interval",
        type=_duration,
        metavar="TIME",
        help="time between a patient's readings, 1s or more [default: the style's; ward: 5s]",
    )
    ward.add_argument(
        "--style",
        default="ward",
        metavar="NAME",
        help="how patients are watched: a name from below [default: ward]",
    )
    ward.add_argument(
        "--duration", type=_duration, metavar="TIME", help="simulated time; else until Ctrl+C"
    )
    ward.add_argument("--seed", type=int, default=1, help="another seed, another ward [default: 1]")
    ward.add_argument(
        "--scenario",
        default="mixed",
        metavar="NAME,…",
        help="what happens: mixed, none, or names from below [default: mixed]",
    )
    ward.add_argument(
        "--share",
        type=_share,
        default=0.5,
        metavar="SHARE",
        help="share of patients who deteriorate in a day, 0 to 1 [default: 0.5]",
    )
    ward.add_argument(
        "--onset",
        type=_span,
        default=(1800.0, 6 * 3600.0),
        metavar="TIME[-TIME]",
        help="when deteriorations begin, from the start of each day [default: 30m-6h]",
    )
    ward.add_argument(
        "--start",
        type=_instant,
        metavar="TIME",
        help="time of the first reading, ISO 8601 [default: now if realtime; with a faster speed"
        " so that it ends now on Kafka, and a fixed day elsewhere]",
    )
    ward.add_argument(
        "--speed",
        type=_speed,
        metavar="realtime|N|max",
        help="how fast simulated time passes [default: max to a file, else realtime]",
    )
    output = parser.add_argument_group("output")
    where = output.add_mutually_exclusive_group()
    where.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="write readings to FILE: .jsonl (as on the wire) or .csv (one column a vital sign),"
        " compressed with .gz",
    )
    where.add_argument("--kafka", action="store_true", help="publish readings and truth to Kafka")
    output.add_argument(
        "--truth", type=Path, metavar="FILE", help="write the truth to FILE as JSON Lines"
    )
    config.add_flags(parser, "kafka", "topics")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Simulate."""
    settings = config.load(arguments)
    if arguments.seed < 0:
        raise UsageError("--seed must be 0 or more.")
    speed, duration = arguments.speed, arguments.duration
    if speed is None:
        speed = math.inf if arguments.to else 1.0
    if duration is None and arguments.to:
        raise UsageError("A file needs an end: say --duration, for example --duration 6h.")
    if duration is None and speed != 1 and arguments.kafka:
        raise UsageError(
            "Faster than real time, simulated time would run ahead of the clock, which Kafka "
            "refuses: say --duration, so that it can end now."
        )
    ward = Ward(
        arguments.patients,
        arguments.seed,
        arguments.interval or styles.style(arguments.style).interval,
        start_ms=_start(arguments, speed),
        scenarios=_scenarios(arguments.scenario),
        share=arguments.share,
        onset=arguments.onset,
        every=max(86_400.0, arguments.onset[1]),
        style=arguments.style,
    )
    frames = None if duration is None else max(1, round(duration / ward.interval))
    readings, interrupted = 0, False
    with _output(arguments, settings) as output, _progress(frames) as progress:
        task = progress.add_task("simulating", total=frames)
        try:
            for written in play(ward, output, Pace(speed), frames):
                readings += written
                progress.advance(task)
        except KeyboardInterrupt:
            interrupted = True
    if arguments.truth:
        write_truth(arguments.truth, ward.truth)
    _report(ward, readings)
    # without an end of its own, that is how it ends
    return 130 if interrupted and frames is not None else 0


def _start(arguments: argparse.Namespace, speed: float) -> int:
    if arguments.start is not None:
        start: int = arguments.start
        return start
    if speed == 1:
        return round(time.time() * 1000)
    if arguments.kafka:
        ahead: float = arguments.duration * max(1 - 1 / speed, 0)
        return round((time.time() - ahead) * 1000)
    return DEFAULT_START


def _scenarios(text: str) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in text.split(","))
    return None if names == ("none",) else names


@contextmanager
def _output(arguments: argparse.Namespace, settings: config.Settings) -> Iterator[Output]:
    """Where the readings go, closed at the end."""
    with ExitStack() as stack:
        output: Output
        if arguments.kafka:
            # kafka-python takes a while to import, which no other way of using this needs
            from vitalwatch.stream.kafka import connect

            broker = connect(settings.kafka)
            stack.callback(broker.close)
            publisher = broker.publisher()
            stack.callback(publisher.close)
            output = Topics(publisher, settings.topics.readings, settings.topics.truth)
        elif arguments.to:
            form = _form(arguments.to)
            output = form(stack.enter_context(create(arguments.to)))
        else:
            output = Live(sys.stdout.buffer)
        yield output
        output.close()


def _form(path: Path) -> type[JsonLines] | type[WideCsv]:
    """How a file of this name is written."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return WideCsv
    if name.endswith((".jsonl", ".ndjson")):
        return JsonLines
    raise UsageError(f"Cannot tell the form of {path}: name it .jsonl or .csv, or either with .gz.")


def _progress(frames: int | None) -> Progress:
    """A bar on standard error, if a person looks at it."""
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    if frames is not None:
        columns.append(TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)


def _report(ward: Ward, written: int) -> None:
    events = [truth for truth in ward.truth if not truth.benign]
    critical = sum(truth.critical is not None for truth in events)
    sys.stderr.write(
        f"{written:,} readings of {len(ward):,} patients from {rfc3339(ward.start_ms)}: "
        f"{len(events):,} deteriorations begun, {critical:,} of them critical.\n"
    )
