"""The small decisions of each part, as codes that rules return and actions carry.

A code is 0 for "nothing more"; otherwise

* capacity: 1 up, 2 down;
* allocation: ``1 + 3 k + role`` for window job k and one more worker (0), server (1) or both (2);
* replicas: ``1 + 2 c + direction`` for candidate c and add (0) or drop (1), on a server that a heuristic picks.
"""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.capacity import node_to_start, node_to_stop, order_down, order_up
from psgym.envs.cluster.copies import (
    choose_drop,
    choose_target,
    drop_copy,
    has_drop,
    has_target,
    may_drop,
    may_hold,
    may_start_copy,
    start_copy,
)
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.placement import SERVER, WORKER, bundle_fits, place, place_bundle, task_fits

STOP = 0
UP, DOWN = 1, 2
BOTH = 2
ADD, DROP = 0, 1
FLAP_SECONDS = 600.0
"""A copy dropped within this time of an addition to the same dataset was not worth making."""


@kernel
def may_order(public: Any, code: int) -> bool:
    """Whether one node more (1) or fewer (2) may be ordered; never against an order of the same slot."""
    if code == UP:
        return public.capacity_change >= 0 and node_to_start(public) >= 0
    return public.capacity_change <= 0 and node_to_stop(public) >= 0


@kernel
def order(public: Any, code: int) -> bool:
    """Carries out a capacity code."""
    for k in range(public.window_count):
        public.best[k].known = False  # another node may bring more room
    return order_up(public) if code == UP else order_down(public)


@kernel
def may_grow(public: Any, k: int, role: int) -> bool:
    """Whether window job k may take one more worker, server or both: within its limits, and some node has room."""
    if not public.planning or k >= public.window_count:
        return False
    job, settings = public.jobs[public.window[k]], public.settings
    if role != SERVER and job.workers >= settings.max_workers:
        return False
    if role != WORKER and job.servers >= settings.max_servers:
        return False
    if role == BOTH:
        return bundle_fits(public, job.kind)
    return task_fits(public, job.kind, role)


@kernel
def first_task(servers: int, workers: int) -> int:
    """What an increment of several tasks starts with: both kinds, if it has both."""
    if servers > 0 and workers > 0:
        return BOTH
    return SERVER if servers > 0 else WORKER


@kernel
def growth_fits(public: Any, k: int, servers: int, workers: int) -> bool:
    """Whether the first step of an increment can be placed, and the free resources suffice for all of it."""
    row = public.settings.kinds[public.jobs[public.window[k]].kind]
    if workers * row.worker_cpu + servers * row.server_cpu > public.cpu_free:
        return False
    return workers * row.worker_gpu <= public.gpu_free and may_grow(public, k, first_task(servers, workers))


@kernel
def grow(public: Any, code: int) -> bool:
    """Carries out an allocation code."""
    k, role = (code - 1) // 3, (code - 1) % 3
    job = public.jobs[public.window[k]]
    public.best[k].known = False
    waited = job.workers == 0 or job.servers == 0
    placed = place_bundle(public, job) if role == BOTH else place(public, job, role)
    public.waiting -= waited and job.workers > 0 and job.servers > 0
    return placed


@kernel
def may_change_copies(public: Any, c: int, direction: int, server: int) -> bool:
    """Whether candidate c may gain or lose a copy on a server; ``server`` -1 asks for any. No undoing within a slot."""
    dataset = int(public.candidate[c])
    if direction == ADD:
        if public.datasets.changed[dataset] < 0 or not may_start_copy(public, dataset):
            return False
        return may_hold(public, dataset, server) if server >= 0 else has_target(public, dataset)
    if public.datasets.changed[dataset] > 0:
        return False
    return may_drop(public, dataset, server) if server >= 0 else has_drop(public, dataset)


@kernel
def change_copies(public: Any, hidden: Any, c: int, direction: int, server: int) -> None:
    """Adds or drops a copy of candidate c on a server; ``server`` -1 lets the heuristic pick it."""
    dataset = int(public.candidate[c])
    if direction == ADD:
        start_copy(public, dataset, server if server >= 0 else choose_target(public, dataset))
    else:
        drop_copy(public, dataset, server if server >= 0 else choose_drop(public, dataset))
        hidden.totals.copies_dropped += 1
        if (public.slot - public.datasets.added_slot[dataset]) * public.settings.slot_seconds <= FLAP_SECONDS:
            hidden.totals.flaps += 1
