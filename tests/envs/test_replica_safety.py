"""Storage whatever is done to it: copies, racks and disks keep their limits, names mean nothing, and outages heal."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psgym.agents.policies import make_policy
from psgym.envs.env import ReplicasEnv
from psgym.envs.vector import ClusterVectorEnv
from psgym.replicas.transfer import recovery_seconds

ID = "psgym/Replicas-v0"


def check_limits(public: Any) -> None:
    """The limits that hold after every decision, whatever outages end."""
    sets, store = public["datasets"], public["servers"]
    held = sets["placed"] != 0
    assert (sets["copies"] >= 1).all(), "the last copy is gone"
    if store["up"].all():
        assert (sets["live"] >= 1).all()
    np.testing.assert_allclose(store["stored"], sets["size"] @ held, rtol=1e-9)
    assert (store["stored"] <= store["capacity"] * (1 + 1e-12)).all(), "a disk is overfull"
    for row in (*held, *(sets["placed"] == 1)):
        assert row.sum() < 2 or len(set(store["rack"][row].tolist())) >= 2, "all copies share a rack"


@pytest.mark.parametrize("placement", ["agent", "heuristic"])
@given(seed=st.integers(0, 2**32 - 1), greed=st.sampled_from([0.0, 0.5, 1.0]), outages=st.booleans())
@settings(max_examples=10)
def test_no_action_takes_the_last_copy_or_overfills_a_disk(
    placement: str, seed: int, greed: float, outages: bool
) -> None:
    env = ReplicasEnv(preset="small", placement=placement, server_failures=outages, server_failures_per_day=60.0)
    env.reset(seed=seed % 1000)
    rng = np.random.default_rng(seed)
    count = env.simulation.actions
    drops = (np.arange(count) - 1) // (8 if placement == "agent" else 1) % 2 == 1
    for _ in range(250):
        chosen = int(rng.integers(count)) if rng.random() < 0.5 else int(rng.choice(np.flatnonzero(env.action_masks())))
        if rng.random() < greed:  # dropping wherever it is legal is the worst that can be done to copies
            legal = np.flatnonzero(env.action_masks() & drops)
            chosen = int(rng.choice(legal)) if len(legal) else 0
        env.step(chosen)
        check_limits(env.public[0])


def live_day(policy: str, servers: Any, datasets: Any, slots: int = 40) -> tuple[dict[str, float], Any]:
    """A day whose servers and datasets have other names: new name -> old name."""
    calm = {"server_failures": False, "load": 0.0, "request_bytes": 64e6}
    env = ClusterVectorEnv(1, ID, preset="small", placement="agent", **calm)
    observation, _ = env.reset(seed=11)
    state, scenario = np.asarray(env.simulation.states)[0], np.asarray(env.simulation.scenarios)[0]
    sets, store = state["public"]["datasets"], state["public"]["servers"]
    heats = ("heat", "heat_medium", "heat_short", "demand", "announced", "bursting", "longest_wait")
    for name in ("size", "copies", "live", *heats):
        sets[name] = sets[name][datasets]
    sets["placed"] = sets["placed"][datasets][:, servers]
    for name in ("rack", "stored", "capacity", "utilisation", "trend", "demand"):
        store[name] = store[name][servers]
    scenario["background"] = scenario["background"][:, datasets]
    scenario["bursts"]["dataset"] = np.argsort(datasets)[scenario["bursts"]["dataset"]]
    state["public"]["candidate"] = np.argsort(datasets)[state["public"]["candidate"]]
    env.simulation.refresh(0)
    chosen, infos = make_policy(policy, env, ID), {}
    done = 0
    while done < slots:
        observation, *_, infos = env.step(chosen.predict(observation)[0])
        done += int(infos["slots_elapsed"][0])
    names = ("stall_share", "load_max_over_mean", "load_variation", "bytes_moved", "copies_added", "copies_dropped")
    back = sets["placed"][np.argsort(datasets)][:, np.argsort(servers)].copy()
    return {name: float(infos[name][0]) for name in (*names, "read_latency_p99_seconds", "total_cost")}, back


@pytest.mark.parametrize("policy", ["no-op", "hot-cold", "load-aware"])
def test_other_names_for_servers_and_datasets_are_other_names_for_the_outcome(policy: str) -> None:
    rng = np.random.default_rng(2)
    plain, placed = live_day(policy, np.arange(8), np.arange(64))
    for servers, datasets in ((rng.permutation(8), np.arange(64)), (np.arange(8), rng.permutation(64))):
        renamed, back = live_day(policy, servers, datasets)
        assert renamed == pytest.approx(plain, rel=1e-9)
        assert (back == placed).all()
    assert policy == "no-op" or plain["bytes_moved"] > 0


@given(eta=st.floats(0.05, 0.99), threshold=st.floats(0.05, 0.5), seed=st.integers(0, 100))
@settings(max_examples=10)
def test_constant_heat_makes_no_flaps_for_any_eta_below_one(eta: float, threshold: float, seed: int) -> None:
    env = ReplicasEnv(
        preset="small", bursts_per_day=0.0, popularity_drift=0.0, constant_traffic=True, server_failures=False,
        background_utilisation=0.5, hot_threshold=threshold, cold_ratio=eta, capacity_ratio=4.0, load=0.0,
    )  # fmt: skip
    env.reset(seed=seed)
    actions = np.zeros(1, np.int64)
    changes = []
    from psgym.envs.cluster.decide import next_actions

    for _ in range(120):
        next_actions(env.simulation.states, 0, 2, 0, actions)
        while actions[0] != 0:
            env.step(int(actions[0]))
            next_actions(env.simulation.states, 0, 2, 0, actions)
        info = env.step(0)[-1]
        changes.append(int(env.public["datasets"]["copies"].sum() + env.public["datasets"]["pending"].sum()))
    assert info["flaps"] == 0
    totals = np.asarray(env.simulation.states)["hidden"]["totals"][0]
    assert changes[-1] == changes[-40], "it never settles"
    assert totals["copies_added"] + totals["copies_dropped"] <= 64 * 8


def test_recovery_restores_the_fewest_copies_in_the_computed_time(situations: ModuleType) -> None:
    here = situations.Situation(max_flights=32, dead_after_seconds=600.0, minimum_copies=2, capacity_ratio=2.6)
    public, store, sets = here.public, here.public["servers"], here.public["datasets"]
    before = sets["live"].copy()
    assert (before == 2).all()
    sets["size"] *= 0.2  # many small datasets: the last ones do not decide the time
    for name in ("stored", "capacity"):
        store[name] *= 0.2
    lost = float(store["stored"][3])
    store["up"][3] = 0
    store["down_slot"][3] = 0
    sets["live"] -= (sets["placed"][:, 3] == 1).astype(np.int64)
    here.hidden["server_repair_seconds"][3] = 1e9
    here.commit()
    assert public["flight_count"] == 0, "down, but not taken for dead yet"
    here.commit()
    assert public["flight_count"] > 0
    moved, slots = here.info["bytes_moved"], 0
    while (sets["live"] < 2).any():
        here.commit()
        slots += 1
        assert slots < 50
    assert moved == 0.0
    assert here.info["bytes_moved"] == pytest.approx(lost, rel=1e-9)
    computed = recovery_seconds(lost, 1.25e9, 0.25, 8, True, shared=True)
    assert computed <= slots * 300.0 <= 1.6 * computed + 300.0
    assert here.info["flaps"] == 0
    assert (sets["changed"] == 0).all()
    check_limits(public)


def test_copies_on_one_rack_are_never_made(situations: ModuleType) -> None:
    here = situations.Situation()
    sets, store = here.public["datasets"], here.public["servers"]
    for dataset in range(64):
        held = sets["placed"][dataset] == 1
        assert len(set(store["rack"][held].tolist())) == 2
    assert [int(store["rack"][s]) for s in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_everything_everywhere_is_an_even_load() -> None:
    env = ClusterVectorEnv(2, ID, preset="small", server_failures=False)
    observation, _ = env.reset(seed=3)
    policy = make_policy("full", env, ID)
    for _ in range(20):
        observation, *_, infos = env.step(policy.predict(observation)[0])
    np.testing.assert_allclose(infos["load_max_over_mean"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(infos["storage_factor"], 8.0)
    assert (infos["bytes_moved"] == 0).all()


def test_bytes_are_conserved_under_every_rung() -> None:
    for name in ("one-threshold", "lfu", "scarlett", "queue-aware", "oracle"):
        env = ClusterVectorEnv(3, ID, preset="small", server_failures_per_day=60.0)
        observation, infos = env.reset(seed=5)
        policy = make_policy(name, env, ID)
        for _ in range(150):
            observation, *_, infos = env.step(policy.predict(observation)[0])
            assert not infos["refused"].any()
        for public in env.public:
            check_limits(public)
        totals = np.asarray(env.simulation.states)["hidden"]["totals"]
        served = totals["bytes_served"] + totals["bytes_stalled"] + totals["bytes_unavailable"]
        np.testing.assert_allclose(served, totals["bytes_demanded"], rtol=1e-9)
