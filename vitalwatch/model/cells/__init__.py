"""Cells: what carries a patient's past from reading to reading, each behind one interface.

All keep a flat state of constant size and do constant work a reading, and a sequence in one go
gives the same numbers as reading by reading. Knows torch alone; that of the inputs is known only
which column tells the time passed.
"""

from collections.abc import Callable
from typing import Final

from vitalwatch.model.cells.attention import Attention
from vitalwatch.model.cells.cell import Cell
from vitalwatch.model.cells.convolution import Convolution
from vitalwatch.model.cells.recurrent import Gru, Lstm, Rnn

_KINDS: Final[dict[str, Callable[[int, int], Cell]]] = {
    "rnn": Rnn,
    "gru": Gru,
    "lstm": Lstm,
    "attention": Attention,
    "tcn": Convolution,
}


def make(kind: str, inputs: int, hidden: int) -> Cell:
    """A new cell, by the name that the command line and model files use."""
    return _KINDS[kind](inputs, hidden)
