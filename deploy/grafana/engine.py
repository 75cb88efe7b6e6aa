"""The page about throughput, latency, lag, state and recovery."""

from typing import Final

from panels import Dashboard, Panel, Queries


def _quantiles(metric: str) -> Queries:
    rate = f'sum by (le) (rate({metric}_bucket{{job="$job"}}[$__rate_interval]))'
    return tuple((f"histogram_quantile({q / 100}, {rate})", f"p{q}") for q in (50, 99))


ENGINE: Final = Dashboard(
    "engine",
    "VitalWatch: engine",
    "Whether readings are scored in time: throughput, latency, lag, state and recovery.",
    "3h",
    (
        Panel(
            "Workers that answer",
            "Workers that Prometheus reaches.",
            "none",
            (('sum(up{job="$job"})', "workers"),),
            "stat",
            6,
        ),
        Panel(
            "Workers that are ready",
            "Workers of which all conditions of /readyz hold.",
            "none",
            (('sum(min by (instance) (vitalwatch_ready{job="$job"}))', "ready"),),
            "stat",
            6,
        ),
        Panel(
            "Partitions without a worker",
            "Partitions of the readings that nobody reads: their patients are not watched.",
            "none",
            (
                (
                    'max(vitalwatch_topic_partitions{job="$job"})'
                    ' - count(count by (partition) (vitalwatch_consumer_lag_records{job="$job"}))',
                    "without",
                ),
            ),
            "stat",
            6,
            (1, 2),
        ),
        Panel(
            "Restoring took, on average",
            "Time to have the state of a partition that was taken over, since the workers' start.",
            "s",
            (
                (
                    'sum(vitalwatch_restore_seconds_sum{job="$job"})'
                    ' / sum(vitalwatch_restore_seconds_count{job="$job"})',
                    "restore",
                ),
            ),
            "stat",
            6,
            (5, 30),
        ),
        Panel(
            "Readings scored",
            "Readings scored a second, by worker.",
            "rps",
            (
                (
                    "sum by (instance) "
                    '(rate(vitalwatch_readings_scored_total{job="$job"}[$__rate_interval]))',
                    "{{instance}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Latency",
            "From the timestamp of a transaction's oldest record to its commit. Some 0.03 s at a "
            "ward's rate and 0.2 s near the limit are usual at p99.",
            "s",
            _quantiles("vitalwatch_reading_latency_seconds"),
        ),
        Panel(
            "Lag",
            "Records that are not read yet, by partition.",
            "none",
            (
                (
                    'sum by (partition) (vitalwatch_consumer_lag_records{job="$job"})',
                    "partition {{partition}}",
                ),
            ),
        ),
        Panel(
            "Scoring a transaction",
            "Time to score the readings of one transaction and run their alarms.",
            "s",
            _quantiles("vitalwatch_scoring_seconds"),
        ),
        Panel(
            "Committing a transaction",
            "Time to commit it: mostly the broker's.",
            "s",
            _quantiles("vitalwatch_commit_seconds"),
        ),
        Panel(
            "Readings a transaction",
            "How many are scored together: more when there is more to do.",
            "none",
            (
                (
                    'sum(rate(vitalwatch_readings_scored_total{job="$job"}[$__rate_interval]))'
                    ' / sum(rate(vitalwatch_commit_seconds_count{job="$job"}[$__rate_interval]))',
                    "readings",
                ),
            ),
        ),
        Panel(
            "Silence",
            "How long ago the newest reading of a partition is, by its own time. A replay with "
            "recorded times is as old as the recording.",
            "s",
            (
                (
                    'time() - max by (partition) (vitalwatch_stream_timestamp_seconds{job="$job"})',
                    "partition {{partition}}",
                ),
            ),
            least=None,
        ),
        Panel(
            "Age of snapshots",
            "Since the newest complete snapshot of a partition: what is gone through again when it "
            "is taken over.",
            "s",
            (
                (
                    'time() - max by (partition) (vitalwatch_snapshot_timestamp_seconds{job="$job"})',
                    "partition {{partition}}",
                ),
            ),
        ),
        Panel(
            "Memberships lost in 30 min",
            "Times that workers had to join the group anew, by reason.",
            "none",
            (
                (
                    'sum by (reason) (increase(vitalwatch_memberships_lost_total{job="$job"}[30m]))',
                    "{{reason}}",
                ),
            ),
        ),
        Panel(
            "Dead letters in 10 min",
            "Records that are no readings, by reason.",
            "none",
            (
                (
                    'sum by (reason) (increase(vitalwatch_dead_letters_total{job="$job"}[10m]))',
                    "{{reason}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Late, lost and unknown in 10 min",
            "Readings not after the patient's last; records deleted before they were scored; values "
            "of vital signs that are not known.",
            "none",
            (
                ('sum(increase(vitalwatch_readings_late_total{job="$job"}[10m]))', "late"),
                ('sum(increase(vitalwatch_readings_lost_total{job="$job"}[10m]))', "lost"),
                ('sum(increase(vitalwatch_unknown_vitals_total{job="$job"}[10m]))', "unknown"),
            ),
        ),
        Panel(
            "Conditions of readiness",
            "1 where a condition holds on all workers.",
            "bool_yes_no",
            (('min by (condition) (vitalwatch_ready{job="$job"})', "{{condition}}"),),
        ),
        Panel(
            "Processor",
            "Cores that a worker uses; two are the most it can.",
            "none",
            (('rate(process_cpu_seconds_total{job="$job"}[$__rate_interval])', "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident memory of a worker: some 2.5 kB a patient above what it starts with.",
            "bytes",
            (('process_resident_memory_bytes{job="$job"}', "{{instance}}"),),
        ),
        Panel(
            "Patients by worker",
            "Patients whose state a worker holds.",
            "none",
            (('vitalwatch_patients_held{job="$job"}', "{{instance}}"),),
            stacked=True,
        ),
    ),
)
