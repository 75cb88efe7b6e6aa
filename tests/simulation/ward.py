"""The input of one simulated run, and what an undisturbed run makes of it."""

import functools
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import torch

from tests.stream.worker import START
from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.messages import Alert, ScoreBlock
from vitalwatch.model import checkpoint
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.dead_letters import OFFSET, PARTITION, REASON
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.score_blocks import blocks

PREFIX: Final = "vitals"
GROUP: Final = "ward"
PARTITIONS: Final = 3
DETERIORATION: Final = "deterioration"
SETTINGS: Final = msgspec.convert(
    {
        "topics": {"prefix": PREFIX, "partitions": PARTITIONS},
        # All that a log of these tests holds is gone through again where there is no snapshot.
        "daemon": {"group": GROUP, "warmup_minutes": 10_000.0, "dead_letter_limit": 1.0},
        "alarms": {"stale_seconds": 60.0, "discharge_hours": 0.1, "budget": 20.0},
    },
    config.Settings,
)

Record = tuple[str | None, bytes | None, int]  # key, value, timestamp


@functools.cache
def model(number: int = 0) -> checkpoint.Model:
    """One of two small networks that nobody trained, with the calibration that ships.

    They are quick, and as exact as any.
    """
    torch.manual_seed(7 + number)
    weights = Forecaster("lstm", 8).weights()
    tables = checkpoint.load().calibration
    return checkpoint.Model("lstm", 8, weights, tables, {}, f"simulated-{number}")


