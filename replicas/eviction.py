"""Which dataset gives up a copy when a full server must take another: LRU, LFU and LRFU fill.

The classic caches differ only in the score: the time of the last read (LRU), the number of reads (LFU), the combined
value of :func:`psgym.replicas.heat.decayed_crf` (LRFU).
"""

from numba import njit

from psgym.replicas.arrays import Bools, Floats, Integers, Ties


@njit(cache=True)
def dataset_to_evict(score: Floats, copies: Integers, minimum: int, evictable: Bools, tie: Ties) -> int:
    """The dataset of least score whose copy on a server may go, or -1 when none may.

    Args:
        score: Worth of keeping each dataset, shape ``(datasets,)``.
        copies: Live copies of each, shape ``(datasets,)``.
        minimum: Copies that no dataset may fall below.
        evictable: Datasets with a copy on the server that is not the source of a copy in flight.
        tie: Distinct numbers that settle ties, shape ``(datasets,)``.
    """
    best = -1
    for dataset in range(score.shape[0]):
        if not evictable[dataset] or copies[dataset] <= minimum:
            continue
        tied = best >= 0 and score[dataset] == score[best]
        if best < 0 or score[dataset] < score[best] or (tied and tie[dataset] < tie[best]):
            best = dataset
    return best
