"""Writing acknowledgements to their topic, durably, one at a time."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from vitalwatch.errors import BrokerError
from vitalwatch.messages import Ack
from vitalwatch.stream.broker import Broker, Publisher

NAME: Final = 80
NOTE: Final = 500


class Acks:
    """The writer of a server's acknowledgements; connects when the first is to be written."""

    def __init__(
        self, connect: Callable[[], Broker], topic: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._connect = connect
        self._topic = topic
        self._clock = clock
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._publisher: Publisher | None = None

    def write(self, alert_id: str, name: str, note: str) -> Ack:
        """Write one; returns when it is durable. Raises BrokerError if it cannot be written."""
        ack = Ack(alert_id, name, round(self._clock() * 1000), note)
        value = msgspec.json.encode(ack)
        with self._lock:
            try:
                if self._publisher is None:
                    self._broker = self._connect()
                    self._publisher = self._broker.publisher()
                self._publisher.send(self._topic, alert_id.encode(), value, timestamp=ack.time)
                self._publisher.flush()
            except BrokerError:
                self._drop()  # the next one starts afresh
                raise
        return ack

    def close(self) -> None:
        """Let go of the broker."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        for part in (self._publisher, self._broker):
            if part is not None:
                with suppress(BrokerError):
                    part.close()
        self._publisher = self._broker = None
