"""Benchmarks of the engine: one command, one table. They are run by hand and assert nothing.

    python -m tests.benchmarks [--only NAME ...] [--runs N] [--quick]

A real Kafka node is started for them and stopped. The node and all that is measured share two
cores, because the targets are ratios and times on two cores; subjects take turns, run by run, so
that what disturbs a machine disturbs all of them. Latency's publisher and readers, who stand for
others' machines, run on the other cores if there are any. The table, Markdown, goes to standard
output, progress to standard error. What others compute on the same cores meanwhile is reported.

Needs Java 17 and Maven, as the tests do, and to compare with quixstreams the extra ``bench``:
pip install -e '.[bench]'.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import (
    breakdown,
    burst,
    dashboard,
    latency,
    machine,
    network,
    pipeline,
    restart,
    scale,
    throughput,
    watching,
)
from tests.benchmarks.context import FULL, QUICK, TRIAL, Context
from tests.benchmarks.figures import Figure, table

BENCHMARKS: dict[str, Callable[[Context], list[Figure]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "patients": scale.patients,
    "workers": scale.workers,
    "pipeline": pipeline.measure,
    "watching": watching.measure,
    "burst": burst.measure,
    "restart": restart.measure,
    "network": network.measure,
    "dashboard": dashboard.measure,
    "profile": breakdown.measure,
}
"""By name: what measures, in the order of the table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = list(BENCHMARKS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"some of: {', '.join(names)}",
    )
    parser.add_argument("--runs", type=int, help="how often each is measured [default: 5]")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a few minutes, rough figures")
    size.add_argument("--trial", action="store_true", help="seconds, figures that say nothing")
    parser.add_argument(
        "--cores",
        type=_cores,
        default=[],
        metavar="N,N",
        help="which cores [default: the two that are least busy]",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the node's topics here, for the next time"
    )
    given = parser.parse_args(arguments)
    chosen = TRIAL if given.trial else QUICK if given.quick else FULL
    if given.runs is not None:
        chosen = chosen._replace(runs=max(given.runs, 1))
    allowed = machine.allowed()
    cores = machine.pin(given.cores)
    spare = sorted(allowed - set(cores)) if cores else []
    print(machine.description(cores), file=sys.stderr)
    with ExitStack() as stack:
        folder = given.data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="vitalwatch-bench-"))
        )
        context = Context(chosen, folder, cores, stack, spare)
        figures = [
            figure
            for name in BENCHMARKS
            if name in given.only
            for figure in BENCHMARKS[name](context)
        ]
    figures.append(Figure("others' share of these cores", [100 * s for s in context.foreign], "%"))
    print(f"{machine.description(cores)}.\n\n{table(f.row() for f in figures)}")
    return 0


def _cores(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
