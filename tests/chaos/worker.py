"""``vitalwatch run`` with traps: it meets its fate at the n-th passage of a named step.

The program is the product's own, from its command line on; only the broker that it connects to
and its detector are wrapped.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer

# Some only so that they are there when a worker is forked.
from vitalwatch import config, detector
from vitalwatch.commands import run  # noqa: F401
from vitalwatch.commands.main import main
from vitalwatch.model import checkpoint  # noqa: F401
from vitalwatch.monitoring import http, logs, metrics  # noqa: F401
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream import daemon, kafka, snapshots  # noqa: F401
from vitalwatch.stream.broker import Broker, Membership, Poll, RecordBatch, Sink, Source
from vitalwatch.stream.broker import TopicPartition as Partition

STEPS: Final = (
    "assigned",  # partitions came; their state is still unknown
    "restore",  # part of a snapshot, or of the past readings, is read again
    "poll",  # readings came
    "score",  # they are scored
    "append",  # an output is written, another is to come
    "snapshot",  # part of a snapshot is written
    "commit",  # all is written, nothing committed
    "committing",  # the commit is on its way
    "committed",
)
"""Where a trap may lie, in the order in which a worker comes by."""

SESSION_SECONDS: Final = 3.0
TRANSACTION_SECONDS: Final = 4.0
PART_BYTES: Final = 4000
TRAP: Final = "caught in a trap: "


class Traps:
    """At the n-th passage of a step from now on, what the order says happens.

    An order has ``step``, ``passage``, ``action`` (``kill``, ``freeze`` or ``sleep``) and
    ``seconds``: for a sleep, how long it lasts; else how long what was written has time to reach
    the broker before.
    """

    def __init__(self, order: Mapping[str, Any] | None) -> None:
        self._order: Mapping[str, Any] | None = None
        self._left = 0
        self.set(order)

    def set(self, order: Mapping[str, Any] | None) -> None:
        """Lay another trap, or none."""
        self._order = order
        self._left = 0 if order is None else int(order["passage"])

    def due(self, step: str) -> bool:
        """Count a passage; whether this is the one."""
        if self._order is None or self._order["step"] != step:
            return False
        self._left -= 1
        return self._left == 0

    def passing(self, step: str) -> None:
        """Come by a step, and perhaps no further."""
        if self.due(step):
            self.spring()

    def spring(self) -> None:
        """Let the trap's action happen."""
        order, self._order = self._order, None
        assert order is not None
        time.sleep(order["seconds"] if order["action"] != "sleep" else 0)
        os.write(sys.stderr.fileno(), f"{TRAP}{json.dumps(dict(order))}\n".encode())
        if order["action"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif order["action"] == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            time.sleep(order["seconds"])


class _Source:
    def __init__(self, source: Source, traps: Traps) -> None:
        self._source = source
        self._traps = traps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def poll(self, timeout: float, max_records: int) -> Poll:
        polled = self._source.poll(timeout, max_records)
        if polled.assigned:
            self._traps.passing("assigned")
        if polled.batches:
            self._traps.passing("poll")
        return polled

    def more(self, *arguments: Any, **named: Any) -> Any:
        batches = self._source.more(*arguments, **named)
        if batches:
            self._traps.passing("poll")
        return batches


class _Sink:
    def __init__(self, sink: Sink, traps: Traps, state: str) -> None:
        self._sink = sink
        self._traps = traps
        self._state = state
        self._appended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def begin(self) -> None:
        self._appended = False
        self._sink.begin()

    def append(self, topic: str, *arguments: Any, **named: Any) -> None:
        if self._appended:
            self._traps.passing("append")
        self._sink.append(topic, *arguments, **named)
        self._appended = True
        if topic == self._state:
            self._traps.passing("snapshot")

    def commit(self, offsets: Mapping[Partition, int], membership: Membership | None) -> None:
        self._traps.passing("commit")
        if self._traps.due("committing"):
            threading.Thread(target=self._traps.spring, daemon=True).start()
        self._sink.commit(offsets, membership)
        self._traps.passing("committed")


class _Broker:
    def __init__(self, broker: Broker, traps: Traps, state: str) -> None:
        self._broker = broker
        self._traps = traps
        self._state = state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def source(self, *arguments: Any, **named: Any) -> Any:
        return _Source(self._broker.source(*arguments, **named), self._traps)

    def sink(self, identity: str) -> Any:
        return _Sink(self._broker.sink(identity), self._traps, self._state)

    def read(self, *arguments: Any, **named: Any) -> Iterator[RecordBatch]:
        for batch in self._broker.read(*arguments, **named):
            self._traps.passing("restore")
            yield batch


def work(order: Mapping[str, Any]) -> int:
    """Run ``vitalwatch run`` with the order's ``arguments`` and ``trap``; the exit code.

    SIGUSR1 lays the trap that the file ``next`` holds.
    """
    _end_with_the_parent()
    traps = Traps(order["trap"])
    signal.signal(signal.SIGUSR1, lambda *_: traps.set(json.loads(Path(order["next"]).read_text())))
    _hurry()
    connect, kind = kafka.connect, detector.Detector

    class Trapped(kind):  # type: ignore[valid-type, misc]
        def process(self, batch: Sequence[Readings]) -> list[Detection]:
            detections: list[Detection] = super().process(batch)
            traps.passing("score")
            return detections

    def trapped(settings: config.Kafka) -> Any:
        return _Broker(connect(settings), traps, order["state"])

    with contextlib.ExitStack() as stack:
        for module, name, double in ((kafka, "connect", trapped), (detector, "Detector", Trapped)):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, double)
        return main(["run", *order["arguments"]])


def _hurry() -> None:
    """The waits that a fault costs, as short as a broker for tests allows; snapshots in parts."""
    _insist(KafkaConsumer, "session_timeout_ms", SESSION_SECONDS)
    _insist(KafkaProducer, "transaction_timeout_ms", TRANSACTION_SECONDS)
    setattr(snapshots, "PART_BYTES", PART_BYTES)  # noqa: B010 - a constant of the product


def _insist(client: Any, setting: str, seconds: float) -> None:
    """Where the product sets this of a client, have it shorter."""
    begin = client.__init__

    def shorter(self: Any, *arguments: Any, **settings: Any) -> None:
        if setting in settings:
            settings[setting] = round(seconds * 1000)
        begin(self, *arguments, **settings)

    client.__init__ = shorter


def _end_with_the_parent() -> None:
    """On Linux, die with the process that forked this one."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
