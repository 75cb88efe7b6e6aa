import torch
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.model import head
from vitalwatch.model.layout import CENTRAL_90

STEP = torch.tensor([1.0])


def density(x: torch.Tensor) -> torch.Tensor:
    """Student's t with four degrees of freedom, from its definition."""
    return 3 / 8 * (1 + x * x / 4) ** -2.5


@given(st.floats(-8, 8))
def test_the_upper_tail_is_the_integral_of_the_density(x: float) -> None:
    grid = torch.linspace(x, 400, 400_001, dtype=torch.float64)
    integral = torch.trapezoid(density(grid), grid)
    tail = head.upper_tail(torch.tensor(x, dtype=torch.float64))
    assert abs(float(tail - integral)) < 1e-5


def test_the_tail_keeps_its_precision_far_out_in_float32() -> None:
    for x in (10.0, 100.0, 1000.0):
        single = float(head.upper_tail(torch.tensor(x, dtype=torch.float32)))
        double = float(head.upper_tail(torch.tensor(x, dtype=torch.float64)))
        assert abs(single / double - 1) < 1e-5


@given(location=st.floats(-5, 5), scale=st.floats(0.2, 5))
def test_the_probabilities_of_all_steps_of_a_device_add_up_to_one(
    location: float, scale: float
) -> None:
    values = torch.arange(-3000, 3001, dtype=torch.float64)[:, None]
    nats = head.surprise(
        values, torch.full_like(values, location), torch.full_like(values, scale), STEP.double()
    )
    assert abs(float(torch.exp(-nats).sum()) - 1) < 1e-4


def test_a_value_further_from_the_expected_is_a_greater_surprise() -> None:
    values = torch.tensor([[0.0], [1.0], [3.0], [30.0], [3000.0]])
    nats = head.surprise(values, torch.zeros(5, 1), torch.ones(5, 1), STEP)
    assert torch.all(nats[1:] > nats[:-1])


def test_a_surprise_is_finite_for_any_value_and_has_a_gradient() -> None:
    location = torch.zeros(3, 1, requires_grad=True)
    values = torch.tensor([[0.0], [1e30], [-1e30]])
    nats = head.surprise(values, location, torch.ones(3, 1), STEP)
    nats.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(nats).all()
    assert location.grad is not None
    assert torch.isfinite(location.grad).all()


def test_the_central_interval_holds_nine_tenths() -> None:
    outside = 2 * float(head.upper_tail(torch.tensor(CENTRAL_90, dtype=torch.float64)))
    assert abs(outside - 0.1) < 1e-9
