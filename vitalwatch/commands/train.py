"""``vitalwatch train``: make the model that ships, or another, in a run that can be cut."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitalwatch import config
from vitalwatch.commands.progress import Work
from vitalwatch.errors import ConfigurationError, UsageError
from vitalwatch.model.layout import CELLS

if TYPE_CHECKING:
    import torch

    from vitalwatch.evaluation.ward import Evaluation
    from vitalwatch.training.fitting import Fitted, Plan, Progress

EVALUATED = 200
"""Patients that the card's figures are measured on."""

MOST_PROCESSES = 14
"""More would make training data faster than a GPU takes them."""

EXAMPLES = """\
examples:
  vitalwatch train -o model.safetensors --recordings DIR
                                                   the model that ships, in some forty minutes
  vitalwatch train -o small.safetensors --hidden 16 --rounds 2
                                                   a quick one, to try things out
  vitalwatch train -o gru.safetensors --cell gru --recordings DIR
                                                   of another cell
  vitalwatch train -o gru.safetensors --cell gru --recordings DIR --resume
                                                   go on with it where it was cut
  vitalwatch run --model-path model.safetensors

The same arguments give the same weights on the same machine. Training patients are simulated, and
with --recordings some of them are real: only those whom `vitalwatch/training/people.py` has for
training. Those that calibrate the model are others, and those of `vitalwatch evaluate` are others
again. Beside the model stand its card (.card.json), its learning curve (.curve.csv, .curve.png) and
the run (.run), with which --resume goes on.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train and calibrate a model",
        description="Train a network by truncated backpropagation through time, calibrate it on "
        "patients it has not seen, and write both with a model card to one file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--cell", choices=CELLS, default="lstm", help="[default: lstm]")
    parser.add_argument("--hidden", type=int, default=64, help="units [default: 64]")
    parser.add_argument("--rounds", type=int, default=150, help="fresh wards [default: 150]")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random [default: 1]")
    parser.add_argument("--patients", type=int, default=32, help="a ward's [default: 32]")
    parser.add_argument(
        "--rate", type=float, default=4e-3, help="highest of learning [default: .004]"
    )
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR",
        help="also train on the people in DIR's recordings who are for training",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with OUTPUT's run, OUTPUT.run")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="[default: a GPU if there is one]",
    )
    parser.add_argument(
        "--processes", type=int, help="that make training data [default: by the cores; 0: none]"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, calibrate, write; a card says how."""
    # Here and not above: torch takes a second to import, and --help needs none of it.
    import torch

    from vitalwatch.model import checkpoint
    from vitalwatch.training import curves, fitting, recorded

    _check(arguments, fitting.MOST_ROUNDS, fitting.LARGEST_SEED)
    output: Path = arguments.output
    checkpoint.check_name(output)
    _check_output(output)
    device = _device(arguments.device)
    torch.set_num_threads(1)  # the same sums in the same order, on any number of cores
    plan = _plan(arguments)
    keep = output.with_suffix(".run")
    course = fitting.resume(plan, keep, device) if arguments.resume else fitting.begin(plan, device)
    began = time.monotonic()
    with Work() as work:
        if arguments.recordings is not None:
            # Before the work: whoever makes the data in other processes cannot tell.
            recorded.check(arguments.recordings, work.say)
        found = _fit(plan, course, keep, device, arguments, work)
        card = _card(plan, found, device)
        _finish(output, plan, found, card, work)
    minutes = (time.monotonic() - began) / 60
    written = [output, *curves.write(found.curve, output.with_suffix(".curve.csv"))]
    said = ", ".join(f"{name} {value:.3f}" for name, value in found.validation.figures().items())
    work.say(f"{' '.join(map(str, written))}: {said}; {minutes:.1f} min")
    return 0


def _check(arguments: argparse.Namespace, most_rounds: int, largest_seed: int) -> None:
    if not 1 <= arguments.rounds <= most_rounds or arguments.hidden < 1:
        raise UsageError(f"--hidden must be 1 or more, --rounds 1 to {most_rounds}")
    if not 0 <= arguments.seed <= largest_seed:
        raise UsageError(f"--seed must be 0 to {largest_seed}")
    if arguments.patients < 2 or not 0 < arguments.rate < 1:
        raise UsageError("--patients must be 2 or more, --rate between 0 and 1")


