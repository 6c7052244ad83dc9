"""Allocation rules: which window job takes the next worker, server or bundle of both.

Every rule is a function of the public record that returns one code of ``psgym.envs.cluster.moves``: greedy rules are
Markov in the plan so far. All use the same estimates of speed, which they cannot know exactly.
"""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import dominant_share
from psgym.envs.cluster.moves import BOTH, STOP, first_task, growth_fits, may_grow
from psgym.envs.cluster.placement import SERVER, WORKER
from psgym.envs.cluster.speed import estimated_speed, remaining_at_one_each, remaining_seconds

NONE, FIFO, SRTF, DRF, DRF_STOP, TETRIS, OPTIMUS, SRPT_OPTIMUS, HESRPT = range(9)

LOOK_AHEAD = 3
"""Most servers, and most workers, that SRPT-Optimus adds in one increment."""


@kernel
def next_allocation(public: Any, rule: int) -> int:
    """The next code of a rule, by its index in ``ALLOCATION_RULES``; ``STOP`` when it is content."""
    if not public.planning:
        return STOP
    if rule in (FIFO, SRTF):
        return _in_order(public, rule == SRTF)
    if rule in (DRF, DRF_STOP):
        return _drf(public, rule == DRF_STOP)
    if rule == TETRIS:
        return _tetris(public)
    if rule == OPTIMUS:
        return _optimus(public)
    if rule == SRPT_OPTIMUS:
        return _srpt_optimus(public)
    if rule == HESRPT:
        return _hesrpt(public)
    return STOP


@kernel
def _code(k: int, role: int) -> int:
    return 1 + 3 * k + role


@kernel
def _gains_from_bundle(public: Any, k: int) -> bool:
    """Whether one worker and one server more fit, and are expected to make the job faster."""
    job = public.jobs[public.window[k]]
    now = estimated_speed(public, job, job.servers, job.workers)
    return may_grow(public, k, BOTH) and estimated_speed(public, job, job.servers + 1, job.workers + 1) > now


@kernel
def _in_order(public: Any, shortest_first: bool) -> int:
    """FIFO and SRTF: fill the first job of the order until it gets no faster, then the next.

    SRTF orders by estimated remaining *time* at one worker and one server. Remaining fractions, which some published
    baselines use, favour long jobs near their end.
    """
    best, least = -1, float("inf")
    for k in range(public.window_count):
        if not _gains_from_bundle(public, k):
            continue
        if not shortest_first:
            return _code(k, BOTH)
        left = remaining_at_one_each(public, public.jobs[public.window[k]])
        if best < 0 or left < least:
            best, least = k, left
    return _code(best, BOTH) if best >= 0 else STOP


@kernel
def _drf(public: Any, stops: bool) -> int:
    """Dominant resource fairness (Ghodsi et al., NSDI 2011): a bundle for the job of least dominant share.

    As published for parameter-server jobs it never asks whether a job gets faster; with ``stops`` it does.
    """
    best, least = -1, float("inf")
    for k in range(public.window_count):
        job = public.jobs[public.window[k]]
        share = dominant_share(public.settings, job.kind, job.servers, job.workers)
        if share < least and (_gains_from_bundle(public, k) if stops else may_grow(public, k, BOTH)):
            best, least = k, share
    return _code(best, BOTH) if best >= 0 else STOP


@kernel
def free_shares(public: Any) -> tuple[float, float]:
    """Free CPU and GPU of the nodes that take tasks, as shares of the whole cluster."""
    settings = public.settings
    cpu = public.cpu_free / (settings.nodes * settings.node_cpu)
    return cpu, public.gpu_free / max(1, settings.nodes * settings.node_gpu)


@kernel
def _alignment(public: Any, k: int, free_cpu: float, free_gpu: float) -> float:
    settings = public.settings
    kind = settings.kinds[public.jobs[public.window[k]].kind]
    cpu = (kind.worker_cpu + kind.server_cpu) / (settings.nodes * settings.node_cpu)
    return cpu * free_cpu + kind.worker_gpu / max(1, settings.nodes * settings.node_gpu) * free_gpu


@kernel
def _tetris(public: Any) -> int:
    """Tetris (Grandl et al., SIGCOMM 2014): alignment of demand and free resources, less weighted remaining work.

    The weight makes both terms equally large on average, as in the paper; work is remaining time x dominant share.
    """
    free_cpu, free_gpu = free_shares(public)
    count, alignments, works = 0, 0.0, 0.0
    for k in range(public.window_count):
        if _gains_from_bundle(public, k):
            count += 1
            alignments += _alignment(public, k, free_cpu, free_gpu)
            works += _one_each_work(public, k)
    if count == 0:
        return STOP
    weight = alignments / works if works > 0.0 else 0.0
    best, highest = -1, 0.0
    for k in range(public.window_count):
        if _gains_from_bundle(public, k):
            score = _alignment(public, k, free_cpu, free_gpu) - weight * _one_each_work(public, k)
            if best < 0 or score > highest:
                best, highest = k, score
    return _code(best, BOTH)


