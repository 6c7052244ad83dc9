"""What a slot's decisions may address: the window of jobs, the candidate datasets, and the plan's starting point."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.placement import (
    SERVER,
    WORKER,
    claim_last,
    place,
    place_bundle,
    recount_fits,
    takes_tasks,
    vacate_all,
)
from psgym.envs.cluster.speed import remaining_at_one_each

ONE_EACH = 0


@kernel
def choose_window(public: Any) -> None:
    """Fills the window with the oldest half and the half nearest to its end, in order of arrival."""
    window, count = public.window, public.active_count
    for k in range(public.window_count):
        public.jobs[window[k]].in_window = False
    for k in range(window.shape[0]):
        window[k] = public.active[k] if k < count else -1
    public.window_count = min(count, window.shape[0])
    if count <= window.shape[0]:
        for k in range(count):
            public.jobs[window[k]].in_window = True
        return
    oldest = min(count, window.shape[0] - window.shape[0] // 2)
    for k in range(oldest):
        public.jobs[public.active[k]].in_window = True
    _mark_shortest(public, oldest, window.shape[0] - oldest)
    filled = 0
    for k in range(count):
        if public.jobs[public.active[k]].in_window:
            window[filled] = public.active[k]
            filled += 1


@kernel
def _mark_shortest(public: Any, first: int, places: int) -> None:
    """Marks the ``places`` jobs from ``first`` on with the least estimated remaining time at one each.

    The window's own entries serve as the list of the best so far, kept in order; ties keep the older job.
    """
    best, lefts = public.window, public.window_left
    found = 0
    for k in range(first, public.active_count):
        index = public.active[k]
        left = remaining_at_one_each(public, public.jobs[index])
        at = found
        while at > 0 and left < lefts[at - 1]:
            at -= 1
        if at >= places:
            continue
        for move in range(min(found, places - 1), at, -1):
            best[move] = best[move - 1]
            lefts[move] = lefts[move - 1]
        best[at] = index
        lefts[at] = left
        found = min(found + 1, places)
    for k in range(found):
        public.jobs[best[k]].in_window = True


@kernel
def choose_candidates(public: Any) -> None:
    """Fills the candidates: half the hottest per copy, then the coldest per copy that have a copy to spare."""
    datasets, candidate = public.datasets, public.candidate
    total, hot = candidate.shape[0], candidate.shape[0] - candidate.shape[0] // 2
    found, spare = 0, 0
    for d in range(datasets.heat.shape[0]):
        datasets.per_copy[d] = heat_per_copy(public, d)
    least = _least_hot(public, hot)
    for d in range(datasets.heat.shape[0]):
        if datasets.per_copy[d] >= least:
            found = _insert(public, d, found, 0, hot, 1.0)
    for d in range(datasets.heat.shape[0]):
        if datasets.copies[d] > public.settings.minimum_copies and not _contains(candidate, found, d):
            spare = _insert(public, d, spare, found, total - found, -1.0)
    found += spare
    for d in range(datasets.heat.shape[0]):  # too few have a copy to spare: any other dataset fills the row
        if found == total:
            break
        if not _contains(candidate, found, d):
            candidate[found] = d
            found += 1


@kernel
def _least_hot(public: Any, hot: int) -> float:
    """What a dataset needs to be among the hottest: as many were so in the last slot, and still have this or more."""
    least = math.inf if public.slot > 0 else 0.0
    for c in range(hot):
        least = min(least, public.datasets.per_copy[public.candidate[c]])
    return least


@kernel
def heat_per_copy(public: Any, dataset: int) -> float:
    """Heat of a dataset over its live copies and those in flight (bytes/s per copy)."""
    datasets = public.datasets
    return datasets.heat[dataset] / max(1, datasets.live[dataset] + datasets.pending[dataset])


@kernel
def _insert(public: Any, dataset: int, found: int, first: int, places: int, sign: float) -> int:
    """Inserts a dataset into an ordered part of the candidates if it belongs there; returns the part's new length."""
    part, per_copy = public.candidate, public.datasets.per_copy
    value = sign * per_copy[dataset]
    at = found
    while at > 0 and value > sign * per_copy[part[first + at - 1]]:
        at -= 1
    if at >= places:
        return found
    for move in range(min(found, places - 1), at, -1):
        part[first + move] = part[first + move - 1]
    part[first + at] = dataset
    return min(found + 1, places)


@kernel
def _contains(values: Any, count: int, wanted: int) -> bool:
    for k in range(count):
        if values[k] == wanted:
            return True
    return False


@kernel
def open_plan(public: Any) -> None:
    """Starts the allocation anew: the window's jobs leave their nodes and the initial plan is laid.

    A job outside the window keeps its tasks, except where a node no longer takes them: then all its tasks are placed
    again, or it waits.
    """
    public.planning = True
    nodes = public.nodes
    for n in range(nodes.on.shape[0]):
        nodes.cpu_claimed[n] = 0
        nodes.gpu_claimed[n] = 0
    for k in range(public.window_count):
        job = public.jobs[public.window[k]]
        vacate_all(public, job)
        claim_last(public, job, 1)
    recount_fits(public)
    for k in range(public.active_count):
        job = public.jobs[public.active[k]]
        if not job.in_window and _is_displaced(public, job):
            _move(public, job)
    if public.settings.initial == ONE_EACH:
        for k in range(public.window_count):
            place_bundle(public, public.jobs[public.window[k]])
    for k in range(public.window_count):
        public.best[k].known = False
    count_waiting(public)


@kernel
def count_waiting(public: Any) -> None:
    """Counts the jobs of the window that cannot run."""
    public.waiting = 0
    for k in range(public.window_count):
        job = public.jobs[public.window[k]]
        public.waiting += job.workers == 0 or job.servers == 0


@kernel
def _is_displaced(public: Any, job: Any) -> bool:
    for k in range(job.workers):
        if not takes_tasks(public, int64(job.worker_node[k])):
            return True
    for k in range(job.servers):
        if not takes_tasks(public, int64(job.server_node[k])):
            return True
    return False


@kernel
def _move(public: Any, job: Any) -> None:
    workers, servers = job.workers, job.servers
    vacate_all(public, job)
    recount_fits(public)
    complete = True
    for _ in range(servers):
        complete = complete and place(public, job, SERVER)
    for _ in range(workers):
        complete = complete and place(public, job, WORKER)
    if not complete:
        vacate_all(public, job)
        recount_fits(public)
