"""Learns to decide as a heuristic does, on the states that the learner itself leads to.

Dataset aggregation (Ross et al., "A reduction of imitation learning and structured prediction to no-regret online
learning", AISTATS 2011): the teacher leads in the first rounds, the learner in more and more of the copies after that,
and in every round the teacher says what it would do. A clone of its teacher's states alone drifts away from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from psgym.agents.discount import slot_advantages
from psgym.agents.networks.entities import Critic, EntityNetwork
from psgym.agents.policy import Policy
from psgym.agents.sb3 import ClusterVecEnv

MOST_QUIET = 2
"""Legal actions of a slot in which nothing is planned: COMMIT and REPLAN."""


@dataclass(frozen=True)
class Cloning:
    """How long to imitate, and how."""

    rounds: int = 12
    """Rounds of collecting and fitting."""
    decisions: int = 16_000
    """Decisions of a round, over all copies."""
    updates: int = 250
    """Steps of the optimiser in a round."""
    memory: int = 120_000
    """Newest decisions that are kept."""
    batch_size: int = 512
    learning_rate: float = 2e-3
    """At the start; it falls to a tenth by the last round."""
    quiet_share: float = 0.1
    """Share of the slots without a plan that is learned from; there is hardly anything to decide in them."""

    def __post_init__(self) -> None:
        for name in ("rounds", "decisions", "updates", "memory", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"cloning: {name} must be at least 1, not {getattr(self, name)!r}")


class _Memory:
    """The newest observations, masks, and what the teacher did."""

    def __init__(self, size: int, observation: int, actions: int) -> None:
        self._observations = np.zeros((size, observation), np.float16)
        self._masks = np.zeros((size, actions), np.bool_)
        self._actions = np.zeros(size, np.int64)
        self._next, self.count = 0, 0

    def add(self, observations: NDArray[Any], masks: NDArray[Any], actions: NDArray[Any]) -> None:
        """Keep some decisions in the places of the oldest."""
        size = len(self._actions)
        at = (self._next + np.arange(len(actions))) % size
        self._observations[at], self._masks[at], self._actions[at] = observations, masks, actions
        self._next = (self._next + len(actions)) % size
        self.count = min(size, self.count + len(actions))

    def take(self, places: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the decisions at some places."""
        return (
            torch.from_numpy(self._observations[places].astype(np.float32)),
            torch.from_numpy(self._masks[places]),
            torch.from_numpy(self._actions[places]),
        )


def _learner_share(progress: float) -> float:
    """Share of the copies that the learner leads: none in the first quarter, all in the last."""
    return min(1.0, max(0.0, 2.0 * (progress - 0.25)))


class Cloner:
    """Fits a network to a teacher, round by round."""

    def __init__(
        self, network: EntityNetwork, critic: Critic, envs: ClusterVecEnv, teacher: Policy, cloning: Cloning, seed: int
    ) -> None:
        """Binds learner and teacher to the clusters on which they meet."""
        self._network, self._critic, self._envs, self._teacher = network, critic, envs, teacher
        self._cloning, self._seed = cloning, seed
        simulation = envs.simulation
        self._memory = _Memory(cloning.memory, simulation.observations.shape[1], simulation.actions)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=cloning.learning_rate)
        self.decisions = 0

    def run_round(self, number: int) -> dict[str, float]:
        """Collect decisions and fit the network to them.

        Returns:
            The mean ``loss``, the share of decisions on which the learner ``agrees`` with its teacher before it is
            fitted to them (of those slots that are planned), and the ``reward`` of a slot.
        """
        rng = np.random.default_rng([self._seed, number])
        progress = number / max(1, self._cloning.rounds - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self._cloning.learning_rate * (1.0 - 0.9 * progress)
        found = self._collect(rng, learner_share=_learner_share(progress))
        found["loss"] = self._fit(rng)
        return found

    def _collect(self, rng: np.random.Generator, learner_share: float) -> dict[str, float]:
        envs, simulation, keep = self._envs, self._envs.simulation, self._cloning.quiet_share
        led = rng.random(envs.num_envs) < learner_share
        agreed, planned, total, slots = 0, 0, 0.0, 0
        for _ in range(max(1, self._cloning.decisions // envs.num_envs)):
            observations, masks = simulation.observations, simulation.masks
            right, _ = self._teacher.predict(observations)
            actions = right.copy()
            busy = masks.sum(1) > MOST_QUIET
            if learner_share > 0.0:
                with torch.no_grad():
                    logits = self._network(torch.from_numpy(observations)).numpy()
                guess = np.where(masks, logits, -np.inf).argmax(1)
                agreed, planned = agreed + int((guess == right)[busy].sum()), planned + int(busy.sum())
                actions[led] = guess[led]
            kept = busy | (rng.random(envs.num_envs) < keep)
            self._memory.add(observations[kept], masks[kept], right[kept])
            _, rewards, _, _ = envs.step(actions)
            total, slots = total + float(rewards.sum()), slots + int(envs.slots_elapsed.sum())
            self.decisions += envs.num_envs
        return {"agreement": agreed / planned if planned else 0.0, "reward": total / max(1, slots)}

    def _fit(self, rng: np.random.Generator) -> float:
        losses = []
        for _ in range(self._cloning.updates):
            observations, masks, actions = self._memory.take(
                rng.integers(self._memory.count, size=self._cloning.batch_size)
            )
            logits = self._network(observations).masked_fill(~masks, -1e8)
            loss = functional.cross_entropy(logits, actions)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self.optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def fit_critic(self, slots: int, gamma: float, passes: int = 8) -> float:
        """Scale and fit the critic to the returns of the learner over some slots; return the explained variance."""
        envs, simulation = self._envs, self._envs.simulation
        pooled: list[torch.Tensor] = []
        rewards: list[NDArray[Any]] = []
        elapsed: list[NDArray[Any]] = []
        dones: list[NDArray[Any]] = []
        while sum(step.mean() for step in elapsed) < slots:
            with torch.no_grad():
                found = self._network.embed(torch.from_numpy(simulation.observations))
                logits = self._network.heads(found).numpy()
            pooled.append(found["pooled"])
            _, reward, done, _ = envs.step(np.where(simulation.masks, logits, -np.inf).argmax(1))
            self.decisions += envs.num_envs
            rewards.append(reward)
            elapsed.append(envs.slots_elapsed.copy())
            dones.append(done)
        rows = np.array(rewards)
        beyond = np.full(envs.num_envs, rows.sum() / max(1, np.sum(elapsed)) / (1.0 - gamma))
        zeros = np.zeros_like(rows)
        returns = slot_advantages(rows, zeros, np.array(elapsed), np.array(dones), beyond, gamma, 1.0)[1]
        targets, inputs = torch.from_numpy(returns).flatten(), torch.cat(pooled)
        self._critic.scale_to(targets)
        optimizer = torch.optim.Adam(self._critic.layers.parameters(), lr=1e-3)
        rng = np.random.default_rng([self._seed, self._cloning.rounds])
        for _ in range(passes):
            for places in np.array_split(rng.permutation(len(targets)), max(1, len(targets) // 2048)):
                error = (self._critic(inputs[places])[:, 0] - targets[places]) / self._critic.spread
                optimizer.zero_grad()
                error.square().mean().backward()
                optimizer.step()
        with torch.no_grad():
            left = self._critic(inputs)[:, 0] - targets
        return float(1.0 - left.var() / targets.var().clamp(min=1e-12))
