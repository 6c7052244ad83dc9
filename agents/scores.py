"""What can be learned of each part: the names of a score's weights, where they start, and the rule that they make.

A score decides one part of an id: the allocation of tasks where that is the agent's, and else the only part that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.policies import PriorityPolicy, part_names
from psgym.agents.policy import Actions, BoundPolicy
from psgym.agents.priorities import nearest_set
from psgym.agents.replica_policies import RelievingPolicy, search_weights, tuned_numbers
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.rules import priority, relieving, sizing

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """What the search moves, and what it makes."""

    part: str
    """The part that it decides."""
    weights: tuple[str, ...]
    """Names, in the order in which the kernels take the weights."""
    spreads: Mapping[str, float]
    """Standard deviation of the first samples, by weight."""
    start: Callable[[ClusterConfig], Array]
    """Weights at which it is the best rule known of the part, for a cluster."""
    plan: Callable[[Any, Array, NDArray[np.int64]], None]
    """Carries out all decisions of a slot: states, a row of weights for each, codes."""
    bind: Callable[[Any, Array, tuple[int, int]], BoundPolicy]
    """Builds the policy: environment, weights, codes of the rules for capacity and replicas beside it."""


class SizingPolicy(BoundPolicy):
    """Decides the nodes to hold by the weights of `psgym.envs.cluster.rules.sizing`."""

    def __init__(self, env: Any, weights: Array) -> None:
        """Binds weights to an environment."""
        super().__init__(env)
        self._weights = np.tile(weights, (self.simulation.count, 1))

    def decide(self, actions: Actions) -> None:
        """Orders a node, or none."""
        sizing.extend_sizing(self.simulation.states, self._weights, actions)


def _load_aware(config: ClusterConfig) -> Array:
    """The search on heat with its tuned numbers, for clusters of every size."""
    weights = search_weights(tuned_numbers()["load-aware"])
    return np.array([weights.get(name, 0.0) for name in relieving.LEARNED])


def _plan_replicas(states: Any, weights: Array, codes: NDArray[np.int64]) -> None:
    relieving.plan_relieving(states, np.insert(weights, relieving.HEAT_MEDIUM, 0.0, axis=1), codes)


def _forecast(config: ClusterConfig) -> Array:
    return np.array([float(name == "planned") for name in sizing.WEIGHTS])


_PRIORITY = {"spread": 0.5, "neighbours": 0.5, "within": 0.6, "full": 0.4, "new_nodes": 0.4, "gpu": 0.3}
_PRIORITY |= {"least_gain_congested": 0.05, "never_run": 0.4, "stalled": 0.8}
_PRIORITY |= {"gain": 0.25, "remaining": 0.2, "cost": 0.25, "size": 0.15, "age": 0.15, "stickiness": 0.35}
_PRIORITY |= {"restart": 0.35, "least_gain": 0.05, "remaining_congested": 0.15, "cost_congested": 0.15}
_RELIEVING = {"demand": 0.3, "heat_short": 0.3, "heat": 0.2, "announced": 0.2, "target": 0.06, "target_loaded": 0.2}
_RELIEVING |= {"even": 0.7, "transfer": 0.3, "add_price": 0.5, "drop_price": 0.5, "price_loaded": 2.0}
_RELIEVING |= {"recent": 3e-4, "fullness": 0.02}
_SIZING = {"planned": 0.4, "requested": 0.4, "arriving": 0.5, "pairs": 1.0, "waiting": 1.0, "unfinished": 2.0}
_SIZING |= {"day_sine": 1.0, "day_cosine": 1.0, "constant": 4.0, "slack": 1.0}

SCORES = (
    Score(
        "allocation",
        priority.WEIGHTS,
        _PRIORITY,
        lambda config: nearest_set(config).array,
        priority.plan_at_once,
        lambda env, weights, beside: PriorityPolicy(env, weights, *beside),
    ),
    Score(
        "replicas",
        relieving.LEARNED,
        _RELIEVING,
        _load_aware,
        _plan_replicas,
        lambda env, weights, _: RelievingPolicy(env, dict(zip(relieving.LEARNED, weights, strict=True))),
    ),
    Score(
        "capacity",
        sizing.WEIGHTS,
        _SIZING,
        _forecast,
        sizing.plan_sizing,
        lambda env, weights, _: SizingPolicy(env, weights),
    ),
)
"""All scores; of those whose part an id decides, the first is the id's."""


def score_of(view_id: str) -> Score:
    """Return the score of an id.

    Raises:
        PolicyError: If the id is unknown.
    """
    parts = part_names(view_id)
    return next(score for score in SCORES if score.part in parts)
