"""From a broker's records to the detector, and what it says back to the broker, once each.

``broker`` is the protocol; ``memory`` and ``kafka`` are its two backends. ``daemon`` is the loop;
what it does with records is in ``decode``, ``outputs`` and ``recovery``. Of scoring and alarms the
room knows what ``detection`` declares, and no torch; ``rehearsal`` alone goes through all of it.
"""
