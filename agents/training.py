"""Trains a policy on a batch of clusters: a model of SB3 or sb3-contrib, or a clone of a heuristic made better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure

from psgym.agents.callbacks import Checkpoint, ClusterMetrics, Stop, log_parameters
from psgym.agents.interruption import Interrupted, StopSignals
from psgym.agents.models import (
    FORECASTER,
    Description,
    ModelError,
    load_model,
    make_model,
    read_description,
    save_model,
)
from psgym.agents.networks.entities import EntityNetwork
from psgym.agents.networks.weights import about, save_weights
from psgym.agents.recipe import RECIPES, Cook, Recipe
from psgym.agents.sb3 import ClusterVecEnv
from psgym.agents.seeds import RANGE
from psgym.envs.cluster.features import rows_hash
from psgym.envs.settings import TrafficLike
from psgym.envs.views import VIEWS

CHECKPOINTS = 10
"""Checkpoints that a training writes."""
CHECKPOINT, MODEL, WEIGHTS = "checkpoint.zip", "model.zip", "weights.npz"
NEEDED = ("initial", "placement")
"""Fields of the configuration without which a policy does not decide as it was trained to."""


@dataclass(frozen=True)
class Training:
    """What to train, on what, and for how long."""

    env: str = "psgym/Cluster-v0"
    """Id of the environment."""
    algo: str = "clone-ppo"
    """Algorithm: maskable-ppo, ppo, a2c, dqn; a recipe: clone, clone-cem, clone-ppo; or cem-scorer
    (`psgym.agents.search`)."""
    preset: str | None = None
    """Configuration of the cluster; the id's own if None."""
    steps: int = 300_000
    """Decisions of reinforcement learning, over all copies; what a recipe does before or instead has its own."""
    num_envs: int = 256
    """Copies of the environment."""
    seed: int = 0
    """Seed of episodes, weights and exploration."""
    traffic: TrafficLike = None
    """Traffic; synthetic if None."""
    traffic_column: str | None = None
    """Column of a traffic file."""
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that differ from the preset; recipes start from empty plans if it says nothing."""
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the algorithm that differ from the defaults."""
    jobs: str | None = None
    """File of jobs that arrive instead of synthetic ones."""
    accesses: str | None = None
    """File of accesses that drives the popularity of datasets."""
    accesses_column: str | None = None
    """Column of the objects in it."""
    network: str = "mlp"
    """Network: mlp, or entities (`psgym.agents.networks`); a recipe always has the second."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the recipe that differ from the defaults: teacher, cloning, evolution, search."""
    forecaster: str | None = None
    """File of a fitted forecaster that feeds the forecasts of the observation; a seasonal EWMA if None."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps!r}")
        if not 0 <= self.seed < RANGE - self.num_envs:
            raise ValueError(f"seed must lie in [0, {RANGE - self.num_envs}), the seeds to train on, not {self.seed!r}")
        if self.algo in RECIPES and "allocation" in VIEWS[self.env].decides:
            # Their teachers plan all tasks of a slot; those that stand already would only be in the way.
            object.__setattr__(self, "cluster", {"initial": "empty", **self.cluster})

    def env_arguments(self) -> dict[str, Any]:
        """Return the arguments of environments to train on."""
        return {
            "preset": self.preset,
            "traffic": self.traffic,
            "traffic_column": self.traffic_column,
            "jobs": self.jobs,
            "accesses": self.accesses,
            "accesses_column": self.accesses_column,
            "forecaster": self.forecaster,
            **self.cluster,
        }

    def make_envs(self, done: int = 0) -> ClusterVecEnv:
        """Build the clusters to train on; after `done` decisions other days follow than at the start."""
        envs = ClusterVecEnv(self.num_envs, self.env, part="train", spread=True, **self.env_arguments())
        envs.seed((self.seed + done) % (RANGE - self.num_envs))
        return envs

    def describe(self, envs: ClusterVecEnv, steps: int, progress: Mapping[str, Any]) -> Description:
        """Return what it takes to build the model anew."""
        return Description(
            algo=self.algo,
            env=self.env,
            preset=self.preset or VIEWS[self.env].preset,
            layout_hash=envs.vector.layout_hash,
            actions=envs.simulation.actions,
            changes=dict(self.cluster),
            algorithm=dict(self.algorithm),
            network="entities" if self.algo in RECIPES else self.network,
            rows_hash=rows_hash(envs.vector.config),
            seed=self.seed,
            steps=steps,
            progress=dict(progress),
            forecaster=FORECASTER if self.forecaster else "",
        )


def train(
    training: Training, folder: Path | None = None, progress_bar: bool = False, resume: bool = False
) -> BaseAlgorithm:
    """Train a model; with a folder, keep checkpoints, the model and TensorBoard's files there.

    The model is ``model.zip``; ``weights.npz`` beside it holds the network, if it is one over rows.

    SIGTERM and SIGINT stop the training after the decision that is being made, with a last checkpoint.

    Args:
        training: What to train.
        folder: Where to write.
        progress_bar: Show one.
        resume: Go on from the checkpoint of the folder, if it has one. It holds weights, optimiser and counters, but
            not the clusters nor the memory of DQN: they start anew, on days that were not seen before.

    Raises:
        ModelError: If the algorithm or the network is unknown, or the checkpoint is of another training.
        ConfigError: If the configuration is.
        Interrupted: If a signal stopped the training.
    """
    checkpoint = folder / CHECKPOINT if folder and resume else None
    with StopSignals() as signals:
        run = _Run(training, folder, checkpoint if checkpoint and checkpoint.exists() else None, signals)
        completed = training.algo not in RECIPES or run.cook(progress_bar)
        if completed and training.algo not in ("clone", "clone-cem"):
            completed = run.learn(progress_bar)
    if not completed:
        where = f"; the checkpoint is {folder / CHECKPOINT}" if folder else ""
        message = f"stopped by a signal after {run.model.num_timesteps} decisions{where}"
        raise Interrupted(message, signals.received or 0)
    if folder:
        run.save(folder / MODEL)
        run.export(folder / WEIGHTS)
    return run.model


class _Run:
    """One training: its clusters, its model, and what is known of where it stands."""

    def __init__(self, training: Training, folder: Path | None, checkpoint: Path | None, signals: StopSignals) -> None:
        self._training, self._folder, self._signals = training, folder, signals
        found = read_description(checkpoint) if checkpoint else None
        self.progress: Mapping[str, Any] = found.progress if found else {}
        done = found.steps if found else 0
        self._envs = training.make_envs(done)
        if checkpoint and found:
            self.model, _ = load_model(checkpoint, self._envs)
            if found.algo != training.algo:
                raise ModelError(f"{checkpoint}: of a training with {found.algo}, not with {training.algo}")
            self.model.set_random_seed(training.seed + done)
            self.model.num_timesteps = done
        else:
            network = "entities" if training.algo in RECIPES else training.network
            self.model = make_model(training.algo, self._envs, training.seed, dict(training.algorithm), network)
        if folder:
            self.model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))

    def save(self, path: Path) -> None:
        """Write the model with all that it takes to go on from it."""
        save_model(self.model, path, self._training.describe(self._envs, self.model.num_timesteps, self.progress))

    def export(self, path: Path) -> None:
        """Write a network over rows as plain arrays, in the form in which policies are shipped."""
        network = getattr(self.model.policy, "network", None)
        if isinstance(network, EntityNetwork):
            found = self._training.describe(self._envs, self.model.num_timesteps, {})
            trained = {name: getattr(found, name) for name in ("algo", "preset", "seed", "steps", "psgym")}
            trained["recipe"] = dict(self._training.recipe)
            kept = {name: value for name, value in self._training.cluster.items() if name in NEEDED}
            save_weights(path, network, about(network, self._training.env, kept, trained))

    def learn(self, progress_bar: bool) -> bool:
        """Let SB3 learn what is left; return whether it was completed."""
        if self._training.algo in RECIPES and self.progress.get("stage") != "ppo":
            self.progress = {"stage": "ppo", "imitated": self.model.num_timesteps}
        left = self._training.steps + self.progress.get("imitated", 0) - self.model.num_timesteps
        if left <= 0:
            return True
        callbacks: list[Any] = [ClusterMetrics(self._training), Stop(self._signals)]
        if self._folder:
            path = self._folder / CHECKPOINT
            callbacks.append(Checkpoint(max(1, self._training.steps // CHECKPOINTS), lambda: self.save(path)))
        fresh = self.model.num_timesteps == 0
        self.model.learn(left, callback=callbacks, progress_bar=progress_bar, reset_num_timesteps=fresh)
        if self._signals.received is None:
            return True
        if self._folder:
            self.save(self._folder / CHECKPOINT)
        return False

    def cook(self, progress_bar: bool) -> bool:
        """Carry out what is left of a recipe; return whether it was completed."""
        from tqdm import tqdm

        training = self._training
        recipe = Recipe.from_mapping(training.recipe, training.algo)
        cook = Cook(self.model, self._envs, recipe, training.seed, training.env_arguments())
        if self._folder:
            log_parameters(self.model.logger, training)
        with tqdm(total=cook.pieces(), disable=not progress_bar, desc=training.algo) as bar:

            def report(stage: str, measured: dict[str, float], state: dict[str, Any]) -> bool:
                self.progress = state
                bar.set_postfix_str(f"{stage} " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()))
                bar.update()
                if self._folder:
                    for name, value in measured.items():
                        self.model.logger.record(f"{stage}/{name}", value)
                    self.model.logger.dump(self.model.num_timesteps)
                    self.save(self._folder / CHECKPOINT)
                return self._signals.received is None

            return cook.cook(self.progress, report)
