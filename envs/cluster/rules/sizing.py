"""Capacity by a learned sum of what the rules for capacity look at.

The rule ``forecast`` of `psgym.envs.cluster.rules.capacity` holds the planned quantile of what jobs request. Here the
nodes to hold are a weighed sum: of that plan, of what the unfinished jobs request and those that will have arrived, of
one worker and one server for each unfinished job, of the jobs that wait for a place, and of the time of day. With all
weights but the first at zero this is that rule.

No environment runs this rule in its own step, so its kernels are compiled only for those who use it.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.moves import DOWN, STOP, UP, may_order, order

WEIGHTS = (
    "planned",
    "requested",
    "arriving",
    "pairs",
    "waiting",
    "unfinished",
    "day_sine",
    "day_cosine",
    "constant",
    "slack",
)
"""Names of the weights.

The first nine make the nodes to hold: ``planned`` weighs the planned quantile of the need, ``requested`` what the
unfinished jobs request, ``arriving`` what those will that the forecast announces until an order made now is of use,
``pairs`` one worker and one server for each unfinished job, all in nodes; ``waiting`` the jobs of the window that
cannot run, ``unfinished`` the logarithm of one more than all unfinished jobs; ``day_sine`` and ``day_cosine`` the time
of day. A node goes only when there are ``slack`` more than that.
"""
PLANNED, REQUESTED, ARRIVING, PAIRS, WAITING, UNFINISHED, DAY_SINE, DAY_COSINE, CONSTANT, SLACK = range(10)


@kernel
def _nodes(offer: Any, need: Any) -> float:
    nodes = 0.0
    for r in range(need.shape[0]):
        nodes = max(nodes, need[r] / offer[r])
    return nodes


@kernel
def nodes_wanted(public: Any, weights: Any) -> float:
    """Nodes to hold, before rounding."""
    settings, planner = public.settings, public.planner
    requested = _nodes(settings.node_offer, planner.now)
    phase = 2.0 * math.pi * public.slot_of_day / settings.slots_per_day
    wanted = weights[PLANNED] * _nodes(settings.node_offer, planner.target) + weights[REQUESTED] * requested
    ahead = _nodes(settings.node_offer, planner.expected[planner.expected.shape[0] - 1])
    wanted += weights[ARRIVING] * (ahead - requested) + weights[PAIRS] * public.demand * settings.nodes
    wanted += weights[WAITING] * public.waiting + weights[UNFINISHED] * math.log(1.0 + public.active_count)
    wanted += weights[DAY_SINE] * math.sin(phase) + weights[DAY_COSINE] * math.cos(phase)
    return float(wanted + weights[CONSTANT])


@kernel
def next_size(public: Any, weights: Any) -> int:
    """The next code for capacity (``psgym.envs.cluster.moves``), or ``STOP``; at least one node stays on."""
    powered = 0
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.draining[n] and not public.nodes.failed[n]:
            powered += 1
    wanted = nodes_wanted(public, weights)
    fewest = max(1, math.ceil(min(wanted, float(public.settings.nodes)) - 1e-9))
    most = max(1, math.ceil(min(wanted + max(0.0, weights[SLACK]), float(public.settings.nodes)) - 1e-9))
    if powered < fewest and may_order(public, UP):
        return UP
    return DOWN if powered > most and may_order(public, DOWN) else STOP


@kernel
def extend_sizing(states: Any, weights: Any, actions: Any) -> None:
    """Puts the next action in the place of every COMMIT; row i of the weights is that of cluster i."""
    for index in range(states.shape[0]):
        public = states[index].public
        if actions[index] == 0 and public.settings.decides_capacity:
            code = next_size(public, weights[index])
            if code != STOP:
                actions[index] = public.settings.first_capacity + code - 1


@kernel
def plan_sizing(states: Any, weights: Any, codes: Any) -> None:
    """Carries out all decisions of a slot in every cluster, which leaves the slot to be committed.

    Args:
        states: The clusters.
        weights: Row i is that of cluster i, shape ``(clusters, 10)``.
        codes: Filled with the decisions, ``STOP`` after the last, shape ``(clusters, at least the most of a slot)``.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        codes[index, 0] = STOP
        for decision in range(public.settings.max_decisions_per_slot - 1 - public.decisions):
            code = next_size(public, weights[index])
            if code == STOP or not order(public, code):
                break
            codes[index, decision] = code
            codes[index, decision + 1] = STOP
