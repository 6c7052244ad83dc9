"""Situations at the edge of what a cluster can be in: each goes on, with finite numbers that can be told beforehand."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.metrics import METRICS
from psgym.envs.env import AllocationEnv, CapacityEnv, FullClusterEnv

SLOT = 300.0
UP, DOWN, REPLAN = 1, 2, 3


def is_finite(info: dict[str, Any], observation: Any) -> bool:
    return bool(np.isfinite([info[name] for name in METRICS]).all() and np.isfinite(observation).all())


def commit_all(env: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
    """Commits slots until the end: their number, the return, how it ended, and the last info."""
    count, total, terminated, truncated, info = 0, 0.0, False, False, {}
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(0)
        count, total = count + 1, total + reward
        assert is_finite(info, observation)
        assert env.observation_space.contains(observation)
    return count, total, terminated, truncated, info


def test_jobs_that_fit_nowhere_wait(situations: ModuleType) -> None:
    here = situations.Situation(initial="one-each")
    here.public["nodes"]["gpu_free"][:] = 0
    needs_gpu, needs_none = here.add_job("resnet-50"), here.add_job("dssm")
    here.commit()
    growths = here.env.action_masks()[REPLAN + 1 :][:6].tolist()
    assert growths == [False, True, False, True, True, True], "a server fits, a worker with GPU does not"
    here.commit()
    assert here.job(needs_gpu)["done"] == 0.0
    assert here.job(needs_none)["done"] > 0.0
    here.public["nodes"]["cpu_free"][:] = 0
    here.public["planning"] = False
    here.simulation.refresh(0)
    here.act(REPLAN)
    assert not here.env.action_masks()[REPLAN + 1 :][:3].any()


def test_all_nodes_off_is_legal_and_costs_waiting_alone(situations: ModuleType) -> None:
    here = situations.Situation()
    job = here.add_job("dssm")
    for _ in range(12):
        here.act(DOWN)
    assert not here.env.action_masks()[[UP, DOWN]].any()
    here.commit()
    assert here.info["node_hours"] == 0.0
    assert here.info["nodes_on"] == 0
    here.commit()
    assert here.reward == pytest.approx(-SLOT / 3600 / 100), "one job, one slot"
    assert here.job(job)["done"] == 0.0
    assert not here.env.action_masks()[REPLAN + 1 : REPLAN + 49].any()
    for _ in range(12):
        here.act(UP)
    here.commit()
    assert here.info["nodes_on"] == 12
    assert here.env.action_masks()[REPLAN + 1]


def test_a_dataset_without_servers_can_neither_be_copied_nor_dropped_and_comes_back(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    dataset, datasets = 0, here.public["datasets"]
    holders = np.flatnonzero(datasets["placed"][dataset])
    job = here.start("dssm", dataset=dataset)
    here.public["servers"]["up"][holders] = 0
    datasets["live"][:] -= datasets["placed"][:, holders].sum(axis=1)
    datasets["unlisted"][:] = 1
    datasets["heat"][dataset] = 1e12  # the first candidate
    here.hidden["server_repair_seconds"][holders] = 4 * SLOT
    here.commit()
    assert here.public["candidate"][0] == dataset
    assert not here.env.action_masks()[-16:-14].any()
    done = []
    for _ in range(4):
        here.commit()
        done.append(float(here.job(job)["done"]))
    assert done[:2] == [0.0, 0.0]
    assert done[3] == pytest.approx(2 * done[2]) != 0.0, "repaired after the fourth slot; the job has kept its tasks"
    assert here.public["servers"]["up"].all()
    assert datasets["live"][dataset] == len(holders)


@pytest.mark.parametrize("drain", [False, True])
def test_a_job_may_arrive_in_the_last_slot(situations: ModuleType, drain: bool) -> None:
    here = situations.Situation(drain=drain, initial="one-each")
    arrival = 288 * SLOT - 60.0
    here.add_job("dssm", samples=400.0, arrival=arrival)
    count, _, terminated, truncated, info = commit_all(here.env)
    assert (terminated, truncated) == (drain, not drain)
    assert info["jobs_arrived"] == 1
    assert info["jobs_unfinished"] == (0 if drain else 1)
    if drain:
        assert count == 289
        assert info["mean_completion_seconds"] == pytest.approx(here.secret(0)["finish_seconds"])
    else:
        assert count == 288
        assert info["mean_completion_seconds"] == pytest.approx(60.0)


@pytest.mark.parametrize("make", [CapacityEnv, AllocationEnv, FullClusterEnv])
@pytest.mark.parametrize("drain", [False, True])
def test_a_day_without_arrivals_costs_nodes_alone(make: type, drain: bool) -> None:
    env = make(load=0.0, drain=drain, node_failures=False, server_failures=False, replica_rule="no-op")
    env.reset(seed=1)
    assert env.action_masks()[0]
    count, total, terminated, truncated, info = commit_all(env)
    assert (count, terminated, truncated) == (288, drain, not drain)
    assert info["jobs_arrived"] == info["mean_completion_seconds"] == info["p99_completion_seconds"] == 0.0
    assert info["total_cost"] == pytest.approx(0.25 * 24 * 12)
    assert total == pytest.approx(0.0 if make is AllocationEnv else -0.25 * 24 * 12 / 100)


def test_no_traffic_brings_no_job_and_traffic_beyond_measure_is_clipped() -> None:
    env = FullClusterEnv()
    env.reset(seed=1, options={"traffic": np.zeros(288)})
    info = commit_all(env)[4]
    assert info["jobs_arrived"] == 0
    arrived = []
    for traffic in (np.full(288, 3.0), np.full(288, 1e300)):
        _, info = env.reset(seed=1, options={"traffic": traffic})
        info = commit_all(env)[4]
        arrived.append((info["jobs_arrived"], info["total_cost"]))
    assert arrived[0] == arrived[1]
    assert arrived[0][0] > 0


def test_a_drain_ends_after_four_horizons_and_charges_what_is_left(situations: ModuleType) -> None:
    here = situations.Situation(drain=True)
    here.add_job("dssm", arrival=100.0)
    for _ in range(12):
        here.act(DOWN)
    count, total, terminated, truncated, info = commit_all(here.env)
    assert (count, terminated, truncated) == (4 * 288, False, True)
    assert info["jobs_unfinished"] == 1
    assert info["mean_completion_seconds"] == info["p99_completion_seconds"] == pytest.approx(4 * 288 * SLOT - 100.0)
    assert total == pytest.approx(-(4 * 288 * SLOT - 100.0) / 3600 / 100)


def test_a_job_that_rounding_left_with_nothing_to_do_ends_though_its_data_are_gone(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    job = here.start("dssm", dataset=0, samples=1000.0)
    here.job(job)["done"] = 1000.0
    here.public["servers"]["up"][:] = 0
    here.public["datasets"]["live"][:] = 0
    here.public["datasets"]["unlisted"][:] = 1
    here.hidden["server_repair_seconds"][:] = 1e9
    here.commit()
    assert here.info["jobs_finished"] == 1


def test_a_finite_list_terminates_when_it_is_done() -> None:
    env = AllocationEnv(job_list=3, jobs_per_slot=3.0, max_duration_seconds=600.0)
    env.reset(seed=1)
    count, _, terminated, truncated, info = commit_all(env)
    assert (terminated, truncated, info["jobs_finished"]) == (True, False, 3)
    assert count < 100
