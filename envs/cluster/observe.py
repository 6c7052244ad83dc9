"""Writes an observation from the public record: groups and features as in ``psgym.envs.cluster.features``.

Each group has a kernel of its own, so that a decision rewrites only the groups that it can have changed.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.jobs import differs_from_last, dominant_share
from psgym.envs.cluster.placement import takes_tasks
from psgym.envs.cluster.records import IN_FLIGHT, LIVE_COPY
from psgym.envs.cluster.rules.allocation import free_shares
from psgym.envs.cluster.speed import nominal_speed, remaining_at_one_each

JOB_WIDTH, DATASET_WIDTH, SERVER_WIDTH, NODE_WIDTH, FORECAST_WIDTH = 23, 14, 6, 6, 9


@kernel
def _unit(x: float) -> float:
    return min(1.0, max(0.0, x))


@kernel
def _signed_unit(x: float) -> float:
    return min(1.0, max(-1.0, x))


@kernel
def _log_share(x: float, log_largest: float) -> float:
    """``log(1 + x)`` over that of the largest value, within [0, 1]."""
    return min(1.0, math.log(1.0 + max(x, 0.0)) / log_largest)


@kernel
def observe(public: Any, out: Any) -> None:
    """Writes a whole flat observation, shape ``(observation_size,)``."""
    observe_jobs(public, out)
    for c in range(public.candidate.shape[0]):
        _observe_dataset(public, c, out)
    _observe_servers(public, out)
    _observe_forecast(public, out)
    _observe_slot(public, out)
    _observe_flights(public, out)
    observe_capacity(public, out)


@kernel
def _servers_at(public: Any) -> int:
    """Index of the first server's first feature; the next functions give those of the groups that follow."""
    servers = public.servers.up.shape[0]
    return int64(public.window.shape[0] * JOB_WIDTH + public.candidate.shape[0] * (DATASET_WIDTH + servers))


@kernel
def _racks(public: Any) -> int:
    """Racks that hold a server."""
    return int64(min(public.settings.racks, public.servers.up.shape[0]))


@kernel
def _nodes_at(public: Any) -> int:
    return int64(_servers_at(public) + public.servers.up.shape[0] * (SERVER_WIDTH + _racks(public)))


@kernel
def _forecast_at(public: Any) -> int:
    return int64(_nodes_at(public) + public.nodes.on.shape[0] * NODE_WIDTH)


@kernel
def _global_at(public: Any) -> int:
    return int64(_forecast_at(public) + FORECAST_WIDTH)


@kernel
def observe_growth(public: Any, k: int, out: Any) -> None:
    """Rewrites what a growth of window job k can have changed: its plan, the nodes of its newest tasks, the totals."""
    _observe_job_plan(public, k, out)
    job = public.jobs[public.window[k]]
    if job.workers > 0:
        _observe_node(public, int64(job.worker_node[job.workers - 1]), out)
    if job.servers > 0:
        _observe_node(public, int64(job.server_node[job.servers - 1]), out)
    observe_plan(public, out)


@kernel
def observe_jobs(public: Any, out: Any) -> None:
    """Writes the rows of the window."""
    for k in range(public.window.shape[0]):
        _observe_job(public, k, out)


@kernel
def _gain(now: float, then: float) -> float:
    """Relative gain of one speed over another; 1 where a job starts to run, 0 where it does not run."""
    return max(-1.0, 1.0 - now / then) if then > 0.0 else 0.0


@kernel
def _observe_job(public: Any, k: int, out: Any) -> None:
    at = k * JOB_WIDTH
    if k >= public.window_count:
        for f in range(JOB_WIDTH):
            out[at + f] = 0.0
        return
    settings = public.settings
    job = public.jobs[public.window[k]]
    out[at] = 1.0
    out[at + 1] = job.mode
    out[at + 2] = settings.kinds[job.kind].worker_gpu / max(1, settings.node_gpu)
    out[at + 5] = job.last_workers / settings.max_workers
    out[at + 6] = job.last_servers / settings.max_servers
    out[at + 8] = _log_share(remaining_at_one_each(public, job) / settings.slot_seconds, settings.log_slots)
    out[at + 15] = _log_share(public.slot - job.arrival_seconds / settings.slot_seconds, settings.log_slots)
    out[at + 16] = _signed_unit(job.ratio - 1.0)
    out[at + 19] = _unit(job.stall)
    out[at + 20] = job.restarting
    out[at + 22] = job.started
    _observe_job_plan(public, k, out)


