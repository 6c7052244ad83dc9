"""Policies: every name fits its id, no rule is ever refused, and names that mean nothing are explained."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from psgym.agents.policies import PolicyError, make_policy, policy_names, usual_policies
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs import VIEWS, ClusterVectorEnv

IDS = tuple(VIEWS)


def make(view_id: str, count: int = 4) -> ClusterVectorEnv:
    return ClusterVectorEnv(count, view_id, preset="small", autoreset_mode="Disabled")


@pytest.mark.parametrize("view_id", IDS)
def test_no_policy_is_refused(view_id: str) -> None:
    for name in usual_policies(view_id):
        env = make(view_id)
        observations, _ = env.reset(seed=3)
        policy = make_policy(name, env, view_id)
        slots = 0
        for _ in range(150):
            actions, _ = policy.predict(observations)
            assert actions.shape == (4,)
            assert env.action_masks()[np.arange(4), actions].all(), name
            observations, *_, infos = env.step(actions)
            slots += int(infos["slots_elapsed"].sum())
            assert not infos["refused"].any()
        assert slots > 0, f"{name} never commits"


@pytest.mark.parametrize("view_id", IDS)
def test_names_are_what_the_id_decides(view_id: str) -> None:
    names = policy_names(view_id)
    assert len(names) == len(set(names))
    assert {name.count("+") for name in names if name not in ("random", "do-nothing")} == {
        len(VIEWS[view_id].decides) - 1
    }
    assert set(usual_policies(view_id)) <= set(names)
    env = make(view_id)
    for name in names:
        make_policy(name, env, view_id)


@pytest.mark.parametrize(
    ("name", "view_id", "message"),
    [
        ("srpt-optimu", "psgym/Allocation-v0", "did you mean 'srpt-optimus'"),
        ("forcast+hot-cold+drf", "psgym/Cluster-v0", "no capacity rule 'forcast'; did you mean 'forecast'"),
        ("drf", "psgym/Cluster-v0", r"\(static\|reactive\|forecast\|.*arima\|gru\|hybrid\|oracle\)\+\(no-op\|"),
        ("hot-cold+static+drf", "psgym/Cluster-v0", "no capacity rule 'hot-cold'"),
        ("drf", "psgym/Capacity-v0", "no capacity rule 'drf'"),
        ("drf", "psgym/Alocation-v0", "did you mean 'psgym/Allocation-v0'"),
    ],
)
def test_unknown_names_are_explained(name: str, view_id: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy(name, None, view_id)


def test_a_policy_needs_an_environment_of_psgym() -> None:
    with pytest.raises(TypeError, match="environment of psgym"):
        make_policy("srpt-optimus", gym.make("CartPole-v1"), "psgym/Allocation-v0")


def test_single_vector_and_sb3_environments_get_the_same_actions() -> None:
    single = gym.make("psgym/Allocation-v0", preset="small")
    vector, sb3 = make("psgym/Allocation-v0", 1), ClusterVecEnv(1, "psgym/Allocation-v0", preset="small")
    observation, _ = single.reset(seed=5)
    several, _ = vector.reset(seed=5)
    sb3.seed(5)
    adapted = sb3.reset()
    policies = [make_policy("srpt-optimus", env, "psgym/Allocation-v0") for env in (single, vector, sb3)]
    for _ in range(300):
        action = policies[0].predict(observation)[0]
        assert np.shape(action) == ()
        others = [policies[1].predict(several)[0], policies[2].predict(adapted)[0]]
        assert [int(other[0]) for other in others] == [int(action), int(action)]
        observation, *_ = single.step(action)
        several, *_ = vector.step(others[0])
        adapted, *_ = sb3.step(others[1])


def test_random_follows_its_seed_alone() -> None:
    def choices(seed: int) -> list[list[int]]:
        env = make("psgym/Cluster-v0")
        observations, _ = env.reset(seed=1)
        policy, chosen = make_policy("random", env, "psgym/Cluster-v0", seed), []
        for _ in range(100):
            actions, _ = policy.predict(observations)
            observations, *_ = env.step(actions)
            chosen.append(actions.tolist())
        return chosen

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_random_draws_every_legal_action() -> None:
    env = make("psgym/Cluster-v0", 1)
    observations, _ = env.reset(seed=1)
    policy = make_policy("random", env, "psgym/Cluster-v0")
    drawn = {int(policy.predict(observations)[0][0]) for _ in range(3000)}
    assert drawn == set(np.flatnonzero(env.action_masks()[0]).tolist())
