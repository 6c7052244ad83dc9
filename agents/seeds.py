"""Three disjoint ranges of seeds: to train on, to choose by, and to report."""

from __future__ import annotations

from typing import Literal

import numpy as np

Part = Literal["train", "validation", "test"]

RANGE = 2**30
"""Seeds in a part."""
FIRST_SEEDS: dict[Part, int] = {"train": 0, "validation": RANGE, "test": 2 * RANGE}
"""First seed of each part."""


def episode_seeds(part: Part, seed: int, count: int) -> list[int]:
    """Return different seeds of a part, the same ones for the same `seed`.

    Raises:
        ValueError: If the seed is negative, or there is no part of that name.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed!r}")
    if part not in FIRST_SEEDS:
        raise ValueError(f"no part {part!r}; there are: {', '.join(FIRST_SEEDS)}")
    draws = np.random.default_rng([seed, list(FIRST_SEEDS).index(part)]).choice(RANGE, size=count, replace=False)
    return [FIRST_SEEDS[part] + int(draw) for draw in draws]