def _check_output(path: Path) -> None:
    """Say before the work, and not after it, that its result cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"Cannot write to {path.parent}: {error.strerror}.") from None
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"Cannot write {path}: name a file in a folder of yours.")


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


def _plan(arguments: argparse.Namespace) -> "Plan":
    from vitalwatch.training import fitting

    return fitting.Plan(
        cell=arguments.cell,
        hidden=arguments.hidden,
        seed=arguments.seed,
        rounds=arguments.rounds,
        size=fitting.ROUND._replace(patients=arguments.patients),
        rate=arguments.rate,
        recordings=arguments.recordings,
    )


def _fit(
    plan: "Plan",
    course: "Progress",
    keep: Path,
    device: "torch.device",
    arguments: argparse.Namespace,
    work: Work,
) -> "Fitted":
    from vitalwatch.training import fitting

    total = plan.rounds * plan.size.chunks
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
        return fitting.fit(plan, course, keep, device, _processes(arguments), trained)
    except KeyboardInterrupt:
        if keep.exists():
            work.say(f"What was done until the last validation is in {keep}: see --resume.")
        raise


def _processes(arguments: argparse.Namespace) -> int:
    """Processes that make training data: with one alone, training would wait for each new ward."""
    if arguments.processes is not None:
        return int(arguments.processes)
    return min(MOST_PROCESSES, max(2, len(os.sched_getaffinity(0)) - 1))


def _finish(output: Path, plan: "Plan", found: "Fitted", card: dict[str, Any], work: Work) -> None:
    """Calibrate what was fitted, evaluate it, and write the model with its card."""
    from vitalwatch.evaluation import ward
    from vitalwatch.model import checkpoint
    from vitalwatch.training import calibration

    weights = found.model.weights()
    fitted = checkpoint.Model(plan.cell, plan.hidden, weights, {}, {}, "")
    tables = calibration.calibrate(fitted, plan.seed, work.bar("calibrating", 1)).tensors()
    card["calibrated_on"] = (
        f"{calibration.PATIENT_DAYS:.0f} patient-days of {calibration.PATIENTS} others, "
        f"{calibration.STYLE}"
    )
    card["evaluation"] = _evaluated(
        ward.evaluate(
            checkpoint.Model(plan.cell, plan.hidden, weights, tables, {}, ""),
            config.Alarms(),
            patients=EVALUATED,
            hours=24,
            interval=20,
            seed=plan.seed,
            report=work.bar("evaluating", 1),
        )
    )
    checkpoint.save(output, weights, tables, card)


def _card(plan: "Plan", found: "Fitted", device: "torch.device") -> dict[str, Any]:
    import torch

    import vitalwatch
    from vitalwatch.training.streams import RATES

    columns = sum(max(1, round(plan.size.patients * rate.share)) for rate in RATES)
    rounds = int(found.curve[-1]["rounds"])
    validation = {name: round(value, 4) for name, value in found.validation.figures().items()}
    return {
        "name": f"VitalWatch {plan.cell.upper()}",
        "version": vitalwatch.__version__,
        "cell": plan.cell,
        "hidden": plan.hidden,
        "parameters": sum(parameter.numel() for parameter in found.model.parameters()),
        "network_bytes_per_patient": 4 * found.model.cell.width,
        "command": f"vitalwatch train --cell {plan.cell} --hidden {plan.hidden} "
        f"--rounds {plan.rounds} --patients {plan.size.patients} --rate {plan.rate:g} "
        f"--seed {plan.seed}" + (" --recordings DIR" if plan.recordings else ""),
        "trained_on": "simulated patients in all styles of monitoring"
        + (", and recorded people who are for training" if plan.recordings else ""),
        "readings": rounds * plan.size.chunks * plan.size.frames * columns,
        "rounds": rounds,
        "best_after_rounds": found.rounds,
        "held_apart": validation,
        "limits": "Adults in hospital. Not validated on, and not fit for, decisions about real "
        "patients.",
        "torch": torch.__version__,
        "device": device.type,
    }


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
