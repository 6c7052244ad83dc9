"""Writes a configuration into the records that kernels read: the settings of a cluster, and the kinds of jobs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.kinds import KINDS
from psgym.envs.cluster.needs import write_requests
from psgym.envs.cluster.records import CODES, HORIZONS, KIND, SCALARS, TERMS, for_kernels
from psgym.envs.cluster.speed import ASYNCHRONOUS, SYNCHRONOUS, curve
from psgym.predictors.capacity import normal_start


def write_settings(record: Any, config: ClusterConfig, decides: frozenset[str], rewarded: tuple[str, ...]) -> None:
    """Copies a configuration into a settings record.

    Args:
        record: The settings of one cluster.
        config: The configuration.
        decides: What the agent decides, of ``capacity``, ``allocation`` and ``replicas``.
        rewarded: The cost terms that the reward counts, of ``TERMS``.
    """
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if str(item.type) in SCALARS:
            record[item.name] = value
        elif item.name in CODES:
            record[item.name] = CODES[item.name].index(value)
    action = 1  # 0 is COMMIT
    for part, count in action_counts(config).items():
        record[f"decides_{part}"] = part in decides
        record["first_replica" if part == "replicas" else f"first_{part}"] = action if part in decides else -1
        action += count if part in decides else 0
    record["actions"] = action
    record["rewarded"] = [term in rewarded for term in TERMS]
    record["substeps"] = config.substeps
    record["slots_per_day"] = config.slots_per_day
    record["arrivals"] = config.arrivals_per_slot
    record["mean_work"] = config.mean_duration_seconds * config.bundle_share
    numbers = [index for index, kind in enumerate(KINDS) if kind.name in config.kinds]
    record["kind_list"][: len(numbers)] = numbers
    record["kind_count"] = len(numbers)
    for index, samples in zip(numbers, config.samples_per_kind, strict=False):
        record["list_samples"][index] = samples
    record["nominal"] = 1.0
    record["horizons"] = HORIZONS
    record["node_offer"] = max(1, config.node_cpu), max(1, config.node_gpu)
    record["first_score"] = normal_start(config.forecast_quantile)
    shapes = list(dict.fromkeys(kind.shape for kind in KINDS))
    record["shapes"] = len(shapes)
    record["shape_kind"][: len(shapes)] = [[kind.shape for kind in KINDS].index(shape) for shape in shapes]
    for row, kind in zip(record["kinds"], KINDS, strict=True):
        _write_kind(row, kind, config)
        row["shape"] = shapes.index(kind.shape)
    write_requests(record)
    record["log_slots"] = math.log(1.0 + 4.0 * config.slots)
    record["log_jobs"] = math.log(1.0 + config.max_jobs)


def action_counts(config: ClusterConfig) -> dict[str, int]:
    """Number of actions of each part, in their order after COMMIT."""
    places = config.data_servers if config.placement == "agent" else 1
    return {"capacity": 2, "allocation": 1 + 3 * config.window, "replicas": 2 * config.candidates * places}


def _write_kind(row: Any, kind: Any, config: ClusterConfig) -> None:
    row["batch_size"] = kind.batch_size
    row["sync"], row["asynchronous"] = kind.sync, kind.async_
    row["worker_cpu"], row["worker_gpu"], row["server_cpu"] = kind.worker_cpu, kind.worker_gpu, kind.server_cpu
    one_each = [curve(row, mode, 1, 1, 0.0, np.ones(6)) for mode in (SYNCHRONOUS, ASYNCHRONOUS)]
    row["speed_at_one_each"] = one_each
    row["bytes_per_sample"] = config.job_read_bytes_per_second / one_each[SYNCHRONOUS]


def kind_records(config: ClusterConfig) -> np.ndarray:
    """Every kind of job as the kernels know it, shape ``(kinds,)``."""
    rows = np.zeros(len(KINDS), KIND)
    for row, kind in zip(for_kernels(rows), KINDS, strict=True):
        _write_kind(row, kind, config)
    return for_kernels(rows)
