"""Where a new copy goes, where it is copied from, and which copy is dropped.

Every function returns the index of a server, or -1 when none qualifies. Equal candidates are settled by ``tie``, the
smallest number first, and never by the index: with distinct numbers, relabelling the servers relabels the choice.
Numbers drawn anew for every dataset and slot (a hash will do) also spread the copies of equal servers.

A prototype of the storage environment, with 20 servers under a tuned threshold rule, measured (reads stalled, 99th
percentile of latency): least-loaded 1.22 %, 3.10 s; weighted 1.26 %, 3.23 s; power of two 1.29 %, 3.45 s; random
1.63 %, 3.93 s; most free 2.65 %, 4.96 s. The emptiest server is not the idlest one, and it stays the emptiest for many
copies in a row.
"""

import math

from numba import njit

from psgym.replicas.arrays import Bools, Floats, Integers, Ties


@njit(cache=True)
def _comes_first(server: int, best: int, measure: Floats, tie: Ties) -> bool:
    """Whether a server has a smaller measure than the best so far, or an equal one and a smaller tie number."""
    if measure[server] == measure[best]:
        return bool(tie[server] < tie[best])
    return bool(measure[server] < measure[best])


@njit(cache=True)
def least_loaded(utilisation: Floats, feasible: Bools, tie: Ties) -> int:
    """The feasible server of least utilisation.

    Args:
        utilisation: Load over bandwidth, or any measure of load, shape ``(servers,)``.
        feasible: Servers that may take the copy, shape ``(servers,)``.
        tie: Distinct numbers that settle ties, shape ``(servers,)``.
    """
    best = -1
    for server in range(feasible.shape[0]):
        if feasible[server] and (best < 0 or _comes_first(server, best, utilisation, tie)):
            best = server
    return best


@njit(cache=True)
def weighted_score(utilisation: float, free_fraction: float, new_rack: bool) -> float:
    """``.5 (1 - utilisation) + .3 free + .2 new rack``: idle first, then empty, then on another rack."""
    score = 0.5 * (1.0 - utilisation) + 0.3 * free_fraction
    return score + 0.2 if new_rack else score


@njit(cache=True)
def weighted(utilisation: Floats, free_fraction: Floats, new_rack: Bools, feasible: Bools, tie: Ties) -> int:
    """The feasible server of highest :func:`weighted_score`.

    Args:
        utilisation: Load over bandwidth, in [0, 1], shape ``(servers,)``.
        free_fraction: Free over total capacity, shape ``(servers,)``.
        new_rack: Servers on a rack that holds no copy yet (:func:`on_new_rack`), shape ``(servers,)``.
        feasible: Servers that may take the copy, shape ``(servers,)``.
        tie: Distinct numbers that settle ties, shape ``(servers,)``.
    """
    best, best_score = -1, -math.inf
    for server in range(feasible.shape[0]):
        if not feasible[server]:
            continue
        score = weighted_score(utilisation[server], free_fraction[server], new_rack[server])
        if best < 0 or score > best_score or (score == best_score and tie[server] < tie[best]):
            best, best_score = server, score
    return best


@njit(cache=True)
def random_choice(feasible: Bools, tie: Ties) -> int:
    """A random feasible server: the one of the smallest tie number, which must be drawn afresh for every call."""
    best = -1
    for server in range(feasible.shape[0]):
        if feasible[server] and (best < 0 or tie[server] < tie[best]):
            best = server
    return best


@njit(cache=True)
def power_of_two(utilisation: Floats, feasible: Bools, tie: Ties) -> int:
    """The less loaded of two random feasible servers, those of the two smallest tie numbers.

    Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 2001.
    """
    first = random_choice(feasible, tie)
    second = -1
    for server in range(feasible.shape[0]):
        if feasible[server] and server != first and (second < 0 or tie[server] < tie[second]):
            second = server
    if second >= 0 and utilisation[second] < utilisation[first]:
        return second
    return first


@njit(cache=True)
def most_free(free: Floats, feasible: Bools, tie: Ties) -> int:
    """The feasible server with the most free space (bytes or fraction), the worst placement measured."""
    best = -1
    for server in range(feasible.shape[0]):
        if not feasible[server]:
            continue
        tied = best >= 0 and free[server] == free[best]
        if best < 0 or free[server] > free[best] or (tied and tie[server] < tie[best]):
            best = server
    return best


@njit(cache=True)
def copy_source(utilisation: Floats, holder: Bools, tie: Ties | None = None) -> int:
    """The least-loaded holder, from which a new copy is read; without ``tie`` equal holders are taken by index.

    Args:
        utilisation: Load over bandwidth, shape ``(servers,)``.
        holder: Servers that are up and hold a complete copy, shape ``(servers,)``.
        tie: Distinct numbers that settle ties, shape ``(servers,)``.
    """
    if tie is not None:
        return least_loaded(utilisation, holder, tie)
    best = -1
    for server in range(holder.shape[0]):
        if holder[server] and (best < 0 or utilisation[server] < utilisation[best]):
            best = server
    return best


@njit(cache=True)
def _spans_racks_without(dropped: int, holder: Bools, rack: Integers) -> bool:
    """Whether the holders other than one stand on at least two racks."""
    first_rack = -1
    for server in range(holder.shape[0]):
        if holder[server] and server != dropped:
            if first_rack >= 0 and rack[server] != first_rack:
                return True
            first_rack = rack[server]
    return False


@njit(cache=True)
def copy_to_drop(
    utilisation: Floats,
    used_fraction: Floats,
    holder: Bools,
    rack: Integers,
    droppable: Bools | None = None,
    tie: Ties | None = None,
) -> int:
    """The holder of greatest ``utilisation + used fraction`` whose loss leaves copies on two racks.

    Where no drop leaves two racks, the greatest of all. Keeping racks is HDFS's rule for excess copies
    (``BlockPlacementPolicyDefault``), which then looks at free space alone.

    Args:
        utilisation: Load over bandwidth, shape ``(servers,)``.
        used_fraction: Used over total capacity, shape ``(servers,)``.
        holder: Servers that are up and hold a complete copy, shape ``(servers,)``.
        rack: Rack of each server, at least 0, shape ``(servers,)``.
        droppable: Holders whose copy may go (not the source of a copy in flight); all when omitted.
        tie: Distinct numbers that settle ties; without them equal holders are taken by index.
    """
    best, best_score, best_keeps_racks = -1, 0.0, False
    for server in range(holder.shape[0]):
        if not holder[server]:
            continue
        if droppable is not None and not droppable[server]:
            continue
        keeps_racks = _spans_racks_without(server, holder, rack)
        score = utilisation[server] + used_fraction[server]
        better = best < 0 or (keeps_racks and not best_keeps_racks)
        if not better and keeps_racks == best_keeps_racks:
            better = score > best_score
            if tie is not None and score == best_score:
                better = tie[server] < tie[best]
        if better:
            best, best_score, best_keeps_racks = server, score, keeps_racks
    return best
