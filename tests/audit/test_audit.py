"""What was tampered with, lost or doubled is found and named; what was not is equal."""

from bisect import bisect
from collections.abc import Callable
from functools import cache, partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit.staged import Kept, audited, kept, rewritten, scored, ward, with_block, write
from tests.stream.worker import Worker
from vitalwatch.audit.ranges import Limits
from vitalwatch.audit.reasons import notes, reasons
from vitalwatch.audit.report import Counts, Difference, Report, Stretch
from vitalwatch.commands.audit import as_json, as_text
from vitalwatch.detector import Detector
from vitalwatch.errors import UsageError
from vitalwatch.messages import Alert, ScoreBlock
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Model
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.memory import MemoryBroker

PREFIX = "ward"
SCORES, ALERTS, LETTERS = f"{PREFIX}.scores", f"{PREFIX}.alerts", f"{PREFIX}.dead-letters"
RECORDS = ward(300)


@pytest.fixture
def worker() -> Worker:
    """Has scored the ward on a log of its own."""
    return copied()


def copied() -> Worker:
    """A worker on a copy of the log of one that has scored the ward."""
    made = Worker(MemoryBroker(), PREFIX, 3)
    for topic in (f"{PREFIX}.readings", SCORES, ALERTS, LETTERS):
        write(made.broker, made.broker.topics([topic])[topic], kept(once_scored().broker, topic))
    return made


def change(worker: Worker, topic: str, changing: Callable[[list[Kept]], list[Kept]]) -> Report:
    """The audit after somebody changed a topic's records."""
    assert isinstance(worker.broker, MemoryBroker)
    rewritten(worker.broker, topic, changing)
    return audited(worker)


def told(report: Report) -> str:
    return "\n".join([*notes(report), *reasons(report, "zen4, numba 0.68")])


def only(report: Report, kind: str, **counts: int) -> Difference:
    """The first difference, if nothing differs but ``counts`` of a kind."""
    assert not report.equal
    for other, total in report.totals.items():
        assert msgspec.structs.asdict(total) | {"equal": 0} == msgspec.structs.asdict(
            Counts(**(counts if other == kind else {}))
        )
    assert report.first is not None
    assert report.first.kind == kind
    return report.first


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


@cache
def once_scored() -> Worker:
    """A worker that has scored the ward, for all tests; they change nothing of it."""
    return scored(MemoryBroker(), PREFIX, RECORDS)


def parts_of(record: Kept, size: Callable[[], int]) -> list[Kept]:
    """A record of scores as several."""
    count = len(msgspec.json.decode(record.value or b"", type=ScoreBlock).offsets)
    parts, begin = [], 0
    while begin < count:
        end = begin + size()
        parts.append(with_block(record, partial(cut, begin=begin, end=end)))
        begin = end
    return parts


def cut(block: ScoreBlock, begin: int, end: int) -> ScoreBlock:
    """Some readings of a block."""
    fields = msgspec.structs.asdict(block)
    for name, content in fields.items():
        if isinstance(content, list):
            fields[name] = content[begin:end]
        elif isinstance(content, dict):
            fields[name] = {vital: column[begin:end] for vital, column in content.items()}
    return ScoreBlock(**fields)


def without(block: ScoreBlock, place: int) -> ScoreBlock:
    """All but one reading of a block."""
    fields = msgspec.structs.asdict(block)
    for content in fields.values():
        if isinstance(content, list):
            del content[place]
        elif isinstance(content, dict):
            for column in content.values():
                del column[place]
    return ScoreBlock(**fields)


