"""What the load of a server weighs, under the even split of reads.

A search that tries every copy of every candidate compares its sum over the servers before and after. The rules of
:mod:`psgym.replicas.rules` look at one dataset at a time: two warm datasets on one server can be worse than a hot one
alone.
"""

from numba import njit

# Weight of what happens below the target.
SLACK = 1e-3


@njit(cache=True)
def pressure(load: float, bandwidth: float, target: float, slack: float = SLACK) -> float:
    """Squared excess of a server's utilisation above a target, and a small share of its plain square.

    ``max(0, load / bandwidth - target) ** 2 + slack (load / bandwidth) ** 2``: the hinge leaves servers alone that
    have room, the square prefers two warm servers to an idle and an overloaded one, and the small second part chooses
    the idlest of those that have room.

    Args:
        load: Bytes/s asked of the server.
        bandwidth: Bytes/s that it can serve, above 0.
        target: Utilisation below which more load does no harm.
        slack: Weight of the plain square.
    """
    utilisation = load / bandwidth
    excess = max(0.0, utilisation - target)
    return excess * excess + slack * utilisation * utilisation
