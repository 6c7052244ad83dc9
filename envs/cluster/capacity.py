"""Nodes: orders up and down, boot, drain, failure and repair."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.chance import NODE_FAILURE, NODE_REPAIR, normal, uniform
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.placement import count_fits


@kernel
def node_to_start(public: Any) -> int:
    """The node that an order up would start: a draining one first (it needs no boot), then the first that is off."""
    nodes, found = public.nodes, -1
    for n in range(nodes.on.shape[0]):
        if nodes.draining[n] and not nodes.failed[n] and _order_is_old(public, n):
            return n
        if found < 0 and not nodes.on[n] and not nodes.failed[n] and _order_is_old(public, n):
            found = n
    return found


@kernel
def node_to_stop(public: Any) -> int:
    """The node that an order down would drain: the one with fewest tasks, ties by index; -1 if none may be."""
    nodes, best = public.nodes, -1
    for n in range(nodes.on.shape[0]):
        if nodes.on[n] and not nodes.draining[n] and _order_is_old(public, n):
            if best < 0 or nodes.tasks[n] < nodes.tasks[best]:
                best = n
    return best


@kernel
def _order_is_old(public: Any, node: int) -> bool:
    """An order cannot be reversed within its boot delay."""
    settings = public.settings
    age = (public.slot - public.nodes.ordered_slot[node]) * settings.slot_seconds
    return age > 0.0 and age >= settings.boot_seconds


@kernel
def order_up(public: Any) -> bool:
    """Orders one node more; False if none is left to start."""
    node = node_to_start(public)
    if node < 0:
        return False
    nodes, settings = public.nodes, public.settings
    if nodes.draining[node]:
        nodes.draining[node] = False
        count_fits(public, node, 1)
    else:
        nodes.on[node] = True
        # A boot of no seconds is still an order for the next slot: the plan of this slot was laid without the node.
        nodes.ready_seconds[node] = public.slot * settings.slot_seconds + max(settings.boot_seconds, 1e-6)
    nodes.ordered_slot[node] = public.slot
    public.capacity_change += 1
    return True


@kernel
def order_down(public: Any) -> bool:
    """Drains one node; False if none is left to stop."""
    node = node_to_stop(public)
    if node < 0:
        return False
    nodes = public.nodes
    count_fits(public, node, -1)
    nodes.draining[node] = True
    nodes.ordered_slot[node] = public.slot
    public.capacity_change -= 1
    return True


@kernel
def switch_off_drained(public: Any) -> None:
    """Switches off draining nodes that hold no task any more."""
    nodes = public.nodes
    for n in range(nodes.on.shape[0]):
        if nodes.draining[n] and nodes.tasks[n] == 0:
            nodes.on[n] = False
            nodes.draining[n] = False


@kernel
def draw_node_failures(state: Any, scenario: Any) -> None:
    """Notes which nodes fail in this slot, at which sub-slot, and when they are repaired.

    The calendar of failures belongs to the node and the slot alone: a node that is off fails all the same, so that
    powering nodes cannot dodge a failure.
    """
    public, hidden = state.public, state.hidden
    settings = public.settings
    chance = settings.node_failures_per_day * settings.slot_seconds / 86400.0
    for n in range(public.nodes.on.shape[0]):
        hidden.node_fails_at[n] = -1
        if not settings.node_failures:
            continue
        draw = uniform(scenario.key, NODE_FAILURE, n, public.slot)
        if draw < chance:
            hidden.node_fails_at[n] = int(draw / chance * settings.substeps)
            start = (public.slot + draw / chance) * settings.slot_seconds
            end = start + repair_seconds(settings, scenario.key, NODE_REPAIR, n, public.slot)
            hidden.node_repair_seconds[n] = max(hidden.node_repair_seconds[n], end)


@kernel
def repair_seconds(settings: Any, key: Any, stream: int, index: int, slot: int) -> float:
    """Time to repair (s): nine in ten short and exponential, one in ten long and lognormal.

    The shape follows Ford et al., "Availability in globally distributed storage systems" (OSDI 2010): most outages
    are short, a tail lasts for hours.
    """
    draw = uniform(key, stream, index, 3 * slot)
    if draw < 0.9:
        return -settings.short_repair_seconds * math.log(1.0 - uniform(key, stream, index, 3 * slot + 1))
    return settings.long_repair_seconds * math.exp(normal(key, stream, index, 3 * slot + 2))


@kernel
def update_nodes(state: Any) -> bool:
    """Ends boots and repairs that are over at the start of a slot; True if the capacity for tasks changed."""
    public, nodes = state.public, state.public.nodes
    now = public.slot * public.settings.slot_seconds
    before = now - public.settings.slot_seconds
    changed = False
    for n in range(nodes.on.shape[0]):
        failed = state.hidden.node_repair_seconds[n] > now
        if failed != nodes.failed[n]:
            nodes.failed[n] = failed
            if not failed and nodes.on[n]:
                nodes.ready_seconds[n] = max(nodes.ready_seconds[n], now)
            changed = changed or nodes.on[n]
        if nodes.on[n] and before < nodes.ready_seconds[n] <= now:
            changed = True
    return changed
