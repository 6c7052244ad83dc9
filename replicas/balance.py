"""What one more or one less copy does to the balance of the servers, under the even split of reads.

A search that tries every copy of every candidate asks only these questions. They look at the servers, where the rules
of :mod:`psgym.replicas.rules` look at one dataset at a time: two warm datasets on one server can be worse than a hot
one alone.
"""

from numba import njit

from psgym.replicas.arrays import Bools, Floats

# Weight of what happens below the target.
SLACK = 1e-3


@njit(cache=True)
def pressure(load: float, bandwidth: float, target: float) -> float:
    """Squared excess of a server's utilisation above a target, and a thousandth of its plain square.

    ``max(0, load / bandwidth - target) ** 2 + .001 (load / bandwidth) ** 2``: the hinge leaves servers alone that have
    room, the square prefers two warm servers to an idle and an overloaded one, and the small second part chooses the
    idlest of those that have room.

    Args:
        load: Bytes/s asked of the server.
        bandwidth: Bytes/s that it can serve, above 0.
        target: Utilisation below which more load does no harm.
    """
    utilisation = load / bandwidth
    excess = max(0.0, utilisation - target)
    return excess * excess + SLACK * utilisation * utilisation


@njit(cache=True)
def relief_of_copy(
    demand: float, copies: int, holder: Bools, server: int, load: Floats, bandwidth: Floats, target: float
) -> float:
    """Pressure that a copy of a dataset on one more server takes off all servers; negative if it adds some.

    Each of ``r`` holders falls from ``d / r`` to ``d / (r + 1)``, and the new one rises by that.

    Args:
        demand: Bytes/s read of the dataset, ``d``.
        copies: Servers that hold it, ``r``; without any there is no relief to speak of, and the answer is 0.
        holder: Servers that hold it, shape ``(servers,)``.
        server: The one that would, too.
        load: Bytes/s of each server, shape ``(servers,)``.
        bandwidth: Bytes/s that each can serve, shape ``(servers,)``.
        target: As for :func:`pressure`.
    """
    if copies == 0:
        return 0.0
    share = demand / (copies + 1)
    less = demand / copies - share
    relief = pressure(load[server], bandwidth[server], target)
    relief -= pressure(load[server] + share, bandwidth[server], target)
    for other in range(holder.shape[0]):
        if holder[other]:
            relief += pressure(load[other], bandwidth[other], target)
            relief -= pressure(load[other] - less, bandwidth[other], target)
    return relief


@njit(cache=True)
def relief_of_drop(
    demand: float, copies: int, holder: Bools, server: int, load: Floats, bandwidth: Floats, target: float
) -> float:
    """Pressure that dropping the copy on a server takes off all servers; usually negative.

    The server falls by ``d / r``, each other holder rises from ``d / r`` to ``d / (r - 1)``. Arguments as for
    :func:`relief_of_copy`, with at least two copies and ``server`` one of the holders.
    """
    share = demand / copies
    more = demand / (copies - 1) - share
    relief = pressure(load[server], bandwidth[server], target)
    relief -= pressure(load[server] - share, bandwidth[server], target)
    for other in range(holder.shape[0]):
        if holder[other] and other != server:
            relief += pressure(load[other], bandwidth[other], target)
            relief -= pressure(load[other] + more, bandwidth[other], target)
    return relief
