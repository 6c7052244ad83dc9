"""A first placement: every dataset on its minimum number of servers, as even in space as it goes."""

import numpy as np
from numba import njit

from psgym.replicas.arrays import Bools, Floats, Integers
from psgym.replicas.placement import most_free
from psgym.replicas.racks import mark_feasible


@njit(cache=True)
def pack(size: Floats, copies: Integers, capacity: Floats, rack: Integers, tie: Floats) -> Bools:
    """Place the largest datasets first, each copy on the emptiest server, the copies of a dataset on two racks.

    The order is that of longest processing time first (Graham, "Bounds on multiprocessing timing anomalies", SIAM J.
    Applied Mathematics 1969). Space is evened out, not load: nothing is known of the reads yet.

    Args:
        size: Bytes of each dataset, shape ``(datasets,)``.
        copies: Copies wanted of each, shape ``(datasets,)``.
        capacity: Bytes of each server, shape ``(servers,)``.
        rack: Rack of each server, shape ``(servers,)``.
        tie: Distinct numbers that settle equal space, shape ``(servers,)``.

    Returns:
        Where the copies are, shape ``(datasets, servers)``.

    Raises:
        ValueError: A copy fits on no server; names the dataset and the copies that did fit.
    """
    holder = np.zeros((size.shape[0], capacity.shape[0]), dtype=np.bool_)
    feasible = np.zeros(capacity.shape[0], dtype=np.bool_)
    up = np.ones(capacity.shape[0], dtype=np.bool_)
    free = capacity.copy()
    for dataset in np.argsort(-size, kind="mergesort"):
        for copy in range(copies[dataset]):
            mark_feasible(up, holder[dataset], free, size[dataset], rack, feasible)
            server = most_free(free, feasible, tie)
            if server < 0:
                raise ValueError(
                    "no server has room: (dataset, copies placed, copies wanted)", dataset, copy, copies[dataset]
                )
            holder[dataset, server] = True
            free[server] -= size[dataset]
    return holder
