"""What ``info`` says at every step: the metrics as the kernels keep them, whether a slot has passed or not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import psgym
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS
from psgym.envs.views import VIEWS

assert psgym.__version__


def check(env: Any, info: dict[str, Any], reward: float) -> None:
    cluster = env.unwrapped
    assert list(info) == [*METRICS, "action_mask", "slots_elapsed", "refused", "reward_terms"]
    assert [info[name] for name in METRICS] == cluster.simulation.metrics[0].tolist()
    np.testing.assert_array_equal(info["action_mask"], cluster.action_masks())
    assert list(info["reward_terms"]) == list(TERMS)
    assert sum(info["reward_terms"].values()) == pytest.approx(reward, abs=1e-12)
    assert info["slots_elapsed"] or reward == 0.0


@pytest.mark.parametrize("view_id", VIEWS)
def test_info_is_what_the_kernels_say(view_id: str) -> None:
    env, rng = gym.make(view_id, preset="small"), np.random.default_rng(0)
    _, info = env.reset(seed=0)
    check(env, info, 0.0)
    for _ in range(300):
        _, reward, _, _, info = env.step(int(rng.integers(env.action_space.n)))
        check(env, info, float(reward))
    snapshot = env.unwrapped.get_state()
    env.step(0)
    env.unwrapped.set_state(snapshot)
    for twin in (env.unwrapped, pickle.loads(pickle.dumps(env.unwrapped)), copy.deepcopy(env.unwrapped)):  # noqa: S301
        legal = int(np.flatnonzero(twin.action_masks())[-1])
        _, reward, _, _, info = twin.step(legal)
        check(twin, info, float(reward))


def test_infos_do_not_share_their_contents() -> None:
    env = gym.make("psgym/Cluster-v0")
    _, first = env.reset(seed=0)
    kept = copy.deepcopy(first)
    first["reward_terms"]["nodes"] = 5.0
    first["action_mask"][:] = False
    first["jobs_arrived"] = -1.0
    _, again = env.reset(seed=0)
    np.testing.assert_equal(again, kept)
