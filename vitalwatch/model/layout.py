"""What a forecaster takes and says, and the shapes of its weights, without torch.

A forecaster is a cell (:mod:`vitalwatch.model.cells`) between two fixed ends. What is known of a
patient right after a reading goes in; out comes, from one output, a prediction of every vital at
*any* time ahead, and the risk that it becomes critical. The next reading is such a time like any
other, so a reading a second and one an hour go through the same head.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals

V: Final = vitals.COUNT

LAST, MASK, AGE, MEAN, DEVIATION = (slice(k * V, (k + 1) * V) for k in range(5))
"""Columns of the features, each V wide: standardised value last seen, this reading's included;
1 where this reading holds it; squashed time since it was seen; mean and deviation of the
patient's own baseline, into which this reading has gone."""

ELAPSED: Final = 5 * V
"""Column of the squashed time since the reading before."""

CONTEXT: Final = slice(5 * V + 1, 5 * V + 6)
"""Columns of what is known of the person: see :data:`CONTEXT_NAMES`."""

CONTEXT_NAMES: Final = ("age", "age known", "female", "oxygen", "beta blocker")
"""Age is (years - 64) / 17, 0 if not known; the last three are 1 yes, -1 no, 0 not known."""

FEATURES: Final = 5 * V + 1 + len(CONTEXT_NAMES)

INPUTS: Final = FEATURES + V
"""What a cell gets: the features, each last value decayed towards the patient's own mean, and
how many own deviations from it that is (V more columns, at most :data:`FURTHEST` each way)."""

FURTHEST: Final = 6.0

SQUASH_SECONDS: Final = 5.0
SQUASH_DIVISOR: Final = 6.0
"""Time t is squashed to log(1 + t / 5 s) / 6: 0 now, 0.5 after a minute or so, 2 after days."""

KNOTS: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Seconds ahead for which the head speaks; between two of them what it says is drawn in a line
over squashed time, and beyond the ends it stays."""

HORIZONS: Final = (60.0, 300.0, 900.0, 3600.0)
"""Seconds ahead at which a forecast is trained and compared with what came; all are knots."""


class Chance(NamedTuple):
    """That a vital's true level leaves a ``range`` of the table of vitals ``within`` so many s.

    And ``stays`` outside for so many s.
    """

    name: str
    range: str
    within: float
    stays: float

    @property
    def what(self) -> tuple[str, float]:
        """The range, and how long it must be left."""
        return self.range, self.stays


CHANCES: Final = (
    Chance("critical within 15 min", "critical", 900.0, 0.0),
    Chance("critical within 60 min", "critical", 3600.0, 0.0),
    Chance("beyond its limit for long within 60 min", "limit", 3600.0, 600.0),
)
"""What the risk head says of each vital on its own."""

RISKS: Final = (*(chance.name for chance in CHANCES), "event under way")
"""What the risk head gives a logit of, for each vital. First CHANCES, each vital on its own.
The last is shared among vitals: the patient is in an event, which ends with treatment, sepsis or a
critical vital, if any of them says so, each with its own chance. A chance's *hazard* is ``-log(1 -
chance)``, the softplus of its logit; hazards of several vitals add up to that of any (a noisy or),
so each has an exact part in it though nobody says which vital it was."""

CENTRAL_90: Final = 2.1318467863266495
"""The 95th percentile of Student's t with four degrees of freedom, in scales."""

CHANGE, PULL, SCALE = range(3)
"""What the head says of a vital at a knot."""

CELLS: Final = ("rnn", "gru", "lstm", "attention", "tcn")

SLOTS: Final = 16
"""Attention looks back at so many outputs."""

KEY: Final = 16
"""Numbers that an output is remembered by in attention's ring."""

DILATIONS: Final = (1, 2, 4, 8, 16, 32)
"""Readings that the two taps of each causal convolution lie apart."""

TURNS: Final = 32
"""A position in a ring is counted modulo this: a multiple of every ring's length."""

FORGOTTEN: Final = 1e7
"""Seconds beyond which attention does not count the age of a slot."""


def squash(seconds: float) -> float:
    """Time as the network sees it."""
    return float(np.log1p(seconds / SQUASH_SECONDS) / SQUASH_DIVISOR)


def state_width(cell: str, hidden: int) -> int:
    """Numbers of state a patient of a cell with ``hidden`` units; its output is the first."""
    if cell == "tcn":
        return hidden + 1 + sum(DILATIONS) * hidden
    if cell == "attention":
        return 3 * hidden + 1 + SLOTS + SLOTS * KEY
    return {"rnn": 1, "gru": 1, "lstm": 2}[cell] * hidden


def cell_shapes(cell: str, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each weight of a cell, by name."""
    if cell == "tcn":
        layers = len(DILATIONS)
        return {
            "enter.weight": (hidden, INPUTS),
            "enter.bias": (hidden,),
            "now": (layers, hidden, hidden),
            "past": (layers, hidden, hidden),
            "bias": (layers, hidden),
        }
    gates = {"rnn": 1, "gru": 3, "lstm": 4, "attention": 4}[cell] * hidden
    shapes: dict[str, tuple[int, ...]] = {
        "core.weight_ih_l0": (gates, INPUTS),
        "core.weight_hh_l0": (gates, hidden),
        "core.bias_ih_l0": (gates,),
        "core.bias_hh_l0": (gates,),
    }
    if cell == "attention":
        shapes |= {
            "key.weight": (KEY, hidden),
            "query.weight": (KEY, hidden),
            "back.weight": (hidden, KEY),
            "fading": (1,),
        }
    return shapes


def shapes(cell: str, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each weight of a :class:`~vitalwatch.model.forecaster.Forecaster`, by name."""
    said = len(KNOTS) * 3 * V
    return {
        **{f"cell.{name}": shape for name, shape in cell_shapes(cell, hidden).items()},
        "decay.rate": (V,),
        "decay.onset": (V,),
        "head.weight": (said, hidden),
        "head.bias": (said,),
        "risk.weight": (len(RISKS) * V, hidden + INPUTS),
        "risk.bias": (len(RISKS) * V,),
    }
