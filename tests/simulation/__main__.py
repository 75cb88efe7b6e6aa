"""``python -m tests.simulation``: many seeds, or one that failed."""

import argparse
import logging
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

EXAMPLES = """\
examples:
  python -m tests.simulation                    10,000 seeds on all cores
  python -m tests.simulation --first 10000 --seeds 50000
  python -m tests.simulation --seed 4711        one seed, and all that happens in it
"""


def attempt(seed: int) -> str:
    """What is wrong with a seed, or nothing."""
    from tests.simulation.world import play

    logging.disable()
    try:
        play(seed)
    except Exception as error:
        return "".join(traceback.format_exception_only(error)).strip() or repr(error)
    return ""


def main() -> int:
    """Run the command line; 0 if no seed fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Simulated workers on the in-process log, under everything that can go wrong; "
        "their committed outputs must equal those of an undisturbed run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="how many [default: 10000]")
    parser.add_argument("--first", type=int, default=0, help="the first [default: 0]")
    parser.add_argument("--seed", type=int, help="run only this one, and tell what happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        from tests.simulation.world import play

        play(arguments.seed, partial(print, flush=True))
        print(f"seed {arguments.seed}: no difference")
        return 0
    began, failed = time.monotonic(), []
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for done, (seed, wrong) in enumerate(
            zip(seeds, pool.map(attempt, seeds, chunksize=20), strict=True), 1
        ):
            if wrong:
                failed.append(seed)
                print(f"seed {seed}: {wrong[:500]}", flush=True)
            if done % 500 == 0 or done == len(seeds):
                rate = done / (time.monotonic() - began)
                left = (len(seeds) - done) / rate
                print(
                    f"{done:,} of {len(seeds):,} seeds, {len(failed)} failed, {rate:.0f} a second, "
                    f"{left:.0f} s left",
                    flush=True,
                )
    if failed:
        print(f"run again with: python -m tests.simulation --seed {failed[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