@kernel
def _observe_job_plan(public: Any, k: int, out: Any) -> None:
    """The features of a row that follow the job's plan."""
    at, settings = k * JOB_WIDTH, public.settings
    job = public.jobs[public.window[k]]
    kind, mode, p, w = job.kind, job.mode, job.servers, job.workers
    # The ratio of observed to expected speed scales all alike: it matters to times, not to relative gains.
    now = nominal_speed(settings, kind, mode, p, w)
    left = (job.samples - job.done) / settings.slot_seconds
    out[at + 3] = w / settings.max_workers
    out[at + 4] = p / settings.max_servers
    out[at + 7] = _log_share(left / (job.ratio * now), settings.log_slots) if now > 0.0 else 1.0
    out[at + 9] = _gain(now, nominal_speed(settings, kind, mode, p, w + 1))
    out[at + 10] = _gain(now, nominal_speed(settings, kind, mode, p + 1, w))
    out[at + 11] = _gain(now, nominal_speed(settings, kind, mode, p + 1, w + 1))
    out[at + 12] = _gain(now, nominal_speed(settings, kind, mode, p, w + 3))
    out[at + 13] = _gain(now, nominal_speed(settings, kind, mode, p + 3, w))
    out[at + 14] = _gain(now, nominal_speed(settings, kind, mode, p + 3, w + 3))
    out[at + 17] = _unit((job.nodes - 1) / 8.0)
    out[at + 18] = _unit(dominant_share(settings, kind, p, w))
    out[at + 21] = differs_from_last(job)


@kernel
def _observe_dataset(public: Any, c: int, out: Any) -> None:
    """Writes the row of candidate c."""
    datasets, servers, settings = public.datasets, public.servers, public.settings
    dataset, count = int(public.candidate[c]), servers.up.shape[0]
    at = public.window.shape[0] * JOB_WIDTH + c * (DATASET_WIDTH + count)
    per_copy = settings.bandwidth_bytes_per_second * max(1, datasets.live[dataset] + datasets.pending[dataset])
    out[at] = _unit(datasets.heat[dataset] / per_copy)
    out[at + 1] = _unit(datasets.heat_medium[dataset] / per_copy)
    out[at + 2] = _unit(datasets.heat_short[dataset] / per_copy)
    out[at + 3] = _unit(datasets.demand[dataset] / per_copy)
    out[at + 4] = _unit(datasets.announced[dataset] / per_copy)
    out[at + 5] = _unit(datasets.longest_wait[dataset] / 3600.0)
    out[at + 6] = _unit(datasets.bursting[dataset] / 16.0)
    out[at + 7] = _unit(datasets.readers[dataset] / 16.0)
    out[at + 8] = datasets.live[dataset] / count
    out[at + 9] = datasets.pending[dataset] / count
    out[at + 10] = _unit(4.0 * datasets.size[dataset] / servers.capacity[0])
    out[at + 11] = _unit((public.slot - datasets.changed_slot[dataset]) * settings.slot_seconds / 3600.0)
    out[at + 12] = datasets.changed[dataset] > 0
    out[at + 13] = datasets.changed[dataset] < 0
    at += DATASET_WIDTH
    for s in range(count):
        placed = datasets.placed[dataset, s]
        out[at + s] = 1.0 if placed == LIVE_COPY else (0.5 if placed == IN_FLIGHT else 0.0)


@kernel
def _observe_servers(public: Any, out: Any) -> None:
    """Writes the rows of the data servers."""
    servers, at = public.servers, _servers_at(public)
    for s in range(servers.up.shape[0]):
        out[at] = servers.up[s]
        out[at + 1] = _unit(0.5 * servers.utilisation[s])
        out[at + 2] = _unit(0.5 * servers.trend[s])
        out[at + 3] = _unit(servers.copying[s] / servers.bandwidth[s])
        out[at + 4] = _unit(servers.stored[s] / servers.capacity[s])
        out[at + 5] = _unit(servers.flights[s] / 8.0)
        at += SERVER_WIDTH
        for r in range(_racks(public)):
            out[at + r] = servers.rack[s] == r
        at += _racks(public)


