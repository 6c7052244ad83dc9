"""Rules on tiny instances, decision by decision, against a slow and literal reading of each definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from psgym.agents.policies import make_policy
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.kinds import KINDS, JobKind

ID = "psgym/Allocation-v0"
NODES, CPU, GPU = 12, 8, 2
JOBS = 4


class Tiny:
    """A few jobs on a few nodes, read from the public record with plain Python."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.env = ClusterVectorEnv(1, ID, preset="small", initial="empty", autoreset_mode="Disabled")
        self.observations, _ = self.env.reset(seed=0)
        self.public = self.env.public[0]
        nodes = self.public["nodes"]
        nodes["on"][3:] = 0
        for index in range(JOBS):
            job = self.public["jobs"][index]
            job["kind"], job["mode"] = rng.integers(len(KINDS)), rng.integers(2)
            job["samples"], job["ratio"] = rng.uniform(1e3, 1e6), rng.uniform(0.5, 1.5)
            self.public["active"][index] = self.public["window"][index] = index
            job["in_window"] = True
        self.public["known_jobs"] = self.public["active_count"] = self.public["window_count"] = JOBS
        self.public["planning"] = True
        self.count_fits()
        self.env.simulation.refresh(0)

    def count_fits(self) -> None:
        """Count the nodes that fit each kind's tasks and what is free on them, as the record keeps them."""
        nodes, fits = self.public["nodes"], self.public["fits"]
        self.public["cpu_free"] = nodes["cpu_free"][nodes["on"] != 0].sum()
        self.public["gpu_free"] = nodes["gpu_free"][nodes["on"] != 0].sum()
        self.public["best"]["known"] = False
        for k, kind in enumerate(KINDS):
            room = [(nodes["cpu_free"][n], nodes["gpu_free"][n]) for n in range(NODES) if nodes["on"][n]]
            worker = [cpu >= kind.worker_cpu and gpu >= kind.worker_gpu for cpu, gpu in room]
            server = [cpu >= kind.server_cpu for cpu, _ in room]
            both = [w and cpu >= kind.worker_cpu + kind.server_cpu for w, (cpu, _) in zip(worker, room, strict=True)]
            either = [w and s for w, s in zip(worker, server, strict=True)]
            fits[self.public["settings"]["kinds"][k]["shape"]] = [sum(worker), sum(server), sum(both), sum(either)]

    def kind(self, k: int) -> JobKind:
        """Return the kind of a job."""
        return KINDS[self.public["jobs"][k]["kind"]]

    def tasks(self, k: int) -> tuple[int, int]:
        """Return the servers and workers of a job."""
        return int(self.public["jobs"][k]["servers"]), int(self.public["jobs"][k]["workers"])

    def speed(self, k: int, p: int, w: int) -> float:
        """The curves as `psgym.envs.cluster.kinds` states them, times the observed ratio."""
        job, kind = self.public["jobs"][k], self.kind(k)
        if p == 0 or w == 0:
            return 0.0
        if job["mode"] == 1:
            a, c = kind.async_
            return float(job["ratio"] * kind.batch_size * w / ((a + c * max(1, w / p)) * (1 + 0.02 * w + 0.02 * p)))
        t = kind.sync
        m = kind.batch_size
        step = t[0] * m / w + t[1] + t[2] * w / p + t[3] * w + t[4] * p + t[5] / p
        return float(job["ratio"] * m / step)

    def left(self, k: int, p: int, w: int) -> float:
        """Return the remaining seconds at an allocation."""
        speed = self.speed(k, p, w)
        return float(self.public["jobs"][k]["samples"]) / speed if speed else math.inf

    def share(self, k: int, p: int, w: int) -> float:
        """Return the dominant share of an allocation."""
        kind = self.kind(k)
        cpu = (w * kind.worker_cpu + p * kind.server_cpu) / (NODES * CPU)
        return max(cpu, w * kind.worker_gpu / (NODES * GPU))

    def placeable(self, k: int, p: int, w: int) -> bool:
        """Whether p servers and w workers fit, by trying every node for every task."""
        kind, nodes = self.kind(k), self.public["nodes"]
        needs = [(kind.worker_cpu, kind.worker_gpu)] * w + [(kind.server_cpu, 0)] * p
        on = [n for n in range(NODES) if nodes["on"][n]]
        for places in itertools.product(on, repeat=len(needs)):
            cpu, gpu = nodes["cpu_free"].copy(), nodes["gpu_free"].copy()
            for place, (need_cpu, need_gpu) in zip(places, needs, strict=True):
                cpu[place] -= need_cpu
                gpu[place] -= need_gpu
            if (cpu >= 0).all() and (gpu >= 0).all():
                return True
        return False

    def gains(self, k: int) -> bool:
        """Return whether a worker and a server more fit and make a job faster."""
        p, w = self.tasks(k)
        return self.placeable(k, 1, 1) and self.speed(k, p + 1, w + 1) > self.speed(k, p, w)

    def free(self) -> tuple[float, float]:
        """Return the free CPU and GPU as shares of the whole cluster."""
        nodes, on = self.public["nodes"], self.public["nodes"]["on"] > 0
        return nodes["cpu_free"][on].sum() / (NODES * CPU), nodes["gpu_free"][on].sum() / (NODES * GPU)


