"""Counter-based random numbers: a draw is a function of (episode key, stream, two indices).

Whatever is drawn while an episode runs must not depend on what the policy did before, or two policies given the same
seed would face different days. A counter-based generator gives every (job, slot) or (node, slot) its own number
without storing a table of them. The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from psgym.envs.cluster.jit import kernel

RESTART, SPEED_NOISE, NODE_FAILURE, NODE_REPAIR, SERVER_FAILURE, SERVER_REPAIR, PLACEMENT, INITIAL_COPIES = range(8)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


@kernel
def _mixed(x: Any) -> Any:
    x = (x ^ (x >> _S30)) * _MIX_A
    x = (x ^ (x >> _S27)) * _MIX_B
    return x ^ (x >> _S31)


@kernel
def uniform(key: Any, stream: int, first: int, second: int) -> float:
    """A number in (0, 1) that belongs to (key, stream, first, second)."""
    x = _mixed(key + _GOLDEN * np.uint64(stream + 1))
    x = _mixed(x + _GOLDEN * np.uint64(first + 1))
    x = _mixed(x + _GOLDEN * np.uint64(second + 1))
    return (float(x >> _S11) + 0.5) / 9007199254740992.0


@kernel
def normal(key: Any, stream: int, first: int, second: int) -> float:
    """A standard normal number that belongs to (key, stream, first, second), by Box and Muller's transform."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, stream, first, 2 * second)))
    return radius * math.sin(2.0 * math.pi * uniform(key, stream, first, 2 * second + 1))


@kernel
def poisson(mean: float, rng: Any) -> int:
    """A Poisson number, by Knuth's product of uniforms, in parts small enough for the exponential not to underflow."""
    count = 0
    while mean > 0.0:
        part = min(mean, 100.0)
        mean -= part
        product, limit = rng.random(), math.exp(-part)
        while product > limit:
            count += 1
            product *= rng.random()
    return count


@kernel
def geometric(mean: float, rng: Any) -> int:
    """Number of trials up to the first success, with the given mean (at least 1)."""
    if mean <= 1.0:
        return 1
    return 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / mean))
