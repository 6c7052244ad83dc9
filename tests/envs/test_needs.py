"""The chain from a traffic forecast to nodes, against a slow and literal reading of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.kinds import KINDS
from psgym.envs.cluster.needs import PRIOR_SLOTS, VOLUME_HALF_LIFE_SECONDS
from psgym.envs.env import CapacityEnv
from psgym.predictors.capacity import CapacityPlanner, nodes_for
from psgym.predictors.demand import EWMADemand


@pytest.fixture(scope="module")
def env() -> CapacityEnv:
    return CapacityEnv(preset="small")


def cheapest(k: int, mode: int, settings: Any) -> tuple[float, float]:
    """CPU and GPU of the servers and workers at which a sample costs least, by trying all."""
    kind, best = KINDS[k], (math.inf, 0.0, 0.0)
    for p in range(1, 17):
        for w in range(1, 17):
            cpu, gpu = w * kind.worker_cpu + p * kind.server_cpu, w * kind.worker_gpu
            nodes = max(cpu / 8, gpu / 2)
            if nodes > 12:
                continue
            far = 1.0 + 0.2 * (math.ceil(nodes) - 1)
            if mode == 1:
                a, c = kind.async_
                speed = kind.batch_size * w / ((a + c * far * max(1, w / p)) * (1 + 0.02 * w + 0.02 * p))
            else:
                t, m = kind.sync, kind.batch_size
                speed = m / (t[0] * m / w + t[1] + far * t[2] * w / p + t[3] * w + t[4] * p + t[5] / p)
            price = settings["node_price"] / settings["unfinished_price"]
            best = min(best, ((1 + price * nodes) / speed, float(cpu), float(gpu)))
    return best[1:]


def test_a_job_requests_what_makes_a_sample_cheapest(env: CapacityEnv) -> None:
    settings = env.public[0]["settings"]
    for k in range(len(KINDS)):
        for mode in range(2):
            assert settings["requests"][k, mode].tolist() == list(cheapest(k, mode, settings))
    np.testing.assert_allclose(settings["mean_request"][0], settings["requests"].mean(axis=(0, 1)))


def test_the_record_learns_what_the_classes_of_predictors_would(env: CapacityEnv) -> None:
    env.reset(seed=3)
    public = env.public[0]
    settings, planner = public["settings"], public["planner"]
    ours = CapacityPlanner([8.0, 2.0], quantile=env.config.forecast_quantile, lead=1, cooldown=1, correct=False)
    demand = EWMADemand(settings["mean_request"])
    keep = 0.5 ** (300.0 / VOLUME_HALF_LIFE_SECONDS)
    arrived, traffic, known = PRIOR_SLOTS * env.config.arrivals_per_slot, PRIOR_SLOTS, 0
    for slot in range(120):
        jobs = public["jobs"]
        if slot > 0:
            arrived = keep * arrived + public["known_jobs"] - known
            traffic = keep * traffic + public["traffic"]
            for job in jobs[known : public["known_jobs"]]:
                demand.observe(0, settings["requests"][job["kind"], job["mode"]])
            known = int(public["known_jobs"])
        active = jobs[public["active"][: public["active_count"]]]
        now = settings["requests"][active["kind"], active["mode"]].sum(axis=0)
        expected = now + arrived / traffic * public["forecast"][0, 0] * demand.mean()[0]
        plan = ours.plan(now, expected[None])
        np.testing.assert_allclose(planner["target"], plan.target, rtol=1e-9)
        assert nodes_for(planner["target"].copy(), settings["node_offer"].copy()) == plan.nodes
        env.step(0)
