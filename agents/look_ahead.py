"""A policy that tries several plans on imagined futures and takes the one that costs least.

At the start of a slot the candidates are the plans of several sets of parameters of the priority rule. Each is carried
out in copies of the cluster whose hidden truth and future are drawn by ``psgym.agents.belief`` from what is public,
the same draws for every candidate; the first set decides the slots that follow. A candidate replaces the plan of the
first set if it costs less on average, and by more than the draws leave in doubt.

The oracle is the same policy on the true future. It is no policy that could be run, but bounds what looking ahead over
these candidates can gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.belief import imagine, seconds_to_clear
from psgym.agents.policy import Actions, BoundPolicy, EpisodeGenerators
from psgym.agents.priorities import PrioritySet
from psgym.envs.cluster.decide import COMMIT
from psgym.envs.cluster.moves import STOP
from psgym.envs.cluster.rules.priority import WEIGHTS, plan_at_once
from psgym.envs.simulation import Simulation

VARIATIONS: tuple[dict[str, float], ...] = (
    {},
    {"remaining": -0.3},
    {"remaining": 0.3},
    {"cost": -0.3},
    {"cost": 0.3},
    {"stickiness": 1.0},
    {"stickiness": -1.0},
    {"least_gain": 0.3},
)
"""What the candidates add to the parameters of the first set."""


class LookAheadPolicy(BoundPolicy):
    """Chooses among plans of the priority rule by rolling each forward."""

    def __init__(
        self,
        env: Any,
        base: PrioritySet,
        variations: Sequence[dict[str, float]] = VARIATIONS,
        futures: int = 4,
        slots: int = 12,
        doubt: float = 0.5,
        oracle: bool = False,
        seed: int = 0,
    ) -> None:
        """Binds the policy to an environment.

        Args:
            env: An environment of psgym in which the agent decides the allocation alone.
            base: Parameters that decide the slots after the first.
            variations: What each candidate adds to them; the first must add nothing.
            futures: Imagined futures; the oracle knows the only one.
            slots: How far each is followed.
            doubt: Standard errors by which a candidate must be better than the first.
            oracle: Whether to use the true state and future instead.
            seed: Seed of the imagination.

        Raises:
            ValueError: If the agent decides anything else, or the first variation adds something.
        """
        super().__init__(env)
        settings = np.asarray(self.simulation.states)["public"]["settings"][0]
        if settings["decides_capacity"] or settings["decides_replicas"]:
            raise ValueError("the look-ahead policy decides the allocation alone: give it an Allocation environment")
        if not variations or variations[0]:
            raise ValueError("the first variation must be the base itself, {}")
        self._candidates = np.array([base.array + [change.get(name, 0.0) for name in WEIGHTS] for change in variations])
        self._futures, self._slots, self._doubt, self._oracle = (1 if oracle else futures), slots, doubt, oracle
        self._generators = EpisodeGenerators(self.simulation, seed)
        self._first = int(settings["first_allocation"])
        self._copies = self._make_copies()
        self._codes = np.zeros((self._copies.count, int(settings["max_decisions_per_slot"]) + 1), np.int64)
        offset: int = self._copies.states.dtype.fields["hidden"][1]  # type: ignore[index]
        self._hidden = slice(offset, offset + self._copies.states.dtype["hidden"].itemsize)
        self._queues: list[list[int]] = [[] for _ in range(self.simulation.count)]

    def _make_copies(self) -> Simulation:
        """Build the clusters that futures are tried in: future 0 with each candidate, then future 1, and so on."""
        ours, count = self.simulation, self._futures * len(self._candidates)
        copies = Simulation(ours.config, frozenset({"allocation"}), (), ours.source, count, ours.forecasts)
        copies.masks[:] = True
        return copies

    def decide(self, actions: Actions) -> None:
        """Takes the next decision of the plan that was chosen at the start of the slot."""
        public = np.asarray(self.simulation.states)["public"]
        for index in range(self.simulation.count):
            if public["decisions"][index] == 0:
                plans = public["planning"][index] and public["active_count"][index] > 0
                self._queues[index] = self._choose(index) if plans else []
            if self._queues[index]:
                actions[index] = self._first + self._queues[index].pop(0)

    def _choose(self, index: int) -> list[int]:
        """Return the decisions of the plan that costs least on the futures of a cluster."""
        candidates = len(self._candidates)
        for future in range(self._futures):
            self._begin_future(index, future * candidates)
        rows = np.tile(self._candidates, (self._futures, 1))
        plan_at_once(self._copies.states, rows, self._codes)
        plans = self._codes[:candidates].copy()
        # Candidates whose plans are the same need no futures of their own; one plan alone needs none at all.
        if all(np.array_equal(_until_stop(plan), _until_stop(plans[0])) for plan in plans[1:]):
            return _until_stop(plans[0])
        costs = self._follow(rows).reshape(self._futures, candidates)
        return _until_stop(plans[self._best(costs)])

    def _follow(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Live through the slots ahead in all copies, and return the job-seconds that are and stay unfinished."""
        copies, totals = self._copies, np.asarray(self._copies.states)["hidden"]["totals"]["unfinished_seconds"]
        before = totals.copy()
        commit = np.full(len(rows), COMMIT, np.int64)
        base = np.tile(self._candidates[0], (len(rows), 1))
        for slot in range(self._slots):
            if slot:
                plan_at_once(copies.states, base, self._codes)
            copies.step(commit)
        left = np.zeros(len(rows))
        seconds_to_clear(copies.states, left)
        return totals - before + left

    def _best(self, costs: NDArray[np.float64]) -> int:
        """Return the candidate of least mean cost, or the first if the doubt about the gain is too large."""
        gains = costs[:, :1] - costs
        means = gains.mean(axis=0)
        if self._futures > 1:
            means -= self._doubt * gains.std(axis=0, ddof=1) / np.sqrt(self._futures)
        return int(means.argmax())

    def _begin_future(self, index: int, first: int) -> None:
        """Put a cluster with one drawn future, or with its true one, into the copies of one future."""
        ours, copies = self.simulation, self._copies
        states, scenarios = _bytes(copies.states), _bytes(copies.scenarios)
        states[first] = _bytes(ours.states)[index]
        if self._oracle:
            scenarios[first] = _bytes(ours.scenarios)[index]
        else:
            states[first, self._hidden] = 0
            imagine(copies.states, copies.scenarios, first, self._slots, self._generators.current()[index])
        others = slice(first + 1, first + len(self._candidates))
        states[others], scenarios[others] = states[first], scenarios[first]


def _bytes(records: np.ndarray) -> NDArray[np.uint8]:
    return np.asarray(records).view(np.uint8).reshape(len(records), -1)


def _until_stop(codes: NDArray[np.int64]) -> list[int]:
    found: list[int] = codes.tolist()
    return found[: found.index(STOP)]
