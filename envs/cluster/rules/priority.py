"""Allocation by a parametric priority: what one more increment of tasks is worth, as a product of powers.

The rule takes the increment of the largest score, again and again, until none is worth its restart:

    score = gain^a x remaining^b x cost^c x size^d x age^e x stickiness,    b and c moving with the congestion

It respects what a change costs: time to the end holds a restart wherever the plan differs from the job's last one, and
beside the increments of up to three servers and three workers it weighs the step straight back to the last plan, which
costs none. With gain 1 and cost -1 alone this is SRPT-Optimus; with restarts counted as well it is its sticky form;
``psgym.agents.tuning`` finds better exponents by the cross-entropy method.

Those ten parameters size jobs as if each had a node to itself. Nine more know where an increment's tasks will sit: the
gain is that of speeds with the nodes over which the job would then be spread and with the neighbours that it would
have, each as heavy as its weight says (1: as the configuration does). An increment that fits on the nodes that the job
is already on has another score than one that needs new nodes, and so has one that leaves no room for a neighbour. CPU
and GPU need not be equally dear. What an increment must gain moves with the congestion, and a job that has never run,
or waits for data, scores differently. ``psgym.agents.search`` learns all nineteen.

No environment runs this rule in its own step, so its kernels are compiled only for those who use it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.jobs import last_nodes, neighbours_of
from psgym.envs.cluster.moves import STOP, first_task, grow, growth_fits
from psgym.envs.cluster.placement import SERVER, WORKER, bundle_fits, task_fits
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

WEIGHTS = (
    *PARAMETERS,
    "spread",
    "neighbours",
    "within",
    "full",
    "new_nodes",
    "gpu",
    "least_gain_congested",
    "never_run",
    "stalled",
)
"""Names of all weights: the parameters, and nine that know where tasks will sit.

``spread`` and ``neighbours`` weigh the configured penalties in the gain. ``within`` is added to the logarithm of the
score of an increment that fits on the job's own nodes, ``full`` where it leaves no room on its last node, ``new_nodes``
for each further node of a job that has some. ``gpu`` is the logarithm of the price of a share of all GPU over that of
an equal share of all CPU. ``least_gain_congested`` is added to ``least_gain`` for each e-fold of the congestion.
``never_run`` and ``stalled`` (times the share of the last slot spent waiting for data) are added for a job.
"""

GAIN, REMAINING, COST, SIZE, AGE, STICKINESS, RESTART, LEAST_GAIN, REMAINING_CONGESTED, COST_CONGESTED = range(10)
SPREAD, NEIGHBOURS, WITHIN, FULL, NEW_NODES, GPU, LEAST_GAIN_CONGESTED, NEVER_RUN, STALLED = range(10, 19)

AS_IT_WAS, AT_MOST, REMEMBERED = 16, 21, 25
"""A row of a memory: what must be as it was for a best increment to stand, what may only have shrunk, the increment."""


def make_memory(clusters: int, window: int) -> NDArray[np.float64]:
    """Returns an empty memory for :func:`extend_actions`; its last row is room to look things up."""
    return np.full((clusters, window + 1, REMEMBERED), np.nan)


@kernel
def congestion(public: Any) -> float:
    """Logarithm of the share of the powered cluster that one server and one worker for each unfinished job take."""
    settings, powered = public.settings, 0
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.draining[n] and not public.nodes.failed[n]:
            powered += 1
    return min(2.0, max(-2.0, math.log(max(public.demand, 1e-6) * settings.nodes / max(1, powered))))


@kernel
def _restart_seconds(job: Any, servers: int, workers: int, pause: float) -> float:
    """What it costs to run at an allocation: a restart, if it is not that of the last plan (s)."""
    return 0.0 if servers == job.last_servers and workers == job.last_workers else pause


@kernel
def _speed(public: Any, job: Any, servers: int, workers: int, nodes: int, beside: int, weights: Any) -> float:
    """The curve of a job's kind on so many nodes, beside so many other jobs on the fullest (samples/s).

    Without its own coefficients: two jobs of a kind have the same, so that ties stay ties.
    """
    settings, spread, crowd = public.settings, 0.0, 0.0
    if settings.spread_cost:
        spread = max(0.0, weights[SPREAD]) * settings.spread_penalty * max(0, nodes - 1)
    if settings.colocation_cost:
        crowd = max(0.0, weights[NEIGHBOURS]) * settings.colocation_penalty * beside
    return curve(settings.kinds[job.kind], job.mode, servers, workers, spread, settings.nominal) / (1.0 + crowd)


@kernel
def _node(job: Any, k: int) -> int:
    return int64(job.worker_node[k] if k < job.workers else job.server_node[k - job.workers])


@kernel
def _own_room(public: Any, job: Any) -> tuple[int, int]:
    """CPU and GPU on the job's nodes that are free and that no other plan claims."""
    nodes, cpu, gpu = public.nodes, 0, 0
    for k in range(job.workers + job.servers):
        node, new = _node(job, k), True
        for m in range(k):
            new = new and _node(job, m) != node
        if new:
            cpu += max(0, nodes.cpu_free[node] - nodes.cpu_claimed[node])
            gpu += max(0, nodes.gpu_free[node] - nodes.gpu_claimed[node])
    return cpu, gpu


