"""What the daemon is compared with, each a process of its own that prints its figures as JSON.

    python -m tests.benchmarks.subjects poll ADDRESS TOPIC GROUP READINGS [--records N] [--tuned]
    python -m tests.benchmarks.subjects loop ADDRESS TOPIC GROUP READINGS --alerts TOPIC
    python -m tests.benchmarks.subjects quix ADDRESS TOPIC GROUP READINGS --alerts TOPIC ...

``loop`` and ``quix`` stop after ``--seconds`` too. Time counts from the first record on, so that
imports, joining the group and the first fetch are no part of it.
"""

import argparse
import gc
import json
import time
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

Result = dict[str, float]


class Stopwatch:
    """Seconds, and seconds of this process's processor time, since it was started."""

    def __init__(self) -> None:
        self._wall = self._processor = 0.0

    def start(self) -> None:
        """Start, unless it runs."""
        if not self._wall:
            self._wall, self._processor = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Of the wall clock."""
        return time.perf_counter() - self._wall

    def read(self) -> Result:
        """Both."""
        return {"seconds": self.seconds(), "processor": time.process_time() - self._processor}


def poll(arguments: argparse.Namespace) -> Result:
    """The client's bare loop: count the records that ``poll`` gives."""
    consumer = KafkaConsumer(
        arguments.topic,
        bootstrap_servers=arguments.address,
        group_id=arguments.group,
        auto_offset_reset="earliest",
    )
    if arguments.tuned:
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
    watch = Stopwatch()
    first = count = 0
    while count < arguments.readings:
        for records in consumer.poll(timeout_ms=1000, max_records=arguments.records).values():
            count += len(records)
        if count and not first:
            first = count
            watch.start()
    result = watch.read()
    consumer.close()
    return {"readings": count - first, **result}


def loop(arguments: argparse.Namespace) -> Result:
    """The obvious program: a record, its JSON, one step of one patient, a threshold."""
    from tests.benchmarks.plain_model import HIGH_SURPRISE, PlainModel, State

    model = PlainModel()
    states: dict[str, State] = {}
    producer = KafkaProducer(bootstrap_servers=arguments.address)
    consumer = KafkaConsumer(
        arguments.topic,
        bootstrap_servers=arguments.address,
        group_id=arguments.group,
        auto_offset_reset="earliest",
        enable_auto_commit=True,
    )
    watch = Stopwatch()
    count = alerts = 0
    for record in consumer:
        watch.start()
        reading = json.loads(record.value)
        patient = reading["patient"]
        state = states.get(patient) or model.blank()
        states[patient], surprise = model.step(state, reading["time"], reading["vitals"])
        if surprise > HIGH_SURPRISE:
            alert = {"patient": patient, "time": reading["time"], "surprise": surprise}
            producer.send(arguments.alerts, json.dumps(alert).encode(), patient.encode())
            alerts += 1
        count += 1
        if count == arguments.readings or watch.seconds() > arguments.seconds:
            break
    producer.flush()
    result = watch.read()
    consumer.close()
    producer.close()
    return {"readings": count, "alerts": alerts, **result}


def quix(arguments: argparse.Namespace) -> Result:
    """The same with quixstreams, the patients' states in its store."""
    from quixstreams import Application

    from tests.benchmarks.plain_model import HIGH_SURPRISE, PlainModel, State

    model = PlainModel()
    application = Application(
        broker_address=arguments.address,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        processing_guarantee=arguments.guarantee,
        state_dir=Path(arguments.folder) / arguments.group,
        loglevel="WARNING",
    )
    watch = Stopwatch()
    count = alerts = 0

    def step(reading: dict[str, Any], store: Any) -> dict[str, Any] | None:
        nonlocal count, alerts
        watch.start()
        content = store.get_bytes("state")
        state = State.unpack(content, model.hidden) if content else model.blank()
        state, surprise = model.step(state, reading["time"], reading["vitals"])
        store.set_bytes("state", state.pack())
        count += 1
        if count == arguments.readings or watch.seconds() > arguments.seconds:
            application.stop()
        if surprise <= HIGH_SURPRISE:
            return None
        alerts += 1
        return {"patient": reading["patient"], "time": reading["time"], "surprise": surprise}

    readings = application.topic(arguments.topic, value_deserializer="json")
    found = application.dataframe(readings).apply(step, stateful=True)
    found = found.filter(lambda alert: alert is not None)
    found.to_topic(application.topic(arguments.alerts, value_serializer="json"))
    application.run()
    return {"readings": count, "alerts": alerts, **watch.read()}


def main() -> None:
    """Run one and print what it measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", choices=["poll", "loop", "quix"])
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("group")
    parser.add_argument("readings", type=int)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--alerts")
    parser.add_argument("--guarantee", default="at-least-once")
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    subject = {"poll": poll, "loop": loop, "quix": quix}[arguments.subject]
    print(json.dumps(subject(arguments)))


if __name__ == "__main__":
    main()
