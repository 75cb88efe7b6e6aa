"""A daemon in the test's own thread, and what it leaves on its topics."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.messages import Alert
from vitalwatch.model import checkpoint
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.stream import topics
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.daemon import CONDITIONS, Daemon
from vitalwatch.stream.score_blocks import read

SECONDS = 60.0
START = 1_700_000_000_000

HEALTHY = {"hr": 80, "spo2": 97, "rr": 16}


def reading(
    patient: str, second: float, vitals: dict[str, Any] | None = None, **more: object
) -> bytes:
    """A good reading on the wire."""
    return msgspec.json.encode(
        {
            "patient": patient,
            "time": START + round(second * 1000),
            "vitals": HEALTHY if vitals is None else vitals,
            **more,
        }
    )


class Until(threading.Event):
    """A request to stop that comes when ``done`` says so; fails when it never does."""

    def __init__(self, done: Callable[[], bool]) -> None:
        super().__init__()
        self._done = done
        self._end = time.monotonic() + SECONDS

    def is_set(self) -> bool:
        assert time.monotonic() < self._end, "the daemon does not get there"
        return self._done()


class Worker:
    """One worker's settings, metrics and detector; topics are made with the first."""

    def __init__(self, broker: Broker, prefix: str, partitions: int = 1, **options: Any) -> None:
        """``options`` are settings by section: ``daemon={"commit_seconds": 1.0}``."""
        defaults: dict[str, Any] = {
            "topics": {"prefix": prefix, "partitions": partitions},
            "daemon": {"group": prefix, "commit_seconds": 0.01},
        }
        sections = {
            name: {**defaults.get(name, {}), **options.get(name, {})}
            for name in {*defaults, *options}
        }
        self.settings = msgspec.convert(sections, config.Settings)
        self.broker = broker
        broker.create(topics.specs(self.settings.topics))
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(CONDITIONS)
        self.model = checkpoint.load()

    def daemon(self, identity: str = "worker", **doubles: Any) -> Daemon:
        """A daemon of this worker, without any state yet."""
        return Daemon(
            doubles.pop("broker", self.broker),
            doubles.pop("detector", None) or Detector(self.model, self.settings.alarms),
            self.settings,
            self.metrics,
            self.health,
            model=self.model.fingerprint,
            identity=f"{self.settings.topics.prefix}-{identity}",
            **doubles,
        )

    def run(self, records: int, **doubles: Any) -> None:
        """Run until so many records of the input are scored or dead letters."""
        goal = self.seen() + records
        self.daemon(**doubles).run(Until(lambda: self.reached(goal)))
        assert self.seen() == goal

    def reached(self, records: int) -> bool:
        """Whether the outcome of so many records is committed."""
        return self.seen() >= records

    def seen(self) -> int:
        """Records whose outcome is committed."""
        dead = self.metrics.registry.collect()
        letters = sum(
            sample.value
            for family in dead
            for sample in family.samples
            if sample.name == "vitalwatch_dead_letters_total"
        )
        return round(letters + self.figure("vitalwatch_readings_scored_total"))

    def figure(self, name: str, **labels: str) -> float:
        """One metric's value."""
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None
        return value

    def publish(self, records: Iterable[tuple[str | None, bytes | None]]) -> None:
        """Send records to the input, at the time that it is for them."""
        publisher = self.broker.publisher()
        for second, (key, value) in enumerate(records):
            publisher.send(
                self.settings.topics.readings,
                None if key is None else key.encode(),
                value,
                timestamp=START + second * 1000,
                headers=[("device", b"monitor")],
            )
        publisher.close()

    def records(self, topic: str) -> list[Any]:
        """Committed records of an output as (key, value, headers), by partition and offset."""
        partitions = self.broker.topics([topic])[topic].partitions
        return [
            record
            for partition in range(partitions)
            for batch in self.broker.read(TopicPartition(topic, partition), 0)
            for record in zip(batch.keys, batch.values, batch.headers, strict=True)
        ]

    def alerts(self) -> list[Alert]:
        """What was alerted, in order of origin."""
        records = self.records(self.settings.topics.alerts)
        alerts = [msgspec.json.decode(value, type=Alert) for _, value, _ in records]
        return sorted(alerts, key=lambda a: (a.origin.partition, a.origin.offset))

    def scores(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        """What was scored, by partition and offset of the reading; fails for one scored twice."""
        scores: dict[tuple[int, int], tuple[Any, ...]] = {}
        for _, value, _ in self.records(self.settings.topics.scores):
            block = read(value)
            columns = (block.patients, block.times, block.rarity)
            tables = (block.surprise, block.expected, block.low, block.high)
            for place, offset in enumerate(block.offsets):
                where = (block.partition, offset)
                assert where not in scores
                scores[where] = (
                    *(column[place] for column in columns),
                    # A vital that nobody of the block had is left out of it.
                    *(
                        {name: c[place] for name, c in table.items() if c[place] is not None}
                        for table in tables
                    ),
                )
        return scores
