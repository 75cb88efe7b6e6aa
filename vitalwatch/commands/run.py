"""``vitalwatch run``: the daemon."""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import vitalwatch
from vitalwatch import config
from vitalwatch.errors import BrokerError

if TYPE_CHECKING:
    from vitalwatch.stream.broker import Broker

EXAMPLES = """\
examples:
  vitalwatch run                                       readings of vitals.readings on 127.0.0.1:9092
  vitalwatch run --kafka-bootstrap kafka1:9092 --topics-prefix icu
  vitalwatch run --daemon-instance ward-1              restarts move no partition
  vitalwatch run --config /etc/vitalwatch.toml --monitoring-port 9109

Several workers of one --daemon-group share the partitions. SIGTERM or Ctrl+C finishes the
micro-batch, commits it and leaves the group; a second one ends at once.
"""

log = logging.getLogger("vitalwatch")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "run",
        help="score readings from Kafka as they come",
        description="Read vital signs from Kafka, keep each patient's state, and publish scores, "
        "alerts and dead letters, committed together with what was read. Metrics and health are "
        "served over HTTP.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    config.add_flags(parser, "kafka", "topics", "daemon", "scores", "alarms", "model", "monitoring")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal says stop."""
    settings = config.load(arguments)
    with _stopping(settings.daemon.shutdown_seconds) as stop:
        # Imports in here, and the detector last: --help needs none of it, and what is wrong with
        # the port or the broker is said before the compiled loops are loaded.
        from prometheus_client import CollectorRegistry

        from vitalwatch.monitoring import logs, tracing
        from vitalwatch.monitoring.http import Health, Server
        from vitalwatch.monitoring.metrics import Metrics
        from vitalwatch.stream import daemon, kafka

        logs.configure(settings.monitoring, sys.stderr)
        metrics = Metrics(CollectorRegistry())
        health = Health(daemon.CONDITIONS)
        monitoring = settings.monitoring
        with (
            Server(monitoring.host, monitoring.port, metrics.registry, health),
            closing(kafka.connect(settings.kafka)) as broker,
            ThreadPoolExecutor(1, "helper") as helper,
            tracing.exporting(
                monitoring.traces, settings.topics.readings, settings.daemon.group
            ) as traces,
        ):
            partitions = _check(broker, settings.topics)
            metrics.partitions(settings.topics.readings, partitions)

            from vitalwatch.alarms import conditions
            from vitalwatch.detector import Detector
            from vitalwatch.model import checkpoint
            from vitalwatch.stream import rehearsal

            model = checkpoint.load(settings.model.path)
            metrics.model(model.fingerprint)
            metrics.conditions(conditions.INDEX)
            log.info(
                "started",
                extra={
                    "version": vitalwatch.__version__,
                    "model": model.fingerprint,
                    "readings": settings.topics.readings,
                    "group": settings.daemon.group,
                },
            )
            with health.busy(), _leaving_at_once():
                rehearsal.rehearse(model)
            # What is there for good need not be looked at again, and the rest seldom: readings
            # come as columns, and the collector took 40 % of the time of a loop over records.
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            daemon.Daemon(
                broker,
                Detector(model, settings.alarms),
                settings,
                metrics,
                health,
                model=model.fingerprint,
                identity=_identity(settings),
                helper=helper,
                tracing=traces,
            ).run(stop)
        log.info("stopped")
    return 0


def _check(broker: "Broker", topics: config.Topics) -> int:
    """How many partitions the readings have.

    Raises BrokerError for topics that are missing or too small, with what makes them fit.
    """
    needed = (topics.readings, topics.scores, topics.alerts, topics.state, topics.dead_letters)
    found = broker.topics(needed)
    missing = [name for name in needed if name not in found]
    if missing:
        raise BrokerError(
            f"There is no topic {', '.join(missing)}: make them with `vitalwatch topics "
            f"create --topics-prefix {topics.prefix}`, or choose another prefix."
        )
    partitions, kept = found[topics.readings].partitions, found[topics.state].partitions
    if kept < partitions:  # the state of each is kept on the partition of its number
        raise BrokerError(
            f"Topic {topics.state} has {kept} partitions, and {topics.readings} has {partitions}: "
            f"kafka-topics.sh --alter --topic {topics.state} --partitions {partitions}"
        )
    return partitions


def _identity(settings: config.Settings) -> str:
    """The name of this worker's transactions, stable unless its port is any that is free."""
    port = settings.monitoring.port
    # One process at most listens on a port, so the name is its own, and the same after a crash:
    # the transaction that was open then is aborted at once, and nobody waits for its timeout.
    name = f"{socket.gethostname()}-{port or uuid.uuid4().hex}"
    worker = settings.daemon.instance or name
    return f"{settings.daemon.group}-{settings.topics.prefix}-{worker}"


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """While nothing is held yet a signal ends the process, which need not wait for a compiler.

    It ends without an exception, which would be lost where the compiler has called back.
    """

    def asked(*_: object) -> None:
        log.info("stopped before joining the group")
        os._exit(0)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stopping(deadline: float) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the process ends ``deadline`` seconds after at most.

    A second signal ends it at once.
    """
    stop = threading.Event()

    def last_resort() -> None:
        log.error("not stopped within %g s, giving up", deadline)
        os._exit(1)

    def asked(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        timer.start()

    timer = threading.Timer(deadline, last_resort)
    timer.daemon = True
    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
