"""Runs the rules of the parts that the agent does not decide, and composes rules into one decision maker."""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.moves import change_copies, grow, order
from psgym.envs.cluster.rules.allocation import next_allocation
from psgym.envs.cluster.rules.capacity import next_capacity
from psgym.envs.cluster.rules.replicas import next_replica


@kernel
def run_rules(public: Any, hidden: Any) -> None:
    """Lets the configured rules decide what the agent does not, just before a slot is lived through."""
    settings = public.settings
    if not settings.decides_capacity:
        code = next_capacity(public, settings.capacity_rule)
        while code > 0 and order(public, code):
            code = next_capacity(public, settings.capacity_rule)
    if not settings.decides_replicas:
        code = next_replica(public, settings.replica_rule)
        while code > 0:
            change_copies(public, hidden, (code - 1) // 2, (code - 1) % 2, -1)
            code = next_replica(public, settings.replica_rule)
    if not settings.decides_allocation:
        code = next_allocation(public, settings.allocation_rule)
        while code > 0 and grow(public, code):
            code = next_allocation(public, settings.allocation_rule)
