import pytest
import torch

from vitalwatch import vitals
from vitalwatch.model.network import Network
from vitalwatch.model.shapes import INPUTS
from vitalwatch.training import data, loop
from vitalwatch.training.data import Chunk

TINY = loop.Plan(hidden=8, seed=3, rounds=1, patients=4, chunks=6, frames=16)


def weights(plan: loop.Plan) -> torch.Tensor:
    network = loop.train(plan, lambda done, nats: None)
    return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first = weights(TINY)
    assert torch.equal(first, weights(TINY))
    other = loop.Plan(hidden=8, seed=4, rounds=1, patients=4, chunks=6, frames=16)
    assert not torch.equal(first, weights(other))


def test_training_lowers_the_surprise_on_patients_not_trained_on() -> None:
    plan = loop.Plan(hidden=8, seed=3, rounds=2, patients=8, chunks=12, frames=32)
    torch.manual_seed(0)
    untrained = loop.validate(Network(8), plan)
    assert loop.validate(loop.train(plan, lambda done, nats: None), plan) < untrained - 0.2


def test_what_was_not_measured_counts_nothing_in_the_loss() -> None:
    torch.manual_seed(0)
    network = Network(8)
    inputs = torch.randn(5, 3, INPUTS)
    seen = torch.zeros(5, 3, vitals.COUNT)
    seen[:, :, 0] = 1
    values = torch.randn(5, 3, vitals.COUNT)
    first, _ = loop.loss(network, Chunk(inputs, values, seen), None)
    values[:, :, 1:] = 1e6
    second, _ = loop.loss(network, Chunk(inputs, values, seen), None)
    assert torch.equal(first, second)


def test_no_patient_of_one_purpose_is_seen_by_another() -> None:
    names = [
        set(data.ward(purpose, seed, 5, 5, None).patients)
        for purpose in ("train", "validate", "calibrate", "evaluate")
        for seed in (0, 999_999)
    ]
    assert len(set.union(*names)) == sum(len(part) for part in names)


def test_a_seed_that_would_reach_another_purposes_patients_is_refused() -> None:
    with pytest.raises(ValueError, match="999,999"):
        data.ward("train", 1_000_000, 5, 5, None)


def test_chunks_follow_one_another() -> None:
    def sequences() -> data.Sequences:
        return data.Sequences([data.ward("train", 1, 3, every, "mixed") for every in (1, 60)])

    whole = sequences().chunk(20)
    parts = sequences()
    first, second = parts.chunk(12), parts.chunk(8)
    for name in ("inputs", "values", "seen"):
        together = torch.cat((getattr(first, name), getattr(second, name)))
        assert torch.equal(getattr(whole, name), together)
