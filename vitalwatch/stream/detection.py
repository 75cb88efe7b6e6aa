"""What the stream needs of a detector; it knows no more of scoring and alarms than this."""

from collections.abc import Sequence
from typing import Protocol

from vitalwatch.readings import Detection, Readings
from vitalwatch.snapshot import Snapshot


class StreamDetector(Protocol):
    """What the daemon needs of :class:`vitalwatch.detector.Detector`."""

    @property
    def patients(self) -> int:
        """Patients whose state is held."""

    @property
    def in_alarm(self) -> int:
        """Patients with a physiological alarm."""

    @property
    def layout(self) -> str:
        """What stands for the form of a snapshot's rows: only such as have it can be restored."""

    def stream_time(self, topic: str, partition: int) -> int | None:
        """How far the patients of a partition have got, ms since 1970; None where none has yet."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions."""

    def drop(self, topic: str, partition: int) -> None:
        """Forget a partition and its patients."""

    def snapshot(self, topic: str, partition: int) -> Snapshot:
        """The state of a partition as it is now."""

    def restore(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        """Put a partition's state in place of whatever is held of it."""

    def overlay(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        """Put over a partition all of another model's state but the network's own."""
