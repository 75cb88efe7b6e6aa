"""Patients' state and the scoring of readings: what the network expected, and how rare this is.

Knows the table of vital signs; knows nothing of torch, of Kafka, messages or alarm logic.
"""
