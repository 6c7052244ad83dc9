"""A cluster of the vector environment lives bit by bit like the single environment with its seed."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from psgym.envs.env import ClusterEnv, FullClusterEnv
from psgym.envs.vector import ClusterVectorEnv
from psgym.envs.views import VIEWS
from tests.envs.trajectories import BUSY, ENVS, random_action

COUNT, SEED, LAST = 3, 50, 288

each_env = pytest.mark.parametrize("make", ENVS, ids=lambda make: make.view.id)


class Pair:
    """A batch, and the single environments that should live the same."""

    def __init__(self, make: type[ClusterEnv], mode: AutoresetMode) -> None:
        self.batch = ClusterVectorEnv(COUNT, make.view, preset="small", autoreset_mode=mode, **BUSY)
        self.singles = [make(preset="small", **BUSY) for _ in range(COUNT)]
        self.rng = np.random.default_rng(7)
        observations, infos = self.batch.reset(seed=SEED)
        for i, env in enumerate(self.singles):
            observation, info = env.reset(seed=SEED + i)
            self.compare(i, observations, infos, observation, info)

    def compare(self, i: int, observations: Any, infos: Any, observation: Any, info: Any) -> None:
        """One cluster of what the batch returned, against what the single environment did."""
        assert observations[i].tobytes() == observation.tobytes()
        assert list(infos) == list(info)
        for key, value in info.items():
            if key == "reward_terms":
                assert {term: part[i] for term, part in infos[key].items()} == value
            else:
                assert np.array_equal(infos[key][i], value), key
        assert np.array_equal(self.batch.action_masks()[i], info["action_mask"])

    def skip_to(self, slot: int) -> None:
        """Commits until near the end of the episode."""
        for _ in range(slot):
            self.batch.step(np.zeros(COUNT, np.int64))
            for env in self.singles:
                env.step(0)

    def actions(self) -> NDArray[np.int64]:
        """One action for each cluster."""
        masks = self.batch.action_masks()
        return np.array([random_action(mask, self.rng, commits=0.3) for mask in masks])


def numbers(returned: Any, i: int) -> tuple[Any, ...]:
    """Reward, terminated and truncated of one cluster."""
    return tuple(part[i].item() for part in returned[1:4])


@each_env
def test_next_step_resets_with_the_action_after_an_end(make: type[ClusterEnv]) -> None:
    pair = Pair(make, AutoresetMode.NEXT_STEP)
    pair.skip_to(LAST - 8)
    over, ends = [False] * COUNT, 0
    for _ in range(80):
        actions = pair.actions()
        returned = pair.batch.step(actions)
        for i, env in enumerate(pair.singles):
            if over[i]:
                observation, info = env.reset()
                assert numbers(returned, i) == (0.0, False, False)
                over[i], ends = False, ends + 1
            else:
                observation, *rest, info = env.step(actions[i])
                assert numbers(returned, i) == tuple(rest)
                over[i] = rest[1] or rest[2]
            pair.compare(i, returned[0], returned[4], observation, info)
    assert ends >= COUNT


@each_env
def test_same_step_resets_at_once_and_keeps_what_was_last_seen(make: type[ClusterEnv]) -> None:
    pair, ends = Pair(make, AutoresetMode.SAME_STEP), 0
    pair.skip_to(LAST - 8)
    for _ in range(80):
        actions = pair.actions()
        observations, *_, infos = returned = pair.batch.step(actions)
        final = {key: infos.pop(key) for key in list(infos) if key.startswith(("final_", "_final_"))}
        for i, env in enumerate(pair.singles):
            observation, *rest, info = env.step(actions[i])
            assert numbers(returned, i) == tuple(rest)
            over = rest[1] or rest[2]
            assert over == bool(final.get("_final_obs", np.zeros(COUNT))[i])
            assert over == bool(final.get("_final_info", np.zeros(COUNT))[i])
            if over:
                ends += 1
                assert final["final_obs"][i].tobytes() == observation.tobytes()
                terms = final["final_info"]["reward_terms"]
                assert {term: part[i] for term, part in terms.items()} == info["reward_terms"]
                for key in set(info) - {"reward_terms"}:
                    assert np.array_equal(final["final_info"][key][i], info[key]), key
                observation, info = env.reset()
            pair.compare(i, observations, infos, observation, info)
    assert ends >= COUNT


def test_disabled_lets_a_cluster_rest_until_it_is_reset() -> None:
    pair = Pair(FullClusterEnv, AutoresetMode.DISABLED)
    pair.skip_to(LAST - 1)
    last = pair.batch.step(np.array([0] + [1] * (COUNT - 1)))
    for i, env in enumerate(pair.singles):
        env.step(0 if i == 0 else 1)
    assert last[3].tolist() == [True] + [False] * (COUNT - 1)
    resting = pair.batch.step(np.zeros(COUNT, np.int64))
    assert resting[0][0].tobytes() == last[0][0].tobytes()
    assert resting[1][0] == 0.0
    assert resting[3].all()
    assert resting[4]["slots_elapsed"].tolist() == [0] + [1] * (COUNT - 1)
    assert all(part[0] == 0.0 for part in resting[4]["reward_terms"].values())
    observations, infos = pair.batch.reset(options={"reset_mask": np.array([True] + [False] * (COUNT - 1))})
    pair.compare(0, observations, infos, *pair.singles[0].reset())
    after = pair.batch.step(np.zeros(COUNT, np.int64))
    assert after[3].tolist() == [False] + [True] * (COUNT - 1)
    observation, *rest, info = pair.singles[0].step(0)
    assert numbers(after, 0) == tuple(rest)
    pair.compare(0, after[0], after[4], observation, info)


@pytest.mark.parametrize("view_id", VIEWS)
def test_make_vec_gives_the_native_batch(view_id: str) -> None:
    env = gym.make_vec(view_id, num_envs=2, preset="small", autoreset_mode=AutoresetMode.SAME_STEP)
    assert isinstance(env.unwrapped, ClusterVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, _ = env.reset(seed=1)
    assert env.observation_space.contains(observations)
    env.action_space.seed(1)
    for _ in range(5):
        observations, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observations)
        assert rewards.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_
    env.close()


@pytest.mark.parametrize("observation", ["flat", "structured"])
def test_what_a_step_returned_never_changes_afterwards(observation: str) -> None:
    env = ClusterVectorEnv(2, observation=observation, preset="small", **BUSY)
    kept = [env.reset(seed=0), *(env.step(np.zeros(2, np.int64)) for _ in range(5))]
    before = pickle.dumps(kept)
    env.step(np.zeros(2, np.int64))
    env.reset(seed=1)
    assert pickle.dumps(kept) == before


def test_a_batch_pickles_in_mid_episode() -> None:
    env = ClusterVectorEnv(2, preset="small", **BUSY)
    env.reset(seed=0)
    for _ in range(LAST - 3):
        env.step(np.zeros(2, np.int64))
    twin = pickle.loads(pickle.dumps(env))  # noqa: S301
    for _ in range(8):
        one, other = env.step(np.zeros(2, np.int64)), twin.step(np.zeros(2, np.int64))
        np.testing.assert_equal(one, other)
