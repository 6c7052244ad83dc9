"""Draws an episode: jobs, their true coefficients, the background readers and the first copies.

Everything here comes from the environment's own generator. What is drawn later, slot by slot, comes from
``psgym.envs.cluster.chance`` and the episode's key.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.records import LIVE_COPY

BURST_SECONDS = 3600.0
"""Time constant of a burst of demand for one dataset (s)."""
LIST_JITTER = 0.1
"""Relative jitter of the sizes of a fixed list of jobs."""


@kernel
def begin_episode(states: Any, scenarios: Any, index: int, rng: Any) -> bool:
    """Draws scenario ``index`` (traffic and forecast are there already) and the state before its first slot.

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
    bursts = np.zeros(order.shape[0])
    _draw_sizes(settings, scenario, rng)
    scenario.job_count = 0
    complete = True
    for slot in range(settings.slots):
        _drift(settings, order, bursts, rng)
        if slot == 0:  # a log of the slot before would show as much
            _draw_background(settings, scenario.traffic[0], order, weights, bursts, state.public.datasets.heat)
        _draw_background(settings, scenario.traffic[slot + 1], order, weights, bursts, scenario.background[slot])
        complete = _draw_arrivals(settings, scenario, slot, order, weights, rng) and complete
    _start_state(state, scenario, rng)
    state.hidden.event = True
    return complete


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
def _poisson(mean: float, rng: Any) -> int:
    """Knuth's product of uniforms, in parts small enough for the exponential not to underflow."""
    count = 0
    while mean > 0.0:
        part = min(mean, 100.0)
        mean -= part
        product, limit = rng.random(), math.exp(-part)
        while product > limit:
            count += 1
            product *= rng.random()
    return count


@kernel
def _geometric(mean: float, rng: Any) -> int:
    """Number of trials up to the first success, with the given mean (at least 1)."""
    if mean <= 1.0:
        return 1
    return 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / mean))


@kernel
def _drift(settings: Any, order: Any, bursts: Any, rng: Any) -> None:
    """Lets some datasets swap ranks, old bursts fade and new ones break out."""
    count = order.shape[0]
    hours = settings.slot_seconds / 3600.0
    for _ in range(_poisson(settings.popularity_drift * count * hours, rng)):
        a, b = int(rng.random() * count), int(rng.random() * count)
        order[a], order[b] = order[b], order[a]
    fade = math.exp(-settings.slot_seconds / BURST_SECONDS)
    for d in range(count):
        bursts[d] *= fade
    for _ in range(_poisson(settings.bursts_per_day * hours / 24.0, rng)):
        d = int(rng.random() * count)
        bursts[d] -= settings.burst_share * math.log(1.0 - rng.random())


@kernel
def _draw_background(settings: Any, traffic: float, order: Any, weights: Any, bursts: Any, out: Any) -> None:
    """Writes the demand of the background readers in a slot: it follows the traffic, but for the bursts."""
    total = settings.background_utilisation * settings.data_servers * settings.bandwidth_bytes_per_second
    level = total * traffic
    for rank in range(order.shape[0]):
        d = order[rank]
        out[d] = level * weights[rank] + total * bursts[d]


@kernel
def _draw_arrivals(settings: Any, scenario: Any, slot: int, order: Any, weights: Any, rng: Any) -> bool:
    """Batches of jobs; those of a batch share kind, mode and dataset, as the runs of one user's sweep do."""
    batches = _poisson(settings.arrivals * scenario.traffic[slot + 1] / settings.batch_jobs, rng)
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
        for _ in range(_geometric(settings.batch_jobs, rng)):
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
    for copy in range(settings.initial_copies):
        for d in range(datasets.size.shape[0]):
            _store_copy(public, d, copy, rng)


@kernel
def _store_copy(public: Any, dataset: int, copy: int, rng: Any) -> None:
    """Stores a first copy on the emptier of two random servers with room; none where there is no room."""
    servers, datasets = public.servers, public.datasets
    count = servers.up.shape[0]
    best = -1
    first = int(rng.random() * count)
    second = int(rng.random() * count)
    for attempt in range(count + 2):
        s = first if attempt == 0 else (second if attempt == 1 else attempt - 2)
        room = servers.capacity[s] - servers.stored[s]
        if datasets.placed[dataset, s] != LIVE_COPY and datasets.size[dataset] <= room:
            if best < 0 or servers.stored[s] < servers.stored[best]:
                best = s
        if attempt >= 1 and best >= 0:
            break
    if best < 0:
        return
    datasets.placed[dataset, best] = LIVE_COPY
    datasets.copies[dataset] += 1
    datasets.live[dataset] += 1
    servers.stored[best] += datasets.size[dataset]
