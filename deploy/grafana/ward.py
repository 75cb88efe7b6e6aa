"""The page about the burden of alarms."""

from typing import Final

from panels import Dashboard, Panel

_WATCHED_DAYS: Final = (
    'sum(increase(vitalwatch_patients_watched_seconds_total{job="$job"}[1d])) / 86400'
)


WARD: Final = Dashboard(
    "ward",
    "VitalWatch: ward",
    "The burden of alarms: how many there are, of what kind, and whether the budget is kept. Counts "
    "of all patients together; no patient is in here.",
    "24h",
    (
        Panel(
            "Patients watched",
            "Patients whose state is held.",
            "none",
            (('sum(vitalwatch_patients_held{job="$job"})', "patients"),),
            "stat",
            4,
        ),
        Panel(
            "Of them in alarm",
            "Share of the patients who have an active physiological alert.",
            "percentunit",
            (
                (
                    'sum(vitalwatch_patients_in_alarm_ratio{job="$job"} * vitalwatch_patients_held{job="$job"})'
                    ' / sum(vitalwatch_patients_held{job="$job"})',
                    "in alarm",
                ),
            ),
            "stat",
            4,
            (0.2, 0.5),
        ),
        Panel(
            "Physiological alerts a patient-day",
            "Raised within a day, by the time for which patients were watched. Wards with plain "
            "limits report a hundred and more.",
            "none",
            (
                (
                    'sum(increase(vitalwatch_alerts_total{job="$job", event="raised", kind="physiological"}[1d]))'
                    f" / ({_WATCHED_DAYS})",
                    "alerts",
                ),
            ),
            "stat",
            4,
            (10, 50),
        ),
        Panel(
            "Technical alerts a patient-day",
            "Raised within a day: signals lost, artefacts, flat lines.",
            "none",
            (
                (
                    'sum(increase(vitalwatch_alerts_total{job="$job", event="raised", kind="technical"}[1d]))'
                    f" / ({_WATCHED_DAYS})",
                    "alerts",
                ),
            ),
            "stat",
            4,
        ),
        Panel(
            "Budget used, 7 days",
            "Deterioration alarms over what the budget allows, true ones among them: 100 % is what "
            "was promised.",
            "percentunit",
            (
                (
                    'job:vitalwatch_deterioration_alarms:increase7d{job="$job"}'
                    ' / job:vitalwatch_budgeted_alarms:increase7d{job="$job"}',
                    "used",
                ),
            ),
            "stat",
            4,
            (1.25, 2),
        ),
        Panel(
            "Faults of VitalWatch itself",
            "Alerts of deploy/prometheus/alerts.yml that fire; what to do is in deploy/runbook.md.",
            "none",
            (
                (
                    'count(ALERTS{alertname=~"VitalWatch.*", alertstate="firing"}) or vector(0)',
                    "firing",
                ),
            ),
            "stat",
            4,
            (1, 2),
        ),
        Panel(
            "Physiological alerts raised in 10 min",
            "By priority. More than ten in ten minutes are more than one person can attend to.",
            "none",
            (
                (
                    "sum by (priority) (increase(vitalwatch_alerts_total"
                    '{job="$job", event="raised", kind="physiological"}[10m]))',
                    "{{priority}}",
                ),
            ),
            width=12,
            stacked=True,
        ),
        Panel(
            "Technical alerts raised in 10 min",
            "By priority. Many at once: a gateway or a network is away.",
            "none",
            (
                (
                    "sum by (priority) (increase(vitalwatch_alerts_total"
                    '{job="$job", event="raised", kind="technical"}[10m]))',
                    "{{priority}}",
                ),
            ),
            width=12,
            stacked=True,
        ),
        Panel(
            "Most frequent conditions, 24 h",
            "Which conditions the alerts of the last day were of: begin with the first.",
            "none",
            (
                (
                    "topk(10, sum by (condition) "
                    '(increase(vitalwatch_alerts_raised_total{job="$job"}[1d])))',
                    "{{condition}}",
                ),
            ),
            "bargauge",
        ),
        Panel(
            "Deterioration alarms and budget, 24 h",
            "Raised within a day, beside what the budget allows for the time watched.",
            "none",
            (
                ('job:vitalwatch_deterioration_alarms:increase1d{job="$job"}', "raised"),
                ('job:vitalwatch_budgeted_alarms:increase1d{job="$job"}', "budget"),
            ),
        ),
        Panel(
            "What becomes of alerts, in 1 h",
            "Raised, escalated, told anew because they last, and cleared.",
            "none",
            (
                (
                    'sum by (event) (increase(vitalwatch_alerts_total{job="$job"}[1h]))',
                    "{{event}}",
                ),
            ),
        ),
        Panel(
            "Open dashboard pages",
            "Pages that are connected, by dashboard server.",
            "none",
            (("sum by (instance) (vitalwatch_dashboard_clients)", "{{instance}}"),),
        ),
        Panel(
            "Pages dropped in 10 min",
            "Pages that took in too little and were cut off; they connect again by themselves.",
            "none",
            (
                (
                    "sum by (instance) (increase(vitalwatch_dashboard_clients_dropped_total[10m]))",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Dashboard hears the broker",
            "1 where a dashboard server gets records, 0 where its pages show only what was.",
            "bool_yes_no",
            (("vitalwatch_dashboard_source_up", "{{instance}}"),),
        ),
    ),
)
