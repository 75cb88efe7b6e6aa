"""The model card: what a model is, how it came about, and how good its alarms were found to be.

Every figure is one that the same run of `vitalwatch evaluate` found, or that stands in the model
file from its training; none is written by hand.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vitalwatch.evaluation import checks, tables
from vitalwatch.evaluation.checks import Check
from vitalwatch.evaluation.compare import (
    LIMIT_ALARM,
    NEWS2_OF_7,
    Comparison,
    Figure,
    Operation,
    Result,
    difference,
)
from vitalwatch.evaluation.learned import HalfSpaceTrees, Trees
from vitalwatch.evaluation.network import ALONE, ONE_STEP
from vitalwatch.evaluation.text import DASH, minutes, number, percent, points, share, table
from vitalwatch.explanation.worth import Worth
from vitalwatch.model.checkpoint import Model

BEGIN: Final = "<!-- simulated: from the model card -->"
END: Final = "<!-- end -->"
RECORDED: Final = "<!-- recorded: from the model card -->"
"""Around what the README repeats word for word."""

_RATE: Final = 1.0
_RATES: Final = (1.0, 2.0, 5.0)
_CHANCE: Final = ("random", "clock")
_LEARNED: Final = (Trees.name, HalfSpaceTrees.name)


@dataclass(frozen=True)
class Found:
    """What one evaluation found, at a ``budget`` of false alarms a patient-day; ``family`` are the
    other cells' names among the results."""

    model: Model
    command: str
    comparisons: Sequence[Comparison]
    checks: Sequence[Check]
    worth: Worth
    family: Sequence[str]
    budget: float


def markdown(found: Found) -> str:
    """The whole card."""
    simulated = [each for each in found.comparisons if each.name.startswith("simulated")]
    recorded = [each for each in found.comparisons if each not in simulated]
    return "\n".join(
        [
            *_made(found),
            *_on_simulated(simulated[0], found),
            *_everywhere(simulated, found),
            *_on_recorded(recorded, found),
            *_subgroups([simulated[0], *recorded]),
            *_explained(found.worth),
            *_needless(found.checks),
            *_limits(found),
        ]
    )


def _made(found: Found) -> Iterable[str]:
    card = found.model.card
    yield f"# {card['name']}: model card\n"
    yield (
        f"Model `{found.model.fingerprint}`, {card['parameters']:,} parameters, "
        f"{card['network_bytes_per_patient']} bytes of network state a patient. Made by\n"
    )
    yield f"```text\n{card['command']}\n```\n"
    yield (
        f"Trained on {card['trained_on']}: {card['readings']:,} readings; calibrated on "
        f"{card['calibrated_on']}. This card was written by\n"
    )
    yield f"```text\n{found.command}\n```\n"
    if found.family:
        yield (
            f"Beside it stand {', '.join(found.family)}. The cells of vitalwatch/model/family are "
            "trained alike and much shorter than the model that ships: they are to be compared "
            "with each other.\n"
        )
    yield (
        "Nobody whose figures stand below was trained or calibrated on. Thresholds are set on "
        "other people of the same kind (simulated ones, where it says so), to a rate of false "
        "alarms, and then frozen. Intervals are 95 %, by bootstrap over people; of one person, or "
        "where all or none are caught, they say nothing.\n"
    )


