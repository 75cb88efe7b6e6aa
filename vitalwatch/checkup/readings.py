"""The newest readings: whether they are any, and whether clocks agree about their times."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from vitalwatch.arrays import Ints
from vitalwatch.checkup.finding import Finding, ok, warning
from vitalwatch.messages import rfc3339
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.decode import MAX_AHEAD_MS, Decoder

SAMPLE: Final = 1000
"""So many records of each partition, at most."""

_NOW_MS: Final = 24 * 3_600_000
"""Records further than this from now are of a replay, and say nothing of clocks."""


def check(
    broker: Broker, sources: Sequence[TopicPartition], now: Callable[[], float]
) -> Iterator[Finding]:
    """What the newest records of these partitions are, and how their times lie.

    ``now`` gives s since 1970.
    """
    decoder = Decoder()
    records = good = 0
    reasons: Counter[str] = Counter()
    apart, newest = [], []
    for source in sources:
        first, end = broker.bounds(source)
        for batch in broker.read(source, max(first, end - SAMPLE), end):
            decoded = decoder.decode(batch)
            records += len(batch)
            good += len(decoded.readings.times)
            reasons.update(each.reason for each in decoded.rejected)
            places = np.searchsorted(batch.offsets, decoded.readings.offsets)
            dated = batch.timestamps[places] >= 0
            apart.append((decoded.readings.times - batch.timestamps[places])[dated])
            newest.append(int(batch.timestamps.max()))
    if not records:
        yield ok("readings", "there are none yet")
        return
    if reasons:
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        yield warning(
            "readings",
            f"of the newest {records:,} records {records - good:,} are no readings: {told}",
            "mend what writes them; the headers of each dead letter say what is wrong",
        )
    else:
        yield ok("readings", f"the newest {records:,} records are all readings")
    yield from _times(np.concatenate(apart), max(newest), now() * 1000)


def _times(apart: Ints, newest: int, now: float) -> Iterator[Finding]:
    """``apart`` (n,) is how far readings' times lie ahead of their records', ms."""
    seconds = apart / 1000
    if not len(seconds):
        return
    text = (
        f"readings are {-np.median(seconds):.1f} s older than their records' timestamps "
        f"(median; {-seconds.max():.1f} to {-seconds.min():.1f} s)"
    ).replace("-0.0", "0.0")
    ahead = newest - now
    if abs(ahead) > _NOW_MS:
        yield ok("times", f"{text}; the newest is of {rfc3339(newest)}: a replay, or at rest")
    elif ahead > MAX_AHEAD_MS / 10:
        yield warning(
            "times",
            f"{text}; the newest record is {ahead / 1000:.0f} s ahead of this machine's clock",
            "let NTP set the clocks of this machine and of what writes the readings",
        )
    elif seconds.max() * 1000 > MAX_AHEAD_MS / 10:
        yield warning(
            "times",
            f"{text}: a reading {MAX_AHEAD_MS / 1000:.0f} s ahead of its record is refused",
            "set the clocks of the devices",
        )
    else:
        yield ok("times", text)
