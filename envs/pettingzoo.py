"""The cluster as three agents: PettingZoo's parallel form of ``psgym/Cluster-v0``.

Importing this module imports PettingZoo (``pip install "psgym[examples]"``); nothing else in psgym does.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from psgym.envs.cluster.decide import COMMIT
from psgym.envs.cluster.records import TERMS
from psgym.envs.cluster.settings_record import action_counts
from psgym.envs.env import FullClusterEnv, InvalidActionError
from psgym.envs.settings import RESET_OPTIONS

AGENTS = ("capacity", "replicas", "allocation")
"""The agents, in the order in which their decisions of one parallel step are carried out."""


class ClusterParallelEnv(ParallelEnv[str, Any, Any]):  # type: ignore[misc] # PettingZoo has no types
    """Three agents that share one cluster and one reward.

    In a parallel step each agent takes one small decision: first the capacity agent's is carried out, then the replica
    agent's, then the allocation agent's. Action 0 commits an agent: it waits, its further actions are passed over,
    until all three have committed; then the slot advances. Other actions are those of ``psgym/Cluster-v0`` that
    belong to the agent, counted from 1. An action that was legal when the step began, but is not any more after the
    decisions before it, changes nothing. If the cluster commits the slot by itself (a third masked-out action, the last
    decision that a slot may have), it advances for all three.

    An agent observes ``{"observation": ..., "action_mask": ...}``: the whole cluster, and which of its own actions are
    legal, as ``action_space(agent).sample(mask)`` takes it; a waiting agent may only commit. Rewards are the cluster's,
    the same for all.

    Attributes:
        cluster: The environment behind it, a ``FullClusterEnv``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 as in ParallelEnv
        "name": "psgym_cluster_v0",
        "render_modes": FullClusterEnv.metadata["render_modes"],
        "render_fps": FullClusterEnv.metadata["render_fps"],
        "is_parallelizable": True,
    }

    def __init__(self, **arguments: Any) -> None:
        """Builds the cluster.

        Args:
            arguments: As for ``gym.make("psgym/Cluster-v0", ...)``.
        """
        self.cluster = FullClusterEnv(**arguments)
        self.render_mode = self.cluster.render_mode
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        self._first, first = {}, 1  # the cluster's number of each agent's action 1
        for agent, count in action_counts(self.cluster.config).items():
            self._first[agent] = first
            first += count
        self._actions = {
            agent: spaces.Discrete(1 + count) for agent, count in action_counts(self.cluster.config).items()
        }
        self._spaces = {agent: self._space(space) for agent, space in self._actions.items()}
        self._committed = dict.fromkeys(AGENTS, False)
        self._observation: Any = None
        self._info: dict[str, Any] = {}

    def _space(self, actions: spaces.Discrete) -> spaces.Dict:
        mask = spaces.Box(0, 1, (int(actions.n),), np.int8)
        return spaces.Dict({"observation": self.cluster.observation_space, "action_mask": mask})

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The observation of the cluster and the mask of the agent's actions."""
        return self._spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """COMMIT, then the agent's decisions."""
        return self._actions[agent]

    def action_mask(self, agent: str) -> NDArray[np.int8]:
        """Which of an agent's actions are legal now, shape ``(actions,)``, of the type that ``sample(mask)`` takes."""
        mask = np.zeros(self._actions[agent].n, np.int8)
        mask[COMMIT] = 1
        if not self._committed[agent]:
            first = self._first[agent]
            mask[1:] = self.cluster.action_masks()[first : first + len(mask) - 1]
        return mask

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draws a new episode; seed and options as for the cluster, but options that are not its own are passed over.

        PettingZoo's tools hand the same options to whatever environment they drive.
        """
        known = {key: value for key, value in (options or {}).items() if key in RESET_OPTIONS}
        self._observation, self._info = self.cluster.reset(seed=seed, options=known)
        self.agents = list(AGENTS)
        self._committed = dict.fromkeys(AGENTS, False)
        return self._observations(), self._infos()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Carries out one decision of each agent, or the commit that all of them have come to.

        Raises:
            InvalidActionError: If an action is no member of its agent's action space.
        """
        decisions = [self._decision(agent, actions[agent]) for agent in self.agents if not self._committed[agent]]
        legal = self.cluster.action_masks()
        self._info = {**self._info, "slots_elapsed": 0, "refused": False, "reward_terms": dict.fromkeys(TERMS, 0.0)}
        reward, terminated, truncated = 0.0, False, False
        for decision in decisions:
            # What was legal when the step began may not be after the decisions of the agents before.
            if decision == COMMIT or (legal[decision] and not self.cluster.action_masks()[decision]):
                continue
            self._observation, reward, terminated, truncated, self._info = self.cluster.step(decision)
            if self._info["slots_elapsed"]:
                break
        else:
            if all(self._committed.values()):
                self._observation, reward, terminated, truncated, self._info = self.cluster.step(COMMIT)
        if self._info["slots_elapsed"]:
            self._committed = dict.fromkeys(AGENTS, False)
        observations, infos = self._observations(), self._infos()
        rewards = dict.fromkeys(self.agents, reward)
        terminations, truncations = (dict.fromkeys(self.agents, ended) for ended in (terminated, truncated))
        if terminated or truncated:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def _decision(self, agent: str, action: Any) -> int:
        """The cluster's number of an agent's action; COMMIT is noted, and left to the end of the step."""
        if not self.action_space(agent).contains(action):
            raise InvalidActionError(f"the action of {agent!r} must be in {self.action_space(agent)}, not {action!r}")
        self._committed[agent] = int(action) == COMMIT
        return COMMIT if self._committed[agent] else self._first[agent] + int(action) - 1

    def _observations(self) -> dict[str, Any]:
        return {
            agent: {"observation": copy.deepcopy(self._observation), "action_mask": self.action_mask(agent)}
            for agent in self.agents
        }

    def _infos(self) -> dict[str, Any]:
        return {agent: {**self._info, "action_mask": self.action_mask(agent)} for agent in self.agents}

    def state(self) -> Any:
        """What all agents together know: the observation of the cluster."""
        return copy.deepcopy(self._observation)

    def render(self) -> Any:
        """Draws the cluster in its render mode."""
        return self.cluster.render()

    def close(self) -> None:
        """Lets go of the cluster's figure."""
        self.cluster.close()


def parallel_env(**arguments: Any) -> ClusterParallelEnv:
    """Makes the environment, under the name that PettingZoo's tools look for."""
    return ClusterParallelEnv(**arguments)