Choice = tuple[int, str] | None
BOTH, WORKER, SERVER = "both", "worker", "server"
ROLES = {WORKER: 0, SERVER: 1, BOTH: 2}


def fifo(tiny: Tiny) -> Choice:
    return next(((k, BOTH) for k in range(JOBS) if tiny.gains(k)), None)


def srtf(tiny: Tiny) -> Choice:
    jobs = [k for k in range(JOBS) if tiny.gains(k)]
    return (min(jobs, key=lambda k: tiny.left(k, 1, 1)), BOTH) if jobs else None


def drf(tiny: Tiny) -> Choice:
    jobs = [k for k in range(JOBS) if tiny.placeable(k, 1, 1)]
    return (min(jobs, key=lambda k: tiny.share(k, *tiny.tasks(k))), BOTH) if jobs else None


def drf_stop(tiny: Tiny) -> Choice:
    jobs = [k for k in range(JOBS) if tiny.gains(k)]
    return (min(jobs, key=lambda k: tiny.share(k, *tiny.tasks(k))), BOTH) if jobs else None


def tetris(tiny: Tiny) -> Choice:
    jobs = [k for k in range(JOBS) if tiny.gains(k)]
    if not jobs:
        return None
    cpu, gpu = tiny.free()

    def alignment(k: int) -> float:
        kind = tiny.kind(k)
        demand = (kind.worker_cpu + kind.server_cpu) / (NODES * CPU), kind.worker_gpu / (NODES * GPU)
        return demand[0] * cpu + demand[1] * gpu

    work = {k: tiny.left(k, 1, 1) * tiny.share(k, 1, 1) for k in jobs}
    weight = sum(alignment(k) for k in jobs) / sum(work.values())
    return max(jobs, key=lambda k: alignment(k) - weight * work[k]), BOTH


def optimus(tiny: Tiny) -> Choice:
    for k in range(JOBS):
        if 0 in tiny.tasks(k) and tiny.placeable(k, 1, 1):
            return k, BOTH
    gains = {}
    for k in range(JOBS):
        p, w = tiny.tasks(k)
        if p and w:
            for role, more in ((WORKER, (0, 1)), (SERVER, (1, 0))):
                if tiny.placeable(k, *more):
                    saved = tiny.left(k, p, w) - tiny.left(k, p + more[0], w + more[1])
                    gains[k, role] = saved / tiny.share(k, *more)
    best = max(gains, key=lambda one: gains[one], default=None)
    return best if best and gains[best] > 0 else None


def srpt_optimus(tiny: Tiny) -> Choice:
    cpu, gpu = (share * NODES * whole for share, whole in zip(tiny.free(), (CPU, GPU), strict=True))
    found = []
    for k, p, w in itertools.product(range(JOBS), range(4), range(4)):
        kind, (servers, workers) = tiny.kind(k), tiny.tasks(k)
        role = BOTH if p and w else (SERVER if p else WORKER)
        fits = w * kind.worker_cpu + p * kind.server_cpu <= cpu + 1e-6 and w * kind.worker_gpu <= gpu + 1e-6
        if p + w == 0 or not fits or not tiny.placeable(k, min(p, 1), min(w, 1)):
            continue
        now, then = tiny.speed(k, servers, workers), tiny.speed(k, servers + p, workers + w)
        if then > now:
            gain = (1 - now / then) / tiny.share(k, p, w)
            found.append((gain, -tiny.left(k, servers + p, workers + w), k, role))
    return max(found)[2:] if found else None


def hesrpt(tiny: Tiny) -> Choice:
    size = {k: tiny.left(k, 1, 1) * tiny.share(k, 1, 1) for k in range(JOBS)}
    rank = {k: place for place, k in enumerate(sorted(size, key=lambda k: -size[k]), start=1)}
    jobs = [k for k in range(JOBS) if tiny.gains(k)]

    def behind(k: int) -> float:
        due = (rank[k] / JOBS) ** 2 - ((rank[k] - 1) / JOBS) ** 2
        return due - tiny.share(k, *tiny.tasks(k))

    return (max(jobs, key=behind), BOTH) if jobs else None


