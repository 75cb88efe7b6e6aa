"""Making a model: people, sequences, the training loop, calibration.

Uses the simulator, the scoring and the alarms as they are; nothing here runs in the daemon.
"""
