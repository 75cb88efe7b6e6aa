import io
import json
import logging
from collections.abc import Iterator

import pytest

from vitalwatch.config import Monitoring
from vitalwatch.monitoring import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def written(stream: io.StringIO, settings: Monitoring | None = None) -> io.StringIO:
    logs.configure(settings or Monitoring(), stream)
    return stream


def test_off_a_terminal_each_line_is_one_json_object() -> None:
    stream = written(io.StringIO())
    logging.getLogger("vitalwatch.a").info("assigned", extra={"partitions": 3})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "vitalwatch.a",
        "message": "assigned",
        "partitions": 3,
    }


def test_on_a_terminal_lines_are_for_a_person() -> None:
    stream = written(Terminal())
    logging.getLogger("vitalwatch.a").warning("slow", extra={"seconds": 2})
    assert stream.getvalue().endswith(" WARNING slow  seconds=2\n")


def test_the_format_can_be_chosen() -> None:
    stream = written(Terminal(), Monitoring(log_format="json"))
    logging.getLogger("vitalwatch").info("x")
    assert json.loads(stream.getvalue())["message"] == "x"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_fields_that_name_a_patient_are_left_out(stream: io.StringIO) -> None:
    written(stream)
    fields = {"patient": "Jane", "key": "Jane", "bed": "7", "reason": "late"}
    logging.getLogger("vitalwatch").info("rejected", extra=fields)
    assert "Jane" not in stream.getvalue()
    assert "late" in stream.getvalue()


def test_a_field_cannot_pose_as_the_time_or_the_level() -> None:
    stream = written(io.StringIO())
    logging.getLogger("vitalwatch").info("x", extra={"time": "never", "level": "none"})
    line = json.loads(stream.getvalue())
    assert line["level"] == "info"
    assert line["time"] != "never"


def test_less_important_messages_are_left_out() -> None:
    stream = written(io.StringIO(), Monitoring(log_level="warning"))
    logging.getLogger("vitalwatch").info("x")
    assert stream.getvalue() == ""


def test_the_kafka_client_is_heard_from_warnings_on() -> None:
    stream = written(io.StringIO(), Monitoring(log_level="debug"))
    logging.getLogger("kafka.conn").info("connected")
    logging.getLogger("kafka.conn").warning("lost")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["lost"]


def test_an_exception_is_part_of_its_line() -> None:
    stream = written(io.StringIO())
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("vitalwatch").exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "ValueError: broken" in json.loads(lines[0])["exception"]
