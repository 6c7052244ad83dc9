"""Episodes whose jobs come from a trace: which jobs arrive, scaled to the cluster, and what they are here."""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.config import ClusterConfig, ConfigError
from psgym.envs.cluster.kinds import KINDS
from psgym.envs.cluster.settings_record import kind_records
from psgym.envs.cluster.speed import curve
from psgym.envs.job_trace import UNKNOWN, JobTrace, read_jobs
from psgym.envs.traces import TraceWarning
from psgym.envs.traffic import TraceTraffic, TrafficDay

BATCH_SECONDS = 60.0
"""Jobs of one group that follow each other within this time (s) are one batch: they share kind, mode and dataset."""

TRACED_JOB = np.dtype(
    [
        ("arrival_seconds", "f8"),
        ("kind", "i8"),
        ("mode", "i8"),
        ("samples", "f8"),
        ("batch", "i8"),
    ]
)
"""A job of a trace as the cluster takes it; its dataset and true coefficients are drawn with the episode."""

JobsLike: TypeAlias = "JobTrace | str | os.PathLike[str] | None"


class JobDays:
    """Days of a trace of jobs; the traffic of a day is the number of its submissions per slot.

    A real cluster is larger than the simulated one, so a share of the trace's batches arrives: as many as offer the
    load of the configuration. Durations are clipped at ``max_duration_seconds``. A job has the kind and mode that the
    trace names, else those are drawn, from kinds that use a GPU for a job that had one; its samples are what its kind
    processes in the recorded time on the recorded number of workers and as many parameter servers.
    """

    def __init__(self, trace: JobTrace, part: str, config: ClusterConfig) -> None:
        """Keeps a trace and the name of the part (``train``, ``validation`` or ``test``) to draw from.

        Raises:
            TraceError: If the trace has too few slots.
            ConfigError: If the configuration offers no load.
        """
        if config.arrivals_per_slot <= 0:
            raise ConfigError(f"load={config.load!r} lets no job of a trace arrive; set load above 0")
        self.trace = trace
        self._days = TraceTraffic(trace.traffic(round(config.slot_seconds), config.max_load), part)
        self._first_second = float(self._days.trace.seconds[0])
        self._batch = batches(trace)
        self._speed = _speeds(config)
        self._kept = self._share_that_arrives(config)

    def _share_that_arrives(self, config: ClusterConfig) -> float:
        """The probability that a batch arrives: work that the configuration offers over that of the training part."""
        traffic = self._days.trace
        _, slots = traffic.part("train")
        end = np.searchsorted(self.trace.seconds, self._first_second + slots * traffic.slot_seconds)
        work = np.minimum(self.trace.duration[:end], config.max_duration_seconds)
        work = work * self._speedup(config)[np.minimum(self.trace.workers[:end], config.max_workers)]
        offered = float(work.sum()) / slots
        wanted = config.arrivals_per_slot * config.mean_duration_seconds
        if wanted > offered:
            share = config.load * offered / wanted
            warnings.warn(
                f"{self.trace.source}: all of its jobs offer a load of {share:.2g}, less than load={config.load!r}",
                TraceWarning,
                stacklevel=4,
            )
        return min(1.0, wanted / offered)

    def _speedup(self, config: ClusterConfig) -> NDArray[np.float64]:
        """Speed on so many workers over that on one, mean over the kinds and modes that a job may be."""
        ratio = self._speed / self._speed[..., 1:2]
        mean = (1.0 - config.asynchronous_share) * ratio[:, 0] + config.asynchronous_share * ratio[:, 1]
        return np.array([mean[_fitting(config, count), count].mean() for count in range(mean.shape[1])])

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> TrafficDay:
        """Draws a day: its traffic, and the jobs that arrive.

        Raises:
            TrafficError: If the part is shorter than an episode.
        """
        day = self._days.sample(rng, config)
        begin = self._first_second + day.start * config.slot_seconds
        rows = slice(*np.searchsorted(self.trace.seconds, [begin, begin + config.slots * config.slot_seconds]))
        return dataclasses.replace(day, jobs=self._jobs(rows, begin, rng, config))

    def _jobs(self, rows: slice, begin: float, rng: np.random.Generator, config: ClusterConfig) -> NDArray[Any]:
        names, batch = np.unique(self._batch[rows], return_inverse=True)
        arrives = (rng.random(len(names)) < self._kept)[batch]
        draws = rng.random((len(names), 2))[batch]  # for kind and mode: one of each for a batch
        jobs = np.zeros(int(arrives.sum()), TRACED_JOB)
        for job, row, draw in zip(jobs, np.flatnonzero(arrives) + rows.start, draws[arrives], strict=True):
            workers = min(int(self.trace.workers[row]), config.max_workers)
            kind = self._kind(int(row), workers, float(draw[0]), config)
            mode = int(self.trace.mode[row])
            if mode == UNKNOWN:
                mode = int(draw[1] < config.asynchronous_share)
            seconds = min(float(self.trace.duration[row]), config.max_duration_seconds)
            job["kind"], job["mode"] = kind, mode
            job["samples"] = seconds * self._speed[kind, mode, workers]
        jobs["arrival_seconds"] = self.trace.seconds[rows][arrives] - begin
        jobs["batch"] = batch[arrives]
        return jobs[: config.job_list] if config.job_list else jobs

    def _kind(self, row: int, workers: int, draw: float, config: ClusterConfig) -> int:
        named = int(self.trace.kind[row])
        if named != UNKNOWN:
            return named
        fitting = _fitting(config, workers)
        return fitting[int(draw * len(fitting))]


