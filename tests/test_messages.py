import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import messages
from vitalwatch.commands.main import main
from vitalwatch.messages import Alert, Driver, Origin, Reading, ScoreBlock, Truth

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBERS
TIMES = st.integers(0, 253_402_300_799_999)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
ORIGINS = st.builds(Origin, NAMES, st.integers(0, 99), st.integers(0, 2**62))
DRIVERS = st.builds(Driver, st.sampled_from(["hr", "map"]), st.floats(0, 1), *[MAYBE] * 4)
ALERTS = st.builds(
    Alert,
    alert_id=NAMES,
    patient=NAMES,
    event=st.sampled_from(["raised", "escalated", "updated", "cleared"]),
    kind=st.sampled_from(["physiological", "technical"]),
    condition=NAMES,
    priority=st.sampled_from(messages.PRIORITIES),
    time=TIMES,
    onset=TIMES,
    rarity=MAYBE,
    drivers=st.lists(DRIVERS, max_size=3),
    sentence=NAMES,
    origin=ORIGINS,
    model=NAMES,
)
COLUMN = st.dictionaries(st.sampled_from(["hr", "map"]), st.lists(MAYBE, max_size=3))
BLOCKS = st.builds(
    ScoreBlock,
    topic=NAMES,
    partition=st.integers(0, 99),
    model=NAMES,
    offsets=st.lists(st.integers(0, 2**62), max_size=3),
    patients=st.lists(NAMES, max_size=3),
    times=st.lists(TIMES, max_size=3),
    rarity=st.lists(NUMBERS, max_size=3),
    surprise=COLUMN,
    expected=COLUMN,
    low=COLUMN,
    high=COLUMN,
)
TRUTHS = st.builds(Truth, NAMES, NAMES, st.booleans(), TIMES, TIMES, st.none() | TIMES)
READINGS = st.builds(
    Reading,
    patient=NAMES,
    time=TIMES,
    vitals=st.dictionaries(st.sampled_from(["hr", "spo2", "other"]), MAYBE),
    seq=st.none() | st.integers(0, 2**62),
    device=st.none() | NAMES,
    ward=st.none() | NAMES,
)


@given(st.one_of(READINGS, BLOCKS, ALERTS, TRUTHS))
def test_a_message_comes_back_from_the_wire_as_it_was(message: Any) -> None:
    encoded = msgspec.json.encode(message)
    assert msgspec.json.decode(encoded, type=type(message)) == message


@given(st.one_of(READINGS, BLOCKS, ALERTS, TRUTHS), NAMES)
def test_a_field_that_a_reader_does_not_know_does_no_harm(message: Any, name: str) -> None:
    fields = {f"new {name}": 1} | json.loads(msgspec.json.encode(message))
    assert msgspec.json.decode(json.dumps(fields).encode(), type=type(message)) == message


@given(TIMES)
def test_a_time_is_the_same_in_words_and_in_milliseconds(ms: int) -> None:
    text = json.dumps({"patient": "p", "time": messages.rfc3339(ms), "vitals": {}})
    assert messages.epoch_ms(msgspec.json.decode(text.encode(), type=Reading).time) == ms


def test_every_message_has_a_schema_with_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    definitions = json.loads(capsys.readouterr().out)["$defs"]
    for message in messages.MESSAGES:
        fields = definitions[message.__name__]["properties"]
        assert set(fields) == {field.name for field in msgspec.structs.fields(message)}
        assert fields["v"] == {"type": "integer", "default": messages.SCHEMA_VERSION}


def test_one_message_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "Alert"]) == 0
    assert json.loads(capsys.readouterr().out)["$ref"] == "#/$defs/Alert"
    with pytest.raises(SystemExit) as ended:
        main(["schema", "Nothing"])
    assert ended.value.code == 2
