"""What the servers carry when the reads of a dataset split evenly over its copies.

The even split is an assumption on which everything else rests: a router that sends each read to the least-loaded copy
balances the servers by itself and leaves little to replica management.
"""

import numpy as np
from numba import njit

from psgym.replicas.arrays import Bools, Floats


@njit(cache=True)
def add_server_load(demand: Floats, holder: Bools, load: Floats) -> float:
    """Add ``sum d_i / r_i`` over the datasets a server holds to each server's load; return what no copy can serve.

    Args:
        demand: Bytes/s read of each dataset, shape ``(datasets,)``.
        holder: Live copies, shape ``(datasets, servers)``.
        load: Bytes/s of each server, added to, shape ``(servers,)``.
    """
    unavailable = 0.0
    for dataset in range(demand.shape[0]):
        copies = 0
        for server in range(load.shape[0]):
            copies += int(holder[dataset, server])
        if copies == 0:
            unavailable += demand[dataset]
            continue
        share = demand[dataset] / copies
        for server in range(load.shape[0]):
            if holder[dataset, server]:
                load[server] += share
    return unavailable


@njit(cache=True)
def server_load(demand: Floats, holder: Bools) -> Floats:
    """Bytes/s of each server, ``sum d_i / r_i`` over the datasets it holds, shape ``(servers,)``.

    Args:
        demand: Bytes/s read of each dataset, shape ``(datasets,)``.
        holder: Live copies, shape ``(datasets, servers)``.
    """
    load = np.zeros(holder.shape[1], dtype=np.float64)
    add_server_load(demand, holder, load)
    return load


@njit(cache=True)
def max_over_mean(load: Floats) -> float:
    """Imbalance: load of the busiest server over the mean, 1 for an even load and for no load at all."""
    total = largest = 0.0
    for server in range(load.shape[0]):
        total += load[server]
        largest = max(largest, load[server])
    return largest * load.shape[0] / total if total > 0.0 else 1.0
