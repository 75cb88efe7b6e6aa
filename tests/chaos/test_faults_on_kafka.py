"""One fault of each kind on a real broker: what is committed is that of an undisturbed run.

``python -m tests.chaos`` does the same for hours, at random; see there.
"""

from random import Random

import pytest

from tests.chaos.faults import Faults
from tests.chaos.worker import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_this_step_leaves_no_trace(step: str, faults: Faults) -> None:
    before = faults.missed
    faults.kill_at(step, Random(step))
    assert faults.missed == before
    faults.course.prove()


def test_workers_that_die_together_leave_no_trace(faults: Faults) -> None:
    faults.kill_all(Random(1))
    faults.course.prove()


def test_workers_that_come_and_go_leave_no_trace(faults: Faults) -> None:
    faults.come_and_go(Random(3))
    faults.course.prove()


@pytest.mark.parametrize("named", [True, False])
def test_what_a_frozen_worker_does_when_it_wakes_up_is_never_seen(
    named: bool, faults: Faults
) -> None:
    zombie = faults.start(named=named)
    faults.course.flow(1)
    faults.zombie(Random(4), zombie)
    faults.course.prove()


def test_a_transaction_that_expires_is_done_again(faults: Faults) -> None:
    faults.expire(Random(1))
    faults.course.prove()


def test_a_broker_that_is_killed_and_comes_back_leaves_no_trace(site_faults: Faults) -> None:
    site_faults.broker(Random(3))
    site_faults.course.prove()
    assert site_faults.broker_kills


@pytest.mark.parametrize("kind", ["cut", "slow", "stall", "refuse"])
def test_bad_connections_leave_no_trace(kind: str, site_faults: Faults) -> None:
    site_faults.connections(Random(kind), kind)
    site_faults.course.prove()


def test_state_comes_from_snapshots_and_alarms_come_and_go(faults: Faults) -> None:
    def from_snapshots() -> int:
        return [told["state_from"] for told in faults.course.takeovers()].count("snapshot")

    # Of the tests above only some may have run in this process, and before the first snapshot.
    for number in range(6):
        if faults.kills and from_snapshots() > 2:
            break
        faults.kill(Random(number))
        faults.course.prove()
    assert from_snapshots() > 2
    assert {"raised", "cleared"} <= faults.course.oracle.events.keys()
    assert all(faults.course.oracle.checked.values())
