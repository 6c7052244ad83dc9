"""The priority rule: SRPT-Optimus is one of its points, one kernel plans as single decisions do, tuning can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import PriorityPolicy, make_policy
from psgym.agents.priorities import SHIPPED, STICKY, PrioritySet, nearest_set, read_priorities, write_priorities
from psgym.agents.tuning import Tuning, tune
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.rules.priority import PARAMETERS, WEIGHTS, extend_actions, make_memory, plan_at_once
from psgym.envs.presets import PRESETS

ID = "psgym/Allocation-v0"
SRPT = np.array([1.0, 0, -1.0, *[0.0] * 16])


@pytest.mark.parametrize("initial", ["empty", "one-each"])
def test_srpt_optimus_is_one_of_its_points(initial: str) -> None:
    # One kind, one mode and known speeds: otherwise equal gains may differ in their last bit, for one of the two only.
    changes: dict[str, Any] = {"kinds": ("resnet-50",), "asynchronous_share": 0.0, "initial": initial}
    changes |= dict.fromkeys(("hidden_coefficients", "noisy_speed", "spread_cost", "colocation_cost"), False)
    env = ClusterVectorEnv(4, ID, preset="contended", **changes)
    observations, _ = env.reset(seed=3)
    rule, point = make_policy("srpt-optimus", env, ID), PriorityPolicy(env, SRPT)
    for _ in range(600):
        actions, _ = rule.predict(observations)
        np.testing.assert_array_equal(point.predict(observations)[0], actions)
        observations, *_ = env.step(actions)


@pytest.mark.parametrize("initial", ["empty", "one-each"])
def test_a_plan_at_once_is_that_of_single_decisions(initial: str) -> None:
    generator = np.random.default_rng(0)
    weights = np.zeros((4, len(WEIGHTS)))
    weights[:, : len(PARAMETERS)] = generator.normal(size=(4, len(PARAMETERS)))
    weights[0] = STICKY.array
    envs = [ClusterVectorEnv(4, ID, preset="contended", initial=initial) for _ in range(2)]
    for env in envs:
        env.reset(seed=5)
    codes, memory = np.zeros((4, 129), np.int64), make_memory(4, envs[0].config.window)
    for _ in range(60):
        made: list[list[int]] = [[] for _ in range(4)]
        while True:
            actions = np.zeros(4, np.int64)
            extend_actions(envs[0].simulation.states, weights, memory, actions)
            for index in np.flatnonzero(actions):
                made[index].append(int(actions[index]) - 1)
            if not actions.any():
                break
            envs[0].simulation.step(np.where(actions == 0, -1, actions))
        plan_at_once(envs[1].simulation.states, weights, codes)
        assert made == [row[: row.index(0)] for row in codes.tolist()]
        for env in envs:
            env.step(np.zeros(4, np.int64))
        np.testing.assert_array_equal(envs[0].public["jobs"]["done"], envs[1].public["jobs"]["done"])


def test_what_it_remembers_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(6, len(WEIGHTS)))
    env = ClusterVectorEnv(6, "psgym/Cluster-v0", preset="contended", initial="empty")
    _, infos = env.reset(seed=5)
    memory, found = make_memory(6, env.config.window), 0

    def check(states: Any, memory: Any) -> np.ndarray:
        actions, fresh = np.zeros(6, np.int64), np.zeros(6, np.int64)
        extend_actions(states, weights, memory, actions)
        extend_actions(states, weights, make_memory(6, env.config.window), fresh)
        np.testing.assert_array_equal(actions, fresh)
        return actions

    for step in range(2000):
        actions = check(env.simulation.states, memory)
        found += np.count_nonzero(actions)
        # Anything may come between two questions: others' decisions, a new plan, nodes, another cluster's state.
        legal = np.argmax(generator.random(infos["action_mask"].shape) * infos["action_mask"], axis=1)
        _, _, _, _, infos = env.step(np.where(generator.random(6) < 0.3, legal, actions))
        if step % 50 == 0:
            source, target = generator.permutation(6)[:2]
            env.simulation.restore(env.simulation.snapshot(int(source)), int(target))
            infos["action_mask"] = env.action_masks()
        if step % 10 == 0:  # and a state that differs in one thing alone
            states = env.simulation.states.copy()
            record = np.asarray(states)["public"]
            jobs, part = record["jobs"], ("done", "ratio", "stall", "cpu_free", "gpu_free", "demand")[step // 10 % 6]
            changed = jobs if part in jobs.dtype.names else record
            check(env.simulation.states, memory)
            changed[part] = changed[part] + 100 if part.endswith("free") else 0.5 * changed[part] + 0.1
            check(states, memory.copy())
    assert found > 3000


def test_the_sticky_form_restarts_less() -> None:
    days = make_days(ID, "validation", 0, 3, "contended")
    runs = {
        name: run_policy(days, lambda env, name=name: make_policy(name, env, ID), initial="empty")
        for name in ("srpt-optimus", "srpt-optimus-sticky")
    }
    restarts = {name: run.metrics["restarts"].mean() for name, run in runs.items()}
    assert restarts["srpt-optimus-sticky"] < 0.75 * restarts["srpt-optimus"]


def test_sets_are_checked(tmp_path: Path) -> None:
    values = dict(STICKY.parameters)
    with pytest.raises(ValueError, match="parameters must be gain, remaining"):
        PrioritySet({"gain": 1.0})
    with pytest.raises(ValueError, match="gain must be a finite number, not nan"):
        PrioritySet({**values, "gain": float("nan")})
    with pytest.raises(ValueError, match="initial must be one of one-each, empty, not 'full'"):
        PrioritySet(values, "full")
    path = tmp_path / "priority.json"
    write_priorities(path, {"contended": STICKY})
    assert read_priorities(path) == {"contended": STICKY}
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"priority\.json: not parameters"):
        read_priorities(path)


def test_the_shipped_set_is_that_of_the_nearest_load() -> None:
    sets = read_priorities(SHIPPED)
    for name, one in sets.items():
        assert nearest_set(PRESETS[name]) == one
    assert nearest_set(PRESETS["large"]) == sets["contended"]


def test_a_search_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    tuning = Tuning("uncontended", iterations=3, population=4, days=1, validation_days=1)
    whole = tune(tuning, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(message: str) -> None:
        if len(json.loads((tmp_path / "parts" / "search.json").read_text())["centres"]) == 2:
            raise Stop

    seen: list[str] = []
    with pytest.raises(Stop):
        tune(tuning, tmp_path / "parts", lambda message: stop(message) if seen else seen.append(message))
    assert tune(tuning, tmp_path / "parts") == whole
    assert read_priorities(tmp_path / "parts" / "priority.json") == {"uncontended": whole}
    with pytest.raises(ValueError, match="a search with another seed"):
        tune(Tuning("uncontended", iterations=3, population=4, days=1, validation_days=1, seed=1), tmp_path / "parts")
