"""One decision of the agent: the mask of what is legal, and what carries it out."""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.copies import choose_drop, choose_target
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.moves import DOWN, UP, change_copies, grow, may_change_copies, may_grow, may_order, order
from psgym.envs.cluster.observe import (
    observe_capacity,
    observe_copies,
    observe_count,
    observe_growth,
    observe_jobs,
    observe_nodes,
    observe_plan,
)
from psgym.envs.cluster.placement import SERVER, WORKER, bundle_fits, task_fits
from psgym.envs.cluster.planning import open_plan
from psgym.envs.cluster.rules.allocation import next_allocation
from psgym.envs.cluster.rules.capacity import next_capacity
from psgym.envs.cluster.rules.replicas import next_replica

COMMIT = 0
REPLAN = 0
"""Offset of REPLAN among the actions of the allocation."""


@kernel
def write_mask(public: Any, mask: Any) -> None:
    """Writes which actions are legal now; COMMIT always is."""
    settings = public.settings
    mask[COMMIT] = True
    if settings.decides_capacity:
        _write_capacity_mask(public, mask)
    if settings.decides_allocation:
        _write_allocation_mask(public, mask)
    if settings.decides_replicas:
        _write_replica_mask(public, mask)


@kernel
def _write_capacity_mask(public: Any, mask: Any) -> None:
    first = public.settings.first_capacity
    mask[first] = may_order(public, UP)
    mask[first + 1] = may_order(public, DOWN)


@kernel
def _write_allocation_mask(public: Any, mask: Any) -> None:
    mask[public.settings.first_allocation + REPLAN] = not public.planning and public.active_count > 0
    for k in range(public.window.shape[0]):
        _write_growth_mask(public, k, mask)


@kernel
def _write_growth_mask(public: Any, k: int, mask: Any) -> None:
    first = public.settings.first_allocation + 1 + 3 * k
    for role in range(3):
        mask[first + role] = may_grow(public, k, role)


@kernel
def _write_replica_mask(public: Any, mask: Any) -> None:
    first, places = public.settings.first_replica, replica_places(public)
    for c in range(public.candidate.shape[0]):
        for direction in range(2):
            at = first + (2 * c + direction) * places
            for place in range(places):
                mask[at + place] = may_change_copies(public, c, direction, place if places > 1 else -1)


@kernel
def replica_places(public: Any) -> int:
    """Servers that an action names: all of them, or one that stands for the heuristic's choice."""
    return int(public.servers.up.shape[0]) if public.settings.placement == 1 else 1


@kernel
def next_action(public: Any, capacity_rule: int, replica_rule: int, allocation_rule: int) -> int:
    """The action of a composition of rules: capacity first, then replicas, then allocation, then COMMIT."""
    settings = public.settings
    if settings.decides_capacity:
        code = next_capacity(public, capacity_rule)
        if code > 0:
            return settings.first_capacity + code - 1
    if settings.decides_replicas:
        code = next_replica(public, replica_rule)
        if code > 0:
            return settings.first_replica + _replica_action(public, code - 1)
    if settings.decides_allocation:
        code = next_allocation(public, allocation_rule)
        if code > 0:
            return settings.first_allocation + code
    return COMMIT


@kernel
def _replica_action(public: Any, code: int) -> int:
    if public.settings.placement != 1:
        return code
    dataset = int(public.candidate[code // 2])
    server = choose_target(public, dataset) if code % 2 == 0 else choose_drop(public, dataset)
    return code * replica_places(public) + server


@kernel
def next_actions(states: Any, capacity_rule: int, replica_rule: int, allocation_rule: int, actions: Any) -> None:
    """:func:`next_action` for every cluster of a batch."""
    for index in range(states.shape[0]):
        actions[index] = next_action(states[index].public, capacity_rule, replica_rule, allocation_rule)


@kernel
def decide(state: Any, action: int, observation: Any, mask: Any, outcome: Any) -> bool:
    """Carries out one decision of one cluster and rewrites what it can have changed of observation and mask.

    A masked-out action changes nothing and is counted; the third of a slot commits it, as does the last decision that
    a slot may have.

    Returns:
        Whether the slot is committed; then observation and mask are left to the opening of the next slot.
    """
    public, hidden = state.public, state.hidden
    settings = public.settings
    outcome.refused = not mask[action]
    public.decisions += 1
    public.refusals += outcome.refused
    full = public.decisions >= settings.max_decisions_per_slot or public.refusals >= settings.max_refusals_per_slot
    if outcome.refused or action == COMMIT:
        observe_count(public, observation)
        return full or action == COMMIT
    if settings.decides_replicas and action >= settings.first_replica:
        _decide_replica(public, hidden, action, observation, mask)
    elif settings.decides_allocation and action >= settings.first_allocation:
        _decide_allocation(public, action - settings.first_allocation, observation, mask)
    else:
        order(public, action - settings.first_capacity + 1)
        observe_capacity(public, observation)
        _write_capacity_mask(public, mask)
        if settings.decides_allocation:
            _write_allocation_mask(public, mask)
    return full


@kernel
def _decide_replica(public: Any, hidden: Any, action: int, observation: Any, mask: Any) -> None:
    settings = public.settings
    code, place = divmod(action - settings.first_replica, replica_places(public))
    change_copies(public, hidden, code // 2, code % 2, place if settings.placement == 1 else -1)
    observe_copies(public, code // 2, observation)
    _write_replica_mask(public, mask)


@kernel
def _decide_allocation(public: Any, code: int, observation: Any, mask: Any) -> None:
    if code == REPLAN:
        open_plan(public)
        observe_jobs(public, observation)
        observe_nodes(public, observation)
        observe_plan(public, observation)
        _write_allocation_mask(public, mask)
        return
    k = (code - 1) // 3
    fitted = _fitting(public)
    grow(public, code)
    observe_growth(public, k, observation)
    if _fitting(public) == fitted:
        _write_growth_mask(public, k, mask)
    else:
        _write_allocation_mask(public, mask)


@kernel
def _fitting(public: Any) -> int:
    """Which shapes of worker, server and bundle still fit somewhere, as the bits of a number."""
    fitting = 0
    for shape in range(public.settings.shapes):
        kind = public.settings.shape_kind[shape]
        fitting = 8 * fitting + 4 * bundle_fits(public, kind)
        fitting += 2 * task_fits(public, kind, SERVER) + task_fits(public, kind, WORKER)
    return fitting
