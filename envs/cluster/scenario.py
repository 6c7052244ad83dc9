"""Draws an episode: jobs, their true coefficients, the background readers and the first copies.

Everything here comes from the environment's own generator. What is drawn later, slot by slot, comes from
``psgym.envs.cluster.chance`` and the episode's key.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from psgym.envs.cluster.bursts import draw_bursts, mean_burst_demand, start_bursts
from psgym.envs.cluster.chance import geometric, poisson
from psgym.envs.cluster.copies import may_hold
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.records import LIVE_COPY

LIST_JITTER = 0.1
"""Relative jitter of the sizes of a fixed list of jobs."""


@kernel
def begin_episode(states: Any, scenarios: Any, index: int, rng: Any, popularity: Any) -> bool:
    """Draws scenario ``index`` (traffic and forecast are there already) and the state before its first slot.

    Args:
        states, scenarios: Batches of clusters.
        index: Number of the cluster.
        rng: The environment's generator.
        popularity: Share of each dataset in what is read, for the slot before the first and for each slot, shape
            ``(slots + 1, datasets)``; with no rows it follows Zipf's law, drifts, and bursts.

    Returns:
        False if more jobs arrive than the records can hold.
    """
    state, scenario = states[index], scenarios[index]
    settings = state.public.settings
    scenario.key = np.uint64(int(rng.random() * 4294967296.0)) * np.uint64(4294967296) + np.uint64(
        int(rng.random() * 4294967296.0)
    )
    weights = _zipf_weights(scenario.dataset_size.shape[0], settings.zipf_exponent)
    order = _shuffled(scenario.dataset_size.shape[0], rng)
    logged = popularity.shape[0] > 0
    if logged:
        for k in range(order.shape[0]):
            order[k] = k
    total = settings.background_utilisation * settings.data_servers * settings.bandwidth_bytes_per_second
    if logged:  # a log has its bursts in its popularity
        total += mean_burst_demand(settings)
    _draw_sizes(settings, scenario, rng)
    scenario.job_count = 0
    complete = True
    for slot in range(settings.slots):
        if not logged:
            _drift(settings, order, rng)
        if slot == 0:  # a log of the slot before would show as much
            if logged:
                _copy(popularity[0], weights)
            _draw_background(total * scenario.traffic[0], order, weights, state.public.datasets.heat)
        if logged:
            _copy(popularity[slot + 1], weights)
        _draw_background(total * scenario.traffic[slot + 1], order, weights, scenario.background[slot])
        complete = _draw_arrivals(settings, scenario, slot, order, weights, rng) and complete
    scenario.burst_count = 0
    if not logged:
        draw_bursts(settings, scenario, rng)
    _start_state(state, scenario, rng)
    _start_heat(state, scenario)
    state.hidden.event = True
    return complete


@kernel
def _copy(values: Any, out: Any) -> None:
    for k in range(out.shape[0]):
        out[k] = values[k]


@kernel
def _zipf_weights(count: int, exponent: float) -> Any:
    weights = np.empty(count)
    total = 0.0
    for rank in range(count):
        weights[rank] = math.pow(rank + 1.0, -exponent)
        total += weights[rank]
    for rank in range(count):
        weights[rank] /= total
    return weights


@kernel
def _shuffled(count: int, rng: Any) -> Any:
    """Datasets in order of popularity."""
    order = np.empty(count, np.int64)
    for k in range(count):
        order[k] = k
    for k in range(count - 1, 0, -1):
        other = int(rng.random() * (k + 1))
        order[k], order[other] = order[other], order[k]
    return order


@kernel
def _draw_sizes(settings: Any, scenario: Any, rng: Any) -> None:
    for d in range(scenario.dataset_size.shape[0]):
        log_size = settings.dataset_log_sigma * rng.standard_normal()
        scenario.dataset_size[d] = settings.dataset_log_median_bytes * math.exp(log_size)


@kernel
def _drift(settings: Any, order: Any, rng: Any) -> None:
    """Lets some datasets swap ranks."""
    count = order.shape[0]
    hours = settings.slot_seconds / 3600.0
    for _ in range(poisson(settings.popularity_drift * count * hours, rng)):
        a, b = int(rng.random() * count), int(rng.random() * count)
        order[a], order[b] = order[b], order[a]


@kernel
def _draw_background(total: float, order: Any, weights: Any, out: Any) -> None:
    """Writes the demand of the steady readers of each dataset."""
    for rank in range(order.shape[0]):
        out[order[rank]] = total * weights[rank]


@kernel
def _draw_arrivals(settings: Any, scenario: Any, slot: int, order: Any, weights: Any, rng: Any) -> bool:
    """Batches of jobs; those of a batch share kind, mode and dataset, as the runs of one user's sweep do."""
    batches = poisson(settings.arrivals * scenario.traffic[slot + 1] / settings.batch_jobs, rng)
    times = np.empty(batches)
    for b in range(batches):
        time, at = (slot + rng.random()) * settings.slot_seconds, b
        while at > 0 and times[at - 1] > time:  # in order; np.sort would take numba seconds to compile
            times[at] = times[at - 1]
            at -= 1
        times[at] = time
    for b in range(batches):
        kind = settings.kind_list[int(rng.random() * settings.kind_count)]
        mode = 1 if rng.random() < settings.asynchronous_share else 0
        dataset = order[_rank(weights, rng.random())]
        for _ in range(geometric(settings.batch_jobs, rng)):
            if settings.job_list > 0 and scenario.job_count == settings.job_list:
                return True
            if scenario.job_count == scenario.jobs.shape[0]:
                return False
            job = scenario.jobs[scenario.job_count]
            scenario.job_count += 1
            job.arrival_seconds, job.kind, job.mode, job.dataset = times[b], kind, mode, dataset
            _draw_job(settings, job, rng)
    return True


