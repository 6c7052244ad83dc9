"""The facts that a picture of a cluster shows, read once from its records and shared by every way to draw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.kinds import KINDS
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import HORIZONS

if TYPE_CHECKING:
    from psgym.envs.env import ClusterEnv


@dataclass(frozen=True)
class Task:
    """A worker or a parameter server on a node."""

    job: int
    """Number of the job, in order of arrival."""
    is_worker: bool
    cpu: int
    gpu: int


@dataclass(frozen=True)
class Node:
    """A compute node and the tasks that the plan puts on it."""

    state: str
    """``on``, ``boots``, ``drains``, ``off`` or ``failed``."""
    tasks: tuple[Task, ...]
    claimed_cpu: int
    """CPU of tasks of the last plan that are not placed again yet."""


@dataclass(frozen=True)
class Job:
    """An unfinished job."""

    number: int
    kind: str
    mode: str
    """``sync`` or ``async``."""
    workers: int
    servers: int
    progress: float
    """Share of its samples that are processed."""
    hours_left: float
    """At its last observed speed; infinite before the first observation."""
    state: str
    """``new``, ``runs``, ``restarts``, ``stalls`` (a tenth of its last slot or more without data) or ``waits``."""


@dataclass(frozen=True)
class Frame:
    """One moment of a cluster. It holds nothing that a policy may not see, apart from totals and past traffic."""

    title: str
    slot: int
    slots: int
    day_hours: float
    """Time of day at this moment (h)."""
    slot_hours: float
    is_planning: bool
    traffic: NDArray[np.float64]
    """Traffic of the slots that have passed, the one before the episode first; over its mean."""
    forecast: NDArray[np.float64]
    """Mean, low and high, shape ``(horizons, 3)``."""
    nodes: tuple[Node, ...]
    node_cpu: int
    node_gpu: int
    window: tuple[Job, ...]
    """Jobs that decisions may address, in order of arrival."""
    unfinished: int
    server_up: NDArray[np.bool_]
    server_load: NDArray[np.float64]
    """Demand over effective bandwidth, mean over the last slot."""
    server_stored: NDArray[np.float64]
    """Stored and reserved bytes over capacity."""
    heat: NDArray[np.float64]
    """Heat of each dataset per live copy, over the bandwidth of a server."""
    placed: NDArray[np.int8]
    """``NO_COPY``, ``LIVE_COPY`` or ``IN_FLIGHT``, shape ``(datasets, data servers)``."""
    flights: int
    metrics: dict[str, float]

    @property
    def clock(self) -> str:
        """Time of day as ``HH:MM``."""
        return clock(self.day_hours)

    @property
    def is_storage_only(self) -> bool:
        """Whether no job has arrived: then nodes have nothing to show."""
        return self.metrics["jobs_arrived"] == 0


def clock(hours: float) -> str:
    """Hours of a day as ``HH:MM``."""
    minutes = round(hours * 60.0) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def horizon_slots() -> tuple[int, ...]:
    """Slots ahead of each row of ``Frame.forecast``."""
    return HORIZONS


def take_frame(env: ClusterEnv) -> Frame:
    """Reads a frame from an environment that has been reset."""
    config, public = env.config, env.public[0]
    scenario = np.asarray(env.simulation.scenarios)[0]
    slot, slot_hours = int(public["slot"]), config.slot_seconds / 3600.0
    numbers = public["active"][: public["active_count"]]
    jobs = dict(zip(numbers.tolist(), public["jobs"][numbers], strict=True))
    datasets, servers = public["datasets"], public["servers"]
    readable = np.maximum(1, datasets["live"]) * config.bandwidth_bytes_per_second
    return Frame(
        title=env.view.id,
        slot=slot,
        slots=config.slots,
        day_hours=float(public["slot_of_day"]) * slot_hours,
        slot_hours=slot_hours,
        is_planning=bool(public["planning"]),
        traffic=scenario["traffic"][: min(slot, config.slots) + 1].copy(),
        forecast=public["forecast"].copy(),
        nodes=tuple(_nodes(public, jobs, slot * config.slot_seconds)),
        node_cpu=config.node_cpu,
        node_gpu=config.node_gpu,
        window=tuple(_job(number, job, public) for number, job in jobs.items() if job["in_window"]),
        unfinished=len(jobs),
        server_up=servers["up"].astype(np.bool_),
        server_load=servers["utilisation"].copy(),
        server_stored=servers["stored"] / servers["capacity"],
        heat=datasets["heat"] / readable,
        placed=datasets["placed"].copy(),
        flights=int(public["flight_count"]),
        metrics=dict(zip(METRICS, env.simulation.metrics[0].tolist(), strict=True)),
    )


def _nodes(public: Any, jobs: dict[int, Any], now: float) -> Iterator[Node]:
    nodes = public["nodes"]
    tasks: list[list[Task]] = [[] for _ in nodes["on"]]
    for number, job in jobs.items():
        kind = KINDS[job["kind"]]
        for node in job["worker_node"][: job["workers"]].tolist():
            tasks[node].append(Task(number, True, kind.worker_cpu, kind.worker_gpu))
        for node in job["server_node"][: job["servers"]].tolist():
            tasks[node].append(Task(number, False, kind.server_cpu, 0))
    booting = nodes["ready_seconds"] > now
    for index, held in enumerate(tasks):
        state = "on"
        for name, holds in (
            ("failed", nodes["failed"][index]),
            ("off", not nodes["on"][index]),
            ("drains", nodes["draining"][index]),
            ("boots", booting[index]),
        ):
            if holds:
                state = name
                break
        yield Node(state, tuple(held), int(nodes["cpu_claimed"][index]))


def _job(number: int, job: Any, public: Any) -> Job:
    samples, done, speed = float(job["samples"]), float(job["done"]), float(job["observed_speed"])
    hours_left = (samples - done) / speed / 3600.0 if speed > 0 else float("inf")
    if job["workers"] == 0 or job["servers"] == 0:
        state = "waits"
    elif not job["started"]:
        state = "new"
    elif job["restarting"]:
        state = "restarts"
    else:
        state = "stalls" if job["stall"] >= 0.1 else "runs"
    mode = "async" if job["mode"] else "sync"
    workers, servers = int(job["workers"]), int(job["servers"])
    return Job(number, KINDS[job["kind"]].name, mode, workers, servers, done / samples, hours_left, state)
