"""A simulated ward in this process: patients, the detector and the log that they write to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from simulator.publish import Introductions, readings
from simulator.ward import Ward
from vitalwatch import config
from vitalwatch.messages import epoch_ms
from vitalwatch.stream import topics
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.memory import MemoryBroker

if TYPE_CHECKING:
    from vitalwatch.stream.detection import StreamDetector

INTERVAL: Final = 1.0
"""Seconds between a patient's readings."""

HISTORY_SECONDS: Final = 3600.0
"""So much has happened before the first page is opened."""

ONSETS: Final = (3300.0, 6 * 3600.0)
BEDS_PER_WARD: Final = 16
KEPT_MS: Final = 2 * 3_600_000
TRIM_SECONDS: Final = 60.0


def settings(given: config.Settings) -> config.Settings:
    """Settings for a log of its own."""
    return msgspec.structs.replace(
        given,
        topics=config.Topics(prefix="simulated", partitions=2),
        dashboard=msgspec.structs.replace(given.dashboard, stream="simulated"),
        daemon=config.Daemon(group="simulated", max_records=500),
    )


@contextmanager
def running(
    patients: int,
    seed: int,
    given: config.Settings,
    detector: "StreamDetector",
    model: str,
    clock: Callable[[], float] = time.time,
) -> Iterator[MemoryBroker]:
    """The log of a ward that lives as long as the context."""
    from prometheus_client import CollectorRegistry

    from vitalwatch.monitoring.http import Health
    from vitalwatch.monitoring.metrics import Metrics
    from vitalwatch.stream.daemon import CONDITIONS, Daemon

    broker = MemoryBroker()
    broker.create(topics.specs(given.topics))
    stop = threading.Event()
    daemon = Daemon(
        broker,
        detector,
        given,
        Metrics(CollectorRegistry()),
        Health(CONDITIONS),
        model=model,
        identity="simulated",
    )
    threads = [
        threading.Thread(target=daemon.run, args=(stop,), name="simulated daemon"),
        threading.Thread(
            target=_play, args=(broker, given.topics, patients, seed, stop, clock), name="ward"
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        yield broker
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _play(
    broker: MemoryBroker,
    names: config.Topics,
    patients: int,
    seed: int,
    stop: threading.Event,
    clock: Callable[[], float],
) -> None:
    """Publish the ward's readings: its history at once, then as they are taken."""
    start = round((clock() - HISTORY_SECONDS) * 1000)
    ward = Ward(patients, seed, INTERVAL, start_ms=start, onset=ONSETS, every=ONSETS[1])
    introductions = Introductions(ward)
    places = {
        name: (f"Ward {number // BEDS_PER_WARD + 1}", str(number % BEDS_PER_WARD + 1))
        for number, name in enumerate(ward.patients)
    }
    publisher = broker.publisher()
    encode = msgspec.json.Encoder().encode
    trim_due = clock() + TRIM_SECONDS
    while not stop.is_set():
        for reading in introductions.add(readings(ward.patients, *ward.step())):
            time_ms = epoch_ms(reading.time)
            rest = time_ms / 1000 - clock()
            if rest > 0.02 and stop.wait(rest):
                return
            place, bed = places[reading.patient]
            placed = msgspec.structs.replace(reading, ward=place, bed=bed)
            key = reading.patient.encode()
            publisher.send(names.readings, key, encode(placed), timestamp=time_ms)
        if clock() >= trim_due:
            trim_due = clock() + TRIM_SECONDS
            _trim(broker, names, round(clock() * 1000) - KEPT_MS)


def _trim(broker: MemoryBroker, names: config.Topics, before: int) -> None:
    """Forget what is long past, as retention does: this log lives in memory."""
    for topic in (names.readings, names.scores, names.state):
        for partition in range(names.partitions):
            source = TopicPartition(topic, partition)
            broker.trim(source, broker.offset_at(source, before))
