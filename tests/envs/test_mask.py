"""The mask is what is feasible: every action of random reachable states is tried out and compared with it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psgym.envs.cluster.kinds import KINDS
from psgym.envs.env import ClusterEnv, FullClusterEnv
from tests.envs.trajectories import ENVS

BUSY: dict[str, float] = {
    "load": 3.0,
    "node_failures_per_day": 40.0,
    "server_failures_per_day": 40.0,
    "capacity_ratio": 2.1,
}


@functools.cache
def busy(make: type[ClusterEnv], placement: str = "heuristic") -> ClusterEnv:
    return make(preset="small", placement=placement, **BUSY)


def wander(env: ClusterEnv, seed: int, steps: int) -> Any:
    """Walks from a reset by random actions of the space, one in twelve COMMIT, to a state amid an episode."""
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        legal = np.flatnonzero(env.action_masks())
        env.step(0 if rng.random() < 0.08 else int(rng.choice(legal)))
    return np.asarray(env.simulation.states)[0]["public"]


def takes(public: Any, node: int, cpu: int, gpu: int) -> bool:
    """Whether a node has room for one more task, from nothing but its record."""
    nodes = public["nodes"]
    sound = nodes["on"][node] and not nodes["draining"][node] and not nodes["failed"][node]
    ready = nodes["ready_seconds"][node] <= public["slot"] * 300.0
    return bool(sound and ready and nodes["cpu_free"][node] >= cpu and nodes["gpu_free"][node] >= gpu)


def growable(public: Any, k: int, role: int) -> bool:
    """Whether window job k can grow, by trying every node, and every pair of nodes for a bundle."""
    if not public["planning"] or k >= public["window_count"]:
        return False
    job = public["jobs"][public["window"][k]]
    kind, nodes = KINDS[job["kind"]], range(12)
    if (role != 1 and job["workers"] == 16) or (role != 0 and job["servers"] == 16):
        return False
    workers = [n for n in nodes if takes(public, n, kind.worker_cpu, kind.worker_gpu)]
    servers = [n for n in nodes if takes(public, n, kind.server_cpu, 0)]
    if role < 2:
        return bool((workers, servers)[role])
    together = kind.worker_cpu + kind.server_cpu
    return any(w != s or takes(public, w, together, kind.worker_gpu) for w in workers for s in servers)


def copyable(public: Any, dataset: int, server: int, drop: bool) -> bool:
    """Whether a copy can start on, or leave, a server: from nothing but the records."""
    sets, store = public["datasets"], public["servers"]
    flights = public["flights"][: public["flight_count"]]
    live = [s for s in range(8) if sets["placed"][dataset, s] == 1 and store["up"][s]]
    complete = [s for s in range(8) if sets["placed"][dataset, s] == 1]
    racks = {int(store["rack"][s]) for s in complete}
    if drop:
        source = any(f["dataset"] == dataset and f["source"] == server for f in flights)
        left = {int(store["rack"][s]) for s in complete if s != server}
        apart = len(complete) + sets["pending"][dataset] < 3 or len(left) > 1 or len(racks) == 1
        return server in live and len(live) >= 2 and not source and apart and sets["changed"][dataset] <= 0
    room = store["stored"][server] + sets["size"][dataset] <= store["capacity"][server]
    new = sets["placed"][dataset, server] == 0 and store["up"][server] and room
    new = new and racks != {int(store["rack"][server])}
    return bool(new and live and len(flights) < 32 and sets["changed"][dataset] >= 0)


def orderable(public: Any, up: bool) -> bool:
    """Whether some node may be started or stopped."""
    nodes, change = public["nodes"], int(public["capacity_change"])
    old = public["slot"] > nodes["ordered_slot"]
    on, draining = nodes["on"] == 1, nodes["draining"] == 1
    if up:
        return change >= 0 and bool((old & (nodes["failed"] == 0) & (~on | draining)).any())
    return change <= 0 and bool((old & on & ~draining).any())


def feasible(env: ClusterEnv, public: Any) -> list[bool]:
    """The whole mask by brute force."""
    made, settings_ = [True], public["settings"]
    if settings_["decides_capacity"]:
        made += [orderable(public, True), orderable(public, False)]
    if settings_["decides_allocation"]:
        made += [bool(not public["planning"] and public["active_count"] > 0)]
        made += [growable(public, k, role) for k in range(16) for role in range(3)]
    if settings_["decides_replicas"]:
        for dataset in public["candidate"]:
            for drop in (False, True):
                each = [copyable(public, dataset, server, drop) for server in range(8)]
                made += each if env.config.placement == "agent" else [any(each)]
    return made


@pytest.mark.parametrize("placement", ["heuristic", "agent"])
@pytest.mark.parametrize("make", ENVS)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 250))
@settings(max_examples=25)
def test_the_mask_is_what_is_feasible(make: type[ClusterEnv], placement: str, seed: int, steps: int) -> None:
    env = busy(make, placement)
    public = wander(env, seed, steps)
    assert env.action_masks().tolist() == feasible(env, public)


def effects(public: Any) -> dict[str, Any]:
    """What decisions change: plans, power, copies."""
    jobs = public["jobs"][: public["known_jobs"]]
    return {
        "tasks": int(jobs["workers"].sum() + jobs["servers"].sum()),
        "planning": bool(public["planning"]),
        "orders": int(public["capacity_change"]),
        "added": int(public["datasets"]["pending"].sum()),
        "copies": int(public["datasets"]["copies"].sum()),
    }


@pytest.mark.parametrize("placement", ["heuristic", "agent"])
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 250))
@settings(max_examples=8)
def test_a_legal_action_does_what_it_says_and_a_masked_one_nothing(placement: str, seed: int, steps: int) -> None:
    env = busy(FullClusterEnv, placement)
    public = wander(env, seed, steps)
    settings_, before, start = public["settings"], effects(public), env.get_state()
    mask, seen = env.action_masks(), env.simulation.observations.copy()
    for action in range(1, env.action_space.n):  # type: ignore[attr-defined]
        refusals = int(public["refusals"])
        env.step(action)
        if refusals < 2 and not mask[action]:
            assert effects(public) == before
            assert (env.action_masks() == mask).all()
            assert (env.simulation.observations != seen).sum() <= 1, "but for the share of decisions used"
        elif mask[action] and public["decisions"] > 0:
            after = effects(public)
            change = {name: after[name] - before[name] for name in before if after[name] != before[name]}
            if action < settings_["first_allocation"]:
                assert change == {"orders": 1 if action == settings_["first_capacity"] else -1}
            elif action == settings_["first_allocation"]:
                assert after["planning"]
            elif action < settings_["first_replica"]:
                assert change == {"tasks": 2 if (action - settings_["first_allocation"]) % 3 == 0 else 1}
            else:
                places = 8 if placement == "agent" else 1
                drop = (action - settings_["first_replica"]) // places % 2
                assert change == ({"copies": -1} if drop else {"added": 1})
        env.set_state(start)


@pytest.mark.parametrize("make", ENVS)
def test_the_third_refusal_commits_and_so_does_the_last_decision(make: type[ClusterEnv]) -> None:
    env = busy(make)
    public = wander(env, 5, 40)
    env.step(0)
    refused = int(np.flatnonzero(~env.action_masks())[0])
    slot = int(public["slot"])
    elapsed = [env.step(refused)[4]["slots_elapsed"] for _ in range(3)]
    assert (elapsed, int(public["slot"]) - slot) == ([0, 0, 1], 1)
    short = make(preset="small", max_decisions_per_slot=2, **BUSY)
    short.reset(seed=1)
    assert [short.step(refused)[4]["slots_elapsed"] for _ in range(4)] == [0, 1, 0, 1]


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 200))
@settings(max_examples=25)
def test_no_decision_undoes_another_of_its_slot(seed: int, steps: int) -> None:
    env = busy(FullClusterEnv)
    public = wander(env, seed, steps)
    env.step(0)
    rng = np.random.default_rng(seed)
    tasks, orders, slot = 0, set(), int(public["slot"])
    trail = [public["datasets"]["copies"] + public["datasets"]["pending"]]
    while int(public["slot"]) == slot and (legal := np.flatnonzero(env.action_masks())[1:]).size:
        action = int(rng.choice(legal))
        grew = public["planning"]
        if env.step(action)[4]["slots_elapsed"]:
            break
        now = effects(public)
        assert now["tasks"] >= tasks or not grew, "only REPLAN, which comes before any growth, takes tasks away"
        tasks = now["tasks"]
        orders.add(int(np.sign(now["orders"])))
        trail.append(public["datasets"]["copies"] + public["datasets"]["pending"])
    changes = np.diff(np.array(trail), axis=0)
    assert not ((changes > 0).any(0) & (changes < 0).any(0)).any()
    assert not {-1, 1} <= orders
