"""A batch of simulated clusters: the arrays that the kernels work on, and resets. A single one is a batch of 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.accesses import LoggedPopularity
from psgym.envs.cluster.batch import TO_OPEN, TO_SHOW, advance_batch, decide_batch
from psgym.envs.cluster.config import ClusterConfig, ConfigError
from psgym.envs.cluster.features import observation_size
from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import OUTCOME, allocate, dtypes, for_kernels
from psgym.envs.cluster.scenario import begin_episode
from psgym.envs.cluster.settings_record import write_settings
from psgym.envs.forecasts import ForecastSource, SeasonalForecasts
from psgym.envs.job_days import write_jobs
from psgym.envs.traffic import TrafficDay, TrafficSource

_NO_LOG = np.zeros((0, 0))
"""Popularity without a log: drawn from Zipf's law."""


@dataclass(frozen=True)
class Snapshot:
    """A cluster at one moment: a copy of its state, and the scenario, which all snapshots of an episode share."""

    state: np.ndarray
    scenario: np.ndarray
    metrics: NDArray[np.float64]
    """As they were last written: between commits they tell of the slot that has ended."""


class Simulation:
    """``count`` clusters of one configuration.

    Attributes:
        observations: float32, shape ``(count, observation_size(config))``; kept up to date in place.
        masks: bool, shape ``(count, actions)``; which actions are legal.
        metrics: float64, shape ``(count, len(METRICS))``.
        outcomes: structured array of shape ``(count,)``; what the last decision of each brought.
        states, scenarios: structured arrays of shape ``(count,)``.
    """

    def __init__(
        self,
        config: ClusterConfig,
        decides: frozenset[str],
        rewarded: tuple[str, ...],
        source: TrafficSource,
        count: int = 1,
        forecasts: ForecastSource | None = None,
        popularity: LoggedPopularity | None = None,
    ) -> None:
        """Allocates the arrays; nothing is drawn before ``reset``."""
        self.config = config
        self.source = source
        self.forecasts = forecasts or SeasonalForecasts()
        self.popularity = popularity
        self.count = count
        self.states, self.scenarios = allocate(config, count)
        for index in range(count):
            write_settings(self.states["public"]["settings"][index], config, decides, rewarded)
        self.actions = int(self.states["public"]["settings"]["actions"][0])
        self.observations = np.zeros((count, observation_size(config)), np.float32)
        self.masks = np.zeros((count, self.actions), np.bool_)
        self.metrics = np.zeros((len(METRICS), count)).T  # a metric of all clusters lies in one piece
        self.outcomes = for_kernels(np.zeros(count, OUTCOME))
        self._episodes: list[np.ndarray | None] = [None] * count  # copies of scenarios, made by a first snapshot
        self._keep_template()

    def _keep_template(self) -> None:
        """Remembers the bytes of a cluster before its first slot, up to the long arrays at the end of each part."""
        public, hidden = self.states.dtype["public"], self.states.dtype["hidden"]
        assert public.fields is not None
        assert hidden.fields is not None
        assert self.states.dtype.fields is not None
        hidden_start = self.states.dtype.fields["hidden"][1]
        self._parts = (
            slice(0, public.fields["jobs"][1]),
            slice(hidden_start, hidden_start + hidden.fields["completion"][1]),
        )
        raw = self._bytes()
        self._template = tuple(raw[0, part].copy() for part in self._parts)

    def _bytes(self) -> NDArray[np.uint8]:
        return np.asarray(self.states).view(np.uint8).reshape(self.count, -1)

    def _clear(self, index: int) -> None:
        """Zeroes what the last episode used; pages that no episode has touched stay untouched."""
        known, drawn = int(self.states["public"]["known_jobs"][index]), int(self.scenarios["job_count"][index])
        public, hidden = self.states["public"], self.states["hidden"]
        bursts = int(self.scenarios["burst_count"][index])
        drawn_at = self.scenarios["jobs"], self.scenarios["bursts"]
        arrays = (public["jobs"], hidden["jobs"], hidden["completion"], *drawn_at)
        for array, used in zip(arrays, (known, known, known, drawn, bursts), strict=True):
            np.asarray(array)[index, :used].view(np.uint8)[:] = 0
        raw = self._bytes()
        for part, template in zip(self._parts, self._template, strict=True):
            raw[index, part] = template

    def reset(self, index: int, rng: np.random.Generator, source: TrafficSource | None = None) -> TrafficDay:
        """Draws an episode for one cluster and opens its first slot.

        Raises:
            ConfigError: If more jobs arrive than ``max_jobs``.
            TrafficError: If the traffic cannot fill an episode.
        """
        day = (source or self.source).sample(rng, self.config)
        self._episodes[index] = None
        self._clear(index)
        scenario = self.scenarios[index]
        slots = self.config.slots
        scenario["traffic"][:] = day.values[day.first - 1 : day.first + slots]
        scenario["first_slot_of_day"], scenario["day"] = day.slot_of_day, day.day
        self.forecasts.write(day, self.config, scenario["forecast"])
        popularity = _NO_LOG
        if self.popularity is not None:
            logged = self.popularity.sample(rng, self.config)
            scenario["first_slot_of_day"], scenario["day"] = logged.slot_of_day, logged.day
            popularity = logged.share
        complete = begin_episode(self.states, self.scenarios, index, rng, popularity)
        if day.jobs is not None:
            write_jobs(scenario, day.jobs, self.config, rng)
        elif not complete:
            raise ConfigError(f"more than max_jobs={self.config.max_jobs} jobs arrive in this episode; raise max_jobs")
        np.asarray(self.outcomes)[index] = np.zeros((), OUTCOME)
        self._show(index, TO_OPEN)
        return day

    def refresh(self, index: int) -> None:
        """Writes observation, mask and metrics of one cluster anew."""
        self._show(index, TO_SHOW)

    def _show(self, index: int, pending: int) -> None:
        self.outcomes["pending"][index] = pending
        self._advance(index, index + 1)

    def _advance(self, first: int, last: int) -> None:
        shown = self.observations, self.masks, self.metrics, self.outcomes
        advance_batch(self.states, self.scenarios, *shown, first, last)

    def step(self, actions: NDArray[np.int64]) -> bool:
        """Carries out one decision in every cluster whose action is not negative; True if any committed its slot."""
        committed: bool = decide_batch(self.states, actions, self.observations, self.masks, self.metrics, self.outcomes)
        if committed:
            self._advance(0, self.count)
        return committed

    def snapshot(self, index: int = 0) -> Snapshot:
        """Copies one cluster."""
        part = slice(index, index + 1)
        scenario = self._episodes[index]
        if scenario is None:
            scenario = self._episodes[index] = self.scenarios[part].copy()
        return Snapshot(self.states[part].copy(), scenario, self.metrics[index].copy())

    def restore(self, snapshot: Snapshot, index: int = 0) -> None:
        """Puts a copied cluster in the place of one.

        Raises:
            ValueError: If the snapshot is of a cluster of another configuration or view.
        """
        if snapshot.state.dtype != self.states.dtype or snapshot.scenario.dtype != self.scenarios.dtype:
            raise ValueError("the snapshot is of a cluster of another shape; its configuration differs from this one's")
        ours, theirs = (np.asarray(states)["public"]["settings"][0] for states in (self.states, snapshot.state))
        if ours != theirs:
            names = ", ".join(name for name in ours.dtype.names if np.any(ours[name] != theirs[name]))
            raise ValueError(f"the snapshot is of a cluster of other settings; these differ: {names}")
        self.states[index : index + 1] = snapshot.state
        if self._episodes[index] is not snapshot.scenario:
            self.scenarios[index : index + 1] = snapshot.scenario
            self._episodes[index] = snapshot.scenario
        self.refresh(index)
        self.metrics[index] = snapshot.metrics

    def __getstate__(self) -> dict[str, Any]:
        """Pickles plain arrays; ``__setstate__`` puts back what the kernels want."""
        state, scenario = dtypes(self.config)
        plain = {"states": state, "scenarios": scenario, "outcomes": OUTCOME}
        arrays = {name: getattr(self, name).view(dtype) for name, dtype in plain.items()}
        return self.__dict__ | arrays | {"_episodes": [None] * self.count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores the arrays in the form that the kernels want."""
        self.__dict__.update(state)
        types = dict(zip(("states", "scenarios"), dtypes(self.config), strict=True), outcomes=OUTCOME)
        for name, dtype in types.items():
            setattr(self, name, for_kernels(getattr(self, name).view(dtype)))
