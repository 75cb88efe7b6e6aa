"""A ward that publishes at a steady rate, as a process: readings bear the time they are sent at.

    python -m tests.benchmarks.publisher ADDRESS TOPIC RATE PATIENTS SECONDS [--crossing N]

Of the first N patients each has a heart rate beyond its critical limit for 20 s in every two
minutes, one after the other, so that alerts come all the time.
"""

import argparse
import json
import re
import time
from itertools import islice
from typing import Final

from tests.benchmarks.load import Send, Wire, ward, wire, writing

CYCLE_SECONDS: Final = 120.0  # longer than an alarm takes to be raised, cleared and forgotten
CROSSING_SECONDS: Final = 20.0
BEYOND: Final = b'"hr":180'
_TICK_SECONDS: Final = 0.002
_LATE_SECONDS: Final = 0.1
_AT_ONCE: Final = 1000
_LEAST_WIRES: Final = 20_000


def crossing(each: Wire) -> Wire:
    """The same reading with a heart rate, if it has one, beyond its critical limit."""
    return each._replace(after=re.sub(rb'"hr":\d+', BEYOND, each.after))


def publish(send: Send, rate: float, patients: int, seconds: float, crossings: int) -> int:
    """Send until ``seconds`` have passed; how many readings went out when the load was behind."""
    frames = max(1, _LEAST_WIRES // patients)
    normal = list(islice(wire(ward(patients)), frames * patients))
    number = {key: place for place, key in enumerate({each.key: None for each in normal})}
    # By place: when in the cycle this patient's crossing begins; never for most of them.
    begins = [
        number[each.key] / crossings * CYCLE_SECONDS if number[each.key] < crossings else None
        for each in normal
    ]
    beyond = [crossing(e) if b is not None else e for e, b in zip(normal, begins, strict=True)]
    began, sent, late, place, stamp = time.time(), 0, 0, 0, 0
    while (now := time.time()) < began + seconds:
        due = int((now - began) * rate)
        # Who has fallen behind goes on in small steps, or a patient had two readings at a time.
        some = min(due - sent, _AT_ONCE, patients)
        stamp = max(round(now * 1000), stamp + 1)
        turn = now % CYCLE_SECONDS
        late += some if due - sent > _LATE_SECONDS * rate else 0
        for _ in range(some):
            begin = begins[place]
            chosen = normal
            if begin is not None and (turn - begin) % CYCLE_SECONDS < CROSSING_SECONDS:
                chosen = beyond
            each = chosen[place]
            send(each.key, each.value(stamp), stamp)
            place = (place + 1) % len(normal)
        sent += some
        if sent == due:
            time.sleep(_TICK_SECONDS)
    return late


def main() -> None:
    """Publish, and print what was done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("rate", type=float)
    parser.add_argument("patients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--crossing", type=int, default=0)
    given = parser.parse_args()
    linger = 0.5 if given.rate <= _AT_ONCE else 5.0  # clients' own default: batches, not records
    with writing(given.address, given.topic, linger_ms=linger) as send:
        late = publish(send, given.rate, given.patients, given.seconds, given.crossing)
    print(json.dumps({"late": late}))


if __name__ == "__main__":
    main()
