"""The return is what it claims to be, wasted decisions do not pay, and incremental updates miss nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.config import ALLOCATION_RULES
from psgym.envs.cluster.decide import next_actions
from psgym.envs.env import AllocationEnv, ClusterEnv, FullClusterEnv
from tests.envs.trajectories import BUSY, ENVS, random_action

Policy = Callable[[ClusterEnv], int]

each_env = pytest.mark.parametrize("make", ENVS, ids=lambda make: make.view.id)


def greedy(env: ClusterEnv) -> int:
    """SRPT-Optimus, with every other part left as it is."""
    actions = np.zeros(1, np.int64)
    next_actions(env.simulation.states, 0, 0, ALLOCATION_RULES.index("srpt-optimus"), actions)
    return int(actions[0])


def at_random(seed: int) -> Policy:
    rng = np.random.default_rng(seed)
    return lambda env: random_action(env.action_masks(), rng)


def lived(env: ClusterEnv, policy: Policy, seed: int, slots: int = 10**9) -> list[tuple[float, int]]:
    """Reward and slots elapsed at every decision, to the end of the episode or after a number of slots."""
    env.reset(seed=seed)
    steps: list[tuple[float, int]] = []
    done, elapsed = False, 0
    while not done and elapsed < slots:
        _, reward, terminated, truncated, info = env.step(policy(env))
        done = terminated or truncated
        elapsed += info["slots_elapsed"]
        steps.append((reward, info["slots_elapsed"]))
    return steps


def unfinished_hours(env: ClusterEnv) -> float:
    """Integral of the number of unfinished jobs so far (h), from the times of every job that arrived."""
    state = np.asarray(env.simulation.states)[0]
    known = state["public"]["known_jobs"]
    end = state["public"]["slot"] * env.config.slot_seconds
    arrival = state["public"]["jobs"]["arrival_seconds"][:known]
    took = state["hidden"]["jobs"]["finish_seconds"][:known]
    return float(np.where(took > 0, took, end - arrival).sum()) / 3600.0


def discounted(steps: list[tuple[float, int]], gamma: float, per_slot: bool = True) -> float:
    """The discounted return, with gamma applied at COMMIT only, or at every decision."""
    value = 0.0
    for reward, slots in reversed(steps):
        value = reward + (gamma if slots or not per_slot else 1.0) * value
    return value


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("policy", [greedy, at_random(5)], ids=["greedy", "random"])
def test_the_return_is_minus_the_integral_of_unfinished_jobs(policy: Policy, seed: int) -> None:
    env = AllocationEnv(load=1.5, node_failures_per_day=40.0)
    total = sum(reward for reward, _ in lived(env, policy, seed))
    assert env.public["active_count"][0] > 0, "the test should leave jobs unfinished"
    assert env.public["slot"][0] == env.config.slots
    assert -total * env.config.reward_scale == pytest.approx(unfinished_hours(env), rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_drained_return_is_minus_the_summed_completion_times(seed: int) -> None:
    env = AllocationEnv(drain=True)
    total = sum(reward for reward, _ in lived(env, greedy, seed))
    state = np.asarray(env.simulation.states)[0]
    assert state["public"]["active_count"] == 0
    assert state["hidden"]["over"]
    assert env.public["slot"][0] > env.config.slots
    completion = state["hidden"]["jobs"]["finish_seconds"][: state["public"]["known_jobs"]]
    assert (completion > 0).all()
    assert -total * env.config.reward_scale * 3600.0 == pytest.approx(completion.sum(), rel=1e-9)


@each_env
def test_the_terms_of_a_reward_sum_to_it(make: type[ClusterEnv]) -> None:
    env = make(preset="small", **BUSY, stall_price=3.0, hot_traffic_price=2.0, storage_price=1.0, storage_target=1.0)
    env.reset(seed=2)
    policy, seen = at_random(3), set()
    for _ in range(400):
        _, reward, _, truncated, info = env.step(policy(env))
        terms: dict[str, Any] = info["reward_terms"]
        assert sum(terms.values()) == pytest.approx(reward, rel=1e-12)
        assert all(value <= 0 for value in terms.values())
        assert info["slots_elapsed"] or not any(terms.values())
        seen |= {name for name, value in terms.items() if value < 0}
        if truncated:
            env.reset()
    assert "unfinished" in seen
    assert len(seen) == len(terms) or make is AllocationEnv


def wasteful(policy: Policy, refused_first: int) -> Policy:
    """The same real plan, after some masked-out decisions at the start of every slot."""

    def act(env: ClusterEnv) -> int:
        public, mask = env.public[0], env.action_masks()
        if public["refusals"] < refused_first:
            return int(np.flatnonzero(~mask)[0])
        return policy(env)

    return act


@pytest.mark.parametrize("make", [AllocationEnv, FullClusterEnv], ids=lambda make: make.view.id)
@pytest.mark.parametrize("gamma", [1.0, 0.99, 0.9])
def test_wasted_decisions_never_raise_the_return_discounted_by_slot(make: type[ClusterEnv], gamma: float) -> None:
    plain = lived(make(preset="small"), greedy, seed=1, slots=60)
    assert discounted(plain, gamma) < 0
    for refused in (1, 2):
        wasted = lived(make(preset="small"), wasteful(greedy, refused), seed=1, slots=60)
        assert len(wasted) == len(plain) + 60 * refused
        assert discounted(wasted, gamma) <= discounted(plain, gamma)
        # The same wasted decisions would pay if every decision were discounted.
        assert gamma == 1.0 or discounted(wasted, gamma, per_slot=False) > discounted(plain, gamma, per_slot=False)


@pytest.mark.parametrize("placement", ["heuristic", "agent"])
@pytest.mark.parametrize("initial", ["one-each", "empty"])
@each_env
def test_incremental_updates_equal_a_full_refresh(make: type[ClusterEnv], initial: str, placement: str) -> None:
    env = make(preset="small", **BUSY, initial=initial, placement=placement)
    env.reset(seed=2)
    simulation, grown = env.simulation, 0
    policies = itertools.cycle([at_random(3), greedy])
    for _ in range(900):
        before = env.public["jobs"]["workers"].sum() + env.public["jobs"]["servers"].sum()
        _, _, _, truncated, info = env.step(next(policies)(env))
        after = env.public["jobs"]["workers"].sum() + env.public["jobs"]["servers"].sum()
        grown += not info["slots_elapsed"] and after > before
        observation, mask = simulation.observations.tobytes(), simulation.masks.tobytes()
        simulation.refresh(0)
        assert simulation.observations.tobytes() == observation
        assert simulation.masks.tobytes() == mask
        if truncated:
            env.reset()
    assert grown > 50 or "allocation" not in make.view.decides
