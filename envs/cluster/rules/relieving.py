"""Replicas by a search over every copy that could be added or dropped, by what that does to the load of all servers.

The rules of thresholds look at one dataset at a time; this one predicts the load of the servers from an estimate of
every dataset's demand, and takes the move of the highest score: the pressure (`psgym.replicas.balance`) that it takes
off the servers, less its price. What the estimate is tells policies apart: measured heat (load-aware), a forecast, the
true demand to come (the oracle, which alone may read the scenario), or a learned sum of all that is measured.

The learned score has terms more. A copy in flight takes bandwidth from its source and its target while it is made,
which hurts where they are busy. What counts as busy, and what a move must bring, moves with the load of all servers,
and a dataset that has just changed is left alone more readily. With those weights at zero this is the search of the
other policies.

No environment runs this rule in its own step, so its kernels are compiled only for those who use it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from psgym.envs.cluster.copies import choose_drop, choose_target, may_drop, may_hold, may_start_copy, source_of
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.moves import ADD, DROP, STOP, change_copies
from psgym.envs.cluster.records import NO_COPY
from psgym.envs.cluster.rules.ladder import COMMIT, action_of
from psgym.replicas.balance import SLACK, pressure

WEIGHTS = (
    "demand",
    "heat_short",
    "heat_medium",
    "heat",
    "announced",
    "target",
    "target_loaded",
    "even",
    "transfer",
    "add_price",
    "drop_price",
    "price_loaded",
    "recent",
    "fullness",
)
"""Names of the weights.

The first five weigh what is measured of a dataset, as its record calls it: reads of the last slot, heat of half-lives
of 30 s, 2 min and the configuration's, and what waiting readers announce; the sum is the demand to come, unless a
policy knows it otherwise. ``target`` is the utilisation above which a server's load does harm, and moves by
``target_loaded`` times what all servers together are busier than `USUAL`; ``even`` is added to the weight 1 of the
small part of the pressure that balances servers with room. ``transfer`` weighs the pressure that a copy in flight
causes at its source and target. ``add_price`` and ``drop_price`` are logarithms of the relief that a move must bring,
for each copy's size over what a server delivers in 5 minutes (a copy costs bandwidth now, a drop costs it when the copy
is missed), and move by ``price_loaded`` as the target does. ``recent`` is what a move of a dataset that has just
changed must bring beyond that; it fades within `RECENT_SECONDS`. Above ``fullness``, a share of all disks, the copy
that is missed least is dropped, unless that costs more than the price of a drop whatever its size.
"""
LEARNED = tuple(name for name in WEIGHTS if name != "heat_medium")
"""Names of those that are learned: of heat, two half-lives, whose difference tells what rises."""

DEMAND, HEAT_SHORT, HEAT_MEDIUM, HEAT, ANNOUNCED, TARGET, TARGET_LOADED, EVEN, TRANSFER = range(9)
ADD_PRICE, DROP_PRICE, PRICE_LOADED, RECENT, FULLNESS = range(9, 14)
REFERENCE_SECONDS = 300.0
"""The price of a copy is set against what a server can deliver in this time."""
USUAL = 0.6
"""Utilisation of all servers together at which target and prices are as they are."""
RECENT_SECONDS = 600.0
"""Time constant with which a change of a dataset is forgotten."""


class View(NamedTuple):
    """What all moves of one decision are judged by."""

    demand: Any
    """Expected of each dataset (bytes/s), shape ``(datasets,)``."""
    load: Any
    """Expected of each server (bytes/s), shape ``(servers,)``."""
    pressure: Any
    """On each server."""
    strain: Any
    """What a copy in flight would add to it."""
    target: float
    """Utilisation above which load does harm."""
    dearness: float
    """Factor of the prices."""


@kernel
def expect(public: Any, known: Any, weights: Any) -> Any:
    """Demand to come for each dataset (bytes/s): as it is known, or the weighed sum of what is measured where NaN."""
    datasets, demand = public.datasets, np.empty(known.shape[0])
    for d in range(demand.shape[0]):
        found = weights[DEMAND] * datasets.demand[d] + weights[HEAT_SHORT] * datasets.heat_short[d]
        found += weights[HEAT_MEDIUM] * datasets.heat_medium[d]
        found += weights[HEAT] * datasets.heat[d] + weights[ANNOUNCED] * datasets.announced[d]
        demand[d] = max(0.0, found)
    for d in range(demand.shape[0]):  # apart, since a loop without questions is four times as fast
        if not np.isnan(known[d]):
            demand[d] = known[d]
    return demand


@kernel
def _copies(public: Any, dataset: int) -> int:
    return int64(public.datasets.live[dataset] + public.datasets.pending[dataset])


@kernel
def _holds(public: Any, dataset: int, server: int) -> bool:
    return bool(public.servers.up[server]) and public.datasets.placed[dataset, server] != NO_COPY


@kernel
def _pressure(load: float, bandwidth: float, target: float, weights: Any) -> float:
    return pressure(load, bandwidth, target, (1.0 + weights[EVEN]) * SLACK)


@kernel
def _look(public: Any, demand: Any, weights: Any) -> View:
    servers, count = public.servers, public.servers.up.shape[0]
    load, now, strain = np.zeros(count), np.empty(count), np.zeros(count)
    for d in range(demand.shape[0]):
        share = demand[d] / max(1, _copies(public, d))
        for s in range(count):
            if _holds(public, d, s):
                load[s] += share
    offered = 0.0
    for s in range(count):
        offered += servers.bandwidth[s] * servers.up[s]
    busier = load.sum() / max(1.0, offered) - USUAL
    target = weights[TARGET] + weights[TARGET_LOADED] * busier
    for s in range(count):
        now[s] = _pressure(load[s], servers.bandwidth[s], target, weights)
        if servers.flights[s] == 0:  # further flights share what the first one takes
            left = (1.0 - public.settings.copy_share) * servers.bandwidth[s]
            strain[s] = weights[TRANSFER] * (_pressure(load[s], left, target, weights) - now[s])
    return View(demand, load, now, strain, target, math.exp(weights[PRICE_LOADED] * busier))


@kernel
def _relief(public: Any, view: View, server: int, more: float, weights: Any) -> float:
    """Pressure that a change of a server's load takes off it."""
    bandwidth = public.servers.bandwidth[server]
    return float(view.pressure[server] - _pressure(view.load[server] + more, bandwidth, view.target, weights))


