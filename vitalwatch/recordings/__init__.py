"""Recorded streams: reading them from files, in time order, and replaying them.

``recording`` opens a file and finds its layout (``wide_csv`` or ``json_lines``), ``ordering``
puts readings in time order in bounded memory, ``replay`` publishes them at a pace. This room
knows the broker protocol and no model: what a reading means is not its business.
"""
