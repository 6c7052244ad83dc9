"""The four views of the cluster: what the agent decides, what its reward counts, and what is told of each."""

from __future__ import annotations

from dataclasses import dataclass

from psgym.envs.cluster.records import TERMS


@dataclass(frozen=True)
class View:
    """One registered environment's share of the decisions."""

    id: str
    decides: frozenset[str]
    rewarded: tuple[str, ...]
    """Cost terms that the reward counts."""
    preset: str
    """Name of the default configuration."""
    primary: str
    """Metric by which policies are compared, named beforehand."""


CAPACITY = View("psgym/Capacity-v0", frozenset({"capacity"}), TERMS, "small", "total_cost")
REPLICAS = View("psgym/Replicas-v0", frozenset({"replicas"}), TERMS, "storage", "stall_share")
ALLOCATION = View("psgym/Allocation-v0", frozenset({"allocation"}), ("unfinished",), "small", "mean_completion_seconds")
CLUSTER = View("psgym/Cluster-v0", frozenset({"capacity", "replicas", "allocation"}), TERMS, "small", "total_cost")

VIEWS: dict[str, View] = {view.id: view for view in (CAPACITY, REPLICAS, ALLOCATION, CLUSTER)}
"""Every view by its id."""
