"""Simulated wards for training, calibration and evaluation, told apart by their seeds.

Every ward comes from a purpose's own range of seeds, so no patient of one purpose is ever seen by
another.
"""

from typing import Any, Final, Literal

from simulator import Ward

Purpose = Literal["train", "validate", "calibrate", "evaluate"]
_SEEDS: Final[dict[Purpose, int]] = {
    "train": 1_000_000,
    "validate": 2_000_000,
    "calibrate": 3_000_000,
    "evaluate": 4_000_000,
}


def ward(
    purpose: Purpose,
    seed: int,
    patients: int,
    interval: float,
    scenarios: str | None,
    **options: Any,
) -> Ward:
    """A simulated ward of ``patients`` read every ``interval`` seconds; ``options`` are Ward's."""
    if not 0 <= seed < 1_000_000:
        raise ValueError("a seed is 0 to 999,999: beyond lie other purposes' patients")
    return Ward(
        patients=patients,
        seed=_SEEDS[purpose] + seed,
        interval=interval,
        scenarios=scenarios,
        **options,
    )
