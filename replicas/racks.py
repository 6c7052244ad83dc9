"""Which servers may take a copy: space, liveness and racks."""

from numba import njit

from psgym.replicas.arrays import Bools, Floats, Integers


@njit(cache=True)
def on_new_rack(server: int, holder: Bools, rack: Integers) -> bool:
    """Whether no holder stands on the server's rack.

    Args:
        server: Index of the server asked about.
        holder: Servers that hold a copy or will (in flight), shape ``(servers,)``.
        rack: Rack of each server, shape ``(servers,)``.
    """
    for other in range(holder.shape[0]):
        if holder[other] and rack[other] == rack[server]:
            return False
    return True


@njit(cache=True)
def on_one_rack(holder: Bools, rack: Integers) -> bool:
    """Whether there are holders and all of them stand on a single rack."""
    first = -1
    for server in range(holder.shape[0]):
        if not holder[server]:
            continue
        if first < 0:
            first = server
        elif rack[server] != rack[first]:
            return False
    return first >= 0


@njit(cache=True)
def mark_feasible(up: Bools, holder: Bools, free: Floats, size: float, rack: Integers, feasible: Bools) -> int:
    """Mark the servers that may take a copy, and return how many there are.

    A server qualifies if it is up, holds no copy (nor one in flight) and has room. If all copies stand on one rack
    and a server elsewhere qualifies, only the servers elsewhere do: HDFS puts the second copy on another rack.

    Args:
        up: Servers that are up, shape ``(servers,)``.
        holder: Servers that hold a copy or will (in flight), shape ``(servers,)``.
        free: Free bytes that are not reserved, shape ``(servers,)``.
        size: Bytes of the dataset.
        rack: Rack of each server, shape ``(servers,)``.
        feasible: Written, shape ``(servers,)``.
    """
    count = elsewhere = 0
    for server in range(up.shape[0]):
        feasible[server] = up[server] and not holder[server] and free[server] >= size
        if feasible[server]:
            count += 1
            if on_new_rack(server, holder, rack):
                elsewhere += 1
    if elsewhere == 0 or elsewhere == count or not on_one_rack(holder, rack):
        return count
    for server in range(up.shape[0]):
        feasible[server] = feasible[server] and on_new_rack(server, holder, rack)
    return elsewhere


@njit(cache=True)
def rack_limit(copies: int, racks: int) -> int:
    """Most copies of one dataset that HDFS puts on one rack: ``floor((n - 1) / racks) + 2``, less one if that is n.

    HDFS ``BlockPlacementPolicyDefault.getMaxNodesPerRack``; with one rack there is no limit but ``n``.

    Args:
        copies: Copies wanted, ``n``, at least 1.
        racks: Racks in the cluster, at least 1.
    """
    if racks <= 1 or copies <= 1:
        return copies
    limit = (copies - 1) // racks + 2
    return limit - 1 if limit == copies else limit
