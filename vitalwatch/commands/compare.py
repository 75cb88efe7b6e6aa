"""``vitalwatch compare``: simulated streams beside recorded ones, figure by figure."""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.styles import STYLES
from vitalwatch.commands.progress import Work
from vitalwatch.errors import RecordingError, UsageError
from vitalwatch.training import people

if TYPE_CHECKING:
    from simulator.likeness import Line, Stream

DESCRIPTION: Final = """\
Compare simulated patients with recordings of real ones. For each vital sign: the spread within a
patient, autocorrelations, the share of missing readings and of artefacts (0, or implausible), how
many consecutive readings are equal and the longest run of them; and how the changes of two vital
signs go together. Simulated patients are watched in the same style, at the same rate and for as
long. A figure is inside if the simulated median lies within the quartiles of the real patients.
"""

VARIABLE: Final = "VITALWATCH_RECORDINGS"

COLLECTIONS: Final = {
    name: collection.style
    for name, collection in people.COLLECTIONS.items()
    if not collection.checks_only
}
"""Public collections by the folder's name, and the style in which their patients were watched."""

EPILOG: Final = f"""\
styles (--style):
{chr(10).join(f"  {style.name:10}{style.about}" for style in STYLES.values())}

examples:
  VITALWATCH_RECORDINGS=recordings vitalwatch compare
                                     every public collection in that folder, by its name
  vitalwatch compare recordings      the same
  vitalwatch compare --style bedside icu/*.csv
                                     recordings of one's own: wide CSV or JSON Lines
Collections: {", ".join(COLLECTIONS)}.
The tables are Markdown on standard output. Nothing is copied, and no patient is named.
"""

PATTERNS: Final = ("*.csv", "*.csv.gz", "*.psv", "*.jsonl", "*.jsonl.gz")

FEW: Final = 8
"""Of fewer people each stretch of their recordings stands for itself."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "compare",
        help="compare simulated patients with recordings of real ones",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recordings",
        nargs="*",
        type=Path,
        metavar="PATH",
        help=f"files or folders; without --style a folder of public collections"
        f" [default: the folder {VARIABLE}]",
    )
    parser.add_argument(
        "--style", metavar="NAME", help="the style in which all of them were watched"
    )
    parser.add_argument(
        "--patients",
        type=int,
        default=100,
        metavar="N",
        help="simulated patients a style [default: 100]",
    )
    parser.add_argument(
        "--files",
        type=int,
        default=400,
        metavar="N",
        help="files read of a folder, evenly chosen where it has more [default: 400]",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulated [default: 1]")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    if arguments.patients < 1 or arguments.files < 1 or arguments.seed < 0:
        raise UsageError("--patients and --files must be 1 or more, --seed 0 or more.")
    jobs = _jobs(arguments)
    inside = told = 0
    with Work() as work:
        for name, style, files in jobs:
            streams = read(name, files, work)
            lines, yardstick, units = _compare(streams, style, arguments, work, name)
            _print(name, style, units, lines, yardstick)
            inside += sum(line.inside for line in lines)
            told += len(lines)
    if len(jobs) > 1 and told:
        sys.stdout.write(f"In all {inside} of {told} figures are inside ({inside / told:.0%}).\n")
    return 0


def _jobs(arguments: argparse.Namespace) -> list[tuple[str, str, list[Path]]]:
    """Name, style and files of each comparison."""
    if arguments.style is not None:
        if arguments.style not in STYLES:
            raise UsageError(
                f"There is no style {arguments.style!r}; there are: {', '.join(STYLES)}."
            )
        if not arguments.recordings:
            raise UsageError("--style is about recordings of your own: name files or folders.")
        files = [file for path in arguments.recordings for file in _files(path)]
        return [("recordings", arguments.style, some(files, arguments.files))]
    folders = arguments.recordings
    if not folders and VARIABLE in os.environ:
        folders = [Path(os.environ[VARIABLE])]
    if not folders:
        raise UsageError(
            f"Name recordings, or set {VARIABLE} to a folder of public collections: "
            f"{', '.join(COLLECTIONS)}."
        )
    jobs = []
    for folder in folders:
        for name, style in COLLECTIONS.items():
            place = folder if folder.name == name else folder / name
            if place.is_dir():
                jobs.append((name, style, some(_files(place), arguments.files)))
    if not jobs:
        raise UsageError(
            f"None of {', '.join(COLLECTIONS)} is in {', '.join(map(str, folders))}. "
            "For recordings of your own say --style, and name them."
        )
    return jobs


def _files(path: Path) -> list[Path]:
    """The recordings at a path: itself, or all in the folder and those below."""
    if not path.is_dir():
        return [path]
    return sorted(file for pattern in PATTERNS for file in path.rglob(pattern))


def some(files: list[Path], most: int) -> list[Path]:
    """At most so many, evenly chosen."""
    if len(files) <= most:
        return files
    return [files[place * len(files) // most] for place in range(most)]


def read(name: str, files: Iterable[Path], work: Work) -> "list[Stream]":
    """The patients' streams; files that hold none are named and left out."""
    import numpy as np

    from simulator.likeness import Stream
    from vitalwatch.recordings.recording import Recording

    files = list(files)
    done = work.bar(f"reading {name}", len(files))
    streams = []
    for count, file in enumerate(files):
        done(count)
        try:
            with Recording(file).stream() as stream:
                rows = np.concatenate(list(stream.parts))
        except RecordingError as error:
            work.say(f"left out: {error}")
            continue
        rows = rows[np.argsort(rows["patient"], kind="stable")]
        parts = np.split(rows, np.flatnonzero(np.diff(rows["patient"])) + 1)
        streams += [Stream(part["time"] / 1000, part["values"]) for part in parts if len(part) > 1]
    if not streams:
        raise RecordingError(
            f"None of the {len(files)} files of {name} holds two readings of anybody."
        )
    return streams


