"""Copies of datasets: where a new one may go, which may be dropped, and the bookkeeping of both."""

from __future__ import annotations

from typing import Any

import numpy as np

from psgym.envs.cluster.chance import PLACEMENT, uniform
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.records import IN_FLIGHT, LIVE_COPY, NO_COPY
from psgym.replicas.placement import copy_source, copy_to_drop, least_loaded


@kernel
def may_hold(public: Any, dataset: int, server: int) -> bool:
    """Whether a server may take a copy: up, without one, with room, and not on the only rack of complete ones.

    Those in flight do not count, since an outage may yet end them.
    """
    return _has_room(public, dataset, server) and public.servers.rack[server] != _crowded_rack(public, dataset)


@kernel
def _has_room(public: Any, dataset: int, server: int) -> bool:
    servers, datasets = public.servers, public.datasets
    new = (datasets.placed[dataset, server] == NO_COPY) & (servers.up[server] != 0)
    return new & (servers.stored[server] + datasets.size[dataset] <= servers.capacity[server])


@kernel
def _crowded_rack(public: Any, dataset: int) -> int:
    """The rack that may take no copy because all complete ones stand on it; -1 if there is none such."""
    return _only_rack(public, dataset, -1) if public.settings.racks > 1 else -1


@kernel
def _only_rack(public: Any, dataset: int, without: int) -> int:
    """The rack on which all complete copies of a dataset stand, one of them left out; -1 if several or none."""
    first, last = public.settings.racks, -1
    for s in range(public.servers.up.shape[0]):  # without branches: where copies stand is hard to predict
        counts = (public.datasets.placed[dataset, s] == LIVE_COPY) & (s != without)
        rack = int64(public.servers.rack[s])
        first = min(first, rack) if counts else first
        last = max(last, rack) if counts else last
    return last if first == last else -1


@kernel
def may_start_copy(public: Any, dataset: int) -> bool:
    """Whether a copy of a dataset has a source and a place among the copies in flight."""
    return public.datasets.live[dataset] > 0 and public.flight_count < public.settings.max_flights


@kernel
def may_drop(public: Any, dataset: int, server: int) -> bool:
    """Whether a copy may go: live, not the last live one, not the source of one in flight, nor all that spans racks.

    Two or more copies that stand on several racks never come to stand on one, even if an outage ends those in flight.
    """
    if public.datasets.placed[dataset, server] != LIVE_COPY or not public.servers.up[server]:
        return False
    if public.datasets.live[dataset] < 2:
        return False
    if public.servers.flights[server] > 0 and _is_source(public, dataset, server):
        return False
    if public.settings.racks < 2 or public.datasets.copies[dataset] + public.datasets.pending[dataset] < 3:
        return True
    return _only_rack(public, dataset, server) < 0 or _only_rack(public, dataset, -1) >= 0


@kernel
def _is_source(public: Any, dataset: int, server: int) -> bool:
    for f in range(public.flight_count):
        flight = public.flights[f]
        if flight.dataset == dataset and flight.source == server:
            return True
    return False


@kernel
def has_target(public: Any, dataset: int) -> bool:
    """Whether any server may take a copy of a dataset that may be copied."""
    crowded, found = _crowded_rack(public, dataset), False
    for s in range(public.servers.up.shape[0]):
        found |= (public.servers.rack[s] != crowded) & _has_room(public, dataset, s)
    return found


@kernel
def has_drop(public: Any, dataset: int) -> bool:
    """Whether any copy of a dataset may go."""
    datasets = public.datasets
    if datasets.live[dataset] < 2:
        return False
    if datasets.copies[dataset] < 3 and datasets.pending[dataset] == 0:
        return True  # two live copies of which none is a source
    for s in range(public.servers.up.shape[0]):
        if may_drop(public, dataset, s):
            return True
    return False


