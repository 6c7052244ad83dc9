"""The cluster as three agents: PettingZoo's own checks, and the same cluster behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from psgym.envs import FullClusterEnv, InvalidActionError
from psgym.envs.cluster.settings_record import action_counts

pytest.importorskip("pettingzoo", reason="PettingZoo is not installed")

from pettingzoo.test import parallel_api_test, parallel_seed_test

from psgym.envs.pettingzoo import AGENTS, ClusterParallelEnv, parallel_env


@pytest.fixture
def env() -> ClusterParallelEnv:
    made = parallel_env()
    made.reset(seed=0)
    return made


def sampled(env: ClusterParallelEnv, rng: np.random.Generator) -> dict[str, int]:
    return {agent: int(rng.choice(np.flatnonzero(env.action_mask(agent)))) for agent in env.agents}


def test_the_checks_of_pettingzoo() -> None:
    parallel_api_test(parallel_env(), num_cycles=1000)
    parallel_seed_test(parallel_env, num_cycles=200)


def test_observations_lie_in_their_spaces_until_the_end(env: ClusterParallelEnv) -> None:
    rng = np.random.default_rng(0)
    slots = 0
    while env.agents:
        observations, rewards, _, truncations, infos = env.step(sampled(env, rng))
        assert set(observations) == set(infos) == set(AGENTS)
        assert all(env.observation_space(agent).contains(one) for agent, one in observations.items())
        assert len(set(rewards.values())) == 1
        slots += infos["capacity"]["slots_elapsed"]
    assert slots == 288
    assert all(truncations.values())


def test_an_agent_that_has_committed_waits(env: ClusterParallelEnv) -> None:
    env.step({"capacity": 2, "replicas": 0, "allocation": 0})
    assert env.action_mask("replicas").sum() == env.action_mask("allocation").sum() == 1
    placed = env.cluster.public["datasets"]["pending"].copy()
    env.step({"capacity": 2, "replicas": 1, "allocation": 1})  # what waiting agents say is passed over
    assert env.cluster.public["decisions"][0] == 2
    np.testing.assert_array_equal(env.cluster.public["datasets"]["pending"], placed)
    *_, infos = env.step({"capacity": 0, "replicas": 1, "allocation": 1})
    assert infos["replicas"]["slots_elapsed"] == 1


def test_a_slot_passes_when_all_have_committed(env: ClusterParallelEnv) -> None:
    *_, infos = env.step({"capacity": 2, "replicas": 0, "allocation": 0})
    assert infos["replicas"]["slots_elapsed"] == 0
    assert env.cluster.public["capacity_change"][0] == -1
    *_, infos = env.step({"capacity": 2, "replicas": 0, "allocation": 0})
    assert infos["capacity"]["slots_elapsed"] == 0
    *_, infos = env.step({"capacity": 0, "replicas": 0, "allocation": 0})
    assert infos["capacity"]["slots_elapsed"] == 1


def test_it_is_the_cluster_of_the_single_environment() -> None:
    """The decisions of a parallel step, put to the single environment one by one, lead to the same cluster."""
    parallel, single = parallel_env(), FullClusterEnv()
    parallel.reset(seed=5)
    single.reset(seed=5)
    rng = np.random.default_rng(1)
    counts = action_counts(single.config)
    first = {"capacity": 1, "allocation": 1 + counts["capacity"]}
    first["replicas"] = first["allocation"] + counts["allocation"]
    committed: set[str] = set()
    total: dict[str, Any] = {"parallel": 0.0, "single": 0.0}
    while parallel.agents:
        actions = sampled(parallel, rng)
        _, rewards, *_ = parallel.step(actions)
        total["parallel"] += rewards["capacity"]
        for agent in AGENTS:
            if agent not in committed and actions[agent] == 0:
                committed.add(agent)
            elif agent not in committed:
                action = first[agent] + actions[agent] - 1
                if single.action_masks()[action]:
                    _, reward, *_, info = single.step(action)
                    total["single"] += reward
                    if info["slots_elapsed"]:
                        committed.clear()
                        break
        if len(committed) == len(AGENTS):
            total["single"] += single.step(0)[1]
            committed.clear()
        np.testing.assert_array_equal(parallel.state(), single.simulation.observations[0])
    assert total["parallel"] == total["single"] < 0


def test_a_masked_out_action_is_a_counted_refusal(env: ClusterParallelEnv) -> None:
    refused = int(np.flatnonzero(env.action_mask("allocation") == 0)[0])
    *_, infos = env.step({"capacity": 0, "replicas": 0, "allocation": refused})
    assert infos["allocation"]["refused"]
    assert infos["allocation"]["refusals"] == 1


def test_a_foreign_action_is_an_error(env: ClusterParallelEnv) -> None:
    with pytest.raises(InvalidActionError, match="'capacity' must be in Discrete\\(3\\), not 3"):
        env.step({"capacity": 3, "replicas": 0, "allocation": 0})


def test_pictures() -> None:
    env = parallel_env(render_mode="ansi")
    env.reset(seed=0)
    assert "psgym/Cluster-v0" in env.render()
    env.close()
