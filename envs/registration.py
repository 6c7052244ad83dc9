"""Registers the environments with Gymnasium."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym

ENTRY_POINTS = {
    "psgym/Capacity-v0": "psgym.envs:CapacityEnv",
    "psgym/Replicas-v0": "psgym.envs:ReplicasEnv",
    "psgym/Allocation-v0": "psgym.envs:AllocationEnv",
    "psgym/Cluster-v0": "psgym.envs:FullClusterEnv",
}


def _make_vector(view_id: str, **arguments: Any) -> Any:
    from psgym.envs.vector import ClusterVectorEnv

    return ClusterVectorEnv(view=view_id, **arguments)


def register() -> None:
    """Registers every id once; a second call changes nothing."""
    for view_id, entry_point in ENTRY_POINTS.items():
        if view_id not in gym.registry:
            # No max_episode_steps: TimeLimit would count decisions, and a slot has many.
            gym.register(view_id, entry_point=entry_point, vector_entry_point=partial(_make_vector, view_id))
