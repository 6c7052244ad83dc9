"""Registers the environments with Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

ENTRY_POINTS = {
    "psgym/Capacity-v0": "psgym.envs:CapacityEnv",
    "psgym/Replicas-v0": "psgym.envs:ReplicasEnv",
    "psgym/Allocation-v0": "psgym.envs:AllocationEnv",
    "psgym/Cluster-v0": "psgym.envs:FullClusterEnv",
}


# A function for each id, because an EnvSpec can be written as JSON only if its entry points are names.
def make_capacity_vector(**arguments: Any) -> Any:
    """The native vector environment of ``psgym/Capacity-v0``."""
    return _make_vector("psgym/Capacity-v0", **arguments)


def make_replicas_vector(**arguments: Any) -> Any:
    """The native vector environment of ``psgym/Replicas-v0``."""
    return _make_vector("psgym/Replicas-v0", **arguments)


def make_allocation_vector(**arguments: Any) -> Any:
    """The native vector environment of ``psgym/Allocation-v0``."""
    return _make_vector("psgym/Allocation-v0", **arguments)


def make_cluster_vector(**arguments: Any) -> Any:
    """The native vector environment of ``psgym/Cluster-v0``."""
    return _make_vector("psgym/Cluster-v0", **arguments)


def _make_vector(view_id: str, **arguments: Any) -> Any:
    from psgym.envs.vector import ClusterVectorEnv

    return ClusterVectorEnv(view=view_id, **arguments)


def register() -> None:
    """Registers every id once; a second call changes nothing."""
    for view_id, entry_point in ENTRY_POINTS.items():
        if view_id not in gym.registry:
            part = view_id.removeprefix("psgym/").removesuffix("-v0").lower()
            vector = f"psgym.envs.registration:make_{part}_vector"
            # No max_episode_steps: TimeLimit would count decisions, and a slot has many.
            gym.register(view_id, entry_point=entry_point, vector_entry_point=vector)
