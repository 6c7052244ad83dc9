"""Rollout buffers that discount by the slot: 1 between the decisions of a slot, gamma at its commit.

Rewards are negative and come with commits, so a discount per decision would pay for wasting decisions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableRolloutBuffer
from stable_baselines3.common.buffers import BaseBuffer, DictRolloutBuffer, RolloutBuffer

from psgym.agents.sb3 import ClusterVecEnv

DECISION_LAMBDA = 0.99
"""Trace decay of advantages between the decisions of a slot; at a commit it is the algorithm's `gae_lambda`."""


class _PerSlot(BaseBuffer):
    """Replaces the advantages of SB3's buffer: gamma and lambda apply where a slot has passed."""

    env: ClusterVecEnv | None = None
    gamma: float
    gae_lambda: float
    rewards: NDArray[np.float32]
    values: NDArray[np.float32]
    episode_starts: NDArray[np.float32]

    def watch(self, env: ClusterVecEnv) -> None:
        """Name the environment whose decisions fill the buffer; it tells which of them committed."""
        self.env = env

    def reset(self) -> None:
        self.slots = np.zeros((self.buffer_size, self.n_envs), np.int64)
        super().reset()

    def add(self, *arguments: Any, **named: Any) -> None:
        assert self.env is not None, "call watch() before the first rollout"
        self.slots[self.pos] = self.env.slots_elapsed
        super().add(*arguments, **named)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        following = last_values.cpu().numpy().flatten()
        self.advantages, self.returns = slot_advantages(
            self.rewards, self.values, self.slots, np.vstack([self.episode_starts[1:], dones]), following,
            self.gamma, self.gae_lambda,
        )  # fmt: skip


def slot_advantages(
    rewards: NDArray[Any],
    values: NDArray[Any],
    slots: NDArray[Any],
    dones: NDArray[Any],
    last_values: NDArray[Any],
    gamma: float,
    gae_lambda: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return generalised advantages (Schulman et al., ICLR 2016) and returns, with time measured in slots.

    Args:
        rewards: Shape ``(steps, clusters)``, like all of the following.
        values: Estimated return at each decision.
        slots: 1 where the decision committed a slot.
        dones: 1 where the episode ended with the decision.
        last_values: Estimated return after the last decision, shape ``(clusters,)``.
        gamma: Discount of a slot.
        gae_lambda: Trace decay of a slot.
    """
    discounts = np.where(slots > 0, gamma, 1.0) * (1.0 - dones)
    decays = discounts * np.where(slots > 0, gae_lambda, DECISION_LAMBDA)
    errors = rewards + discounts * np.vstack([values[1:], last_values[None]]) - values
    advantages = np.zeros_like(rewards, dtype=np.float32)
    ahead = np.zeros_like(last_values)
    for step in reversed(range(len(rewards))):
        ahead = errors[step] + decays[step] * ahead
        advantages[step] = ahead
    return advantages, advantages + values


class SlotRolloutBuffer(_PerSlot, RolloutBuffer):
    """For PPO and A2C."""


class SlotDictRolloutBuffer(_PerSlot, DictRolloutBuffer):
    """For PPO and A2C on the structured observation."""


class MaskableSlotRolloutBuffer(_PerSlot, MaskableRolloutBuffer):
    """For MaskablePPO."""


class MaskableSlotDictRolloutBuffer(_PerSlot, MaskableDictRolloutBuffer):
    """For MaskablePPO on the structured observation."""


def buffer_class(maskable: bool, structured: bool) -> type[RolloutBuffer]:
    """Return the buffer for an algorithm and an observation."""
    if maskable:
        return MaskableSlotDictRolloutBuffer if structured else MaskableSlotRolloutBuffer
    return SlotDictRolloutBuffer if structured else SlotRolloutBuffer
