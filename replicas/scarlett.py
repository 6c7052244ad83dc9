"""Scarlett: copies from the most concurrent accesses of a learning window, within a storage budget.

Ananthanarayanan et al., "Scarlett: coping with skewed content popularity in MapReduce clusters", EuroSys 2011. Its
popularity is the largest number of concurrent accesses in the last 24 h, learnt anew every 12 h; the formula and the
numbers are as other papers report them. Where the accesses come interval by interval,
:func:`psgym.replicas.heat.windowed_maximum` keeps the learning window.
"""

import numpy as np
from numba import njit

from psgym.replicas.arrays import Floats, Integers


@njit(cache=True)
def peak_concurrency(
    start: Floats, end: Floats, dataset: Integers, datasets: int, window_start: float, window_end: float
) -> Integers:
    """Most reads of each dataset in progress at one time within a learning window.

    Args:
        start: Time at which each read starts, shape ``(reads,)``.
        end: Time at which it ends, later than it starts and excluded, shape ``(reads,)``.
        dataset: Index of the dataset read, shape ``(reads,)``.
        datasets: Number of datasets.
        window_start: Start of the learning window, included.
        window_end: End of the learning window, excluded.

    Returns:
        Reads at the busiest time of each dataset, shape ``(datasets,)``.

    Raises:
        ValueError: A read ends no later than it starts; names the read.
    """
    reads = start.shape[0]
    running = np.zeros(datasets, dtype=np.int64)
    peak = np.zeros(datasets, dtype=np.int64)
    # Ends stand before starts, and the sort is stable: of two events at one time the end comes first.
    for event in np.argsort(np.concatenate((end, start)), kind="mergesort"):
        read = event % reads
        if end[read] <= start[read]:
            raise ValueError("a read must end later than it starts, found one that does not, number", read)
        if end[read] <= window_start or start[read] >= window_end:
            continue
        running[dataset[read]] += 1 if event >= reads else -1
        peak[dataset[read]] = max(peak[dataset[read]], running[dataset[read]])
    return peak


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
