"""Prints what every kernel returns for the same random arguments, to the last bit.

Run with and without ``NUMBA_DISABLE_JIT=1`` by ``test_replica_compiled.py``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from psgym.replicas import (
    balance,
    counts,
    eviction,
    heat,
    latency,
    load,
    packing,
    placement,
    racks,
    rules,
    scarlett,
    transfer,
)
from psgym.replicas.planner import HotColdPlanner, HotColdRule, Servers

SERVERS, DATASETS, ROUNDS = 7, 11, 200


def shown(value: Any) -> str:
    """A value to the last bit."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tobytes().hex()}"
    return float(value).hex()


def per_server(rng: np.random.Generator) -> list[Any]:
    """Results of the kernels over one dataset and all servers."""
    busy, free, tie = rng.random(SERVERS), rng.random(SERVERS), rng.random(SERVERS)
    marks, other = rng.random((2, SERVERS)) < 0.5
    rack, feasible = rng.integers(0, 3, SERVERS), np.zeros(SERVERS, dtype=bool)
    bandwidth, demand = 1.0 + free, 1.2 * busy
    return [
        placement.least_loaded(busy, marks, tie),
        placement.weighted(busy, free, other, marks, tie),
        placement.power_of_two(busy, marks, tie),
        placement.random_choice(marks, tie),
        placement.most_free(free, marks, tie),
        placement.copy_source(busy, marks),
        placement.copy_source(busy, marks, tie),
        placement.copy_to_drop(busy, free, marks, rack),
        placement.copy_to_drop(busy, free, marks, rack, other, tie),
        racks.mark_feasible(marks, other, free, 0.3, rack, feasible),
        feasible,
        racks.rack_limit(int(rng.integers(1, 9)), 3),
        load.max_over_mean(busy),
        latency.cluster_mean(0.1, demand, bandwidth),
        latency.cluster_p95(0.1, demand, bandwidth),
        latency.cluster_p99(0.1, demand, bandwidth),
        latency.p95_latency(0.1, busy[0], bandwidth[0]),
        latency.p99_latency(0.1, busy[0], bandwidth[0]),
    ]


def per_dataset(rng: np.random.Generator) -> list[Any]:
    """Results of the kernels over all datasets."""
    demand, size = rng.exponential(1.0, DATASETS), rng.lognormal(0.0, 1.0, DATASETS)
    copies, tie = rng.integers(1, 5, DATASETS), rng.random(DATASETS)
    holder = rng.random((DATASETS, SERVERS)) < 0.4
    start, dataset = rng.random(DATASETS), rng.integers(0, 3, DATASETS)
    capacity = np.full(SERVERS, 4.0 * size.sum() / SERVERS + size.max())
    return [
        counts.load_variation(demand, copies, SERVERS),
        counts.copies_under_budget(demand, size, 30.0 + size.sum(), 1, SERVERS),
        scarlett.scarlett_counts(copies, size, 8.0, 1, 3, SERVERS, False),
        scarlett.scarlett_counts(copies, size, 8.0, 1, 3, SERVERS, True),
        scarlett.peak_concurrency(start, start + size, dataset, 3, 0.2, 2.0),
        eviction.dataset_to_evict(demand, copies, 2, holder[:, 0].copy(), tie),
        load.server_load(demand, holder),
        packing.pack(size, copies.clip(max=3), capacity, rng.integers(0, 3, SERVERS), rng.random(SERVERS)),
    ]


def of_scalars(rng: np.random.Generator) -> list[Any]:
    """Results of the kernels over numbers."""
    x, y, small = rng.exponential(3.0), rng.exponential(3.0), rng.uniform(0.01, 0.4)
    window, copies = rng.random(5), int(rng.integers(1, 9))
    return [
        heat.decay(x, y),
        heat.updated_heat(x, y, 30.0, small),
        heat.heat_per_copy(x, copies),
        heat.windowed_sum(window, copies, x),
        heat.windowed_maximum(window, copies, x),
        heat.reads_in_window(np.sort(rng.random(9)), 0.8, small),
        heat.updated_crf(x, y, 0.25),
        rules.is_hot(x, copies, y),
        rules.is_cold(x, copies, 1, y, 0.6),
        rules.is_cold_one_threshold(x, copies, 1, y),
        rules.has_cooled_down(x, y),
        balance.pressure(x, y, 0.6),
        balance.pressure(x, y, small, 0.002),
        counts.availability(copies, small, 7),
        counts.minimum_copies(1.0 - small / 10.0, small, 7),
        counts.copies_for_bandwidth(x, y, 1, 20),
        counts.queue_aware_copies(x, x, y, 1, 20),
        transfer.copy_rate(x, 2, y, 3, 0.25),
        transfer.recovery_seconds(x, y, 0.25, 20, True),
    ]


def planned(rng: np.random.Generator) -> list[Any]:
    """What the planner makes of random reads."""
    size = rng.lognormal(0.0, 0.5, DATASETS)
    capacity = np.full(SERVERS, 3.0 * size.sum() / SERVERS + size.max())
    fleet = Servers(capacity, np.ones(SERVERS), rng.integers(0, 3, SERVERS))
    planner = HotColdPlanner(size, fleet, HotColdRule(minimum_copies=2))
    changes = [planner.step(rng.exponential(12.0, DATASETS)) for _ in range(50)]
    return [planner.heat, planner.holder, sum(len(now) for now in changes)]


def main() -> None:
    """Print everything."""
    groups: list[Callable[[np.random.Generator], list[Any]]] = [per_server, per_dataset, of_scalars]
    rng = np.random.default_rng(0)
    for group in groups * ROUNDS:
        for place, value in enumerate(group(rng)):
            print(group.__name__, place, shown(value))  # noqa: T201 - the other process reads it
    for value in planned(rng):
        print("planned", shown(value))  # noqa: T201


if __name__ == "__main__":
    main()
