"""``vitalwatch explain``: why a recorded patient's score is what it is."""

import argparse
import contextlib
import datetime
import importlib.util
import sys
from pathlib import Path
from typing import Final

import msgspec

from vitalwatch import config
from vitalwatch.commands.progress import Work
from vitalwatch.errors import UsageError

DESCRIPTION = """\
Replay a recording up to a moment and say why the patient's score is what it is there: each vital's
share of the hazard, what was observed and expected, in what direction and since when; and by
integrated gradients which vital, at which past time, raised or lowered the network's risk.
The moment is that of --alert, or --time, or else the first alert of a deterioration, or else the
highest score. Files are those of `vitalwatch score`.
"""

EPILOG = """\
examples:
  vitalwatch explain ward.csv
  vitalwatch explain ward.csv --patient bed-7 --time 2026-01-01T09:30:00Z
  vitalwatch explain ward.csv --alert 3f2c09aa          an alert of alerts.jsonl, or how it begins
  vitalwatch explain ward.csv --json | jq .vitals[0]
  vitalwatch explain ward.csv --output why.png          and a heat map, with matplotlib

A contribution of +0.30 doubles the risk. Contributions are counted from the same course with every
value at the patient's own usual at the time, and add up to the difference from it within the
tolerance that is printed.
"""

_EARLIEST, _LATEST = -6.2e13, 2.5e14
"""ms since 1970, of the years 5 and 9892: beyond lies what no calendar has."""

_MILLISECONDS: Final = 1e11
"""A larger number is no time in seconds, before the year 5138."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "explain",
        help="say why a recorded patient's score is what it is",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="recording")
    parser.add_argument("--patient", metavar="P", help="whose score [default: see above]")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--time",
        metavar="TIME",
        help="when: ISO 8601 (UTC where no offset stands), seconds as in a CSV, or milliseconds "
        "as in alerts.jsonl",
    )
    which.add_argument("--alert", metavar="ID", help="an alert's id, or how it begins")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE.png", type=Path, help="write a heat map; needs matplotlib"
    )
    config.add_flags(parser, "model", "alarms")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain one moment."""
    time = None if arguments.time is None else _time(arguments.time)
    if arguments.output is not None:
        _can_draw(arguments.output)
    # Here and not above: torch takes seconds to import, and --help needs none of it.
    import torch
    from rich.console import Console

    from vitalwatch.commands import explain_view
    from vitalwatch.detector import Detector
    from vitalwatch.explanation import gradients, moment, report, scores
    from vitalwatch.model import checkpoint
    from vitalwatch.recordings.recording import Recording

    torch.set_num_threads(1)
    settings = config.load(arguments)
    recording = Recording(arguments.file)
    model = checkpoint.load(settings.model.path)
    wish = moment.Wish(arguments.patient, time, arguments.alert)
    with Work() as work:
        found = moment.find(recording, lambda: Detector(model, settings.alarms), wish, work.bar)
        (scored,) = scores.scored(model, [found.course])
        integrating = work.bar("integrating", gradients.STEPS[-1])
        attribution = gradients.attribute(
            model.forecaster(), found.course, scores.risk_weight(model), report=integrating
        )
        for note in (str(recording.dropped) if recording.dropped.counts else "", recording.ignored):
            if note:
                work.say(f"{recording.name}: {note}")
    told = report.report(found, scored, attribution, gradients.TOLERANCE)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        Console().print(explain_view.render(told))
    if arguments.output is not None and told.gradients is not None:
        try:
            explain_view.draw(told.gradients, f"{told.patient}, {told.moment}", arguments.output)
        except OSError as error:
            raise UsageError(f"Cannot write {arguments.output}: {error.strerror}.") from None
    return 0


def _can_draw(path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--output needs matplotlib: `pip install vitalwatch[evaluation]`, or leave it out."
        )
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"--output {path}: name a .png, .pdf or .svg file.")


def _time(text: str) -> int:
    """Milliseconds since 1970. Raises UsageError for what is no time."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if abs(number) < _MILLISECONDS:
            number *= 1000
        if _EARLIEST < number < _LATEST:  # not if it is NaN
            return round(number)
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        if _EARLIEST < (ms := moment.timestamp() * 1000) < _LATEST:
            return round(ms)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"--time {text}: give it like 2026-01-01T09:30:00Z, or as seconds or milliseconds."
    )
