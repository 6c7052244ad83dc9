"""Where tasks sit: free capacity of nodes, claims of the last plan, and the node that a new task takes.

``public.fits[shape]`` counts, for the kinds whose tasks have that shape and over nodes that take tasks, those that hold
a worker, a server, both together, and either alone. The counts follow every change of a node while a slot is planned,
so that the action mask costs O(1) a job and is still exact.
"""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.jit import int64, kernel

WORKER, SERVER = 0, 1


@kernel
def takes_tasks(public: Any, node: int) -> bool:
    """Whether new tasks may be placed on a node: on, booted, sound and not draining."""
    nodes = public.nodes
    if not nodes.on[node] or nodes.draining[node] or nodes.failed[node]:
        return False
    return nodes.ready_seconds[node] <= public.slot * public.settings.slot_seconds


@kernel
def count_fits(public: Any, node: int, sign: int) -> None:
    """Adds (+1) or removes (-1) a node's part in what fits and is free; call before and after a change of the node."""
    if not takes_tasks(public, node):
        return
    cpu, gpu = public.nodes.cpu_free[node], public.nodes.gpu_free[node]
    settings, fits = public.settings, public.fits
    public.cpu_free += sign * cpu
    public.gpu_free += sign * gpu
    for shape in range(settings.shapes):
        kind = settings.kinds[settings.shape_kind[shape]]
        worker = cpu >= kind.worker_cpu and gpu >= kind.worker_gpu
        server = cpu >= kind.server_cpu
        both = worker and cpu >= kind.worker_cpu + kind.server_cpu
        either = worker and server
        fits[shape, 0] += sign * worker
        fits[shape, 1] += sign * server
        fits[shape, 2] += sign * both
        fits[shape, 3] += sign * either


@kernel
def recount_fits(public: Any) -> None:
    """Counts what fits and is free from nothing."""
    for shape in range(public.settings.shapes):
        for count in range(public.fits.shape[1]):
            public.fits[shape, count] = 0
    public.cpu_free = 0
    public.gpu_free = 0
    for node in range(public.nodes.on.shape[0]):
        count_fits(public, node, 1)


@kernel
def task_fits(public: Any, kind: int, role: int) -> bool:
    """Whether a worker, or a server, of a kind can be placed somewhere in the cluster."""
    return public.fits[public.settings.kinds[kind].shape, role] > 0


@kernel
def bundle_fits(public: Any, kind: int) -> bool:
    """Whether a worker and a server of a kind can be placed together somewhere in the cluster."""
    shape = public.settings.kinds[kind].shape
    worker, server = public.fits[shape, 0], public.fits[shape, 1]
    both, either = public.fits[shape, 2], public.fits[shape, 3]
    if both > 0:
        return True
    if worker == 0 or server == 0:
        return False
    # The only way to fail now is a single node that holds either task, but not both.
    return not (worker == 1 and server == 1 and either == 1)


@kernel
def _task_need(public: Any, job: Any, role: int) -> tuple[int, int]:
    kind = public.settings.kinds[job.kind]
    if role == WORKER:
        return kind.worker_cpu, kind.worker_gpu
    return kind.server_cpu, 0


@kernel
def _hosts(public: Any, node: int, cpu: int, gpu: int) -> bool:
    nodes = public.nodes
    return nodes.cpu_free[node] >= cpu and nodes.gpu_free[node] >= gpu and takes_tasks(public, node)


@kernel
def _has_task_on(job: Any, node: int) -> bool:
    for k in range(job.workers):
        if job.worker_node[k] == node:
            return True
    for k in range(job.servers):
        if job.server_node[k] == node:
            return True
    return False


@kernel
def occupy(public: Any, job: Any, role: int, node: int) -> None:
    """Puts the job's next worker or server on a node that has room for it."""
    nodes = public.nodes
    cpu, gpu = _task_need(public, job, role)
    count_fits(public, node, -1)
    if not _has_task_on(job, node):
        nodes.jobs[node] += 1
        job.nodes += 1
    nodes.cpu_free[node] -= cpu
    nodes.gpu_free[node] -= gpu
    nodes.tasks[node] += 1
    if role == WORKER:
        job.worker_node[job.workers] = node
        job.workers += 1
    else:
        job.server_node[job.servers] = node
        job.servers += 1
    count_fits(public, node, 1)


@kernel
def vacate(public: Any, job: Any, role: int) -> int:
    """Takes the job's newest worker or server off its node, which is returned; ``fits`` is left to the caller."""
    nodes = public.nodes
    cpu, gpu = _task_need(public, job, role)
    if role == WORKER:
        job.workers -= 1
        node = int64(job.worker_node[job.workers])
    else:
        job.servers -= 1
        node = int64(job.server_node[job.servers])
    nodes.cpu_free[node] += cpu
    nodes.gpu_free[node] += gpu
    nodes.tasks[node] -= 1
    if not _has_task_on(job, node):
        nodes.jobs[node] -= 1
        job.nodes -= 1
    return node


@kernel
def vacate_all(public: Any, job: Any) -> None:
    """Takes every task of a job off its node; ``fits`` is left to the caller."""
    while job.workers > 0:
        vacate(public, job, WORKER)
    while job.servers > 0:
        vacate(public, job, SERVER)


