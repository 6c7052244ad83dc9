"""Training: every algorithm on every id, metrics for TensorBoard, discounts by the slot, and files that are safe."""

from __future__ import annotations

import json
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from psgym.agents.cloning import Cloner
from psgym.agents.discount import slot_advantages
from psgym.agents.evolution import Evolver
from psgym.agents.files import write_atomically
from psgym.agents.interruption import Interrupted
from psgym.agents.learned import learned_candidate
from psgym.agents.models import ALGORITHMS, LearnedPolicy, ModelError, load_model, read_description
from psgym.agents.networks.layout import layout_of
from psgym.agents.networks.player import NetworkPolicy
from psgym.agents.networks.weights import load_network
from psgym.agents.sb3 import ClusterVecEnv
from psgym.agents.training import Training, train
from psgym.envs import VIEWS

SMALL: dict[str, dict[str, Any]] = {
    "maskable-ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    "ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    "a2c": {"n_steps": 8},
    "dqn": {"learning_starts": 32, "buffer_size": 500, "batch_size": 32},
    "clone": {},
    "clone-cem": {},
    "clone-ppo": {"n_steps": 16, "batch_size": 64},
}
RECIPE = {
    "cloning": {"rounds": 2, "decisions": 256, "updates": 2, "batch_size": 32},
    "evolution": {"iterations": 2, "population": 4, "days": 1, "directions": 2, "validation_days": 1},
}
LEARNERS = tuple(algo for algo in ALGORITHMS if not algo.startswith("clone"))


def short(algo: str, view_id: str, **more: Any) -> Training:
    recipe = RECIPE if algo.startswith("clone") else {}
    return Training(view_id, algo, "small", 256, num_envs=8, algorithm=SMALL[algo], **{"recipe": recipe, **more})


@pytest.mark.parametrize("view_id", tuple(VIEWS))
@pytest.mark.parametrize("algo", LEARNERS)
def test_every_algorithm_trains_on_every_id(algo: str, view_id: str) -> None:
    model = train(short(algo, view_id))
    assert model.num_timesteps >= 256
    assert all(np.isfinite(tensor.numpy()).all() for tensor in model.policy.state_dict().values())


@pytest.mark.parametrize("network", ["mlp", "entities"])
@pytest.mark.parametrize("algo", LEARNERS)
def test_every_algorithm_trains_on_structured_observations(algo: str, network: str) -> None:
    model = train(short(algo, "psgym/Cluster-v0", network=network, cluster={"observation": "structured"}))
    assert model.num_timesteps >= 256


@pytest.mark.parametrize(
    ("algo", "view_id"),
    [("maskable-ppo", "psgym/Cluster-v0"), ("clone-cem", "psgym/Capacity-v0"), ("clone-ppo", "psgym/Capacity-v0")],
)
def test_training_follows_its_seed(algo: str, view_id: str) -> None:
    def weights(seed: int) -> dict[str, Any]:
        return train(short(algo, view_id, seed=seed)).policy.state_dict()

    first, again, other = weights(3), weights(3), weights(4)
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
    assert {"time/fps", "train/value_loss", "train/entropy_loss", "train/explained_variance"} <= tags
    assert all(0 < event.value < 1 for event in found.Scalars("time/environment_share"))
    assert "_hparams_/session_start_info" in found.summary_metadata
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


@pytest.mark.parametrize(("algo", "network"), [*((algo, "mlp") for algo in LEARNERS), ("a2c", "entities"),
                                               ("dqn", "entities"), ("clone", "entities")])  # fmt: skip
def test_a_saved_model_decides_alike(algo: str, network: str, tmp_path: Path) -> None:
    training = short(algo, "psgym/Cluster-v0", network=network)
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


def test_a_network_over_rows_fits_clusters_of_other_sizes(tmp_path: Path) -> None:
    view_id = "psgym/Replicas-v0"
    train(short("a2c", view_id, network="entities", cluster={"placement": "agent"}), tmp_path)
    envs = ClusterVecEnv(1, view_id, preset="storage")
    model, description = load_model(tmp_path / "model.zip", envs)
    assert envs.vector.layout_hash != description.layout_hash
    actions, _ = LearnedPolicy(model, envs).predict(np.asarray(envs.reset()))
    assert actions.shape == (1,)
    network, about = load_network(tmp_path / "weights.npz", layout_of(envs.vector.config, view_id))
    np.testing.assert_array_equal(
        NetworkPolicy(network).predict(envs.simulation.observations)[0],
        LearnedPolicy(model, envs).predict(envs.simulation.observations)[0],
    )
    assert about.trained["algo"] == "a2c"
    with pytest.raises(ModelError, match="environment 'psgym/Replicas-v0', but here"):
        load_model(tmp_path / "model.zip", ClusterVecEnv(1, "psgym/Allocation-v0", preset="small"))


@pytest.mark.parametrize("algo", ["maskable-ppo", "dqn", "clone", "clone-cem", "clone-ppo"])
def test_a_stopped_training_is_resumed(algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes in the midst of a rollout, a round, an iteration, or an update."""
    training = short(algo, "psgym/Capacity-v0" if algo in ("clone-cem", "clone-ppo") else "psgym/Cluster-v0")
    pieces = {"maskable-ppo": (ClusterVecEnv, "step_wait"), "dqn": (ClusterVecEnv, "step_wait"),
              "clone": (Cloner, "run_round"), "clone-cem": (Evolver, "run_iteration"),
              "clone-ppo": (MaskablePPO, "train")}  # fmt: skip
    owner, name = pieces[algo]
    original, calls = getattr(owner, name), []

    def stopped(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == (1 if algo.startswith("clone") else 20):
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(owner, name, stopped)
    with pytest.raises(Interrupted, match="stopped by a signal") as caught:
        train(training, tmp_path)
    assert caught.value.exit_status == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "model.zip").exists()
    left = read_description(tmp_path / "checkpoint.zip").steps
    assert 0 < left < train(training).num_timesteps
    model = train(training, tmp_path, resume=True)
    assert model.num_timesteps > left
    assert read_description(tmp_path / "model.zip").steps == model.num_timesteps


def test_a_training_that_was_completed_is_not_done_again(tmp_path: Path) -> None:
    training = short("clone", "psgym/Allocation-v0")
    first = train(training, tmp_path)
    again = train(training, tmp_path, resume=True)
    assert again.num_timesteps == read_description(tmp_path / "checkpoint.zip").steps
    ours, theirs = first.policy.state_dict(), again.policy.state_dict()
    assert all((ours[name] == theirs[name]).all() for name in ours)


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
