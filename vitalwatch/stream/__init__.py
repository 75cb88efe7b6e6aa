"""Reading from and writing to a broker, and nothing else: this room knows no torch.

``broker`` is the protocol; ``memory`` and ``kafka`` are its two backends.
"""
