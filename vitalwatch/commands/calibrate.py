"""``vitalwatch calibrate``: make a model's rarities those of a site, from its own recordings."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vitalwatch import config
from vitalwatch.commands.progress import Work
from vitalwatch.errors import ConfigurationError, RecordingError

if TYPE_CHECKING:
    from vitalwatch.calibration.site import Rate, Result
    from vitalwatch.recordings.recording import Recording

DESCRIPTION = """\
Make the false-alarm budget true for a site: count, in its own recordings, how often the model would
alarm, and write the model with new tables. Its weights stay as they are. Files are those that
`vitalwatch score` reads; of a folder all that are in it, also in folders of it. A patient's name
stands for one person in all of them.

Nothing has to be labelled. All readings count as quiet but those within an hour of a critical
value, so true deteriorations that do not come to that count as false alarms, and make alarms
rarer: leave out who is known to have deteriorated. The shipped tables count as 20 patient-days
beside the recordings': with few recordings little changes. What is promised is the rate of a new
patient of the same kind, on average, not of each.
"""

EPILOG = """\
examples:
  vitalwatch calibrate recordings/ -o ours.safetensors
  vitalwatch calibrate ward-3.csv ward-4.csv.gz -o ours.safetensors --alarms-budget 0.5
  vitalwatch run --model-path ours.safetensors

The tables are for every budget; at --alarms-budget it is told what is realised, by each half of the
patients under tables made from the other half.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "calibrate",
        help="fit a model's false-alarm rate to a site's own recordings",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recordings", metavar="RECORDING", nargs="+", type=Path, help="files, or folders of them"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="model file to write"
    )
    config.add_flags(parser, "model", "alarms.budget")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, count, write."""
    # Here and not above: numba takes a second to import, and --help needs none of it.
    from vitalwatch.calibration import people, site
    from vitalwatch.model import checkpoint

    settings = config.load(arguments)
    budget = settings.alarms.budget
    model = checkpoint.load(settings.model.path)
    checkpoint.check_name(arguments.output)
    if not arguments.output.parent.is_dir():
        raise ConfigurationError(f"Cannot write {arguments.output}: there is no such folder.")
    with Work() as work:
        everybody = people.read(_opened(arguments.recordings, work), work.bar, work.say)
        done = work.bar("calibrating", 1.0)
        result = site.calibrate(model, everybody, budget, done)
    watched = result.days[result.days > 0]
    card = dict(model.card)
    card["calibrated_on"] = (
        f"{watched.sum():.1f} patient-days of {len(watched)} patients of a site, and the tables of "
        f"model {model.fingerprint} for {site.PRIOR_DAYS} more"
    )
    card["false_alarms_promised_and_realised"] = {
        "budget": budget,
        "before": round(result.before.alarms / result.before.days, 3),
        "after": round(result.after.alarms / result.after.days, 3),
    }
    try:
        checkpoint.save(arguments.output, model.weights, result.calibration.tensors(), card)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {arguments.output}: {error.strerror}.") from None
    sys.stdout.write(_told(result, arguments.output))
    return 0


def _opened(paths: list[Path], work: Work) -> "list[Recording]":
    """The recordings among files and folders; what is none is told, and left out.

    Raises RecordingError for a path that does not exist, and if none is left.
    """
    from vitalwatch.recordings.recording import Recording

    found: list[Recording] = []
    for path in paths:
        if not path.exists():
            raise RecordingError(f"Cannot read {path}: there is no such file or folder.")
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []
        for file in files or [path]:
            try:
                found.append(Recording(file))
            except RecordingError as error:
                work.say(f"{error} It is left out.")
    if not found:
        raise RecordingError("None of the recordings can be used.")
    return found


def _told(result: "Result", output: Path) -> str:
    watched = result.days[result.days > 0]
    budget = result.after.budget
    lines = [
        f"{len(watched)} patients, quiet for {watched.sum():.1f} patient-days",
        f"promised {budget:g} false alarms a patient-day",
        f"realised {_rate(result.before)} with the tables that were there",
        f"         {_rate(result.after)} with new ones, each half of the patients under those of "
        "the other",
    ]
    if result.promised < 1 / budget:
        lines.append(
            f"So small a budget is beyond what was seen: promised is one alarm in "
            f"{result.promised:.3g} patient-days, the rest is extrapolated"
        )
    return "\n".join([*lines, f"written to {output}", ""])


def _rate(rate: "Rate") -> str:
    return f"{rate.alarms / rate.days:.2f} ({rate.ratio:.2f} of the promised)"
