"""The page about rarity, calibration and drift."""

from typing import Final

from panels import Dashboard, Panel


def _rarer(days: int, bound: str) -> tuple[str, str]:
    below = f'sum(rate(vitalwatch_rarity_seconds_bucket{{job="$job", le="{bound}"}}[1h]))'
    total = 'sum(rate(vitalwatch_rarity_seconds_count{job="$job"}[1h]))'
    return f"1 - {below} / {total}", f"once in {days} d or rarer"


MODEL: Final = Dashboard(
    "model",
    "VitalWatch: model",
    "Whether the model fits the patients: rarity, calibration, and what drifts before alarms show it.",
    "7d",
    (
        Panel(
            "Model",
            "What scores, and with which version; more than one fingerprint is a fault.",
            "none",
            (
                (
                    'count by (fingerprint, version) (vitalwatch_model_info{job="$job"})',
                    "{{fingerprint}}",
                ),
            ),
            "table",
        ),
        Panel(
            "Deterioration alarms over budget",
            "Alarms realised over alarms promised, in a day and in a week: 1 is what was promised. "
            "Days are few alarms, and vary much.",
            "none",
            (
                (
                    'job:vitalwatch_deterioration_alarms:increase1d{job="$job"}'
                    ' / job:vitalwatch_budgeted_alarms:increase1d{job="$job"}',
                    "1 day",
                ),
                (
                    'job:vitalwatch_deterioration_alarms:increase7d{job="$job"}'
                    ' / job:vitalwatch_budgeted_alarms:increase7d{job="$job"}',
                    "7 days",
                ),
            ),
        ),
        Panel(
            "Adjustment of rarity",
            "What a partition's rarities are divided by, with alarms.adjust; 1 without.",
            "none",
            (
                (
                    'max by (partition) (vitalwatch_rarity_adjustment_ratio{job="$job"})',
                    "partition {{partition}}",
                ),
            ),
        ),
        Panel(
            "Rarity of readings",
            "How many readings are how rare: a stable patient shows as much once in so long.",
            "s",
            (
                (
                    "sum by (le) "
                    '(increase(vitalwatch_rarity_seconds_bucket{job="$job"}[$__rate_interval]))',
                    "{{le}}",
                ),
            ),
            "heatmap",
            12,
        ),
        Panel(
            "Share of rare readings",
            "Of all readings. What matters is that it stays what it was.",
            "percentunit",
            (_rarer(1, "86400.0"), _rarer(10, "864000.0"), _rarer(100, "8.64e+06")),
            width=12,
        ),
        Panel(
            "Values within the expected range",
            "By vital, of a range that 90 % are expected in. 73 to 97 % among simulated patients, "
            "88 to 98 % on recordings; below a half for an hour is an alert.",
            "percentunit",
            (('job_vital:vitalwatch_values_expected:ratio1h{job="$job"}', "{{vital}}"),),
        ),
        Panel(
            "Mean surprise",
            "By vital, in nats: how improbable the network thought what was measured. A step is a "
            "change of devices, units or patients.",
            "none",
            (('job_vital:vitalwatch_surprise_nats:mean1h{job="$job"}', "{{vital}}"),),
        ),
        Panel(
            "Values scored",
            "By vital: what is measured at all.",
            "rps",
            (
                (
                    "sum by (vital) "
                    '(rate(vitalwatch_values_scored_total{job="$job"}[$__rate_interval]))',
                    "{{vital}}",
                ),
            ),
            stacked=True,
        ),
    ),
)
