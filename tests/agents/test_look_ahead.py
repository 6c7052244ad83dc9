"""The look-ahead policy: it decides by what may be known, follows its plans, and its oracle does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.agents.belief import imagine
from psgym.agents.look_ahead import VARIATIONS, LookAheadPolicy
from psgym.agents.policies import PolicyError, PriorityPolicy, make_policy
from psgym.agents.priorities import STICKY
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.rules.priority import plan_at_once
from psgym.envs.simulation import Simulation

ID = "psgym/Allocation-v0"
SMALL: dict[str, Any] = {"variations": VARIATIONS[:4], "slots": 3}


def clusters(seed: int, slots: int, **changes: Any) -> tuple[ClusterVectorEnv, NDArray[np.float32]]:
    """Two equal clusters after some slots of the sticky rule."""
    env = ClusterVectorEnv(2, ID, preset="contended", initial="empty", load=2.0, autoreset_mode="Disabled", **changes)
    observation, _ = env.reset(seed=[seed, seed])
    rule = PriorityPolicy(env, STICKY.array)
    for _ in range(slots):
        while True:
            actions, _ = rule.predict(observation)
            observation, _, _, _, infos = env.step(actions)
            if infos["slots_elapsed"].all():
                break
    return env, observation


def scramble(simulation: Simulation, index: int, rng: np.random.Generator) -> None:
    """Replace all that is hidden of a cluster and all that is to come."""
    scenario, state = np.asarray(simulation.scenarios)[index], np.asarray(simulation.states)[index]
    slot, known = int(state["public"]["slot"]), int(state["public"]["known_jobs"])
    scenario["key"] = rng.integers(2**63)
    scenario["jobs"]["multiplier"] *= rng.uniform(0.2, 5.0, scenario["jobs"]["multiplier"].shape)
    for name in ("samples", "kind", "mode", "dataset"):
        scenario["jobs"][name][known:] = rng.permutation(scenario["jobs"][name][known:])
    scenario["job_count"] = known
    for name in ("traffic", "forecast", "background"):
        scenario[name][slot + 1 :] = rng.permutation(scenario[name][slot + 1 :])
    secret = state["hidden"]["jobs"]
    secret["saved"] = state["public"]["jobs"]["done"] * rng.uniform(size=secret.shape)
    for name in ("true_speed", "pause", "since_checkpoint"):
        secret[name] = rng.uniform(0.0, 1e3, secret.shape)
    for name in ("node_repair_seconds", "server_repair_seconds"):
        state["hidden"][name] = rng.uniform(0.0, 1e6, state["hidden"][name].shape)


def same_imagination(env: ClusterVectorEnv, **arguments: Any) -> LookAheadPolicy:
    """A policy that imagines the same for both clusters."""
    policy = LookAheadPolicy(env, STICKY, **arguments)
    imagine_alike(policy, env.num_envs)
    return policy


def imagine_alike(policy: LookAheadPolicy, count: int) -> None:
    """Give the imagination of all clusters the same numbers."""
    generators = [np.random.default_rng(7) for _ in range(count)]
    policy._generators.current = lambda: generators  # type: ignore[method-assign]


def costs(policy: LookAheadPolicy, index: int) -> NDArray[np.float64]:
    """What the candidates cost on the futures of a cluster, shape ``(futures x candidates,)``."""
    for future in range(policy._futures):
        policy._begin_future(index, future * len(policy._candidates))
    rows = np.tile(policy._candidates, (policy._futures, 1))
    plan_at_once(policy._copies.states, rows, policy._codes)
    return policy._follow(rows)


def test_the_hidden_truth_and_the_future_change_no_decision() -> None:
    for seed in range(3):
        env, _ = clusters(seed, 40)
        scramble(env.simulation, 1, np.random.default_rng(seed))
        policy = same_imagination(env, futures=2, **SMALL)
        np.testing.assert_array_equal(costs(policy, 0), costs(policy, 1))
        policy = same_imagination(env, futures=2, **SMALL)
        assert policy._choose(0) == policy._choose(1)
        oracle = same_imagination(env, oracle=True, **SMALL)
        assert (costs(oracle, 0) != costs(oracle, 1)).any(), "it knows what was scrambled, so that was real"


def test_it_plays_the_plan_that_it_chose() -> None:
    env, observation = clusters(0, 30)
    policy = same_imagination(env, futures=2, **SMALL)
    wanted = policy._choose(0)
    imagine_alike(policy, env.num_envs)
    made: list[int] = []
    while True:
        actions, _ = policy.predict(observation)
        assert env.action_masks()[np.arange(2), actions].all()
        if actions[0]:
            made.append(int(actions[0]) - 1)
        observation, _, _, _, infos = env.step(actions)
        if infos["slots_elapsed"].any():
            break
    assert made == wanted


def test_one_variation_alone_is_the_rule_itself() -> None:
    env, observation = clusters(1, 20)
    policy, rule = LookAheadPolicy(env, STICKY, variations=({},)), PriorityPolicy(env, STICKY.array)
    for _ in range(40):
        actions, _ = policy.predict(observation)
        np.testing.assert_array_equal(actions, rule.predict(observation)[0])
        observation, *_ = env.step(actions)


def test_what_is_imagined_agrees_with_what_is_known() -> None:
    env, _ = clusters(2, 60, node_failures_per_day=40.0)
    simulation = env.simulation
    public = np.asarray(simulation.states)["public"][0]
    raw = np.asarray(simulation.states)[:1].view(np.uint8)[: simulation.states.dtype["public"].itemsize]
    before = raw.copy()
    speeds = []
    for draw in range(200):
        np.asarray(simulation.states)["hidden"][0] = 0
        imagine(simulation.states, simulation.scenarios, 0, 12, np.random.default_rng(draw))
        scenario, hidden = np.asarray(simulation.scenarios)[0], np.asarray(simulation.states)["hidden"][0]
        np.testing.assert_array_equal(raw, before)
        arrivals = scenario["jobs"]["arrival_seconds"][public["known_jobs"] : scenario["job_count"]]
        assert (np.diff(arrivals) >= 0).all()
        assert ((arrivals >= public["slot"] * 300.0) & (arrivals < (public["slot"] + 12) * 300.0)).all()
        assert (hidden["node_repair_seconds"] > 0).tolist() == (public["nodes"]["failed"] != 0).tolist()
        speeds.append(scenario["job_count"] - public["known_jobs"])
    # Twelve slots of arrivals at the forecast traffic: their mean is known.
    expected = 12 * float(public["settings"]["arrivals"]) * float(public["forecast"][:, 0].mean())
    assert np.mean(speeds) == pytest.approx(expected, rel=0.35)


def test_it_decides_the_allocation_alone() -> None:
    env = ClusterVectorEnv(1, "psgym/Cluster-v0")
    with pytest.raises(ValueError, match="decides the allocation alone"):
        LookAheadPolicy(env, STICKY)
    with pytest.raises(ValueError, match="first variation must be the base"):
        LookAheadPolicy(ClusterVectorEnv(1, ID), STICKY, variations=({"gain": 1.0},))
    with pytest.raises(PolicyError):
        make_policy("look-ahead", env, "psgym/Cluster-v0")
