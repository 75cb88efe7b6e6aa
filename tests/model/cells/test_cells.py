import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitalwatch.model import layout
from vitalwatch.model.cells import make
from vitalwatch.model.cells.cell import Cell
from vitalwatch.model.layout import CELLS, DILATIONS, ELAPSED, INPUTS, SLOTS, TURNS

HIDDEN = 8
FRAMES = 75  # more than any ring holds


def cell(kind: str) -> Cell:
    torch.manual_seed(1)
    made = make(kind, INPUTS, HIDDEN)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.5)
    return made.eval()


def readings(frames: int, patients: int, seed: int = 1) -> torch.Tensor:
    """Inputs after gaps of seconds to hours."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(frames, patients, INPUTS, generator=generator)
    inputs[..., ELAPSED] = torch.rand(frames, patients, generator=generator) * layout.squash(7200)
    return inputs


def run(made: Cell, inputs: torch.Tensor, cuts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """All outputs, and the last state, of a sequence in parts."""
    state, outputs = made.blank(inputs.shape[1]), []
    with torch.inference_mode():
        for part in torch.tensor_split(inputs, sorted(cuts)):
            if len(part):
                output, state = made(part, state)
                outputs.append(output)
    return torch.cat(outputs), state


@pytest.mark.parametrize("kind", CELLS)
@given(cuts=st.lists(st.integers(0, FRAMES), max_size=8))
@settings(max_examples=20)
def test_a_sequence_in_any_parts_gives_the_numbers_of_the_whole(kind: str, cuts: list[int]) -> None:
    made, inputs = cell(kind), readings(FRAMES, 3)
    whole, state = run(made, inputs, [])
    outputs, found = run(made, inputs, cuts)
    torch.testing.assert_close(outputs, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_step_by_step_is_the_whole_sequence(kind: str) -> None:
    made, inputs = cell(kind), readings(FRAMES, 5)
    whole, state = run(made, inputs, [])
    outputs, found = run(made, inputs, list(range(FRAMES)))
    torch.testing.assert_close(outputs, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_patients_at_different_places_of_their_rings_share_a_batch(kind: str) -> None:
    made, inputs = cell(kind), readings(FRAMES, 4)
    ahead = [0, 1, 17, 40]
    states, wanted = [], []
    for patient, before in enumerate(ahead):
        own = inputs[:, patient : patient + 1]
        states.append(run(made, own[:before], [])[1] if before else made.blank(1))
        wanted.append(run(made, own[: before + 30], [])[0][before:])
    together = torch.cat(
        [inputs[before : before + 30, [patient]] for patient, before in enumerate(ahead)], dim=1
    )
    with torch.inference_mode():
        found, _ = made(together, torch.cat(states))
    torch.testing.assert_close(found, torch.cat(wanted, dim=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_the_state_is_flat_of_the_width_that_is_told_and_begins_with_the_output(kind: str) -> None:
    made, inputs = cell(kind), readings(20, 2)
    outputs, state = run(made, inputs, [])
    assert made.width == layout.state_width(kind, HIDDEN)
    assert state.shape == (2, made.width)
    assert state.dtype == torch.float32
    assert torch.equal(state[:, :HIDDEN], outputs[-1])
    assert not made.blank(2).any()


@pytest.mark.parametrize("kind", CELLS)
def test_the_weights_have_the_shapes_that_are_told_without_torch(kind: str) -> None:
    found = {name: tuple(weight.shape) for name, weight in cell(kind).state_dict().items()}
    assert found == layout.cell_shapes(kind, HIDDEN)


def test_convolutions_forget_what_is_further_back_than_they_reach() -> None:
    made, inputs = cell("tcn"), readings(FRAMES, 1)
    reach = sum(DILATIONS) + 1
    others = inputs.clone()
    others[: FRAMES - reach] += 1
    assert torch.equal(run(made, inputs, [])[0][-1], run(made, others, [])[0][-1])
    others[FRAMES - reach] += 1
    assert not torch.equal(run(made, inputs, [])[0][-1], run(made, others, [])[0][-1])


def test_every_ring_fits_into_the_turns_that_positions_are_counted_by() -> None:
    assert all(TURNS % length == 0 for length in (*DILATIONS, SLOTS))


def test_attention_counts_the_age_of_what_it_looks_back_at_in_time() -> None:
    made = cell("attention")
    with torch.no_grad():
        made.get_parameter("fading").fill_(50.0)  # only what was just now counts
    soon, late = readings(10, 1), readings(10, 1)
    soon[..., ELAPSED], late[..., ELAPSED] = layout.squash(0), layout.squash(86400)
    late_only, soon_only = run(made, late, [])[0], run(made, soon, [])[0]
    with torch.no_grad():
        made.get_parameter("back.weight").zero_()
    blind_late, blind_soon = run(made, late, [])[0], run(made, soon, [])[0]
    torch.testing.assert_close(late_only, blind_late, rtol=1e-4, atol=1e-4)
    assert (soon_only - blind_soon).abs().max() > 0.01


def test_weights_of_attention_are_those_of_a_full_window_computed_anew() -> None:
    made, inputs = cell("attention"), readings(40, 1)
    outputs, _ = run(made, inputs, list(range(40)))
    core = made.get_submodule("core")
    with torch.inference_mode():
        hidden = core(inputs)[0][:, 0]
        keys = made.get_submodule("key")(hidden)
        query = made.get_submodule("query")(hidden[-1])
        passed = layout.SQUASH_SECONDS * torch.expm1(
            layout.SQUASH_DIVISOR * inputs[:, 0, ELAPSED].double()
        )
        score = [0.0]
        for slot in range(39 - SLOTS, 39):
            squashed = layout.squash(float(passed[slot + 1 :].sum()))
            fading = torch.nn.functional.softplus(made.get_parameter("fading"))
            score.append(float(keys[slot] @ query) / 4 - float(fading) * squashed)
        weight = torch.softmax(torch.tensor(score), dim=0)[1:]
        wanted = hidden[-1] + made.get_submodule("back")(weight @ keys[39 - SLOTS : 39])
    torch.testing.assert_close(outputs[-1, 0], wanted, rtol=1e-4, atol=1e-4)
