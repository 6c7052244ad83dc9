"""How long copies take: the share of bandwidth they get, one copy, and the recovery of a lost server."""

from numba import njit

# Largest share of a server's bandwidth that copies may take from reads.
COPY_SHARE = 0.25


@njit(cache=True)
def copy_rate(
    source_bandwidth: float, source_copies: int, target_bandwidth: float, target_copies: int, share: float
) -> float:
    """Bytes/s of one copy: the smaller of what its two ends give it, ``min(a b_s / n_s, a b_t / n_t)``.

    Args:
        source_bandwidth: ``b_s``, bytes/s of the server read from.
        source_copies: ``n_s``, copies that the source takes part in, this one included.
        target_bandwidth: ``b_t``, bytes/s of the server written to.
        target_copies: ``n_t``, copies that the target takes part in, this one included.
        share: ``a``, share of its bandwidth that a server gives to copies, :data:`COPY_SHARE` by default elsewhere.
    """
    return share * min(source_bandwidth / source_copies, target_bandwidth / target_copies)


@njit(cache=True)
def recovery_seconds(
    lost_bytes: float, bandwidth: float, share: float, servers: int, declustered: bool, shared: bool = False
) -> float:
    """Time to copy again what a lost server held: ``lost / ((S - 1) a b)`` when all survivors take part.

    Declustered placement lets every survivor rebuild a part; without it a single spare server takes everything,
    ``lost / (a b)``. Where a server's share of bandwidth counts what it reads and what it writes together, as
    in the environments, survivors that do both take twice as long.

    Args:
        lost_bytes: Bytes that the lost server held.
        bandwidth: ``b``, bytes/s of each server.
        share: ``a``, share of its bandwidth that a server gives to copies.
        servers: ``S``, servers before the loss, at least 2.
        declustered: Whether the copies of its data are spread over all survivors.
        shared: Whether reading and writing share the share.
    """
    writers = servers - 1 if declustered else 1
    seconds = lost_bytes / (writers * share * bandwidth)
    return 2.0 * seconds if declustered and shared else seconds
