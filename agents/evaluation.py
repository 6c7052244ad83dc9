"""Runs one policy on a batch of days, drained, and keeps what the comparison needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from psgym.agents.bound import lower_bound
from psgym.agents.policy import Policy
from psgym.agents.seeds import Part, episode_seeds
from psgym.agents.workers import LocalWorkers, Workers
from psgym.envs.access_log import AccessLog, read_accesses
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS
from psgym.envs.forecasts import ForecasterLike
from psgym.envs.job_trace import JobTrace, read_jobs
from psgym.envs.settings import make_config
from psgym.envs.traces import Traffic, read_traffic
from psgym.envs.vector import ClusterVectorEnv
from psgym.envs.views import VIEWS

PolicyMaker = Callable[[ClusterVectorEnv], Policy]
PERCENTILES = np.arange(101)


@dataclass(frozen=True)
class Days:
    """The days that every policy of a comparison lives through."""

    view_id: str
    config: ClusterConfig
    traffic: Traffic | JobTrace | None
    part: Part
    seeds: Sequence[int]
    workers: Workers = field(default_factory=LocalWorkers)
    """Who lives through them."""
    accesses: AccessLog | None = None
    """Log that drives the popularity of datasets."""

    def split(self) -> list[Days]:
        """Return the days of each worker, in order; no worker has none."""
        shares = np.array_split(np.asarray(self.seeds), min(self.workers.count, len(self.seeds)))
        return [replace(self, seeds=share.tolist(), workers=LocalWorkers()) for share in shares]

    def make(self, forecaster: ForecasterLike = None, **changes: Any) -> ClusterVectorEnv:
        """Build the batch of all days; an ended day rests until all have ended.

        A forecaster feeds the forecasts of the observation; the days stay the same.
        """
        config = ClusterConfig.from_mapping({**vars(self.config), "drain": True, **changes})
        return ClusterVectorEnv(
            len(self.seeds),
            self.view_id,
            config=config,
            traffic=self.traffic,
            part=self.part,
            accesses=self.accesses,
            forecaster=forecaster,
            autoreset_mode=AutoresetMode.DISABLED,
        )

    def bound(self) -> Mapping[str, NDArray[np.float64]]:
        """Return the metrics that no policy can undercut on these days."""
        env = self.make()
        env.reset(seed=list(self.seeds))
        return lower_bound(env.simulation)


@dataclass(frozen=True)
class Run:
    """What one policy did on all days."""

    metrics: Mapping[str, NDArray[np.float64]]
    """Metrics at the end of each day, shape ``(days,)``, or ``(training seeds, days)``."""
    day: NDArray[np.int64]
    """Calendar day of each episode."""
    completion_percentiles: NDArray[np.float64]
    """Percentiles 0, 1, ..., 100 of the completion time of all jobs that finished, in seconds; empty without jobs."""
    seconds_per_decision: float
    """CPU time of `predict` for one decision of one cluster; a batch of clusters shares the overhead of a call."""
    costs: Mapping[str, NDArray[np.float64]]
    """The terms that make up ``total_cost``, each of the shape of a metric."""


def stack_runs(runs: Sequence[Run]) -> Run:
    """Put the runs of several training seeds on the same days together: metrics of shape ``(seeds, days)``."""
    if len(runs) == 1:
        return runs[0]
    return Run(
        metrics={name: np.stack([run.metrics[name] for run in runs]) for name in runs[0].metrics},
        day=runs[0].day,
        completion_percentiles=np.mean([run.completion_percentiles for run in runs], axis=0),
        seconds_per_decision=float(np.mean([run.seconds_per_decision for run in runs])),
        costs={name: np.stack([run.costs[name] for run in runs]) for name in runs[0].costs},
    )


def make_days(
    view_id: str,
    part: Part,
    seed: int,
    count: int,
    preset: str | None = None,
    config: ClusterConfig | Mapping[str, Any] | None = None,
    traffic: Traffic | JobTrace | str | None = None,
    traffic_column: str | None = None,
    jobs: str | None = None,
    workers: Workers | None = None,
    accesses: AccessLog | str | None = None,
    accesses_column: str | None = None,
) -> Days:
    """Choose the days of a part; a file of traffic or of jobs is read once.

    Raises:
        ValueError: If `count` is below 1, or the configuration cannot be used.
    """
    if count < 1:
        raise ValueError(f"days must be at least 1, not {count!r}")
    if jobs is not None:
        if traffic is not None:
            raise ValueError("give either traffic or jobs: with jobs, the traffic is that of their submissions")
        traffic = read_jobs(jobs)
    settings = make_config(VIEWS[view_id].preset, preset, config, {})
    if isinstance(traffic, str):
        traffic = read_traffic(traffic, traffic_column, round(settings.slot_seconds), settings.max_load)
    log = read_accesses(accesses, accesses_column) if isinstance(accesses, str) else accesses
    seeds = episode_seeds(part, seed, count)
    return Days(view_id, settings, traffic, part, seeds, workers or LocalWorkers(), log)


def run_policy(days: Days, make: PolicyMaker, **changes: Any) -> Run:
    """Let a policy decide on all days at once until every day has ended.

    Args:
        days: The days; their workers share them.
        make: Builds the policy for a vector environment.
        changes: Fields of the configuration that differ for this policy, such as ``initial``; and ``forecaster``, what
            feeds the forecasts of its environment.
    """
    parts = days.workers.map(_live, [(part, make, changes) for part in days.split()])
    times = np.concatenate([part.completion for part in parts])
    return Run(
        metrics=_joined([part.metrics for part in parts]),
        costs=_joined([part.costs for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        completion_percentiles=np.percentile(times, PERCENTILES) if len(times) else times,
        seconds_per_decision=sum(part.seconds for part in parts) / sum(part.decisions for part in parts),
    )


def _joined(parts: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class _Lived:
    """What one policy did on the days of one worker."""

    metrics: Mapping[str, NDArray[np.float64]]
    costs: Mapping[str, NDArray[np.float64]]
    day: NDArray[np.int64]
    completion: NDArray[np.float64]
    """Completion times of all jobs that finished (s)."""
    seconds: float
    """CPU time of `predict`."""
    decisions: int


def _live(days: Days, make: PolicyMaker, changes: Mapping[str, Any]) -> _Lived:
    env = days.make(**changes)
    policy = make(env)
    observation, infos = env.reset(seed=list(days.seeds))
    over = np.zeros(env.num_envs, np.bool_)
    start, state = np.ones(env.num_envs, np.bool_), None
    seconds, decisions = 0.0, 0
    while not over.all():
        began = time.process_time()
        actions, state = policy.predict(observation, state, start, deterministic=True)
        seconds += time.process_time() - began
        decisions += int((~over).sum())
        observation, _, terminated, truncated, infos = env.step(actions)
        over, start = terminated | truncated, np.zeros(env.num_envs, np.bool_)
    totals = np.asarray(env.simulation.states)["hidden"]["totals"]
    return _Lived(
        metrics={name: infos[name] for name in METRICS} | {"median_completion_seconds": _median_completion(env)},
        costs={name: totals["cost"][:, term].copy() for term, name in enumerate(TERMS)},
        day=env.simulation.scenarios["day"].copy(),
        completion=_completion_times(env),
        seconds=seconds,
        decisions=decisions,
    )


def _median_completion(env: ClusterVectorEnv) -> NDArray[np.float64]:
    """Return the median completion time of every job that arrived on each day; an unfinished one counts its age (s)."""
    states = np.asarray(env.simulation.states)
    medians = np.zeros(len(states))
    for index, state in enumerate(states):
        public, hidden = state["public"], state["hidden"]
        waiting = public["jobs"]["arrival_seconds"][public["active"][: public["active_count"]]]
        ages = public["slot"] * public["settings"]["slot_seconds"] - waiting
        times = np.concatenate([hidden["completion"][: hidden["totals"]["finished"]], ages])
        medians[index] = np.median(times) if len(times) else 0.0
    return medians


def _completion_times(env: ClusterVectorEnv) -> NDArray[np.float64]:
    hidden = np.asarray(env.simulation.states)["hidden"]
    finished = hidden["totals"]["finished"]
    return np.concatenate([row[:count] for row, count in zip(hidden["completion"], finished, strict=True)])