@kernel
def _take_back(public: Any, job: Any, role: int, node: int) -> None:
    """Takes the job's newest worker or server off its node again."""
    count_fits(public, node, -1)
    vacate(public, job, role)
    count_fits(public, node, 1)


@kernel
def claim_last(public: Any, job: Any, sign: int) -> None:
    """Adds or removes the job's claims on the nodes of its last plan."""
    cpu, gpu = _task_need(public, job, WORKER)
    for k in range(job.last_workers):
        public.nodes.cpu_claimed[job.last_worker_node[k]] += sign * cpu
        public.nodes.gpu_claimed[job.last_worker_node[k]] += sign * gpu
    cpu, gpu = _task_need(public, job, SERVER)
    for k in range(job.last_servers):
        public.nodes.cpu_claimed[job.last_server_node[k]] += sign * cpu


@kernel
def _last_node(job: Any, role: int) -> int:
    """The node that this job's next task of a role had in the last plan, or -1."""
    if role == WORKER:
        return int64(job.last_worker_node[job.workers]) if job.workers < job.last_workers else -1
    return int64(job.last_server_node[job.servers]) if job.servers < job.last_servers else -1


@kernel
def _score(public: Any, node: int, cpu: int, gpu: int) -> int:
    """Preference for a node: first one whose room nobody claims, then the one that the task unbalances least.

    In whole numbers: the shares that are free, of CPU and of GPU, times what a node has of both.
    """
    nodes, settings = public.nodes, public.settings
    free_cpu = nodes.cpu_free[node] - nodes.cpu_claimed[node]
    free_gpu = nodes.gpu_free[node] - nodes.gpu_claimed[node]
    node_gpu = max(1, settings.node_gpu)
    unclaimed = 4 * settings.node_cpu * node_gpu if free_cpu >= cpu and free_gpu >= gpu else 0
    cpu_share, gpu_share = free_cpu * node_gpu, free_gpu * settings.node_cpu
    # A task without GPU goes where CPU is left over, so that it strands no GPU; a GPU task goes to the emptiest node.
    return int64(unclaimed + (cpu_share + gpu_share if gpu > 0 else cpu_share - gpu_share))


@kernel
def _own_node(public: Any, job: Any, cpu: int, gpu: int) -> int:
    """A node that already holds a task of the job and has room that nobody claims, or -1."""
    nodes = public.nodes
    for k in range(job.workers + job.servers):
        node = int64(job.worker_node[k] if k < job.workers else job.server_node[k - job.workers])
        unclaimed_cpu = nodes.cpu_free[node] - nodes.cpu_claimed[node]
        unclaimed_gpu = nodes.gpu_free[node] - nodes.gpu_claimed[node]
        if unclaimed_cpu >= cpu and unclaimed_gpu >= gpu and _hosts(public, node, cpu, gpu):
            return node
    return -1


@kernel
def find_node(public: Any, job: Any, role: int) -> int:
    """The node for the job's next task: its old one, else one the job is on, else the best free one; -1 if none."""
    cpu, gpu = _task_need(public, job, role)
    node = _last_node(job, role)
    if node >= 0 and _hosts(public, node, cpu, gpu):
        return node
    node = _own_node(public, job, cpu, gpu)
    if node >= 0:
        return node
    best, best_score = -1, 0
    for candidate in range(public.nodes.on.shape[0]):
        if _hosts(public, candidate, cpu, gpu):
            score = _score(public, candidate, cpu, gpu)
            if best < 0 or score > best_score:
                best, best_score = candidate, score
    return best


@kernel
def place(public: Any, job: Any, role: int) -> bool:
    """Places the job's next worker or server; False, and nothing changed, if no node has room."""
    node = find_node(public, job, role)
    if node >= 0:
        _place_on(public, job, role, node)
    return node >= 0


@kernel
def _place_on(public: Any, job: Any, role: int, node: int) -> None:
    if job.in_window and node == _last_node(job, role):  # only the jobs of the window have claims
        cpu, gpu = _task_need(public, job, role)
        public.nodes.cpu_claimed[node] -= cpu
        public.nodes.gpu_claimed[node] -= gpu
    occupy(public, job, role, node)


@kernel
def place_bundle(public: Any, job: Any) -> bool:
    """Places one worker and one server; False, and nothing changed, if they do not fit together."""
    if not bundle_fits(public, job.kind):
        return False
    if _place_pair(public, job, WORKER, SERVER) or _place_pair(public, job, SERVER, WORKER):
        return True
    # Both orders took the only node of the other task: put the worker on each node in turn.
    worker_cpu, worker_gpu = _task_need(public, job, WORKER)
    for node in range(public.nodes.on.shape[0]):
        if _hosts(public, node, worker_cpu, worker_gpu):
            occupy(public, job, WORKER, node)
            if place(public, job, SERVER):
                return True
            _take_back(public, job, WORKER, node)
    return False


@kernel
def _place_pair(public: Any, job: Any, first: int, second: int) -> bool:
    node = find_node(public, job, first)
    claimed = job.in_window and node == _last_node(job, first)
    _place_on(public, job, first, node)
    if place(public, job, second):
        return True
    _take_back(public, job, first, node)
    if claimed:
        cpu, gpu = _task_need(public, job, first)
        public.nodes.cpu_claimed[node] += cpu
        public.nodes.gpu_claimed[node] += gpu
    return False
