"""The ladder: its names, its kinds, its tuned numbers, and what only some of its rungs may do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from psgym.agents.benchmark import compare
from psgym.agents.policies import make_policy, policy_kind, policy_names
from psgym.agents.replica_policies import CONFIGS, LADDER, make_rung, tuned_numbers
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.config import HEATS
from psgym.envs.cluster.rules.ladder import LEAST_LOADED, MOST_FREE, Fill, pick_target
from psgym.envs.presets import preset

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
