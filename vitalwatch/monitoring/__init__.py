"""What operators see of a running daemon: Prometheus metrics, health, logs, traces.

Knows no torch and no Kafka, and never names a patient: a patient, device or bed in a label, a
URL or a log line would put identifiers where nobody guards them.
"""
