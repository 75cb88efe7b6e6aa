"""Simulated patients on simulated monitors, with the truth about what happens to them.

Knows vital signs and messages; knows nothing of models, scoring or alarms.
"""
