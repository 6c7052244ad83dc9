"""Training jobs within a slot: restarts, true speeds, progress, checkpoints, losses, and the end."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.chance import RESTART, SPEED_NOISE, normal, uniform
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.placement import vacate_all
from psgym.envs.cluster.speed import curve, observe_speed


@kernel
def differs_from_last(job: Any) -> bool:
    """Whether the plan differs from the last slot's in p, w, or the node of any task."""
    if job.workers != job.last_workers or job.servers != job.last_servers:
        return True
    for k in range(job.workers):
        if job.worker_node[k] != job.last_worker_node[k]:
            return True
    for k in range(job.servers):
        if job.server_node[k] != job.last_server_node[k]:
            return True
    return False


@kernel
def _last_node(job: Any, k: int) -> int:
    return int64(job.last_worker_node[k] if k < job.last_workers else job.last_server_node[k - job.last_workers])


@kernel
def last_nodes(job: Any) -> int:
    """Number of distinct nodes of the job's last plan."""
    count = 0
    for k in range(job.last_workers + job.last_servers):
        node, new = _last_node(job, k), True
        for m in range(k):
            new = new and _last_node(job, m) != node
        count += 1 if new else 0
    return count


@kernel
def neighbours_of(public: Any, job: Any) -> int:
    """Other jobs on the most crowded of the job's nodes: the slowest task sets the pace."""
    most = 0
    for k in range(job.workers):
        most = max(most, public.nodes.jobs[job.worker_node[k]] - 1)
    for k in range(job.servers):
        most = max(most, public.nodes.jobs[job.server_node[k]] - 1)
    return most


@kernel
def true_speed(public: Any, job: Any, multiplier: Any) -> float:
    """Speed of the job at its plan with its true coefficients, spread and neighbours, before data stalls."""
    settings = public.settings
    spread = settings.spread_penalty * max(0, job.nodes - 1) if settings.spread_cost else 0.0
    speed = curve(settings.kinds[job.kind], job.mode, job.servers, job.workers, spread, multiplier)
    if settings.colocation_cost:
        speed /= 1.0 + settings.colocation_penalty * neighbours_of(public, job)
    return speed


@kernel
def settle_plan(state: Any, scenario: Any) -> None:
    """Compares every job's plan with the last, charges restarts, and fixes the true speeds of the slot.

    Plans change only in a slot that plans anew; in any other, the same jobs run at the same true speeds.
    """
    public, hidden = state.public, state.hidden
    if public.planning:
        hidden.running_count = 0
        for k in range(public.active_count):
            index = public.active[k]
            _settle_job(state, scenario, index)
            _begin_slot(hidden.jobs[index])
            if hidden.jobs[index].true_speed > 0.0:
                hidden.running[hidden.running_count] = index
                hidden.running_count += 1
    else:
        for k in range(hidden.running_count):
            _begin_slot(hidden.jobs[hidden.running[k]])


@kernel
def _begin_slot(secret: Any) -> None:
    secret.asked = 0.0
    secret.lost_task = False
    secret.run_seconds = 0.0
    secret.stall_seconds = 0.0
    secret.pause_seconds = 0.0


@kernel
def _settle_job(state: Any, scenario: Any, index: int) -> None:
    public, hidden, settings = state.public, state.hidden, state.public.settings
    job, secret = public.jobs[index], hidden.jobs[index]
    if differs_from_last(job):
        secret.saved = job.done  # a planned change writes a checkpoint first
        secret.since_checkpoint = 0.0
        secret.pause = 0.0
        if job.workers > 0 and job.servers > 0 and settings.restart_cost:
            span = settings.max_restart_seconds - settings.min_restart_seconds
            draw = uniform(scenario.key, RESTART, index, public.slot)
            secret.pause = settings.min_restart_seconds + span * draw
        if job.started:
            hidden.totals.restarts += 1
        _remember_plan(job)
    secret.true_speed = true_speed(public, job, scenario.jobs[index].multiplier)
    job.started = job.started or secret.true_speed > 0.0


@kernel
def _remember_plan(job: Any) -> None:
    job.last_workers, job.last_servers = job.workers, job.servers
    for k in range(job.workers):
        job.last_worker_node[k] = job.worker_node[k]
    for k in range(job.servers):
        job.last_server_node[k] = job.server_node[k]


