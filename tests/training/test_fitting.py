import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from vitalwatch.errors import CheckpointError, VitalWatchError
from vitalwatch.model import layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.model.layout import CELLS
from vitalwatch.training import fitting, objective, streams, validation
from vitalwatch.training.fitting import Fitted, Plan
from vitalwatch.training.objective import Batch
from vitalwatch.training.streams import Chunk, Job, Size

CPU = torch.device("cpu")
TINY = Size(patients=2, chunks=3, frames=16)
PLAN = Plan("gru", 6, seed=3, rounds=4, size=TINY, every=1, validated=TINY)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and rates of which an hour is soon made."""
    torch.set_num_threads(1)
    seldom = tuple(rate for rate in streams.RATES if rate.interval >= 30 and rate.style == "ward")
    monkeypatch.setattr(streams, "RATES", seldom)


def fit(plan: Plan, keep: Path, report: fitting.Report = lambda *_: None) -> Fitted:
    return fitting.fit(plan, fitting.begin(plan, CPU), keep, CPU, 0, report)


def bits(model: Forecaster) -> bytes:
    return b"".join(weight.tobytes() for weight in model.weights().values())


def test_a_run_that_is_cut_and_taken_up_again_gives_the_same_tensors(tmp_path: Path) -> None:
    whole = fit(PLAN, tmp_path / "whole.run")

    def cut(done: int, loss: float, news: str) -> None:
        if done == 2 * TINY.chunks + 1:  # in the middle of the third round
            raise KeyboardInterrupt

    keep = tmp_path / "cut.run"
    with pytest.raises(KeyboardInterrupt):
        fit(PLAN, keep, cut)
    torch.manual_seed(99)  # nothing may hang on what else was drawn
    again = fitting.resume(PLAN, keep, CPU)
    assert again.rounds == 2
    found = fitting.fit(PLAN, again, keep, CPU, 0, lambda *_: None)
    assert bits(found.model) == bits(whole.model)
    assert repr(found.curve) == repr(whole.curve)  # there is no number where nobody was at risk


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, rounds=1)
    first = bits(fit(plan, tmp_path / "a").model)
    assert first == bits(fit(plan, tmp_path / "b").model)
    assert first != bits(fit(dataclasses.replace(plan, seed=4), tmp_path / "c").model)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns(cell: str, tmp_path: Path) -> None:
    size = Size(patients=4, chunks=8, frames=24)
    plan = Plan(cell, 12, seed=3, rounds=16, size=size, every=16, validated=size)
    untrained = validation.validate(
        fitting.begin(plan, CPU).model, streams.chunks(Job("validate", 3, size)), CPU
    )
    found = fit(plan, tmp_path / "x.run").validation
    # So few patients say nothing of risks, only of readings.
    nats, before = ((v.next.mean() + v.later.mean()) for v in (found, untrained))
    assert nats < before - 0.1


def test_a_run_of_another_plan_is_not_taken_up(tmp_path: Path) -> None:
    keep = tmp_path / "x.run"
    plan = dataclasses.replace(PLAN, rounds=1)
    fit(plan, keep)
    with pytest.raises(CheckpointError, match=r"another run's.*hidden=6"):
        fitting.resume(dataclasses.replace(plan, hidden=7), keep, CPU)


@pytest.mark.parametrize("content", [None, b"", b"not a run"])
def test_a_run_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    keep = tmp_path / "x.run"
    if content is not None:
        keep.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"Cannot go on with .*--resume"):
        fitting.resume(PLAN, keep, CPU)


def test_a_loss_that_is_no_number_stops_with_the_batch_that_caused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = streams.chunks

    def poisoned(job: Job) -> itertools.chain[Chunk]:
        first, second, *rest = made(job)
        second.features[3, 1, 0] = np.nan
        return itertools.chain([first, second], rest)

    monkeypatch.setattr("vitalwatch.training.ahead.chunks", poisoned)
    with pytest.raises(VitalWatchError, match=r"round 0, chunk 1.*its features is not all numbers"):
        fit(PLAN, tmp_path / "x.run")
    batch = np.load(tmp_path / "x.broken.npz")
    assert np.argwhere(np.isnan(batch["features"])).tolist() == [[3, 1, 0]]
    assert batch["state"].any()


def test_it_ends_when_patients_held_apart_gain_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation.Validation, "loss", 1.0)
    found = fit(dataclasses.replace(PLAN, rounds=20, patience=2), tmp_path / "x.run")
    assert [row["rounds"] for row in found.curve] == [1, 2, 3]
    assert found.rounds == 1


def test_seeds_and_rounds_that_are_allowed_have_wards_of_their_own() -> None:
    last = fitting.LARGEST_SEED * fitting.MOST_ROUNDS + fitting.MOST_ROUNDS - 1
    assert last * len(streams.RATES) + len(streams.RATES) - 1 <= 999_999
    assert next(streams.chunks(Job("train", last, TINY))).fresh.all()


def test_jobs_after_some_rounds_are_the_rest_of_all_jobs() -> None:
    plan = dataclasses.replace(PLAN, rounds=7, every=3)
    jobs = plan.jobs(0)
    assert [job.purpose == "train" for job in jobs] == [1, 1, 1, 0, 1, 1, 1, 0, 1, 0]
    assert plan.jobs(3) == jobs[4:]


def test_the_rate_rises_falls_and_ends_low() -> None:
    plan = dataclasses.replace(PLAN, rounds=100)
    rates = [plan.rate_at(update) for update in range(300)]
    top = rates.index(max(rates))
    assert max(rates) == plan.rate
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.03 * plan.rate


def test_what_is_not_asked_for_counts_nothing() -> None:
    model = fitting.begin(PLAN, CPU).model
    chunk = next(streams.chunks(Job("train", 1, TINY)))
    state = model.cell.blank(len(chunk.fresh))
    base = objective.unknown_base(CPU)
    wanted, _ = objective.measure(model, Batch.of(chunk, CPU), state)
    chunk.value[chunk.counts == 0] = 7
    chunk.later_value[chunk.later_counts == 0] = 7
    chunk.risk[chunk.risk_counts == 0] = 1
    chunk.event[chunk.event_counts == 0] = 1
    found, _ = objective.measure(model, Batch.of(chunk, CPU), state)
    for one, other in zip(wanted.terms(base), found.terms(base), strict=True):
        assert torch.equal(one, other)


def test_saying_how_often_a_risk_comes_true_has_a_risk_term_of_one() -> None:
    model = fitting.begin(PLAN, CPU).model
    chunk = next(streams.chunks(Job("train", 1, TINY)))
    chunk.risk_counts[:] = 1
    chunk.risk[:] = (np.arange(chunk.risk.size) % 20 == 0).reshape(chunk.risk.shape)
    share = float(chunk.risk.mean())
    with torch.no_grad():
        model.risk.weight.zero_()
        model.risk.bias.fill_(float(np.log(share / (1 - share))))
    state = model.cell.blank(len(chunk.fresh))
    found, _ = objective.measure(model, Batch.of(chunk, CPU), state)
    assert found.came[:-2].mean().item() == pytest.approx(share)
    assert found.terms(torch.full((len(layout.CHANCES) + 2, layout.V), share))[
        2
    ].item() == pytest.approx(1, abs=1e-4)


def test_saying_how_often_an_event_is_under_way_has_an_event_term_of_one() -> None:
    model = fitting.begin(PLAN, CPU).model
    chunk = next(streams.chunks(Job("train", 1, TINY)))
    chunk.features[..., layout.AGE] = 0  # every vital was seen
    chunk.event_counts[:] = 1
    chunk.event[:] = (np.arange(chunk.event.size) % 10 == 0).reshape(chunk.event.shape)
    share = float(chunk.event.mean())
    with torch.no_grad():
        model.risk.weight.zero_()
        model.risk.bias.fill_(float(np.log(np.expm1(-np.log1p(-share) / layout.V))))
    found, _ = objective.measure(model, Batch.of(chunk, CPU), model.cell.blank(len(chunk.fresh)))
    assert found.came[-2, 0].item() == pytest.approx(share)
    assert found.terms(torch.full((len(layout.CHANCES) + 2, layout.V), share))[
        3
    ].item() == pytest.approx(1, abs=1e-4)


def test_events_of_real_people_are_a_term_of_their_own() -> None:
    model = fitting.begin(PLAN, CPU).model
    chunk = next(streams.chunks(Job("train", 1, TINY)))
    base, state = objective.unknown_base(CPU), model.cell.blank(len(chunk.fresh))
    before, _ = objective.measure(model, Batch.of(chunk, CPU), state)
    assert before.terms(base)[4].item() == 0
    chunk.real[:] = True
    after, _ = objective.measure(model, Batch.of(chunk, CPU), state)
    assert after.terms(base)[3].item() == 0
    assert after.terms(base)[4].item() == before.terms(base)[3].item() > 0


def test_a_vital_that_was_never_seen_has_no_part_in_an_event() -> None:
    model = fitting.begin(PLAN, CPU).model
    risks = torch.randn(5, len(layout.RISKS), layout.V)
    seen = torch.zeros(5, layout.V)
    seen[:, 2] = 1
    assert torch.equal(model.hazard(risks, seen), functional.softplus(risks[:, -1, 2]))


def test_a_fresh_patient_starts_from_nothing() -> None:
    model = fitting.begin(PLAN, CPU).model
    chunk = next(streams.chunks(Job("train", 1, TINY)))
    blank = model.cell.blank(len(chunk.fresh))
    batch = Batch.of(chunk, CPU)
    _, wanted = objective.measure(model, batch, blank)
    _, found = objective.measure(model, batch, blank + 1)
    assert torch.equal(wanted, found)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_auroc_is_the_chance_that_a_true_one_scores_higher(pairs: list[tuple[int, bool]]) -> None:
    yes = [score for score, true in pairs if true]
    no = [score for score, true in pairs if not true]
    found = validation.auroc(
        np.array([score for score, _ in pairs], dtype=np.float32),
        np.array([true for _, true in pairs], dtype=np.bool_),
    )
    if not yes or not no:
        assert np.isnan(found)
    else:
        wins = [(a > b) + (a == b) / 2 for a in yes for b in no]
        assert found == pytest.approx(np.mean(wins))
