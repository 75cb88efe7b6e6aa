"""What was tampered with, lost or doubled is found and named."""

from bisect import bisect
from collections.abc import Callable

import msgspec
import pytest

from tests.audit.staged import (
    ALERTS,
    LETTERS,
    PREFIX,
    RECORDS,
    SCORES,
    Kept,
    alert_of,
    at,
    audited,
    change,
    cut,
    kept_value,
    only,
    scored,
    told,
    with_block,
)
from tests.stream.worker import Worker
from vitalwatch.commands.audit import as_json, as_text
from vitalwatch.messages import ScoreBlock
from vitalwatch.stream.memory import MemoryBroker


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
