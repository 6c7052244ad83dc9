"""What failing nodes take with them, against arithmetic by hand."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.chance import NODE_FAILURE, uniform
from psgym.envs.cluster.kinds import KINDS

SLOT, STEP = 300.0, 30.0
SEQ2SEQ = next(kind for kind in KINDS if kind.name == "seq2seq")
SPEED = 64 / (np.array(SEQ2SEQ.sync) @ [64, 1, 1, 1, 1, 1])


def lost_on(here: Any, node: int, substep: int) -> None:
    """Lets a node fail in the slot that comes: finds a key of the episode under which it, and it alone, does."""
    slot, chance = int(here.public["slot"]), 0.02
    here.public["settings"]["node_failures"] = True
    here.public["settings"]["node_failures_per_day"] = chance * 86400 / SLOT
    for key in range(100_000):
        draws = [uniform(np.uint64(key), NODE_FAILURE, n, slot) for n in range(12)]
        failing = [n for n in range(12) if draws[n] < chance]
        if failing == [node] and int(draws[node] / chance * 10) == substep:
            here.scenario["key"] = key
            return
    raise AssertionError("no such key")


@pytest.mark.parametrize(("node", "loses"), [(0, False), (1, True)])
def test_a_lost_server_loses_what_no_checkpoint_saved_and_a_lost_worker_does_not(
    situations: ModuleType, node: int, loses: bool
) -> None:
    here = situations.Situation()
    job = here.start(workers=(0,), servers=(1,))
    here.commit(4)  # a checkpoint after three slots: one slot's progress is not saved
    lost_on(here, node, substep=2)
    here.commit()
    assert here.job(job)["done"] == pytest.approx(SPEED * (3 * SLOT if loses else 4 * SLOT + 2 * STEP), rel=1e-12)
    assert here.hidden["totals"]["samples_lost"] == pytest.approx(SPEED * (SLOT + 2 * STEP) if loses else 0.0)
    assert here.job(job)["workers"] == here.job(job)["servers"] == 0
    here.public["settings"]["node_failures"] = False
    here.public["settings"]["restart_cost"] = True
    here.put(job, [0], [1])
    here.commit()
    assert 30.0 <= here.secret(job)["pause_seconds"] <= 120.0, "it restarts, even where it was"


def test_a_failed_node_is_not_billed_and_takes_no_task(situations: ModuleType) -> None:
    here = situations.Situation()
    here.commit()
    hours = here.info["node_hours"]
    lost_on(here, 5, substep=4)
    here.public["settings"]["short_repair_seconds"] = 1e9
    here.public["settings"]["long_repair_seconds"] = 1e9
    here.commit()
    assert here.info["node_hours"] - hours == pytest.approx((11 * SLOT + 4 * STEP) / 3600)
    assert here.public["nodes"]["failed"][5] == 1
    assert here.public["fits"][0, 1] == 11
    here.public["settings"]["node_failures"] = False
    here.commit()
    assert here.info["node_hours"] - hours == pytest.approx((22 * SLOT + 4 * STEP) / 3600)


def test_a_job_that_ended_before_the_failure_of_its_node_has_lost_nothing(situations: ModuleType) -> None:
    here = situations.Situation()
    job = here.start(samples=100.0 * SPEED)
    lost_on(here, 0, substep=7)
    here.commit()
    assert here.info["jobs_finished"] == 1
    assert here.job(job)["done"] == here.job(job)["samples"]
    assert here.hidden["totals"]["samples_lost"] == 0.0


def test_a_node_that_is_off_fails_by_the_same_calendar(situations: ModuleType) -> None:
    """Powering a node off around a failure does not dodge the repair."""
    failed = []
    for dodge in (False, True):
        here = situations.Situation(node_failures=True, node_failures_per_day=30.0)
        days = []
        for slot in range(60):
            if dodge and slot % 4 == 0 and here.env.action_masks()[2]:
                here.act(2)
            here.commit()
            days.append(here.public["nodes"]["failed"].tolist())
        failed.append(days)
    assert failed[0] == failed[1]
    assert np.any(failed[0])
