"""Allocation by a parametric priority: what one more increment of tasks is worth, as a product of powers.

The rule takes the increment of the largest score, again and again, until none is worth its restart:

    score = gain^a x remaining^b x cost^c x size^d x age^e x stickiness,    b and c moving with the congestion

It respects what a change costs: time to the end holds a restart wherever the plan differs from the job's last one, and
beside the increments of up to three servers and three workers it weighs the step straight back to the last plan, which
costs none. With gain 1 and cost -1 alone this is SRPT-Optimus; with restarts counted as well it is its sticky form;
``psgym.agents.tuning`` finds better exponents by the cross-entropy method.

No environment runs this rule in its own step, so its kernels are compiled only for those who use it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import dominant_share
from psgym.envs.cluster.moves import STOP, first_task, grow, growth_fits
from psgym.envs.cluster.rules.allocation import LOOK_AHEAD
from psgym.envs.cluster.speed import curve, remaining_at_one_each

PARAMETERS = (
    "gain",
    "remaining",
    "cost",
    "size",
    "age",
    "stickiness",
    "restart",
    "least_gain",
    "remaining_congested",
    "cost_congested",
)
"""Names of the rule's parameters, in the order of their array.

``gain``, ``remaining``, ``cost``, ``size`` and ``age`` are exponents of: the share of the time to the end that the
increment saves; that time at one server and one worker; the increment's dominant share of the cluster; the whole job's
time at one and one; the slots since its arrival, plus one. ``stickiness`` is added to the logarithm of the score of an
increment within the last plan. ``restart`` is how many mean restarts a change is taken to cost, ``least_gain`` what an
increment must gain. The last two are added to ``remaining`` and ``cost`` once for each e-fold of the congestion: the
share of the cluster that one server and one worker for every unfinished job would take.
"""

GAIN, REMAINING, COST, SIZE, AGE, STICKINESS, RESTART, LEAST_GAIN, REMAINING_CONGESTED, COST_CONGESTED = range(10)


@kernel
def congestion(public: Any) -> float:
    """Logarithm of the share of the powered cluster that one server and one worker for each unfinished job take."""
    settings, demand, powered = public.settings, 0.0, 0
    for k in range(public.active_count):
        demand += dominant_share(settings, public.jobs[public.active[k]].kind, 1, 1)
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.draining[n] and not public.nodes.failed[n]:
            powered += 1
    return min(2.0, max(-2.0, math.log(max(demand, 1e-6) * settings.nodes / max(1, powered))))


@kernel
def restart_seconds(job: Any, servers: int, workers: int, pause: float) -> float:
    """What it costs to run at an allocation: a restart, if it is not that of the last plan (s)."""
    return 0.0 if servers == job.last_servers and workers == job.last_workers else pause


@kernel
def next_priority(public: Any, parameters: Any) -> int:
    """The code of the window job and task with the highest score (``psgym.envs.cluster.moves``), or ``STOP``.

    Args:
        public: All that a policy may know.
        parameters: Of shape (10,), as in ``PARAMETERS``.
    """
    if not public.planning:
        return STOP
    crowd = congestion(public)
    best, highest, soonest = STOP, float("-inf"), float("inf")
    for k in range(public.window_count):
        servers, workers, score, end = _best_increment(public, k, parameters, crowd)
        if servers + workers > 0 and (score > highest or (score == highest and end < soonest)):
            best, highest, soonest = 1 + 3 * k + first_task(servers, workers), score, end
    return best


@kernel
def nominal_speed(public: Any, job: Any, servers: int, workers: int) -> float:
    """The curve of a kind at an allocation (samples/s): two jobs of a kind have the same, so that ties stay ties."""
    settings = public.settings
    return curve(settings.kinds[job.kind], job.mode, servers, workers, 0.0, settings.nominal)


@kernel
def _best_increment(public: Any, k: int, parameters: Any, crowd: float) -> tuple[int, int, float, float]:
    """Servers and workers of a window job's best increment (none if 0), its score, and the time to the end with it."""
    settings, job = public.settings, public.jobs[public.window[k]]
    pause = 0.0
    if settings.restart_cost:
        pause = parameters[RESTART] * 0.5 * (settings.min_restart_seconds + settings.max_restart_seconds)
    price = parameters[COST] + parameters[COST_CONGESTED] * crowd
    base = worth_of_job(public, job, parameters, crowd)
    left = (job.samples - job.done) / job.ratio
    now = nominal_speed(public, job, job.servers, job.workers)
    restart = restart_seconds(job, job.servers, job.workers, pause)
    most_servers = min(LOOK_AHEAD, settings.max_servers - job.servers)
    most_workers = min(LOOK_AHEAD, settings.max_workers - job.workers)
    steps = (most_servers + 1) * (most_workers + 1)
    more_servers, more_workers, highest, soonest = 0, 0, float("-inf"), float("inf")
    for step in range(1, steps + 1):
        servers, workers = step // (most_workers + 1), step % (most_workers + 1)
        if step == steps:  # and one look beyond: straight back to the last plan
            servers, workers = job.last_servers - job.servers, job.last_workers - job.workers
            if pause == 0.0 or servers < 0 or workers < 0 or servers + workers == 0:
                continue
        if not growth_fits(public, k, servers, workers):
            continue
        then = nominal_speed(public, job, job.servers + servers, job.workers + workers)
        if then <= 0.0:
            continue
        again = restart_seconds(job, job.servers + servers, job.workers + workers, pause)
        # Time to the end after the increment over that before it; exactly now / then where nothing restarts.
        gain = 1.0 - (now / then) * (1.0 + again * then / left) / (1.0 + restart * now / left)
        within = job.servers + servers <= job.last_servers and job.workers + workers <= job.last_workers
        if gain <= (0.0 if within else max(0.0, parameters[LEAST_GAIN])):
            continue
        end = left / then + again
        score = base + parameters[GAIN] * math.log(gain)
        score += price * math.log(dominant_share(settings, job.kind, servers, workers))
        score += parameters[STICKINESS] if within else 0.0
        if score > highest or (score == highest and end < soonest):
            more_servers, more_workers, highest, soonest = servers, workers, score, end
    return more_servers, more_workers, highest, soonest


