"""``vitalwatch replay``: publish recordings as if their patients were here."""

import argparse
import gc
import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vitalwatch import config
from vitalwatch.errors import BrokerError
from vitalwatch.messages import rfc3339
from vitalwatch.stream.broker import CREATE_TOPICS, Broker, TopicPartition, TopicSpec

if TYPE_CHECKING:
    from vitalwatch.recordings.recording import Recording

DESCRIPTION = """\
Publish recorded readings, in time order, keyed by patient. Files are wide CSV (patient, time, hr,
spo2, rr, sbp, dbp, map, temp, etco2; or a bedside monitor's export, one patient a file) or JSON
Lines of readings, plain or gzip. In a CSV, time is in seconds, or ISO 8601 (UTC where no offset
stands); blank is not measured, 0 is no signal. Rows that cannot be read are left out, counted and
reported. Several files are replayed one after another; to replay them side by side, start several
replays.
"""

EPILOG = """\
examples:
  vitalwatch replay ward.csv --times now                  as it was, from now on
  vitalwatch replay ward.csv --times now --speed 60       an hour a minute
  vitalwatch topics create --topics-prefix study1
  vitalwatch replay ward.csv --speed max --topics-prefix study1
                                                          as recorded, into topics of its own

Readings keep their recorded times unless you say --times now. Use topics of their own for them
(--topics-prefix): in a topic that also holds another time's readings, one of the two looks like
lost signals to whoever reads it, and Kafka deletes what is older than the topic's retention.
"""

_HOUR_MS = 3_600_000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "replay",
        help="publish recordings to Kafka",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings")
    parser.add_argument(
        "--speed",
        metavar="N",
        type=_speed,
        default=1.0,
        help="times as fast as recorded, or max [default: 1]",
    )
    parser.add_argument(
        "--times",
        choices=("recorded", "now"),
        default="recorded",
        help="keep the times, or shift each file's so that it begins now [default: recorded]",
    )
    parser.add_argument("--topic", help="where to [default: PREFIX.readings]")
    config.add_flags(parser, "kafka", "topics")
    parser.set_defaults(run=run)


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor max")
    return speed


def run(arguments: argparse.Namespace) -> int:
    """Publish the files."""
    # Here and not above: these take a second to import, and --help needs none of them.
    from vitalwatch.recordings.recording import Recording
    from vitalwatch.stream import kafka

    settings = config.load(arguments)
    recordings = [Recording(path) for path in arguments.files]
    broker = kafka.connect(settings.kafka)
    try:
        topic = arguments.topic or settings.topics.readings
        publish(recordings, broker, topic, arguments.speed, shifted=arguments.times == "now")
    finally:
        broker.close()
    return 0


def publish(
    recordings: "list[Recording]",
    broker: Broker,
    topic: str,
    speed: float,
    *,
    shifted: bool,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Replay the recordings one after another, and say what became of each.

    ``clock`` gives seconds since 1970. Raises BrokerError for a topic that does not exist, or
    that does not take readings of such times.
    """
    from vitalwatch.commands.progress import Work
    from vitalwatch.recordings.replay import Pace, replay

    spec = broker.topics([topic]).get(topic)
    if spec is None:
        raise BrokerError(f"There is no topic {topic}: {CREATE_TOPICS}.")
    gc.freeze()  # what is there for good need not be looked at: reading takes half the time
    pace = Pace(speed, clock, sleep)
    end = 0
    with closing(broker.publisher()) as publisher, Work() as work:
        for recording in recordings:
            name, done = recording.name, 0
            bar = work.bar(f"reading {name}", recording.size)
            with recording.stream(bar) as stream:
                now = round(clock() * 1000)
                # A later file goes on after the one before, however far that came.
                shift = max(now, end + 1) - stream.first if shifted else 0
                first, end = stream.first + shift, stream.last + shift
                _check(spec, first, end, now, speed, work.say)
                if not shifted:
                    _compare(broker, spec, first, end, work.say)
                bar = work.bar(f"replaying {name}", max(end - first, 1))

                def advance(published: int, at: int) -> None:
                    nonlocal done
                    done = published
                    bar(at - first)  # noqa: B023 - not used after this turn of the loop

                try:
                    replay(stream, publisher, topic, shift, pace, advance)
                except KeyboardInterrupt:
                    work.say(f"{name}: stopped after {done} of {stream.count} readings")
                    raise
            work.say(_summary(recording, done, len(stream.names), topic))


def _check(
    spec: TopicSpec, first: int, last: int, now: int, speed: float, say: Callable[[str], None]
) -> None:
    """Refuse a topic that would refuse the records' timestamps; warn of what it would delete."""
    end = now + (last - first) / speed
    limits = {
        "message.timestamp.after.max.ms": max(first - now, last - end),
        "message.timestamp.before.max.ms": max(now - first, end - last),
    }
    for setting, distance in limits.items():
        if distance > int(spec.settings.get(setting, distance)):
            raise BrokerError(
                f"Topic {spec.name} takes no record whose time is {distance / _HOUR_MS:.0f} hours "
                f"from now ({setting}): use --times now and a lower --speed, or a topic made by "
                "`vitalwatch topics create`."
            )
    retention = int(spec.settings.get("retention.ms", -1))
    if 0 <= retention < now - first:
        say(
            f"{spec.name}: Kafka will soon delete readings older than {retention / _HOUR_MS:.0f} "
            f"hours (retention.ms), and these begin at {rfc3339(first)}"
        )


def _compare(
    broker: Broker, spec: TopicSpec, first: int, last: int, say: Callable[[str], None]
) -> None:
    """Warn if the topic holds readings of another time."""
    for partition in range(spec.partitions):
        source = TopicPartition(spec.name, partition)
        begin, end = broker.bounds(source)
        for batch in broker.read(source, max(begin, end - 10)):
            last_there = int(batch.timestamps[-1])
            if not first - _HOUR_MS <= last_there <= last + _HOUR_MS:
                say(
                    f"{spec.name} holds readings of {rfc3339(last_there)}, and these begin at "
                    f"{rfc3339(first)}: one of the two will look like lost signals; use topics "
                    "of their own (--topics-prefix)"
                )
                return


def _summary(recording: "Recording", published: int, patients: int, topic: str) -> str:
    parts = [
        f"{recording.name}: published {published} readings of "
        f"{patients} {'patient' if patients == 1 else 'patients'} to {topic}"
    ]
    if recording.dropped.counts:
        parts.append(str(recording.dropped))
    if recording.ignored:
        parts.append(recording.ignored)
    return "; ".join(parts)
