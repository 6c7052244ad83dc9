"""Decision makers with SB3's ``predict``: the rules of the environments behind one verb, and a random one.

A rule reads the public record of the environment that it is bound to, not the observation, and is the same kernel that
the environments run for the parts that an agent does not decide.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.policy import Actions, BoundPolicy, EpisodeGenerators, Policy, simulation_of
from psgym.agents.priorities import STICKY, PrioritySet, nearest_set, shipped_sets
from psgym.agents.replica_policies import KINDS, LADDER, make_rung
from psgym.envs.cluster.config import ALLOCATION_RULES, CAPACITY_RULES, REPLICA_RULES
from psgym.envs.cluster.decide import COMMIT, next_actions
from psgym.envs.cluster.rules.priority import extend_actions, make_memory
from psgym.envs.views import ALLOCATION, CAPACITY, CLUSTER, REPLICAS, VIEWS

if TYPE_CHECKING:
    from psgym.agents.result import Kind

CAPACITY_NAMES = {name: code for code, name in enumerate(CAPACITY_RULES)}
REPLICA_NAMES = {name: code for code, name in enumerate(REPLICA_RULES)}
PRIORITIES = ("srpt-optimus-sticky", "priority")
"""Allocation rules that are sets of parameters of the priority rule, which no environment runs in its own step."""
ALLOCATION_NAMES = {"do-nothing" if name == "none" else name: code for code, name in enumerate(ALLOCATION_RULES)}
ALLOCATION_NAMES |= dict.fromkeys(PRIORITIES, ALLOCATION_NAMES["do-nothing"])
LADDERS = {REPLICAS.id: LADDER}
"""Ids whose one part has policies beyond the rules that environments run inside a step."""
PARTS = {"capacity": CAPACITY_NAMES, "replicas": REPLICA_NAMES, "allocation": ALLOCATION_NAMES}
"""Names and codes of the rules of each part, in the order in which a composed name lists the parts."""

FORECASTERS = ("arima", "gru", "hybrid", "oracle")
"""Names of the capacity rule ``forecast`` whose environment is fed by another forecaster than the seasonal EWMA; the
oracle's is the true future."""

LOOK_AHEADS = ("look-ahead", "look-ahead-oracle")
"""Policies that roll plans of the allocation forward, on imagined futures or on the true one."""

SIMPLE = ("random", "do-nothing")
"""Policies that fit every id."""

REFERENCES = {
    CAPACITY.id: "forecast",
    REPLICAS.id: "load-aware",
    ALLOCATION.id: "priority",
    CLUSTER.id: "static+hot-cold+priority",
}
"""The strongest quick rule known of each id, without which no comparison is made."""


class PolicyError(ValueError):
    """A policy's name that means nothing for an id; the message lists the names that do."""


class RulePolicy(BoundPolicy):
    """A composition of rules, one for each part that the agent decides."""

    def __init__(self, env: Any, capacity: int = 0, replicas: int = 0, allocation: int = 0) -> None:
        """Binds codes of rules (indices into the ``*_RULES`` of the configuration) to an environment."""
        super().__init__(env)
        self._codes = (capacity, replicas, allocation)

    def decide(self, actions: Actions) -> None:
        """Asks the rules, which have neither memory nor chance."""
        next_actions(self.simulation.states, *self._codes, actions)


class PriorityPolicy(BoundPolicy):
    """The priority rule for the allocation, with a rule of each other part that the agent decides."""

    def __init__(self, env: Any, weights: NDArray[np.float64], capacity: int = 0, replicas: int = 0) -> None:
        """Binds weights, shape ``(19,)``, and codes of rules to an environment."""
        super().__init__(env)
        self._others = (capacity, replicas, ALLOCATION_NAMES["do-nothing"])
        self._weights = np.tile(weights, (self.simulation.count, 1))
        self._memory = make_memory(self.simulation.count, self.simulation.config.window)

    def decide(self, actions: Actions) -> None:
        """Asks the rules of the other parts, and when they are content the priority rule."""
        next_actions(self.simulation.states, *self._others, actions)
        extend_actions(self.simulation.states, self._weights, self._memory, actions)


class RandomPolicy(BoundPolicy):
    """Any legal action, all equally likely."""

    def __init__(self, env: Any, seed: int = 0) -> None:
        """Binds the policy to an environment; ``seed`` and the episode fix its choices."""
        super().__init__(env)
        self._generators = EpisodeGenerators(self.simulation, seed)

    def decide(self, actions: Actions) -> None:
        """Draws an action for every cluster."""
        masks = self.simulation.masks
        draws = np.array([rng.random(masks.shape[1]) for rng in self._generators.current()])
        draws[~masks] = -1.0
        actions[:] = draws.argmax(axis=1)


class CommitPolicy(BoundPolicy):
    """Does nothing: commits every slot at once, so that initial plans and first copies stay."""

    def decide(self, actions: Actions) -> None:
        """Commits every slot."""
        actions[:] = COMMIT


def part_names(view_id: str) -> dict[str, dict[str, int]]:
    """Return the names and codes of the rules of each part that the agent decides.

    Raises:
        PolicyError: If the id is unknown.
    """
    if view_id not in VIEWS:
        raise PolicyError(f"no environment {view_id!r}{_hint(view_id, tuple(VIEWS))}; there are {', '.join(VIEWS)}")
    return {part: names for part, names in PARTS.items() if part in VIEWS[view_id].decides}


