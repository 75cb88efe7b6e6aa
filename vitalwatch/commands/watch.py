"""``vitalwatch watch``: alerts as they come, in a terminal."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.live import Live

from vitalwatch import config
from vitalwatch.commands.alert_view import Board, line
from vitalwatch.errors import BrokerError, UsageError
from vitalwatch.messages import Alert
from vitalwatch.stream.broker import CREATE_TOPICS, Broker, TopicPartition

DESCRIPTION = """\
Show alerts as they come. On a terminal: what is active, the worst first, technical alerts below
the physiological ones; elsewhere one line an event. It only reads: it joins no consumer group
and acknowledges nothing.
"""

EPILOG = """\
examples:
  vitalwatch watch
  vitalwatch watch --since 2h | grep HIGH
  vitalwatch watch --json --since 2026-01-31T08:00:00Z | jq -r .sentence
"""

PAUSE_SECONDS: Final = 1.0
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "watch",
        help="show alerts live in a terminal",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="also show past events: 30m, 2h, 1d, or an ISO 8601 time",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the alert messages, one JSON object a line"
    )
    config.add_flags(parser, "kafka", "topics")
    parser.set_defaults(run=run)


def since(text: str, now: int, flag: str = "--since") -> int:
    """The time in ms that ``--since`` means, ``now`` being now. Raises UsageError."""
    duration = re.fullmatch(r"(\d+)([smhd])", text)
    if duration:
        return now - int(duration[1]) * _UNITS_MS[duration[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag} {text!r} is neither a duration such as 30m, 2h or 1d nor an ISO 8601 time."
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def run(arguments: argparse.Namespace) -> int:
    """Watch until Ctrl+C."""
    from vitalwatch.stream import kafka  # here and not above, as --help needs none of it

    settings = config.load(arguments)
    start = since(arguments.since, _now()) if arguments.since is not None else None
    broker = kafka.connect(settings.kafka)
    try:
        watch(broker, settings.topics.alerts, start, raw=arguments.json, console=Console())
    except KeyboardInterrupt:
        return 0
    finally:
        broker.close()
    return 0


def _now() -> int:
    return round(time.time() * 1000)


def watch(
    broker: Broker,
    topic: str,
    start: int | None,
    *,
    raw: bool,
    console: Console,
    now: Callable[[], int] = _now,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the topic's alerts for ever; past ones from the time ``start`` on, in ms.

    On a terminal what is still active of the past is shown in any case. ``raw`` prints the
    messages as they are.
    """
    board = Board()
    with ExitStack() as stack:
        live = None
        if console.is_terminal and not raw:
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
        for count, events in enumerate(follow(broker, topic)):
            for value, alert in events or ():
                past = count == 0
                wanted = not past or (start is not None and alert.time >= start)
                if live is not None and past:
                    board.past(alert, keep_cleared=wanted)
                elif live is not None:
                    board.live(alert, now())
                elif wanted:
                    text = value.decode(errors="replace").replace("\n", " ") if raw else line(alert)
                    console.file.write(text + "\n")
            if live is not None:
                title = topic if events is not None else f"{topic}: no broker, trying again"
                live.update(board.render(now(), title, console.height), refresh=True)
            console.file.flush()
            sleep(PAUSE_SECONDS)


def follow(broker: Broker, topic: str) -> Iterator[list[tuple[bytes, Alert]] | None]:
    """All alerts of a topic so far, then again and again what has come since, by time.

    What is not an alert is left out. None stands for a broker that cannot be reached just now:
    what came meanwhile comes when it is back. Raises BrokerError if there is no such topic, or no
    broker at the start.
    """
    spec = broker.topics([topic]).get(topic)
    if spec is None:
        raise BrokerError(f"There is no topic {topic}: {CREATE_TOPICS}.")
    sources = [TopicPartition(topic, partition) for partition in range(spec.partitions)]
    positions = {source: broker.bounds(source)[0] for source in sources}
    reached = False
    while True:
        try:
            events, positions = _read(broker, positions)
        except BrokerError:
            if not reached:
                raise
            yield None
        else:
            reached = True
            yield events


def _read(
    broker: Broker, positions: Mapping[TopicPartition, int]
) -> tuple[list[tuple[bytes, Alert]], dict[TopicPartition, int]]:
    """The alerts from ``positions`` on, by time, and the positions after them."""
    decode = msgspec.json.Decoder(Alert).decode
    events: list[tuple[bytes, Alert]] = []
    after = {}
    for source, start in positions.items():
        # To the end, and not to the last record: behind that stands its transaction's marker.
        after[source] = end = broker.bounds(source)[1]
        for batch in broker.read(source, start, end):
            for value in batch.values:
                try:
                    events.append((value or b"", decode(value or b"")))
                except ValueError:
                    sys.stderr.write(f"vitalwatch: {source.topic} holds what is not an alert\n")
    return sorted(events, key=lambda event: event[1].time), after
