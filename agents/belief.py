"""What may be true, given what may be known: hidden coefficients, failures and the future, redrawn from the prior.

A copy of a cluster takes over the public record alone. Everything else is drawn anew: the traffic around its forecast,
the jobs that it brings, the background readers around what they are seen to read, the true coefficients of every job
so that they agree with its observed speed, the repairs that are under way, and the failures to come. Arrivals go on
for ever: a policy does not know when the day ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from psgym.envs.cluster.capacity import repair_seconds
from psgym.envs.cluster.chance import NODE_REPAIR, SERVER_REPAIR, geometric, poisson
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import dominant_share, last_nodes
from psgym.envs.cluster.records import HORIZONS
from psgym.envs.cluster.scenario import _draw_job as draw_job
from psgym.envs.cluster.scenario import _rank as rank
from psgym.envs.cluster.scenario import _zipf_weights as zipf_weights
from psgym.envs.cluster.speed import curve, estimated_speed, remaining_at_one_each

_NEAR, _MIDDLE, _FAR = HORIZONS
_BAND = 2.563
"""Width of a band of 80 % in standard deviations."""


@kernel
def imagine(states: Any, scenarios: Any, index: int, slots: int, rng: Any) -> None:
    """Draws all that is not public of a cluster, and its next ``slots`` slots.

    Args:
        states: The public part of the cluster is kept; the hidden part must be zero, and is filled.
        scenarios: The cluster's is overwritten, as far as the next slots need it.
        index: Of the cluster.
        slots: How far ahead to draw.
        rng: Source of all draws.
    """
    public, hidden, scenario = states[index].public, states[index].hidden, scenarios[index]
    scenario.key = np.uint64(int(rng.random() * 4294967296.0)) * np.uint64(4294967296) + np.uint64(
        int(rng.random() * 4294967296.0)
    )
    scenario.first_slot_of_day = (public.slot_of_day - public.slot) % public.settings.slots_per_day
    scenario.job_count = public.known_jobs
    scenario.burst_count = 0  # what bursts read now is among what the readers are seen to read
    _draw_traffic(public, scenario, slots, rng)
    _draw_readers(public, scenario, slots)
    _draw_arrivals(public, scenario, slots, rng)
    for k in range(public.active_count):
        j = public.active[k]
        _draw_coefficients(public, public.jobs[j], scenario.jobs[j], rng)
        hidden.jobs[j].saved = public.jobs[j].done
        hidden.jobs[j].since_checkpoint = rng.random() * public.settings.checkpoint_interval_seconds
    now = public.slot * public.settings.slot_seconds
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.failed[n]:
            left = repair_seconds(public.settings, scenario.key, NODE_REPAIR, n, public.slot + 1)
            hidden.node_repair_seconds[n] = now + left
    for s in range(public.servers.up.shape[0]):
        if not public.servers.up[s]:
            left = repair_seconds(public.settings, scenario.key, SERVER_REPAIR, s, public.slot + 1)
            hidden.server_repair_seconds[s] = now + left


@kernel
def _expected_traffic(public: Any, ahead: int) -> tuple[float, float]:
    """Mean and relative spread of the traffic some slots ahead, between the horizons of the forecast."""
    low, high, share = 0, 0, 0.0
    if ahead >= _FAR:
        low, high = 2, 2
    elif ahead >= _MIDDLE:
        low, high, share = 1, 2, (ahead - _MIDDLE) / (_FAR - _MIDDLE)
    elif ahead >= _NEAR:
        high, share = 1, (ahead - _NEAR) / (_MIDDLE - _NEAR)
    rows = public.forecast
    mean = (1.0 - share) * rows[low, 0] + share * rows[high, 0]
    width = (1.0 - share) * (rows[low, 2] - rows[low, 1]) + share * (rows[high, 2] - rows[high, 1])
    return mean, width / (_BAND * max(mean, 1e-6))


@kernel
def _draw_traffic(public: Any, scenario: Any, slots: int, rng: Any) -> None:
    shock = rng.standard_normal()
    rows = scenario.traffic.shape[0] - 1
    for ahead in range(1, slots + 1):
        mean, spread = _expected_traffic(public, ahead)
        value = mean * math.exp(spread * shock - 0.5 * spread * spread)
        scenario.traffic[(public.slot + ahead - 1) % rows + 1] = min(public.settings.max_load, max(0.0, value))
        for h in range(public.forecast.shape[0]):
            for column in range(public.forecast.shape[1]):
                row = (public.slot + ahead - 1) % scenario.forecast.shape[0]
                scenario.forecast[row, h, column] = public.forecast[h, column]


@kernel
def _draw_readers(public: Any, scenario: Any, slots: int) -> None:
    """The background readers go on reading what they are seen to read, at the level of the traffic."""
    datasets, rows = public.datasets, scenario.background.shape[0]
    for d in range(datasets.size.shape[0]):
        scenario.background[public.slot % rows, d] = datasets.demand[d]
    for k in range(public.active_count):
        job = public.jobs[public.active[k]]
        if job.last_workers > 0 and job.last_servers > 0:
            reads = job.observed_speed * public.settings.kinds[job.kind].bytes_per_sample
            left = scenario.background[public.slot % rows, job.dataset] - reads
            scenario.background[public.slot % rows, job.dataset] = max(0.0, left)
    for ahead in range(slots - 1, -1, -1):  # the row of this slot last, because all others are made of it
        traffic = scenario.traffic[(public.slot + ahead) % rows + 1]
        level = min(3.0, max(1.0 / 3.0, traffic / max(public.traffic, 1e-6)))
        for d in range(datasets.size.shape[0]):
            scenario.background[(public.slot + ahead) % rows, d] = level * scenario.background[public.slot % rows, d]


@kernel
def _draw_arrivals(public: Any, scenario: Any, slots: int, rng: Any) -> None:
    """Jobs of the same prior as an episode's; of the datasets, the hottest are taken to be the most popular."""
    settings, count = public.settings, public.datasets.size.shape[0]
    weights = zipf_weights(count, settings.zipf_exponent)
    order = _hottest_first(public.datasets.heat)
    for ahead in range(slots):
        slot = public.slot + ahead
        traffic = scenario.traffic[slot % (scenario.traffic.shape[0] - 1) + 1]
        for _ in range(poisson(settings.arrivals * traffic / settings.batch_jobs, rng)):
            arrival = (slot + rng.random()) * settings.slot_seconds
            kind = settings.kind_list[int(rng.random() * settings.kind_count)]
            mode = 1 if rng.random() < settings.asynchronous_share else 0
            dataset = order[rank(weights, rng.random())]
            for _ in range(geometric(settings.batch_jobs, rng)):
                if scenario.job_count == scenario.jobs.shape[0]:
                    return
                at = scenario.job_count
                while at > public.known_jobs and scenario.jobs[at - 1].arrival_seconds > arrival:
                    _copy_job(scenario.jobs[at - 1], scenario.jobs[at])
                    at -= 1
                job = scenario.jobs[at]
                job.arrival_seconds, job.kind, job.mode, job.dataset = arrival, kind, mode, dataset
                draw_job(settings, job, rng)
                scenario.job_count += 1


