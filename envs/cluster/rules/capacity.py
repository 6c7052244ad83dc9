"""Capacity rules: how many nodes to power."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import dominant_share
from psgym.envs.cluster.moves import DOWN, STOP, UP, may_order

STATIC, REACTIVE, FORECAST = range(3)


@kernel
def next_capacity(public: Any, rule: int) -> int:
    """The next code of a rule, by its index in ``CAPACITY_RULES``.

    ``static`` keeps every node on. ``reactive`` follows the demand of the unfinished jobs. ``forecast`` scales out on
    the larger of that and the demand that the traffic forecast announces, and in only on what is observed.
    """
    if rule == STATIC:
        return UP if may_order(public, UP) else STOP
    powered = _powered(public)
    seen = nodes_in_demand(public)
    wanted = max(seen, nodes_forecast(public)) if rule == FORECAST else seen
    if powered < wanted and may_order(public, UP):
        return UP
    # One node of slack between the two thresholds keeps the rule from ordering the same node up and down.
    if powered > wanted + 1 and may_order(public, DOWN):
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
    return _nodes(settings, share)


@kernel
def nodes_forecast(public: Any) -> int:
    """Nodes for the largest forecast of traffic, at the learned work that a unit of traffic brings in a slot."""
    settings, traffic = public.settings, 0.0
    for h in range(public.forecast.shape[0]):
        traffic = max(traffic, public.forecast[h, 0])
    return _nodes(settings, public.work_per_traffic * traffic / settings.slot_seconds)


@kernel
def _nodes(settings: Any, share: float) -> int:
    return max(1, min(settings.nodes, math.ceil(settings.reactive_headroom * share * settings.nodes)))
