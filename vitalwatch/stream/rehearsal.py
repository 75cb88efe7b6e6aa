"""A worker's first minutes, gone through once before it joins the group.

The loops over readings are compiled at their first call, which takes half a minute in the first
process after an installation (later ones find the compiled code on disk). A hospital's readings
should not wait for that behind a worker that holds their partition.
"""

import logging
import threading
import time
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry

from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.model.checkpoint import Model
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.stream import topics
from vitalwatch.stream.daemon import CONDITIONS, Daemon
from vitalwatch.stream.memory import MemoryBroker

_START_MS: Final = 1_700_000_000_000
_SETTINGS: Final = config.Settings(
    topics=config.Topics(prefix="rehearsal", partitions=2),
    daemon=config.Daemon(commit_seconds=1e-3, snapshot_seconds=1e-3, max_records=200),
    alarms=config.Alarms(stale_seconds=30.0, discharge_hours=0.05),
)

log = logging.getLogger(__name__)


def rehearse(model: Model) -> float:
    """Score some made-up readings on the in-process log, alarms and all; the seconds it took."""
    log.info("rehearsing: this takes half a minute the first time after an installation")
    began = time.monotonic()
    broker = MemoryBroker()
    broker.create(topics.specs(_SETTINGS.topics))
    room = logging.getLogger("vitalwatch.stream")
    level = room.level
    room.setLevel(logging.ERROR)  # nobody needs to hear of these partitions
    try:
        for half in (range(0, 300, 5), range(300, 600, 5)):
            # The second worker takes over from the first one's snapshot.
            _work(broker, model, _publish(broker, half))
    finally:
        room.setLevel(level)
    seconds = time.monotonic() - began
    log.info("rehearsed", extra={"seconds": round(seconds, 1)})
    return seconds


def _publish(broker: MemoryBroker, period: range) -> int:
    """Readings of three patients, of whom two fall silent for a while or for good; how many."""
    publisher = broker.publisher()
    count = 0
    for second in period:
        low = {"hr": 80, "spo2": 72 if second < 60 else 97, "rr": 0 if second % 100 < 50 else 15}
        for patient, silent in (("a", False), ("b", second > 60), ("c", second % 200 > 100)):
            if not silent:
                at = _START_MS + 1000 * second
                made_up = {"patient": patient, "time": at, "vitals": low, "age": 64}
                value = msgspec.json.encode(made_up)
                publisher.send(_SETTINGS.topics.readings, patient.encode(), value, timestamp=at)
                count += 1
    return count


def _work(broker: MemoryBroker, model: Model, readings: int) -> None:
    metrics, done = Metrics(CollectorRegistry()), threading.Event()
    daemon = Daemon(
        broker,
        Detector(model, _SETTINGS.alarms),
        _SETTINGS,
        metrics,
        Health(CONDITIONS),
        model=model.fingerprint,
        identity="rehearsal",
    )
    for _ in daemon.steps(done):
        scored = metrics.registry.get_sample_value("vitalwatch_readings_scored_total") or 0.0
        if scored >= readings:
            done.set()
