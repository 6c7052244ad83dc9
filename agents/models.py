"""Models of SB3 and sb3-contrib: how each algorithm is set up, and files of them that are safe to load.

SB3's own ``load`` unpickles what the file holds, and so runs whatever code a stranger put there. Here a model is built
anew from a description in JSON that training adds to the file, and only tensors are read from it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

import psgym
from psgym.agents.discount import buffer_class
from psgym.agents.files import write_atomically
from psgym.agents.networks.entities import COMMIT_BIAS
from psgym.agents.networks.layout import layout_of
from psgym.agents.networks.policies import EntityPolicy, EntityQPolicy, MaskableEntityPolicy
from psgym.agents.policy import Actions, Observation, simulation_of
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs.cluster.decide import COMMIT
from psgym.envs.cluster.features import rows_hash

FORECASTER = "forecaster.npz"
"""Name of the fitted forecaster in the folder of a training that was given one."""

DESCRIPTION = "psgym.json"
"""Name of the description inside a model's file."""

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "maskable-ppo": MaskablePPO,
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
    # Recipes of psgym.agents.recipe; what they train is the policy of a MaskablePPO.
    "clone": MaskablePPO,
    "clone-cem": MaskablePPO,
    "clone-ppo": MaskablePPO,
}

_NETWORK = {"net_arch": [128, 128]}
_PPO = {
    "n_steps": 64,
    "batch_size": 2048,
    "n_epochs": 4,
    "learning_rate": 5e-4,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "ent_coef": 0.003,
    "policy_kwargs": _NETWORK,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "maskable-ppo": _PPO,
    "ppo": _PPO,
    "clone": _PPO,
    "clone-cem": _PPO,
    # Small steps: the policy is good from the start, and a large one forgets more than it learns.
    "clone-ppo": {**_PPO, "n_epochs": 2, "learning_rate": 1e-4, "clip_range": 0.1, "ent_coef": 0.0},
    "a2c": {"n_steps": 16, "gamma": 0.98, "gae_lambda": 0.95, "ent_coef": 0.003, "policy_kwargs": _NETWORK},
    # Q-learning looks one decision ahead, so it runs undiscounted over the day, whose end is the end of its problem.
    "dqn": {
        "gamma": 1.0,
        "learning_rate": 2e-4,
        "buffer_size": 50_000,
        "learning_starts": 5_000,
        "batch_size": 512,
        "exploration_fraction": 0.3,
        "replay_buffer_kwargs": {"handle_timeout_termination": False},
        "policy_kwargs": _NETWORK,
    },
}
"""Arguments of each algorithm; gamma is the discount of a slot where the algorithm keeps rollouts."""
NETWORKS = ("mlp", "entities")
"""A perceptron over the whole observation, or `psgym.agents.networks` over its rows."""
_ENTITY_POLICIES = {MaskablePPO: MaskableEntityPolicy, PPO: EntityPolicy, A2C: EntityPolicy, DQN: EntityQPolicy}


class ModelError(ValueError):
    """A file that holds no model of psgym, or one for another environment."""