@kernel
def observe_nodes(public: Any, out: Any) -> None:
    """Writes the rows of the nodes."""
    for n in range(public.nodes.on.shape[0]):
        _observe_node(public, n, out)


@kernel
def _observe_node(public: Any, node: int, out: Any) -> None:
    nodes, settings = public.nodes, public.settings
    at = _nodes_at(public) + node * NODE_WIDTH
    out[at] = nodes.on[node]
    out[at + 1] = nodes.draining[node]
    out[at + 2] = takes_tasks(public, node)
    out[at + 3] = nodes.cpu_free[node] / settings.node_cpu
    out[at + 4] = nodes.gpu_free[node] / max(1, settings.node_gpu)
    out[at + 5] = _unit(nodes.jobs[node] / 4.0)


@kernel
def _observe_forecast(public: Any, out: Any) -> None:
    at = _forecast_at(public)
    for h in range(public.forecast.shape[0]):
        for part in range(3):
            out[at + 3 * h + part] = _unit(public.forecast[h, part] / public.settings.max_load)


@kernel
def _observe_slot(public: Any, out: Any) -> None:
    """The features of the cluster as a whole that no decision changes within a slot."""
    settings, servers, at = public.settings, public.servers, _global_at(public)
    total, largest = 0.0, 0.0
    for s in range(servers.up.shape[0]):
        total += servers.utilisation[s]
        largest = max(largest, servers.utilisation[s])
    angle = 2.0 * math.pi * public.slot_of_day / settings.slots_per_day
    out[at] = _unit(public.traffic / settings.max_load)
    out[at + 1] = math.sin(angle)
    out[at + 2] = math.sin(angle + 0.5 * math.pi)
    out[at + 5] = _log_share(float(public.active_count), settings.log_jobs)
    out[at + 6] = _log_share(float(public.active_count - public.window_count), settings.log_jobs)
    out[at + 14] = _unit(0.5 * total / servers.up.shape[0])
    out[at + 15] = _unit(0.5 * largest)
    out[at + 16] = _unit(0.5 * public.work_per_traffic / settings.slot_seconds)
    could_move = 600.0 * settings.copy_share * settings.bandwidth_bytes_per_second * servers.up.shape[0]
    out[at + 17] = _unit(public.recently_moved / could_move)
    out[at + 18] = _unit(public.storage_factor / settings.capacity_ratio)


@kernel
def observe_count(public: Any, out: Any) -> None:
    """The one feature that every decision changes: how many of the slot's decisions are taken."""
    out[_global_at(public) + 4] = _unit(public.decisions / public.settings.max_decisions_per_slot)


@kernel
def observe_plan(public: Any, out: Any) -> None:
    """The features of the cluster as a whole that a decision about jobs changes."""
    at = _global_at(public)
    free_cpu, free_gpu = free_shares(public)
    observe_count(public, out)
    out[at + 3] = public.planning
    out[at + 7] = public.waiting / public.window.shape[0]
    out[at + 8] = _unit(free_cpu)
    out[at + 9] = _unit(free_gpu)


@kernel
def observe_capacity(public: Any, out: Any) -> None:
    """The nodes, and the features of the cluster as a whole that an order changes."""
    observe_nodes(public, out)
    settings, nodes, at = public.settings, public.nodes, _global_at(public)
    on, ready = 0, 0
    for n in range(nodes.on.shape[0]):
        on += nodes.on[n]
        ready += takes_tasks(public, n)
    out[at + 10] = on / settings.nodes
    out[at + 11] = ready / settings.nodes
    out[at + 12] = _signed_unit(public.capacity_change / settings.nodes)
    observe_plan(public, out)


@kernel
def observe_copies(public: Any, c: int, out: Any) -> None:
    """Rewrites what a change of candidate c's copies can have changed."""
    _observe_dataset(public, c, out)
    _observe_servers(public, out)
    _observe_flights(public, out)
    observe_count(public, out)


@kernel
def _observe_flights(public: Any, out: Any) -> None:
    out[_global_at(public) + 13] = public.flight_count / public.settings.max_flights