@kernel
def worth_of_job(public: Any, job: Any, parameters: Any, crowd: float) -> float:
    """The part of the logarithm of a score that all increments of a job share."""
    seconds, slot = remaining_at_one_each(public, job), public.settings.slot_seconds
    left = max(1.0, seconds) / slot
    size = max(1.0, seconds * job.samples / (job.samples - job.done)) / slot
    age = max(0.0, public.slot - job.arrival_seconds / slot)
    return (
        (parameters[REMAINING] + parameters[REMAINING_CONGESTED] * crowd) * math.log(left)
        + parameters[SIZE] * math.log(size)
        + parameters[AGE] * math.log(1.0 + age)
    )


@kernel
def extend_actions(states: Any, parameters: Any, actions: Any) -> None:
    """Puts the rule's next action in the place of every COMMIT; row i of the parameters is that of cluster i."""
    for index in range(states.shape[0]):
        public = states[index].public
        if actions[index] == 0 and public.settings.decides_allocation:
            code = next_priority(public, parameters[index])
            if code > 0:
                actions[index] = public.settings.first_allocation + code


@kernel
def plan_at_once(states: Any, parameters: Any, codes: Any) -> None:
    """Carries out all of the rule's decisions of a slot in every cluster, which leaves the slot to be committed.

    The same plan as by single decisions, without observations and masks in between, for those who need neither.

    Args:
        states: The clusters.
        parameters: Row i is that of cluster i, shape ``(clusters, 10)``.
        codes: Filled with the decisions, ``STOP`` after the last, shape ``(clusters, at least the most of a slot)``.
    """
    for index in range(states.shape[0]):
        codes[index, 0] = STOP
        if states[index].public.planning:
            _plan(states[index].public, parameters[index], codes[index])


@kernel
def _plan(public: Any, parameters: Any, codes: Any) -> None:
    count = public.window_count
    servers, workers = np.zeros(count, np.int64), np.zeros(count, np.int64)
    scores, ends = np.zeros(count), np.zeros(count)
    crowd = congestion(public)
    for k in range(count):
        servers[k], workers[k], scores[k], ends[k] = _best_increment(public, k, parameters, crowd)
    for decision in range(public.settings.max_decisions_per_slot - 1 - public.decisions):
        best = -1
        for k in range(count):
            # A task placed elsewhere leaves a job's scores as they are, and can only make an increment not fit.
            if servers[k] + workers[k] > 0 and not growth_fits(public, k, servers[k], workers[k]):
                servers[k], workers[k], scores[k], ends[k] = _best_increment(public, k, parameters, crowd)
            if servers[k] + workers[k] == 0:
                continue
            if best < 0 or scores[k] > scores[best] or (scores[k] == scores[best] and ends[k] < ends[best]):
                best = k
        if best < 0:
            return
        codes[decision] = 1 + 3 * best + first_task(servers[best], workers[best])
        codes[decision + 1] = STOP
        grow(public, codes[decision])
        servers[best], workers[best], scores[best], ends[best] = _best_increment(public, best, parameters, crowd)
