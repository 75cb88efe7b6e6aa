"""``vitalwatch dashboard``: a web page that shows the stream."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vitalwatch import config
from vitalwatch.errors import UsageError

if TYPE_CHECKING:
    pass

DESCRIPTION = """\
Serve a web page that shows every patient and every alert on the stream as they come, and takes
acknowledgements. It listens on this machine's own address; for another one set a token or a
reverse proxy that says who it is.
"""

EPILOG = """\
examples:
  vitalwatch dashboard                          what `vitalwatch run` publishes on 127.0.0.1:9092
  vitalwatch dashboard --simulate 16            a simulated ward; needs no broker
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
    parser.add_argument("--seed", type=int, default=1, help="which simulated ward [default: 1]")
    parser.add_argument("--reload-page", action="store_true", help=argparse.SUPPRESS)
    config.add_flags(
        parser, "dashboard", "kafka", "topics", "model",
        "monitoring.log_format", "monitoring.log_level",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl+C or SIGTERM."""
    if arguments.simulate is not None and not 1 <= arguments.simulate <= 2000:
        raise UsageError("--simulate takes a number of patients from 1 to 2000.")
    settings = config.load(arguments)
    with _stopping() as stop, ExitStack() as stack:
        # Imports in here: --help needs none of it.
        from vitalwatch.dashboard.dashboard import Dashboard
        from vitalwatch.monitoring import logs

        logs.configure(settings.monitoring, sys.stderr)
        if arguments.simulate is not None:
            from vitalwatch.dashboard import simulated
            from vitalwatch.detector import Detector
            from vitalwatch.model import checkpoint
            from vitalwatch.stream import rehearsal

            settings = simulated.settings(settings)
            model = checkpoint.load(settings.model.path)
            rehearsal.rehearse(model)
            log = stack.enter_context(
                simulated.running(
                    arguments.simulate,
                    arguments.seed,
                    settings,
                    Detector(model, settings.alarms),
                    model.fingerprint,
                )
            )
            dashboard = Dashboard(settings, lambda: log, reload=arguments.reload_page)
        else:
            from vitalwatch.stream import kafka

            dashboard = Dashboard(
                settings, lambda: kafka.connect(settings.kafka), reload=arguments.reload_page
            )
        server = stack.enter_context(dashboard)
        sys.stdout.write(f"Dashboard: {server.url}\n")
        sys.stdout.flush()
        while not stop.wait(3600):
            pass
    return 0


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