def _on_simulated(found: Comparison, whole: Found) -> Iterable[str]:
    ours = found.results[0]
    at, own = _at(ours, _RATE), _at(ours, None)
    best = _best(found, whole, "caught", _RATE)
    simple = _best(found, whole, "caught", _RATE, without=_LEARNED)
    gaps = tables.group_gaps(found, at)
    widest = max(gaps.values(), key=lambda gap: gap.value, default=Figure(float("nan")))
    yield "## Simulated patients\n"
    yield (
        f"{found.people} patients, {found.days:.0f} patient-days, {found.events} deteriorations "
        f"that become critical; {found.title}. {found.test.note}\n"
    )
    yield BEGIN
    yield table(
        ("", "aim", "found"),
        [
            ("caught before critical at 1 false alarm a patient-day", "≥ 90 %", _caught(at)),
            (
                f"the same less the best other's ({best.name}: {_caught(_at(best, _RATE))})",
                "above 0",
                points(difference(ours, best, _RATE, "caught")),
            ),
            (
                f"the best of those that learn nothing ({simple.name})",
                "below 75 %",
                _caught(_at(simple, _RATE)),
            ),
            ("caught 10 min before critical or earlier", "", share(at.figures["early"])),
            (
                "median lead, where caught, before NEWS2 of 7, min (quartiles)",
                "≥ 10",
                minutes(at.figures[f"before {NEWS2_OF_7}"]),
            ),
            (
                "median lead, where caught, before the limit alarm, min (quartiles)",
                "≥ 10",
                minutes(at.figures[f"before {LIMIT_ALARM}"]),
            ),
            (
                "false alarms a patient-day at that point, of the network alone",
                "≤ 1",
                number(at.figures["false"]),
            ),
            (
                "top vital of the explanation right",
                "≥ 90 %",
                f"{percent(whole.worth.named.share)} of {len(whole.worth.named)}",
            ),
            (
                "its sign right, the three pressures being one",
                "",
                percent(whole.worth.named.sign_share),
            ),
            ("largest gap in events caught between subgroups", "≤ 5 points", _gap(widest)),
            (
                f"false alarms realised over promised, as set, at a budget of {whole.budget:g}",
                "0.8 to 1.25",
                number(_over(own.figures["false"], whole.budget)),
            ),
        ],
    )
    yield END + "\n"
    yield _rows(found, "caught", whole)


def _everywhere(found: Sequence[Comparison], whole: Found) -> Iterable[str]:
    """The first figures of each style and rate, the headline's among them."""
    yield "## One model for all rates\n"
    yield (
        "From a reading a second to one an hour, in the simulator's styles of monitoring. Realised "
        f"over promised is of false alarms, as set, at a budget of {whole.budget:g}. It is 1 on "
        "wards like the one that the model is calibrated on; on calmer ones fewer alarms come, "
        "until a site calibrates (`vitalwatch calibrate`) or lets the rate adjust itself "
        "(`--alarms-adjust`).\n"
    )
    rows = []
    for each in found:
        ours = each.results[0]
        best = _best(each, whole, "caught", _RATE)
        rows.append(
            [
                f"{each.title}: {each.events} events in {each.days:.0f} patient-days",
                _caught(_at(ours, _RATE)),
                f"{best.name}: {_caught(_at(best, _RATE))}",
                points(difference(ours, best, _RATE, "caught")),
                number(_at(ours, _RATE).figures["false"]),
                number(_over(_at(ours, None).figures["false"], whole.budget)),
            ]
        )
    header = ("", "caught at ≤ 1", "best of the others", "difference", "false a day")
    yield table((*header, "realised / promised"), rows)


def _on_recorded(found: Sequence[Comparison], whole: Found) -> Iterable[str]:
    yield "## Recorded patients\n"
    yield (
        "Real monitors and real charts. Early is what is alarmed before a margin (10 min of "
        "hypotension, 3 h of sepsis, an hour of treatment or death); at many alarms a day much of "
        "it is chance, which stands in brackets. Where a draw by lot or a clock catches more than "
        "the best of the others, it is named too: there such a rate tells nothing.\n"
    )
    yield RECORDED
    rows = []
    for each in found:
        ours = each.results[0]
        for rate in _RATES:
            operation = _at(ours, rate)
            best = _best(each, whole, "early", rate)
            rows.append(
                [
                    f"{each.title}: early at ≤ {rate:g} a day",
                    _early(operation),
                    f"{best.name}: {_early(_at(best, rate))}" + _by_chance(each, best, rate),
                    _less(each, ours, best, rate),
                ]
            )
        if ours.auroc is not None:
            others = [r for r in _others(each, whole) if r.auroc is not None]
            first = max(others, key=lambda r: r.auroc.value if r.auroc else 0)
            less = difference(ours, first, None, "auroc")
            rows.append(
                [
                    f"{each.title}: time-matched AUROC",
                    number(ours.auroc),
                    f"{first.name}: {number(first.auroc or Figure(float('nan')))}",
                    DASH
                    if less is None
                    else f"{less.value:+.2f} ({less.low:+.2f} to {less.high:+.2f})",
                ]
            )
    yield table(("", "VitalWatch", "best of the others", "difference"), rows)
    yield END + "\n"
    for each in found:
        yield f"### {each.title} ({each.name})\n"
        yield (
            f"{each.people} people, {each.days:.0f} patient-days, {each.events} events; thresholds "
            f"from {each.calibrated_on}.\n"
        )
        yield _rows(each, "early", whole)


