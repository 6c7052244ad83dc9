"""Hidden truth stays hidden: scrambling it and the future changes nothing that a policy can see or decide."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.agents.policies import make_policy
from psgym.agents.scores import score_of
from psgym.envs.cluster.config import ALLOCATION_RULES, CAPACITY_RULES, REPLICA_RULES
from psgym.envs.cluster.decide import next_actions
from psgym.envs.env import CapacityEnv, ClusterEnv, FullClusterEnv, ReplicasEnv
from psgym.envs.simulation import Simulation
from tests.envs.trajectories import ENVS

BUSY = {"load": 2.0, "node_failures_per_day": 40.0, "server_failures_per_day": 40.0}
RULES = list(product(range(len(CAPACITY_RULES)), range(len(REPLICA_RULES)), range(len(ALLOCATION_RULES))))


def scramble(simulation: Simulation, rng: np.random.Generator) -> None:
    """Replaces the truth behind what is known, and everything that is still to come."""
    scenario, state = np.asarray(simulation.scenarios)[0], np.asarray(simulation.states)[0]
    slot, known = int(state["public"]["slot"]), int(state["public"]["known_jobs"])
    scenario["key"] = rng.integers(2**63)
    jobs = scenario["jobs"][: scenario["job_count"]]
    jobs["multiplier"] = rng.permuted(jobs["multiplier"], axis=0) * rng.uniform(0.5, 2.0, jobs["multiplier"].shape)
    to_come = jobs[known:]
    to_come["arrival_seconds"] += rng.uniform(0, 1e5)
    for name in ("samples", "kind", "mode", "dataset"):
        to_come[name] = rng.permutation(to_come[name])
    scenario["job_count"] = int(rng.integers(known, scenario["job_count"] + 1))
    scenario["traffic"][slot + 1 :] = rng.permutation(scenario["traffic"][slot + 1 :])
    scenario["forecast"][slot + 1 :] = rng.permutation(scenario["forecast"][slot + 1 :])
    scenario["background"][slot:] = rng.permuted(scenario["background"][slot:], axis=1)
    bursts = scenario["bursts"][: scenario["burst_count"]]
    bursts["bytes"] *= rng.uniform(0.1, 10.0, len(bursts))
    later = bursts["announced_slot"] > slot
    bursts["dataset"][later] = rng.permutation(bursts["dataset"][later])
    bursts["readers"][later] += 1
    bursts["start_slot"][later] += rng.integers(0, 9, int(later.sum()))
    waiting = (bursts["announced_slot"] <= slot) & (bursts["start_slot"] >= slot)
    bursts["start_slot"][waiting] += rng.integers(0, 9, int(waiting.sum()))
    state["hidden"]["burst_left"] *= rng.uniform(0.1, 10.0, len(state["hidden"]["burst_left"]))
    hidden = state["hidden"]["jobs"]
    hidden["saved"] = state["public"]["jobs"]["done"] * rng.uniform(size=hidden.shape)
    for name in ("true_speed", "pause", "since_checkpoint", "run_seconds", "stall_seconds", "pause_seconds"):
        hidden[name] = rng.uniform(0, 1e4, hidden.shape)
    for name in ("node_repair_seconds", "server_repair_seconds", "server_load", "served_share", "speed_factor"):
        state["hidden"][name] = rng.uniform(0, 1e6, state["hidden"][name].shape)
    state["hidden"]["node_fails_at"] = rng.integers(-1, 10, 12)


def decisions(simulation: Simulation) -> NDArray[np.int64]:
    """The next action of every composition of rules."""
    actions = np.empty((len(RULES), 1), np.int64)
    for row, codes in zip(actions, RULES, strict=True):
        next_actions(simulation.states, *codes, row)
    return actions


@pytest.mark.parametrize("steps", [0, 150, 600])
@pytest.mark.parametrize("make", ENVS)
def test_scrambling_the_truth_changes_neither_sight_nor_decision(make: type[ClusterEnv], steps: int) -> None:
    env = make(preset="small", **BUSY)
    for seed in range(3):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        simulation = env.simulation
        for _ in range(steps):
            if simulation.states["public"]["slot"][0] == env.config.slots - 2:
                break
            env.step(0 if rng.random() < 0.1 else int(rng.choice(np.flatnonzero(env.action_masks()))))
        seen, mask, decided = simulation.observations.copy(), simulation.masks.copy(), decisions(simulation)
        assert seen.any()
        scramble(simulation, rng)
        simulation.observations[:], simulation.masks[:] = np.nan, False
        simulation.refresh(0)
        assert simulation.observations.tobytes() == seen.tobytes()
        assert simulation.masks.tobytes() == mask.tobytes()
        assert decisions(simulation).tobytes() == decided.tobytes()


def test_the_scrambled_truth_is_what_the_future_depends_on() -> None:
    ends = []
    for scrambled in (False, True):
        env = FullClusterEnv(preset="small", **BUSY)
        env.reset(seed=4)
        for slot in range(30):
            if slot == 20 and scrambled:
                scramble(env.simulation, np.random.default_rng(1))
            env.step(0)
        ends.append(env.simulation.observations.copy())
    assert (ends[0] != ends[1]).any()


def test_a_forecast_is_made_of_traffic_that_has_been_seen() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(0.2, 2.0, 288)
    second = np.concatenate([first[:100], rng.uniform(0.2, 2.0, 188)])
    forecasts = []
    for traffic in (first, second):
        env = CapacityEnv()
        env.reset(seed=1, options={"traffic": traffic})
        forecasts.append(np.asarray(env.simulation.scenarios)["forecast"][0].copy())
    assert forecasts[0][:101].tobytes() == forecasts[1][:101].tobytes()
    assert (forecasts[0][101:] != forecasts[1][101:]).any(axis=(1, 2)).all()


def test_what_is_seen_at_a_slot_is_the_same_under_another_future() -> None:
    """The whole chain from traffic to observation: days that part after slot 60, and one that parts at once."""
    day = np.random.default_rng(3).uniform(0.2, 2.0, 288)
    trails = []
    for traffic in (day, np.concatenate([day[:60], day[:59:-1]]), day[::-1]):
        env = FullClusterEnv(load=0.0)  # arrivals would draw from the generator as often as there are jobs
        trail = [env.reset(seed=1, options={"traffic": traffic})[0].tobytes()]
        trails.append(trail + [env.step(0)[0].tobytes() for _ in range(61)])
    assert trails[0][:61] == trails[1][:61]
    assert trails[0][61] != trails[1][61]
    assert trails[0][0] == trails[2][0]
    assert trails[0][1] != trails[2][1]


RUNGS = ("lru", "lfu", "one-threshold", "hot-cold", "scarlett", "queue-aware", "load-aware", "forecast")


@pytest.mark.parametrize("name", RUNGS)
def test_scrambling_the_truth_changes_no_decision_of_an_honest_rung(name: str) -> None:
    env = ReplicasEnv(preset="small", placement="agent", **BUSY)
    observation, _ = env.reset(seed=6)
    policy = make_policy(name, env, "psgym/Replicas-v0")
    for _ in range(60):
        observation, *_ = env.step(policy.predict(observation)[0])
    decided = policy.predict(observation)[0]
    scramble(env.simulation, np.random.default_rng(0))
    env.simulation.refresh(0)
    assert policy.predict(env.simulation.observations[0])[0] == decided


@pytest.mark.parametrize(("make", "load"), [(CapacityEnv, 0.1), (ReplicasEnv, 2.0)])
def test_scrambling_the_truth_changes_no_decision_of_a_scorer(make: type[ClusterEnv], load: float) -> None:
    env = make(preset="small", placement="agent", **{**BUSY, "load": load})
    score, rng = score_of(env.view.id), np.random.default_rng(0)
    start, spread = score.start(env.config), np.array([score.spreads[name] for name in score.weights])
    policies = [  # every weight counts in some of them
        score.bind(env, start + spread * rng.standard_normal(len(start)), (0, 0)) for _ in range(20)
    ]
    differing = 0
    for seed in range(4):
        env.reset(seed=seed)
        for number in range(60):
            env.step(policies[number % 20].predict(env.simulation.observations[0])[0])
        decided = [int(policy.predict(env.simulation.observations[0])[0]) for policy in policies]
        scramble(env.simulation, rng)
        env.simulation.refresh(0)
        assert [int(policy.predict(env.simulation.observations[0])[0]) for policy in policies] == decided
        differing += len(set(decided)) > 1
    assert differing > 0


def test_the_oracle_does_read_the_future() -> None:
    env = ReplicasEnv(preset="small", placement="agent", **BUSY)
    policy = make_policy("oracle", env, "psgym/Replicas-v0")
    differing = 0
    for slots in range(0, 60, 5):
        decided = set()
        for seed in range(3):
            env.reset(seed=6)
            for _ in range(slots):
                env.step(0)
            scramble(env.simulation, np.random.default_rng(seed))
            decided.add(int(policy.predict(env.simulation.observations[0])[0]))
        differing += len(decided) > 1
    assert differing > 0
