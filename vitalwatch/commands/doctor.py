"""``vitalwatch doctor``: what is wrong with this machine, the broker and the topics."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from vitalwatch import config
from vitalwatch.errors import BrokerError, CheckpointError

if TYPE_CHECKING:
    from vitalwatch.checkup.finding import Finding

DESCRIPTION = """\
Check this machine (Python, libraries, the model, that scores have the same bits in any batch,
memory) and the cluster (broker, clock, topics and their settings, rights, workers,
snapshots of state, the newest readings). A line a finding: what it means, and what to do. It
writes nothing, and joins no group.
"""

EPILOG = """\
examples:
  vitalwatch doctor
  vitalwatch doctor --local                        this machine only, without a broker
  vitalwatch doctor --patients 1000000             is there memory for so many?
  vitalwatch doctor --config vitalwatch.toml --json | jq '.findings[] | select(.status != "ok")'

Exit codes: 0 nothing is at fault (there may be warnings), 78 a setting, a file, the broker or a
topic is, 1 something else is.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "doctor",
        help="check this machine, the broker and the topics, and say what to do",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--local", action="store_true", help="leave the broker out")
    parser.add_argument(
        "--patients",
        metavar="N",
        type=_patients,
        default=100_000,
        help="how many are to be watched at once by a worker [default: 100000]",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    config.add_flags(parser, "kafka", "topics", "daemon.group", "alarms", "model")
    parser.set_defaults(run=run)


def _patients(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Check; 78 or 1 if something is at fault."""
    settings = config.load(arguments)
    found: list[Finding] = []
    for finding in _findings(arguments, settings):
        found.append(finding)
        if not arguments.json:
            sys.stdout.write(_line(finding) + "\n")
            sys.stdout.flush()  # some checks take seconds
    faults = [finding for finding in found if finding.status == "fault"]
    if arguments.json:
        content = {"healthy": not faults, "findings": found}
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    if not faults:
        return 0
    return 78 if any(finding.configuration for finding in faults) else 1


def _findings(arguments: argparse.Namespace, settings: config.Settings) -> "Iterator[Finding]":
    # Here and not above: these take a second to import, and --help needs none of them.
    from vitalwatch.checkup import libraries, scoring
    from vitalwatch.checkup.finding import fault, ok

    yield from libraries.check()
    yield from scoring.check(settings, arguments.patients)
    if arguments.local:
        yield ok("broker", "left out, as asked for")
        return

    from vitalwatch.checkup import cluster
    from vitalwatch.model import checkpoint
    from vitalwatch.stream import kafka

    try:
        model = checkpoint.load(settings.model.path).fingerprint
    except CheckpointError:
        model = None
    try:
        with closing(kafka.connect(settings.kafka)) as broker:
            yield from cluster.check(cluster.Cluster(broker, settings, model))
    except BrokerError as error:
        yield fault("broker", str(error), "then again; --local leaves out what needs the broker")


def _line(finding: "Finding") -> str:
    text = f"{finding.status:<8} {finding.check:<17} {finding.text}"
    return f"{text.removesuffix('.')}. To do: {finding.fix}" if finding.fix else text
