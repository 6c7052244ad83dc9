"""Capacity rules: how many nodes to power."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import dominant_share
from psgym.envs.cluster.moves import DOWN, STOP, UP, may_order
from psgym.predictors.capacity import nodes_for

STATIC, REACTIVE, FORECAST = range(3)


@kernel
def next_capacity(public: Any, rule: int) -> int:
    """The next code of a rule, by its index in ``CAPACITY_RULES``.

    ``static`` keeps every node on. ``reactive`` follows the demand of the unfinished jobs, with headroom. ``forecast``
    holds the planned quantile of what the unfinished jobs and those that the traffic forecast announces request
    (`psgym.envs.cluster.needs`): out on the forecast, in only on what is observed.
    """
    if rule == STATIC:
        return UP if may_order(public, UP) else STOP
    powered = _powered(public)
    if rule == FORECAST:
        return _towards(public, powered, nodes_planned(public), 0)
    # One node of slack between the two thresholds keeps the rule from ordering the same node up and down.
    return _towards(public, powered, nodes_in_demand(public), 1)


@kernel
def _towards(public: Any, powered: int, wanted: int, slack: int) -> int:
    if powered < wanted and may_order(public, UP):
        return UP
    if powered > wanted + slack and may_order(public, DOWN):
        return DOWN
    return STOP


@kernel
def _powered(public: Any) -> int:
    count = 0
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.draining[n] and not public.nodes.failed[n]:
            count += 1
    return count


@kernel
def nodes_in_demand(public: Any) -> int:
    """Nodes that one worker and one server for each unfinished job need, with headroom; at least one."""
    settings, share = public.settings, 0.0
    for k in range(public.active_count):
        share += dominant_share(settings, public.jobs[public.active[k]].kind, 1, 1)
    return max(1, min(settings.nodes, math.ceil(settings.reactive_headroom * share * settings.nodes)))


@kernel
def nodes_planned(public: Any) -> int:
    """Nodes that the planner asks for; at least one."""
    return max(1, min(public.settings.nodes, nodes_for(public.planner.target, public.settings.node_offer)))