@kernel
def _relief_of_holders(public: Any, view: View, dataset: int, more: float, weights: Any) -> float:
    total = 0.0
    for s in range(view.load.shape[0]):
        if _holds(public, dataset, s):
            total += _relief(public, view, s, more, weights)
    return total


@kernel
def _best_add(public: Any, view: View, dataset: int, price: float, weights: Any) -> tuple[int, float]:
    """The server on which one more copy of a dataset scores highest, and its score; -1 if none may hold it."""
    best, most = -1, -np.inf
    if not may_start_copy(public, dataset):
        return best, most
    copies, settings = _copies(public, dataset), public.settings
    share = view.demand[dataset] / (copies + 1)
    base = _relief_of_holders(public, view, dataset, share - view.demand[dataset] / copies, weights) - price
    flight = public.datasets.size[dataset] / (settings.copy_share * settings.bandwidth_bytes_per_second)
    flight /= REFERENCE_SECONDS
    base -= flight * view.strain[source_of(public, dataset)]
    fixed = choose_target(public, dataset) if settings.placement != 1 else -1
    for s in range(view.load.shape[0]):
        if (fixed < 0 or s == fixed) and may_hold(public, dataset, s):
            score = base + _relief(public, view, s, share, weights) - flight * view.strain[s]
            if score > most:
                best, most = s, score
    return best, most


@kernel
def _best_drop(public: Any, view: View, dataset: int, weights: Any) -> tuple[int, float]:
    """The server whose copy of a dataset is missed least, and the relief of dropping it; -1 if none may go."""
    best, most = -1, -np.inf
    datasets, settings = public.datasets, public.settings
    if datasets.live[dataset] <= settings.minimum_copies or datasets.pending[dataset] > 0:
        return best, most
    copies = _copies(public, dataset)
    share = view.demand[dataset] / copies
    more = view.demand[dataset] / (copies - 1) - share
    base = _relief_of_holders(public, view, dataset, more, weights)
    fixed = choose_drop(public, dataset) if settings.placement != 1 else -1
    for s in range(view.load.shape[0]):
        if (fixed < 0 or s == fixed) and may_drop(public, dataset, s):
            score = base - _relief(public, view, s, more, weights) + _relief(public, view, s, -share, weights)
            if score > most:
                best, most = s, score
    return best, most