class TestScores:
    def test_a_changed_figure_is_shown_with_both_values(self, worker: Worker) -> None:
        def forge(block: ScoreBlock) -> ScoreBlock:
            block.surprise["hr"][7] = 9.5
            block.rarity[9] = 1.0
            return block

        was = msgspec.json.decode(kept_value(worker, SCORES, 1), type=ScoreBlock)
        report = change(worker, SCORES, at(1, lambda record: with_block(record, forge)))

        first = only(report, "score", different=2)
        assert (first.what, first.source.partition) == ("different", was.partition)
        assert first.source.offset == was.offsets[7]
        assert first.record is not None
        assert first.record.topic == SCORES
        (field,) = first.fields
        assert (field.name, field.committed) == ("surprise.hr", 9.5)
        assert field.recomputed == was.surprise["hr"][7]

    def test_a_score_that_was_lost_is_missing(self, worker: Worker) -> None:
        lost = at(1, lambda record: with_block(record, lambda block: without(block, 3)))
        was = msgspec.json.decode(kept_value(worker, SCORES, 1), type=ScoreBlock)
        first = only(change(worker, SCORES, lost), "score", missing=1)
        assert (first.what, first.source.offset) == ("missing", was.offsets[3])
        assert {field.committed for field in first.fields} == {None}
        rarity = next(field for field in first.fields if field.name == "rarity")
        assert rarity.recomputed == was.rarity[3]

    @pytest.mark.parametrize("place", [0, 1, -1])
    def test_a_record_that_was_lost_is_missing(self, worker: Worker, place: int) -> None:
        was = msgspec.json.decode(kept_value(worker, SCORES, place), type=ScoreBlock)

        def drop(records: list[Kept]) -> list[Kept]:
            del records[place]
            return records

        first = only(change(worker, SCORES, drop), "score", missing=len(was.offsets))
        assert first.source.offset == was.offsets[0]

    @pytest.mark.parametrize("place", [0, 1, -1])
    def test_a_record_that_is_there_again_is_there_twice(self, worker: Worker, place: int) -> None:
        was = msgspec.json.decode(kept_value(worker, SCORES, place), type=ScoreBlock)
        report = change(worker, SCORES, lambda records: [*records, records[place]])
        first = only(report, "score", twice=len(was.offsets))
        assert (first.what, first.source.offset) == ("twice", was.offsets[0])
        assert "twice" in told(report)

    def test_one_reading_twice_in_a_record_is_there_twice(self, worker: Worker) -> None:
        def forge(block: ScoreBlock) -> ScoreBlock:
            block.offsets[5] = block.offsets[4]
            return block

        report = change(worker, SCORES, at(0, lambda record: with_block(record, forge)))
        only(report, "score", twice=1, missing=1)

    def test_a_score_of_what_is_no_reading_is_unexpected(self, worker: Worker) -> None:
        letter = next(dict(h) for _, _, h in worker.records(LETTERS))
        partition, offset = int(letter["source-partition"]), int(letter["source-offset"])

        def forge(record: Kept) -> list[Kept]:
            block = msgspec.json.decode(record.value or b"", type=ScoreBlock)
            if block.partition != partition or not block.offsets[0] < offset < block.offsets[-1]:
                return [record]
            place = bisect(block.offsets, offset)
            made_up = msgspec.structs.replace(cut(block, 0, 1), offsets=[offset])
            blocks = [cut(block, 0, place), made_up, cut(block, place, len(block.offsets))]
            return [record._replace(value=msgspec.json.encode(block)) for block in blocks]

        def add(records: list[Kept]) -> list[Kept]:
            return [part for record in records for part in forge(record)]

        first = only(change(worker, SCORES, add), "score", unexpected=1)
        assert first.source.offset == offset
        assert {field.recomputed for field in first.fields} == {None}

    def test_no_scores_at_all_are_all_missing(self, worker: Worker) -> None:
        count = len(worker.scores())
        report = change(worker, SCORES, lambda _: [])
        only(report, "score", missing=count)
        assert "--topics-prefix" in told(report)

    def test_a_difference_of_the_last_digits_is_another_build(self, worker: Worker) -> None:
        def forge(block: ScoreBlock) -> ScoreBlock:
            block.rarity[0] *= 1.00001
            return block

        report = change(worker, SCORES, at(0, lambda record: with_block(record, forge)))
        only(report, "score", different=1)
        assert "zen4, numba 0.68" in told(report)

    def test_a_worker_that_began_without_state_is_suspected(self) -> None:
        daemon = {"warmup_minutes": 0.0}
        report = audited(scored(MemoryBroker(), PREFIX, RECORDS, daemon=daemon))
        assert report.totals["score"].different > 0
        assert report.totals["dead letter"].faults == 0
        assert "found no snapshot" in told(report)

    def test_what_is_no_block_of_scores_is_counted(self, worker: Worker) -> None:
        junk = Kept(0, b"0", b'{"topic": 7}', (), 0)
        report = change(worker, SCORES, lambda records: [junk, *records, junk])
        assert not report.equal
        assert report.unreadable == 2
        assert report.first_unreadable is not None
        assert report.first_unreadable.topic == SCORES
        assert report.first is None
        assert "2 records" in told(report)


