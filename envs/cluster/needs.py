"""What the cluster will need: the chain from a traffic forecast to nodes, learned slot by slot from the public record.

    traffic forecast x jobs per unit of traffic x request of a job = demand that arrives over the lead time,
    request of every unfinished job + demand that arrives          = expected need,

of which `psgym.predictors.capacity.plan_step` makes a quantile. Jobs per traffic and requests are exponentially
weighted averages. A job requests the servers and workers at which its kind's curve makes a sample cheapest: an
unfinished job costs by the hour, and so does a node.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.speed import curve
from psgym.predictors.capacity import GAMMA, HALF_LIFE, POWER, plan_step
from psgym.predictors.demand import PRIOR_WEIGHT, observe_usage

VOLUME_HALF_LIFE_SECONDS = 7200.0
"""Half-life of what is known of the jobs that a unit of traffic brings (s)."""
PRIOR_SLOTS = 12.0
"""Slots that the configured rate of arrivals counts as at the start."""
REQUEST_RETENTION = 0.5 ** (1.0 / 200.0)
"""Share of the weight of earlier requests that is kept with each job that arrives."""
ERROR_RETENTION = 0.5 ** (1.0 / HALF_LIFE)


@kernel
def write_requests(settings: Any) -> None:
    """Writes what a job of each kind and mode requests, CPU and GPU, and the mean over the kinds that arrive."""
    price = settings.node_price / settings.unfinished_price if settings.unfinished_price > 0.0 else 0.0
    for k in range(settings.kinds.shape[0]):
        for mode in range(2):
            _write_request(settings, k, mode, price)
    for r in range(2):
        settings.mean_request[0, r] = 0.0
        for n in range(settings.kind_count):
            for mode in range(2):
                share = settings.asynchronous_share if mode == 1 else 1.0 - settings.asynchronous_share
                settings.mean_request[0, r] += share * settings.requests[settings.kind_list[n], mode, r]
        settings.mean_request[0, r] /= settings.kind_count


@kernel
def _write_request(settings: Any, k: int, mode: int, price: float) -> None:
    kind, best = settings.kinds[k], math.inf
    for servers in range(1, settings.max_servers + 1):
        for workers in range(1, settings.max_workers + 1):
            cpu, gpu = workers * kind.worker_cpu + servers * kind.server_cpu, workers * kind.worker_gpu
            nodes = max(cpu / settings.node_cpu, gpu / max(1, settings.node_gpu))
            if nodes > settings.nodes:
                break
            spread = settings.spread_penalty * (math.ceil(nodes) - 1.0) if settings.spread_cost else 0.0
            cost = (1.0 + price * nodes) / curve(kind, mode, servers, workers, spread, settings.nominal)
            if cost < best:
                best = cost
                settings.requests[k, mode, 0], settings.requests[k, mode, 1] = cpu, gpu


@kernel
def learn_need(public: Any) -> None:
    """Learns from the slot that has ended, and plans for the slots until an order made now is of use."""
    settings, planner = public.settings, public.planner
    _learn_volume(public)
    for r in range(2):
        planner.now[r] = 0.0
    for k in range(public.active_count):
        job = public.jobs[public.active[k]]
        for r in range(2):
            planner.now[r] += settings.requests[job.kind, job.mode, r]
    rate, arriving = planner.arrived / max(planner.traffic, 1e-9), 0.0
    weight = planner.weights[0] + PRIOR_WEIGHT
    for h in range(planner.expected.shape[0]):
        arriving += rate * forecast_at(public, h + 1)
        for r in range(2):
            request = (planner.sums[0, r] + PRIOR_WEIGHT * settings.mean_request[0, r]) / weight
            planner.expected[h, r] = planner.now[r] + arriving * request
    plan_step(
        planner.clock, planner.score, planner.scale, planner.level, planner.ring, planner.observed,
        planner.now, planner.expected, settings.forecast_quantile, GAMMA, ERROR_RETENTION, POWER,
        planner.need, planner.target,
    )  # fmt: skip


@kernel
def _learn_volume(public: Any) -> None:
    settings, planner = public.settings, public.planner
    if planner.clock[0] == 0:
        planner.arrived, planner.traffic = PRIOR_SLOTS * settings.arrivals, PRIOR_SLOTS
        for h in range(planner.score.shape[0]):
            for r in range(2):
                planner.score[h, r] = settings.first_score
    else:
        keep = math.pow(0.5, settings.slot_seconds / VOLUME_HALF_LIFE_SECONDS)
        planner.arrived = keep * planner.arrived + (public.known_jobs - planner.known_jobs)
        planner.traffic = keep * planner.traffic + public.traffic
        for index in range(planner.known_jobs, public.known_jobs):
            job = public.jobs[index]
            observe_usage(
                planner.sums, planner.squares, planner.weights, settings.mean_request, PRIOR_WEIGHT,
                REQUEST_RETENTION, 0, settings.requests[job.kind, job.mode],
            )  # fmt: skip
    planner.known_jobs = public.known_jobs


@kernel
def forecast_at(public: Any, h: int) -> float:
    """Mean of the traffic forecast h slots ahead: linear between the horizons of the observation."""
    horizons, forecast = public.settings.horizons, public.forecast
    last = horizons.shape[0] - 1
    for k in range(last):
        if h <= horizons[k + 1]:
            share = max(0.0, (h - horizons[k]) / (horizons[k + 1] - horizons[k]))
            return forecast[k, 0] + share * (forecast[k + 1, 0] - forecast[k, 0])
    return forecast[last, 0]
