"""``vitalwatch train --cell``: fit a forecaster, in a run that can be cut and taken up again."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitalwatch.commands.progress import Work
from vitalwatch.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    import torch

    from vitalwatch.training.fitting import Fitted, Plan

MOST_PROCESSES = 14
"""More would make training data faster than a GPU takes them."""


def run(arguments: argparse.Namespace) -> int:
    """Fit, write the model, its card and its learning curve."""
    # Here and not above: torch takes a second to import, and --help needs none of it.
    import torch

    from vitalwatch.model import forecaster_file
    from vitalwatch.training import curves, fitting, recorded
    from vitalwatch.training.streams import Size

    if not 1 <= arguments.rounds <= fitting.MOST_ROUNDS or arguments.hidden < 1:
        raise UsageError(f"--hidden must be 1 or more, --rounds 1 to {fitting.MOST_ROUNDS}")
    if not 0 <= arguments.seed <= fitting.LARGEST_SEED:
        raise UsageError(f"--seed must be 0 to {fitting.LARGEST_SEED} with --cell")
    if arguments.patients < 2 or not 0 < arguments.rate < 1:
        raise UsageError("--patients must be 2 or more, --rate between 0 and 1")
    device = _device(arguments.device)
    torch.set_num_threads(1)  # the same sums in the same order, on any number of cores
    plan = fitting.Plan(
        cell=arguments.cell,
        hidden=arguments.hidden,
        seed=arguments.seed,
        rounds=arguments.rounds,
        size=Size(arguments.patients, fitting.ROUND.chunks, fitting.ROUND.frames),
        rate=arguments.rate,
        recordings=arguments.recordings,
    )
    output: Path = arguments.output
    if arguments.recordings is not None:
        # Before the work: whoever makes the data in other processes cannot tell.
        recorded.check(arguments.recordings, lambda problem: print(problem, file=sys.stderr))
    keep = output.with_suffix(".run")
    course = fitting.resume(plan, keep, device) if arguments.resume else fitting.begin(plan, device)
    began = time.monotonic()
    total = plan.rounds * plan.size.chunks
    with Work() as work:
        advance = work.bar(f"training {plan.cell}", total)
        advance(course.rounds * plan.size.chunks)
        last = ""

        def trained(done: int, loss: float, news: str) -> None:
            nonlocal last
            advance(done)
            if news != last:
                last = news
                work.say(f"{done} of {total} updates, loss {loss:.3f}, {news}")

        try:
            found = fitting.fit(plan, course, keep, device, _processes(arguments), trained)
        except KeyboardInterrupt:
            if keep.exists():
                work.say(f"What was done until the last validation is in {keep}: see --resume.")
            raise
    minutes = (time.monotonic() - began) / 60
    forecaster_file.save(output, found.model.weights(), {}, _card(plan, found, device, arguments))
    written = [output, *curves.write(found.curve, output.with_suffix(".curve.csv"))]
    said = ", ".join(f"{name} {value:.3f}" for name, value in found.validation.figures().items())
    work.say(f"{' '.join(map(str, written))}: {said}; {minutes:.1f} min")
    return 0


def _device(name: str) -> "torch.device":
    """The device by its name; ``auto`` is a GPU if there is one."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ConfigurationError("torch finds no GPU here: give --device cpu, or leave it out.")
        # Without it sums of matrix products come in another order each time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device(name)


def _processes(arguments: argparse.Namespace) -> int:
    """Processes that make training data: with one alone, training would wait for each new ward."""
    if arguments.processes is not None:
        return int(arguments.processes)
    return min(MOST_PROCESSES, max(2, len(os.sched_getaffinity(0)) - 1))


def _card(
    plan: "Plan", found: "Fitted", device: "torch.device", arguments: argparse.Namespace
) -> dict[str, Any]:
    import torch

    import vitalwatch
    from vitalwatch.training.streams import RATES

    columns = sum(max(1, round(plan.size.patients * rate.share)) for rate in RATES)
    rounds = int(found.curve[-1]["rounds"])
    return {
        "name": f"VitalWatch forecaster, {plan.cell}",
        "version": vitalwatch.__version__,
        "cell": plan.cell,
        "hidden": plan.hidden,
        "parameters": sum(parameter.numel() for parameter in found.model.parameters()),
        "state_bytes": 4 * found.model.cell.width,
        "command": f"vitalwatch train --cell {plan.cell} --hidden {plan.hidden} "
        f"--rounds {plan.rounds} --patients {plan.size.patients} --rate {plan.rate:g} "
        f"--seed {plan.seed}" + (" --recordings DIR" if plan.recordings else ""),
        "readings": rounds * plan.size.chunks * plan.size.frames * columns,
        "rounds": rounds,
        "best_after_rounds": found.rounds,
        "held_apart": {name: round(value, 4) for name, value in found.validation.figures().items()},
        "limits": "Simulated patients only, adults in hospital. Not validated on, and not fit for, "
        "decisions about real patients.",
        "torch": torch.__version__,
        "device": device.type,
    }
