"""``vitalwatch topics``: create the topics with the right settings, and check existing ones."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing

from vitalwatch import config
from vitalwatch.stream import topics
from vitalwatch.stream.kafka import connect

EPILOG = """\
examples:
  vitalwatch topics create                      on the broker at 127.0.0.1:9092
  vitalwatch topics check --config vitalwatch.toml
  vitalwatch topics create --topics-prefix replay1
                                                topics of its own for a replay

Exit codes: 0 the topics are in order, 78 they are not.
"""
MARKS = {True: "must change", False: "differs"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "topics",
        help="create the topics, or check that they are as they should be",
        description="VitalWatch's topics on Kafka and their settings.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    helps = {
        "create": "create the topics that are missing, then check all",
        "check": "print how the topics differ from what they should be, and the fix",
    }
    for action, text in helps.items():
        command = actions.add_parser(action, help=text, description=f"{text.capitalize()}.")
        config.add_flags(command, "kafka", "topics")
        command.set_defaults(run=run, action=action)


def run(arguments: argparse.Namespace) -> int:
    """Create or check; 78 if a topic will not work as it is."""
    settings = config.load(arguments)
    names = [spec.name for spec in topics.specs(settings.topics)]
    with closing(connect(settings.kafka)) as broker:
        if arguments.action == "create":
            created = broker.create(topics.plan(settings.topics, broker.topics(names)))
            for name in created:
                _write(f"created {name}")
        found = broker.topics(names)
    differences = topics.differences(settings.topics, found, settings.kafka.bootstrap)
    if not differences:
        _write(f"All {len(names)} topics are as they should be.")
        return 0
    head = ("", "topic", "what", "found", "wanted")
    rows = [(MARKS[d.essential], d.topic, d.what, d.found, d.wanted) for d in differences]
    _table([head, *rows])
    _write("\nTo change it:")
    for fix in dict.fromkeys(d.fix for d in differences):
        _write(f"  {fix}")
    return 78 if any(difference.essential for difference in differences) else 0


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells: Iterable[str] = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _write("  ".join(cells).rstrip())


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
