"""Comparing what was committed with what the readings give when they are run again.

The same log, model and settings give the same scores, alerts and dead letters, so whoever has the
readings can check what was said of them: :mod:`rerun` makes it anew, with the daemon's own code,
:mod:`scores` and :mod:`ledger` lay both sides side by side, :mod:`report` says what came of it.
The room knows no torch and no kind of broker: it reads any log, and is given a detector.
"""
