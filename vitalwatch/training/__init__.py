"""Making a model: sequences, the training loop, calibration, evaluation.

Uses the simulator, the scoring and the alarms as they are; nothing here runs in the daemon.
"""
