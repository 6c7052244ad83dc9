"""How many copies: for availability, for bandwidth, under a byte budget, by Scarlett's rule."""

import math

import numpy as np
from numba import njit

from psgym.replicas.arrays import Floats, Integers

# A quotient of logarithms that is a whole number in theory may come out a hair above it.
_CEIL_GUARD = 1e-9


@njit(cache=True)
def availability(copies: int, failure_probability: float, blocks: int = 1) -> float:
    """Probability that every block has a live copy: ``A = (1 - p ** r) ** m``.

    The closed form of the sum in CDRM (Wei et al., "CDRM: a cost-effective dynamic replication management scheme for
    cloud storage cluster", IEEE CLUSTER 2010). Servers fail independently; racks that fail together break it.

    Args:
        copies: ``r``, copies of each block on distinct servers.
        failure_probability: ``p``, probability that a server is down, in (0, 1).
        blocks: ``m``, blocks that must all be readable, each placed on its own.
    """
    return math.pow(1.0 - math.pow(failure_probability, float(copies)), float(blocks))


@njit(cache=True)
def minimum_copies(availability: float, failure_probability: float, blocks: int = 1) -> int:
    """Fewest copies that reach an availability: ``r = ceil(ln(1 - A ** (1 / m)) / ln p)``.

    Args:
        availability: ``A``, wanted probability that every block can be read, in (0, 1).
        failure_probability: ``p``, probability that a server is down, in (0, 1).
        blocks: ``m``, blocks that must all be readable, at least 1.

    Raises:
        ValueError: An argument is outside its range.
    """
    if not 0.0 < availability < 1.0:
        raise ValueError("availability must lie strictly between 0 and 1, found", availability)
    if not 0.0 < failure_probability < 1.0:
        raise ValueError("failure_probability must lie strictly between 0 and 1, found", failure_probability)
    if blocks < 1:
        raise ValueError("blocks must be at least 1, found", blocks)
    block_loss = -math.expm1(math.log(availability) / blocks)
    copies = math.ceil(math.log(block_loss) / math.log(failure_probability) - _CEIL_GUARD)
    return max(1, copies)


@njit(cache=True)
def copies_for_bandwidth(demand: float, load_per_copy: float, minimum: int, maximum: int) -> int:
    """Copies that keep each below a load: ``clip(ceil(d / tau), r_min, r_max)``.

    The count at which :func:`psgym.replicas.rules.is_hot` stops adding.

    Args:
        demand: Bytes/s read, measured or forecast.
        load_per_copy: ``tau``, bytes/s that one copy may put on its server, above 0.
        minimum: Fewest copies.
        maximum: Most copies, at most the number of servers.
    """
    wanted = demand / load_per_copy
    if wanted >= maximum:
        return maximum
    return max(minimum, math.ceil(wanted - _CEIL_GUARD))


@njit(cache=True)
def queue_aware_copies(heat: float, announced: float, load_per_copy: float, minimum: int, maximum: int) -> int:
    """Copies for what is read and what waiting jobs will read: :func:`copies_for_bandwidth` of ``h + announced``.

    Args:
        heat: Bytes/s read now.
        announced: Bytes/s that the visible queue of jobs will add.
        load_per_copy: Bytes/s that one copy may put on its server, above 0.
        minimum: Fewest copies.
        maximum: Most copies.
    """
    return copies_for_bandwidth(heat + announced, load_per_copy, minimum, maximum)


@njit(cache=True)
def load_variation(demand: Floats, copies: Integers, servers: int) -> float:
    """Expected coefficient of variation of the servers' loads under random placement and even split.

    ``sqrt(S sum_i d_i ** 2 / r_i (1 - r_i / S)) / sum_i d_i``: a dataset puts ``d / r`` on each of ``r`` out of ``S``
    servers drawn without replacement, independently of the others.

    Args:
        demand: Bytes/s read of each dataset, shape ``(datasets,)``.
        copies: Copies of each, at least 1, shape ``(datasets,)``.
        servers: Number of servers, ``S``.
    """
    total = variance = 0.0
    for dataset in range(demand.shape[0]):
        total += demand[dataset]
        count = float(copies[dataset])
        variance += demand[dataset] * demand[dataset] / count * (1.0 - count / servers)
    return math.sqrt(servers * variance) / total if total > 0.0 else 0.0


@njit(cache=True)
def copy_gain(demand: float, copies: int, size: float) -> float:
    """What one more copy takes off ``sum d ** 2 / r``, per byte: ``d ** 2 / (r (r + 1) size)``."""
    return demand * demand / (copies * (copies + 1.0) * size)


@njit(cache=True)
def copies_under_budget(demand: Floats, size: Floats, budget: float, minimum: int, maximum: int) -> Integers:
    """Counts that even out the load best within a byte budget, copy by copy where :func:`copy_gain` is largest.

    Minimising :func:`load_variation` for ``r << S`` under ``sum size r = budget`` gives ``r_i ~ d_i / sqrt(size_i)``
    (Lagrange); adding copies greedily is its whole-number form. A dataset whose next copy no longer fits is passed
    over; equal gains go to the lower index.

    Args:
        demand: Bytes/s read of each dataset, shape ``(datasets,)``.
        size: Bytes of each, above 0, shape ``(datasets,)``.
        budget: Bytes that all copies together may occupy.
        minimum: Copies that each dataset has in any case, at least 1.
        maximum: Most copies of a dataset, at most the number of servers.

    Returns:
        Copies of each dataset, shape ``(datasets,)``.

    Raises:
        ValueError: The minimum alone exceeds the budget.
    """
    copies = np.full(demand.shape[0], minimum, dtype=np.int64)
    left = budget
    for dataset in range(size.shape[0]):
        left -= minimum * size[dataset]
    if left < 0.0:
        raise ValueError("budget is too small for the minimum copies, bytes missing:", -left)
    while True:
        best, best_gain = -1, 0.0
        for dataset in range(demand.shape[0]):
            if copies[dataset] >= maximum or size[dataset] > left:
                continue
            gain = copy_gain(demand[dataset], copies[dataset], size[dataset])
            if gain > best_gain:
                best, best_gain = dataset, gain
        if best < 0:
            return copies
        copies[best] += 1
        left -= size[best]
