"""A seed and the actions fix every bit of a trajectory, in this process or another, from the start or from a copy."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psgym.envs.env import ClusterEnv, FullClusterEnv
from tests.envs import trajectories
from tests.envs.trajectories import BUSY, ENVS, fingerprint, trajectory, walk

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),  # noqa: S301
    "deepcopy": copy.deepcopy,
}

each_env = pytest.mark.parametrize("make", ENVS, ids=lambda make: make.view.id)


def busy(make: type[ClusterEnv]) -> ClusterEnv:
    return make(preset="small", **BUSY)


def in_mid_episode(make: type[ClusterEnv], slots: int, seed: int = 4) -> ClusterEnv:
    """An environment some slots into its episode, in the middle of a slot's decisions."""
    env = busy(make)
    env.reset(seed=seed)
    for _ in range(slots):
        env.step(0)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        env.step(trajectories.random_action(env.action_masks(), rng, commits=0.0))
    return env


@each_env
def test_a_seed_and_the_actions_fix_every_bit(make: type[ClusterEnv]) -> None:
    first = trajectory(busy(make), seed=3, steps=150)
    assert first == trajectory(busy(make), seed=3, steps=150)
    assert len(set(first)) == len(first)
    assert set(first).isdisjoint(trajectory(busy(make), seed=9, steps=20))


def test_a_new_process_lives_the_same_trajectory() -> None:
    script = Path(trajectories.__file__)
    result = subprocess.run([sys.executable, script, "plain"], check=True, capture_output=True, text=True)
    assert [line.split() for line in result.stdout.splitlines()] == list(trajectories.plain())


@each_env
def test_reset_with_a_seed_forgets_everything_before_it(make: type[ClusterEnv]) -> None:
    used = in_mid_episode(make, slots=60, seed=8)
    assert trajectory(used, seed=3, steps=40) == trajectory(busy(make), seed=3, steps=40)


@each_env
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_made_in_mid_episode_lives_on_alike_beyond_its_end(make: type[ClusterEnv], how: str) -> None:
    env = in_mid_episode(make, slots=284)
    twin = COPIES[how](env)
    lived = walk(env, np.random.default_rng(1), steps=60, commits=0.3)
    assert env.public["slot"][0] < 284, "the walk should pass the end of the episode"
    assert walk(twin, np.random.default_rng(1), steps=60, commits=0.3) == lived


@each_env
def test_a_snapshot_brings_the_cluster_back_after_it_went_elsewhere(make: type[ClusterEnv]) -> None:
    env = in_mid_episode(make, slots=30)
    before, snapshot = env.action_masks(), env.get_state()
    assert env.get_state().scenario is snapshot.scenario, "snapshots of an episode should share its scenario"
    kept = fingerprint(snapshot.state, snapshot.scenario)
    lived = walk(env, np.random.default_rng(1), steps=60)
    assert walk(env, np.random.default_rng(2), steps=60)[0] not in lived
    assert fingerprint(snapshot.state, snapshot.scenario) == kept, "a snapshot must not follow the cluster"
    for _ in range(2):
        env.set_state(snapshot)
        assert np.array_equal(env.action_masks(), before)
        assert walk(env, np.random.default_rng(1), steps=60) == lived


def test_a_snapshot_revives_an_episode_that_has_ended() -> None:
    env = in_mid_episode(FullClusterEnv, slots=287)
    snapshot = env.get_state()
    returned = env.step(0)
    assert returned[3]
    env.set_state(snapshot)
    again = env.step(0)
    assert fingerprint(returned[0]) == fingerprint(again[0])
    assert returned[1] == again[1]


def exogenous(env: ClusterEnv) -> str:
    """What no policy can change: arrivals and truths, traffic, forecasts, failures by calendar."""
    state = np.asarray(env.simulation.states)
    public, hidden = state["public"], state["hidden"]
    known = int(public["known_jobs"][0])
    arrived = [public["jobs"][name][:, :known] for name in ("arrival_seconds", "kind", "mode", "dataset", "samples")]
    failures = [hidden[name] for name in ("node_fails_at", "node_repair_seconds", "server_repair_seconds")]
    up = [public["servers"]["up"], public["nodes"]["failed"], public["traffic"], public["forecast"]]
    return fingerprint(env.simulation.scenarios, *arrived, *failures, *up)


def noise_and_restarts(env: ClusterEnv) -> dict[tuple[str, int], float]:
    """The noise of each speed observed in this slot, and each full restart."""
    state = np.asarray(env.simulation.states)[0]
    seen = {}
    for k in np.flatnonzero(state["hidden"]["jobs"]["run_seconds"] > 0).tolist():
        job, secret = state["public"]["jobs"][k], state["hidden"]["jobs"][k]
        if secret["finish_seconds"] > 0:
            continue
        seen["noise", k] = float(job["observed_speed"] / secret["true_speed"])
        began = secret["run_seconds"] == secret["since_checkpoint"] and secret["pause_seconds"] > 5.0  # no checkpoint
        if began and not secret["lost_task"]:
            seen["restart", k] = float(secret["pause_seconds"])
    return seen


def test_two_policies_with_one_seed_face_the_same_day() -> None:
    idle, wild = busy(FullClusterEnv), busy(FullClusterEnv)
    idle.reset(seed=6)
    wild.reset(seed=6)
    rng = np.random.default_rng(0)
    shared = {"noise": 0, "restart": 0}
    for _ in range(150):
        while not wild.step(trajectories.random_action(wild.action_masks(), rng))[4]["slots_elapsed"]:
            pass
        idle.step(0)
        assert exogenous(idle) == exogenous(wild)
        one, other = noise_and_restarts(idle), noise_and_restarts(wild)
        for key in one.keys() & other.keys():
            assert one[key] == pytest.approx(other[key], rel=1e-12)
            shared[key[0]] += 1
    assert fingerprint(idle.simulation.states) != fingerprint(wild.simulation.states)
    assert shared["noise"] > 100
    assert shared["restart"] > 10