@kernel
def _one_each_work(public: Any, k: int) -> float:
    job = public.jobs[public.window[k]]
    return remaining_at_one_each(public, job) * dominant_share(public.settings, job.kind, 1, 1)


@kernel
def _optimus(public: Any) -> int:
    """Optimus as published (Peng et al., EuroSys 2018): one each in order of arrival, then the largest gain.

    The gain of a worker or a server is the time that it saves over the dominant share of that one task.
    """
    best, highest = STOP, 0.0
    for k in range(public.window_count):
        job = public.jobs[public.window[k]]
        if job.workers == 0 or job.servers == 0:
            if may_grow(public, k, BOTH):
                return _code(k, BOTH)
            continue
        now = remaining_seconds(public, job, job.servers, job.workers)
        for role in (WORKER, SERVER):
            if not may_grow(public, k, role):
                continue
            servers, workers = (1, 0) if role == SERVER else (0, 1)
            saved = now - remaining_seconds(public, job, job.servers + servers, job.workers + workers)
            gain = saved / dominant_share(public.settings, job.kind, servers, workers)
            if gain > highest:
                best, highest = _code(k, role), gain
    return best


@kernel
def _srpt_optimus(public: Any) -> int:
    """The largest relative gain in remaining time per dominant share, over increments of up to three of each task.

    Optimus' marginal gain with two repairs: a look-ahead over increments (one task alone often slows a job down where
    two or three speed it up), and the gain taken relative to the remaining time, which favours short jobs as SRPT
    does. A job without tasks gains everything; among equals the one that would end first wins.

    While a slot is planned, room only shrinks and only the job that grew has another plan. A job's best growth is
    therefore kept as long as it fits.
    """
    chosen, highest, soonest = STOP, 0.0, float("inf")
    for k in range(public.window_count):
        best = public.best[k]
        if not best.known or (best.code != STOP and not growth_fits(public, k, best.servers, best.workers)):
            _find_best_growth(public, k)
        if best.code != STOP and (best.gain > highest or (best.gain == highest and best.end < soonest)):
            chosen, highest, soonest = best.code, best.gain, best.end
    return chosen


@kernel
def _find_best_growth(public: Any, k: int) -> None:
    """Writes the increment of window job k with the largest gain per dominant share, the soonest end among equals."""
    settings, best = public.settings, public.best[k]
    job = public.jobs[public.window[k]]
    now = estimated_speed(public, job, job.servers, job.workers)
    best.known, best.code, best.gain, best.end = True, STOP, 0.0, float("inf")
    for servers in range(min(LOOK_AHEAD, settings.max_servers - job.servers) + 1):
        for workers in range(min(LOOK_AHEAD, settings.max_workers - job.workers) + 1):
            if servers + workers == 0 or not growth_fits(public, k, servers, workers):
                continue
            then = estimated_speed(public, job, job.servers + servers, job.workers + workers)
            if then <= now:
                continue
            gain = (1.0 - now / then) / dominant_share(settings, job.kind, servers, workers)
            end = (job.samples - job.done) / then
            if gain > best.gain or (gain == best.gain and end < best.end):
                best.code, best.servers, best.workers = _code(k, first_task(servers, workers)), servers, workers
                best.gain, best.end = gain, end


@kernel
def _hesrpt(public: Any) -> int:
    """The rule heSRPT (Berg et al., SIGMETRICS 2020) for speedup sqrt(share): bundles towards each job's optimal share.

    With m jobs sorted from the largest remaining size, job i is due ``(i/m)^2 - ((i-1)/m)^2`` of the cluster. The job
    furthest below its due takes the next bundle, as long as it gets faster.
    """
    count = public.window_count
    best, furthest = -1, 0.0
    for k in range(count):
        if not _gains_from_bundle(public, k):
            continue
        job = public.jobs[public.window[k]]
        left = _one_each_work(public, k)
        rank = 1
        for other in range(count):
            work = _one_each_work(public, other)
            if work > left or (work == left and other < k):
                rank += 1
        due = (rank / count) * (rank / count) - ((rank - 1) / count) * ((rank - 1) / count)
        behind = due - dominant_share(public.settings, job.kind, job.servers, job.workers)
        if best < 0 or behind > furthest:
            best, furthest = k, behind
    return _code(best, BOTH) if best >= 0 else STOP
