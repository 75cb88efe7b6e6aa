"""What an audit's findings mean, in sentences for a person."""

from collections.abc import Iterator

from vitalwatch.audit.report import Difference, Report

_LAST_DIGITS = 1e-3
"""Relative; a state that is another patient's or another time's differs by far more."""


def notes(report: Report) -> Iterator[str]:
    """What to know of what was, and was not, compared."""
    inexact = [part for part in report.parts if part.history > 0]
    if inexact:
        begun = ", ".join(f"{part.partition} (offset {part.history:,})" for part in inexact)
        yield (
            "The patients' state is built from later than the beginning in partition "
            f"{begun}: what was said soon after that may differ for this reason alone."
        )
    stretches: dict[str, list[str]] = {}
    for part in report.parts:
        for each in part.models:
            text = f"{part.partition}:{each.first} to {part.partition}:{each.last}"
            stretches.setdefault(each.model, []).append(text)
    for model, listed in stretches.items():
        yield (
            f"Made by model {model} and not compared (partition:offset): {', '.join(listed)}. "
            "Audit them with --model-path FILE of that model, --from-offset and, one past the "
            "last, --to-offset."
        )
    for kind, counts in report.totals.items():
        if counts.gone:
            yield (
                f"{counts.gone:,} {kind}s are older than what their topic still retains and were "
                "not compared."
            )
    if report.unreadable:
        yield (
            f"{report.unreadable:,} records of the outputs are not what VitalWatch writes; the "
            f"first is {report.first_unreadable}."
        )


def reasons(report: Report, build: str) -> Iterator[str]:
    """What may be behind the differences; ``build`` names processor and compiler of today."""
    first = report.first
    if first is None:
        return
    part = next(each for each in report.parts if each.partition == first.source.partition)
    totals = report.totals
    scores, alerts = totals.get("score"), totals.get("alert")
    changed = [stretch for stretch in part.models if stretch.last < first.source.offset]
    if changed:
        yield (
            f"The model was changed after offset {changed[-1].last:,}: the state after a change is "
            "made of the last daemon.warmup_minutes before it, and here of all readings."
        )
    if scores and scores.different:
        yield from _different_scores(report, build)
    elif scores and scores.missing and not scores.equal:
        yield (
            "There is no score at all of these readings: they were scored with another "
            "--topics-prefix or --daemon-group, or with --scores-emit none."
        )
    elif scores and scores.equal and not scores.faults and alerts and alerts.faults:
        yield (
            "The scores are equal and the alerts are not: the alarms had other settings then "
            "(alarms.budget, alarms.stale_seconds, alarms.discharge_hours; "
            "see `vitalwatch config show`), or alerts were changed on their topic."
        )
    if any(counts.twice for counts in totals.values()):
        yield (
            "The same was committed twice: the group's offsets were set back, the readings' topic "
            "was made anew under the old outputs, or two groups write to the same topics."
        )
    if scores and scores.different:
        return  # other scores bring other alerts
    if any(counts.missing for counts in totals.values()) and scores and scores.equal:
        yield (
            "What is missing was never committed, or deleted from its topic: everything that was "
            "committed together should be missing together."
        )
    if any(counts.unexpected for counts in totals.values()):
        yield (
            "What is unexpected was said of readings that say something else now, or are not "
            "there: they were deleted, or the recording of them is not complete."
        )
    if "dead letter" in totals and totals["dead letter"].different:
        yield "Another version of VitalWatch may have refused records in other words."


def _different_scores(report: Report, build: str) -> Iterator[str]:
    part, score = next(
        (part, each)
        for part in report.parts
        for each in part.differences
        if each.kind == "score" and part.counts["score"].different
    )
    if _nearly_equal(score):
        yield (
            "The scores differ in their last digits: they were made by another version of "
            f"VitalWatch, or with another compiler or processor than here ({build})."
        )
    elif part.history > 0:
        yield (
            "The state was built from too short a history: give more --history, or what came "
            "before is no longer retained."
        )
    else:
        yield (
            "The state was another one then: a worker took the partition over and found no "
            "snapshot (its log says state_from), or the records of the readings' topic or of the "
            "scores were changed."
        )


def _nearly_equal(difference: Difference) -> bool:
    pairs = [(field.committed, field.recomputed) for field in difference.fields]
    return difference.what == "different" and all(
        isinstance(one, float)
        and isinstance(other, float)
        and abs(one - other) <= _LAST_DIGITS * max(abs(one), abs(other))
        for one, other in pairs
    )