def _rows(found: Comparison, name: str, whole: Found) -> str:
    """All detectors on one data set, the family first."""
    order = [found.results[0], *(r for r in found.results[1:] if r.name in whole.family)]
    order += [r for r in found.results if r not in order]
    rows = []
    for result in order:
        cells = [
            share(_at(result, rate).figures[name])
            + f" [{percent(_at(result, rate).figures[f'chance {name}'].value)}]"
            for rate in _RATES
        ]
        auroc = DASH if result.auroc is None else number(result.auroc)
        rows.append([result.name, *cells, auroc, f"{result.precision:.3f}"])
    header = ["", *(f"{name} at ≤ {rate:g}" for rate in _RATES), "time-matched AUROC", "AUC-PR"]
    return table(header, rows)


def _subgroups(found: Sequence[Comparison]) -> Iterable[str]:
    yield "## Subgroups\n"
    for each in found:
        if each.test.groups:
            yield f"### {each.title}\n"
            yield tables.groups(each)


def _explained(found: Worth) -> Iterable[str]:
    yield "## Explanations\n"
    yield (
        f"Of {found.alerts} alerts on simulated patients. An explanation is faithful if the score "
        "falls most without what it blames, taken away or put at the patient's own baseline.\n"
    )
    yield "".join(f"- {line}\n" for line in str(found).splitlines())


def _needless(found: Sequence[Check]) -> Iterable[str]:
    yield checks.markdown(list(found))


def _limits(found: Found) -> Iterable[str]:
    yield "## Limits\n"
    yield (
        f"{found.model.card['limits']} Rates of alarms do not carry over from one kind of patient "
        "to another: `vitalwatch calibrate` makes the tables a site's own. Safety limits run "
        "beside the network; they are part of the needless alarms as set, and of no other figure.\n"
    )


def _others(found: Comparison, whole: Found) -> list[Result]:
    """What was there before: not the model's own parts, nor other cells, nor mere chance."""
    left_out = {found.results[0].name, ALONE, ONE_STEP, *_CHANCE, *whole.family}
    return [result for result in found.results if result.name not in left_out]


def _best(
    found: Comparison, whole: Found, name: str, rate: float, without: Sequence[str] = ()
) -> Result:
    others = [result for result in _others(found, whole) if result.name not in without]
    return max(others, key=lambda result: _at(result, rate).figures[name].value)


def _by_chance(found: Comparison, best: Result, rate: float) -> str:
    """Who needs no patient and catches more than the best, for the same cell of a table."""
    blind = [result for result in found.results if result.name in _CHANCE]
    caught = _at(best, rate).figures["early"].value
    better = [each for each in blind if _at(each, rate).figures["early"].value > caught]
    return "".join(f"; {each.name}: {_early(_at(each, rate))}" for each in better)


def _over(figure: Figure, divisor: float) -> Figure:
    return Figure(figure.value / divisor, figure.low / divisor, figure.high / divisor)


def _at(result: Result, rate: float | None) -> Operation:
    operation = result.at(rate)
    assert operation is not None  # noqa: S101 - all are asked at all rates
    return operation


def _less(found: Comparison, ours: Result, other: Result, rate: float) -> str:
    less = difference(ours, other, rate, "early")
    if less is not None and found.people < 2:
        return f"{100 * less.value:+.0f} (one person: no interval)"
    return points(less)


def _gap(figure: Figure) -> str:
    if math.isnan(figure.value):
        return DASH
    return f"{100 * figure.value:.0f} ({100 * figure.low:.0f} to {100 * figure.high:.0f}) points"


def _caught(operation: Operation) -> str:
    return share(operation.figures["caught"])


def _early(operation: Operation) -> str:
    chance = percent(operation.figures["chance early"].value)
    return f"{share(operation.figures['early'])} [{chance}]"
