"""``vitalwatch dashboard``: a web page that shows the stream."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vitalwatch import config
from vitalwatch.errors import UsageError

if TYPE_CHECKING:
    from vitalwatch.dashboard.dashboard import Dashboard
    from vitalwatch.stream.broker import Broker


MOST_SIMULATED: Final = 2000
FASTEST: Final = 10_000.0

DESCRIPTION = """\
Serve a web page that shows every patient and every alert on the stream as they come, and takes
acknowledgements. It listens on this machine's own address; for another one set a token or a
reverse proxy that says who it is.
"""

EPILOG = """\
examples:
  vitalwatch dashboard                          what `vitalwatch run` publishes on 127.0.0.1:9092
  vitalwatch dashboard --simulate 16            a simulated ward; needs no broker
  vitalwatch dashboard --replay ward.csv --speed 60
                                                a recording, to be paused and sought in
  VITALWATCH_DASHBOARD_VIEW_TOKEN=$(openssl rand -hex 16) \\
    vitalwatch dashboard --dashboard-host 0.0.0.0
                                                for others too, who have the token

Ctrl+C ends it. Several dashboards may show one stream; each sees all of it.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "dashboard",
        help="show the stream on a web page",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--simulate", metavar="N", type=int, help="a simulated ward of N patients, in this process"
    )
    parser.add_argument(
        "--replay", metavar="FILE", nargs="+", type=Path, help="recordings, scored and played"
    )
    parser.add_argument(
        "--truth", metavar="FILE", type=Path, help="what really happens in it, for the timeline"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="times as fast as recorded [default: 1]"
    )
    parser.add_argument("--seed", type=int, default=1, help="which simulated ward [default: 1]")
    parser.add_argument("--reload-page", action="store_true", help=argparse.SUPPRESS)
    config.add_flags(
        parser, "dashboard", "kafka", "topics", "model", "alarms",
        "monitoring.log_format", "monitoring.log_level",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl+C or SIGTERM."""
    _check(arguments)
    settings = config.load(arguments)
    with _stopping() as stop, ExitStack() as stack:
        from vitalwatch.monitoring import logs  # in here: --help needs none of it

        logs.configure(settings.monitoring, sys.stderr)
        if arguments.replay:
            dashboard = _of_recordings(arguments, settings)
        elif arguments.simulate:
            dashboard = _of_simulation(arguments, settings, stack)
        else:
            dashboard = _of_kafka(arguments, settings)
        server = stack.enter_context(dashboard)
        sys.stdout.write(f"Dashboard: {server.url}\n")
        sys.stdout.flush()
        while not stop.wait(3600):
            pass
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.simulate is not None and arguments.replay:
        raise UsageError("Either --simulate or --replay: a recording is not simulated again.")
    if arguments.simulate is not None and not 1 <= arguments.simulate <= MOST_SIMULATED:
        raise UsageError(f"--simulate takes a number of patients from 1 to {MOST_SIMULATED}.")
    if arguments.truth is not None and not arguments.replay:
        raise UsageError("--truth belongs to --replay: name the recording that it is of.")
    if not 0 < arguments.speed <= FASTEST:
        raise UsageError(f"--speed must be above 0 and at most {FASTEST:g}.")


def _of_kafka(arguments: argparse.Namespace, settings: config.Settings) -> "Dashboard":
    from vitalwatch.dashboard.dashboard import Dashboard
    from vitalwatch.stream import kafka

    def connect() -> "Broker":
        return kafka.connect(settings.kafka)

    return Dashboard.of_stream(settings, connect, reload=arguments.reload_page)


def _of_simulation(
    arguments: argparse.Namespace, settings: config.Settings, stack: ExitStack
) -> "Dashboard":
    from vitalwatch.dashboard import simulated
    from vitalwatch.dashboard.dashboard import Dashboard
    from vitalwatch.detector import Detector
    from vitalwatch.model import checkpoint
    from vitalwatch.stream import rehearsal

    settings = simulated.settings(settings)
    model = checkpoint.load(settings.model.path)
    rehearsal.rehearse(model)
    detector = Detector(model, settings.alarms)
    log = stack.enter_context(
        simulated.running(arguments.simulate, arguments.seed, settings, detector, model.fingerprint)
    )
    return Dashboard.of_stream(settings, lambda: log, reload=arguments.reload_page)


def _of_recordings(arguments: argparse.Namespace, settings: config.Settings) -> "Dashboard":
    from vitalwatch.commands.progress import Work
    from vitalwatch.dashboard import film
    from vitalwatch.dashboard.dashboard import Dashboard
    from vitalwatch.detector import Detector
    from vitalwatch.model import checkpoint
    from vitalwatch.recordings.recording import Recording

    recordings = [Recording(path) for path in arguments.replay]
    truths = film.truths(arguments.truth) if arguments.truth else []
    model = checkpoint.load(settings.model.path)
    with Work() as work:
        shot = film.shoot(recordings, lambda: Detector(model, settings.alarms), truths, work.bar)
    title = ", ".join(recording.name for recording in recordings)
    return Dashboard.of_film(
        settings.dashboard, shot, title, speed=arguments.speed, reload=arguments.reload_page
    )


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
