"""Entry point of ``vitalwatch``: finds the subcommands, runs one, turns errors into sentences."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import vitalwatch
from vitalwatch.errors import VitalWatchError

COMMANDS: Final = (
    "demo",
    "run",
    "watch",
    "score",
    "replay",
    "simulate",
    "train",
    "evaluate",
    "bench",
    "topics",
    "audit",
    "doctor",
    "schema",
    "config",
    "version",
)
"""Modules of this package; each has ``add_parser(commands)`` and ``run(arguments) -> int``."""

EPILOG: Final = """\
examples:
  vitalwatch demo                     a simulated ward in this terminal; needs nothing else
  vitalwatch score recording.csv -o out
                                      score a recording without a broker
  vitalwatch topics create && vitalwatch run
                                      score a stream on Kafka

Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed,
2 wrong usage, 78 wrong configuration, 130 interrupted.
VitalWatch is research software, not a medical device.
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="vitalwatch",
        description=vitalwatch.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"vitalwatch {vitalwatch.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"vitalwatch.commands.{name}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        parsed = parser().parse_args(arguments)
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except VitalWatchError as error:
        print(f"vitalwatch: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; a second failure at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