@kernel
def choose_target(public: Any, dataset: int) -> int:
    """The least-loaded server that may take a copy; -1 if none may."""
    servers = public.servers
    if not may_start_copy(public, dataset):
        return -1
    crowded = _crowded_rack(public, dataset)
    for s in range(servers.up.shape[0]):
        servers.feasible[s] = servers.rack[s] != crowded and _has_room(public, dataset, s)
        # A tie needs no secret, only numbers that favour no server; so the key is a constant.
        servers.tie[s] = uniform(np.uint64(0), PLACEMENT, dataset * servers.up.shape[0] + s, public.slot)
    return int(least_loaded(servers.utilisation, servers.feasible, servers.tie))


@kernel
def choose_drop(public: Any, dataset: int) -> int:
    """The server that loses its copy: busiest and fullest, racks kept apart; -1 if none may."""
    servers = public.servers
    any_feasible = False
    for s in range(servers.up.shape[0]):
        servers.holder[s] = public.datasets.placed[dataset, s] == LIVE_COPY and servers.up[s]
        servers.feasible[s] = may_drop(public, dataset, s)
        servers.used[s] = servers.stored[s] / servers.capacity[s]
        servers.tie[s] = uniform(np.uint64(0), PLACEMENT, dataset * servers.up.shape[0] + s, public.slot)
        any_feasible = any_feasible or servers.feasible[s]
    if not any_feasible:
        return -1
    return int(
        copy_to_drop(servers.utilisation, servers.used, servers.holder, servers.rack, servers.feasible, servers.tie)
    )


@kernel
def source_of(public: Any, dataset: int) -> int:
    """The server that a copy of a dataset would be read from: the least-loaded holder; -1 if there is none."""
    servers = public.servers
    for s in range(servers.up.shape[0]):
        servers.holder[s] = (public.datasets.placed[dataset, s] == LIVE_COPY) & servers.up[s]
    return int(copy_source(servers.utilisation, servers.holder))


@kernel
def start_copy(public: Any, dataset: int, target: int) -> None:
    """Starts a copy to a server that may hold it, from the least-loaded holder; reserves the space at once."""
    servers, datasets = public.servers, public.datasets
    source = source_of(public, dataset)
    flight = public.flights[public.flight_count]
    flight.dataset, flight.source, flight.target = dataset, source, target
    flight.remaining = datasets.size[dataset]
    public.flight_count += 1
    datasets.placed[dataset, target] = IN_FLIGHT
    datasets.pending[dataset] += 1
    datasets.changed[dataset] = 1
    datasets.changed_slot[dataset] = public.slot
    datasets.added_slot[dataset] = public.slot
    servers.stored[target] += datasets.size[dataset]
    servers.flights[source] += 1
    servers.flights[target] += 1


@kernel
def drop_copy(public: Any, dataset: int, server: int) -> None:
    """Drops a copy that may go."""
    datasets = public.datasets
    datasets.placed[dataset, server] = NO_COPY
    datasets.copies[dataset] -= 1
    datasets.live[dataset] -= 1
    datasets.unlisted[dataset] = True
    datasets.changed[dataset] = -1
    datasets.changed_slot[dataset] = public.slot
    public.servers.stored[server] -= datasets.size[dataset]


@kernel
def end_flight(public: Any, index: int, complete: bool) -> None:
    """Ends a copy in flight: it becomes live, or is given up and its reservation freed."""
    servers, datasets = public.servers, public.datasets
    flight = public.flights[index]
    dataset, target = flight.dataset, flight.target
    servers.flights[flight.source] -= 1
    servers.flights[target] -= 1
    datasets.pending[dataset] -= 1
    if complete:
        datasets.placed[dataset, target] = LIVE_COPY
        datasets.copies[dataset] += 1
        datasets.live[dataset] += 1
        datasets.unlisted[dataset] = True
    else:
        datasets.placed[dataset, target] = NO_COPY
        servers.stored[target] -= datasets.size[dataset]
    public.flight_count -= 1
    last = public.flights[public.flight_count]
    flight.dataset, flight.source, flight.target = last.dataset, last.source, last.target
    flight.remaining = last.remaining
