"""Data servers: sub-slots of reads and copies, and the outages of servers.

Reads split evenly over the live copies of a dataset. Copies take at most ``copy_share`` of a server's bandwidth, and
reads have the rest: with e the effective bandwidth, a server serves the share ``min(1, e / load)`` of what is asked.

Background readers ask the same all slot long, so a load changes only with the jobs that read and the copies that fly.
A sub-slot in which neither changes keeps the load of the one before, and is booked together with it.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.bursts import start_bursts
from psgym.envs.cluster.capacity import repair_seconds
from psgym.envs.cluster.chance import SERVER_FAILURE, SERVER_REPAIR, uniform
from psgym.envs.cluster.copies import end_flight
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.records import LIVE_COPY
from psgym.envs.cluster.recovery import recover
from psgym.replicas.heat import decay, updated_heat
from psgym.replicas.latency import cluster_mean, cluster_p95, cluster_p99

HOT_UTILISATION = 0.9
"""A server above this utilisation counts as hot in the metric of hot traffic."""
MEDIUM_HALF_LIFE, SHORT_HALF_LIFE = 120.0, 30.0
"""Half-lives of the heats beside the one that the configuration names (s)."""


@kernel
def start_storage_slot(state: Any, scenario: Any) -> None:
    """Lets servers fail whose calendar says so, clears the sums of the slot, and lists what jobs and bursts read."""
    public, hidden = state.public, state.hidden
    _draw_outages(public, hidden, scenario)
    start_bursts(state, scenario, False)
    for s in range(public.servers.up.shape[0]):
        hidden.copying_sum[s] = 0.0
        hidden.demand_sum[s] = 0.0
        hidden.utilisation_sum[s] = 0.0
        hidden.server_copying[s] = 0.0
    hidden.unavailable_seconds = 0.0
    hidden.copying = False
    hidden.substeps_held = 0
    for r in range(hidden.read_count):
        hidden.is_read[hidden.read[r]] = False
    hidden.read_count = 0
    for k in range(hidden.running_count):
        _list_read(hidden, public.jobs[hidden.running[k]].dataset)
    for k in range(hidden.burst_count):
        _list_read(hidden, scenario.bursts[hidden.bursts[k]].dataset)
    spread_background(state, scenario)


@kernel
def _list_read(hidden: Any, d: int) -> None:
    if not hidden.is_read[d]:
        hidden.is_read[d] = True
        hidden.read[hidden.read_count] = d
        hidden.read_count += 1
        hidden.job_demand[d] = 0.0
        hidden.job_demand_sum[d] = 0.0


@kernel
def _list_holders(public: Any, hidden: Any) -> None:
    """Lists the servers of the live copies of every dataset where they have changed."""
    datasets, up = public.datasets, public.servers.up
    for d in range(datasets.unlisted.shape[0]):
        if datasets.unlisted[d]:
            datasets.unlisted[d] = False
            live = 0
            for s in range(up.shape[0]):
                if datasets.placed[d, s] == LIVE_COPY and up[s]:
                    hidden.holder[d, live] = s
                    live += 1


@kernel
def _draw_outages(public: Any, hidden: Any, scenario: Any) -> None:
    settings = public.settings
    if not settings.server_failures:
        return
    chance = settings.server_failures_per_day * settings.slot_seconds / 86400.0
    for s in range(public.servers.up.shape[0]):
        if uniform(scenario.key, SERVER_FAILURE, s, public.slot) < chance:
            end = public.slot * settings.slot_seconds
            end += repair_seconds(settings, scenario.key, SERVER_REPAIR, s, public.slot)
            hidden.server_repair_seconds[s] = max(hidden.server_repair_seconds[s], end)
            if public.servers.up[s]:
                _take_down(public, s)


@kernel
def spread_background(state: Any, scenario: Any) -> None:
    """Spreads the demand of background readers over the live copies of every dataset."""
    public, hidden = state.public, state.hidden
    datasets, load = public.datasets, hidden.background_load
    row = scenario.background[public.slot % scenario.background.shape[0]]
    _list_holders(public, hidden)
    demanded, lost = 0.0, 0.0
    for s in range(load.shape[0]):
        load[s] = 0.0
    for d in range(datasets.size.shape[0]):
        demand, live = float(row[d]), datasets.live[d]  # without numba, what follows would be in single precision
        demanded += demand
        lost += demand if live == 0 else 0.0
        share = demand / max(1, live)
        for h in range(live):
            load[int64(hidden.holder[d, h])] += share
    hidden.background_demand, hidden.background_lost = demanded, lost


@kernel
def move_copies(state: Any, scenario: Any) -> bool:
    """Moves every copy in flight on by one sub-slot; one that arrives is live at once.

    Returns:
        Whether copies take another bandwidth than in the sub-slot before, or may do so.
    """
    public, hidden = state.public, state.hidden
    if public.flight_count == 0 and not hidden.copying:
        return False
    book_load(state, scenario)  # what was served until now, before bandwidths and copies change
    servers, settings, dt = public.servers, public.settings, public.settings.storage_seconds
    for s in range(servers.up.shape[0]):
        hidden.server_copying[s] = 0.0
    hidden.copying = public.flight_count > 0
    for f in range(public.flight_count):
        flight = public.flights[f]
        source_share = servers.bandwidth[flight.source] / servers.flights[flight.source]
        target_share = servers.bandwidth[flight.target] / servers.flights[flight.target]
        moved = min(flight.remaining, settings.copy_share * min(source_share, target_share) * dt)
        flight.remaining -= moved
        hidden.server_copying[flight.source] += moved / dt
        hidden.server_copying[flight.target] += moved / dt
        hidden.totals.bytes_moved += moved
    if _land(public, hidden):
        spread_background(state, scenario)
    return True


@kernel
def _land(public: Any, hidden: Any) -> bool:
    """Makes the copies live that have arrived; True if any has."""
    index, landed = 0, False
    while index < public.flight_count:
        if public.flights[index].remaining <= 0.0:
            hidden.totals.copies_added += 1
            end_flight(public, index, True)
            landed = True
        else:
            index += 1
    return landed


@kernel
def spread_load(state: Any, scenario: Any) -> None:
    """Books the load that lasted until now, and works out that of this sub-slot.

    It is what each server is asked for and serves, and the speed factor of each dataset that jobs read.
    """
    public, hidden = state.public, state.hidden
    book_load(state, scenario)
    datasets, servers, load = public.datasets, public.servers, hidden.server_load
    for s in range(load.shape[0]):
        load[s] = hidden.background_load[s]
    for r in range(hidden.read_count):
        d = hidden.read[r]
        hidden.job_demand[d] = 0.0
        hidden.job_readers[d] = 0
    for k in range(hidden.running_count):
        asked = hidden.jobs[hidden.running[k]].asked
        if asked > 0.0:
            d = public.jobs[hidden.running[k]].dataset
            hidden.job_demand[d] += asked
            hidden.job_readers[d] += 1
    for k in range(hidden.burst_count):
        burst = scenario.bursts[hidden.bursts[k]]
        hidden.job_demand[burst.dataset] += hidden.burst_asked[k]
        hidden.job_readers[burst.dataset] += burst.readers
    for r in range(hidden.read_count):
        d = hidden.read[r]
        if datasets.live[d] > 0:
            share = hidden.job_demand[d] / datasets.live[d]
            for h in range(datasets.live[d]):
                load[int64(hidden.holder[d, h])] += share
    for s in range(load.shape[0]):
        effective = servers.bandwidth[s] - hidden.server_copying[s]
        hidden.served_share[s] = effective / load[s] if load[s] > effective else 1.0
    for r in range(hidden.read_count):
        d = hidden.read[r]
        hidden.speed_factor[d] = _mean_share(public, hidden, d) if public.settings.storage_stalls else 1.0


@kernel
def _mean_share(public: Any, hidden: Any, dataset: int) -> float:
    """Mean share that the live copies of a dataset serve; 0 without one."""
    live, total = public.datasets.live[dataset], 0.0
    if live == 0:
        return 0.0
    for h in range(live):
        total += hidden.served_share[int64(hidden.holder[dataset, h])]
    return total / live


@kernel
def book_load(state: Any, scenario: Any) -> None:
    """Adds up what servers did since the last booking, ``hidden.substeps_held`` sub-slots of one and the same load."""
    public, hidden = state.public, state.hidden
    count = hidden.substeps_held
    if count == 0:
        return
    hidden.substeps_held = 0
    seconds = count * public.settings.storage_seconds
    _book_servers(public, hidden, count, seconds)
    row = scenario.background[public.slot % scenario.background.shape[0]]
    datasets, totals, settings = public.datasets, hidden.totals, public.settings
    factor = decay(seconds, settings.heat_half_life_seconds)
    demanded, lost = hidden.background_demand, hidden.background_lost
    waiting = lost / settings.reader_bytes_per_second
    for r in range(hidden.read_count):
        d = hidden.read[r]
        demand = hidden.job_demand[d]
        demanded += demand
        if datasets.live[d] == 0:
            lost += demand
            waiting += hidden.job_readers[d]
        hidden.job_demand_sum[d] += demand * count
        datasets.heat[d] = updated_heat(datasets.heat[d], (demand + row[d]) * seconds, seconds, factor)
    totals.bytes_demanded += demanded * seconds
    totals.bytes_unavailable += lost * seconds
    hidden.unavailable_seconds += waiting * seconds


@kernel
def _book_servers(public: Any, hidden: Any, count: int, seconds: float) -> None:
    """The part of :func:`book_load` that sums over servers; statistics of load are over those that are up."""
    servers, totals = public.servers, hidden.totals
    up, total, squares, largest, bandwidth = 0, 0.0, 0.0, 0.0, 0.0
    for s in range(servers.up.shape[0]):
        load, share = hidden.server_load[s], hidden.served_share[s]
        effective = servers.bandwidth[s] - hidden.server_copying[s]
        hidden.demand_sum[s] += load * count
        hidden.utilisation_sum[s] += load / effective * count
        hidden.copying_sum[s] += hidden.server_copying[s] * count
        if not servers.up[s]:
            continue
        served = load * share * seconds
        totals.bytes_served += served
        totals.bytes_stalled += load * (1.0 - share) * seconds
        if load > HOT_UTILISATION * effective:
            totals.bytes_hot += served
        up += 1
        total += load
        squares += load * load
        largest = max(largest, load)
        bandwidth += servers.bandwidth[s]
    if total > 0.0:
        mean = total / up
        totals.load_max_over_mean += largest / mean * count
        totals.load_variation += math.sqrt(max(0.0, squares / up - mean * mean)) / mean * count
        totals.loaded_substeps += count
        totals.storage_utilisation += total / bandwidth * count
    totals.substeps += count


@kernel
def end_storage_slot(state: Any, scenario: Any) -> None:
    """Publishes the slot's mean load and heat, and lets repaired servers come back with their disks."""
    public, hidden = state.public, state.hidden
    book_load(state, scenario)
    settings, datasets = public.settings, public.datasets
    now = (public.slot + 1) * settings.slot_seconds
    for s in range(public.servers.up.shape[0]):
        public.servers.demand[s] = hidden.demand_sum[s] / settings.substeps
        public.servers.utilisation[s] = hidden.utilisation_sum[s] / settings.substeps
        public.servers.copying[s] = hidden.copying_sum[s] / settings.substeps
        hidden.effective[s] = public.servers.bandwidth[s] - public.servers.copying[s]
        if not public.servers.up[s] and hidden.server_repair_seconds[s] <= now:
            _bring_up(public, s)
    row = scenario.background[public.slot % scenario.background.shape[0]]
    factor = decay(settings.slot_seconds, settings.heat_half_life_seconds)
    medium, short = decay(settings.slot_seconds, MEDIUM_HALF_LIFE), decay(settings.slot_seconds, SHORT_HALF_LIFE)
    for d in range(datasets.size.shape[0]):
        demand, read = float(row[d]), hidden.is_read[d] != 0
        unread = updated_heat(datasets.heat[d], demand * settings.slot_seconds, settings.slot_seconds, factor)
        datasets.heat[d] = datasets.heat[d] if read else unread  # book_load has updated those that are read
        demand += hidden.job_demand_sum[d] / settings.substeps if read else 0.0
        datasets.demand[d] = demand
        datasets.heat_medium[d] = medium * datasets.heat_medium[d] + (1.0 - medium) * demand
        datasets.heat_short[d] = short * datasets.heat_short[d] + (1.0 - short) * demand
        datasets.changed[d] = 0
    _note_storage(public, hidden, factor)
    recover(public)