@kernel
def _rank(weights: Any, draw: float) -> int:
    rank = 0
    while rank < weights.shape[0] - 1 and draw >= weights[rank]:
        draw -= weights[rank]
        rank += 1
    return rank


@kernel
def _draw_job(settings: Any, job: Any, rng: Any) -> None:
    if settings.list_samples[job.kind] > 0.0:
        job.samples = settings.list_samples[job.kind] * (1.0 + LIST_JITTER * (2.0 * rng.random() - 1.0))
    else:
        log_seconds = settings.duration_log_mean + settings.duration_log_sigma * rng.standard_normal()
        seconds = min(math.exp(log_seconds), settings.max_duration_seconds)
        job.samples = seconds * settings.kinds[job.kind].speed_at_one_each[job.mode]
    for c in range(job.multiplier.shape[0]):
        noise = math.exp(settings.coefficient_sigma * rng.standard_normal())
        job.multiplier[c] = noise if settings.hidden_coefficients else 1.0


@kernel
def _start_state(state: Any, scenario: Any, rng: Any) -> None:
    public, settings = state.public, state.public.settings
    for k in range(public.window.shape[0]):
        public.window[k] = -1
    public.work_per_traffic = settings.arrivals * settings.mean_work
    nodes, servers, datasets = public.nodes, public.servers, public.datasets
    for n in range(nodes.on.shape[0]):
        nodes.on[n] = True
        nodes.ordered_slot[n] = -1000000
        nodes.cpu_free[n], nodes.gpu_free[n] = settings.node_cpu, settings.node_gpu
    total = 0.0
    for d in range(datasets.size.shape[0]):
        datasets.size[d] = scenario.dataset_size[d]
        total += datasets.size[d]
    for s in range(servers.up.shape[0]):
        servers.up[s] = True
        servers.rack[s] = s % settings.racks
        servers.capacity[s] = settings.capacity_ratio * total / servers.up.shape[0]
        servers.bandwidth[s] = settings.bandwidth_bytes_per_second
    for _ in range(settings.initial_copies):
        for d in range(datasets.size.shape[0]):
            _store_copy(public, d, rng)


@kernel
def _start_heat(state: Any, scenario: Any) -> None:
    """Completes the heat at the first decision with the bursts that read already, and sets the load that it makes."""
    datasets, servers = state.public.datasets, state.public.servers
    start_bursts(state, scenario, True)
    stored, size = 0.0, 0.0
    for d in range(datasets.heat.shape[0]):
        datasets.heat[d] += datasets.bursting[d] * state.public.settings.reader_bytes_per_second
        datasets.heat_medium[d] = datasets.heat[d]
        datasets.heat_short[d] = datasets.heat[d]
        datasets.demand[d] = datasets.heat[d]
        size += datasets.size[d]
        for s in range(servers.up.shape[0]):
            if datasets.placed[d, s] == LIVE_COPY:
                servers.demand[s] += datasets.demand[d] / datasets.live[d]
        datasets.changed_slot[d] = -1000000
        datasets.added_slot[d] = -1000000
    for s in range(servers.up.shape[0]):
        servers.utilisation[s] = servers.demand[s] / servers.bandwidth[s]
        servers.trend[s] = servers.utilisation[s]
        stored += servers.stored[s]
    state.public.storage_factor = stored / size


@kernel
def _store_copy(public: Any, dataset: int, rng: Any) -> None:
    """Stores a first copy on the emptier of two random servers that may hold it; none where none may."""
    servers, datasets = public.servers, public.datasets
    count = servers.up.shape[0]
    first = int(rng.random() * count)
    second = int(rng.random() * count)
    best = -1
    for attempt in range(count + 2):
        s = first if attempt == 0 else (second if attempt == 1 else attempt - 2)
        if may_hold(public, dataset, s) and (best < 0 or servers.stored[s] < servers.stored[best]):
            best = s
        if attempt >= 1 and best >= 0:
            break
    if best < 0:
        return
    datasets.placed[dataset, best] = LIVE_COPY
    datasets.copies[dataset] += 1
    datasets.live[dataset] += 1
    datasets.unlisted[dataset] = True
    servers.stored[best] += datasets.size[dataset]
