"""Entry point of ``vitalwatch``: finds the subcommands, runs one, turns errors into sentences."""

import argparse
import difflib
import errno
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import vitalwatch
from vitalwatch.errors import UsageError, VitalWatchError

COMMANDS: Final = (
    "demo",
    "run",
    "watch",
    "dashboard",
    "score",
    "explain",
    "replay",
    "simulate",
    "compare",
    "train",
    "calibrate",
    "gradient",
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

COMPILER: Final = "llvmlite.binding.executionengine"
"""Where LLVM calls back: what is raised there is lost, and numba fails over what it missed."""

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk, a quota, a limit on files or a dead terminal says to whoever writes to it."""

AGAIN_SECONDS: Final = 0.05


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="vitalwatch",
        description=vitalwatch.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"vitalwatch {vitalwatch.__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for name in COMMANDS:
        importlib.import_module(f"vitalwatch.commands.{name}").add_parser(commands)
        commands.choices[name].set_defaults(usage=commands.choices[name].format_usage)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: nobody wants to know
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    try:
        with _interrupts():
            parsed = _parse(arguments)
            code: int = parsed.run(parsed)
            sys.stdout.flush()
    except VitalWatchError as error:
        print(f"vitalwatch: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _write_no_more()  # whoever read our output has seen enough
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        _write_no_more()
        sentence = f"No more can be written ({error.strerror}): make room, or write elsewhere."
        print(f"vitalwatch: {sentence}", file=sys.stderr)  # noqa: T201
        return 1
    return code


def _write_no_more() -> None:
    """Have what is still in a buffer go nowhere: a second failure at exit would be noise."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments as declared. Raises UsageError for one that the command does not take."""
    parsed, unknown = parser().parse_known_args(arguments)
    if unknown:
        flags = re.findall(r"--[a-z-]+", parsed.usage())
        near = difflib.get_close_matches(unknown[0].partition("=")[0], flags, n=1)
        see = f"did you mean {near[0]}? See" if near else "see"
        command = f"vitalwatch {parsed.command}"
        raise UsageError(f"`{command}` takes no {unknown[0]}: {see} `{command} --help`.")
    return parsed


@contextmanager
def _interrupts() -> Iterator[None]:
    """Ctrl+C raises KeyboardInterrupt as usual, but where that would be lost a little later."""

    def asked(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_globals.get("__name__") == COMPILER:
                again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
                again.daemon = True
                again.start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    # Who started us may want Ctrl+C ignored.
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main())
