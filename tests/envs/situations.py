"""Tiny clusters that a test sets up by hand, by writing jobs and tasks into the raw records."""

from __future__ import annotations

from typing import Any

import numpy as np

from psgym.envs.cluster.kinds import KINDS
from psgym.envs.env import FullClusterEnv

NAMES = tuple(kind.name for kind in KINDS)

# Nothing arrives, fails, reads or is hidden, and no coupling acts: a test switches on what it is about.
CALM: dict[str, Any] = {
    "load": 0.0,
    "constant_traffic": True,
    "background_utilisation": 0.0,
    "bursts_per_day": 0.0,
    "hidden_coefficients": False,
    "noisy_speed": False,
    "restart_cost": False,
    "spread_cost": False,
    "colocation_cost": False,
    "storage_stalls": False,
    "node_failures": False,
    "server_failures": False,
    "checkpoint_pause_seconds": 0.0,
    "initial": "empty",
    "replica_rule": "no-op",
}


class Situation:
    """A calm cluster in which the agent decides everything, on the records of the preset ``small``."""

    def __init__(self, seed: int = 1, **changes: Any) -> None:
        """Builds the cluster; ``changes`` are fields of the configuration that keep its shape."""
        self.env = FullClusterEnv(preset="small", **{**CALM, **changes})
        self.env.reset(seed=seed)
        self.info: dict[str, Any] = {}
        self.reward = 0.0
        simulation = self.env.simulation
        self.simulation = simulation
        self.state = np.asarray(simulation.states)[0]
        self.public, self.hidden = self.state["public"], self.state["hidden"]
        self.scenario = np.asarray(simulation.scenarios)[0]

    def add_job(
        self, kind: str = "seq2seq", mode: int = 0, samples: float = 1e9, arrival: float = 0.0, dataset: int = 0
    ) -> int:
        """Lets a job arrive (call in order of arrival); it is known from the slot after."""
        index = int(self.scenario["job_count"])
        job = self.scenario["jobs"][index]
        job["arrival_seconds"], job["kind"], job["mode"] = arrival, NAMES.index(kind), mode
        job["samples"], job["dataset"], job["multiplier"] = samples, dataset, 1.0
        self.scenario["job_count"] = index + 1
        return index

    def job(self, index: int) -> Any:
        """The public record of a job."""
        return self.public["jobs"][index]

    def secret(self, index: int) -> Any:
        """The hidden record of a job."""
        return self.hidden["jobs"][index]

    def put(self, index: int, workers: list[int], servers: list[int]) -> None:
        """Plans the tasks of a job on named nodes, in place of those that it has."""
        self._move(index, +1)
        job = self.job(index)
        job["workers"], job["servers"] = len(workers), len(servers)
        job["worker_node"][: len(workers)], job["server_node"][: len(servers)] = workers, servers
        job["nodes"] = len({*workers, *servers})
        self._move(index, -1)
        self.public["planning"] = True  # plans are settled only in a slot that plans anew
        self.simulation.refresh(0)

    def _move(self, index: int, sign: int) -> None:
        job, nodes, kind = self.job(index), self.public["nodes"], KINDS[self.job(index)["kind"]]
        workers, servers = job["worker_node"][: job["workers"]].tolist(), job["server_node"][: job["servers"]].tolist()
        for node in workers:
            nodes["cpu_free"][node] += sign * kind.worker_cpu
            nodes["gpu_free"][node] += sign * kind.worker_gpu
        for node in servers:
            nodes["cpu_free"][node] += sign * kind.server_cpu
        for node in workers + servers:
            nodes["tasks"][node] -= sign
        for node in set(workers + servers):
            nodes["jobs"][node] -= sign

    def act(self, action: int) -> None:
        """Carries out one decision, which must be legal."""
        assert self.env.action_masks()[action]
        _, self.reward, _, _, self.info = self.env.step(action)

    def commit(self, slots: int = 1) -> None:
        """Commits as many slots."""
        for _ in range(slots):
            self.act(0)

    def start(
        self, kind: str = "seq2seq", workers: tuple[int, ...] = (0,), servers: tuple[int, ...] = (0,), **job: Any
    ) -> int:
        """Lets a job arrive, opens the next slot and plans the job's tasks; the slot is not committed yet."""
        index = self.add_job(kind, **job)
        self.commit()
        self.put(index, list(workers), list(servers))
        return index
