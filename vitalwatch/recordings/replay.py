"""Publishing a recorded stream at a pace."""

import math
from collections.abc import Callable

from vitalwatch.recordings.recording import Stream
from vitalwatch.stream.broker import Publisher

_LONGEST_SLEEP = 0.5  # seconds; so that progress is shown while nothing is due
_SHORTEST_SLEEP = 0.001


class Pace:
    """When each reading of a stream is due: ``speed`` times as fast as recorded, or at once.

    ``clock`` gives seconds from any start, ``sleep`` waits for some.
    """

    def __init__(
        self, speed: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.speed = speed
        self._clock = clock
        self._sleep = sleep
        self._first = 0
        self._began = 0.0

    def start(self, first: int) -> None:
        """A reading with the time ``first``, in ms, is due now."""
        self._first = first
        self._began = self._clock()

    def due(self) -> float:
        """Readings up to this time, in ms, are due."""
        if self.speed == math.inf:
            return math.inf
        return self._first + (self._clock() - self._began) * 1000 * self.speed

    def rest(self, time: int) -> None:
        """Wait for the reading with this time, but not long: ask again whether it is due."""
        missing = (time - self.due()) / 1000 / self.speed
        self._sleep(min(max(missing, _SHORTEST_SLEEP), _LONGEST_SLEEP))


def replay(
    stream: Stream,
    publisher: Publisher,
    topic: str,
    shift: int,
    pace: Pace,
    on_progress: Callable[[int, int], None],
) -> None:
    """Publish all readings ``shift`` ms later than recorded.

    The key is the patient, the record's timestamp the reading's time. ``on_progress`` is told
    how many were handed over, and the time in ms that the replay has come to: now and then, and
    at the end, also if that is an error or an interruption.
    """
    published, at = 0, stream.first + shift
    due: float = -1
    pace.start(at)
    try:
        for rows in stream.parts:
            for key, value, time in stream.messages(rows, shift):
                while time > due:
                    due = pace.due()
                    if time > due:
                        on_progress(published, int(due))
                        pace.rest(time)
                publisher.send(topic, key, value, timestamp=time)
                published, at = published + 1, time
            on_progress(published, at)
        publisher.flush()
    finally:
        on_progress(published, at)
