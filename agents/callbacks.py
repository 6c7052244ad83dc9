"""What training tells while it runs: metrics for TensorBoard, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS


class ClusterMetrics(BaseCallback):
    """Records ``cluster/<metric>`` at the ends of episodes, and ``cluster/reward_<term>``, the mean of a slot."""

    def __init__(self) -> None:
        """Starts with no slot seen."""
        super().__init__()
        self._terms, self._slots = np.zeros(len(TERMS)), 0

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


class Checkpoint(BaseCallback):
    """Saves the model every so many decisions; the file is always a whole one."""

    def __init__(self, path: Path, every: int, save: Callable[[BaseAlgorithm, Path], None]) -> None:
        """Saves to `path` with `save` whenever `every` more decisions have been made."""
        super().__init__()
        self._path, self._every, self._save = path, every, save
        self._next = every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        # Between rollouts, where policy and optimiser belong together.
        if self.num_timesteps >= self._next:
            self._save(self.model, self._path)
            self._next = self.num_timesteps + self._every
