"""Training: every algorithm on every id, metrics for TensorBoard, discounts by the slot, and files that are safe."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from psgym.agents.discount import slot_advantages
from psgym.agents.files import write_atomically
from psgym.agents.learned import learned_candidate
from psgym.agents.models import ALGORITHMS, LearnedPolicy, ModelError, load_model, read_description
from psgym.agents.sb3 import ClusterVecEnv
from psgym.agents.training import Training, train
from psgym.envs import VIEWS

SMALL: dict[str, dict[str, Any]] = {
    "maskable-ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    "ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    "a2c": {"n_steps": 8},
    "dqn": {"learning_starts": 32, "buffer_size": 500, "batch_size": 32},
}


def short(algo: str, view_id: str, **more: Any) -> Training:
    return Training(view_id, algo, "small", 256, num_envs=8, algorithm=SMALL[algo], **more)


@pytest.mark.parametrize("view_id", tuple(VIEWS))
@pytest.mark.parametrize("algo", tuple(ALGORITHMS))
def test_every_algorithm_trains_on_every_id(algo: str, view_id: str) -> None:
    model = train(short(algo, view_id))
    assert model.num_timesteps >= 256
    assert all(np.isfinite(tensor.numpy()).all() for tensor in model.policy.state_dict().values())


@pytest.mark.parametrize("algo", tuple(ALGORITHMS))
def test_every_algorithm_trains_on_structured_observations(algo: str) -> None:
    model = train(short(algo, "psgym/Cluster-v0", cluster={"observation": "structured"}))
    assert model.num_timesteps >= 256


def test_training_follows_its_seed() -> None:
    first, again = (train(short("maskable-ppo", "psgym/Cluster-v0", seed=3)).policy.state_dict() for _ in range(2))
    other = train(short("maskable-ppo", "psgym/Cluster-v0", seed=4)).policy.state_dict()
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_metrics_reach_tensorboard(tmp_path: Path) -> None:
    # 16 copies, spread over the day, end an episode soon.
    training = Training(algo="maskable-ppo", preset="small", steps=8192, num_envs=64, algorithm=SMALL["maskable-ppo"])
    train(training, tmp_path)
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    found = EventAccumulator(str(events)).Reload()
    tags = set(found.Tags()["scalars"])
    assert {"cluster/total_cost", "cluster/mean_completion_seconds", "cluster/reward_unfinished"} <= tags
    assert {"time/fps", "train/value_loss"} <= tags
    assert all(event.value < 0 for event in found.Scalars("cluster/reward_unfinished"))
    assert read_description(tmp_path / "checkpoint.zip").steps <= read_description(tmp_path / "model.zip").steps


def test_advantages_by_hand() -> None:
    # One cluster, four decisions: two that do not commit, a commit, and a commit that ends the episode.
    column = lambda *values: np.array(values, float)[:, None]  # noqa: E731
    rewards, values = column(0, 0, -1, -2), column(1, 2, 3, 4)
    advantages, returns = slot_advantages(
        rewards, values, column(0, 0, 1, 1), column(0, 0, 0, 1), np.array([9.0]), gamma=0.5, gae_lambda=0.8
    )
    last = -2 - 4
    third = (-1 + 0.5 * 4 - 3) + 0.5 * 0.8 * last
    second = (3 - 2) + 0.99 * third
    first = (2 - 1) + 0.99 * second
    np.testing.assert_allclose(advantages[:, 0], [first, second, third, last], rtol=1e-6)
    np.testing.assert_allclose(returns, advantages + values)


def test_a_wasted_decision_changes_no_discounted_return() -> None:
    # With values of zero and full traces the return of the first decision is the discounted return.
    def first_return(slots: list[int], rewards: list[float]) -> float:
        zeros = np.zeros((len(slots), 1))
        errors = np.array(rewards)[:, None]
        exact = slot_advantages(errors, zeros, np.array(slots)[:, None], zeros, np.zeros(1), 0.5, 1.0)[1]
        return float(exact[0, 0])

    assert first_return([1, 1], [-1, -2]) == pytest.approx(-2.0)
    assert first_return([0, 1, 1], [0, -1, -2]) == pytest.approx(-2.0 * 0.99)  # the trace of one more decision


@pytest.mark.parametrize("algo", tuple(ALGORITHMS))
def test_a_saved_model_decides_alike(algo: str, tmp_path: Path) -> None:
    training = short(algo, "psgym/Cluster-v0")
    model = train(training, tmp_path)
    envs = ClusterVecEnv(4, "psgym/Cluster-v0", preset="small")
    envs.seed(0)
    loaded, description = load_model(tmp_path / "model.zip", envs)
    assert description.algo == algo
    observations = envs.reset()
    for _ in range(20):
        actions = LearnedPolicy(loaded, envs).predict(observations)[0]
        np.testing.assert_array_equal(actions, LearnedPolicy(model, envs).predict(observations)[0])
        observations, *_ = envs.step(actions)


def test_a_model_of_another_environment_is_refused(tmp_path: Path) -> None:
    train(short("a2c", "psgym/Allocation-v0"), tmp_path)
    with pytest.raises(ModelError, match="trained on psgym/Allocation-v0; give --env"):
        learned_candidate(tmp_path / "model.zip", "psgym/Cluster-v0")
    with pytest.raises(ModelError, match="layout of the observation"):
        load_model(tmp_path / "model.zip", ClusterVecEnv(1, "psgym/Allocation-v0", preset="small", candidates=4))


def test_files_that_training_did_not_write_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with pytest.raises(ModelError, match="no such file"):
        read_description(path)
    path.write_bytes(b"no zip")
    with pytest.raises(ModelError, match="not a model saved by psgym"):
        read_description(path)
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(path)
    with pytest.raises(ModelError, match="not a model saved by psgym"):
        read_description(path)


def test_loading_runs_no_code_of_the_file(tmp_path: Path) -> None:
    path, trap = tmp_path / "model.zip", tmp_path / "trap.zip"
    train(short("a2c", "psgym/Cluster-v0"), tmp_path)
    # SB3's own loading would unpickle this entry, and fail on it.
    poison = json.dumps({"policy_class": {":type:": "<class>", ":serialized:": "bm8gcGlja2xl"}})
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(trap, "w") as target:
        for name in source.namelist():
            target.writestr(name, poison if name == "data" else source.read(name))
    load_model(trap, ClusterVecEnv(1, "psgym/Cluster-v0", preset="small"))


def test_files_are_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("seed", -1), ("seed", 2**30)])
def test_settings_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} must"):
        Training(**{field: value})
