"""What a policy is: whatever has SB3's ``predict``; and the base of those that read a simulation directly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.decide import COMMIT
from psgym.envs.simulation import Simulation

Observation: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
Actions: TypeAlias = NDArray[np.int64]


class Policy(Protocol):
    """Whatever decides: a rule, or a model of SB3."""

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, Any]:
        """Return one action for each cluster, and the policy's own state."""
        ...


class BoundPolicy(ABC):
    """A policy that is bound to an environment: it decides from the simulated clusters, not from what it is shown."""

    def __init__(self, env: Any) -> None:
        """Binds the policy to an environment, single and wrapped, vector, or SB3's; or to simulated clusters."""
        self.simulation = simulation_of(env)

    @abstractmethod
    def decide(self, actions: Actions) -> None:
        """Writes the next action of every cluster; where it writes none, that is COMMIT."""

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, Any]:
        """Return the next action of every cluster; of a single one where the observation is that of a single one."""
        actions = np.full(self.simulation.count, COMMIT, np.int64)
        self.decide(actions)
        return (actions[0] if is_single(observation) else actions), state


class EpisodeGenerators:
    """A random generator for each cluster, a new one with each episode.

    What is drawn on a day so depends on no other day of the batch, nor on which worker lives through it.
    """

    def __init__(self, simulation: Simulation, seed: int) -> None:
        """Takes the clusters, and the seed that with an episode's fixes its draws."""
        self._simulation, self._seed = simulation, seed
        self._keys = np.zeros(simulation.count, np.uint64)
        self._found = [np.random.default_rng(seed)] * simulation.count

    def current(self) -> list[np.random.Generator]:
        """Return the generators of the episodes that the clusters live through now."""
        keys = self._simulation.scenarios["key"]
        for index in np.flatnonzero(keys != self._keys).tolist():
            self._found[index] = np.random.default_rng((self._seed, int(keys[index])))
        self._keys[:] = keys
        return self._found


def simulation_of(env: Any) -> Simulation:
    """Return the simulated clusters of an environment: single and wrapped, vector, or SB3's.

    Raises:
        TypeError: If the environment is not one of psgym.
    """
    found = env if isinstance(env, Simulation) else getattr(getattr(env, "unwrapped", env), "simulation", None)
    if not isinstance(found, Simulation):
        raise TypeError(f"a policy can be bound to an environment of psgym, not to {env!r}")
    return found


def is_single(observation: Observation) -> bool:
    """Return whether an observation is that of one cluster and not of a batch."""
    if isinstance(observation, Mapping):
        return next(iter(observation.values())).ndim == 2
    return observation.ndim == 1