RULES: dict[str, Callable[[Tiny], Choice]] = {
    "do-nothing": lambda tiny: None,
    "fifo": fifo,
    "srtf": srtf,
    "drf": drf,
    "drf-stop": drf_stop,
    "tetris": tetris,
    "optimus": optimus,
    "srpt-optimus": srpt_optimus,
    "hesrpt": hesrpt,
}


@pytest.mark.parametrize("name", RULES)
def test_allocation_rules_follow_their_definition(name: str) -> None:
    for seed in range(4):
        tiny = Tiny(seed)
        policy = make_policy(name, tiny.env, ID)
        for _ in range(40):
            wanted = RULES[name](tiny)
            actions, _ = policy.predict(tiny.observations)
            expected = 0 if wanted is None else 2 + 3 * wanted[0] + ROLES[wanted[1]]
            assert int(actions[0]) == expected, (seed, wanted)
            if wanted is None:
                break
            tiny.observations, *_ = tiny.env.step(actions)
        assert wanted is None


def first_orders(policy_name: str, view_id: str, change: Callable[[Any], None]) -> list[int]:
    """Return the actions of the first slot, after a change of the public record."""
    env = ClusterVectorEnv(1, view_id, preset="small", reactive_headroom=1.25, autoreset_mode="Disabled")
    observations, _ = env.reset(seed=0)
    change(env.public[0])
    env.simulation.refresh(0)
    policy, chosen = make_policy(policy_name, env, view_id), []
    while True:
        actions, _ = policy.predict(observations)
        if actions[0] == 0:
            return chosen
        chosen.append(int(actions[0]))
        observations, *_ = env.step(actions)


UP, DOWN = 1, 2


def test_capacity_rules_by_hand() -> None:
    def nobody(public: Any) -> None:
        public["planner"]["target"] = 0.0

    def rush(public: Any) -> None:
        public["planner"]["target"] = 33.0, 4.0  # CPU of five nodes of 8, GPU of two nodes of 2

    def dark(public: Any) -> None:
        public["nodes"]["on"][4:] = 0

    view = "psgym/Capacity-v0"
    # Nobody needs anything, so one node is wanted; the reactive rule leaves one of slack on beside it.
    assert first_orders("reactive", view, nobody) == [DOWN] * 10
    assert first_orders("forecast", view, nobody) == [DOWN] * 11
    assert first_orders("forecast", view, rush) == [DOWN] * 7
    assert first_orders("hybrid", view, rush) == [DOWN] * 7  # the same rule, whatever feeds the forecasts
    assert first_orders("reactive", view, rush) == [DOWN] * 10
    assert first_orders("static", view, rush) == []
    assert first_orders("static", view, dark) == [UP] * 8


def test_replica_rules_by_hand() -> None:
    def heat(values: dict[int, float]) -> Callable[[Any], None]:
        def change(public: Any) -> None:
            tau = public["settings"]["hot_threshold"] * public["settings"]["bandwidth_bytes_per_second"]
            data = public["datasets"]
            public["candidate"][:] = np.arange(len(public["candidate"]))
            data["heat"][:] = 0.8 * tau * data["live"]
            for dataset, times in values.items():
                data["heat"][dataset] = times * tau * data["live"][dataset]

        return change

    view = "psgym/Replicas-v0"
    add = {c: 1 + 2 * c for c in range(8)}
    assert first_orders("hot-cold", view, heat({})) == []
    assert first_orders("hot-cold", view, heat({3: 1.2, 5: 1.5})) == [add[5], add[3]]
    assert first_orders("no-op", view, heat({3: 1.2})) == []
    assert first_orders("static", view, heat({3: 1.2})) == []


def test_a_cold_dataset_loses_a_copy_only_if_it_stays_cold_after_it() -> None:
    def change(after: float) -> Callable[[Any], None]:
        def write(public: Any) -> None:
            settings, data = public["settings"], public["datasets"]
            tau = settings["hot_threshold"] * settings["bandwidth_bytes_per_second"]
            public["candidate"][:] = np.arange(len(public["candidate"]))
            data["heat"][:] = 0.8 * tau * data["live"]
            free = int(np.flatnonzero(data["placed"][2] == 0)[0])
            data["placed"][2, free], data["copies"][2], data["live"][2] = 1, data["copies"][2] + 1, data["live"][2] + 1
            public["servers"]["stored"][free] += data["size"][2]
            data["heat"][2] = after * settings["cold_ratio"] * tau * (data["live"][2] - 1)

        return write

    drop = 1 + 2 * 2 + 1
    assert first_orders("hot-cold", "psgym/Replicas-v0", change(0.99)) == [drop]
    assert first_orders("hot-cold", "psgym/Replicas-v0", change(1.01)) == []
