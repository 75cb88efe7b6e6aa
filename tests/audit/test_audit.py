"""What was not changed is equal; another model, and what is not there to compare, are named."""

import dataclasses
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit.staged import (
    ALERTS,
    LETTERS,
    PREFIX,
    RECORDS,
    SCORES,
    Kept,
    audited,
    change,
    copied,
    cut,
    once_scored,
    scored,
    told,
    ward,
    with_block,
)
from tests.stream.worker import Worker
from vitalwatch.audit.ranges import Limits
from vitalwatch.audit.report import Counts, Stretch
from vitalwatch.detector import Detector
from vitalwatch.errors import UsageError
from vitalwatch.messages import ScoreBlock
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Model
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.memory import MemoryBroker


class TestNothingWasChanged:
    def test_all_scores_alerts_and_dead_letters_are_equal(self, worker: Worker) -> None:
        report = audited(worker)
        assert report.equal
        assert report.first is None
        assert {kind: counts.equal for kind, counts in report.totals.items()} == {
            "score": len(worker.scores()),
            "alert": len(worker.alerts()),
            "dead letter": len(worker.records(LETTERS)),
        }
        assert {kind: counts.total for kind, counts in report.totals.items()} == {
            kind: counts.equal for kind, counts in report.totals.items()
        }
        assert told(report) == ""

    def test_a_worker_that_went_on_from_snapshots_is_equal(self) -> None:
        daemon = {"snapshot_seconds": 0.001, "max_records": 10, "warmup_minutes": 0.0}
        assert audited(scored(MemoryBroker(), PREFIX, RECORDS, 1, daemon=daemon)).equal

    @pytest.mark.parametrize("emit", ["reading", "none"])
    def test_scores_may_be_one_a_record_or_none(self, emit: str) -> None:
        worker = scored(MemoryBroker(), PREFIX, RECORDS, scores={"emit": emit})
        report = audited(worker)
        assert report.equal
        assert ("score" in report.totals) == (emit == "reading")
        if emit == "reading":
            assert report.totals["score"].equal == len(worker.scores())

    @settings(max_examples=12)
    @given(st.data())
    def test_every_range_of_it_is_equal_and_ranges_add_up(self, data: st.DataObject) -> None:
        worker = once_scored()
        _, end = worker.broker.bounds(TopicPartition(f"{PREFIX}.readings", 1))
        cut = data.draw(st.integers(1, end - 1), label="cut")
        parts = [
            audited(worker, Limits(first={1: begin}, end={1: stop}))
            for begin, stop in ((0, cut), (cut, end))
        ]
        whole = audited(worker, Limits(first={1: 0}))
        for kind, counts in whole.totals.items():
            assert sum(part.totals[kind].equal for part in parts) == counts.equal
        assert all(part.equal for part in (*parts, whole))

    @settings(max_examples=12)
    @given(st.data())
    def test_it_does_not_matter_how_the_scores_are_cut_into_records(
        self, data: st.DataObject
    ) -> None:
        worker = copied()
        sizes = st.integers(1, 20)

        def recut(records: list[Kept]) -> list[Kept]:
            return [
                part
                for record in records
                for part in parts_of(record, lambda: data.draw(sizes, label="size"))
            ]

        assert change(worker, SCORES, recut).equal

    def test_records_of_other_readings_are_none_of_its_business(self, worker: Worker) -> None:
        before = audited(worker)
        other = scored(MemoryBroker(), "other", RECORDS)
        for topic in (SCORES, ALERTS, LETTERS):
            foreign = other.records(topic.replace(PREFIX, "other"))
            publisher = worker.broker.publisher()
            for key, value, headers in foreign:
                publisher.send(topic, key, value, headers=headers)
        assert audited(worker) == before


class TestAnotherModel:
    def test_its_stretch_is_named_and_not_compared(self, worker: Worker) -> None:
        report = audited(worker, model=other_model(worker.model))
        assert not report.equal
        assert report.first is None
        assert report.totals["score"] == Counts(other_model=len(worker.scores()))
        assert report.totals["alert"] == Counts(other_model=len(worker.alerts()))
        assert report.totals["dead letter"].equal == len(worker.records(LETTERS))
        for part in report.parts:
            assert [stretch.model for stretch in part.models] == [worker.model.fingerprint]
        assert f"Made by model {worker.model.fingerprint}" in told(report)
        assert "--model-path" in told(report)

    def test_what_the_model_at_hand_said_before_it_is_compared(self) -> None:
        worker = Worker(MemoryBroker(), PREFIX, 1)
        worker.publish(RECORDS[:200])
        worker.run(200)
        first_model, second_model = worker.model, other_model(worker.model)
        worker.model = second_model
        worker.publish(RECORDS[200:])
        worker.run(len(RECORDS) - 200, detector=Detector(second_model, worker.settings.alarms))

        report = audited(worker, model=first_model)

        assert report.totals["score"].faults == 0
        assert report.totals["score"].equal > 100
        (part,) = report.parts
        assert [msgspec.structs.replace(stretch, last=0) for stretch in part.models] == [
            Stretch(second_model.fingerprint, 200, 0)
        ]
        assert report.totals["alert"].faults == 0
        assert not report.equal
        assert audited(worker, Limits(end={0: 200}), model=first_model).equal
        # The state after the change is made of the last hour, which here is all that there is.
        assert audited(worker, Limits(first={0: 200}), model=second_model).equal


