"""Data servers: one sub-slot of reads and copies, and the outages of servers.

Reads split evenly over the live copies of a dataset. Copies take at most ``copy_share`` of a server's bandwidth, and
reads have the rest: with e the effective bandwidth, a server serves the share ``min(1, e / load)`` of what is asked.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.capacity import repair_seconds
from psgym.envs.cluster.chance import SERVER_FAILURE, SERVER_REPAIR, uniform
from psgym.envs.cluster.copies import end_flight
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.records import LIVE_COPY
from psgym.replicas.heat import decay, updated_heat

HOT_UTILISATION = 0.9
"""A server above this utilisation counts as hot in the metric of hot traffic."""


@kernel
def storage_substep(state: Any, scenario: Any) -> None:
    """Moves copies, serves the reads of jobs and background readers for one sub-slot, and updates heat."""
    public, hidden = state.public, state.hidden
    row = scenario.background[public.slot % scenario.background.shape[0]]
    _move_copies(public, hidden)
    _spread_load(public, hidden, row)
    _serve(public, hidden)
    _account_reads(public, hidden, row)


@kernel
def _move_copies(public: Any, hidden: Any) -> None:
    servers, settings = public.servers, public.settings
    hidden.server_copying[:] = 0.0
    dt = settings.storage_seconds
    for f in range(public.flight_count):
        flight = public.flights[f]
        source_share = servers.bandwidth[flight.source] / servers.flights[flight.source]
        target_share = servers.bandwidth[flight.target] / servers.flights[flight.target]
        moved = min(flight.remaining, settings.copy_share * min(source_share, target_share) * dt)
        flight.remaining -= moved
        hidden.server_copying[flight.source] += moved / dt
        hidden.server_copying[flight.target] += moved / dt
        hidden.totals.bytes_moved += moved
    index = 0
    while index < public.flight_count:
        if public.flights[index].remaining <= 0.0:
            hidden.totals.copies_added += 1
            end_flight(public, index, True)
        else:
            index += 1


@kernel
def _spread_load(public: Any, hidden: Any, background: Any) -> None:
    servers, datasets, load = public.servers, public.datasets, hidden.server_load
    load[:] = 0.0
    for d in range(datasets.size.shape[0]):
        demand = hidden.job_demand[d] + background[d]
        if demand <= 0.0 or datasets.live[d] == 0:
            continue
        share = demand / datasets.live[d]
        for s in range(load.shape[0]):
            if datasets.placed[d, s] == LIVE_COPY and servers.up[s]:
                load[s] += share


@kernel
def _serve(public: Any, hidden: Any) -> None:
    """The share that each server serves, and the statistics of load over the servers that are up."""
    servers, totals, dt = public.servers, hidden.totals, public.settings.storage_seconds
    count, total, squares, largest, utilisation_total = 0, 0.0, 0.0, 0.0, 0.0
    for s in range(servers.up.shape[0]):
        load = hidden.server_load[s]
        effective = servers.bandwidth[s] - hidden.server_copying[s]
        hidden.served_share[s] = min(1.0, effective / load) if load > 0.0 else 1.0
        hidden.demand_sum[s] += load
        hidden.utilisation_sum[s] += load / effective
        if not servers.up[s]:
            continue
        if load > HOT_UTILISATION * effective:
            totals.bytes_hot += load * hidden.served_share[s] * dt
        count += 1
        total += load
        squares += load * load
        largest = max(largest, load)
        utilisation_total += servers.bandwidth[s]
    if total > 0.0:
        mean = total / count
        totals.load_max_over_mean += largest / mean
        totals.load_variation += math.sqrt(max(0.0, squares / count - mean * mean)) / mean
        totals.loaded_substeps += 1
        totals.storage_utilisation += total / utilisation_total
    totals.substeps += 1


@kernel
def _account_reads(public: Any, hidden: Any, background: Any) -> None:
    servers, datasets, settings, totals = public.servers, public.datasets, public.settings, hidden.totals
    dt = settings.storage_seconds
    factor = decay(dt, settings.heat_half_life_seconds)
    for d in range(datasets.size.shape[0]):
        demand = hidden.job_demand[d] + background[d]
        share = 0.0
        if demand > 0.0 and datasets.live[d] > 0:
            for s in range(servers.up.shape[0]):
                if datasets.placed[d, s] == LIVE_COPY and servers.up[s]:
                    share += hidden.served_share[s]
            share /= datasets.live[d]
        hidden.speed_factor[d] = share if settings.storage_stalls else 1.0
        hidden.dataset_demand_sum[d] += demand
        datasets.heat[d] = updated_heat(datasets.heat[d], demand * dt, dt, factor)
        totals.bytes_demanded += demand * dt
        totals.bytes_served += demand * share * dt
        if datasets.live[d] == 0:
            totals.bytes_unavailable += demand * dt
            readers = hidden.job_readers[d] + background[d] / settings.reader_bytes_per_second
            hidden.unavailable_seconds += readers * dt
        else:
            totals.bytes_stalled += demand * (1.0 - share) * dt


@kernel
def start_storage_slot(state: Any, scenario: Any) -> None:
    """Clears the sums of a slot and lets servers fail whose calendar says so."""
    public, hidden = state.public, state.hidden
    hidden.demand_sum[:] = 0.0
    hidden.utilisation_sum[:] = 0.0
    hidden.dataset_demand_sum[:] = 0.0
    hidden.unavailable_seconds = 0.0
    settings = public.settings
    chance = settings.server_failures_per_day * settings.slot_seconds / 86400.0
    for s in range(public.servers.up.shape[0]):
        if settings.server_failures and uniform(scenario.key, SERVER_FAILURE, s, public.slot) < chance:
            end = public.slot * settings.slot_seconds
            end += repair_seconds(settings, scenario.key, SERVER_REPAIR, s, public.slot)
            hidden.server_repair_seconds[s] = max(hidden.server_repair_seconds[s], end)
            if public.servers.up[s]:
                _take_down(public, s)


@kernel
def end_storage_slot(state: Any) -> None:
    """Publishes the slot's mean load and lets repaired servers come back with their disks."""
    public, hidden = state.public, state.hidden
    substeps = public.settings.substeps
    for s in range(public.servers.up.shape[0]):
        public.servers.demand[s] = hidden.demand_sum[s] / substeps
        public.servers.utilisation[s] = hidden.utilisation_sum[s] / substeps
        now = (public.slot + 1) * public.settings.slot_seconds
        if not public.servers.up[s] and hidden.server_repair_seconds[s] <= now:
            _bring_up(public, s)
    for d in range(public.datasets.size.shape[0]):
        public.datasets.demand[d] = hidden.dataset_demand_sum[d] / substeps
        public.datasets.changed[d] = 0


@kernel
def _take_down(public: Any, server: int) -> None:
    public.servers.up[server] = False
    for d in range(public.datasets.size.shape[0]):
        if public.datasets.placed[d, server] == LIVE_COPY:
            public.datasets.live[d] -= 1
    index = 0
    while index < public.flight_count:
        flight = public.flights[index]
        if flight.source == server or flight.target == server:
            end_flight(public, index, False)
        else:
            index += 1


@kernel
def _bring_up(public: Any, server: int) -> None:
    public.servers.up[server] = True
    for d in range(public.datasets.size.shape[0]):
        if public.datasets.placed[d, server] == LIVE_COPY:
            public.datasets.live[d] += 1
