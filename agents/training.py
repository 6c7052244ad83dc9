"""Trains a model of SB3 or sb3-contrib on a batch of clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from psgym.agents.callbacks import Checkpoint, ClusterMetrics
from psgym.agents.models import Description, make_model, save_model
from psgym.agents.sb3 import ClusterVecEnv
from psgym.agents.seeds import RANGE
from psgym.envs.settings import TrafficLike
from psgym.envs.views import VIEWS

CHECKPOINTS = 10
"""Checkpoints that a training writes."""


@dataclass(frozen=True)
class Training:
    """What to train, on what, and for how long."""

    env: str = "psgym/Cluster-v0"
    """Id of the environment."""
    algo: str = "maskable-ppo"
    """Algorithm: maskable-ppo, ppo, a2c or dqn."""
    preset: str | None = None
    """Configuration of the cluster; the id's own if None."""
    steps: int = 1_500_000
    """Decisions, over all copies."""
    num_envs: int = 256
    """Copies of the environment."""
    seed: int = 0
    """Seed of episodes, weights and exploration."""
    traffic: TrafficLike = None
    """Traffic; synthetic if None."""
    traffic_column: str | None = None
    """Column of a traffic file."""
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that differ from the preset."""
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the algorithm that differ from the defaults."""
    jobs: str | None = None
    """File of jobs that arrive instead of synthetic ones."""
    accesses: str | None = None
    """File of accesses that drives the popularity of datasets."""
    accesses_column: str | None = None
    """Column of the objects in it."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps!r}")
        if not 0 <= self.seed < RANGE - self.num_envs:
            raise ValueError(f"seed must lie in [0, {RANGE - self.num_envs}), the seeds to train on, not {self.seed!r}")

    def make_envs(self) -> ClusterVecEnv:
        """Build the clusters to train on."""
        envs = ClusterVecEnv(
            self.num_envs,
            self.env,
            preset=self.preset,
            traffic=self.traffic,
            traffic_column=self.traffic_column,
            part="train",
            jobs=self.jobs,
            accesses=self.accesses,
            accesses_column=self.accesses_column,
            spread=True,
            **self.cluster,
        )
        envs.seed(self.seed)
        return envs

    def describe(self, envs: ClusterVecEnv, steps: int) -> Description:
        """Return what it takes to build the model anew."""
        return Description(
            algo=self.algo,
            env=self.env,
            preset=self.preset or VIEWS[self.env].preset,
            layout_hash=envs.vector.layout_hash,
            actions=envs.simulation.actions,
            changes=dict(self.cluster),
            algorithm=dict(self.algorithm),
            seed=self.seed,
            steps=steps,
        )


def train(training: Training, folder: Path | None = None, progress_bar: bool = False) -> BaseAlgorithm:
    """Train a model; with a folder, keep checkpoints, the model (``model.zip``) and TensorBoard's files there.

    Raises:
        ModelError: If the algorithm is unknown.
        ConfigError: If the configuration is.
    """
    envs = training.make_envs()
    log = str(folder) if folder else None
    model = make_model(training.algo, envs, training.seed, dict(training.algorithm), tensorboard_log=log)

    def save(model: BaseAlgorithm, path: Path) -> None:
        save_model(model, path, training.describe(envs, model.num_timesteps))

    callbacks: list[Any] = [ClusterMetrics()]
    if folder:
        callbacks.append(Checkpoint(folder / "checkpoint.zip", max(1, training.steps // CHECKPOINTS), save))
    model.learn(training.steps, callback=callbacks, progress_bar=progress_bar, tb_log_name="tensorboard")
    if folder:
        save(model, folder / "model.zip")
    return model
