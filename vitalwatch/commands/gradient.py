"""``vitalwatch gradient``: how far back each cell's gradient reaches."""

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vitalwatch.errors import UsageError

if TYPE_CHECKING:
    from vitalwatch.training.reach import Reach

EXAMPLES = """\
examples:
  vitalwatch gradient                              untrained cells: rnn, gru, lstm
  vitalwatch gradient --model rnn.safetensors --model gru.safetensors
                                                   trained ones, of `vitalwatch train --cell`
  vitalwatch gradient --plot reach.png             and a picture, with matplotlib

The table, tab-separated on standard output, shows the norm of d loss / d inputs, relative to that
at lag 0, against the lag in readings. In a plain RNN it falls by a factor with each reading.
"""

CELLS: Final = ("rnn", "gru", "lstm")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "gradient",
        help="show how far back the gradient of each cell reaches",
        description="Differentiate the surprise at one reading by the inputs of those before it, "
        "on simulated patients, and print how the gradient vanishes with the distance.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", type=Path, action="append", default=[], help="a trained forecaster; repeatable"
    )
    parser.add_argument("--hidden", type=int, default=64, help="units, untrained [default: 64]")
    parser.add_argument("--lags", type=int, default=300, help="readings back [default: 300]")
    parser.add_argument("--interval", type=float, default=5, help="s between them [default: 5]")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random [default: 1]")
    parser.add_argument("--plot", type=Path, help="write a picture there; needs matplotlib")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    if arguments.lags < 2 or arguments.hidden < 1 or not 1 <= arguments.interval <= 900:
        raise UsageError("--lags must be 2 or more, --hidden 1 or more, --interval 1 to 900 s")
    if not 0 <= arguments.seed < 1_000_000:
        raise UsageError("--seed must be 0 to 999999")
    if arguments.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib: `pip install vitalwatch[evaluation]`, or leave --plot out"
        )
    import torch

    from vitalwatch.model import checkpoint
    from vitalwatch.model.forecaster import Forecaster
    from vitalwatch.training import reach

    torch.set_num_threads(1)
    named = [(path.stem, checkpoint.load(path).forecaster()) for path in arguments.model]
    if not named:
        for cell in CELLS:
            torch.manual_seed(arguments.seed)
            named.append((cell, Forecaster(cell, arguments.hidden)))
    told, later = reach.readings(arguments.lags + 100, 32, arguments.interval, arguments.seed)
    found = {name: reach.reach(made, told, later, arguments.lags) for name, made in named}
    print("\t".join(("lag", *found)))  # noqa: T201
    for lag in _lags(arguments.lags):
        shares = (f"{one.norm[lag] / one.norm[0]:.3g}" for one in found.values())
        print("\t".join((str(lag), *shares)))  # noqa: T201
    print("\t".join(("half", *(str(one.half) for one in found.values()))))  # noqa: T201
    if arguments.plot is not None:
        _draw(found, arguments.plot)
    return 0


def _lags(most: int) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50 ... and the last."""
    rounded = [0, *(digit * 10**power for power in range(6) for digit in (1, 2, 5))]
    return [lag for lag in rounded if lag < most - 1] + [most - 1]


def _draw(found: "dict[str, Reach]", path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, one in found.items():
        axis.semilogy(one.norm / one.norm[0], label=name)
    axis.set_xlabel("readings before the loss")
    axis.set_ylabel("gradient's norm, relative")
    axis.legend()
    figure.savefig(path, dpi=120)
