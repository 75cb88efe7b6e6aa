"""The suite's own measure: it finds every kind of difference."""

import itertools
from collections.abc import Callable

import msgspec
import pytest

from tests.chaos import patients
from tests.chaos.oracle import Difference, Oracle
from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.messages import REJECTIONS
from vitalwatch.model import checkpoint
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.dead_letters import DeadLetter, dead_letter
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.score_blocks import blocks

SETTINGS = config.Settings(
    alarms=config.Alarms(
        stale_seconds=patients.STALE_SECONDS, discharge_hours=patients.DISCHARGE_HOURS
    )
)
MODEL = checkpoint.load()


@pytest.fixture(scope="module")
def batches() -> list[RecordBatch]:
    """An hour of the ward, in batches of a minute."""
    frames = patients.frames(seed=1, patients=6)
    made, offset = [], 0
    for _ in range(60):
        part = [record for frame in itertools.islice(frames, 6) for record in frame]
        offsets = range(offset, offset + len(part))
        offset += len(part)
        keys, values, times = zip(*part, strict=True)
        source = TopicPartition("readings", 0)
        made.append(RecordBatch.of(source, offsets, times, keys, values, [()] * len(part), offset))
    return made


class Outputs:
    """What a worker writes, each reading's scores as a record of their own."""

    def __init__(self, batches: list[RecordBatch]) -> None:
        self.scores: list[bytes] = []
        self.alerts: list[bytes] = []
        self.letters: list[DeadLetter] = []
        detector, decoder = Detector(MODEL, SETTINGS.alarms), Decoder()
        for batch in batches:
            decoded = decoder.decode(batch)
            (found,) = detector.process([decoded.readings])
            made = blocks(decoded.readings, found, MODEL.fingerprint, "reading")
            self.scores += [value for _, value, _ in made]
            self.alerts += [msgspec.json.encode(alert) for alert in found.alerts]
            rejected = [(each.index, each.reason, each.detail) for each in decoded.rejected]
            late = decoded.readings.offsets[found.late] - batch.offsets[0]
            rejected += [(index, "late", REJECTIONS["late"]) for index in late.tolist()]
            self.letters += [dead_letter(batch, *each) for each in rejected]


def judge(batches: list[RecordBatch], outputs: Outputs) -> Oracle:
    oracle = Oracle(MODEL, SETTINGS)
    for batch in batches:
        oracle.run(batch)
    for value in outputs.scores:
        oracle.score(value)
    for value in outputs.alerts:
        oracle.alert(value)
    for letter in outputs.letters:
        oracle.letter(*letter)
    oracle.complete()
    return oracle


def test_what_an_undisturbed_run_writes_is_as_expected(batches: list[RecordBatch]) -> None:
    outputs = Outputs(batches)
    oracle = judge(batches, outputs)
    assert oracle.checked["scores"] == len(outputs.scores) > 1000
    assert oracle.checked["alerts"] == len(outputs.alerts) > 10
    assert oracle.checked["dead letters"] == len(outputs.letters) > 10
    assert {"raised", "cleared"} <= oracle.events.keys()


def altered(value: bytes, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(value), **changes})


def swap_two_alerts_of_a_patient(outputs: Outputs) -> None:
    alerts = outputs.alerts
    whose = [msgspec.json.decode(value)["patient"] for value in alerts]
    one, other = [place for place, who in enumerate(whose) if who == whose[0]][:2]
    alerts[one], alerts[other] = alerts[other], alerts[one]


WRONG: dict[str, tuple[Callable[[Outputs], object], str]] = {
    "a score is missing": (lambda o: o.scores.pop(7), "Missing: the score of partition 0"),
    "an alert is missing": (lambda o: o.alerts.pop(), "Missing: the alert"),
    "a dead letter is missing": (lambda o: o.letters.pop(3), "Missing: the dead letter"),
    "a score is there twice": (lambda o: o.scores.append(o.scores[5]), "is there twice"),
    "an alert is there twice": (lambda o: o.alerts.append(o.alerts[-1]), "is there twice"),
    "a dead letter is there twice": (lambda o: o.letters.append(o.letters[0]), "is there twice"),
    "a score differs": (
        lambda o: o.scores.append(altered(o.scores.pop(), rarity=[0.123])),
        "(?s)score of the reading .* differs:.*found.*0.123.*expected",
    ),
    "an alert differs": (
        lambda o: o.alerts.append(altered(o.alerts.pop(), onset=1)),
        "(?s)alert from .* differs:.*onset=1",
    ),
    "a dead letter differs": (
        lambda o: o.letters.append(o.letters.pop()._replace(value=b"?")),
        "dead letter of .* differs",
    ),
    "alerts of a patient are out of order": (swap_two_alerts_of_a_patient, "differs"),
    "a score is of a reading that never was": (
        lambda o: o.scores.append(altered(o.scores[0], offsets=[10**9])),
        "of a record that is not there",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_difference_is_found_and_said(what: str, batches: list[RecordBatch]) -> None:
    outputs = Outputs(batches)
    disturb, said = WRONG[what]
    disturb(outputs)
    with pytest.raises(Difference, match=said):
        judge(batches, outputs)
