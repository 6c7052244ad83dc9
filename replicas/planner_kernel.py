"""The decisions of :class:`psgym.replicas.planner.HotColdPlanner` at the end of one interval."""

from typing import NamedTuple

import numpy as np
from numba import njit

from psgym.replicas.arrays import Bools, Floats, Integers
from psgym.replicas.load import add_server_load
from psgym.replicas.placement import copy_source, copy_to_drop, least_loaded
from psgym.replicas.racks import mark_feasible
from psgym.replicas.rules import has_cooled_down, is_cold, is_hot
from psgym.replicas.transfer import copy_rate

DROPPED = 0
ADDED = 1


class Limits(NamedTuple):
    """The numbers of the rule."""

    threshold: float
    """Bytes/s per copy above which a dataset is hot."""
    eta: float
    """Share of the threshold below which the copies that a drop leaves are cold."""
    minimum: int
    """Copies that no dataset falls below."""
    cooldown: float
    """Seconds between two changes of one dataset."""
    copy_share: float
    """Share of bandwidth that a copy takes."""


class State(NamedTuple):
    """Datasets, servers and copies; the kernels change the last five arrays in place."""

    size: Floats
    """Bytes of each dataset, shape ``(datasets,)``."""
    capacity: Floats
    """Bytes of each server, shape ``(servers,)``."""
    bandwidth: Floats
    """Bytes/s of each server, shape ``(servers,)``."""
    rack: Integers
    """Rack of each server, shape ``(servers,)``."""
    heat: Floats
    """Bytes/s of each dataset, shape ``(datasets,)``."""
    ready_at: Floats
    """Time from which each copy can be read, infinite where there is none, shape ``(datasets, servers)``."""
    changed_at: Floats
    """Time of the last change of each dataset, shape ``(datasets,)``."""
    busy_until: Floats
    """Time at which each server's last copy ends, shape ``(servers,)``."""
    free: Floats
    """Bytes of each server neither used nor reserved, shape ``(servers,)``."""
    load: Floats
    """Bytes/s of each server once all copies in flight have arrived, shape ``(servers,)``."""


@njit(cache=True)
def decide(state: State, limits: Limits, now: float, tie: Floats) -> Integers:
    """Drop one copy of every cold dataset, then add one to every hot one, the hottest per copy first.

    Args:
        state: Heat up to now and the copies, which are changed.
        limits: The numbers of the rule.
        now: Time of the decision, seconds.
        tie: Distinct numbers that settle equal loads, shape ``(servers,)``.

    Returns:
        One row for each change, in order: :data:`ADDED` or :data:`DROPPED`, dataset, server, source (-1 for a drop).
    """
    events = np.empty((2 * state.size.shape[0], 4), dtype=np.int64)
    state.load[:] = 0.0
    add_server_load(state.heat, state.ready_at < np.inf, state.load)
    happened = _drop_cold(state, limits, now, tie, events)
    happened = _add_hot(state, limits, now, tie, events, happened)
    return events[:happened]


@njit(cache=True)
def _drop_cold(state: State, limits: Limits, now: float, tie: Floats, events: Integers) -> int:
    """Drop a copy of every dataset that stays cool without it; return the number of events."""
    happened = 0
    for dataset in range(state.size.shape[0]):
        live = state.ready_at[dataset] <= now
        copies = _count(live)
        in_flight = _count(state.ready_at[dataset] < np.inf) > copies
        if in_flight or not is_cold(state.heat[dataset], copies, limits.minimum, limits.threshold, limits.eta):
            continue
        if not has_cooled_down(now - state.changed_at[dataset], limits.cooldown):
            continue
        used_fraction = 1.0 - state.free / state.capacity
        server = copy_to_drop(state.load / state.bandwidth, used_fraction, live, state.rack, None, tie)
        _change(state, dataset, server, np.inf, now)
        events[happened] = (DROPPED, dataset, server, -1)
        happened += 1
    return happened


@njit(cache=True)
def _add_hot(state: State, limits: Limits, now: float, tie: Floats, events: Integers, happened: int) -> int:
    """Start a copy of every hot dataset for which there is a source and room; return the number of events."""
    copies = np.zeros(state.size.shape[0], dtype=np.int64)
    for dataset in range(copies.shape[0]):
        copies[dataset] = _count(state.ready_at[dataset] < np.inf)
    feasible = np.zeros(state.capacity.shape[0], dtype=np.bool_)
    for dataset in np.argsort(-state.heat / np.maximum(copies, 1), kind="mergesort"):
        if not is_hot(state.heat[dataset], copies[dataset], limits.threshold):
            break
        if not has_cooled_down(now - state.changed_at[dataset], limits.cooldown):
            continue
        idle = state.busy_until <= now
        holder = state.ready_at[dataset] < np.inf
        mark_feasible(idle, holder, state.free, state.size[dataset], state.rack, feasible)
        target = least_loaded(state.load / state.bandwidth, feasible, tie)
        source = copy_source(state.load / state.bandwidth, idle & (state.ready_at[dataset] <= now), tie)
        if target < 0 or source < 0:
            continue
        rate = copy_rate(state.bandwidth[source], 1, state.bandwidth[target], 1, limits.copy_share)
        ready = now + state.size[dataset] / rate
        state.busy_until[source] = state.busy_until[target] = ready
        _change(state, dataset, target, ready, now)
        events[happened] = (ADDED, dataset, target, source)
        happened += 1
    return happened


@njit(cache=True)
def _change(state: State, dataset: int, server: int, ready_at: float, now: float) -> None:
    """Add (finite ``ready_at``) or drop (infinite) a copy, with its space and its part of the load."""
    _share_load(state, dataset, -1.0)
    state.ready_at[dataset, server] = ready_at
    _share_load(state, dataset, 1.0)
    state.free[server] += state.size[dataset] if ready_at == np.inf else -state.size[dataset]
    state.changed_at[dataset] = now


@njit(cache=True)
def _share_load(state: State, dataset: int, sign: float) -> None:
    """Add or take away what a dataset puts on its holders."""
    holder = state.ready_at[dataset] < np.inf
    per_copy = sign * state.heat[dataset] / _count(holder)
    for server in range(holder.shape[0]):
        if holder[server]:
            state.load[server] += per_copy


@njit(cache=True)
def _count(marks: Bools) -> int:
    """Number of true entries."""
    count = 0
    for index in range(marks.shape[0]):
        count += int(marks[index])
    return count
