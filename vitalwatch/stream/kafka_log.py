"""What kafka-python says of an outage, cut down to one line at its start and one at its end.

It logs every try to connect of every client, as an error: 30 lines a second, for hours if need be.
"""

import logging
import threading
from typing import Any, Final

from kafka import errors
from kafka.net.connection import KafkaConnection

log = logging.getLogger(__name__)

CONNECTIONS: Final = "kafka.net.connection"
LOGGERS: Final = (
    CONNECTIONS,
    "kafka.cluster",
    "kafka.consumer.fetcher",
    "kafka.coordinator",
    "kafka.coordinator.heartbeat",
    "kafka.net.manager",
    "kafka.net.transport",
    "kafka.producer.sender",
)
CONNECTED, LOST = "%s: Connected", "%s: Connection lost: %s"

_AWAY: Final = (
    errors.CoordinatorNotAvailableError,
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
)
_SENTENCES: Final = (
    "Bootstrap attempt to",
    "Heartbeat session expired",
    "Marking the coordinator dead",
    "No node available",
    "%s: socket disconnected",
)
"""Starts of what is said of an outage without the error."""


class Outages(logging.Filter):
    """Lets the library's loggers pass all but what they say of connections.

    Instead each broker's first lost connection is logged, and its first new one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._lost: dict[str, float] = {}  # since when, by the broker's number

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the library's own line is to be written."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        if record.msg == CONNECTED:
            self._connected(_broker(arguments), record.created)
            return False
        if record.msg == LOST:
            self._disconnected(_broker(arguments), record.created, arguments[-1])
            return False
        text = str(record.msg)
        return not text.startswith(_SENTENCES) and not any(
            isinstance(argument, _AWAY) for argument in arguments
        )

    def _connected(self, broker: str, now: float) -> None:
        with self._lock:
            since = self._lost.pop(broker, None)
        if since is not None:
            outage = {"broker": broker, "seconds": round(now - since, 1)}
            log.warning("connected to Kafka again", extra=outage)

    def _disconnected(self, broker: str, now: float, cause: object) -> None:
        # Where to look for brokers at first is no broker's name yet: whoever asks gets the error.
        if broker.startswith("bootstrap"):
            return
        with self._lock:
            new = broker not in self._lost
            self._lost.setdefault(broker, now)
        if new:
            outage = {"broker": broker, "cause": str(cause)}
            log.warning("no connection to Kafka: trying until there is one", extra=outage)


def _broker(arguments: tuple[Any, ...]) -> str:
    connection = arguments[0] if arguments else None
    number = connection.node_id if isinstance(connection, KafkaConnection) else connection
    return str(number).removeprefix("coordinator-")  # the same broker, asked for something else


_OUTAGES: Final = Outages()


def tell_of_outages_once() -> None:
    """Put the filter before the library's loggers."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_OUTAGES)  # a second time changes nothing
    # What ends an outage is said at this level, whatever else is wanted.
    connections = logging.getLogger(CONNECTIONS)
    if not connections.isEnabledFor(logging.INFO):
        connections.setLevel(logging.INFO)
