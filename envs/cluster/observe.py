"""Writes an observation from the public record: groups and features as in ``psgym.envs.cluster.features``."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.jobs import differs_from_last, dominant_share, nodes_of
from psgym.envs.cluster.placement import takes_tasks
from psgym.envs.cluster.records import IN_FLIGHT, LIVE_COPY
from psgym.envs.cluster.rules.allocation import free_shares
from psgym.envs.cluster.speed import estimated_speed

JOB_WIDTH, DATASET_WIDTH, SERVER_WIDTH, NODE_WIDTH, FORECAST_WIDTH = 20, 8, 4, 6, 9


@kernel
def _unit(x: float) -> float:
    return min(1.0, max(0.0, x))


@kernel
def _signed_unit(x: float) -> float:
    return min(1.0, max(-1.0, x))


@kernel
def _log_share(x: float, largest: float) -> float:
    """``log(1 + x)`` over ``log(1 + largest)``, within [0, 1]."""
    return math.log(1.0 + min(max(x, 0.0), largest)) / math.log(1.0 + largest)


@kernel
def observe(public: Any, out: Any) -> None:
    """Writes a whole flat observation, shape ``(observation_size,)``."""
    settings = public.settings
    at = 0
    for k in range(public.window.shape[0]):
        _write_job(public, k, out, at)
        at += JOB_WIDTH
    for c in range(public.candidate.shape[0]):
        at = _write_dataset(public, int(public.candidate[c]), out, at)
    for s in range(public.servers.up.shape[0]):
        out[at] = public.servers.up[s]
        out[at + 1] = _unit(0.5 * public.servers.utilisation[s])
        out[at + 2] = _unit(public.servers.stored[s] / public.servers.capacity[s])
        out[at + 3] = _unit(public.servers.flights[s] / 8.0)
        at += SERVER_WIDTH
    for n in range(public.nodes.on.shape[0]):
        _write_node(public, n, out, at + n * NODE_WIDTH)
    at += public.nodes.on.shape[0] * NODE_WIDTH
    for h in range(public.forecast.shape[0]):
        for part in range(3):
            out[at] = _unit(public.forecast[h, part] / settings.max_load)
            at += 1
    _write_global(public, out, at)


@kernel
def observe_growth(public: Any, k: int, out: Any) -> None:
    """Rewrites what a growth of window job k can have changed: its row, its nodes, and the cluster's."""
    _write_job(public, k, out, k * JOB_WIDTH)
    servers = public.servers.up.shape[0]
    at = public.window.shape[0] * JOB_WIDTH + public.candidate.shape[0] * (DATASET_WIDTH + servers)
    at += servers * SERVER_WIDTH
    job = public.jobs[public.window[k]]
    for t in range(job.workers):
        _write_node(public, int64(job.worker_node[t]), out, at + int64(job.worker_node[t]) * NODE_WIDTH)
    for t in range(job.servers):
        _write_node(public, int64(job.server_node[t]), out, at + int64(job.server_node[t]) * NODE_WIDTH)
    _write_global(public, out, at + public.nodes.on.shape[0] * NODE_WIDTH + FORECAST_WIDTH)


@kernel
def _gain(public: Any, job: Any, servers: int, workers: int) -> float:
    """Relative gain in estimated speed of more tasks; 1 where it starts the job."""
    now = estimated_speed(public, job, job.servers, job.workers)
    then = estimated_speed(public, job, job.servers + servers, job.workers + workers)
    if then <= 0.0:
        return 0.0
    return max(-1.0, 1.0 - now / then)