class TestRanges:
    def test_readings_that_are_not_scored_yet_are_left_out(self) -> None:
        worker = scored(MemoryBroker(), PREFIX, RECORDS)
        worker.publish(ward(20))
        assert not audited(worker).equal
        reached = {
            source: worker.broker.bounds(source)[1] - 3
            for source in (TopicPartition(f"{PREFIX}.readings", n) for n in range(3))
        }
        assert not audited(worker, committed=reached).equal
        assert audited(worker, committed=committed(worker)).equal

    def test_a_range_of_times_is_that_of_the_records(self, worker: Worker) -> None:
        start = 1_700_000_000_000
        report = audited(worker, Limits(since=start + 50_000, until=start + 100_000))
        assert report.equal
        counted = sum(counts.equal for kind, counts in report.totals.items() if kind != "alert")
        assert counted == 50  # a record each second

    def test_too_short_a_history_is_suspected(self, worker: Worker) -> None:
        report = audited(worker, Limits(first={1: 100}, history_hours=0.001))
        assert not report.equal
        assert "later than the beginning" in told(report)
        assert "history" in told(report)
        assert audited(worker, Limits(first={1: 100}, history_hours=1)).equal

    def test_what_retention_took_from_the_outputs_is_not_missed(self, worker: Worker) -> None:
        assert isinstance(worker.broker, MemoryBroker)
        whole = audited(worker).totals
        for topic in (SCORES, ALERTS, LETTERS):
            for number in range(3):
                source = TopicPartition(topic, number)
                _, end = worker.broker.bounds(source)
                worker.broker.trim(source, end // 2)
        report = audited(worker)
        assert report.equal
        for kind, counts in report.totals.items():
            assert counts.gone > 0
            assert counts.gone + counts.equal == whole[kind].equal
        assert "no longer" not in told(report)
        assert "still retains" in told(report)

    def test_what_retention_took_from_the_readings_is_said(self, worker: Worker) -> None:
        assert isinstance(worker.broker, MemoryBroker)
        source = TopicPartition(f"{PREFIX}.readings", 1)
        worker.broker.trim(source, 40)
        report = audited(worker)
        assert "later than the beginning in partition 1 (offset 40)" in told(report)
        with pytest.raises(UsageError, match="no offset 10 any more: its first is 40"):
            audited(worker, Limits(first={1: 10}))

    def test_a_partition_that_is_not_there_is_said(self, worker: Worker) -> None:
        with pytest.raises(UsageError, match="no partition 7: it has 0 to 2"):
            audited(worker, Limits(first={7: 0}))

    def test_a_range_without_readings_is_no_success(self, worker: Worker) -> None:
        with pytest.raises(UsageError, match="no readings in this range"):
            audited(worker, Limits(until=1))

    def test_an_empty_topic_is_no_success(self) -> None:
        broker = MemoryBroker()
        worker = Worker(broker, PREFIX)
        with pytest.raises(UsageError, match="no readings"):
            audited(worker)


def parts_of(record: Kept, size: Callable[[], int]) -> list[Kept]:
    """A record of scores as several."""
    count = len(msgspec.json.decode(record.value or b"", type=ScoreBlock).offsets)
    parts, begin = [], 0
    while begin < count:
        end = begin + size()
        parts.append(with_block(record, partial(cut, begin=begin, end=end)))
        begin = end
    return parts


def other_model(model: Model) -> Model:
    """A model with one weight changed."""
    other = checkpoint.load()
    other.weights["head.bias"][0] += 0.5
    return dataclasses.replace(other, fingerprint="0123456789ab")


def committed(worker: Worker) -> dict[TopicPartition, int]:
    """How far the worker's group has come."""
    assert isinstance(worker.broker, MemoryBroker)
    return dict(worker.broker._groups[worker.settings.daemon.group].committed)
