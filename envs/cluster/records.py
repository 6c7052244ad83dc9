"""The records that hold a cluster: what a policy may see, what it may not, and the episode's scenario.

A cluster is one element of a structured array of type ``state``, with two parts: ``public`` is everything that a
policy, a rule or an observation may read; ``hidden`` is the rest. Rules take only the public part, so they cannot
cheat. The ``scenario`` record holds all that is drawn at reset; no kernel writes to it after that.

Lengths of arrays are part of numba's record type: they are capacities, and live counts are fields. Flags in arrays are
``i1``, because numba nests no arrays of booleans in records. Integers of the long arrays are narrow, because a
step of a large batch waits for memory.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from numba import config as numba_config

from psgym.envs.cluster.attributes import with_attributes
from psgym.envs.cluster.config import (
    ALLOCATION_RULES,
    CAPACITY_RULES,
    HEATS,
    INITIAL_PLANS,
    OBSERVATIONS,
    PLACEMENTS,
    REPLICA_RULES,
    ClusterConfig,
)
from psgym.envs.cluster.kinds import KINDS

HORIZONS = (1, 3, 12)
"""Slots ahead for which every observation holds a forecast."""

TERMS = ("unfinished", "nodes", "copies", "unavailable", "stall", "hot_traffic", "storage")
"""Names of the cost terms, in the order of every array of them."""

NO_COPY, LIVE_COPY, IN_FLIGHT = 0, 1, 2

CODES = {
    "initial": INITIAL_PLANS,
    "placement": PLACEMENTS,
    "observation": OBSERVATIONS,
    "rule_heat": HEATS,
    "allocation_rule": ALLOCATION_RULES,
    "replica_rule": REPLICA_RULES,
    "capacity_rule": CAPACITY_RULES,
}
"""Names of each field of the configuration that is a code in the settings record: its place among them."""
SCALARS = {"int": "i8", "float": "f8", "bool": "?"}
"""Types of the fields of the configuration that stand in the settings record as they are."""


def _record(fields: list[tuple[Any, ...]]) -> np.dtype[Any]:
    return np.dtype(fields, align=True)


KIND = _record(
    [
        ("batch_size", "f8"),
        ("sync", "f8", (6,)),
        ("asynchronous", "f8", (2,)),
        ("worker_cpu", "i8"),
        ("worker_gpu", "i8"),
        ("server_cpu", "i8"),
        ("shape", "i8"),  # kinds whose tasks need the same have the same shape
        ("bytes_per_sample", "f8"),
        ("speed_at_one_each", "f8", (2,)),  # samples/s, synchronous and asynchronous
    ]
)
"""A kind of job."""

OUTCOME = _record(
    [
        ("reward", "f8"),
        ("terms", "f8", (len(TERMS),)),  # parts of the reward
        ("slots_elapsed", "i8"),
        ("refused", "?"),
        ("terminated", "?"),
        ("truncated", "?"),
        ("pending", "i1"),  # work that is left to another kernel, as ``psgym.envs.cluster.batch`` says
    ]
)
"""What a decision brought, and what is still to do. Outcomes of a batch lie side by side, apart from the states, to be
read at once."""


def _settings_dtype() -> np.dtype[Any]:
    fields: list[tuple[Any, ...]] = []
    for item in dataclasses.fields(ClusterConfig):
        if str(item.type) in SCALARS:
            fields.append((item.name, SCALARS[str(item.type)]))
        elif item.name in CODES:
            fields.append((item.name, "i8"))
    fields += [
        ("decides_capacity", "?"),
        ("decides_replicas", "?"),
        ("decides_allocation", "?"),
        ("first_capacity", "i8"),  # action of the first decision of each part, -1 where the agent has none
        ("first_allocation", "i8"),
        ("first_replica", "i8"),
        ("actions", "i8"),
        ("rewarded", "i1", (len(TERMS),)),  # cost terms that the reward counts
        ("substeps", "i8"),
        ("slots_per_day", "i8"),
        ("arrivals", "f8"),  # mean jobs per slot at mean traffic
        ("mean_work", "f8"),  # prior of a job's work at one each: dominant share of the cluster x seconds
        ("kind_list", "i8", (len(KINDS),)),
        ("kind_count", "i8"),
        ("shapes", "i8"),  # number of different shapes of tasks
        ("shape_kind", "i8", (len(KINDS),)),  # a kind of each shape
        ("log_slots", "f8"),  # log(1 + slots in four horizons), the scale of times in observations
        ("log_jobs", "f8"),  # log(1 + max_jobs), the scale of counts
        ("list_samples", "f8", (len(KINDS),)),
        ("nominal", "f8", (6,)),  # multipliers of a kind's own coefficients: ones
        ("horizons", "i8", (len(HORIZONS),)),  # slots ahead of the forecasts
        ("kinds", KIND, (len(KINDS),)),
        ("requests", "f8", (len(KINDS), 2, 2)),  # CPU and GPU that a job of a kind and mode is best given
        ("mean_request", "f8", (1, 2)),
        ("node_offer", "f8", (2,)),  # CPU and GPU of a node; at least 1, to divide by
        ("first_score", "f8"),  # tracked quantile of the planner before it has seen an error
    ]
    return _record(fields)


def _public_dtype(config: ClusterConfig, settings: np.dtype[Any]) -> np.dtype[Any]:
    nodes, servers, datasets = (config.nodes,), (config.data_servers,), (config.datasets,)
    job = _record(
        [
            ("arrival_seconds", "f8"),
            ("samples", "f8"),
            ("done", "f8"),  # samples processed
            ("ratio", "f8"),  # moving average of observed speed over the kind's curve
            ("observed_speed", "f8"),  # samples/s, newest observation, 0 before the first
            ("stall", "f8"),  # share of its last running slot that the job waited for data
            ("dataset", "i4"),
            ("kind", "i2"),
            ("mode", "i2"),  # 0 synchronous, 1 asynchronous
            ("restarting", "?"),  # spent part of the last slot restarting
            ("started", "?"),  # ran at least once
            ("in_window", "?"),
            ("workers", "i2"),
            ("servers", "i2"),
            ("nodes", "i2"),  # distinct nodes that hold its tasks
            ("last_workers", "i2"),
            ("last_servers", "i2"),
            ("worker_node", "i2", (config.max_workers,)),
            ("server_node", "i2", (config.max_servers,)),
            ("last_worker_node", "i2", (config.max_workers,)),
            ("last_server_node", "i2", (config.max_servers,)),
        ]
    )
    node = _record(
        [
            ("on", "i1", nodes),
            ("draining", "i1", nodes),
            ("failed", "i1", nodes),
            ("ready_seconds", "f8", nodes),  # end of the boot
            ("ordered_slot", "i4", nodes),  # slot of the newest order, up or down
            ("cpu_free", "i2", nodes),
            ("gpu_free", "i2", nodes),
            ("tasks", "i2", nodes),
            ("jobs", "i2", nodes),  # jobs with a task here
            ("cpu_claimed", "i2", nodes),  # by tasks of the last plan that are not placed again yet
            ("gpu_claimed", "i2", nodes),
        ]
    )
    server = _record(
        [
            ("up", "i1", servers),
            ("rack", "i2", servers),
            ("capacity", "f8", servers),
            ("stored", "f8", servers),  # bytes of copies, and of reservations of copies in flight
            ("bandwidth", "f8", servers),
            ("demand", "f8", servers),  # bytes/s asked of it, mean over the last slot
            ("utilisation", "f8", servers),  # demand over effective bandwidth, mean over the last slot
            ("trend", "f8", servers),  # moving average of the utilisation, half-life as the heat's
            ("copying", "f8", servers),  # bytes/s of copies from and to it, mean over the last slot
            ("down_slot", "i4", servers),  # slot of the newest outage
            ("flights", "i2", servers),
            ("feasible", "i1", servers),  # scratch of the rules: servers that may take a copy
            ("holder", "i1", servers),  # scratch: servers that hold a copy
            ("used", "f8", servers),  # scratch: stored over capacity
            ("tie", "f8", servers),  # scratch: numbers that settle ties
        ]
    )
    dataset = _record(
        [
            ("size", "f8", datasets),
            ("heat", "f8", datasets),  # bytes/s, exponentially decayed
            ("heat_medium", "f8", datasets),  # the same with a half-life of 2 min
            ("heat_short", "f8", datasets),  # and of 30 s
            ("announced", "f8", datasets),  # bytes/s that waiting bursts will ask for
            ("longest_wait", "f8", datasets),  # seconds for which a burst has waited
            ("bursting", "i4", datasets),  # readers of bursts that read it now
            ("demand", "f8", datasets),  # bytes/s, mean over the last slot
            ("copies", "i2", datasets),  # on disk
            ("live", "i2", datasets),  # on disks of servers that are up
            ("unlisted", "i1", datasets),  # live copies have come or gone since the simulation listed their servers
            ("pending", "i2", datasets),  # in flight
            ("readers", "i4", datasets),  # unfinished jobs that need it
            ("per_copy", "f8", datasets),  # heat over the copies live and in flight, when the slot opened (bytes/s)
            ("changed", "i1", datasets),  # this slot: +1 a copy was added, -1 dropped
            ("changed_slot", "i4", datasets),  # slot of the last change
            ("added_slot", "i4", datasets),  # slot of the last addition
            ("placed", "i1", (config.datasets, config.data_servers)),
        ]
    )
    best = _record(
        [
            ("known", "?"),  # it stands as long as the job's plan stands and the growth fits
            ("code", "i4"),
            ("servers", "i2"),
            ("workers", "i2"),
            ("gain", "f8"),
            ("end", "f8"),
        ]
    )
    lead = lead_slots(config)
    planner = _record(
        [
            ("clock", "i8", (1,)),
            ("score", "f8", (lead, 2)),  # the state of `psgym.predictors.capacity.plan_step`, for CPU and GPU
            ("scale", "f8", (lead, 2)),
            ("level", "f8", (2, 2)),
            ("ring", "f8", (lead, lead, 2, 3)),
            ("observed", "f8", (1, 2)),
            ("sums", "f8", (1, 2)),  # the state of `psgym.predictors.demand.observe_usage`: requests of all jobs
            ("squares", "f8", (1, 2)),
            ("weights", "f8", (1,)),
            ("arrived", "f8"),  # weighted sum of the jobs that arrived, and of the traffic that brought them
            ("traffic", "f8"),
            ("known_jobs", "i8"),
            ("now", "f8", (2,)),  # requests of the unfinished jobs
            ("expected", "f8", (lead, 2)),  # the same in the slots ahead, with the jobs that will arrive
            ("need", "f8", (lead, 2)),  # its quantile
            ("target", "f8", (2,)),  # what to hold
        ]
    )
    flight = _record([("remaining", "f8"), ("dataset", "i4"), ("source", "i2"), ("target", "i2")])
    return _record(
        [
            ("settings", settings),
            ("slot", "i8"),
            ("slot_of_day", "i8"),
            ("planning", "?"),  # the allocation is being planned anew in this slot
            ("decisions", "i8"),
            ("refusals", "i8"),
            ("capacity_change", "i8"),  # nodes ordered in this slot: > 0 up, < 0 down
            ("traffic", "f8"),  # of the slot that has ended, over its training mean
            ("forecast", "f8", (len(HORIZONS), 3)),  # mean, low, high
            ("storage_factor", "f8"),  # bytes stored and reserved over the bytes of all datasets
            ("recently_moved", "f8"),  # bytes copied, forgotten with a time constant of 10 min
            ("work_per_traffic", "f8"),  # moving average of arrived work (share of cluster x s) per unit of traffic
            ("known_jobs", "i8"),
            ("active_count", "i8"),
            ("window_count", "i8"),
            ("flight_count", "i8"),
            ("window", "i4", (config.window,)),
            ("candidate", "i4", (config.candidates,)),
            ("window_left", "f8", (config.window,)),  # scratch: remaining times while the window is chosen (s)
            ("demand", "f8"),  # dominant shares that one server and one worker for each unfinished job take
            ("waiting", "i8"),  # jobs of the window without a worker or without a server
            ("cpu_free", "i8"),  # of all nodes that take tasks
            ("gpu_free", "i8"),
            ("best", best, (config.window,)),  # scratch of the rules: the best growth of each job of the window
            ("fits", "i2", (len(KINDS), 4)),  # by shape: nodes that fit a worker, a server, both together, either alone
            ("planner", planner),
            ("nodes", node),
            ("servers", server),
            ("datasets", dataset),
            ("flights", flight, (config.max_flights,)),
            ("active", "i4", (config.max_jobs,)),  # unfinished jobs that have arrived, oldest first
            ("jobs", job, (config.max_jobs,)),
        ]
    )


def _hidden_dtype(config: ClusterConfig) -> np.dtype[Any]:
    job = _record(
        [
            ("true_speed", "f8"),  # samples/s of this slot's allocation, before stalls
            ("asked", "f8"),  # bytes/s that the job would read in the sub-slot if nothing stalled it
            ("pause", "f8"),  # seconds of restart or checkpoint still to wait
            ("since_checkpoint", "f8"),
            ("saved", "f8"),  # samples at the last checkpoint
            ("lost_task", "?"),  # a task's node failed in this slot
            ("run_seconds", "f8"),  # of this slot
            ("stall_seconds", "f8"),  # of this slot
            ("pause_seconds", "f8"),  # of this slot
            ("finish_seconds", "f8"),  # completion time since arrival; 0 while unfinished
        ]
    )
    totals = _record(
        [
            ("cost", "f8", (len(TERMS),)),
            ("finished", "i8"),
            ("completion_seconds", "f8"),  # summed over finished jobs
            ("unfinished_seconds", "f8"),  # integral of the number of unfinished jobs
            ("cpu_seconds", "f8"),
            ("gpu_seconds", "f8"),
            ("node_seconds", "f8"),
            ("run_seconds", "f8"),
            ("stall_seconds", "f8"),
            ("pause_seconds", "f8"),
            ("restarts", "i8"),
            ("node_failures", "i8"),
            ("samples_lost", "f8"),
            ("bytes_moved", "f8"),
            ("bytes_demanded", "f8"),
            ("bytes_served", "f8"),
            ("bytes_stalled", "f8"),
            ("bytes_unavailable", "f8"),
            ("bytes_hot", "f8"),
            ("bytes_read", "f8"),  # by jobs: samples processed x bytes per sample
            ("copies_added", "i8"),
            ("copies_dropped", "i8"),
            ("flaps", "i8"),  # drops within 10 min of an addition to the same dataset
            ("bytes_of_bursts", "f8"),  # read by bursts
            ("storage_factor", "f8"),  # bytes stored over bytes of all datasets, summed over slots
            ("latency_mean", "f8"),  # of reads (s), summed over slots with reads
            ("latency_p95", "f8"),
            ("latency_p99", "f8"),
            ("latency_slots", "i8"),
            ("load_max_over_mean", "f8"),  # summed over sub-slots with load
            ("load_variation", "f8"),
            ("loaded_substeps", "i8"),
            ("storage_utilisation", "f8"),  # summed over sub-slots
            ("substeps", "i8"),
            ("decisions", "i8"),  # of the slots before this one
            ("refusals", "i8"),
        ]
    )
    return _record(
        [
            ("totals", totals),
            ("over", "?"),  # the episode has ended
            ("event", "?"),  # something happened in the slot after which the allocation is planned anew
            ("node_repair_seconds", "f8", (config.nodes,)),
            ("server_repair_seconds", "f8", (config.data_servers,)),
            ("unavailable_seconds", "f8"),  # reader-seconds without a live copy, of this slot
            ("node_fails_at", "i4", (config.nodes,)),  # sub-slot of this slot, -1 if it does not
            ("substeps_held", "i8"),  # sub-slots of the present load that are not booked yet
            ("copying", "?"),  # copies took bandwidth in the sub-slot
            ("server_load", "f8", (config.data_servers,)),  # bytes/s of the sub-slot
            ("server_copying", "f8", (config.data_servers,)),  # bytes/s of the sub-slot
            ("served_share", "f8", (config.data_servers,)),
            ("demand_sum", "f8", (config.data_servers,)),  # over the sub-slots of the slot
            ("utilisation_sum", "f8", (config.data_servers,)),
            ("background_load", "f8", (config.data_servers,)),  # bytes/s of background readers
            ("background_demand", "f8"),  # bytes/s of all background readers
            ("background_lost", "f8"),  # bytes/s of those whose dataset has no live copy
            ("holder", "i2", (config.datasets, config.data_servers)),  # servers of the live copies, first
            ("copying_sum", "f8", (config.data_servers,)),
            ("effective", "f8", (config.data_servers,)),  # bytes/s that copies left to reads, mean over the slot
            ("burst_count", "i8"),
            ("bursts", "i4", (config.max_bursts,)),  # those that read
            ("burst_left", "f8", (config.max_bursts,)),  # bytes that each has still to read
            ("burst_asked", "f8", (config.max_bursts,)),  # bytes/s that each would read in the sub-slot
            ("read_count", "i8"),
            ("read", "i4", (config.datasets,)),  # datasets that running jobs or bursts read in this slot
            ("is_read", "i1", (config.datasets,)),
            ("job_demand", "f8", (config.datasets,)),  # of those: bytes/s of the sub-slot
            ("job_readers", "i4", (config.datasets,)),
            ("job_demand_sum", "f8", (config.datasets,)),  # over the sub-slots of the slot
            ("speed_factor", "f8", (config.datasets,)),  # of those: mean share served over live copies
            ("running_count", "i8"),
            ("running", "i4", (config.max_jobs,)),  # jobs that run, or restart to run, in this slot
            ("completion", "f8", (config.max_jobs,)),  # completion times of finished jobs, ascending (s)
            ("jobs", job, (config.max_jobs,)),
        ]
    )


def _scenario_dtype(config: ClusterConfig) -> np.dtype[Any]:
    job = _record(
        [
            ("arrival_seconds", "f8"),
            ("samples", "f8"),
            ("multiplier", "f8", (6,)),  # true coefficients over the kind's
            ("dataset", "i4"),
            ("kind", "i2"),
            ("mode", "i2"),
        ]
    )
    burst = _record(
        [
            ("bytes", "f8"),
            ("announced_slot", "i4"),  # the first at whose beginning it is known
            ("start_slot", "i4"),  # it reads from the beginning of this slot, -1 if it did before the first
            ("dataset", "i4"),
            ("readers", "i4"),
        ]
    )
    return _record(
        [
            ("key", "u8"),
            ("day", "i8"),  # calendar day of the trace, for resampling
            ("first_slot_of_day", "i8"),
            ("job_count", "i8"),
            ("traffic", "f8", (config.slots + 1,)),  # of the slot before the first, then of each slot
            ("forecast", "f8", (config.slots, len(HORIZONS), 3)),
            ("background", "f4", (config.slots, config.datasets)),  # bytes/s
            ("dataset_size", "f8", (config.datasets,)),
            ("burst_count", "i8"),
            ("bursts", burst, (config.max_bursts,)),
            ("jobs", job, (config.max_jobs,)),
        ]
    )


def lead_slots(config: ClusterConfig) -> int:
    """Slots from an order to a node that works, at least 1; beyond the last horizon of the forecast it is that."""
    return max(1, min(HORIZONS[-1], math.ceil(config.boot_seconds / config.slot_seconds)))


@functools.lru_cache(maxsize=64)
def dtypes(config: ClusterConfig) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The types of a state and of a scenario of this configuration's shape."""
    public = _public_dtype(config, _settings_dtype())
    state = _record([("public", public), ("hidden", _hidden_dtype(config))])
    return _one_object(state), _one_object(_scenario_dtype(config))


_TYPES: dict[np.dtype[Any], np.dtype[Any]] = {}


def _one_object(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The first type that was equal to this one.

    Numba looks the type of an argument up at every call. It finds the same object at once, but compares an equal one
    field by field, which takes longer than a slot.
    """
    return _TYPES.setdefault(dtype, dtype)


def allocate(config: ClusterConfig, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Zeroed states and scenarios of ``count`` clusters."""
    state, scenario = dtypes(config)
    return for_kernels(np.zeros(count, state)), for_kernels(np.zeros(count, scenario))


def for_kernels(records: np.ndarray) -> np.ndarray:
    """The array as the kernels want it: without JIT, its elements need attributes for their fields."""
    return records.view(with_attributes(records.dtype)) if numba_config.DISABLE_JIT else records
