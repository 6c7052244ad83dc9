"""The native vector environment: a batch of clusters stepped by one kernel call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from psgym.envs.accesses import AccessesLike, make_popularity
from psgym.envs.cluster.config import ClusterConfig, ConfigError
from psgym.envs.cluster.features import groups, layout_hash
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS
from psgym.envs.env import InvalidActionError, observation_space
from psgym.envs.forecasts import ForecasterLike, make_forecasts
from psgym.envs.job_days import JobsLike
from psgym.envs.settings import TrafficLike, make_config, make_source, reset_source
from psgym.envs.simulation import Simulation
from psgym.envs.views import CLUSTER, VIEWS, View


class ClusterVectorEnv(VectorEnv[Any, Any, Any]):
    """``num_envs`` clusters of one configuration, each the same as the single environment with its seed.

    Environment i of ``reset(seed=s)`` lives the same episode as the single environment after ``reset(seed=s + i)``.
    ``infos`` holds arrays under the keys of the single environment's ``info``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        view: View | str = CLUSTER,
        preset: str | None = None,
        config: ClusterConfig | Mapping[str, Any] | None = None,
        traffic: TrafficLike = None,
        traffic_column: str | None = None,
        part: str = "train",
        forecaster: ForecasterLike = None,
        accesses: AccessesLike = None,
        accesses_column: str | None = None,
        jobs: JobsLike = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **changes: Any,
    ) -> None:
        """Builds the batch; arguments as for the single environment.

        Args:
            num_envs: Number of clusters.
            view: What the agent decides.
            autoreset_mode: ``NEXT_STEP`` (the action after an end resets), ``SAME_STEP`` (resets at once and keeps the
                last observation in ``infos["final_obs"]``) or ``DISABLED`` (a cluster rests until it is reset).
            max_episode_steps: Must be None: a slot has many steps, and the environment truncates by slots itself.
        """
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs!r}")
        if max_episode_steps is not None:
            raise ConfigError("max_episode_steps would count decisions; shorten an episode with slots= instead")
        self.view = VIEWS[view] if isinstance(view, str) else view
        self.config = make_config(self.view.preset, preset, config, changes)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        source = make_source(traffic, traffic_column, part, self.config, jobs)
        forecasts = make_forecasts(forecaster)
        popularity = make_popularity(accesses, accesses_column, part)
        self.simulation = Simulation(
            self.config, self.view.decides, self.view.rewarded, source, num_envs, forecasts, popularity
        )
        self.single_observation_space = observation_space(self.config)
        self.single_action_space = spaces.Discrete(self.simulation.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.layout_hash = layout_hash(self.config)
        self._rngs: list[np.random.Generator] = []
        self._over = np.zeros(num_envs, np.bool_)
        self._actions = np.zeros(num_envs, np.int64)
        self._outcome = np.asarray(self.simulation.outcomes)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets every cluster, or those that ``options["reset_mask"]`` marks."""
        options = dict(options or {})
        chosen = options.pop("reset_mask", None)
        indices = (
            range(self.num_envs) if chosen is None else np.flatnonzero(np.asarray(chosen, dtype=np.bool_)).tolist()
        )
        self._seed(seed)
        source = reset_source(options, self.config)
        for index in indices:
            self.simulation.reset(index, self._rngs[index], source)
            self._over[index] = False
        return self._observations(), self._infos()

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None and self._rngs:
            return
        seeds = (
            [None if seed is None else seed + i for i in range(self.num_envs)]
            if not isinstance(seed, Sequence)
            else list(seed)
        )
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must be one integer or {self.num_envs} of them, not {len(seeds)}")
        made = [seeding.np_random(one)[0] for one in seeds]
        keep = self._rngs or made
        self._rngs = [new if one is not None else old for new, one, old in zip(made, seeds, keep, strict=True)]

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Carries out one decision in every cluster.

        Raises:
            ResetNeeded: Before the first reset.
            InvalidActionError: If an action is no member of the action space.
        """
        if not self._rngs:
            raise ResetNeeded("call reset() before step()")
        self._copy_actions(actions)
        begun = self._begin_next(self._over.copy())
        self.simulation.step(self._actions)
        outcome = self._outcome
        rewards = outcome["reward"].copy()
        terminated, truncated = outcome["terminated"].copy(), outcome["truncated"].copy()
        terminated[begun] = truncated[begun] = False
        self._over = terminated | truncated
        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._over.any():
            final = self._reset_now()
        return self._observations(), rewards, terminated, truncated, self._infos() | final

    def _copy_actions(self, actions: NDArray[Any]) -> None:
        array = np.asarray(actions)
        if array.shape != (self.num_envs,) or not np.issubdtype(array.dtype, np.integer):
            raise InvalidActionError(
                f"actions must be {self.num_envs} integers, not an array of {array.dtype} of shape {array.shape}"
            )
        if array.min() < 0 or array.max() >= self.simulation.actions:
            bad = int(np.flatnonzero((array < 0) | (array >= self.simulation.actions))[0])
            raise InvalidActionError(
                f"action {array[bad]} of environment {bad} must lie between 0 and {self.simulation.actions - 1}"
            )
        self._actions[:] = array

    def _begin_next(self, over: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Clusters whose episode has ended: reset them now (NEXT_STEP), or let them rest (DISABLED)."""
        if over.any():
            self._actions[over] = -1
            if self.autoreset_mode is AutoresetMode.NEXT_STEP:
                for index in np.flatnonzero(over).tolist():
                    self.simulation.reset(index, self._rngs[index])
                return over
            for name in ("reward", "slots_elapsed", "refused", "terms"):
                self._outcome[name][over] = 0  # nothing happens to a cluster that rests
        return np.zeros(self.num_envs, np.bool_)

    def _reset_now(self) -> dict[str, Any]:
        """Resets ended clusters in the step of their end, and returns what was last seen of them."""
        over = self._over.copy()
        final = {
            "final_obs": self._observations(),
            "_final_obs": over,
            "final_info": self._infos(),
            "_final_info": over,
        }
        for index in np.flatnonzero(over).tolist():
            self.simulation.reset(index, self._rngs[index])
        self._over[:] = False
        return final

    def _observations(self) -> Any:
        observations = self.simulation.observations.copy()
        if self.config.observation != "structured":
            return observations
        parts, at = {}, 0
        for group in groups(self.config):
            width = group.rows * len(group.features)
            parts[group.name] = observations[:, at : at + width].reshape(self.num_envs, group.rows, len(group.features))
            at += width
        return parts

    def _infos(self) -> dict[str, Any]:
        outcome = self._outcome
        infos: dict[str, Any] = dict(zip(METRICS, self.simulation.metrics.T.copy(), strict=True))
        infos["action_mask"] = self.simulation.masks.copy()
        infos["slots_elapsed"] = outcome["slots_elapsed"].copy()
        infos["refused"] = outcome["refused"].copy()
        infos["reward_terms"] = dict(zip(TERMS, outcome["terms"].T.copy(), strict=True))
        return infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, shape ``(num_envs, actions)``."""
        return self.simulation.masks.copy()

    @property
    def public(self) -> np.ndarray:
        """All that a policy may know of each cluster, as a structured array of shape ``(num_envs,)``."""
        return np.asarray(self.simulation.states)["public"]

    def __getstate__(self) -> dict[str, Any]:
        """Pickles everything but the view into the simulation."""
        return {key: value for key, value in self.__dict__.items() if key != "_outcome"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores the batch in mid-episode."""
        self.__dict__.update(state)
        self._outcome = np.asarray(self.simulation.outcomes)
