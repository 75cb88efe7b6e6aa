"""What scoring needs to know of the network beside its weights, without torch."""

from typing import Final

from vitalwatch import vitals

INPUTS: Final = 4 * vitals.COUNT + 1
"""Inputs a step: value, mask, time since seen, own baseline (each V wide), time passed."""

OUTPUTS: Final = 3 * vitals.COUNT
"""What the head says of each vital: change, pull and scale."""


CENTRAL_90: Final = 2.1318467863266495
"""The 95th percentile of Student's t with four degrees of freedom, in scales."""


def shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each weight of a :class:`~vitalwatch.model.network.Network`, by name."""
    return {
        "cell.weight_ih_l0": (4 * hidden, INPUTS),
        "cell.weight_hh_l0": (4 * hidden, hidden),
        "cell.bias_ih_l0": (4 * hidden,),
        "cell.bias_hh_l0": (4 * hidden,),
        "head.weight": (OUTPUTS, hidden),
        "head.bias": (OUTPUTS,),
    }
