"""The long run: ``python -m tests.chaos --kills 200`` kills, freezes and cuts off at random.

After each fault all that is committed is compared with an undisturbed run of the same input. The
schedule comes from the seed: each round's fault, its victim and its moment. When things happen
within that differs from run to run, as it does in life.
"""

import argparse
import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.course import Course
from tests.chaos.crew import Nursery, Unexpected
from tests.chaos.faults import Faults
from tests.chaos.oracle import Difference
from tests.chaos.site import Site


def main() -> int:
    """Run until enough were killed; 0 if nothing differed from an undisturbed run, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of workers [default: 200]")
    parser.add_argument("--seed", type=int, help="of the schedule [default: any]")
    parser.add_argument("--first", type=int, default=1, help="begin with this round of it")
    parser.add_argument("--only", nargs="+", metavar="FAULT", help="faults of these names alone")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="vitalwatch-chaos-"))
    print(f"seed {seed}, logs in {folder}", flush=True)
    number = arguments.first
    try:
        with (
            Nursery(folder) as nursery,
            Site(folder) as site,
            Course(nursery, site.address, folder, seed, site.through) as course,
        ):
            faults = Faults(course, site)
            faults.start(named=True)
            faults.start(named=False)
            course.flow(2)
            course.prove()
            for number in itertools.count(arguments.first):
                if faults.kills >= arguments.kills:
                    break
                _round(faults, number, seed, arguments.only)
            for worker in course.crew.living:
                course.crew.stop(worker)
            _summary(faults, site, number - arguments.first)
    except (Difference, Unexpected) as wrong:
        print(f"\n{type(wrong).__name__} in round {number}: {wrong}\nLogs are in {folder}.")
        print(f"Again: python -m tests.chaos --seed {seed} --first {number}")
        return 1
    except KeyboardInterrupt:
        return 130
    shutil.rmtree(folder)
    return 0


def _round(faults: Faults, number: int, seed: int, only: list[str] | None) -> None:
    """One fault, and the proof that nothing shows of it."""
    chance = random.Random(f"{seed}/{number}")
    catalogue = faults.catalogue()
    names = [name for name in catalogue if only is None or name in only]
    (name,) = chance.choices(names, [catalogue[name][0] for name in names])
    print(f"{number:4}  {name}", end="", flush=True)
    began = time.monotonic()
    told = catalogue[name][1](chance)
    struck = time.monotonic()
    faults.course.prove()
    settled = time.monotonic()
    course, seconds = faults.course, f"{struck - began:.0f} + {settled - struck:.0f} s"
    state = f"{course.published:,} records, {len(course.crew.living)} workers"
    print(f": {told} | {faults.kills} kills, {state}, {seconds}", flush=True)


def _summary(faults: Faults, site: Site, rounds: int) -> None:
    course = faults.course
    checked, events = course.oracle.checked, course.oracle.events
    origins = Counter(told["state_from"] for told in course.takeovers())
    print(
        f"No difference after {faults.kills} kills of workers and {faults.broker_kills} of the "
        f"broker in {rounds} rounds: {checked['scores']:,} scores, {checked['alerts']:,} alerts "
        f"({', '.join(f'{count:,} {event}' for event, count in sorted(events.items()))}) and "
        f"{checked['dead letters']:,} dead letters, each once; lag 0. Partitions taken over: "
        f"{', '.join(f'{count} from {origin}' for origin, count in origins.most_common())}. "
        f"{faults.missed} traps missed, {faults.replaced} workers gave up after being replaced, "
        f"{site.markers} markers that Kafka lost."
    )


if __name__ == "__main__":
    sys.exit(main())