@kernel
def _too_full(public: Any, weights: Any) -> bool:
    return bool(public.servers.stored.sum() > weights[FULLNESS] * public.servers.capacity.sum())


@kernel
def next_move(public: Any, demand: Any, weights: Any) -> tuple[int, int, int]:
    """Candidate, direction and server of the move of the highest score above zero; candidate -1 if there is none.

    Where the disks are too full, then the drop that is missed least for each byte that it frees.
    """
    datasets, settings = public.datasets, public.settings
    view, full = _look(public, demand, weights), _too_full(public, weights)
    add_price = view.dearness * math.exp(weights[ADD_PRICE])
    drop_price = view.dearness * math.exp(weights[DROP_PRICE])
    best, candidate, direction, server = 0.0, -1, ADD, -1
    least, spared, spared_server = -np.inf, -1, -1
    for c in range(public.candidate.shape[0]):
        d = int64(public.candidate[c])
        if datasets.changed[d] != 0 or _copies(public, d) == 0:
            continue
        relative = datasets.size[d] / (settings.bandwidth_bytes_per_second * REFERENCE_SECONDS)
        since = (public.slot - datasets.changed_slot[d]) * settings.slot_seconds
        hurry = weights[RECENT] * math.exp(-since / RECENT_SECONDS)
        s, score = _best_add(public, view, d, add_price * relative + hurry, weights)
        if s >= 0 and score > best:
            best, candidate, direction, server = score, c, ADD, s
        s, relief = _best_drop(public, view, d, weights)
        score = relief - drop_price * relative - hurry
        if s >= 0 and score > best:
            best, candidate, direction, server = score, c, DROP, s
        if full and s >= 0 and relief > -drop_price and relief / datasets.size[d] > least:
            least, spared, spared_server = relief / datasets.size[d], c, s
    if candidate >= 0 or spared < 0:
        return candidate, direction, server
    return spared, DROP, spared_server


@kernel
def extend_relieving(states: Any, known: Any, weights: Any, actions: Any) -> None:
    """Puts the next action in the place of every COMMIT.

    Args:
        states: The clusters.
        known: Demand to come for each dataset (bytes/s), NaN where the weights tell, shape ``(clusters, datasets)``.
        weights: Row i is that of cluster i, shape ``(clusters, 14)``.
        actions: Changed where they are COMMIT, shape ``(clusters,)``.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        if actions[index] == COMMIT and public.settings.decides_replicas:
            demand = expect(public, known[index], weights[index])
            c, direction, server = next_move(public, demand, weights[index])
            if c >= 0:
                actions[index] = action_of(public, c, direction, server)


@kernel
def plan_relieving(states: Any, weights: Any, codes: Any) -> None:
    """Carries out all decisions of a slot in every cluster, which leaves the slot to be committed.

    The same moves as by single decisions on measured demand, without observations and masks in between.

    Args:
        states: The clusters.
        weights: Row i is that of cluster i, shape ``(clusters, 14)``.
        codes: Filled with the decisions, ``STOP`` after the last, shape ``(clusters, at least the most of a slot)``.
    """
    for index in range(states.shape[0]):
        public, hidden = states[index].public, states[index].hidden
        demand = expect(public, np.full(public.datasets.demand.shape[0], np.nan), weights[index])  # no move changes it
        codes[index, 0] = STOP
        for decision in range(public.settings.max_decisions_per_slot - 1 - public.decisions):
            c, direction, server = next_move(public, demand, weights[index])
            if c < 0:
                break
            change_copies(public, hidden, c, direction, server if public.settings.placement == 1 else -1)
            codes[index, decision] = 1 + 2 * c + direction
            codes[index, decision + 1] = STOP
