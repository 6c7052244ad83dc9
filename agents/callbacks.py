"""What training tells while it runs: metrics for TensorBoard, and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, Logger

from psgym.agents.interruption import StopSignals
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS

if TYPE_CHECKING:
    from psgym.agents.training import Training

FINAL = ("cluster/total_cost", "cluster/mean_completion_seconds", "time/environment_share")
"""Scalars that TensorBoard shows beside the parameters of a run."""


def log_parameters(logger: Logger, training: Training) -> None:
    """Write all parameters of a training to TensorBoard's table of runs."""
    values = {
        name: value if isinstance(value, bool | int | float) else value if isinstance(value, str) else json.dumps(value)
        for name, value in asdict(training).items()
        if value is not None and not name.startswith("traffic")
    }
    logger.record("hparams", HParam(values, dict.fromkeys(FINAL, 0.0)), exclude=("stdout", "log", "json", "csv"))


class ClusterMetrics(BaseCallback):
    """Records ``cluster/<metric>`` at the ends of episodes, ``cluster/reward_<term>``, the mean of a slot, and more.

    ``time/environment_share`` is the share of wall time since the last rollout began that passed in the environments.
    """

    def __init__(self, training: Training) -> None:
        """Starts with no slot seen."""
        super().__init__()
        self._training = training
        self._terms, self._slots = np.zeros(len(TERMS)), 0
        self._clock = (0.0, 0.0)

    def _on_training_start(self) -> None:
        log_parameters(self.logger, self._training)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if info.get("slots_elapsed"):
                self._terms += list(info["reward_terms"].values())
                self._slots += 1
                if "terminal_observation" in info:
                    for name in METRICS:
                        self.logger.record_mean(f"cluster/{name}", info[name])
        return True

    def _on_rollout_end(self) -> None:
        if self._slots:
            for name, total in zip(TERMS, self._terms.tolist(), strict=True):
                self.logger.record(f"cluster/reward_{name}", total / self._slots)
            self._terms[:], self._slots = 0.0, 0
        envs = self.training_env
        assert isinstance(envs, ClusterVecEnv)
        wall, inside = envs.clock()
        before_wall, before_inside = self._clock
        if wall > before_wall > 0.0:
            self.logger.record("time/environment_share", (inside - before_inside) / (wall - before_wall))
        self._clock = (wall, inside)


class Checkpoint(BaseCallback):
    """Saves the model every so many decisions."""

    def __init__(self, every: int, save: Callable[[], None]) -> None:
        """Calls `save` whenever `every` more decisions have been made."""
        super().__init__()
        self._every, self._save = every, save
        self._next = every

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self._every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        # Between rollouts, where policy and optimiser belong together.
        if self.num_timesteps >= self._next:
            self._save()
            self._next = self.num_timesteps + self._every


class Stop(BaseCallback):
    """Ends a training that was asked to stop, between two decisions."""

    def __init__(self, signals: StopSignals) -> None:
        """Watches what `signals` have received."""
        super().__init__()
        self._signals = signals

    def _on_step(self) -> bool:
        return self._signals.received is None
