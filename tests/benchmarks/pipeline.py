"""What the daemon's second thread is worth: one decodes ahead and encodes behind, or none does.

python -m tests.benchmarks.pipeline ADDRESS PREFIX GROUP READINGS [--alone] [--unwatched] [--traced]
"""

import argparse
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import msgspec
from prometheus_client import CollectorRegistry

from tests.benchmarks.cluster import PARTITIONS
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, ratio
from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.stream import kafka, rehearsal
from vitalwatch.stream.daemon import CONDITIONS, Daemon

PATIENTS = 1_000


def measure(context: Context) -> list[Figure]:
    """The same daemon on the same topic, with its helper and without, in turns."""
    prefix = context.topic(PATIENTS, context.size.readings)
    names = {"with a helper thread": (), "on one thread": ("--alone",)}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(context.size.runs):
        for name, flags in names.items():
            context.cluster.empty_outputs(prefix)
            with context.undisturbed():
                found = context.program(
                    "pipeline",
                    context.cluster.address,
                    prefix,
                    context.name("pipeline"),
                    context.size.readings,
                    *flags,
                )
            rates[name].append(found["rate"])
            context.say(f"  daemon {name}: {rates[name][-1]:,.0f} readings/s")
    helped, alone = (Figure(f"daemon {name}", r, "readings/s") for name, r in rates.items())
    return [helped, alone, ratio("with a helper thread / on one", helped, alone)]


def main() -> None:
    """Score a whole topic in this process; print readings a second, and µs each.

    Both are from the first commit on.
    """
    from tests.benchmarks import watching  # which knows this module

    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("prefix")
    parser.add_argument("group")
    parser.add_argument("readings", type=int)
    parser.add_argument("--alone", action="store_true", help="without a helper thread")
    parser.add_argument("--unwatched", action="store_true", help="without metrics")
    parser.add_argument("--traced", action="store_true", help="with a span a transaction")
    given = parser.parse_args()
    sections = {
        "kafka": {"bootstrap": given.address},
        "topics": {"prefix": given.prefix, "partitions": PARTITIONS},
        "daemon": {"group": given.group},
    }
    settings = msgspec.convert(sections, config.Settings)
    model, stop = checkpoint.load(), threading.Event()
    rehearsal.rehearse(model)
    metrics = watching.unwatched() if given.unwatched else Metrics(CollectorRegistry())
    with ExitStack() as stack:
        daemon = Daemon(
            stack.enter_context(closing(kafka.connect(settings.kafka))),
            Detector(model, settings.alarms),
            settings,
            metrics,
            Health(CONDITIONS),
            model=model.fingerprint,
            identity=given.group,
            helper=None if given.alone else stack.enter_context(ThreadPoolExecutor(1)),
            tracing=watching.tracing(settings) if given.traced else None,
        )
        first = scored = 0.0
        began = ended = time.perf_counter()
        used = 0.0
        for _ in daemon.steps(stop):
            scored = metrics.registry.get_sample_value("vitalwatch_readings_scored_total") or 0.0
            if scored and not first:
                first, began, used = scored, time.perf_counter(), time.process_time()
            if scored >= given.readings and not stop.is_set():
                ended, used = time.perf_counter(), time.process_time() - used
                stop.set()
    # NaN where all was committed at once.
    counted = (scored - first) or math.nan
    print(json.dumps({"rate": counted / (ended - began), "processor": used / counted * 1e6}))


if __name__ == "__main__":
    main()
