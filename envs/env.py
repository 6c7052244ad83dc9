"""The Gymnasium environment over one simulated cluster; the registered ids are its views."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from psgym.envs.accesses import AccessesLike, make_popularity
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.features import Group, groups, layout_hash
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import TERMS
from psgym.envs.documentation import documented
from psgym.envs.forecasts import ForecasterLike, make_forecasts
from psgym.envs.job_days import JobsLike
from psgym.envs.settings import TrafficLike, make_config, make_source, reset_source
from psgym.envs.simulation import Simulation, Snapshot
from psgym.envs.views import ALLOCATION, CAPACITY, CLUSTER, REPLICAS, View

if TYPE_CHECKING:
    from psgym.envs.render import ImageRenderer, Window

_NO_TERMS = dict.fromkeys(TERMS, 0.0)


class InvalidActionError(TypeError, ValueError):
    """An action that is no member of the action space."""


def observation_space(config: ClusterConfig) -> spaces.Space[Any]:
    """The observation space of a configuration: a ``Box``, or a ``Dict`` of one ``Box`` for each group."""
    boxes = {group.name: _box(group) for group in groups(config)}
    if config.observation == "structured":
        return spaces.Dict({name: spaces.Box(low, high, dtype=np.float32) for name, (low, high) in boxes.items()})
    low = np.concatenate([low.ravel() for low, _ in boxes.values()])
    high = np.concatenate([high.ravel() for _, high in boxes.values()])
    return spaces.Box(low, high, dtype=np.float32)


def _box(group: Group) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low = np.array([feature.low for feature in group.features], np.float32)
    high = np.array([feature.high for feature in group.features], np.float32)
    return np.tile(low, (group.rows, 1)), np.tile(high, (group.rows, 1))


class ClusterEnv(gym.Env[Any, Any]):
    """A distributed machine-learning cluster. Use one of its views: ``CapacityEnv``, ``ReplicasEnv`` and so on."""

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 10}  # noqa: RUF012 as in gym.Env
    view: View = CLUSTER

    def __init__(
        self,
        preset: str | None = None,
        config: ClusterConfig | Mapping[str, Any] | None = None,
        traffic: TrafficLike = None,
        traffic_column: str | None = None,
        part: str = "train",
        forecaster: ForecasterLike = None,
        accesses: AccessesLike = None,
        accesses_column: str | None = None,
        jobs: JobsLike = None,
        render_mode: str | None = None,
        **changes: Any,
    ) -> None:
        """Builds the cluster; see the class for the arguments.

        Raises:
            ConfigError: If the configuration is unknown or out of range.
            TraceError: If a traffic file cannot be read.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']} or None, not {render_mode!r}")
        self.config = make_config(self.view.preset, preset, config, changes)
        self.render_mode = render_mode
        source = make_source(traffic, traffic_column, part, self.config, jobs)
        forecasts = make_forecasts(forecaster)
        popularity = make_popularity(accesses, accesses_column, part)
        self._simulation = Simulation(
            self.config, self.view.decides, self.view.rewarded, source, forecasts=forecasts, popularity=popularity
        )
        self.observation_space = observation_space(self.config)
        self.action_space = spaces.Discrete(self._simulation.actions)
        self.layout_hash = layout_hash(self.config)
        self._count = self._simulation.actions
        self._actions = np.zeros(1, np.int64)
        self._phase = "new"
        self._open_arrays()

    def _open_arrays(self) -> None:
        """Keeps views of what every step reads; they follow the simulation's arrays."""
        simulation = self._simulation
        self._outcome = np.asarray(simulation.outcomes)
        self._refused = self._outcome["refused"]
        self._observation, self._mask, self._metrics = (
            simulation.observations[0],
            simulation.masks[0],
            simulation.metrics[0],
        )
        self._parts = _group_slices(self.config) if self.config.observation == "structured" else None
        self._facts: dict[str, Any] = dict.fromkeys(METRICS, 0.0)  # updated in place: to build a mapping takes longer
        self._terms = _NO_TERMS.copy()
        self._read_metrics()
        self._renderer: ImageRenderer | None = None  # a figure that is laid out with the first image
        self._window: Window | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draws a new episode: ``seed`` fixes all of it, options ``traffic`` and ``jobs`` give its traffic or jobs."""
        super().reset(seed=seed)
        source = reset_source(options, self.config)
        self._phase = "new"  # a reset that fails half-way leaves no episode
        self._simulation.reset(0, self.np_random, source)
        self._phase = "running"
        self._read_metrics()
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._info(0, False, _NO_TERMS)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Carries out one decision; action 0 commits the slot.

        Raises:
            ResetNeeded: Before the first reset, and after the end of an episode.
            InvalidActionError: If the action is no integer of the action space.
        """
        if self._phase != "running":
            new = self._phase == "new"
            raise ResetNeeded("call reset() before step()" if new else "the episode is over; call reset()")
        self._actions[0] = action if type(action) is int and 0 <= action < self._count else self._checked(action)
        committed = self._simulation.step(self._actions)
        refused = self._refused.item()
        if not committed:
            self._facts["decisions"] += 1.0
            self._facts["refusals"] += refused
            return self._observe(), 0.0, False, False, self._info(0, refused, _NO_TERMS)
        self._read_metrics()
        reward, terms, slots, _, terminated, truncated, _ = self._outcome.item()
        if terminated or truncated:
            self._phase = "over"
        if self.render_mode == "human":
            self.render()
        self._terms.update(zip(TERMS, terms.tolist(), strict=True))
        return self._observe(), reward, terminated, truncated, self._info(slots, refused, self._terms)

    def _checked(self, action: Any) -> int:
        try:
            index = operator.index(action)
        except TypeError:
            index = -1
        if not 0 <= index < self._count or isinstance(action, (bool, np.bool_)):
            raise InvalidActionError(f"an action must be an integer from 0 to {self._count - 1}, not {action!r}")
        return index

    def _read_metrics(self) -> None:
        """Keeps the metrics as a mapping; between commits only the counts of decisions and refusals change."""
        self._facts.update(zip(METRICS, self._metrics.tolist(), strict=True))

    def _observe(self) -> Any:
        observation = self._observation.copy()
        if self._parts is None:
            return observation
        return {name: observation[part].reshape(shape) for name, part, shape in self._parts}

    def _info(self, slots: int, refused: bool, terms: dict[str, float]) -> dict[str, Any]:
        info = self._facts.copy()
        info["action_mask"] = self._mask.copy()
        info["slots_elapsed"] = slots
        info["refused"] = refused
        info["reward_terms"] = terms.copy()
        return info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, shape ``(actions,)``; the name that sb3-contrib looks for."""
        return self._mask.copy()

    def get_state(self) -> Snapshot:
        """Copies the cluster, hidden truth and all, for :meth:`set_state`; planning with it is an oracle's."""
        return self._simulation.snapshot()

    def set_state(self, snapshot: Snapshot) -> None:
        """Puts the cluster back to a moment that :meth:`get_state` copied; its future will be the same."""
        self._simulation.restore(snapshot)
        self._read_metrics()
        self._phase = "over" if self._simulation.states["hidden"]["over"][0] else "running"

    @property
    def public(self) -> np.ndarray:
        """All that a policy may know, as a structured array of shape ``(1,)``; treat it as read-only."""
        return np.asarray(self._simulation.states)["public"]

    @property
    def simulation(self) -> Simulation:
        """The simulated cluster itself, with its hidden part."""
        return self._simulation

    def render(self) -> Any:
        """Draws the cluster: text for ``ansi``, an array of shape ``(height, width, 3)`` for ``rgb_array``.

        With ``human`` a window shows it after every reset and every slot, and there is nothing to call.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render_mode; pass one to gym.make")
            return None
        if self._phase == "new":
            raise ResetNeeded("call reset() before render()")
        from psgym.envs.render import ImageRenderer, Window, draw_text, take_frame

        frame = take_frame(self)
        if self.render_mode == "ansi":
            return draw_text(frame)
        if self._renderer is None:
            self._renderer = ImageRenderer(self.config)
        image = self._renderer.draw(frame)
        if self.render_mode == "rgb_array":
            return image
        if self._window is None:
            self._window = Window(self.view.id, self.metadata["render_fps"])
        self._window.show(image)
        return None

    def close(self) -> None:
        """Lets go of the figure that images are drawn on, and closes the window."""
        self._renderer = None
        if self._window is not None:
            self._window.close()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickles everything but the views into the simulation and the figure."""
        return {key: value for key, value in self.__dict__.items() if key not in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores the environment in mid-episode."""
        self.__dict__.update(state)
        self._open_arrays()


_VIEWS = frozenset(
    (
        "_outcome",
        "_refused",
        "_observation",
        "_mask",
        "_metrics",
        "_facts",
        "_terms",
        "_parts",
        "_renderer",
        "_window",
    )
)


def _group_slices(config: ClusterConfig) -> list[tuple[str, slice, tuple[int, int]]]:
    parts, at = [], 0
    for group in groups(config):
        shape = (group.rows, len(group.features))
        parts.append((group.name, slice(at, at + shape[0] * shape[1]), shape))
        at += shape[0] * shape[1]
    return parts


@documented
class CapacityEnv(ClusterEnv):
    """How many nodes to power.

    ## Description

    How many compute nodes should be powered? The traffic that brings training jobs rises and falls; a node takes two
    minutes to boot, a drained one is billed until it is empty, and jobs that wait cost more than nodes that idle. The
    agent sees the forecast of the traffic and orders nodes up and down. Tasks are allocated by the rule
    `allocation_rule` and replicas managed by `replica_rule`.

    {actions}

    {observations}

    {rewards}

    {start}

    {end}

    {arguments}

    {versions}
    """

    view = CAPACITY


@documented
class ReplicasEnv(ClusterEnv):
    """Which copies of data to add and drop.

    ## Description

    Which datasets should have more copies, which fewer, and on which servers? Steady readers follow a Zipf law whose
    ranks drift; bursts of readers are announced, wait, and read one dataset until they have their bytes, for longer
    where they stall. Reads split evenly over the live copies of a dataset, so that a hot dataset with few copies
    overloads their servers. A copy takes bandwidth from readers, and space from the moment it starts. The agent adds
    and drops copies of the hottest and coldest datasets, every 30 seconds for 6 hours.

    {actions}

    {observations}

    {rewards}

    {start}

    {end}

    {arguments}

    {versions}
    """

    view = REPLICAS


@documented
class AllocationEnv(ClusterEnv):
    """Workers and parameter servers for each training job.

    ## Description

    How many workers and parameter servers should each training job have? More of them help at first and then slow the
    job down; every job's true curve differs from its kind's and shows only in its observed speed; a changed allocation
    costs a restart; tasks on several nodes talk slower and neighbours disturb each other. All nodes stay on; replicas
    are managed by the rule `replica_rule`.

    {actions}

    {observations}

    {rewards}

    {start}

    {end}

    {arguments}

    {versions}
    """

    view = ALLOCATION


@documented
class FullClusterEnv(ClusterEnv):
    """All three decisions together.

    ## Description

    The whole cluster: the agent powers nodes, copies and drops replicas, and gives workers and parameter servers to
    training jobs, in small decisions that end with a commit.

    {actions}

    {observations}

    {rewards}

    {start}

    {end}

    {arguments}

    {versions}
    """

    view = CLUSTER
