"""A greedy search over every copy that could be added or dropped, by what it does to the load of all servers.

The rules of thresholds look at one dataset at a time; this one predicts the load of the servers from an estimate of
every dataset's demand, and takes the change that relieves them most. What the estimate is makes the policy: measured
heat (load-aware), a forecast, or the true demand to come (the oracle, which alone may read the scenario).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from psgym.envs.cluster.bursts import expected_demand
from psgym.envs.cluster.copies import choose_drop, choose_target, may_drop, may_hold, may_start_copy
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.moves import ADD, DROP
from psgym.envs.cluster.records import NO_COPY
from psgym.envs.cluster.rules.ladder import COMMIT, action_of
from psgym.envs.cluster.rules.replicas import heat_for
from psgym.replicas.balance import relief_of_copy, relief_of_drop
from psgym.replicas.load import server_load

REFERENCE_SECONDS = 300.0
"""The price of a copy is set against what a server can deliver in this time."""


class Search(NamedTuple):
    """The numbers of the search."""

    target: float
    """Utilisation of a server above which its load does harm."""
    price: float
    """Relief that a change must bring, for each copy's size over what a server delivers in 5 minutes: a copy costs
    bandwidth now, a drop costs it when the copy is missed."""
    fullness: float
    """The copy that is missed least is dropped while more than this share of all disks is in use."""
    memory: int
    """Which half-life of heat."""
    announced: float
    """Share of the reads announced by waiting readers that counts as demand."""


@kernel
def load_aware_actions(states: Any, rule: Search, actions: Any) -> None:
    """The next action of the search on measured heat in every cluster."""
    for index in range(states.shape[0]):
        public = states[index].public
        demand = np.empty(public.datasets.heat.shape[0])
        for d in range(demand.shape[0]):
            demand[d] = heat_for(public, d, rule.memory, rule.announced)
        actions[index] = search(public, rule, demand)


@kernel
def forecast_actions(states: Any, rule: Search, forecasts: Any, actions: Any) -> None:
    """The next action of the search on forecasts of demand, shape ``(clusters, datasets)``; NaN stands for heat."""
    for index in range(states.shape[0]):
        public = states[index].public
        demand = np.empty(public.datasets.heat.shape[0])
        for d in range(demand.shape[0]):
            demand[d] = heat_for(public, d, rule.memory, 0.0)
            if not np.isnan(forecasts[index, d]):
                demand[d] = forecasts[index, d]
            demand[d] += rule.announced * public.datasets.announced[d]
        actions[index] = search(public, rule, demand)


@kernel
def oracle_actions(states: Any, scenarios: Any, rule: Search, ahead: int, actions: Any) -> None:
    """The next action of the search on the true demand of the next slots, which only an oracle knows."""
    for index in range(states.shape[0]):
        public = states[index].public
        demand = np.empty(public.datasets.heat.shape[0])
        expected_demand(states[index], scenarios[index], ahead, demand)
        actions[index] = search(public, rule, demand)


@kernel
def search(public: Any, rule: Search, demand: Any) -> int:
    """The action that relieves the servers most, or COMMIT."""
    datasets, servers = public.datasets, public.servers
    holder = np.zeros(datasets.placed.shape, np.bool_)
    for d in range(holder.shape[0]):
        for s in range(holder.shape[1]):
            holder[d, s] = datasets.placed[d, s] != NO_COPY and servers.up[s]
    load = server_load(demand, holder)
    best, action = 0.0, COMMIT
    for c in range(public.candidate.shape[0]):
        d = int64(public.candidate[c])
        if datasets.changed[d] != 0:
            continue
        copies = np.sum(holder[d])
        price = rule.price * datasets.size[d] / (public.settings.bandwidth_bytes_per_second * REFERENCE_SECONDS)
        if may_start_copy(public, d):
            fixed = choose_target(public, d) if public.settings.placement != 1 else -1
            for s in range(load.shape[0]):
                if (fixed < 0 or s == fixed) and may_hold(public, d, s):
                    relief = relief_of_copy(demand[d], copies, holder[d], s, load, servers.bandwidth, rule.target)
                    if relief - price > best:
                        best, action = relief - price, action_of(public, c, ADD, s)
        if _may_spare(public, d):
            server, relief = _best_drop(public, rule, demand[d], copies, d, holder[d], load)
            if server >= 0 and relief - price > best:
                best, action = relief - price, action_of(public, c, DROP, server)
    return action if action != COMMIT else _make_room(public, rule, demand, holder, load)


@kernel
def _may_spare(public: Any, dataset: int) -> bool:
    datasets = public.datasets
    return datasets.live[dataset] > public.settings.minimum_copies and datasets.pending[dataset] == 0


@kernel
def _best_drop(
    public: Any, rule: Search, demand: float, copies: int, dataset: int, holder: Any, load: Any
) -> tuple[int, float]:
    """The holder whose copy is missed least, and the relief of dropping it; -1 if none may go."""
    best, most = -1, 0.0
    fixed = choose_drop(public, dataset) if public.settings.placement != 1 else -1
    for s in range(load.shape[0]):
        if (fixed < 0 or s == fixed) and may_drop(public, dataset, s):
            relief = relief_of_drop(demand, copies, holder, s, load, public.servers.bandwidth, rule.target)
            if best < 0 or relief > most:
                best, most = s, relief
    return best, most


@kernel
def _make_room(public: Any, rule: Search, demand: Any, holder: Any, load: Any) -> int:
    """Where the disks are too full, the drop that is missed least for each byte that it frees."""
    datasets, servers = public.datasets, public.servers
    stored, capacity = 0.0, 0.0
    for s in range(servers.up.shape[0]):
        stored += servers.stored[s]
        capacity += servers.capacity[s]
    if stored <= rule.fullness * capacity:
        return COMMIT
    best, action = -float("inf"), COMMIT
    for c in range(public.candidate.shape[0]):
        d = int64(public.candidate[c])
        if datasets.changed[d] != 0 or not _may_spare(public, d):
            continue
        server, relief = _best_drop(public, rule, demand[d], np.sum(holder[d]), d, holder[d], load)
        worth = relief / datasets.size[d]
        if server >= 0 and worth > best and relief > -rule.price:
            best, action = worth, action_of(public, c, DROP, server)
    return action
