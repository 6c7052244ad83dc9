"""Improves a policy network by evolution of its last layers, on the same days for every member of a population.

Arrivals differ more between days than policies do on one day, and drown what single episodes tell a gradient; members
that live through the same days are compared in pairs. The search is the cross-entropy method (Rubinstein, Methodology
and Computing in Applied Probability 1999) with spread that fades (Szita and Lorincz, Neural Computation 2006). It moves
each head along the first principal directions of what the head sees, scaled to its spread there, so that a unit step
moves logits by about one, and 32 members are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

from psgym.agents.networks.entities import EntityNetwork, Heads
from psgym.agents.seeds import Part, episode_seeds
from psgym.envs.vector import ClusterVectorEnv

Array = NDArray[np.float64]

ELITE_SHARE = 0.25
SMOOTHING = 0.6
"""Weight of an iteration's elite in the next centre and spread."""
EXTRA_SPREAD = 0.3
"""Extra spread of the first iteration, as a share of the first spread; it falls to 0 by the last."""


@dataclass(frozen=True)
class Evolution:
    """How long to search, and where."""

    iterations: int = 12
    population: int = 32
    days: int = 8
    """Fresh training days of an iteration, the same for every member."""
    directions: int = 6
    """Principal directions of a head that are searched."""
    spread: float = 0.5
    """Standard deviation of the first steps, in logits."""
    validation_days: int = 24
    """Days that choose among the centres that the search went through, the start among them."""

    def __post_init__(self) -> None:
        for name in ("iterations", "days", "directions", "validation_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"evolution: {name} must be at least 1, not {getattr(self, name)!r}")
        if self.population < 4:
            raise ValueError(f"evolution: population must be at least 4, not {self.population!r}")


@dataclass
class Search:
    """Where a search stands."""

    centre: Array
    spread: Array
    centres: list[Array] = field(default_factory=list)


class Basis:
    """Directions in which the heads of a network are moved."""

    def __init__(self, heads: Heads, hidden: Mapping[str, Tensor], directions: int) -> None:
        """Finds the directions from embeddings that the heads have seen."""
        self._start = {name: tensor.detach().clone() for name, tensor in heads.named_parameters()}
        self._maps: dict[str, Tensor] = {}
        for name, _ in heads.named_children():
            seen = hidden[name if name in ("jobs", "replicas") else "context"]
            self._maps[name] = _whitened(seen.flatten(0, -2), directions)
        self._outputs = {name: len(self._start[f"{name}.bias"]) for name in self._maps}
        self.size = sum(self._outputs[name] * len(basis) for name, basis in self._maps.items())

    def parameters(self, steps: Array) -> dict[str, Tensor]:
        """Return the heads' parameters for each row of steps, stacked."""
        found, first, left = {}, 0, torch.from_numpy(steps).float()
        for name, basis in self._maps.items():
            outputs = self._outputs[name]
            taken = left[:, first : first + outputs * len(basis)].reshape(len(left), outputs, len(basis))
            moved = taken @ basis  # members, outputs, weights and bias
            found[f"{name}.weight"] = self._start[f"{name}.weight"] + moved[..., :-1]
            found[f"{name}.bias"] = self._start[f"{name}.bias"] + moved[..., -1]
            first += outputs * len(basis)
        return found


def _whitened(seen: Tensor, directions: int) -> Tensor:
    """Return rows of weights and a bias: projections of variance 1 and mean 0, and a constant."""
    mean = seen.mean(0)
    _, spreads, axes = torch.linalg.svd(seen - mean, full_matrices=False)
    spreads = spreads / len(seen) ** 0.5
    kept = (spreads > 1e-3 * spreads[0]) & (torch.arange(len(spreads)) < directions)
    weights = axes[kept] / spreads[kept, None]
    constant = torch.zeros(1, len(mean) + 1)
    constant[0, -1] = 1.0
    return torch.cat([torch.cat([weights, -(weights @ mean)[:, None]], 1), constant])


class Evolver:
    """Runs the search."""

    def __init__(
        self, network: EntityNetwork, view_id: str, arguments: Mapping[str, Any], evolution: Evolution, seed: int
    ) -> None:
        """Takes the network to improve, and the clusters to improve it on.

        Args:
            network: The network; `finish` moves its heads.
            view_id: Id of the environment.
            arguments: Arguments of the environments: preset, traffic, fields of the configuration.
            evolution: How long to search.
            seed: Seed of days and steps.
        """
        self._network, self._view, self._arguments = network, view_id, dict(arguments)
        self._evolution, self._seed = evolution, seed
        self._envs: dict[tuple[int, str], ClusterVectorEnv] = {}
        self._basis = Basis(network.heads, self._sample(), evolution.directions)
        self.search = Search(np.zeros(self._basis.size), np.full(self._basis.size, evolution.spread))
        self.decisions = 0

    def _seeds(self, part: Part, iteration: int, count: int) -> list[int]:
        days = self._evolution.days
        if part == "train":
            return episode_seeds(part, self._seed, days * (self._evolution.iterations + 1))[days * iteration :][:count]
        return episode_seeds(part, self._seed, count)

    def _env(self, count: int, part: Part) -> ClusterVectorEnv:
        if (count, part) not in self._envs:
            self._envs[count, part] = ClusterVectorEnv(
                count, self._view, part=part, autoreset_mode=AutoresetMode.DISABLED, **self._arguments
            )
        return self._envs[count, part]

    def _sample(self) -> dict[str, Tensor]:
        """Return embeddings of what the heads see along days of the network's own."""
        env = self._env(self._evolution.days, "train")
        env.reset(seed=self._seeds("train", self._evolution.iterations, self._evolution.days))
        found: list[dict[str, Tensor]] = []
        over, decision = np.zeros(env.num_envs, np.bool_), 0
        while not over.all():
            with torch.no_grad():
                hidden = self._network.embed(torch.from_numpy(env.simulation.observations))
                logits = self._network.heads(hidden).numpy()
            if decision % 16 == 0:
                found.append({name: rows for name, rows in hidden.items() if name != "pooled"})
            actions = np.where(env.simulation.masks, logits, -np.inf).argmax(1)
            _, _, terminated, truncated, _ = env.step(actions)
            over, decision = terminated | truncated, decision + 1
        return {name: torch.cat([hidden[name] for hidden in found]) for name in found[0]}

    def returns(self, steps: Array, part: Part, seeds: list[int]) -> Array:
        """Return the summed reward of each row of steps on each day, shape ``(rows, days)``."""
        members, count = len(steps), len(seeds)
        env = self._env(members * count, part)
        env.reset(seed=seeds * members)
        parameters = self._basis.parameters(steps)
        heads, simulation = self._network.heads, env.simulation
        play = vmap(lambda one, hidden: functional_call(heads, one, (hidden,)))
        total, over = np.zeros(members * count), np.zeros(members * count, np.bool_)
        while not over.all():
            with torch.no_grad():
                hidden = self._network.embed(torch.from_numpy(simulation.observations))
                grouped = {name: rows.reshape(members, count, *rows.shape[1:]) for name, rows in hidden.items()}
                logits = play(parameters, grouped).flatten(0, 1).numpy()
            self.decisions += int((~over).sum())
            _, rewards, terminated, truncated, _ = env.step(np.where(simulation.masks, logits, -np.inf).argmax(1))
            total, over = total + rewards, terminated | truncated
        return total.reshape(members, count)

    def run_iteration(self, number: int) -> dict[str, float]:
        """Draw members around the centre, and move it to the best of them.

        Returns:
            Mean reward of the ``centre``, of the ``elite``, and the mean ``spread`` of the next iteration.
        """
        evolution, search = self._evolution, self.search
        rng = np.random.default_rng([self._seed, number, 1])
        half = rng.standard_normal((evolution.population // 2, self._basis.size))
        steps = search.centre + search.spread * np.vstack([half, -half])
        steps[0] = search.centre
        rewards = self.returns(steps, "train", self._seeds("train", number, evolution.days))
        scores = (rewards / np.abs(rewards).mean(0).clip(min=1e-9)).mean(1)
        elite = steps[np.argsort(-scores)[: max(2, round(ELITE_SHARE * len(steps)))]]
        search.centre = SMOOTHING * elite.mean(0) + (1.0 - SMOOTHING) * search.centre
        extra = EXTRA_SPREAD * evolution.spread * max(0.0, 1.0 - (number + 1) / evolution.iterations)
        search.spread = SMOOTHING * np.hypot(elite.std(0), extra) + (1.0 - SMOOTHING) * search.spread
        search.centres.append(search.centre.copy())
        return {
            "centre": float(rewards[0].mean()),
            "elite": float(rewards[np.argsort(-scores)[: len(elite)]].mean()),
            "spread": float(search.spread.mean()),
        }

    def finish(self) -> dict[str, float]:
        """Choose the best of the newest centres and the start by validation days, and move the heads there."""
        candidates = np.array([np.zeros(self._basis.size), *self.search.centres[-3:]])
        count = self._evolution.validation_days
        rewards = self.returns(candidates, "validation", self._seeds("validation", 0, count))
        means = rewards.mean(1)
        best = int(means.argmax())
        chosen = self._basis.parameters(candidates[best : best + 1])
        with torch.no_grad():
            for name, parameter in self._network.heads.named_parameters():
                parameter.copy_(chosen[name][0])
        paired = rewards[best] - rewards[0]
        return {
            "start": float(means[0]),
            "chosen": float(means[best]),
            "gain": float(means[best] / means[0] - 1.0),
            "gain_error": float(paired.std(ddof=1) / np.sqrt(count) / abs(means[0])) if count > 1 else 0.0,
        }
