"""Work that is spread over processes: the same numbers as without."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from psgym.agents.cli import main
from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.training import Training
from psgym.agents.workers import LocalWorkers, RayWorkers, WorkersError, make_workers, train_seeds

ID = "psgym/Allocation-v0"
SMALL = {"load": 0.2}


class Parts(LocalWorkers):
    """Divides the days as workers would, in this process."""

    count = 3

    def __init__(self) -> None:
        self.calls: list[int] = []

    def map(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Note how many parts there are."""
        self.calls.append(len(arguments))
        return super().map(function, arguments)


@pytest.mark.parametrize("name", ["random", "fifo", "look-ahead"])
def test_parts_of_the_days_make_the_same_whole(name: str) -> None:
    workers = Parts()
    whole, parts = (make_days(ID, "test", 1, 4, config=SMALL, workers=one) for one in (None, workers))
    first, second = (run_policy(days, lambda env: make_policy(name, env, ID, 5)) for days in (whole, parts))
    assert workers.calls == [3]
    assert [len(part.seeds) for part in parts.split()] == [2, 1, 1]
    for metric, values in first.metrics.items():
        np.testing.assert_array_equal(values, second.metrics[metric], err_msg=metric)
    np.testing.assert_array_equal(first.day, second.day)
    np.testing.assert_array_equal(first.completion_percentiles, second.completion_percentiles)


def test_more_workers_than_days() -> None:
    assert [len(part.seeds) for part in make_days(ID, "test", 1, 2, workers=Parts()).split()] == [1, 1]


def test_unknown_workers_and_missing_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_workers("local"), LocalWorkers)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(WorkersError, match="--workers ray needs Ray"):
        make_workers("ray")


def square(number: int) -> int:
    return number * number


@pytest.fixture(scope="module")
def two_processes() -> Iterator[RayWorkers]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    workers = RayWorkers(2)
    yield workers
    ray.shutdown()


# Ray leaves sockets and processes to the end of the program.
on_ray = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@on_ray
def test_results_come_in_order(two_processes: RayWorkers) -> None:
    assert two_processes.count == 2
    assert two_processes.map(square, [(3,), (1,), (2,)]) == [9, 1, 4]


@on_ray
def test_a_comparison_has_the_same_numbers(two_processes: RayWorkers, tmp_path: Path) -> None:
    found = []
    for workers in ("ray", "local"):
        flags = ["--env", ID, "--policies", "random", "--days", "2", "--validation-days", "1", "--no-progress"]
        main(["compare", *flags, "--workers", workers, "--out", str(tmp_path / workers)])
        result = json.loads((tmp_path / workers / "result.json").read_text())
        for row in result["rows"]:
            row.pop("seconds_per_decision")
        found.append(result)
    assert found[0] == found[1]


TRAIN = """
import sys
from pathlib import Path
from psgym.agents.training import Training
from psgym.agents.workers import train_seeds

algorithm = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
training = Training("psgym/Capacity-v0", "ppo", steps=64, num_envs=4, cluster={"load": 0.2}, algorithm=algorithm)
train_seeds(training, (1,), Path(sys.argv[1]))
"""
"""A training of seed 1 as a command of its own, as a user would run it."""


@on_ray
def test_seeds_are_trained_apart(two_processes: RayWorkers, tmp_path: Path) -> None:
    algorithm = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
    training = Training("psgym/Capacity-v0", "ppo", steps=64, num_envs=4, cluster=SMALL, algorithm=algorithm)
    paths = train_seeds(training, (0, 1), tmp_path / "ray", two_processes)
    subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path / "alone")], check=True, timeout=900)
    again = tmp_path / "alone" / "seed-1" / "model.zip"
    assert [path.parent.name for path in paths] == ["seed-0", "seed-1"]
    # The last bits of a product of matrices may follow the alignment of memory, which another process need not share.
    np.testing.assert_allclose(weights(paths[1]), weights(again), rtol=1e-4, atol=1e-6)
    assert not np.allclose(weights(paths[0]), weights(again), rtol=1e-4, atol=1e-6)


def weights(path: Path) -> NDArray[np.float32]:
    """All numbers of a model's policy, in one row."""
    with zipfile.ZipFile(path) as archive:
        tensors = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors.values()])
