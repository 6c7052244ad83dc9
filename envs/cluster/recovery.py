"""What the storage does by itself when a data server is dead: it restores the fewest copies from those that are left.

Every survivor takes part, as sources and as targets (declustered recovery), so that it takes about
``psgym.replicas.transfer.recovery_seconds``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from psgym.envs.cluster.chance import PLACEMENT, uniform
from psgym.envs.cluster.copies import may_hold, may_start_copy, start_copy
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.records import LIVE_COPY
from psgym.replicas.placement import least_loaded


@kernel
def recover(public: Any) -> None:
    """Starts the copies that dead servers make necessary, of the datasets with fewest live copies first."""
    if not _any_dead(public):
        return
    datasets, minimum = public.datasets, public.settings.minimum_copies
    for left in range(1, minimum):
        for d in range(datasets.size.shape[0]):
            if datasets.live[d] + datasets.pending[d] != left or not _lost_a_copy(public, d):
                continue
            if may_start_copy(public, d):
                target = _target(public, d)
                if target >= 0:
                    changed, changed_slot, added_slot = (
                        datasets.changed[d],
                        datasets.changed_slot[d],
                        datasets.added_slot[d],
                    )
                    start_copy(public, d, target)
                    # No decision: it neither hinders one in the slot to come, nor makes a drop a flap.
                    datasets.changed[d], datasets.changed_slot[d] = changed, changed_slot
                    datasets.added_slot[d] = added_slot


@kernel
def _is_dead(public: Any, server: int) -> bool:
    settings = public.settings
    down = (public.slot + 1 - public.servers.down_slot[server]) * settings.slot_seconds
    return not public.servers.up[server] and down >= settings.dead_after_seconds


@kernel
def _any_dead(public: Any) -> bool:
    for s in range(public.servers.up.shape[0]):
        if _is_dead(public, s):
            return True
    return False


@kernel
def _lost_a_copy(public: Any, dataset: int) -> bool:
    for s in range(public.servers.up.shape[0]):
        if public.datasets.placed[dataset, s] == LIVE_COPY and _is_dead(public, s):
            return True
    return False


@kernel
def _target(public: Any, dataset: int) -> int:
    """The server with the fewest copies in flight, so that recovery spreads over all; -1 if none may take one."""
    servers = public.servers
    for s in range(servers.up.shape[0]):
        servers.feasible[s] = may_hold(public, dataset, s)
        servers.used[s] = servers.flights[s]
        servers.tie[s] = uniform(np.uint64(0), PLACEMENT, dataset * servers.up.shape[0] + s, public.slot)
    return int(least_loaded(servers.used, servers.feasible, servers.tie))
