"""Each thing that a user can get wrong is told in one error that names it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import psgym  # noqa: F401  # registers the ids
from psgym.envs.cluster import config as config_module
from psgym.envs.cluster.config import ClusterConfig, ConfigError
from psgym.envs.env import CapacityEnv, FullClusterEnv, InvalidActionError
from psgym.envs.trace_files import TraceError
from psgym.envs.traffic import TrafficError
from psgym.envs.vector import ClusterVectorEnv

RANGES = config_module._RANGES
FIELDS = {item.name: str(item.type) for item in dataclasses.fields(ClusterConfig)}
NUMBERS = [name for name, kind in FIELDS.items() if kind in ("int", "float")]


def outside() -> list[tuple[str, float]]:
    """A value below and one above the range of every field."""
    cases: list[tuple[str, float]] = []
    for name, (low, high) in RANGES.items():
        step = 1 if FIELDS[name] == "int" else 1e-9
        cases += [(name, low - step)] if low is not None else []
        cases += [(name, high + max(step, 1e-6))] if high is not None and FIELDS[name] == "float" else []
        cases += [(name, int(high) + 1)] if high is not None and FIELDS[name] == "int" else []
    return cases


def test_every_number_has_a_range() -> None:
    assert set(NUMBERS) == set(RANGES)


@pytest.mark.parametrize(("name", "value"), outside())
def test_a_number_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must lie in .*{re.escape(repr(value))}"):
        ClusterConfig(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_the_wrong_type_is_named(name: str) -> None:
    wrong = ["much", None] if FIELDS[name] not in ("str",) else [3, None]
    wrong += [True, float("nan"), float("inf")] if FIELDS[name] in ("int", "float") else []
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"^{name} must be a"):
            ClusterConfig(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodez": 3}, "unknown configuration key 'nodez'; did you mean 'nodes'"),
        ({"preset": "smal"}, "unknown preset 'smal'.*did you mean 'small'"),
        ({"preset": "small", "config": {}}, "either preset .* or config"),
        ({"config": "small"}, "config must be a ClusterConfig or a mapping, not 'small'"),
        ({"config": {"slotz": 3}}, "did you mean 'slots'"),
        ({"allocation_rule": "optimum"}, "allocation_rule must be one of .*did you mean 'optimus'"),
        ({"initial": "full"}, "initial must be one of one-each, empty"),
        ({"kinds": ("resnet",)}, "unknown job kind 'resnet'; did you mean 'resnet-50'"),
        ({"kinds": ()}, "kinds must name at least one"),
        ({"kinds": ("dssm", "dssm")}, "kinds names 'dssm' twice"),
        ({"kinds": (3,)}, "kinds: unknown job kind 3"),
        ({"kinds": ([],)}, r"kinds: unknown job kind \[\]"),
        ({"samples_per_kind": (1.0,)}, "one value for each of the 8 kinds, not 1"),
        ({"samples_per_kind": (-1.0,) * 8}, "samples_per_kind must hold positive numbers, not -1.0"),
        ({"samples_per_kind": (float("nan"),) * 8}, "samples_per_kind must hold positive numbers, not nan"),
        ({"samples_per_kind": ("a",) * 8}, "samples_per_kind must hold positive numbers, not 'a'"),
        ({"storage_seconds": 70.0}, "storage_seconds must divide slot_seconds"),
        ({"min_restart_seconds": 130.0}, "min_restart_seconds 130.0 is above"),
        ({"initial_copies": 9}, "initial_copies must be at most data_servers"),
        ({"capacity_ratio": 2.0}, "capacity_ratio must exceed initial_copies"),
        ({"candidates": 65}, "candidates must be at most datasets"),
        ({"job_list": 4000}, "job_list must be at most max_jobs"),
        ({"node_gpu": 0}, "one worker and one server of 'resnet-50' need 2.2 CPU and 1 GPU"),
        ({"nodes": 1, "node_cpu": 3}, "2.2 CPU .*no 1 nodes of 3 CPU"),
    ],
)
def test_a_configuration_that_cannot_be_is_explained(changes: dict[str, Any], message: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ConfigError, match=message):
            make("psgym/Cluster-v0", **changes)


HEADER = "timestamp,value\n"
ROWS = [f"2020-01-{day:02}T{hour:02}:00:00,{10 + hour}\n" for day in range(1, 9) for hour in range(24)]


def with_line_7(line: str) -> str:
    return HEADER + "".join([*ROWS[:5], line + "\n", *ROWS[6:]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "the file is empty"),
        (HEADER, "a header, but no rows"),
        (with_line_7("2020-01-01T05:00:00,NaN"), r"t\.csv:7:value: 'NaN' is not a number"),
        (with_line_7("2020-01-01T05:00:00,-15"), r"t\.csv:7:value: '-15' is not a count"),
        (with_line_7("2020-01-01T25:00:00,15"), r"t\.csv:7:timestamp: .* is not a time"),
        (with_line_7("2020-01-01T03:30:00,15"), r"t\.csv:7:timestamp: .* is not later than the row before it"),
        (with_line_7("2020-01-01T04:00:00,15"), r"t\.csv:7:timestamp: .* is not later than the row before it"),
        (with_line_7("2020-01-01T05:00:00"), r"t\.csv:7: 1 cells, but the header has 2"),
        (HEADER + re.sub(r",\d+", ",5", "".join(ROWS)), "the traffic is constant: every value is 5"),
        (HEADER + "".join(ROWS[:30]), "the train part has 216 slots, fewer than an episode of 288"),
    ],
)
def test_a_bad_file_is_told_by_gym_make_or_reset(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises((TraceError, TrafficError), match=message):
        gym.make("psgym/Capacity-v0", traffic=str(path), disable_env_checker=True).reset(seed=1)


@pytest.mark.parametrize(
    ("traffic", "message"),
    [
        ([], "one-dimensional"),
        (np.ones((2, 288)), "one-dimensional"),
        (np.where(np.arange(288) == 7, np.nan, 1.0), r"traffic\[7\] must be finite and not negative, not nan"),
        (np.where(np.arange(288) == 9, np.inf, 1.0), r"traffic\[9\] .*inf"),
        (np.where(np.arange(288) == 3, -1.0, 1.0), r"traffic\[3\] .*-1"),
        (np.ones(287), "287 values, fewer than the 288 slots"),
        (["a"] * 288, "traffic must hold numbers"),
    ],
)
def test_a_bad_array_is_told_by_gym_make_and_by_reset(traffic: Any, message: str) -> None:
    with pytest.raises(TrafficError, match=message):
        gym.make("psgym/Capacity-v0", traffic=traffic, disable_env_checker=True).reset(seed=1)
    env = CapacityEnv()
    env.reset(seed=1)
    with pytest.raises(TrafficError, match=message):
        env.reset(options={"traffic": traffic})
    if message.startswith("287"):
        with pytest.raises(ResetNeeded):  # a reset that failed half-way leaves no episode behind
            env.step(0)


def test_traffic_of_another_type_and_unknown_options_are_told() -> None:
    with pytest.raises(TypeError, match=r"traffic must be .* not int"):
        gym.make("psgym/Capacity-v0", traffic=3)
    with pytest.raises(ValueError, match="unknown reset option 'trafic'; did you mean 'traffic'"):
        CapacityEnv().reset(options={"trafic": np.ones(288)})
    with pytest.raises(ValueError, match="no part 'testing'; there are train, validation, test"):
        CapacityEnv(part="testing")


def test_too_many_jobs_are_told() -> None:
    for env in (CapacityEnv(jobs_per_slot=20.0), ClusterVectorEnv(2, "psgym/Capacity-v0", jobs_per_slot=20.0)):
        with pytest.raises(ConfigError, match="more than max_jobs=2048 jobs arrive"):
            env.reset(seed=1)


def test_a_step_outside_of_an_episode_is_told() -> None:
    env = CapacityEnv(load=0.0)
    with pytest.raises(ResetNeeded, match="before step"):
        env.step(0)
    env.reset(seed=1)
    while not env.step(0)[3]:
        pass
    with pytest.raises(ResetNeeded, match="over"):
        env.step(0)
    with pytest.raises(ResetNeeded):
        ClusterVectorEnv(2, "psgym/Capacity-v0").step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    "action", [1.0, "1", None, True, np.bool_(True), np.array([1]), np.array([0, 1]), -1, 3, 10**30]
)
def test_an_action_that_is_none_is_told(action: Any) -> None:
    env = CapacityEnv(load=0.0)
    env.reset(seed=1)
    with pytest.raises(InvalidActionError, match="integer from 0 to 2"):
        env.step(action)
    batch = ClusterVectorEnv(2, "psgym/Capacity-v0", load=0.0)
    batch.reset(seed=1)
    for actions in (np.array([0, 7]), np.array([0.0, 1.0]), np.array([0]), action if np.ndim(action) == 0 else None):
        with pytest.raises(InvalidActionError):
            batch.step(actions)


def test_a_snapshot_of_another_cluster_is_refused() -> None:
    env, other = CapacityEnv(load=0.0), FullClusterEnv(load=0.0)
    for one in (env, other):
        one.reset(seed=1)
    for stranger in (other, CapacityEnv(load=0.5)):
        stranger.reset(seed=1)
        with pytest.raises(ValueError, match=r"snapshot is of a cluster of (an)?other settings"):
            env.set_state(stranger.get_state())
