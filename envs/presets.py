"""Named configurations."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from psgym.envs.cluster.config import ClusterConfig, ConfigError

# Samples of a job of each kind in the simulation that DL2 was trained in (Peng et al., IEEE TPDS 2021): share of the
# most epochs (8,000) x samples of one of its epochs.
_DL2_SAMPLES = tuple(
    8000.0 * share * samples
    for share, samples in (
        (0.30, 115),
        (0.96, 115),
        (0.05, 390),
        (0.54, 120),
        (0.95, 780),
        (0.46, 193),
        (0.33, 349),
        (0.23, 165),
    )
)

PRESETS: Mapping[str, ClusterConfig] = {
    "small": ClusterConfig(),
    "uncontended": ClusterConfig(load=0.4),
    "contended": ClusterConfig(load=1.2),
    "storage": ClusterConfig(
        slot_seconds=30.0,
        slots=720,
        load=0.0,
        max_jobs=16,
        window=2,
        nodes=1,
        data_servers=20,
        datasets=400,
        candidates=16,
        capacity_ratio=3.6,
        dataset_log_median_bytes=12e9,
        initial_copies=3,
        placement="agent",
        hot_threshold=0.1175,  # tuned, as all rungs of the ladder are: benchmarks/tune_replicas.py
        cold_ratio=0.6628,
        rule_heat="medium",
        zipf_exponent=0.9,
        background_utilisation=0.38,
        request_bytes=64e6,
        bursts_per_day=180.0,
        burst_readers=3.0,
        constant_traffic=True,
        node_failures=False,
        max_decisions_per_slot=16,
        stall_price=120.0,
        hot_traffic_price=12.0,
        copy_price=0.0267,
        unavailable_price=29.0,
        storage_price=1.2,
        unfinished_price=0.0,
        node_price=0.0,
        reward_scale=1.0,
    ),
    "large": ClusterConfig(
        nodes=500,
        load=1.2,
        window=64,
        max_jobs=65536,
        data_servers=64,
        datasets=512,
        candidates=16,
        max_flights=128,
        bursts_per_day=384.0,
        max_decisions_per_slot=2048,
        job_read_bytes_per_second=4.0e7,
        reward_scale=4000.0,
    ),
    "dl2": ClusterConfig(
        nodes=48,
        slot_seconds=1200.0,
        jobs_per_slot=3.0,
        batch_jobs=1.0,
        job_list=60,
        max_jobs=64,
        window=32,
        samples_per_kind=_DL2_SAMPLES,
        asynchronous_share=0.0,
        constant_traffic=True,
        hidden_coefficients=False,
        noisy_speed=False,
        restart_cost=False,
        spread_cost=False,
        colocation_cost=False,
        storage_stalls=False,
        node_failures=False,
        server_failures=False,
        checkpoint_pause_seconds=0.0,
        max_decisions_per_slot=1024,
        reward_scale=20.0,
    ),
}


def preset(name: str, **changes: Any) -> ClusterConfig:
    """A named configuration with some fields changed.

    Raises:
        ConfigError: If there is no preset of that name, or a field is unknown or out of range.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}{hint}")
    if not changes:
        return PRESETS[name]
    base = {item.name: getattr(PRESETS[name], item.name) for item in dataclasses.fields(ClusterConfig)}
    return ClusterConfig.from_mapping({**base, **changes})