@kernel
def _hottest_first(heat: Any) -> Any:
    order = np.empty(heat.shape[0], np.int64)
    for d in range(heat.shape[0]):
        at = d
        while at > 0 and heat[order[at - 1]] < heat[d]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = d
    return order


@kernel
def _copy_job(source: Any, target: Any) -> None:
    target.arrival_seconds, target.kind, target.mode = source.arrival_seconds, source.kind, source.mode
    target.dataset, target.samples = source.dataset, source.samples
    for c in range(target.multiplier.shape[0]):
        target.multiplier[c] = source.multiplier[c]


@kernel
def _draw_coefficients(public: Any, job: Any, truth: Any, rng: Any) -> None:
    """True coefficients from their prior, scaled so that a job that has run would run at its estimated speed."""
    settings = public.settings
    for c in range(truth.multiplier.shape[0]):
        noise = math.exp(settings.coefficient_sigma * rng.standard_normal())
        truth.multiplier[c] = noise if settings.hidden_coefficients else 1.0
    servers, workers = job.last_servers, job.last_workers
    if job.observed_speed <= 0.0 or servers == 0 or workers == 0:
        return
    spread = settings.spread_penalty * max(0, last_nodes(job) - 1) if settings.spread_cost else 0.0
    speed = curve(settings.kinds[job.kind], job.mode, servers, workers, spread, truth.multiplier)
    scale = speed / estimated_speed(public, job, servers, workers)  # speed falls as all of them grow
    for c in range(truth.multiplier.shape[0]):
        truth.multiplier[c] *= scale


@kernel
def seconds_to_clear(states: Any, out: Any) -> None:
    """Estimates, for every cluster, the sum of the times that its unfinished jobs still take (s).

    As if jobs ran one after another on the whole cluster, the one of least remaining work first, but none faster than
    with one server and one worker: a rough price of what a look ahead leaves undone.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        count = public.active_count
        work, own = np.empty(count), np.empty(count)
        for k in range(count):
            job = public.jobs[public.active[k]]
            left = remaining_at_one_each(public, job)
            done = left * dominant_share(public.settings, job.kind, 1, 1)
            at = k
            while at > 0 and work[at - 1] > done:
                work[at], own[at] = work[at - 1], own[at - 1]
                at -= 1
            work[at], own[at] = done, left
        total, busy = 0.0, 0.0
        for k in range(count):
            busy += work[k]
            total += max(busy, own[k])
        out[index] = total
