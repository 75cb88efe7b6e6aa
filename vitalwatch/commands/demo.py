"""``vitalwatch demo``: a simulated ward, watched in this terminal, in one process."""

import argparse
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vitalwatch import config
from vitalwatch.commands.demo_story import NOTHING, Cast, cast, play, told, verdict
from vitalwatch.commands.ward_view import WardView, clock
from vitalwatch.errors import UsageError
from vitalwatch.messages import Alert, Reading, ScoreBlock
from vitalwatch.stream.broker import Broker
from vitalwatch.stream.memory import MemoryBroker

EPILOG = """\
examples:
  vitalwatch demo                  12 simulated patients, one of whom deteriorates
  vitalwatch demo --seed 3         another ward, another course
  vitalwatch demo --speed 20       slower: 20 s of the ward's time in a second
  vitalwatch demo --kafka          the same on a real Kafka node, started for it and stopped
  vitalwatch demo | cat            plain lines instead of a live view

Ends by itself when the story is over; Ctrl+C ends it before. The same ward is on a web page,
whose address it prints. That and the metrics are on free ports, unless --dashboard-port,
--monitoring-port or another setting names one.
"""

REFRESH_SECONDS: Final = 0.25
LINGER_SECONDS: Final = 20.0
"""Once the story has been told, its last readings have so long to be scored."""

PLAIN_MINUTES: Final = 10
"""Without a terminal a line tells so often, in the ward's time, that all is going on."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="watch a simulated ward in this terminal",
        description="Watch a simulated ward in this terminal: a patient deteriorates, and is "
        "caught before it is critical, with the reason.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=12, help="which ward [default: 12]")
    parser.add_argument("--patients", type=int, default=12, help="how many [default: 12]")
    parser.add_argument(
        "--speed", type=float, default=60.0, help="times as fast as real [default: 60]"
    )
    parser.add_argument("--seconds", type=float, help="end after so long [default: story's end]")
    parser.add_argument("--kafka", action="store_true", help="on a real Kafka node; needs Java")
    config.add_flags(parser, "model", "monitoring", "dashboard.port")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run simulator, daemon and view until the story's end, or Ctrl+C."""
    if arguments.patients < 1 or arguments.seed < 0 or not 0 < arguments.speed < math.inf:
        raise UsageError(
            "The demo needs --patients of at least 1 and a --speed above 0, and a --seed from 0 on."
        )
    if arguments.seconds is not None and not arguments.seconds > 0:
        raise UsageError("The demo needs --seconds above 0.")
    console = Console(highlight=False)
    starting = "Starting ... (the first time takes half a minute more)"
    if not console.is_terminal:
        console.print(starting)
    stop = threading.Event()
    show = None
    with ExitStack() as stack:
        try:
            with console.status(starting):
                show, over = _start(arguments, stop, stack)
            (show.live if console.is_terminal else show.plain)(console, over)
        except KeyboardInterrupt:
            pass
        stop.set()
    if show is None:
        console.print(NOTHING)
    else:
        show.farewell(console)
    return 0


def _start(
    arguments: argparse.Namespace, stop: threading.Event, stack: ExitStack
) -> tuple["Show", Callable[[], bool]]:
    """Start all parts, to be ended by the ``stack``; what to show, and whether it is over."""
    from prometheus_client import CollectorRegistry

    from vitalwatch.alarms import conditions
    from vitalwatch.dashboard.dashboard import Dashboard
    from vitalwatch.detector import Detector
    from vitalwatch.model import checkpoint
    from vitalwatch.monitoring import http, logs
    from vitalwatch.monitoring.metrics import Metrics
    from vitalwatch.stream import daemon, rehearsal, topics

    settings = _settings(arguments)
    logs.configure(settings.monitoring, sys.stderr)
    model = checkpoint.load(settings.model.path)
    rehearsal.rehearse(model)
    metrics = Metrics(CollectorRegistry())
    metrics.model(model.fingerprint)
    metrics.conditions(conditions.INDEX)
    health = http.Health(daemon.CONDITIONS)
    server = stack.enter_context(
        http.Server(settings.monitoring.host, settings.monitoring.port, metrics.registry, health)
    )
    connect = stack.enter_context(_log(own_kafka=arguments.kafka))
    broker = stack.enter_context(closing(connect()))
    broker.create(topics.specs(settings.topics))
    page = stack.enter_context(Dashboard.of_stream(settings, connect))
    story = cast(arguments.patients, arguments.seed)
    show = Show(story, broker, settings.topics, arguments.speed, server.url, page.url)
    stack.callback(show.close)
    worker = daemon.Daemon(
        broker,
        Detector(model, settings.alarms),
        settings,
        metrics,
        health,
        model=model.fingerprint,
        identity="demo",
    )
    publisher = broker.publisher()
    threads = stack.enter_context(ThreadPoolExecutor(2, "demo"))
    stack.callback(stop.set)
    watching = threads.submit(worker.run, stop)
    playing = threads.submit(
        play, story, publisher, settings.topics.readings, arguments.speed, stop
    )
    return show, _ending(show, watching, playing, arguments.seconds)


def _ending(
    show: "Show", watching: "Future[None]", playing: "Future[None]", seconds: float | None
) -> Callable[[], bool]:
    """Whether the demo is over: so many ``seconds`` after now, or at the story's end.

    What ended the daemon or the simulator before its time is raised.
    """
    begun = time.monotonic()
    deadline = math.inf if seconds is None else begun + seconds

    def over() -> bool:
        nonlocal deadline
        if watching.done():
            watching.result()
        if playing.done():
            playing.result()
            deadline = min(deadline, time.monotonic() + LINGER_SECONDS)
            if show.complete:
                return True
        return time.monotonic() >= deadline

    return over