@kernel
def _worth_of_job(public: Any, job: Any, weights: Any, crowd: float) -> float:
    """The part of the logarithm of a score that all increments of a job share."""
    seconds, slot = remaining_at_one_each(public, job), public.settings.slot_seconds
    left = max(1.0, seconds) / slot
    size = max(1.0, seconds * job.samples / (job.samples - job.done)) / slot
    age = max(0.0, public.slot - job.arrival_seconds / slot)
    worth = (
        (weights[REMAINING] + weights[REMAINING_CONGESTED] * crowd) * math.log(left)
        + weights[SIZE] * math.log(size)
        + weights[AGE] * math.log(1.0 + age)
    ) + weights[STALLED] * job.stall
    return float(worth if job.started else worth + weights[NEVER_RUN])


@kernel
def _best_increment(public: Any, k: int, weights: Any, crowd: float) -> tuple[int, int, float, float]:
    """Servers and workers of a window job's best increment (none if 0), its score, and the time to the end with it."""
    settings, job = public.settings, public.jobs[public.window[k]]
    row = settings.kinds[job.kind]
    pause = 0.0
    if settings.restart_cost:
        pause = weights[RESTART] * 0.5 * (settings.min_restart_seconds + settings.max_restart_seconds)
    price = weights[COST] + weights[COST_CONGESTED] * crowd
    least = max(0.0, weights[LEAST_GAIN] + weights[LEAST_GAIN_CONGESTED] * crowd)
    base, dear = _worth_of_job(public, job, weights, crowd), math.exp(weights[GPU])
    left = (job.samples - job.done) / job.ratio
    held, beside = job.nodes, neighbours_of(public, job)
    own_cpu, own_gpu = _own_room(public, job)
    now = _speed(public, job, job.servers, job.workers, held, beside, weights)
    restart = _restart_seconds(job, job.servers, job.workers, pause)
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
        cpu, gpu = workers * row.worker_cpu + servers * row.server_cpu, workers * row.worker_gpu
        beyond = max((cpu - own_cpu) / settings.node_cpu, (gpu - own_gpu) / max(1, settings.node_gpu))
        more = max(0, math.ceil(beyond - 1e-9))
        full = abs(beyond - more) < 1e-9
        nodes = last_nodes(job) if step == steps else held + more
        near = max(beside, 1) if more > 0 and not full else beside  # a node with room left will be shared
        then = _speed(public, job, job.servers + servers, job.workers + workers, nodes, near, weights)
        if then <= 0.0:
            continue
        again = _restart_seconds(job, job.servers + servers, job.workers + workers, pause)
        # Time to the end after the increment over that before it; exactly now / then where nothing restarts.
        gain = 1.0 - (now / then) * (1.0 + again * then / left) / (1.0 + restart * now / left)
        within = job.servers + servers <= job.last_servers and job.workers + workers <= job.last_workers
        if gain <= (0.0 if within else least):
            continue
        end = left / then + again
        share = max(cpu / settings.node_cpu, dear * gpu / max(1, settings.node_gpu)) / settings.nodes
        score = base + weights[GAIN] * math.log(gain) + price * math.log(share)
        score += (weights[STICKINESS] if within else 0.0) + (weights[FULL] if full else 0.0)
        if held > 0:
            score += weights[WITHIN] if more == 0 else weights[NEW_NODES] * more
        if score > highest or (score == highest and end < soonest):
            more_servers, more_workers, highest, soonest = servers, workers, score, end
    return more_servers, more_workers, highest, soonest


@kernel
def _look(public: Any, k: int, crowd: float, row: Any) -> None:
    """Writes what the best increment of a window job depends on, beside the weights and what stays within a slot."""
    j = public.window[k]
    job = public.jobs[j]
    own_cpu, own_gpu = _own_room(public, job)
    row[0], row[1], row[2], row[3] = public.slot, j, crowd, job.kind
    row[4], row[5], row[6], row[7] = job.done, job.ratio, job.stall, job.samples
    row[8], row[9], row[10], row[11] = job.servers, job.workers, job.last_servers, job.last_workers
    row[12], row[13], row[14], row[15] = own_cpu, own_gpu, job.nodes, neighbours_of(public, job)
    row[16], row[17], row[18] = public.cpu_free, public.gpu_free, bundle_fits(public, job.kind)
    row[19], row[20] = task_fits(public, job.kind, WORKER), task_fits(public, job.kind, SERVER)