@dataclass(frozen=True)
class Description:
    """What it takes to build a model anew."""

    algo: str
    env: str
    preset: str
    layout_hash: str
    """Layout of the observation that the model was trained on."""
    actions: int
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the configuration that differ from the preset."""
    algorithm: dict[str, Any] = field(default_factory=dict)
    """Arguments of the algorithm."""
    network: str = "mlp"
    """One of `NETWORKS`."""
    rows_hash: str = ""
    """Features of the rows, which are all that a network of entities depends on."""
    seed: int = 0
    steps: int = 0
    progress: dict[str, Any] = field(default_factory=dict)
    """Where a recipe stands, for a training to be resumed."""
    forecaster: str = ""
    """Name of the file beside the model that holds the forecaster of its environments; empty for their own."""
    psgym: str = psgym.__version__


def make_model(
    algo: str,
    env: ClusterVecEnv,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
    network: str = "mlp",
    **more: Any,
) -> BaseAlgorithm:
    """Build an untrained model.

    Args:
        algo: Name in `ALGORITHMS`.
        env: The clusters to train on.
        seed: Seed of the weights and of exploration.
        arguments: Arguments of the algorithm that replace the defaults.
        network: One of `NETWORKS`.
        more: Arguments that have nothing to do with learning, such as ``tensorboard_log``.

    Raises:
        ModelError: If there is no algorithm or network of that name.
    """
    if algo not in ALGORITHMS:
        raise ModelError(f"no algorithm {algo!r}; there are {', '.join(ALGORITHMS)}")
    structured = env.vector.config.observation == "structured"
    chosen = {**DEFAULTS[algo], **(arguments or {})}
    if algo != "dqn":
        more["rollout_buffer_class"] = buffer_class(ALGORITHMS[algo] is MaskablePPO, structured)
    policy: Any = "MultiInputPolicy" if structured else "MlpPolicy"
    if network == "entities":
        policy = _ENTITY_POLICIES[ALGORITHMS[algo]]
        kept = {name: value for name, value in chosen.get("policy_kwargs", {}).items() if name != "net_arch"}
        chosen["policy_kwargs"] = {**kept, "layout": layout_of(env.vector.config, env.vector.view.id)}
    elif network != "mlp":
        raise ModelError(f"no network {network!r}; there are {', '.join(NETWORKS)}")
    model = ALGORITHMS[algo](policy, env, seed=seed, device="cpu", **chosen, **more)
    if algo != "dqn":
        model.rollout_buffer.watch(env)  # type: ignore[attr-defined]
    if algo != "dqn" and network == "mlp":
        with torch.no_grad():
            model.policy.action_net.bias[COMMIT] += COMMIT_BIAS  # type: ignore[index, union-attr, operator]
    return model


def save_model(model: BaseAlgorithm, path: Path, description: Description) -> None:
    """Write a model in SB3's format with its description, at once or not at all."""

    def write(temporary: Path) -> None:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(DESCRIPTION, json.dumps(asdict(description), indent=2))

    write_atomically(path, write)


def read_description(path: Path) -> Description:
    """Return the description in a model's file.

    Raises:
        ModelError: If the file is not a model that psgym has saved.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read(DESCRIPTION))
        return Description(**found)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{path}: not a model saved by psgym's training ({error}). Another file of SB3 can hold pickled code, "
            "and is not loaded"
        ) from None


def load_model(path: Path, env: ClusterVecEnv) -> tuple[BaseAlgorithm, Description]:
    """Build the model that a file describes, and read its tensors; nothing in the file is executed.

    Raises:
        ModelError: If the file is no such model, or the environment's observations or actions are laid out otherwise.
    """
    description = read_description(path)
    check_fit(path, description, env)
    model = make_model(description.algo, env, arguments=description.algorithm, network=description.network)
    try:
        model.set_parameters(str(path), exact_match=True, device="cpu")
    except Exception as error:
        raise ModelError(f"{path}: its tensors do not fit its description: {error}") from error
    return model, description


def check_fit(path: Path, description: Description, env: ClusterVecEnv) -> None:
    """Raise ModelError if a model was trained on other observations or actions than an environment has.

    A network of entities fits clusters of other sizes, as long as every kind of row has the same features.
    """
    found = [("environment", description.env, env.vector.view.id)]
    if description.network == "entities":
        found.append(("features of the rows (their hash)", description.rows_hash, rows_hash(env.vector.config)))
    else:
        found.append(("layout of the observation", description.layout_hash, env.vector.layout_hash))
        found.append(("number of actions", description.actions, env.simulation.actions))  # type: ignore[arg-type]
    for name, trained, here in found:
        if trained != here:
            raise ModelError(f"{path}: trained with {name} {trained!r}, but here it is {here!r}")


class LearnedPolicy:
    """A model bound to an environment, whose masks it is shown if its algorithm uses them."""

    def __init__(self, model: BaseAlgorithm, env: Any) -> None:
        """Binds a model to an environment of psgym."""
        self._model, self._simulation = model, simulation_of(env)
        self._masked = isinstance(model, MaskablePPO)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, Any]:
        """Return the model's actions."""
        masks = {"action_masks": self._simulation.masks} if self._masked else {}
        return self._model.predict(observation, state, episode_start, deterministic, **masks)  # type: ignore[arg-type]
