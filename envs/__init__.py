"""The cluster simulator and its Gymnasium faces."""

from __future__ import annotations

from psgym.envs.cluster.config import ClusterConfig, ConfigError
from psgym.envs.env import AllocationEnv, CapacityEnv, ClusterEnv, FullClusterEnv, InvalidActionError, ReplicasEnv
from psgym.envs.presets import PRESETS, preset
from psgym.envs.vector import ClusterVectorEnv
from psgym.envs.views import VIEWS, View

__all__ = [
    "PRESETS",
    "VIEWS",
    "AllocationEnv",
    "CapacityEnv",
    "ClusterConfig",
    "ClusterEnv",
    "ClusterVectorEnv",
    "ConfigError",
    "FullClusterEnv",
    "InvalidActionError",
    "ReplicasEnv",
    "View",
    "preset",
]