@kernel
def strike_failed_nodes(state: Any, substep: int) -> bool:
    """Stops the jobs that lose a task to a node failing in this sub-slot; a lost server loses unsaved progress.

    Returns:
        Whether any job lost a task.
    """
    public, hidden = state.public, state.hidden
    struck = False
    for n in range(public.nodes.on.shape[0]):
        if hidden.node_fails_at[n] != substep or public.nodes.failed[n]:
            continue
        if public.nodes.on[n]:
            hidden.totals.node_failures += 1
        if public.nodes.tasks[n] == 0:
            continue
        for k in range(public.active_count):
            index = public.active[k]
            job, secret = public.jobs[index], hidden.jobs[index]
            if secret.finish_seconds > 0.0:
                continue  # it ended earlier in this slot, and has nothing left to lose
            lost_server = _holds(job.server_node, job.servers, n)
            if lost_server or _holds(job.worker_node, job.workers, n):
                secret.lost_task = struck = True
            if lost_server:
                hidden.totals.samples_lost += job.done - secret.saved
                job.done = secret.saved
    return struck


@kernel
def _holds(task_node: Any, count: int, node: int) -> bool:
    for k in range(count):
        if task_node[k] == node:
            return True
    return False


@kernel
def runs(secret: Any) -> bool:
    """Whether a job makes progress, or restarts to do so, in the current sub-slot."""
    return secret.true_speed > 0.0 and not secret.lost_task and secret.finish_seconds == 0.0


@kernel
def ask_for_data(state: Any) -> bool:
    """Notes what each running job reads from now on if nothing stalls it (bytes/s); True if any amount changed."""
    public, hidden = state.public, state.hidden
    changed = False
    for k in range(hidden.running_count):
        index = hidden.running[k]
        changed = _ask(public.settings, public.jobs[index], hidden.jobs[index]) or changed
    return changed


@kernel
def _ask(settings: Any, job: Any, secret: Any) -> bool:
    dt, asked = settings.storage_seconds, 0.0
    if runs(secret) and secret.pause < dt:
        share = (dt - secret.pause) / dt
        asked = secret.true_speed * share * settings.kinds[job.kind].bytes_per_sample
    changed = asked != secret.asked
    secret.asked = asked
    return bool(changed)


@kernel
def make_progress(state: Any, substep: int) -> bool:
    """Moves every running job on by one sub-slot: pause first, then samples at the speed that the data allow.

    Returns:
        Whether any job asks for another amount of data in the next sub-slot.
    """
    public, hidden, settings = state.public, state.hidden, state.public.settings
    dt = settings.storage_seconds
    begin = public.slot * settings.slot_seconds + substep * dt
    changed = False
    for k in range(hidden.running_count):
        job, secret = public.jobs[hidden.running[k]], hidden.jobs[hidden.running[k]]
        if not runs(secret):
            continue
        paused = min(secret.pause, dt)
        secret.pause -= paused
        secret.pause_seconds += paused
        run = dt - paused
        factor = hidden.speed_factor[job.dataset]
        speed, missing = secret.true_speed * factor, job.samples - job.done
        before = job.done
        if speed * run >= missing:
            run = missing / speed if speed > 0.0 else 0.0  # rounding may leave a stalled job with nothing to do
            job.done = job.samples
            secret.finish_seconds = begin + paused + run - job.arrival_seconds
        else:
            job.done += speed * run
        hidden.totals.bytes_read += (job.done - before) * settings.kinds[job.kind].bytes_per_sample
        secret.run_seconds += run
        secret.stall_seconds += run * (1.0 - factor)
        secret.since_checkpoint += run
        if secret.since_checkpoint >= settings.checkpoint_interval_seconds:
            secret.since_checkpoint = 0.0
            secret.saved = job.done
            secret.pause += settings.checkpoint_pause_seconds
        if paused > 0.0 or secret.pause > 0.0 or secret.finish_seconds > 0.0:  # else it asks for what it did
            changed = _ask(settings, job, secret) or changed
    return changed


