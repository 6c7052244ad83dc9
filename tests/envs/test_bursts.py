"""Bursts of readers: drawn stationary, announced, stretched where they stall, and their bytes conserved."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from psgym.envs.env import ReplicasEnv

BANDWIDTH, RATE = 1.25e9, 3.5e8


def burst(here: Any, dataset: int, start: int, readers: int, seconds: float, announced: int = 0) -> None:
    """Lets a burst read a dataset for so long if nothing stalls it."""
    scenario = here.scenario
    one = scenario["bursts"][int(scenario["burst_count"])]
    one["dataset"], one["start_slot"], one["announced_slot"], one["readers"] = dataset, start, announced, readers
    one["bytes"] = readers * RATE * seconds
    scenario["burst_count"] += 1


def hold(here: Any, dataset: int, servers: list[int]) -> None:
    """Puts the copies of a dataset on these servers alone."""
    sets, store = here.public["datasets"], here.public["servers"]
    held = np.isin(np.arange(8), servers)
    store["stored"] += (held * 1.0 - (sets["placed"][dataset] == 1)) * sets["size"][dataset]
    sets["placed"][dataset] = held
    sets["copies"][dataset] = sets["live"][dataset] = len(servers)
    sets["unlisted"][dataset] = 1


def test_a_burst_reads_its_bytes_and_leaves(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    hold(here, 5, [0, 1])
    burst(here, 5, start=1, readers=2, seconds=370.0)
    here.commit()
    assert here.hidden["totals"]["bytes_of_bursts"] == 0.0
    here.commit()
    assert here.public["datasets"]["bursting"][5] == 2
    assert here.hidden["totals"]["bytes_of_bursts"] == pytest.approx(2 * RATE * 300.0)
    here.commit()
    assert here.public["datasets"]["bursting"][5] == 0
    assert here.hidden["totals"]["bytes_of_bursts"] == pytest.approx(2 * RATE * 370.0, rel=1e-6)
    assert here.hidden["totals"]["bytes_demanded"] == pytest.approx(2 * RATE * 370.0, rel=1e-6)
    assert here.public["datasets"]["demand"][5] == pytest.approx(2 * RATE * 70.0 / 300.0, rel=1e-6)
    assert here.info["stall_share"] == 0.0


def test_a_stalled_burst_reads_for_longer(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    hold(here, 5, [0])
    burst(here, 5, start=0, readers=8, seconds=300.0)  # 2.8 GB/s from a server of 1.25
    slots = 0
    while here.public["datasets"]["bursting"][5] > 0 or slots == 0:
        here.commit()
        slots += 1
    stretched = 300.0 * 8 * RATE / BANDWIDTH  # 672 s
    assert slots == int(np.ceil(stretched / 300.0))
    assert here.hidden["totals"]["bytes_of_bursts"] == pytest.approx(8 * RATE * 300.0, rel=1e-6)
    assert here.hidden["totals"]["bytes_served"] == pytest.approx(8 * RATE * 300.0, rel=1e-6)
    assert here.info["stall_share"] > 0.5


def test_without_a_live_copy_a_burst_waits(situations: ModuleType) -> None:
    here = situations.Situation(storage_stalls=True)
    hold(here, 5, [0])
    here.public["servers"]["up"][0] = 0
    here.public["servers"]["down_slot"][0] = 0
    here.public["datasets"]["live"][:] -= here.public["datasets"]["placed"][:, 0]
    here.public["datasets"]["unlisted"][:] = 1
    here.hidden["server_repair_seconds"][0] = 600.0
    burst(here, 5, start=0, readers=2, seconds=100.0)
    here.commit(2)
    assert here.hidden["totals"]["bytes_of_bursts"] == 0.0
    assert here.info["unavailable_share"] == 1.0
    assert here.info["reward_terms"]["unavailable"] == pytest.approx(-2 * 300.0 / 3600.0 / 100.0)
    here.commit()
    assert here.hidden["totals"]["bytes_of_bursts"] == pytest.approx(2 * RATE * 100.0, rel=1e-6)


def test_waiting_bursts_are_announced_but_not_their_length(situations: ModuleType) -> None:
    here = situations.Situation()
    for seconds in (60.0, 6000.0):
        burst(here, 7, start=3, readers=2, seconds=seconds, announced=1)
    seen = []
    for _ in range(5):
        here.commit()
        sets = here.public["datasets"]
        seen.append((float(sets["announced"][7]), float(sets["longest_wait"][7]), int(sets["bursting"][7])))
    both = 4 * RATE
    assert seen[:3] == [(both, 300.0, 0), (both, 600.0, 0), (both, 900.0, 0)]
    assert seen[3] == (0.0, 0.0, 2), "they started, and the short one has left"
    assert seen[4] == (0.0, 0.0, 2)


def test_bursts_are_drawn_stationary() -> None:
    env = ReplicasEnv(preset="small", bursts_per_day=40.0, burst_readers=3.0, load=0.0)
    readers, waiting, drawn, lengths = [], [], [], []
    for seed in range(150):
        env.reset(seed=seed)
        scenario = np.asarray(env.simulation.scenarios)[0]
        bursts = scenario["bursts"][: scenario["burst_count"]]
        readers.append(int(env.public["datasets"]["bursting"].sum()))
        waiting.append(int(((bursts["announced_slot"] == 0) & (bursts["start_slot"] >= 0)).sum()))
        drawn.append(int((bursts["announced_slot"] > 0).sum()))
        lengths += (bursts["bytes"] / bursts["readers"] / RATE).tolist()
    per_second = 40.0 / 86400.0
    assert np.mean(readers) == pytest.approx(per_second * 2400.0 * 3.0, rel=0.25)
    assert np.mean(waiting) == pytest.approx(per_second * 600.0, rel=0.3)
    assert np.mean(drawn) == pytest.approx(per_second * 86400.0, rel=0.06)
    assert np.mean(lengths) == pytest.approx(2400.0, rel=0.06)
    assert env.simulation.scenarios["bursts"].shape[1] == env.config.max_bursts
