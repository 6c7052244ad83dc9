"""A lower bound that no policy can beat: every job alone in the cluster, at the best allocation that fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.speed import curve
from psgym.envs.simulation import Simulation


def lower_bound(simulation: Simulation) -> dict[str, NDArray[np.float64]]:
    """Return what no policy can undercut in the drained episodes of a batch, each metric of shape ``(count,)``.

    A job waits for the slot after its arrival, starts once in the shortest time that a start can take, and then runs at
    its true speed: all its tasks as if on one node, no neighbour, no stall, no checkpoint, no failure. Its completion
    time is that of the fastest of all allocations that fit into an empty cluster; its cost is that of the cheapest,
    which pays for the dominant resource that it takes and for nothing else. A job that is not done when the drain is
    cut off is charged up to that moment, as in the environments.
    """
    count = simulation.count
    mean, high, cost = np.zeros(count), np.zeros(count), np.zeros(count)
    for index in range(count):
        rows = np.zeros((int(simulation.scenarios["job_count"][index]), 2))
        if len(rows):
            bound_jobs(simulation.states, simulation.scenarios, index, rows)
            mean[index] = rows[:, 0].mean()
            high[index] = np.sort(rows[:, 0])[math.ceil(0.99 * len(rows)) - 1]
            cost[index] = rows[:, 1].sum()
    return {"mean_completion_seconds": mean, "p99_completion_seconds": high, "total_cost": cost}


@kernel
def bound_jobs(states: Any, scenarios: Any, index: int, out: Any) -> None:
    """Write the least completion time (s) and the least cost of every job, shape ``(jobs, 2)``."""
    settings, scenario = states[index].public.settings, scenarios[index]
    for j in range(out.shape[0]):
        job = scenario.jobs[j]
        begin = (math.floor(job.arrival_seconds / settings.slot_seconds) + 1.0) * settings.slot_seconds
        if settings.restart_cost:
            begin += settings.min_restart_seconds
        waited = begin - job.arrival_seconds
        longest = 4.0 * settings.slots * settings.slot_seconds - job.arrival_seconds
        fastest, cheapest = _best_allocations(settings, job)
        out[j, 0] = min(waited + fastest * job.samples, longest)
        price = settings.unfinished_price / 3600.0
        out[j, 1] = min(price * waited + cheapest * job.samples, price * longest)


@kernel
def _best_allocations(settings: Any, job: Any) -> tuple[float, float]:
    """Least seconds and least cost of one sample, each over all allocations that the cluster can hold."""
    kind = settings.kinds[job.kind]
    fastest, cheapest = float("inf"), float("inf")
    for servers in range(1, settings.max_servers + 1):
        for workers in range(1, settings.max_workers + 1):
            cpu = (servers * kind.server_cpu + workers * kind.worker_cpu) / settings.node_cpu
            gpu = workers * kind.worker_gpu / max(1, settings.node_gpu)
            nodes = max(cpu, gpu)
            if nodes <= settings.nodes:
                seconds = 1.0 / curve(kind, job.mode, servers, workers, 0.0, job.multiplier)
                fastest = min(fastest, seconds)
                price = (settings.unfinished_price + settings.node_price * nodes) / 3600.0
                cheapest = min(cheapest, seconds * price)
    return fastest, cheapest
