import argparse
import dataclasses
import io
import re
from collections.abc import Callable, Iterator

import msgspec
import pytest
from rich.console import Console

from vitalwatch.commands import watch as command
from vitalwatch.errors import BrokerError, UsageError
from vitalwatch.messages import Alert, Origin
from vitalwatch.stream.broker import RecordBatch, TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker

NOW = 1_700_000_000_000
TOPIC = "vitals.alerts"
HOUR = 3_600_000


def encoded(number: int, time: int, event: str = "raised") -> bytes:
    return msgspec.json.encode(
        {
            **msgspec.to_builtins(
                Alert(
                    alert_id=f"a{number}",
                    patient=f"bed-{number}",
                    event="raised",
                    kind="physiological",
                    condition="hr_low",
                    priority="medium",
                    time=time,
                    onset=time,
                    rarity=None,
                    drivers=[],
                    sentence="HR is low",
                    origin=Origin("vitals.readings", 0, 1),
                    model="m",
                )
            ),
            "event": event,
        }
    )


def make_broker(*values: bytes) -> MemoryBroker:
    broker = MemoryBroker()
    broker.create([TopicSpec(TOPIC, 3)])
    send(broker, *values)
    return broker


def send(broker: MemoryBroker, *values: bytes) -> None:
    for value in values:
        broker.publisher().send(TOPIC, value[:20], value)


def watched(
    broker: MemoryBroker,
    *steps: Callable[[], None],
    start: int | None = None,
    raw: bool = False,
    terminal: bool = False,
) -> str:
    """What is shown when between looks at the topic the steps are done, and then Ctrl+C."""
    waiting = list(steps)

    def sleep(_: float) -> None:
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()

    screen = io.StringIO()
    console = Console(file=screen, width=100, height=30, force_terminal=terminal)
    with pytest.raises(KeyboardInterrupt):
        command.watch(broker, TOPIC, start, raw=raw, console=console, now=lambda: NOW, sleep=sleep)
    return screen.getvalue()


def test_new_alerts_are_shown_once_and_old_ones_are_not() -> None:
    broker = make_broker(encoded(1, NOW - HOUR))
    text = watched(
        broker,
        lambda: send(broker, encoded(2, NOW)),
        lambda: None,
        lambda: send(broker, encoded(3, NOW), encoded(2, NOW + 5, "cleared")),
    )
    assert [row.split()[4:6] for row in text.splitlines()] == [
        ["raised", "bed-2:"],
        ["raised", "bed-3:"],
        ["cleared", "bed-2:"],
    ]


def test_what_was_read_to_its_end_is_not_read_again() -> None:
    class LikeKafka(MemoryBroker):
        """Its batches go on after their last record, which the transaction's marker follows."""

        def __init__(self) -> None:
            super().__init__()
            self.reads = 0

        def read(
            self, source: TopicPartition, start: int, end: int | None = None
        ) -> Iterator[RecordBatch]:
            self.reads += start < (self.bounds(source)[1] if end is None else end)
            for batch in super().read(source, start, end):
                yield dataclasses.replace(batch, next_offset=batch.offsets[-1] + 1)

    broker = LikeKafka()
    broker.create([TopicSpec(TOPIC, 3)])
    sink = broker.sink("writer")
    sink.begin()
    sink.append(TOPIC, b"bed-1", encoded(1, NOW))
    sink.commit({}, None)
    assert len(watched(broker, *[lambda: None] * 5, start=0).splitlines()) == 1
    assert broker.reads == 1


def test_past_alerts_are_shown_from_the_given_time_on_in_order_of_time() -> None:
    broker = make_broker(*(encoded(n, NOW - n * HOUR) for n in range(5)))
    text = watched(broker, start=NOW - 2 * HOUR)
    assert [row.split()[5] for row in text.splitlines()] == ["bed-2:", "bed-1:", "bed-0:"]


def test_alerts_of_a_replay_are_shown_whatever_their_time() -> None:
    broker = make_broker()
    assert "bed-1" in watched(broker, lambda: send(broker, encoded(1, 5)), start=NOW)


def test_raw_alerts_are_the_messages_one_a_line() -> None:
    first, second = encoded(1, NOW), encoded(2, NOW + 1)
    broker = make_broker(msgspec.json.format(first), second)
    rows = watched(broker, start=0, raw=True).splitlines()
    assert [msgspec.json.decode(row) for row in rows] == [
        msgspec.json.decode(first),
        msgspec.json.decode(second),
    ]


def test_what_is_not_an_alert_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    broker = make_broker(b"{}", b"nonsense", encoded(1, NOW))
    assert len(watched(broker, start=0).splitlines()) == 1
    assert capsys.readouterr().err.count("not an alert") == 2


def test_a_terminal_shows_what_is_active_and_is_left_as_it_was() -> None:
    broker = make_broker(encoded(1, NOW - HOUR), encoded(2, NOW - HOUR))
    send(broker, encoded(2, NOW - HOUR + 1, "cleared"))
    text = watched(broker, lambda: send(broker, encoded(3, NOW)), terminal=True)
    assert "bed-1" in text
    assert "bed-2" not in text
    assert "bed-3" in text
    enter, leave = "\x1b[?1049h", "\x1b[?1049l"
    assert text.count(enter) == text.count(leave) == 1


def test_watching_joins_no_group_and_writes_nothing() -> None:
    broker = make_broker(encoded(1, NOW))
    sources = [TopicPartition(TOPIC, partition) for partition in range(3)]
    before = [broker.bounds(source) for source in sources]
    watched(broker, start=0)
    assert [broker.bounds(source) for source in sources] == before
    assert broker._groups == {}


def test_a_broker_that_goes_away_is_waited_for_and_nothing_is_missed_or_shown_twice() -> None:
    class Unsteady(MemoryBroker):
        away = False

        def bounds(self, source: TopicPartition) -> tuple[int, int]:
            if self.away and source.partition == 2:  # after others were read
                raise BrokerError("The broker does not answer.")
            return super().bounds(source)

    broker = Unsteady()
    broker.create([TopicSpec(TOPIC, 3)])

    def go() -> None:
        broker.away = True
        send(broker, *(encoded(number, NOW) for number in range(6)))

    def come_back() -> None:
        broker.away = False

    shown = watched(broker, go, come_back, start=0)
    assert sorted(re.findall(r"bed-\d", shown)) == [f"bed-{number}" for number in range(6)]


def test_a_missing_topic_is_said() -> None:
    with pytest.raises(BrokerError, match="vitalwatch topics create"):
        command.watch(MemoryBroker(), TOPIC, None, raw=False, console=Console())


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30s", NOW - 30_000),
        ("2h", NOW - 2 * HOUR),
        ("1d", NOW - 24 * HOUR),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("2023-11-14T22:13:20", NOW),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, ms: int) -> None:
    assert command.since(text, NOW) == ms


@pytest.mark.parametrize("text", ["yesterday", "-2h", "2", "2w", ""])
def test_another_since_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        command.since(text, NOW)


def test_the_command_is_declared() -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["watch", "--since", "2h", "--json", "--topics-prefix", "x"])
    assert (parsed.since, parsed.json) == ("2h", True)