@kernel
def _write_job(public: Any, k: int, out: Any, at: int) -> None:
    if k >= public.window_count:
        for f in range(JOB_WIDTH):
            out[at + f] = 0.0
        return
    settings = public.settings
    job = public.jobs[public.window[k]]
    longest = 4.0 * settings.slots
    one_each = estimated_speed(public, job, 1, 1)
    planned = estimated_speed(public, job, job.servers, job.workers)
    left = (job.samples - job.done) / settings.slot_seconds
    out[at] = 1.0
    out[at + 1] = job.mode
    out[at + 2] = settings.kinds[job.kind].worker_gpu / max(1, settings.node_gpu)
    out[at + 3] = job.workers / settings.max_workers
    out[at + 4] = job.servers / settings.max_servers
    out[at + 5] = job.last_workers / settings.max_workers
    out[at + 6] = job.last_servers / settings.max_servers
    out[at + 7] = _log_share(left / planned, longest) if planned > 0.0 else 1.0
    out[at + 8] = _log_share(left / one_each, longest)
    out[at + 9] = _gain(public, job, 0, 1)
    out[at + 10] = _gain(public, job, 1, 0)
    out[at + 11] = _gain(public, job, 1, 1)
    out[at + 12] = _log_share(public.slot - job.arrival_seconds / settings.slot_seconds, longest)
    out[at + 13] = _signed_unit(job.ratio - 1.0)
    out[at + 14] = _unit((nodes_of(job) - 1) / 8.0)
    out[at + 15] = _unit(dominant_share(settings, job.kind, job.servers, job.workers))
    out[at + 16] = _unit(job.stall)
    out[at + 17] = job.restarting
    out[at + 18] = differs_from_last(job)
    out[at + 19] = job.started


@kernel
def _write_dataset(public: Any, dataset: int, out: Any, at: int) -> int:
    datasets, servers, settings = public.datasets, public.servers, public.settings
    count = servers.up.shape[0]
    per_copy = settings.bandwidth_bytes_per_second * max(1, datasets.live[dataset] + datasets.pending[dataset])
    out[at] = _unit(datasets.heat[dataset] / per_copy)
    out[at + 1] = _unit(datasets.demand[dataset] / per_copy)
    out[at + 2] = datasets.live[dataset] / count
    out[at + 3] = datasets.pending[dataset] / count
    out[at + 4] = _unit(4.0 * datasets.size[dataset] / servers.capacity[0])
    out[at + 5] = _unit(datasets.readers[dataset] / 16.0)
    out[at + 6] = datasets.changed[dataset] > 0
    out[at + 7] = datasets.changed[dataset] < 0
    at += DATASET_WIDTH
    for s in range(count):
        placed = datasets.placed[dataset, s]
        out[at + s] = 1.0 if placed == LIVE_COPY else (0.5 if placed == IN_FLIGHT else 0.0)
    return at + count


@kernel
def _write_node(public: Any, node: int, out: Any, at: int) -> None:
    nodes, settings = public.nodes, public.settings
    out[at] = nodes.on[node]
    out[at + 1] = nodes.draining[node]
    out[at + 2] = takes_tasks(public, node)
    out[at + 3] = nodes.cpu_free[node] / settings.node_cpu
    out[at + 4] = nodes.gpu_free[node] / max(1, settings.node_gpu)
    out[at + 5] = _unit(nodes.jobs[node] / 4.0)


@kernel
def _write_global(public: Any, out: Any, at: int) -> None:
    settings, nodes, servers = public.settings, public.nodes, public.servers
    on, ready, waiting = 0, 0, 0
    for n in range(nodes.on.shape[0]):
        on += nodes.on[n]
        ready += takes_tasks(public, n)
    for k in range(public.window_count):
        job = public.jobs[public.window[k]]
        waiting += job.workers == 0 or job.servers == 0
    total, largest = 0.0, 0.0
    for s in range(servers.up.shape[0]):
        total += servers.utilisation[s]
        largest = max(largest, servers.utilisation[s])
    free_cpu, free_gpu = free_shares(public)
    angle = 2.0 * math.pi * public.slot_of_day / settings.slots_per_day
    most = float(settings.max_jobs)
    out[at] = _unit(public.traffic / settings.max_load)
    out[at + 1] = math.sin(angle)
    out[at + 2] = math.sin(angle + 0.5 * math.pi)
    out[at + 3] = public.planning
    out[at + 4] = _unit(public.decisions / settings.max_decisions_per_slot)
    out[at + 5] = _log_share(float(public.active_count), most)
    out[at + 6] = _log_share(float(public.active_count - public.window_count), most)
    out[at + 7] = waiting / public.window.shape[0]
    out[at + 8] = _unit(free_cpu)
    out[at + 9] = _unit(free_gpu)
    out[at + 10] = on / settings.nodes
    out[at + 11] = ready / settings.nodes
    out[at + 12] = _signed_unit(public.capacity_change / settings.nodes)
    out[at + 13] = public.flight_count / settings.max_flights
    out[at + 14] = _unit(0.5 * total / servers.up.shape[0])
    out[at + 15] = _unit(0.5 * largest)
    out[at + 16] = _unit(0.5 * public.work_per_traffic / settings.slot_seconds)
