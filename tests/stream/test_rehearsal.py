import sys
from typing import Any

import numpy as np

from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.stream import rehearsal
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.kafka_columns import Columns
from vitalwatch.stream.outputs import Outputs


def kernels() -> dict[str, set[str]]:
    """All compiled functions, and for which types of arguments each is compiled."""
    found: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("vitalwatch"):
            for value in vars(module).values():
                if hasattr(value, "py_func"):
                    found[value.py_func.__qualname__] = set(map(str, value.signatures))
    return found


def polled(first: int) -> Columns:
    """Four records, as they come from Kafka."""
    data, columns = b"", []
    for offset in range(first, first + 4):
        time = 1_700_000_000_000 + 1000 * offset
        key = b"anna"
        value = b'{"patient":"anna","time":%d,"vitals":{"hr":80},"sex":"female"}' % time
        start = len(data)
        columns.append(
            [offset, time, 0, start, len(key), start + len(key), len(value), start + len(key)]
        )
        data += key + value
    return Columns(np.frombuffer(data, np.uint8), np.array(columns).T.copy())


def test_nothing_is_left_to_compile_when_readings_come_from_kafka() -> None:
    model, settings = checkpoint.load(), config.Settings()
    assert rehearsal.rehearse(model) > 0
    detector, outputs, decoder = Detector(model, settings.alarms), Outputs(settings, "m"), Decoder()
    before = kernels()

    def work(columns: Columns) -> None:
        decoded: list[Any] = [decoder.decode(columns.batch(TopicPartition("t", 0)))]
        detections = detector.process([part.readings for part in decoded])
        assert len(outputs.scores(decoded, detections)) == 1

    work(polled(0).first(2))
    work(polled(0).rest(2))
    work(Columns.joined([polled(4), polled(8)]))
    assert kernels() == before