def policy_names(view_id: str) -> tuple[str, ...]:
    """Return every name that fits an id: with several parts, every composition of their rules."""
    compositions = [""]
    if view_id in LADDERS:
        part_names(view_id)
        return (*SIMPLE, *LADDERS[view_id])
    for names in part_names(view_id).values():
        compositions = [f"{start}+{name}" if start else name for start in compositions for name in names]
    looks = LOOK_AHEADS if tuple(part_names(view_id)) == ("allocation",) else ()
    return tuple(dict.fromkeys((*SIMPLE, *compositions, *looks)))


def usual_policies(view_id: str) -> tuple[str, ...]:
    """Return the policies that a comparison runs when none is named.

    They are all that fit, except that compositions of several parts vary one part of the reference at a time.
    """
    if view_id in LADDERS:
        return policy_names(view_id)
    parts = part_names(view_id)
    reference = REFERENCES[view_id].split("+")
    varied = [
        "+".join([*reference[:place], name, *reference[place + 1 :]])
        for place, names in enumerate(parts.values())
        for name in names
    ]
    return tuple(dict.fromkeys((*SIMPLE, *varied)))


def make_policy(name: str, env: Any, view_id: str, seed: int = 0) -> Policy:
    """Build a policy by its name and bind it to an environment.

    Args:
        name: ``random``, ``do-nothing``, or a rule of each part that the agent decides, joined by ``+`` in the order
            capacity, replicas, allocation: ``srpt-optimus``, ``forecast+hot-cold+srpt-optimus``. ``priority`` takes the
            shipped parameters for the cluster's load, ``priority@contended`` those that were tuned on that preset. One
            of `FORECASTERS` in the place of ``forecast`` is that rule; what feeds its environment is the caller's to
            choose (`psgym.agents.fitted`).
        env: A single environment, a ``ClusterVectorEnv`` or a ``ClusterVecEnv``.
        view_id: Id of the environment.
        seed: Seed of the random policy, and of what a look ahead imagines.

    Raises:
        PolicyError: If the name does not fit the id; the message suggests one that does.
    """
    check_policy(name, view_id)
    if name == "random":
        return RandomPolicy(env, seed)
    if name == "do-nothing" or (name == "no-op" and view_id in LADDERS):
        return CommitPolicy(env)
    if name in LADDERS.get(view_id, ()):
        return make_rung(name, simulation_of(env))
    if name in LOOK_AHEADS:
        return _make_look_ahead(env, name == "look-ahead-oracle", seed)
    parts = part_names(view_id)
    rules = [_base(rule) for rule in name.split("+")]
    if forecaster_of(name, view_id):
        rules[0] = "forecast"
    codes = {part: names[rule] for rule, (part, names) in zip(rules, parts.items(), strict=True)}
    if "allocation" in parts and _base(name.split("+")[-1]) in PRIORITIES:
        codes.pop("allocation")
        return PriorityPolicy(env, _priorities(name.split("+")[-1], env).array, **codes)
    return RulePolicy(env, **codes)


def _base(rule: str) -> str:
    return rule.split("@")[0]


def forecaster_of(name: str, view_id: str) -> str | None:
    """Return the forecaster that a policy's environment is to be fed by: one of `FORECASTERS`, or None for its own."""
    first = name.split("+")[0]
    return first if first in FORECASTERS and "capacity" in VIEWS[view_id].decides else None


def _priorities(rule: str, env: Any) -> PrioritySet:
    if rule == "srpt-optimus-sticky":
        return STICKY
    return shipped_sets()[rule.split("@")[1]] if "@" in rule else nearest_set(simulation_of(env).config)


def _make_look_ahead(env: Any, oracle: bool, seed: int) -> Policy:
    from psgym.agents.look_ahead import LookAheadPolicy

    return LookAheadPolicy(env, nearest_set(simulation_of(env).config), oracle=oracle, seed=seed)


def policy_kind(name: str, view_id: str) -> Kind:
    """Return whether a policy is a ``heuristic``, an ``oracle`` that knows the future, or a ``bound``."""
    if forecaster_of(name, view_id) == "oracle":
        return "oracle"
    return KINDS.get(name, "heuristic") if view_id in LADDERS else "heuristic"


def check_policy(name: str, view_id: str) -> None:
    """Raise PolicyError if a name does not fit an id."""
    parts = part_names(view_id)
    if view_id in LADDERS and name not in policy_names(view_id):
        raise _misfit(name, view_id)
    if name in SIMPLE or view_id in LADDERS or (name in LOOK_AHEADS and tuple(parts) == ("allocation",)):
        return
    rules = name.split("+")
    if len(rules) != len(parts):
        raise _misfit(name, view_id)
    for rule, (part, names) in zip(rules, parts.items(), strict=True):
        known = (*names, *(f"priority@{one}" for one in shipped_sets())) if part == "allocation" else tuple(names)
        known = (*known, *FORECASTERS) if part == "capacity" else known
        if rule not in known:
            raise _misfit(name, view_id, f"no {part} rule {rule!r}{_hint(rule, known)}; ")


def _misfit(name: str, view_id: str, why: str = "") -> PolicyError:
    if view_id in LADDERS:
        names = policy_names(view_id)
        return PolicyError(f"no policy {name!r} for {view_id}{_hint(name, names)}: names are {', '.join(names)}")
    more = {"capacity": FORECASTERS}
    shape = "+".join(f"({'|'.join((*names, *more.get(part, ())))})" for part, names in part_names(view_id).items())
    near = "" if why else _hint(name, policy_names(view_id))
    return PolicyError(f"no policy {name!r} for {view_id}{near}: {why}names are {', '.join(SIMPLE)} or {shape}")


def _hint(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