@kernel
def _note_storage(public: Any, hidden: Any, factor: float) -> None:
    """Books what is stored and how long reads took in the slot, and moves the trends of the servers."""
    servers, totals, request = public.servers, hidden.totals, public.settings.request_bytes
    stored, size = 0.0, 0.0
    for d in range(public.datasets.size.shape[0]):
        size += public.datasets.size[d]
    for s in range(servers.up.shape[0]):
        stored += servers.stored[s]
        servers.trend[s] = factor * servers.trend[s] + (1.0 - factor) * servers.utilisation[s]
    public.storage_factor = stored / size
    totals.storage_factor += public.storage_factor
    if request == 0.0:
        return
    mean = cluster_mean(request, servers.demand, hidden.effective)
    if mean > 0.0:
        totals.latency_mean += mean
        totals.latency_p95 += cluster_p95(request, servers.demand, hidden.effective)
        totals.latency_p99 += cluster_p99(request, servers.demand, hidden.effective)
        totals.latency_slots += 1


@kernel
def _take_down(public: Any, server: int) -> None:
    public.servers.up[server] = False
    public.servers.down_slot[server] = public.slot
    for d in range(public.datasets.size.shape[0]):
        if public.datasets.placed[d, server] == LIVE_COPY:
            public.datasets.live[d] -= 1
            public.datasets.unlisted[d] = True
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
            public.datasets.unlisted[d] = True
