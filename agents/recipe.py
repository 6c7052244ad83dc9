"""A policy network that clones a heuristic, and is then improved where that is wanted: the stages, and their states.

`clone` only imitates. `clone-cem` goes on with the cross-entropy method on the network's last layers, on the same days
for every member of its population (`psgym.agents.evolution`); `clone-ppo` with MaskablePPO (`psgym.agents.training`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from psgym.agents.cloning import Cloner, Cloning
from psgym.agents.evolution import Evolution, Evolver
from psgym.agents.policies import REFERENCES, make_policy
from psgym.agents.sb3 import ClusterVecEnv

RECIPES = ("clone", "clone-cem", "clone-ppo")


@dataclass(frozen=True)
class Recipe:
    """What precedes or replaces reinforcement learning."""

    teacher: str = ""
    """Heuristic to clone; the id's reference if empty."""
    cloning: Cloning = field(default_factory=Cloning)
    evolution: Evolution | None = None
    """None: no improvement after cloning."""

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any], algo: str) -> Recipe:
        """Build a recipe from a configuration's section.

        Raises:
            ValueError: If it has an unknown field or a value out of range.
        """
        known = {"teacher", "cloning", "evolution", "search"}  # the last is that of psgym.agents.search
        if unknown := set(found) - known:
            raise ValueError(f"recipe: unknown field {min(unknown)!r}; there are {', '.join(sorted(known))}")
        try:
            evolution = Evolution(**found.get("evolution", {})) if algo == "clone-cem" else None
            return cls(found.get("teacher", ""), Cloning(**found.get("cloning", {})), evolution)
        except TypeError as error:
            raise ValueError(f"recipe: {error}") from None


Report = Callable[[str, dict[str, float], dict[str, Any]], bool]
"""Told of each finished piece of work: the stage's name, what was measured, and the state to go on from; returns
whether to go on."""


class Cook:
    """Carries out a recipe, and can go on from any piece of it."""

    def __init__(
        self, model: Any, envs: ClusterVecEnv, recipe: Recipe, seed: int, arguments: Mapping[str, Any]
    ) -> None:
        """Takes the model whose policy learns, and the clusters; `arguments` build more of them."""
        self._model, self._envs, self._recipe, self._seed = model, envs, recipe, seed
        self._arguments = arguments
        self._view = envs.vector.view.id

    def pieces(self) -> int:
        """Pieces of work in all."""
        evolution = self._recipe.evolution
        return self._recipe.cloning.rounds + 1 + (evolution.iterations + 1 if evolution else 0)

    def cook(self, state: Mapping[str, Any], report: Report) -> bool:
        """Do what is left of the recipe; return whether it was completed.

        Args:
            state: What was reported last; empty to start.
            report: Told of each finished piece of work.
        """
        if state.get("stage") in ("done", "ppo"):
            return True
        if state.get("stage", "clone") == "clone" and not self._clone(int(state.get("done", 0)), report):
            return False
        return self._recipe.evolution is None or self._evolve(state, report)

    def _clone(self, done: int, report: Report) -> bool:
        recipe, policy = self._recipe, self._model.policy
        teacher = make_policy(recipe.teacher or REFERENCES[self._view], self._envs, self._view, self._seed)
        self._envs.seed(self._seed + done)
        self._envs.reset()
        cloner = Cloner(policy.network, policy.critic, self._envs, teacher, recipe.cloning, self._seed)
        for number in range(done, recipe.cloning.rounds):
            before = cloner.decisions
            found = cloner.run_round(number)
            self._model.num_timesteps += cloner.decisions - before
            if not report("clone", found, {"stage": "clone", "done": number + 1}):
                return False
        before = cloner.decisions
        explained = cloner.fit_critic(self._envs.vector.config.slots // 4, self._model.gamma)
        self._model.num_timesteps += cloner.decisions - before
        return report("critic", {"explained_variance": explained}, {"stage": "cem", "done": 0})

    def _evolve(self, state: Mapping[str, Any], report: Report) -> bool:
        evolution = self._recipe.evolution
        assert evolution is not None
        evolver = Evolver(self._model.policy.network, self._view, self._arguments, evolution, self._seed)
        done = int(state.get("done", 0)) if state.get("stage") == "cem" else 0
        if done:
            evolver.search.centre, evolver.search.spread = np.array(state["centre"]), np.array(state["spread"])
            evolver.search.centres = [np.array(centre) for centre in state["centres"]]
        for number in range(done, evolution.iterations):
            before = evolver.decisions
            found = evolver.run_iteration(number)
            self._model.num_timesteps += evolver.decisions - before
            search = evolver.search
            left = {
                "stage": "cem",
                "done": number + 1,
                "centre": search.centre.tolist(),
                "spread": search.spread.tolist(),
                "centres": [centre.tolist() for centre in search.centres[-3:]],
            }
            if not report("cem", found, left):
                return False
        return report("choice", evolver.finish(), {"stage": "done"})
