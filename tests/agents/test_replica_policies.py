"""The ladder: its names, its kinds, its tuned numbers, and what only some of its rungs may do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from psgym.agents.benchmark import compare
from psgym.agents.policies import make_policy, policy_kind, policy_names
from psgym.agents.replica_policies import CONFIGS, LADDER, make_rung, search_weights, tuned_numbers
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.config import HEATS
from psgym.envs.cluster.rules.ladder import LEAST_LOADED, MOST_FREE, Fill, pick_target
from psgym.envs.cluster.rules.relieving import WEIGHTS, extend_relieving
from psgym.envs.presets import preset
from psgym.replicas.balance import SLACK
from psgym.replicas.load import server_load

ID = "psgym/Replicas-v0"
NAMES = (
    "no-op", "static", "random", "lru", "lfu", "one-threshold", "hot-cold", "scarlett", "queue-aware", "load-aware",
    "forecast", "oracle", "full",
)  # fmt: skip


def test_the_names_of_the_ladder() -> None:
    assert set(NAMES) == set(policy_names(ID)) - {"do-nothing"}
    assert [name for name in NAMES if policy_kind(name, ID) == "oracle"] == ["oracle"]
    assert [name for name in NAMES if policy_kind(name, ID) == "bound"] == ["full"]
    assert policy_kind("srpt-optimus", "psgym/Allocation-v0") == "heuristic"


def test_every_rung_with_numbers_has_tuned_ones_of_one_budget() -> None:
    found = json.loads((CONFIGS / "replicas.json").read_text(encoding="utf-8"))
    tuned = {"lru", "lfu", "one-threshold", "hot-cold", "scarlett", "queue-aware", "load-aware", "forecast", "oracle"}
    assert set(found["numbers"]) == set(found["validation"]) == tuned
    assert found["tuned"]["trials"] >= 16
    assert set(LADDER) >= tuned


def test_the_preset_has_the_tuned_thresholds() -> None:
    numbers, config = tuned_numbers()["hot-cold"], preset("storage")
    assert (config.hot_threshold, config.cold_ratio) == (numbers["hot"], numbers["eta"])
    assert config.rule_heat == HEATS[numbers["memory"]]


def test_the_oracle_and_the_bound_are_marked_in_a_comparison_and_never_its_reference() -> None:
    result = compare(ID, "small", ["oracle", "full", "no-op"], days=2, config=None, validation_days=1)
    kinds = {row.policy: row.kind for row in result.rows}
    assert kinds["oracle"] == "oracle"
    assert kinds["full"] == "bound"
    assert result.reference in ("no-op", "load-aware")
    assert all(row.verdict is None for row in result.rows if row.kind in ("oracle", "bound"))
    assert result.rows[-1].policy == "full"


def test_placements_differ_and_keep_to_what_is_feasible() -> None:
    env = ClusterVectorEnv(1, ID, preset="small", placement="agent")
    env.reset(seed=2)
    public = env.simulation.states[0]["public"]
    store = public["servers"]
    store["utilisation"][:] = np.linspace(0.1, 0.8, 8)
    dataset = int(public["candidate"][0])
    open_ = [s for s in range(8) if env.action_masks()[0, 1 + s]]
    store["stored"][open_[-1]] = 0.0  # the emptiest is the busiest
    assert pick_target(public, dataset, LEAST_LOADED) == open_[0]
    assert pick_target(public, dataset, MOST_FREE) == open_[-1]
    for placement in (1, 2, 3):
        assert pick_target(public, dataset, placement) in open_


def test_lru_and_lfu_rank_by_what_they_say() -> None:
    env = ClusterVectorEnv(1, ID, preset="small", placement="agent", capacity_ratio=4.0, server_failures=False)
    observation, _ = env.reset(seed=2)
    simulation = env.simulation
    lru = make_rung("lru", simulation, Fill(8, 1, False)._asdict())
    lfu = make_rung("lfu", simulation, Fill(8, 1, True)._asdict())
    for demand in ((5e8, 1e8), (1e8, 2e8)):  # so far the first was read most, in the last slot the second
        public = np.asarray(simulation.states)["public"][0]
        public["candidate"][:2] = (3, 4)
        public["candidate"][2:] = np.setdiff1d(np.arange(64), (3, 4))[:6]
        public["datasets"]["demand"][:] = 0.0
        public["datasets"]["demand"][[3, 4]] = demand
        public["datasets"]["heat"][:] = public["datasets"]["demand"]
        simulation.refresh(0)
        chosen = [(int(policy.predict(observation)[0][0]) - 1) // 8 // 2 for policy in (lru, lfu)]
        public["slot"] += 1
    assert chosen == [1, 0]


def read_literally(public: Any, mask: np.ndarray, demand: np.ndarray, numbers: dict[str, Any]) -> int:
    """The search of load-aware: tries every move by itself, and computes all loads anew."""
    datasets, servers, settings = public["datasets"], public["servers"], public["settings"]
    holder = (datasets["placed"] != 0) & (servers["up"] != 0)[None]

    def total(placement: np.ndarray) -> float:
        utilisation = server_load(demand, placement) / servers["bandwidth"]
        return float((np.maximum(utilisation - numbers["target"], 0.0) ** 2 + SLACK * utilisation**2).sum())

    now, best, least, action, spared = total(holder), 0.0, -np.inf, 0, 0
    for one in (1 + np.flatnonzero(mask[1:])).tolist():
        code, server = divmod(one - 1, len(servers["up"]))
        dataset, drop = int(public["candidate"][code // 2]), bool(code % 2)
        needed = datasets["live"][dataset] <= settings["minimum_copies"] or datasets["pending"][dataset] > 0
        if datasets["changed"][dataset] != 0 or (drop and needed):
            continue
        moved, size = holder.copy(), float(datasets["size"][dataset])
        moved[dataset, server] = not drop
        relief = now - total(moved)
        score = relief - numbers["price"] * size / (float(settings["bandwidth_bytes_per_second"]) * 300.0)
        if score > best:
            best, action = score, one
        if drop and relief > -numbers["price"] and relief / size > least:
            least, spared = relief / size, one
    full = servers["stored"].sum() > numbers["fullness"] * servers["capacity"].sum()
    return spared if full and action == 0 else action


@pytest.mark.parametrize(("changes", "fullness"), [({}, 0.9), ({"racks": 1, "capacity_ratio": 3.1}, 0.6)])
def test_the_search_is_its_definition(changes: dict[str, Any], fullness: float) -> None:
    env = ClusterVectorEnv(4, ID, preset="small", placement="agent", **changes)
    _, infos = env.reset(seed=6)
    states, rng, moves = env.simulation.states, np.random.default_rng(0), [0, 0, 0]
    for step in range(200):
        numbers = {"target": rng.uniform(0.3, 0.9), "price": 10 ** rng.uniform(-7.0, -1.0), "fullness": fullness}
        numbers |= {"memory": step % 3, "announced": rng.uniform()}
        weights = search_weights(numbers)
        rows = np.tile([weights.get(name, 0.0) for name in WEIGHTS], (4, 1))
        datasets = env.public["datasets"]
        known = np.where(rng.random((4, 64)) < 0.2, rng.exponential(2e8, (4, 64)), np.nan)
        measured = (
            datasets[("heat", "heat_medium", "heat_short")[step % 3]] + numbers["announced"] * datasets["announced"]
        )
        demand = np.where(np.isnan(known), measured, known)
        actions = np.zeros(4, np.int64)
        extend_relieving(states, known, rows, actions)
        for index in range(4):
            found = read_literally(env.public[index], infos["action_mask"][index], demand[index], numbers)
            assert actions[index] == found
            moves[0 if found == 0 else 1 + (found - 1) // 8 % 2] += 1
        legal = np.argmax(rng.random(infos["action_mask"].shape) * infos["action_mask"], axis=1)
        _, _, _, _, infos = env.step(np.where(rng.random(4) < 0.3, legal, actions))
    assert min(moves) > 50, moves


@pytest.mark.parametrize("name", ["lfu", "scarlett", "forecast"])
def test_a_rung_with_a_memory_forgets_it_with_a_new_episode(name: str) -> None:
    env = ClusterVectorEnv(2, ID, preset="small", placement="agent")

    def actions(policy: object, seed: int) -> list[list[int]]:
        observation, _ = env.reset(seed=seed)
        found = []
        for _ in range(60):
            chosen = policy.predict(observation)[0]  # type: ignore[attr-defined]
            found.append(chosen.tolist())
            observation, *_ = env.step(chosen)
        return found

    used = make_policy(name, env, ID)
    actions(used, 7)
    assert actions(used, 8) == actions(make_policy(name, env, ID), 8)
