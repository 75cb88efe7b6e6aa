"""What a room must not know, it does not import, not even by way of another."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("room", "unknown"),
    [
        ("vitalwatch.detector", "kafka"),
        ("vitalwatch.alarms", "kafka torch"),
        (
            "vitalwatch.stream.daemon, vitalwatch.stream.kafka",
            "torch vitalwatch.scoring vitalwatch.alarms opentelemetry",
        ),
        ("vitalwatch.audit.rerun", "vitalwatch.stream.kafka torch vitalwatch.scoring"),
        ("vitalwatch.checkup.scoring", "kafka"),
        ("vitalwatch.checkup.cluster", "torch vitalwatch.scoring vitalwatch.alarms"),
        ("vitalwatch.scoring.forecast, vitalwatch.model.checkpoint", "kafka torch"),
        ("vitalwatch.training.ahead, vitalwatch.evaluation.simulated", "kafka torch"),
        ("vitalwatch.monitoring.http, vitalwatch.monitoring.metrics", "kafka torch"),
        ("vitalwatch.monitoring.tracing", "kafka torch opentelemetry"),
        ("vitalwatch.recordings.recording", "kafka torch"),
        ("vitalwatch.calibration.site", "kafka torch"),
        ("vitalwatch.adjustment", "kafka torch vitalwatch.scoring vitalwatch.alarms"),
        ("vitalwatch.recordings.topic_file", "kafka torch"),
        ("vitalwatch.dashboard.dashboard", "vitalwatch.stream.kafka torch vitalwatch.scoring"),
        ("simulator", "kafka torch vitalwatch.scoring vitalwatch.alarms"),
    ],
)
def test_a_room_does_not_know(room: str, unknown: str) -> None:
    script = (
        f"import sys, {room}; print([name for name in {unknown.split()} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
