"""Structured logs: readable lines on a terminal, one JSON object a line elsewhere.

Modules log a fixed sentence and put what varies into ``extra``:
``log.info("partitions assigned", extra={"partitions": 3})``. Fields that could name a patient
are left out here, whoever passes them.
"""

import datetime
import logging
from typing import Any, Final, TextIO

import msgspec

from vitalwatch.config import Monitoring

PRIVATE: Final = frozenset({"patient", "patients", "key", "value", "device", "ward", "bed"})
"""Fields that are never written: they are a patient's identifier or may hold one."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(settings: Monitoring, stream: TextIO) -> None:
    """Send all logs to ``stream`` in the format and from the level that the settings say."""
    json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    handler.addFilter(_worth_it)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(capture=True)


def _worth_it(record: logging.LogRecord) -> bool:
    """The Kafka client tells of every connection; only its warnings concern an operator.

    Of its network loop only errors do: it warns of every round that took a tenth of a second.
    """
    if record.name.startswith("kafka.net"):
        return record.levelno >= logging.ERROR
    return not record.name.startswith("kafka") or record.levelno >= logging.WARNING


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and name not in PRIVATE
    }


class JsonFormatter(logging.Formatter):
    """One JSON object: time (UTC), level, logger, message, the fields, and any exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line = line | _fields(record) | line  # a field cannot take the place of these
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    """Local time, level, message, ``name=value`` for each field."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line for a person, followed by any traceback."""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        time = self.formatTime(record, "%H:%M:%S")
        line = f"{time} {record.levelname:<7} {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