@kernel
def close_jobs(state: Any, scenario: Any) -> tuple[float, bool]:
    """Ends the slot for all jobs: observes speeds, books times, releases what finished or lost a task.

    Returns:
        The job-seconds unfinished in the slot (of the jobs known at its start), and whether any job finished or lost
        a task.
    """
    public, hidden, settings = state.public, state.hidden, state.public.settings
    totals = hidden.totals
    kept, unfinished, event = 0, 0.0, False
    for k in range(public.active_count):
        index = public.active[k]
        job, secret = public.jobs[index], hidden.jobs[index]
        _book_resources(public, job, totals)
        totals.run_seconds += secret.run_seconds
        totals.stall_seconds += secret.stall_seconds
        totals.pause_seconds += secret.pause_seconds
        job.restarting = secret.pause_seconds > 0.0
        if secret.run_seconds > 0.0:
            job.stall = secret.stall_seconds / secret.run_seconds
            sigma = settings.speed_noise_sigma if settings.noisy_speed else 0.0
            noise = math.exp(sigma * normal(scenario.key, SPEED_NOISE, index, public.slot))
            observe_speed(public, job, secret.true_speed * noise, job.servers, job.workers)
        if secret.finish_seconds > 0.0:
            unfinished += secret.finish_seconds + job.arrival_seconds - public.slot * settings.slot_seconds
            _finish(public, hidden, job, secret.finish_seconds)
            event = True
            continue
        unfinished += settings.slot_seconds
        if secret.lost_task:
            vacate_all(public, job)
            job.last_workers, job.last_servers = 0, 0  # whatever comes next is a restart
            event = True
        public.active[kept] = index
        kept += 1
    public.active_count = kept
    return unfinished, event


@kernel
def _book_resources(public: Any, job: Any, totals: Any) -> None:
    kind, seconds = public.settings.kinds[job.kind], public.settings.slot_seconds
    totals.cpu_seconds += (job.workers * kind.worker_cpu + job.servers * kind.server_cpu) * seconds
    totals.gpu_seconds += job.workers * kind.worker_gpu * seconds


@kernel
def _finish(public: Any, hidden: Any, job: Any, seconds: float) -> None:
    vacate_all(public, job)
    public.datasets.readers[job.dataset] -= 1
    totals = hidden.totals
    at = totals.finished  # insertion keeps the completion times in order, for exact percentiles
    while at > 0 and hidden.completion[at - 1] > seconds:
        hidden.completion[at] = hidden.completion[at - 1]
        at -= 1
    hidden.completion[at] = seconds
    totals.finished += 1
    totals.completion_seconds += seconds


@kernel
def admit_arrivals(state: Any, scenario: Any, until: float) -> tuple[float, float]:
    """Makes the jobs known that arrive before ``until`` (s).

    Returns:
        Their unfinished job-seconds up to ``until``, and their work at one each (share of the cluster x s).
    """
    public, settings = state.public, state.public.settings
    waited, work = 0.0, 0.0
    while public.known_jobs < scenario.job_count and scenario.jobs[public.known_jobs].arrival_seconds < until:
        index = public.known_jobs
        job, truth = public.jobs[index], scenario.jobs[index]
        job.arrival_seconds, job.kind, job.mode = truth.arrival_seconds, truth.kind, truth.mode
        job.dataset, job.samples, job.ratio = truth.dataset, truth.samples, 1.0
        public.datasets.readers[job.dataset] += 1
        public.active[public.active_count] = index
        public.active_count += 1
        public.known_jobs += 1
        waited += until - job.arrival_seconds
        speed = settings.kinds[job.kind].speed_at_one_each[job.mode]
        work += job.samples / speed * dominant_share(settings, job.kind, 1, 1)
    return waited, work


@kernel
def dominant_share(settings: Any, kind: int, servers: int, workers: int) -> float:
    """Largest share of any resource of the cluster that an allocation of a kind takes (Ghodsi et al., NSDI 2011)."""
    row = settings.kinds[kind]
    cpu = (workers * row.worker_cpu + servers * row.server_cpu) / (settings.nodes * settings.node_cpu)
    gpu = workers * row.worker_gpu / max(1, settings.nodes * settings.node_gpu)
    return max(cpu, gpu)


@kernel
def count_demand(public: Any) -> None:
    """Adds up what one server and one worker for each unfinished job take, as dominant shares of the cluster."""
    public.demand = 0.0
    for k in range(public.active_count):
        public.demand += dominant_share(public.settings, public.jobs[public.active[k]].kind, 1, 1)
