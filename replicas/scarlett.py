"""Scarlett: copies from the most concurrent accesses of a learning window, within a storage budget.

Ananthanarayanan et al., "Scarlett: coping with skewed content popularity in MapReduce clusters", EuroSys 2011.
"""

import numpy as np
from numba import njit

from psgym.replicas.arrays import Floats, Integers


@njit(cache=True)
def scarlett_wish(concurrent: int, delta: int, minimum: int, maximum: int) -> int:
    """Copies that Scarlett wants: ``max(c + delta, r_min)``, at most one per server.

    Args:
        concurrent: ``c``, most accesses at one time in the learning window.
        delta: Spare copies, 1 in the paper.
        minimum: ``r_min``, 3 in the paper.
        maximum: Number of servers.
    """
    return min(max(concurrent + delta, minimum), maximum)


@njit(cache=True)
def scarlett_counts(
    concurrent: Integers, size: Floats, extra_budget: float, delta: int, minimum: int, maximum: int, round_robin: bool
) -> Integers:
    """Copies of each dataset within a budget of bytes on top of the minimum.

    The largest datasets come first, as in the paper, since reads of large files gain most; equal sizes in order of
    index. By priority a dataset gets all the copies it wishes for (or all that fit) before the next gets any; by round
    robin each gets one more per pass.

    Args:
        concurrent: Most accesses at one time in the learning window, shape ``(datasets,)``.
        size: Bytes of each dataset, above 0, shape ``(datasets,)``.
        extra_budget: Bytes for copies beyond the minimum; 10 % of the storage in the paper.
        delta: Spare copies, 1 in the paper.
        minimum: Copies that each dataset has in any case, 3 in the paper.
        maximum: Number of servers.
        round_robin: One copy per pass instead of by priority.

    Returns:
        Copies of each dataset, shape ``(datasets,)``.
    """
    copies = np.full(concurrent.shape[0], minimum, dtype=np.int64)
    order = np.argsort(-size, kind="mergesort")
    left = extra_budget
    granted = True
    while granted:
        granted = False
        for dataset in order:
            wish = scarlett_wish(concurrent[dataset], delta, minimum, maximum)
            while copies[dataset] < wish and size[dataset] <= left:
                copies[dataset] += 1
                left -= size[dataset]
                granted = True
                if round_robin:
                    break
    return copies