def _compare(
    streams: "list[Stream]",
    style: str,
    arguments: argparse.Namespace,
    work: Work,
    name: str,
) -> "tuple[list[Line], float, str]":
    """The lines, how alike two halves of the real patients are, and what was compared, in words."""
    import numpy as np

    from simulator import likeness

    at = likeness.rate(streams)
    apart = len(streams) < FEW
    done = work.bar(f"comparing {name}", 4)
    recorded = likeness.of_patients(streams, at, apart=apart)
    done(1)
    made = likeness.simulated(style, at, arguments.patients, arguments.seed)
    done(2)
    lines = likeness.compare(recorded, likeness.of_patients(made, at, apart=apart))
    done(3)
    if not lines:
        raise RecordingError(
            f"{name}: too short, or of too few patients, for any figure: eight patients, or "
            "stretches of recordings, are needed at least."
        )
    yardstick = likeness.yardstick(recorded, np.random.default_rng(arguments.seed))
    every = f"about every {at.interval:g} s" if at.irregular else f"every {at.interval:g} s"
    units = f"{len(recorded)} stretches of {len(streams)}" if apart else f"{len(recorded)}"
    return (
        lines,
        yardstick,
        (
            f"{units} real patients, {arguments.patients} simulated, a row {every}, "
            f"stretches of {round(at.length / 60, 1):g} min"
        ),
    )


def _print(name: str, style: str, units: str, lines: "list[Line]", yardstick: float) -> None:
    """One table."""
    write = sys.stdout.write
    write(f"## {name}, style {style}\n\n{units}\n\n")
    write("| | | recorded: quartile | median | quartile | simulated | |\n")
    write("|---|---|---|---|---|---|---|\n")
    for line in lines:
        cells = (f"{value:.3g}" for value in (line.low, line.median, line.high, line.simulated))
        mark = "inside" if line.inside else "**outside**"
        write(f"| {line.figure.of} | {line.figure.what} | {' | '.join(cells)} | {mark} |\n")
    inside = sum(line.inside for line in lines)
    write(
        f"\n{inside} of {len(lines)} figures are inside ({inside / len(lines):.0%}); of one half "
        f"of the real patients {yardstick:.0%} are inside the other's quartiles.\n\n"
    )