def _fitting(config: ClusterConfig, workers: int) -> list[int]:
    """Kinds of the configuration that use a GPU exactly if the job did; all of them if there is none such."""
    known = [index for index, kind in enumerate(KINDS) if kind.name in config.kinds]
    fitting = [index for index in known if (KINDS[index].worker_gpu > 0) == (workers > 0)]
    return fitting or known


def _speeds(config: ClusterConfig) -> NDArray[np.float64]:
    """Samples per second of each kind and mode on so many workers and as many servers, shape ``(kinds, 2, counts)``.

    A job without a GPU has at least one worker as well.
    """
    counts = [max(1, count) for count in range(config.max_workers + 1)]
    ones = np.ones(6)
    return np.array(
        [
            [
                [curve(kind, mode, min(count, config.max_servers), count, 0.0, ones) for count in counts]
                for mode in (0, 1)
            ]
            for kind in kind_records(config)
        ]
    )


def batches(trace: JobTrace) -> NDArray[np.int64]:
    """Number of the batch of each job, shape ``(jobs,)``."""
    order = np.lexsort((trace.seconds, trace.group))
    group, seconds = trace.group[order], trace.seconds[order]
    begins = np.ones(len(trace), np.bool_)
    begins[1:] = (np.diff(group) != 0) | (np.diff(seconds) > BATCH_SECONDS)
    batch = np.empty(len(trace), np.int64)
    batch[order] = np.cumsum(begins)
    return batch


def make_job_days(jobs: JobTrace | str | os.PathLike[str], part: str, config: ClusterConfig) -> JobDays:
    """The days of a trace, or of the file that holds one."""
    return JobDays(jobs if isinstance(jobs, JobTrace) else read_jobs(os.fspath(jobs)), part, config)


def write_jobs(scenario: Any, jobs: NDArray[Any], config: ClusterConfig, rng: np.random.Generator) -> None:
    """Puts the jobs of a trace in the place of those that an episode has drawn.

    A batch reads one dataset, drawn as the readers of its first slot choose theirs.

    Raises:
        ConfigError: If more jobs arrive than the scenario can hold.
    """
    if len(jobs) > config.max_jobs:
        raise ConfigError(f"{len(jobs)} jobs of the trace arrive in this episode; raise max_jobs={config.max_jobs}")
    drawn, count = int(scenario["job_count"]), len(jobs)
    rows = scenario["jobs"]
    rows[:drawn] = np.zeros((), rows.dtype)
    for name in ("arrival_seconds", "kind", "mode", "samples"):
        rows[name][:count] = jobs[name]
    noise = np.exp(config.coefficient_sigma * rng.standard_normal((count, rows["multiplier"].shape[1])))
    rows["multiplier"][:count] = noise if config.hidden_coefficients else 1.0
    _, first, batch = np.unique(jobs["batch"], return_index=True, return_inverse=True)
    slots = (jobs["arrival_seconds"][first] // config.slot_seconds).astype(np.int64)
    demand = np.cumsum(np.asarray(scenario["background"])[slots], axis=1, dtype=np.float64)
    demand = np.where(demand[:, -1:] > 0, demand, np.arange(1, config.datasets + 1))  # nobody else reads: any dataset
    draws = rng.random((len(first), 1)) * demand[:, -1:]
    rows["dataset"][:count] = np.minimum((demand <= draws).sum(axis=1), config.datasets - 1)[batch]
    scenario["job_count"] = count
