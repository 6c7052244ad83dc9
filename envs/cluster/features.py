"""The layout of an observation: groups of rows, and the meaning and range of every feature."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.records import HORIZONS


class Feature(NamedTuple):
    """One number of a row."""

    name: str
    low: float
    high: float
    meaning: str


def _share(name: str, meaning: str) -> Feature:
    return Feature(name, 0.0, 1.0, meaning)


def _signed(name: str, meaning: str) -> Feature:
    return Feature(name, -1.0, 1.0, meaning)


JOB = (
    _share("present", "1 if the row holds a job"),
    _share("asynchronous", "1 if the job trains asynchronously"),
    _share("worker_gpu", "GPU of one worker over the GPU of a node"),
    _share("workers", "planned workers over the most allowed"),
    _share("servers", "planned parameter servers over the most allowed"),
    _share("last_workers", "workers in the last slot over the most allowed"),
    _share("last_servers", "parameter servers in the last slot over the most allowed"),
    _share("remaining", "estimated remaining time at the plan, log scale from 0 to 4 horizons"),
    _share("remaining_one_each", "the same at one worker and one server"),
    _signed("gain_worker", "relative gain in speed of one more worker"),
    _signed("gain_server", "relative gain in speed of one more server"),
    _signed("gain_both", "relative gain in speed of one more of each"),
    _signed("gain_three_workers", "relative gain in speed of three more workers"),
    _signed("gain_three_servers", "relative gain in speed of three more servers"),
    _signed("gain_three_both", "relative gain in speed of three more of each"),
    _share("age", "time since arrival, log scale from 0 to 4 horizons"),
    _signed("ratio", "observed speed over the kind's curve, minus 1"),
    _share("extra_nodes", "nodes that hold its tasks beyond the first, over 8"),
    _share("dominant_share", "dominant share of the cluster that the plan takes"),
    _share("stall", "share of the last running slot spent waiting for data"),
    _share("restarting", "1 if it spent part of the last slot paused"),
    _share("changes", "1 if committing now would restart it"),
    _share("started", "1 if it has run before"),
)
NODE = (
    _share("on", "1 if powered"),
    _share("draining", "1 if draining"),
    _share("ready", "1 if it takes tasks"),
    _share("cpu_free", "free CPU over its CPU"),
    _share("gpu_free", "free GPU over its GPU"),
    _share("jobs", "jobs with a task on it, over 4"),
)
SERVER = (
    _share("up", "1 if up"),
    _share("utilisation", "load over effective bandwidth in the last slot, over 2"),
    _share("trend", "moving average of the utilisation, half-life as the heat's, over 2"),
    _share("copying", "bandwidth that copies took in the last slot over its bandwidth"),
    _share("stored", "stored and reserved bytes over capacity"),
    _share("flights", "copies in flight from or to it, over 8"),
)
DATASET = (
    _share("heat", "heat per copy over the bandwidth of a server"),
    _share("heat_medium", "the same with a half-life of 2 min"),
    _share("heat_short", "the same with a half-life of 30 s"),
    _share("demand", "demand of the last slot per copy over the bandwidth of a server"),
    _share("announced", "demand that waiting bursts announce, per copy over the bandwidth of a server"),
    _share("longest_wait", "longest wait of such a burst so far, over 1 h"),
    _share("bursting", "readers of bursts that read it, over 16"),
    _share("readers", "unfinished jobs that need it, over 16"),
    _share("live", "live copies over servers"),
    _share("pending", "copies in flight over servers"),
    _share("size", "size over the capacity of a server, times 4"),
    _share("age", "time since its copies last changed, over 1 h"),
    _share("added", "1 if a copy was added in this slot"),
    _share("dropped", "1 if a copy was dropped in this slot"),
)
GLOBAL = (
    _share("traffic", "traffic of the last slot over the clip"),
    _signed("day_sine", "sine of the time of day"),
    _signed("day_cosine", "cosine of the time of day"),
    _share("planning", "1 if the allocation is being planned anew"),
    _share("decisions", "decisions of this slot over the most allowed"),
    _share("unfinished", "unfinished jobs, log scale from 0 to max_jobs"),
    _share("backlog", "unfinished jobs outside the window, log scale from 0 to max_jobs"),
    _share("waiting", "window jobs without a worker or a server, over the window"),
    _share("cpu_free", "free CPU of ready nodes over the cluster's CPU"),
    _share("gpu_free", "free GPU of ready nodes over the cluster's GPU"),
    _share("nodes_on", "powered nodes over nodes"),
    _share("nodes_ready", "nodes that take tasks over nodes"),
    _signed("capacity_change", "nodes ordered in this slot over nodes"),
    _share("flights", "copies in flight over the most allowed"),
    _share("mean_utilisation", "mean utilisation of data servers, over 2"),
    _share("max_utilisation", "largest utilisation of a data server, over 2"),
    _share("work_per_traffic", "learned work per slot and unit of traffic over the cluster's work per slot, over 2"),
    _share("recently_moved", "bytes copied in about the last 10 min over what copies may move in that time"),
    _share("storage_factor", "bytes stored over bytes of all datasets, over the ratio of capacity"),
)


@dataclass(frozen=True)
class Group:
    """Rows of equal features in an observation."""

    name: str
    rows: int
    features: tuple[Feature, ...]


HOLDER = "holder_"
"""Start of the names of a dataset's relations to the servers, one for each server."""
RACK = "rack_"
"""Start of the names of a server's relations to the racks, one for each rack."""


def groups(config: ClusterConfig) -> tuple[Group, ...]:
    """The groups of an observation, in order."""
    servers = range(config.data_servers)
    racks = range(min(config.racks, config.data_servers))
    rack = tuple(_share(f"{RACK}{r}", f"1 if it stands on rack {r}") for r in racks)
    holders = tuple(_share(f"{HOLDER}{s}", f"1 if server {s} has a copy, 0.5 in flight") for s in servers)
    forecast = tuple(
        _share(f"{part}_{h}", f"{meaning} of the traffic forecast {h} slots ahead, over the clip")
        for h in HORIZONS
        for part, meaning in (("mean", "mean"), ("low", "lower bound (80 %)"), ("high", "upper bound (80 %)"))
    )
    return (
        Group("jobs", config.window, JOB),
        Group("datasets", config.candidates, DATASET + holders),
        Group("servers", config.data_servers, SERVER + rack),
        Group("nodes", config.nodes, NODE),
        Group("forecast", 1, forecast),
        Group("global", 1, GLOBAL),
    )


def observation_size(config: ClusterConfig) -> int:
    """Numbers in a flat observation."""
    return sum(group.rows * len(group.features) for group in groups(config))


def layout_hash(config: ClusterConfig) -> str:
    """A hash of the observation's layout, kept with saved policies so that they refuse another one."""
    table = [(group.name, group.rows, [feature[:3] for feature in group.features]) for group in groups(config)]
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()[:16]


def rows_hash(config: ClusterConfig) -> str:
    """A hash of the features of every kind of row; the number of rows, servers and racks does not matter to it."""
    table = [
        (group.name, [feature[:3] for feature in group.features if not feature.name.startswith((HOLDER, RACK))])
        for group in groups(config)
    ]
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()[:16]
