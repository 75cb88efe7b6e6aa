"""Simulated patients on simulated monitors, with the truth about what happens to them.

Knows vital signs and messages; knows nothing of models, scoring or alarms.

    from simulator import Ward

    ward = Ward(patients=1000, seed=7, interval=5.0)
    for times, values in ward.frames(720):  # (N,) ms and (N, V), NaN where not measured
        ...
    ward.truth  # what happened to whom, and when it became critical
"""

from simulator.ward import Ward

__all__ = ["Ward"]