@kernel
def _remember(public: Any, k: int, weights: Any, crowd: float, memory: Any) -> None:
    """Brings a row of the memory up to date: scores the job again unless its best increment must be the same.

    If nothing has changed but the room elsewhere, and that has shrunk, then what fits is among what fitted, and the
    best of that is still the best as long as it fits itself.
    """
    row, seen = memory[k], memory[memory.shape[0] - 1]
    _look(public, k, crowd, seen)
    stands = True
    for part in range(AS_IT_WAS):
        stands = stands and row[part] == seen[part]
    for part in range(AS_IT_WAS, AT_MOST):
        stands = stands and row[part] >= seen[part]
    servers, workers = (int64(row[AT_MOST]), int64(row[AT_MOST + 1])) if stands else (0, 0)
    if stands and (servers + workers == 0 or growth_fits(public, k, servers, workers)):
        return
    for part in range(AT_MOST):
        row[part] = seen[part]
    row[AT_MOST], row[AT_MOST + 1], row[AT_MOST + 2], row[AT_MOST + 3] = _best_increment(public, k, weights, crowd)


@kernel
def next_priority(public: Any, weights: Any, memory: Any) -> int:
    """The code of the window job and task with the highest score (``psgym.envs.cluster.moves``), or ``STOP``.

    Args:
        public: All that a policy may know.
        weights: Of shape (19,), as in ``WEIGHTS``.
        memory: Best increments of the jobs, which only those weights have written to, as from :func:`make_memory`.
    """
    if not public.planning:
        return STOP
    crowd = congestion(public)
    best, highest, soonest = STOP, float("-inf"), float("inf")
    for k in range(public.window_count):
        _remember(public, k, weights, crowd, memory)
        servers, workers = int64(memory[k, AT_MOST]), int64(memory[k, AT_MOST + 1])
        score, end = memory[k, AT_MOST + 2], memory[k, AT_MOST + 3]
        if servers + workers > 0 and (score > highest or (score == highest and end < soonest)):
            best, highest, soonest = 1 + 3 * k + first_task(servers, workers), score, end
    return best


@kernel
def extend_actions(states: Any, weights: Any, memory: Any, actions: Any) -> None:
    """Puts the rule's next action in the place of every COMMIT; row i of weights and memory is that of cluster i."""
    for index in range(states.shape[0]):
        public = states[index].public
        if actions[index] == 0 and public.settings.decides_allocation:
            code = next_priority(public, weights[index], memory[index])
            if code > 0:
                actions[index] = public.settings.first_allocation + code


@kernel
def plan_at_once(states: Any, weights: Any, codes: Any) -> None:
    """Carries out all of the rule's decisions of a slot in every cluster, which leaves the slot to be committed.

    Without observations and masks in between, for those who need neither. A job is scored again only when it has grown
    or its best increment no longer fits. Where nothing but the ten parameters counts, that is the plan of single
    decisions; with the other weights it differs a little, because what others do meanwhile to the room on a job's nodes
    is left out.

    Args:
        states: The clusters.
        weights: Row i is that of cluster i, shape ``(clusters, 19)``.
        codes: Filled with the decisions, ``STOP`` after the last, shape ``(clusters, at least the most of a slot)``.
    """
    for index in range(states.shape[0]):
        codes[index, 0] = STOP
        if states[index].public.planning:
            _plan(states[index].public, weights[index], codes[index])


@kernel
def _plan(public: Any, weights: Any, codes: Any) -> None:
    count = public.window_count
    servers, workers = np.zeros(count, np.int64), np.zeros(count, np.int64)
    scores, ends = np.zeros(count), np.zeros(count)
    crowd = congestion(public)
    for k in range(count):
        servers[k], workers[k], scores[k], ends[k] = _best_increment(public, k, weights, crowd)
    for decision in range(public.settings.max_decisions_per_slot - 1 - public.decisions):
        best = -1
        for k in range(count):
            if servers[k] + workers[k] > 0 and not growth_fits(public, k, servers[k], workers[k]):
                servers[k], workers[k], scores[k], ends[k] = _best_increment(public, k, weights, crowd)
            if servers[k] + workers[k] == 0:
                continue
            if best < 0 or scores[k] > scores[best] or (scores[k] == scores[best] and ends[k] < ends[best]):
                best = k
        if best < 0:
            return
        codes[decision] = 1 + 3 * best + first_task(servers[best], workers[best])
        codes[decision + 1] = STOP
        grow(public, codes[decision])
        servers[best], workers[best], scores[best], ends[best] = _best_increment(public, best, weights, crowd)
