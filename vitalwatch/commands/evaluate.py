"""``vitalwatch evaluate``: the README's table, and comparisons, from one command."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from simulator.styles import STYLES
from vitalwatch import config
from vitalwatch.errors import ConfigurationError, UsageError
from vitalwatch.evaluation import EXPLAINED, HEADLINE

if TYPE_CHECKING:
    from vitalwatch.model.checkpoint import Model

EXAMPLES = """\
examples:
  vitalwatch evaluate                              the README's table
  vitalwatch evaluate --patients 100 --hours 8     a quick look
  vitalwatch evaluate --model-path m.safetensors --alarms-budget 2
  vitalwatch evaluate --full                       beside all baselines, at equal false alarms
  vitalwatch evaluate --recordings DIR             the same on recordings of real patients
  vitalwatch evaluate --full --recordings DIR --output found
                                                   all of it, with CSV and plots in found/
  vitalwatch evaluate --full --recordings DIR --beside gru.safetensors --card card.md
                                                   and a model card, with another cell beside,
                                                   and wards of other styles and rates

The tables are Markdown on standard output. Thresholds are set on people of their own
(`vitalwatch/training/people.py` parts them), so that no figure is of those it was tuned on.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help="measure the alarms on simulated patients never trained on",
        description="Run the detector, fixed limits and NEWS2 over the same simulated patients, "
        "none of whom was trained or calibrated on, and print what each catches before a vital "
        "sign becomes critical, how long before, and at how many false alarms.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--patients", type=int, default=400, help="patients [default: 400]")
    parser.add_argument("--hours", type=float, default=24, help="hours of each [default: 24]")
    parser.add_argument(
        "--interval", type=float, default=10, help="seconds between readings [default: 10]"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the patients [default: 1]")
    parser.add_argument("--by-event", action="store_true", help="also print each kind of event")
    wide = parser.add_argument_group("comparison with baselines")
    wide.add_argument("--full", action="store_true", help="compare on simulated patients")
    wide.add_argument(
        "--style", choices=tuple(STYLES), default=HEADLINE,
        help=f"how the simulated patients are watched [default: {HEADLINE}]",
    )  # fmt: skip
    wide.add_argument("--recordings", type=Path, metavar="DIR", help="compare on recordings in DIR")
    wide.add_argument("--output", type=Path, metavar="DIR", help="also write tables, CSV, plots")
    wide.add_argument(
        "--beside", type=Path, metavar="FILE", action="append", default=[],
        help="another model to compare; may be repeated",
    )  # fmt: skip
    wide.add_argument(
        "--card", type=Path, metavar="FILE", help="also write the model card, as Markdown"
    )
    config.add_flags(parser, "model", "alarms")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the tables."""
    comparing = arguments.full or arguments.recordings is not None
    if not comparing and (arguments.output is not None or arguments.beside):
        raise UsageError("--output and --beside belong to --full or --recordings: name one of them")
    if arguments.card is not None and not (arguments.full and arguments.recordings is not None):
        raise UsageError("--card is made from --full and --recordings: name both")
    if not 0 <= arguments.seed < EXPLAINED:
        raise UsageError(f"--seed must be 0 to {EXPLAINED - 1}: beyond lie other patients")
    if not 1 <= arguments.interval <= arguments.hours * 3600 < math.inf:
        raise UsageError("--interval must be 1 s or more, and --hours at least as long as that")
    if comparing:
        return _compare(arguments)
    from vitalwatch.evaluation import ward
    from vitalwatch.model import checkpoint

    settings = config.load(arguments)
    model = checkpoint.load(settings.model.path)
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("evaluating", total=1.0)
        found = ward.evaluate(
            model,
            settings.alarms,
            patients=arguments.patients,
            hours=arguments.hours,
            interval=arguments.interval,
            seed=arguments.seed,
            style=arguments.style,
            report=lambda share: progress.update(task, completed=share),
        )
    out = Console(soft_wrap=True, highlight=False, markup=False)
    critical = found.results[0].critical
    out.print(
        f"{found.patients} simulated patients, {found.patient_days:.0f} patient-days, a reading "
        f"every {found.interval:g} s, {critical} deteriorations that become critical more than a "
        f"minute after their onset; {arguments.style}; budget "
        f"{settings.alarms.budget:g} false alarms per patient-day; model {model.fingerprint}; "
        "95 % intervals by bootstrap over patients.\n"
    )
    out.print(
        "| | caught before critical | median lead, min (quartiles) | false alarms "
        "per patient-day | all alarms per patient-day |"
    )
    out.print("|---|---|---|---|---|")
    for result in found.results:
        share = result.caught / max(result.critical, 1)
        low, high = result.caught_interval
        lead = "–"
        if len(result.leads):
            first, median, third = np.quantile(result.leads, [0.25, 0.5, 0.75])
            lead = f"{median:.0f} ({first:.0f} to {third:.0f})"
        least, most = result.false_interval
        out.print(
            f"| {result.method} | {share:.0%} ({low:.0%} to {high:.0%}) | {lead} | "
            f"{result.false_per_day:.2f} ({least:.2f} to {most:.2f}) | "
            f"{result.alarms_per_day:.2f} |"
        )
    if arguments.by_event:
        out.print("\n| caught of critical | " + " | ".join(r.method for r in found.results) + " |")
        out.print("|---" * (len(found.results) + 1) + "|")
        for event in found.results[0].by_event:
            cells = [f"{r.by_event[event][0]} of {r.by_event[event][1]}" for r in found.results]
            out.print(f"| {event} | " + " | ".join(cells) + " |")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    """All detectors on one data set after the other; each is printed as soon as it is done."""
    if arguments.patients < 1:
        raise UsageError("--patients must be 1 or more")
    if arguments.card is not None and arguments.card.is_dir():
        raise ConfigurationError(f"{arguments.card} is a folder: --card names a file.")
    for folder in (arguments.output, arguments.card and arguments.card.parent):
        if folder is not None:
            _prepare(folder)
    from vitalwatch.evaluation import card, checks, learned, plots, run, tables
    from vitalwatch.model import checkpoint

    settings = config.load(arguments)
    model = checkpoint.load(settings.model.path)
    paths = [*sorted(checkpoint.FAMILY.glob("*.safetensors")), *arguments.beside]
    others = [_named(path, checkpoint.load(path)) for path in paths]
    console = Console(file=sys.stderr)
    out = Console(soft_wrap=True, highlight=False, markup=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    drawing = arguments.output is not None and learned.installed("matplotlib")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def say(message: str) -> None:
            console.print(message, markup=False, highlight=False, soft_wrap=True)

        report = run.Report(lambda text: progress.update(task, description=text), say)
        if arguments.output is not None and not drawing:
            say(f"Without plots: {learned.EXTRA} adds what draws them.")
        found = run.under_test(model, settings.alarms.budget, others, report)
        size = run.Size(
            train=arguments.patients,
            calibrate=arguments.patients,
            test=arguments.patients,
            hours=arguments.hours,
            interval=arguments.interval,
            style=arguments.style,
        )
        out.print(f"Model {model.fingerprint}.\n")
        compared = []
        wards = [size] if arguments.full else []
        if arguments.card is not None:
            wards += run.elsewhere(size)
        for comparison in run.comparisons(
            found, wards, arguments.recordings, size, arguments.seed, report
        ):
            compared.append(comparison)
            out.print(tables.markdown(comparison))
            if arguments.output is not None:
                tables.write(comparison, arguments.output)
                if drawing:
                    plots.draw(comparison, arguments.output)
        if arguments.recordings is not None:
            checked = list(run.checks(model, settings.alarms, arguments.recordings, report))
            text = checks.markdown(checked)
            out.print(text)
            if arguments.output is not None:
                (arguments.output / "checks.md").write_text(text, encoding="utf-8")
        if arguments.card is not None:
            report.step("explaining alerts")
            explained = run.explained(model, settings.alarms, arguments.patients, arguments.seed)
            out.print(f"## Explanations\n\n{explained}\n")
            family = [name for name, _ in others]
            budget = settings.alarms.budget
            command = _command(arguments, budget)
            told = card.Found(model, command, compared, checked, explained, family, budget)
            arguments.card.write_text(card.markdown(told), encoding="utf-8")
    return 0


def _named(path: Path, model: "Model") -> tuple[str, "Model"]:
    """Another model by its file, and how long it was trained: the table's reader must know."""
    rounds = model.card.get("rounds")
    return (path.stem if rounds is None else f"{path.stem}, {rounds} rounds"), model


def _command(arguments: argparse.Namespace, budget: float) -> str:
    """What wrote a card, with the names of folders left out."""
    words = ["vitalwatch evaluate --full --recordings DIR --card FILE"]
    words += [f"--beside {path.name}" for path in arguments.beside]
    if budget != config.Alarms().budget:
        words.append(f"--alarms-budget {budget:g}")
    words += [
        f"--{name} {getattr(arguments, name):g}"
        for name in ("patients", "hours", "interval", "seed")
    ]
    return " ".join([*words, f"--style {arguments.style}"])


def _prepare(folder: Path) -> None:
    """Say before the work, and not after it, that its result cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"Cannot write to {folder}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"Cannot write to {folder}: name a folder of yours.")
