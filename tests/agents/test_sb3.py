"""The adapter for SB3: what it returns is what the single environment returns, reset in the step of the end."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from psgym.agents.policies import make_policy
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs.cluster.metrics import METRICS

ID = "psgym/Cluster-v0"


def follow_to_the_end(observation: str) -> None:
    """Step a single environment and the adapter with the same actions through the end of an episode."""
    single = gym.make(ID, preset="small", observation=observation).unwrapped
    envs = ClusterVecEnv(2, ID, preset="small", observation=observation)
    envs.seed(11)
    first, info = single.reset(seed=11)
    batch = envs.reset()
    total, steps, done = 0.0, 0, False
    rng = np.random.default_rng(0)
    while not done:
        assert_equal(first, batch, 0)
        np.testing.assert_array_equal(envs.action_masks()[0], info["action_mask"])
        legal = envs.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(row)) if rng.random() < 0.1 else 0 for row in legal])
        first, reward, terminated, truncated, info = single.step(int(actions[0]))
        batch, rewards, dones, infos = envs.step(actions)
        total, steps, done = total + reward, steps + 1, terminated or truncated
        assert rewards.dtype == np.float32
        assert rewards[0] == np.float32(reward)
        assert dones[0] == done
        if info["slots_elapsed"]:
            assert {name: infos[0][name] for name in METRICS} == {name: info[name] for name in METRICS}
            assert infos[0]["reward_terms"] == info["reward_terms"]
            assert infos[0]["slots_elapsed"] == 1
        else:
            assert infos[0] == {}
    assert infos[0]["TimeLimit.truncated"] is True
    assert infos[0]["episode"]["r"] == pytest.approx(total)
    assert infos[0]["episode"]["l"] == steps
    last = infos[0]["terminal_observation"]
    for name in last if isinstance(last, dict) else [None]:
        np.testing.assert_array_equal(last[name] if name else last, first[name] if name else first)
    assert envs.simulation.states["public"]["slot"][0] == 0
    # What follows is the second episode of the single environment.
    first, info = single.reset()
    assert_equal(first, batch, 0)
    np.testing.assert_array_equal(envs.env_method("action_masks")[0], info["action_mask"])


def assert_equal(single: object, batch: object, index: int) -> None:
    if isinstance(single, dict):
        assert isinstance(batch, dict)
        for name, values in single.items():
            np.testing.assert_array_equal(values, batch[name][index])
    else:
        np.testing.assert_array_equal(single, batch[index])  # type: ignore[index]


@pytest.mark.parametrize("observation", ["flat", "structured"])
def test_the_adapter_follows_the_single_environment(observation: str) -> None:
    follow_to_the_end(observation)


def test_masks_are_found_by_sb3_contrib() -> None:
    envs = ClusterVecEnv(3, ID, preset="small")
    envs.seed(0)
    envs.reset()
    assert is_masking_supported(envs)
    np.testing.assert_array_equal(get_action_masks(envs), envs.simulation.masks)
    assert len(envs.env_method("action_masks", indices=[0, 2])) == 2
    np.testing.assert_array_equal(envs.get_attr("action_masks", 1)[0](), envs.simulation.masks[1])


def test_infos_are_new_in_every_step() -> None:
    envs = ClusterVecEnv(2, ID, preset="small")
    envs.reset()
    before = envs.step(np.zeros(2, np.int64))
    kept = before[0].copy()
    after = envs.step(np.zeros(2, np.int64))
    assert before[3] is not after[3]
    assert before[3][0] is not before[3][1]
    np.testing.assert_array_equal(before[0], kept)


def test_the_same_seed_gives_the_same_episodes() -> None:
    def start(seed: int | None) -> np.ndarray:
        envs = ClusterVecEnv(2, ID, preset="small")
        envs.seed(seed)
        return np.asarray(envs.reset())

    np.testing.assert_array_equal(start(4), start(4))
    assert (start(4)[0] != start(4)[1]).any()
    assert (start(4) != start(5)).any()


def test_spread_episodes_are_led_and_not_reported() -> None:
    envs = ClusterVecEnv(4, ID, preset="small", spread=True)
    envs.seed(0)
    envs.reset()
    assert envs.simulation.states["public"]["slot"].tolist() == [0, 72, 144, 216]
    reported = np.zeros(4, np.int64)
    for _ in range(288):
        *_, dones, infos = envs.step(np.zeros(4, np.int64))
        for index in np.flatnonzero(dones):
            assert "terminal_observation" in infos[index]
            reported[index] += "episode" in infos[index]
    assert reported.tolist() == [1, 0, 0, 0]


def test_sb3_evaluates_a_rule_through_the_adapter() -> None:
    envs = ClusterVecEnv(2, "psgym/Allocation-v0", preset="small")
    envs.seed(0)
    assert envs.env_is_wrapped(Monitor) == [True, True]
    policy = make_policy("do-nothing", envs, "psgym/Allocation-v0")
    mean, _ = evaluate_policy(policy, envs, n_eval_episodes=2)  # type: ignore[arg-type]
    assert mean < 0


def test_what_a_batch_cannot_do_is_explained() -> None:
    envs = ClusterVecEnv(2, ID, preset="small")
    with pytest.raises(AttributeError, match="action_masks"):
        envs.env_method("render_all")
    with pytest.raises(AttributeError, match="one configuration"):
        envs.set_attr("config", None)
    envs.set_options([{"traffic": np.ones(288)}, {}])
    with pytest.raises(ValueError, match="same reset options"):
        envs.reset()