def _settings(arguments: argparse.Namespace) -> config.Settings:
    """Settings as given, with what a demo wants otherwise unless it was asked for."""
    settings, origins = config.resolve(arguments)
    quiet = {"monitoring.port": 0, "monitoring.log_level": "error"}
    changes = {
        key.split(".")[1]: value for key, value in quiet.items() if origins[key] == "default"
    }
    page: dict[str, Any] = {"stream": "simulated"}
    if origins["dashboard.port"] == "default":
        page["port"] = 0
    return msgspec.structs.replace(
        settings,
        topics=config.Topics(prefix="demo", partitions=2),
        daemon=config.Daemon(group="demo", max_records=500),  # small batches: scores come soon
        monitoring=msgspec.structs.replace(settings.monitoring, **changes),
        dashboard=msgspec.structs.replace(settings.dashboard, **page),
    )


@contextmanager
def _log(*, own_kafka: bool) -> Iterator[Callable[[], Broker]]:
    """What opens the log that the demo runs on, and that is gone afterwards."""
    if not own_kafka:
        memory = MemoryBroker()
        yield lambda: memory
        return
    from vitalwatch.stream import kafka, local_kafka  # here and not above: --help needs neither

    with (
        tempfile.TemporaryDirectory(prefix="vitalwatch-demo-") as folder,
        local_kafka.running(Path(folder)) as address,
    ):
        yield lambda: kafka.connect(config.Kafka(bootstrap=address))


class Show:
    """What is seen of the demo, on a terminal or as plain lines."""

    def __init__(
        self,
        story: Cast,
        broker: Broker,
        topics: config.Topics,
        speed: float,
        url: str,
        page: str,
    ) -> None:
        self._story = story
        self._speed = speed
        self._url = url
        self._page = page
        self._alerts: list[Alert] = []
        self._view = WardView()
        self._takes: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any], None]]] = {
            topics.readings: (msgspec.json.Decoder(Reading), self._view.reading),
            topics.scores: (msgspec.json.Decoder(ScoreBlock), self._view.scores),
            topics.alerts: (msgspec.json.Decoder(Alert), self._alert),
        }
        self._source = broker.source(list(self._takes), "demo-view")
        self.close = self._source.close

    def _alert(self, alert: Alert) -> None:
        self._alerts.append(alert)
        self._view.alert(alert)

    def _poll(self) -> None:
        """Take what is new since a moment ago."""
        time.sleep(REFRESH_SECONDS)
        for batch in self._source.poll(0.0, 20_000).batches:
            decoder, take = self._takes[batch.source.topic]
            for value in batch.values:
                if value is not None:
                    take(decoder.decode(value))

    @property
    def complete(self) -> bool:
        """Whether the whole story has been seen, and every reading scored."""
        return self._view.now >= self._story.end and self._view.scored == self._view.seen

    def live(self, console: Console, over: Callable[[], bool]) -> None:
        """Show the ward on the terminal until it is ``over``."""
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not over():
                self._poll()
                live.update(self._screen(console.height), refresh=True)

    def _screen(self, height: int) -> RenderableType:
        view = self._view
        head = Text.assemble(
            (" VitalWatch demo: SIMULATED PATIENTS ", "bold reverse"),
            f"  {clock(view.now)} (x{self._speed:g})  {view.scored:,} readings scored",
        )
        addresses = Text(
            f"In a browser: {self._page}    Metrics: {self._url}/metrics    Ctrl+C ends",
            style="dim",
        )
        truth = Text("\n".join(told(self._story, self._alerts, view.now)), style="italic")
        rows = max(2, height - len(view.beds) - 8)
        return Group(head, addresses, Text(), view.table(), Text(), truth, view.alerts(rows))

    def plain(self, console: Console, over: Callable[[], bool]) -> None:
        """Print alerts, and now and then how it goes, as lines, until it is ``over``."""
        console.print(f"Dashboard: {self._page}")
        console.print(f"Metrics: {self._url}/metrics")
        printed, due = 0, 0
        while not over():
            self._poll()
            for alert in self._alerts[printed:]:
                console.print(self._view.line(alert), soft_wrap=True)
            printed = len(self._alerts)
            if self._view.now >= due and self._view.scored:
                due = self._view.now + PLAIN_MINUTES * 60_000
                console.print(
                    f"{clock(self._view.now)} {len(self._view.beds)} patients, "
                    f"{self._view.scored:,} readings scored",
                    soft_wrap=True,
                )

    def farewell(self, console: Console) -> None:
        """Say what happened, and how many alerts the others had."""
        if not self._view.beds:
            console.print(NOTHING)
            return
        for sentence in verdict(self._story, self._alerts, self._view.now):
            console.print(sentence, soft_wrap=not console.is_terminal)
        others = [
            alert
            for alert in self._alerts
            if alert.patient != self._story.truth.patient
            and (alert.event, alert.kind) == ("raised", "physiological")
        ]
        count = len(self._view.beds) - 1
        hours = (self._view.now - self._story.start) / 3_600_000
        console.print(
            f"False alarms: {len(others)} in {hours:.1f} hours of {count} other patients.",
            soft_wrap=not console.is_terminal,
        )