def records(rng: random.Random) -> list[Record]:
    """Patients who get ill and well, fall silent and come back, among bad and late records."""
    patients = [f"p{number}" for number in range(rng.randint(3, 8))]
    every = rng.choice((5, 20, 60))
    ill_from = {patient: rng.randrange(60) for patient in patients}
    made: list[Record] = []
    for beat in range(rng.randint(15, 45)):
        for patient in patients:
            if (beat // 12 + ill_from[patient]) % 5 == 4:
                continue  # silent: stale, and perhaps discharged
            time = START + (beat * every + rng.randrange(3)) * 1000
            ill = (beat + ill_from[patient]) % 20 < 8
            vitals = {"hr": 70 + beat % 9, "spo2": 74 if ill else 97, "rr": 0 if ill else 15}
            said = {"age": 40 + beat, "oxygen": ill} if rng.random() < 0.1 else {}
            made.append((patient, _value(patient, time, vitals, **said), time))
            fate = rng.random()
            if fate < 0.03:
                made.append((patient, b"HR 80", time))
            elif fate < 0.06:
                made.append((patient, _value(patient, time - 30_000, vitals), time))
    return made


def _value(patient: str, time: int, vitals: dict[str, int], **said: object) -> bytes:
    return msgspec.json.encode({"patient": patient, "time": time, "vitals": vitals} | said)


@dataclass(frozen=True)
class Outcome:
    """All that was said of an input: by partition and offset of the reading the model and score."""

    scores: dict[tuple[int, int], tuple[str, Any]]
    alerts: list[Any]
    dead_letters: list[tuple[int, int, str]]


def expected(broker: Broker, number: int = 0) -> Outcome:
    """What one worker that nothing happens to says of the input, in one batch a partition."""
    scorer = model(number)
    detector, decoder = Detector(scorer, SETTINGS.alarms), Decoder()
    scores: dict[tuple[int, int], tuple[str, Any]] = {}
    alerts, dead = [], []
    for number in range(PARTITIONS):
        for batch in broker.read(TopicPartition(SETTINGS.topics.readings, number), 0):
            decoded = decoder.decode(batch)
            (detection,) = detector.process([decoded.readings])
            for _, value, _ in blocks(decoded.readings, detection, scorer.fingerprint, "block"):
                _note(scores, value)
            alerts += [msgspec.to_builtins(alert) for alert in detection.alerts]
            late = decoded.readings.offsets[detection.late].tolist()
            rejected = [(int(batch.offsets[r.index]), r.reason) for r in decoded.rejected]
            rejected += [(offset, "late") for offset in late]
            dead += [(number, offset, reason) for offset, reason in rejected]
    return Outcome(scores, sorted(alerts, key=_place), sorted(dead))


def committed(broker: Broker) -> Outcome:
    """What is visible on the topics; fails for a reading that was scored twice."""
    topics = SETTINGS.topics
    scores: dict[tuple[int, int], tuple[str, Any]] = {}
    alerts, dead = [], []
    for number in range(PARTITIONS):
        for batch in broker.read(TopicPartition(topics.scores, number), 0):
            for value in batch.values:
                _note(scores, value or b"")
        for batch in broker.read(TopicPartition(topics.alerts, number), 0):
            alerts += [
                msgspec.to_builtins(msgspec.json.decode(value or b"", type=Alert))
                for value in batch.values
            ]
        for batch in broker.read(TopicPartition(topics.dead_letters, number), 0):
            for headers in map(dict, batch.headers):
                place = int(headers[PARTITION]), int(headers[OFFSET])
                dead.append((*place, headers[REASON].decode()))
    return Outcome(scores, sorted(alerts, key=_place), sorted(dead))


def compare(found: Outcome, log: Broker, models: Collection[int], *, warmed_up: bool) -> None:
    """Equal to what undisturbed workers say of the ``log``, none missing, none twice.

    Each score and alert is compared with what its own model, of the ``models`` that were at work
    (a worker that did nothing but keep state counts), says in a run from the beginning. Who
    takes over from another model goes on with its alarms; so what becomes of those that the
    network itself raises neither run knows where both models were at work. Nor what the network
    says, unless it was ``warmed_up`` with all the readings there ever were.
    """
    wanted = {model(number).fingerprint: expected(log, number) for number in models}
    if len(wanted) > 1 and not warmed_up:
        found = _without_network(found)
        wanted = {name: _without_network(outcome) for name, outcome in wanted.items()}
    for place in sorted(set(found.scores).union(*(each.scores for each in wanted.values()))):
        have = found.scores.get(place)
        assert have is not None, f"partition {place[0]}, offset {place[1]} is not scored"
        want = wanted[have[0]].scores.get(place)
        assert have == want, f"score of partition {place[0]}, offset {place[1]}: {have} != {want}"
    assert len({_place(alert) for alert in found.alerts}) == len(found.alerts), "an alert is twice"
    aside = DETERIORATION if len(wanted) > 1 else None
    told = [alert for alert in found.alerts if alert["condition"] != aside]
    sides = {
        name: [alert for alert in outcome.alerts if alert["condition"] != aside]
        for name, outcome in wanted.items()
    }
    for number, have in enumerate(told):
        (want,) = sides[have["model"]][number : number + 1] or [None]
        assert have == want, f"alert {have} != {want}"
    assert all(len(side) == len(told) for side in sides.values()), "alerts are missing"
    assert all(found.dead_letters == outcome.dead_letters for outcome in wanted.values())


def _without_network(outcome: Outcome) -> Outcome:
    """What was said of whom and when."""
    scores = {place: (name, score[:2]) for place, (name, score) in outcome.scores.items()}
    blank: dict[str, Any] = {"rarity": None, "drivers": [], "sentence": ""}
    return Outcome(scores, [alert | blank for alert in outcome.alerts], outcome.dead_letters)


def _note(scores: dict[tuple[int, int], tuple[str, Any]], value: bytes) -> None:
    block = msgspec.json.decode(value, type=ScoreBlock)
    tables = (block.surprise, block.expected, block.low, block.high)
    for place, offset in enumerate(block.offsets):
        where = (block.partition, offset)
        assert where not in scores, f"partition {where[0]}, offset {offset} is scored twice"
        # A vital that nobody of the block had is left out of it.
        cells = [
            {name: column[place] for name, column in table.items() if column[place] is not None}
            for table in tables
        ]
        score = (block.patients[place], block.times[place], block.rarity[place], *cells)
        scores[where] = block.model, score


def _place(alert: dict[str, Any]) -> tuple[Any, ...]:
    origin = alert["origin"]
    key = (alert["time"], alert["patient"], alert["condition"], alert["event"])
    return (origin["partition"], origin["offset"], *key)
