"""A network as a policy: SB3's ``predict`` without SB3's models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from psgym.agents.networks.entities import EntityNetwork
from psgym.agents.policy import Actions, Observation, is_single, simulation_of


class NetworkPolicy:
    """Decides by a network's logits: the largest legal one, or a draw."""

    def __init__(self, network: EntityNetwork, env: Any = None, seed: int = 0) -> None:
        """Takes a network, and the environment whose masks it is shown.

        Args:
            network: The network.
            env: An environment of psgym; without one, masks come with each call of `predict`.
            seed: Seed of the draws where decisions are not deterministic.
        """
        self.network = network.eval()
        self._simulation = None if env is None else simulation_of(env)
        self._rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
        action_masks: NDArray[np.bool_] | None = None,
    ) -> tuple[Actions, Any]:
        """Return an action for each cluster.

        Args:
            observation: One observation or a batch, flat or structured.
            state: Returned as it is; the policy has no memory.
            episode_start: Not used.
            deterministic: Take the largest logit instead of drawing by probability.
            action_masks: ``env.action_masks()``; of the environment that the policy was bound to if None.
        """
        single = is_single(observation)
        with torch.no_grad():
            logits = self.network(_batch(observation, single)).numpy()
        masks = action_masks if action_masks is not None or self._simulation is None else self._simulation.masks
        if masks is not None:
            logits = np.where(np.reshape(masks, logits.shape), logits, -np.inf)
        if not deterministic:  # adding Gumbel noise and taking the largest draws from the softmax
            logits = logits + self._rng.gumbel(size=logits.shape)
        actions = logits.argmax(axis=1)
        return actions[0] if single else actions, state


def _batch(observation: Observation, single: bool) -> Any:
    if isinstance(observation, Mapping):
        return {name: torch.from_numpy(rows[None] if single else rows) for name, rows in observation.items()}
    return torch.from_numpy(observation[None] if single else observation)
