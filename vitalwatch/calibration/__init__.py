"""Calibration: from what patients showed to how rare it is, with a guarantee, and its upkeep.

The room turns alarms that patients raised into the table of rarities (:mod:`.conformal`), makes
tables anew from a site's own recordings (:mod:`.site`), and follows the rate that a running stream
realises (:mod:`.adjustment`). It must not know the broker, nor torch.
"""
