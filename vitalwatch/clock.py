"""The stream time of a partition: how far its patients have got, by what their readings say.

What counts as lost or gone depends on it, for all patients of the partition. So one device with a
wrong clock must not move it, and what moves it depends on the log alone:

- A reading up to ``STEP_MS`` ahead moves it there. (A reading behind it never moves it.)
- Readings further ahead move it only when so many have come in a row, without one that is not
  ahead, that this is the stream's time and no mistake: ``IN_A_ROW``, where one of another patient
  than the reading before counts as ``ANOTHER``. At the very start a second patient suffices, and
  before that there is no stream time: a patient who is alone looks lost or gone to nobody.
- Then it moves to the earlier one of the last two readings.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Buffer, Ints, Spans
from vitalwatch.compiled import compiled
from vitalwatch.register import hashed
from vitalwatch.state import NEVER

STEP_MS: Final = 3_600_000
"""Longer than what usually lies between readings, shorter than what makes a patient gone."""

IN_A_ROW: Final = 1024
ANOTHER: Final = 64
"""Sixteen readings that are from other patients than the one before, or a long row from one."""


class Clock(NamedTuple):
    """A partition's ``time`` (ms, NEVER at first), and the readings in a row that are ahead.

    ``ahead`` is what they count; ``who`` is a hash of the last one's patient, ``when`` its time.
    """

    time: int = NEVER
    ahead: int = 0
    who: int = 0
    when: int = NEVER


def advance(clock: Clock, times: Ints, patients: Spans) -> tuple[Clock, Ints]:
    """The clock after some readings (n,), and the stream time at each (n,), that one included."""
    state = np.array(clock)
    stream = np.empty(len(times), dtype=np.int64)
    _advance(state, times, patients.data, patients.starts, patients.lengths, stream)
    return Clock(*state.tolist()), stream


@compiled
def _advance(
    state: Ints, times: Ints, data: Buffer, starts: Ints, lengths: Ints, stream: Ints
) -> None:
    time, ahead, who, when = state[0], state[1], state[2], state[3]
    for i in range(len(times)):
        now = times[i]
        if now <= time + STEP_MS:
            time = max(time, now)
            ahead = 0
        else:
            patient = np.int64(hashed(data, starts[i], lengths[i]))
            another = patient != who
            second = time == NEVER and ahead > 0 and another
            ahead += ANOTHER if another else 1
            if second or ahead >= IN_A_ROW:
                time = min(now, when)
            who, when = patient, now
        stream[i] = time
    state[0], state[1], state[2], state[3] = time, ahead, who, when