class TestAlerts:
    def test_an_alert_that_was_removed_is_missing(self, worker: Worker) -> None:
        was = alert_of(kept_value(worker, ALERTS, 2))
        first = only(change(worker, ALERTS, lambda r: r[:2] + r[3:]), "alert", missing=1)
        assert first.name == f"{was.alert_id} {was.event}"
        assert first.source.offset == was.origin.offset
        shown = {field.name: field.recomputed for field in first.fields}
        assert shown["sentence"] == was.sentence

    def test_an_alert_that_was_doubled_is_there_twice(self, worker: Worker) -> None:
        was = alert_of(kept_value(worker, ALERTS, 2))
        first = only(change(worker, ALERTS, lambda r: [*r, r[2]]), "alert", twice=1)
        assert first.name == f"{was.alert_id} {was.event}"

    def test_a_changed_alert_is_shown_field_by_field(self, worker: Worker) -> None:
        def forge(record: Kept) -> Kept:
            alert = alert_of(record.value)
            drivers = [msgspec.structs.replace(alert.drivers[0], observed=99.0)]
            alert = msgspec.structs.replace(alert, priority="low", drivers=drivers)
            return record._replace(value=msgspec.json.encode(alert))

        was = alert_of(kept_value(worker, ALERTS, 1))
        first = only(change(worker, ALERTS, at(1, forge)), "alert", different=1)
        assert [(f.name, f.committed, f.recomputed) for f in first.fields] == [
            ("priority", "low", was.priority),
            ("drivers.0.observed", 99.0, was.drivers[0].observed),
        ]

    def test_an_alert_that_was_made_up_is_unexpected(self, worker: Worker) -> None:
        def forge(records: list[Kept]) -> list[Kept]:
            alert = msgspec.structs.replace(alert_of(records[0].value), alert_id="made-up")
            return [*records, records[0]._replace(value=msgspec.json.encode(alert))]

        assert only(change(worker, ALERTS, forge), "alert", unexpected=1).name.startswith("made-up")

    def test_other_alarm_settings_are_suspected(self, worker: Worker) -> None:
        report = audited(worker, budget=20.0)
        assert not report.equal
        assert report.totals["score"].faults == 0
        assert report.totals["alert"].missing > 0
        assert "alarms.budget" in told(report)

    def test_another_way_to_write_the_same_number_is_no_difference(self, worker: Worker) -> None:
        def forge(record: Kept) -> Kept:
            return record._replace(value=msgspec.json.format(record.value or b""))

        assert change(worker, ALERTS, at(1, forge)).equal


class TestDeadLetters:
    def test_a_dead_letter_that_was_lost_is_missing(self, worker: Worker) -> None:
        *_, headers = worker.records(LETTERS)[4]
        first = only(change(worker, LETTERS, lambda r: r[:4] + r[5:]), "dead letter", missing=1)
        assert first.source.offset == int(dict(headers)["source-offset"])
        shown = {field.name: field.recomputed for field in first.fields}
        assert shown["reason"] == dict(headers)["reason"].decode()

    def test_a_dead_letter_that_was_doubled_is_there_twice(self, worker: Worker) -> None:
        only(change(worker, LETTERS, lambda r: [r[0], *r]), "dead letter", twice=1)

    @pytest.mark.parametrize(
        ("forge", "fields"),
        [
            (lambda r: r._replace(value=b"other"), ["value"]),
            (lambda r: r._replace(key=b"other"), ["key"]),
            (lambda r: r._replace(headers=[("device", b"x"), *r.headers[1:]]), ["headers"]),
            (
                lambda r: r._replace(
                    headers=[h if h[0] != "reason" else ("reason", b"late") for h in r.headers]
                ),
                ["reason"],
            ),
        ],
    )
    def test_a_changed_dead_letter_is_different(
        self, worker: Worker, forge: Callable[[Kept], Kept], fields: list[str]
    ) -> None:
        was = kept_value(worker, LETTERS, 0)
        assert was
        first = only(change(worker, LETTERS, at(0, forge)), "dead letter", different=1)
        assert [field.name for field in first.fields] == fields

    def test_what_is_no_dead_letter_is_counted(self, worker: Worker) -> None:
        report = change(worker, LETTERS, lambda r: [*r, Kept(0, b"k", b"v", (), 0)])
        assert (report.equal, report.unreadable) == (False, 1)


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


def test_no_patient_is_named(worker: Worker) -> None:
    def rename(block: ScoreBlock) -> ScoreBlock:
        block.patients[2] = "patient-9"
        return block

    reports = [
        change(worker, ALERTS, lambda r: r[1:]),
        change(worker, LETTERS, at(0, lambda r: r._replace(key=b"patient-9", value=b"patient-9"))),
        change(worker, SCORES, at(0, lambda r: with_block(r, rename))),
    ]
    differences = [each for part in reports[2].parts for each in part.differences]
    (renamed,) = (each for each in differences if each.kind == "score")
    assert [field.name for field in renamed.fields] == ["patient"]
    for report in reports:
        text = "\n".join([*as_text(report, "zen4"), *as_json(report, "zen4")])
        assert "patient-" not in text
        assert "partition" in text


def at(place: int, change: Callable[[Kept], Kept]) -> Callable[[list[Kept]], list[Kept]]:
    """Change one record."""

    def changing(records: list[Kept]) -> list[Kept]:
        records[place] = change(records[place])
        return records

    return changing


def kept_value(worker: Worker, topic: str, place: int) -> bytes:
    value: bytes = worker.records(topic)[place][1]
    return value


def alert_of(value: bytes | None) -> Alert:
    return msgspec.json.decode(value or b"", type=Alert)


def other_model(model: Model) -> Model:
    """A model with one weight changed."""
    other = checkpoint.load()
    other.weights["head.bias"][0] += 0.5
    return Model(other.weights, other.calibration, other.card, "0123456789ab")


def committed(worker: Worker) -> dict[TopicPartition, int]:
    """How far the worker's group has come."""
    assert isinstance(worker.broker, MemoryBroker)
    return dict(worker.broker._groups[worker.settings.daemon.group].committed)
