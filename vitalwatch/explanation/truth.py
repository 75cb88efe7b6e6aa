"""Whether alerts name what really happens: the simulator knows which vitals it has moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vitalwatch.explanation.removal import SIGNS
from vitalwatch.messages import Alert, Truth


@dataclass(frozen=True, slots=True)
class Named:
    """The top driver of each alarm that was raised during a true deterioration, (k,) each.

    ``event`` which deterioration, ``top`` the vital named first. ``right``: it is one of those
    that the deterioration had moved by then, or the one that it will make critical. ``moved``: it
    is one of those moved by then. ``sign``: the sign that it belongs to is right, the three
    pressures being one (:data:`~vitalwatch.explanation.removal.SIGNS`). ``before``: nothing had
    moved yet. ``by_luck``: of the patient's vitals, the share that would have been right.
    """

    event: list[str]
    top: list[str]
    right: list[bool]
    moved: list[bool]
    sign: list[bool]
    before: list[bool]
    by_luck: list[float]

    def __len__(self) -> int:
        return len(self.event)

    @property
    def share(self) -> float:
        """Share of alarms whose top driver is right; NaN if there are none."""
        return _mean(self.right)

    @property
    def moved_share(self) -> float:
        """Share of alarms whose top driver had been moved by then."""
        return _mean(self.moved)

    @property
    def sign_share(self) -> float:
        """Share of alarms whose top driver is of a right sign."""
        return _mean(self.sign)

    @property
    def wrong_before(self) -> int:
        """How many were wrong when nothing had moved that could have been named."""
        return sum(b and not r for b, r in zip(self.before, self.right, strict=True))

    @property
    def luck(self) -> float:
        """Share that would be right if the top driver were drawn by lot."""
        return _mean(self.by_luck)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def named(
    alerts: Iterable[Alert], truths: Iterable[Truth], measured: Mapping[str, Sequence[str]]
) -> Named:
    """Judge the deterioration alerts that were raised from onset to end of a deterioration.

    ``truths`` are of a ward with twins, told at the end of it; ``measured`` the vitals that each
    patient's readings hold. Safety limits' alerts, which are of one vital by what they are, do not
    count, nor does what is raised outside of a deterioration. Raises ValueError for a truth that
    does not know what was moved.
    """
    spells: dict[str, list[Truth]] = {}
    for truth in truths:
        if not truth.benign:
            if truth.moved is None:
                raise ValueError("this ward was simulated without twins: Ward(..., twins=True)")
            spells.setdefault(truth.patient, []).append(truth)
    found = Named([], [], [], [], [], [], [])
    for alert in alerts:
        if alert.event != "raised" or alert.condition != "deterioration" or not alert.drivers:
            continue
        for truth in spells.get(alert.patient, ()):
            if truth.onset <= alert.time <= truth.end:
                _judge(alert, truth, measured[alert.patient], found)
    return found


def _judge(alert: Alert, truth: Truth, measured: Sequence[str], found: Named) -> None:
    moved = {name for name, since in (truth.moved or {}).items() if since <= alert.time}
    right = moved | ({truth.vital} if truth.vital is not None else set())
    top = alert.drivers[0].vital
    found.event.append(truth.event)
    found.top.append(top)
    found.right.append(top in right)
    found.moved.append(top in moved)
    found.sign.append(any(top in sign and right & set(sign) for sign in SIGNS))
    found.before.append(not moved)
    found.by_luck.append(len(right & set(measured)) / max(len(measured), 1))
