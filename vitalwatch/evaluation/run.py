"""One data set after the other: what is compared on which people."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from vitalwatch import config
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation import (
    EXPLAINED,
    HEADLINE,
    detectors,
    learned,
    network,
    recorded,
    simulated,
)
from vitalwatch.evaluation.checks import Check, check
from vitalwatch.evaluation.compare import Comparison, compare
from vitalwatch.evaluation.detectors import Detector
from vitalwatch.evaluation.streams import DataSet
from vitalwatch.explanation.worth import Worth, worth
from vitalwatch.model.checkpoint import Model
from vitalwatch.training.data import ward
from vitalwatch.training.people import COLLECTIONS, Side

EVENTFUL: Final = ("cinc2009-train", "cinc2019-sample", "mimic4-demo-vitals", "mimic2-numerics")
"""Collections with events, by what they say; the others are checked for needless alarms."""

ELSEWHERE: Final = (
    ("bedside", 1.0, 1 / 20),
    ("swinging", 60.0, 1 / 3),
    ("wearable", 60.0, 1 / 3),
    ("charted", 300.0, 1 / 3),
)
"""Further styles and seconds between readings, and how many of the patients are so watched."""

_MINUTE_S: Final = 60.0
_FEWEST: Final = 5  # people to calibrate with


class Size(NamedTuple):
    """Simulated people: ``train`` and ``calibrate`` are others of the same kind as ``test``."""

    train: int
    calibrate: int
    test: int
    hours: float
    interval: float
    style: str = HEADLINE


class Report(NamedTuple):
    """Who is told what: ``step`` of what is being done, ``problem`` of what is left out."""

    step: Callable[[str], None]
    problem: Callable[[str], None]


def elsewhere(size: Size) -> list[Size]:
    """Wards in other styles and at other rates, beside one of that ``size``."""
    found = []
    for style, interval, share in ELSEWHERE:
        train, calibrate, test = (
            max(1, round(share * n)) for n in (size.train, size.calibrate, size.test)
        )
        found.append(Size(train, calibrate, test, size.hours, interval, style))
    return found


def under_test(
    model: Model, budget: float, others: Sequence[tuple[str, Model]], report: Report
) -> list[Detector]:
    """All detectors, VitalWatch first; ``others`` are further models by their names."""
    ours = network.vitalwatch(model, budget)
    found: list[Detector] = [ours]
    found += [network.vitalwatch(other, budget, name) for name, other in others]
    found += [*network.surprises(ours), *detectors.SIMPLE]
    missing = []
    for library, make in (("sklearn", learned.Trees), ("river", learned.HalfSpaceTrees)):
        if learned.installed(library):
            found.append(make())
        else:
            missing.append(make.name)
    if missing:
        report.problem(f"Without {' and '.join(missing)}: {learned.EXTRA} adds them.")
    return found


def comparisons(
    found: Sequence[Detector],
    wards: Sequence[Size],
    folder: Path | None,
    size: Size,
    seed: int,
    report: Report,
) -> Iterator[Comparison]:
    """On simulated ``wards``, and on each collection with events in ``folder``."""
    if folder is not None:
        _there(folder)  # to be said before the work
    for each in wards:
        yield on_simulated(found, each, seed, report)
    if folder is not None:
        yield from on_recordings(found, folder, size, seed, report)


def on_simulated(found: Sequence[Detector], size: Size, seed: int, report: Report) -> Comparison:
    """Compare on simulated wards."""
    report.step("simulating")
    patients: dict[Side, int] = {
        "train": size.train,
        "calibrate": size.calibrate,
        "test": size.test,
    }
    train, calibrate, test = (
        simulated.load(side, count, size.hours, size.interval, seed, size.style)
        for side, count in patients.items()
    )
    return compare(found, train, calibrate, test, lambda name: report.step(f"{test.title}: {name}"))


def on_recordings(
    found: Sequence[Detector], folder: Path, size: Size, seed: int, report: Report
) -> Iterator[Comparison]:
    """Compare on each collection with events in a folder of recordings."""
    for data in _loaded(folder, EVENTFUL, report):
        train, calibrate, test = (data.select(side) for side in ("train", "calibrate", "test"))
        if not len(test.streams) or not any(event.counted for event in test.events):
            report.problem(f"{data.name}: no events of people to test on, left out.")
            continue
        if len(calibrate.names) < _FEWEST:
            # Too few to set a threshold by: as it would be without any recording of the site.
            report.step(f"{data.title}: simulating")
            sides: tuple[Side, ...] = ("train", "calibrate")
            train, calibrate = (
                simulated.load(side, size.calibrate, size.hours, _MINUTE_S, seed, "bedside")
                for side in sides
            )
        title = test.title
        yield compare(
            found,
            train,
            calibrate,
            test,
            lambda name, title=title: report.step(f"{title}: {name}"),  # type: ignore[misc]
        )


def checks(model: Model, settings: config.Alarms, folder: Path, report: Report) -> Iterator[Check]:
    """The whole detector on collections without events."""
    for data in _loaded(folder, sorted(set(COLLECTIONS) - set(EVENTFUL)), report):
        report.step(data.title)
        yield check(model, settings, data.select("test"))


def explained(model: Model, settings: config.Alarms, patients: int, seed: int) -> Worth:
    """What explanations are worth, on simulated patients beside those of the tables."""
    people = ward(
        "evaluate",
        EXPLAINED + seed,
        patients,
        20.0,
        "mixed",
        onset=(1800.0, 7200.0),
        share=0.7,
        twins=True,
        style=HEADLINE,
    )
    return worth(model, settings, people, 1080)


def _there(folder: Path) -> None:
    if not folder.is_dir() or not any((folder / name).is_dir() for name in COLLECTIONS):
        raise RecordingError(
            f"{folder} holds none of {', '.join(COLLECTIONS)}: name the folder of the recordings."
        )


def _loaded(folder: Path, names: Sequence[str], report: Report) -> Iterator[DataSet]:
    _there(folder)
    for name in names:
        if not (folder / name).is_dir():
            report.problem(f"There is no {name} in {folder}, left out.")
            continue
        report.step(f"reading {name}")
        try:
            data = recorded.load(folder, name, report.problem)
        except RecordingError as error:
            report.problem(f"{name} left out: {error}")
        else:
            yield data
