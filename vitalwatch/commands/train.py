"""``vitalwatch train``: make the model that ships, or another."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vitalwatch import config
from vitalwatch.commands import train_cell
from vitalwatch.errors import ConfigurationError, UsageError
from vitalwatch.model.layout import CELLS

if TYPE_CHECKING:
    from vitalwatch.evaluation.ward import Evaluation

EVALUATED = 200
"""Patients that the card's figures are measured on."""

LARGEST_SEED = 165
MOST_ROUNDS = 1000
"""Each round of each seed has wards of its own, whose numbers stay within those for training."""

EXAMPLES = """\
examples:
  vitalwatch train -o model.safetensors            the model that ships, in six minutes
  vitalwatch train -o small.safetensors --hidden 16 --rounds 2
                                                   a quick one, to try things out
  vitalwatch train -o gru.safetensors --cell gru --rounds 200
                                                   a forecaster, with a learning curve
  vitalwatch train -o gru.safetensors --cell gru --rounds 200 --resume
                                                   go on with it where it was cut
  vitalwatch run --model-path model.safetensors

A forecaster (--cell) says what comes at several horizons, and the risk of it; the detector does not
run on one yet. The same arguments give the same weights on the same machine. Training patients are
simulated; those that calibrate the model are others, and those of `vitalwatch evaluate` are others
again.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train and calibrate a model on simulated patients",
        description="Train a network by truncated backpropagation through time, calibrate it on "
        "patients it has not seen, and write both with a model card to one file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--hidden", type=int, default=64, help="LSTM units [default: 64]")
    parser.add_argument("--rounds", type=int, default=120, help="fresh wards [default: 120]")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random [default: 1]")
    cell = parser.add_argument_group("forecasters")
    cell.add_argument("--cell", choices=CELLS, help="train a forecaster of this cell instead")
    cell.add_argument("--patients", type=int, default=32, help="a ward's [default: 32]")
    cell.add_argument(
        "--rate", type=float, default=4e-3, help="highest of learning [default: .004]"
    )
    cell.add_argument(
        "--recordings", type=Path, metavar="DIR",
        help="also train on the people in DIR's recordings who are for training",
    )  # fmt: skip
    cell.add_argument("--resume", action="store_true", help="go on with OUTPUT's run, OUTPUT.run")
    cell.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="[default: a GPU if there is one]",
    )
    cell.add_argument(
        "--processes", type=int, help="that make training data [default: by the cores; 0: none]"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, calibrate, write; a card says how."""
    if arguments.cell is not None:
        _check_output(arguments.output)
        return train_cell.run(arguments)
    if arguments.resume:
        raise UsageError("--resume goes on with a forecaster's run: name its --cell")
    if arguments.hidden < 1 or not 1 <= arguments.rounds <= MOST_ROUNDS:
        raise UsageError(f"--hidden must be 1 or more, --rounds 1 to {MOST_ROUNDS}")
    if not 0 <= arguments.seed <= LARGEST_SEED:
        raise UsageError(f"--seed must be 0 to {LARGEST_SEED}")
    _check_output(arguments.output)
    # Here and not above: torch takes a second to import, and --help needs none of it.
    import torch

    import vitalwatch
    from vitalwatch.evaluation import ward
    from vitalwatch.model import checkpoint
    from vitalwatch.training import calibration, loop

    torch.set_num_threads(1)  # the same sums in the same order, on any number of cores
    began = time.monotonic()
    plan = loop.Plan(hidden=arguments.hidden, rounds=arguments.rounds, seed=arguments.seed)
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        training = progress.add_task("training", total=plan.updates)
        smooth = 0.0

        def trained(done: int, nats: float) -> None:
            nonlocal smooth
            smooth = nats if done == 1 else 0.98 * smooth + 0.02 * nats
            text = f"training, surprise {smooth:.3f} nats"
            progress.update(training, completed=done, description=text)

        network = loop.train(plan, trained)
        surprise = loop.validate(network, plan)
        calibrating = progress.add_task("calibrating, %", total=100)
        made = calibration.calibrate(
            network,
            plan.seed,
            lambda share: progress.update(calibrating, completed=int(100 * share)),
        )
        evaluating = progress.add_task("evaluating, %", total=100)
        found = ward.evaluate(
            checkpoint.Model(network.weights(), made.tensors(), {}, ""),
            config.Alarms(),
            patients=EVALUATED,
            hours=24,
            interval=20,
            seed=plan.seed,
            report=lambda share: progress.update(evaluating, completed=int(100 * share)),
        )
    card = {
        "name": "VitalWatch LSTM",
        "version": vitalwatch.__version__,
        "hidden": plan.hidden,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "command": f"vitalwatch train --hidden {plan.hidden} --rounds {plan.rounds} "
        f"--seed {plan.seed}",
        "trained_on": f"{plan.rounds * len(loop.INTERVALS) * plan.patients:,} simulated patients "
        f"who do not deteriorate, read every {_listed(loop.INTERVALS)} s",
        "readings": plan.updates * plan.frames * len(loop.INTERVALS) * plan.patients,
        "calibrated_on": f"{calibration.PATIENT_DAYS:.0f} patient-days of "
        f"{calibration.PATIENTS} others",
        "surprise_nats_unseen_patients": round(surprise, 4),
        "evaluation": _evaluated(found),
        "limits": "Simulated patients only, adults in hospital. Not validated on, and not fit for, "
        "decisions about real patients.",
        "torch": torch.__version__,
    }
    checkpoint.save(arguments.output, network.weights(), made.tensors(), card)
    minutes = (time.monotonic() - began) / 60
    console.print(f"{arguments.output}: {surprise:.3f} nats on unseen patients, {minutes:.1f} min")
    return 0


def _check_output(path: Path) -> None:
    """Say before the work, and not after it, that its result cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"Cannot write to {path.parent}: {error.strerror}.") from None
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"Cannot write {path}: name a file in a folder of yours.")


def _evaluated(found: "Evaluation") -> dict[str, Any]:
    """The figures of `vitalwatch evaluate` on a smaller ward, for the card."""
    return {
        "patients": found.patients,
        "patient_days": found.patient_days,
        "seconds_between_readings": found.interval,
        "deteriorations": found.results[0].critical,
    } | {
        result.method: {
            "caught_before_critical": round(result.caught / max(result.critical, 1), 3),
            "false_alarms_per_patient_day": round(result.false_per_day, 3),
        }
        for result in found.results
    }


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
