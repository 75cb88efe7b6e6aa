from tests.stream.worker import START, reading
from vitalwatch.checkup import readings
from vitalwatch.checkup.finding import Finding
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker

NOW = START / 1000


def found(*records: tuple[str | None, bytes | None, float], now: float = NOW) -> dict[str, Finding]:
    """What is found of records with their key, value and time (s after the start)."""
    broker = MemoryBroker()
    broker.create([TopicSpec("t", 2)])
    publisher = broker.publisher()
    for key, value, second in records:
        name = None if key is None else key.encode()
        publisher.send("t", name, value, timestamp=START + round(second * 1000))
    sources = [TopicPartition("t", partition) for partition in range(2)]
    return {each.check: each for each in readings.check(broker, sources, lambda: now)}


def test_an_empty_topic_is_no_fault() -> None:
    assert [each.status for each in found().values()] == ["ok"]


def test_good_readings_are_ok() -> None:
    told = found(*((f"p{n}", reading(f"p{n}", n), n + 0.5) for n in range(20)), now=NOW + 20)
    assert [each.status for each in told.values()] == ["ok", "ok"]
    assert "the newest 20 records are all readings" in told["readings"].text
    assert "0.5 s older" in told["times"].text


def test_bad_records_are_counted_by_reason() -> None:
    told = found(
        ("p1", reading("p1", 0), 0),
        ("p1", b"HR 80", 0),
        (None, reading("p1", 1), 0),
        ("p1", b"HR 80", 0),
        ("p1", reading("p1", 900), 0),
    )
    assert told["readings"].status == "warning"
    assert "bad_time 1, no_key 1, not_json 2" in told["readings"].text
    assert "of the newest 5 records 4" in told["readings"].text


def test_records_ahead_of_this_machine_are_a_warning() -> None:
    told = found(("p1", reading("p1", 500), 500))
    assert told["times"].status == "warning"
    assert "500 s ahead of this machine's clock" in told["times"].text
    assert "NTP" in told["times"].fix


def test_devices_whose_clocks_run_ahead_are_a_warning() -> None:
    told = found(("p1", reading("p1", 300), 0), ("p2", reading("p2", 0), 0))
    assert told["times"].status == "warning"
    assert "devices" in told["times"].fix


def test_a_replay_says_nothing_of_clocks() -> None:
    told = found(("p1", reading("p1", 10**9), 10**9))
    assert told["times"].status == "ok"
    assert "a replay" in told["times"].text
