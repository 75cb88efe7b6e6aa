"""Simulated people as evaluation data: what the simulator knows of them is the truth."""

from typing import Final

import numpy as np

from simulator import styles
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.evaluation.streams import HOUR, MINUTE, Benign, DataSet, Event, Streams
from vitalwatch.messages import Truth
from vitalwatch.training.data import Purpose, ward
from vitalwatch.training.people import Side

MARGIN: Final = 10 * MINUTE
"""An alarm so long before a vital sign becomes critical is early."""

SUDDEN: Final = MINUTE
"""What becomes critical within so long of its onset, nobody can warn of before."""

NOTE: Final = (
    "Caught is what raises an alarm between its true onset and the moment at which a true vital "
    "sign becomes critical. What becomes critical within a minute of its onset (sudden rhythms, "
    "mostly) leaves no time to warn: it is not among these events but counted apart, as sudden, "
    "and answered if an alarm is raised at most a minute after it became critical; an alarm in it "
    "is not false."
)

_PURPOSES: Final[dict[Side, Purpose]] = {
    "train": "train",
    "calibrate": "calibrate",
    "test": "evaluate",
}


def load(
    side: Side, patients: int, hours: float, interval: float, seed: int, style: str
) -> DataSet:
    """Patients watched in one of the simulator's styles, half of whom deteriorate.

    An event is caught by an alarm between its true onset and the moment a true vital sign becomes
    critical. A deterioration that never does need not be caught, but an alarm in it is not false;
    nor need one that does within SUDDEN, of which it is asked apart whether an alarm answers it.
    """
    people = ward(_PURPOSES[side], seed, patients, interval, "mixed", style=style)
    times, values = people.read(int(hours * 3600 / interval))
    # A frame in which nothing was measured was never sent.
    sent: Bools = np.logical_not(np.isnan(values).all(axis=2))

    def record(number: int) -> tuple[Ints, Floats]:
        return times[sent[:, number], number], values[sent[:, number], number]

    place = {name: number for number, name in enumerate(people.patients)}
    events = [_event(place[truth.patient], truth) for truth in people.truth if not truth.benign]
    who = people.population
    groups = {
        "age": np.where(who.age >= 65, "65 and older", "under 65"),
        "sex": np.where(who.female, "women", "men"),
        "skin tone": np.where(who.skin_tone >= 5, "darker (5, 6)", "lighter (1 to 4)"),
        "chronic lung disease": np.where(who.copd, "yes", "no"),
        "beta blocker": np.where(who.beta_blocker, "yes", "no"),
    }
    return DataSet(
        name=f"simulated-{style}-{interval:g}s",
        title=f"simulated {style}, a reading every {interval:g} s",
        streams=Streams.joined(map(record, range(patients))),
        person=np.arange(patients),
        names=people.patients,
        sides=[side] * patients,
        events=events,
        longest=4 * HOUR if styles.style(style).charting else 5 * MINUTE,
        benign=[
            Benign(place[truth.patient], truth.event, truth.onset, truth.end)
            for truth in people.truth
            if truth.benign
        ],
        groups={name: group.tolist() for name, group in groups.items()},
        note=NOTE,
    )


def _event(record: int, truth: Truth) -> Event:
    until = truth.end if truth.critical is None else truth.critical
    sudden = truth.critical is not None and until - truth.onset <= SUDDEN
    return Event(
        record=record,
        kind=truth.event,
        begin=truth.onset,
        early=until - MARGIN,
        onset=until,
        late=until + SUDDEN if sudden else until,
        end=truth.end,
        counted=truth.critical is not None and not sudden,
        sudden=sudden,
    )
