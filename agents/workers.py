"""Where work is done that can be done apart: in this process, or in the processes of a Ray cluster.

A Ray cluster is the way past one machine: days of an evaluation and seeds of a training need nothing of each other.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from psgym.agents.training import Training

T = TypeVar("T")
Name = Literal["local", "ray"]


class WorkersError(ValueError):
    """Workers that cannot be had."""


class Workers(Protocol):
    """Processes that call a function on several arguments."""

    @property
    def count(self) -> int:
        """Number of processes."""
        ...

    def map(self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Call a function once for each tuple of arguments, and return the results in their order."""
        ...


class LocalWorkers:
    """This process alone."""

    count = 1

    def map(self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Call a function on one tuple of arguments after the other."""
        return [function(*one) for one in arguments]


class RayWorkers:
    """The processes of a Ray cluster: of the one that ``RAY_ADDRESS`` names, else of a local one that is started."""

    def __init__(self, count: int | None = None) -> None:
        """Connects to the cluster, or starts one.

        Args:
            count: Processes to use; one for each of the cluster's CPUs if None.

        Raises:
            WorkersError: If Ray is not installed.
        """
        try:
            import ray
        except ImportError:
            raise WorkersError('--workers ray needs Ray: pip install "psgym[ray]"') from None
        if not ray.is_initialized():
            local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": count, "include_dashboard": False}
            ray.init(log_to_driver=False, **local)
        self.count = count or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Call a function in as many tasks as there are tuples of arguments."""
        import ray

        task = ray.remote(num_cpus=1)(function)
        found: list[T] = ray.get([task.remote(*one) for one in arguments])
        return found


def make_workers(name: str) -> Workers:
    """Workers by their name on the command line: ``local`` or ``ray``."""
    return RayWorkers() if name == "ray" else LocalWorkers()


def train_seeds(training: Training, seeds: Sequence[int], folder: Path, workers: Workers | None = None) -> list[Path]:
    """Train once for each seed, in folders ``seed-N`` of one that all workers see; return the paths of the models."""
    places = [folder / f"seed-{seed}" for seed in seeds]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    trainings = [dataclasses.replace(training, seed=seed) for seed in seeds]
    (workers or LocalWorkers()).map(_train, list(zip(trainings, places, strict=True)))
    return [place / "model.zip" for place in places]


def _train(training: Training, folder: Path) -> None:
    from psgym.agents.training import train

    train(training, folder)
