"""The native vector environment in the form that Stable-Baselines3 trains on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from psgym.envs.cluster.config import ALLOCATION_RULES, CAPACITY_RULES, REPLICA_RULES
from psgym.envs.cluster.decide import next_actions
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS
from psgym.envs.simulation import Simulation
from psgym.envs.vector import ClusterVectorEnv

VecEnvIndices = None | int | Iterable[int]


class ClusterVecEnv(VecEnv):
    """A batch of clusters as an SB3 ``VecEnv``: resets ended episodes at once, and keeps ``infos`` cheap.

    ``infos[i]`` is empty on every decision that does not commit. After a commit it holds the metrics, ``reward_terms``,
    ``slots_elapsed`` and ``refused`` of the single environment's ``info``; at the end of an episode also
    ``terminal_observation``, ``TimeLimit.truncated`` and, as SB3's ``Monitor`` would add it, ``episode``. Masks are
    those of the clusters as they now are: ``env_method("action_masks")``, or ``action_masks()`` for all at once.

    Attributes:
        slots_elapsed: int64, shape ``(num_envs,)``; 1 where the last decision committed a slot.
    """

    def __init__(
        self, num_envs: int = 256, view: str = "psgym/Cluster-v0", spread: bool = False, **arguments: Any
    ) -> None:
        """Builds the batch.

        Args:
            num_envs: Number of clusters.
            view: Id of the environment.
            spread: Whether ``reset()`` lets the rules of the configuration lead cluster i through i / num_envs of its
                episode. A learner then meets every part of an episode from its first rollout on, though it may
                live through less than one episode. Episodes that were led are not reported in ``infos``.
            arguments: As for ``gym.make`` of that id: ``preset``, ``traffic``, any field of the configuration.
        """
        self.vector = ClusterVectorEnv(num_envs, view, autoreset_mode=AutoresetMode.SAME_STEP, **arguments)
        self.slots_elapsed = np.zeros(num_envs, np.int64)
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._actions = np.zeros(num_envs, np.int64)
        self._spread, self._led = spread, np.zeros(num_envs, np.bool_)
        self._began = time.time()
        self._inside = 0.0
        space = self.vector.single_observation_space
        assert isinstance(space, spaces.Box | spaces.Dict)
        super().__init__(num_envs, space, self.vector.single_action_space)

    @property
    def simulation(self) -> Simulation:
        """The simulated clusters."""
        return self.vector.simulation

    def reset(self) -> Any:
        """Resets every cluster, with the seeds of ``seed()`` and the options of ``set_options()`` where given."""
        if any(options != self._options[0] for options in self._options):
            raise ValueError("all clusters of a batch take the same reset options")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.vector.reset(seed=seeds, options=self._options[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        self.slots_elapsed = infos["slots_elapsed"]
        self.reset_infos = [{} for _ in range(self.num_envs)]
        if self._spread:
            self._lead()
            observations = self.vector._observations()
        return observations

    def _lead(self) -> None:
        """Lets the configured rules decide until cluster i has lived through i / num_envs of its episode."""
        config, simulation = self.vector.config, self.simulation
        target = np.arange(self.num_envs) * config.slots // self.num_envs
        codes = (
            CAPACITY_RULES.index(config.capacity_rule),
            REPLICA_RULES.index(config.replica_rule),
            ALLOCATION_RULES.index(config.allocation_rule),
        )
        actions = np.zeros(self.num_envs, np.int64)
        while (behind := simulation.states["public"]["slot"] < target).any():
            next_actions(simulation.states, *codes, actions)
            actions[~behind] = -1
            simulation.step(actions)
        self._led = target > 0

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Carries out one decision in every cluster."""
        entered = time.perf_counter()
        observations, rewards, terminated, truncated, batch = self.vector.step(self._actions)
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        ended = "final_info" in batch
        last = batch["final_info"] if ended else batch
        self.slots_elapsed = last["slots_elapsed"]
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        _fill_commits(infos, last, self.slots_elapsed)
        if ended:
            self._fill_ends(infos, batch["final_obs"], truncated & ~terminated, dones)
        self._inside += time.perf_counter() - entered
        return observations, rewards.astype(np.float32), dones, infos

    def clock(self) -> tuple[float, float]:
        """Returns the time, and how much of it has been spent in steps of the clusters so far (s)."""
        return time.perf_counter(), self._inside

    def _fill_ends(
        self, infos: list[dict[str, Any]], final: Any, truncated: NDArray[np.bool_], dones: NDArray[np.bool_]
    ) -> None:
        elapsed = round(time.time() - self._began, 6)
        for index in np.flatnonzero(dones).tolist():
            infos[index]["terminal_observation"] = _row(final, index)
            infos[index]["TimeLimit.truncated"] = bool(truncated[index])
            if not self._led[index]:
                episode = {"r": float(self._returns[index]), "l": int(self._lengths[index]), "t": elapsed}
                infos[index]["episode"] = episode
        self._led[dones] = False
        self._returns[dones], self._lengths[dones] = 0.0, 0

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, shape ``(num_envs, actions)``."""
        return self.vector.action_masks()

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method for some clusters; there is ``action_masks``.

        Raises:
            AttributeError: If it is any other.
        """
        if method_name != "action_masks":
            raise AttributeError(f"clusters of a batch have the method 'action_masks', not {method_name!r}")
        return list(self.vector.action_masks()[list(self._get_indices(indices))])

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Returns an attribute that all clusters share, such as ``config``, once for each.

        Raises:
            AttributeError: If the batch has no such attribute.
        """
        chosen = list(self._get_indices(indices))
        if attr_name == "action_masks":
            return [lambda index=index: self.vector.action_masks()[index] for index in chosen]
        if attr_name in ("observation_space", "action_space"):
            attr_name = f"single_{attr_name}"
        return [getattr(self.vector, attr_name)] * len(chosen)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Raises: a batch shares its attributes, and its kernels have their own copy of the configuration."""
        raise AttributeError(f"{attr_name!r} cannot be set: clusters of a batch share one configuration; build another")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tells SB3 that episodes are monitored: ``infos`` hold what its ``Monitor`` would add."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Returns no pictures: a batch is not drawn; make a single environment to render."""
        return [None] * self.num_envs

    def close(self) -> None:
        """Releases nothing but memory."""
        self.vector.close()


def _fill_commits(infos: list[dict[str, Any]], batch: dict[str, Any], slots: NDArray[np.int64]) -> None:
    """Fills the infos of the clusters that committed, a few of many."""
    chosen = np.flatnonzero(slots)
    metrics = np.stack([batch[name][chosen] for name in METRICS], axis=1).tolist()
    terms = np.stack([batch["reward_terms"][name][chosen] for name in TERMS], axis=1).tolist()
    refused = batch["refused"][chosen].tolist()
    for index, row, parts, refusal in zip(chosen.tolist(), metrics, terms, refused, strict=True):
        info = infos[index]
        info.update(zip(METRICS, row, strict=True))
        info["reward_terms"] = dict(zip(TERMS, parts, strict=True))
        info["slots_elapsed"] = 1
        info["refused"] = refusal


def _row(observations: Any, index: int) -> Any:
    if isinstance(observations, dict):
        return {name: rows[index].copy() for name, rows in observations.items()}
    return observations[index].copy()
