"""Replicas by a learned score of every copy that could be added or dropped.

The score of `psgym.envs.cluster.rules.greedy`, the pressure that a move takes off the servers less its price, with
terms more. The demand to come is a weighed sum of what was read in the last slot, of heat at two time scales, and of
what waiting readers announce. A copy in flight takes bandwidth from its source and its target while it is made, which
hurts where they are busy. What counts as busy, and what a move must bring, moves with the load of all servers, and a
dataset that has just changed is left alone more readily. With those weights at zero this is the greedy search on heat.

No environment runs this rule in its own step, so its kernels are compiled only for those who use it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from psgym.envs.cluster.copies import choose_drop, choose_target, may_drop, may_hold, may_start_copy
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.moves import ADD, DROP, STOP, change_copies
from psgym.envs.cluster.records import LIVE_COPY, NO_COPY
from psgym.envs.cluster.rules.greedy import REFERENCE_SECONDS
from psgym.envs.cluster.rules.ladder import COMMIT, action_of
from psgym.replicas.balance import SLACK, pressure

WEIGHTS = (
    "demand",
    "heat_short",
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

``demand`` (of the last slot), ``heat_short`` (half-life 30 s), ``heat`` (the configuration's) and ``announced`` weigh
what makes up the demand to come. ``target`` is the utilisation above which a server's load does harm, and moves by
``target_loaded`` times what all servers together are busier than `USUAL`; ``even`` is added to the weight 1 of the
small part of the pressure that balances servers with room. ``transfer`` weighs the pressure that a copy in flight
causes at its source and target. ``add_price`` and ``drop_price`` are logarithms of the relief that a move must bring,
for each copy's size over what a server delivers in 5 minutes, and move by ``price_loaded`` as the target does.
``recent`` is what a move of a dataset that has just changed must bring beyond that; it fades within `RECENT_SECONDS`.
Above ``fullness``, a share of all disks, the copy that is missed least is dropped.
"""

DEMAND, HEAT_SHORT, HEAT, ANNOUNCED, TARGET, TARGET_LOADED, EVEN, TRANSFER = range(8)
ADD_PRICE, DROP_PRICE, PRICE_LOADED, RECENT, FULLNESS = range(8, 13)
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
    dearness: float
    """Factor of the prices."""


@kernel
def _expected(public: Any, weights: Any) -> Any:
    datasets = public.datasets
    demand = np.empty(datasets.size.shape[0])
    for d in range(demand.shape[0]):
        found = weights[DEMAND] * datasets.demand[d] + weights[HEAT_SHORT] * datasets.heat_short[d]
        found += weights[HEAT] * datasets.heat[d] + weights[ANNOUNCED] * datasets.announced[d]
        demand[d] = max(0.0, found)
    return demand


@kernel
def _copies(public: Any, dataset: int) -> int:
    return int64(public.datasets.live[dataset] + public.datasets.pending[dataset])


@kernel
def _holds(public: Any, dataset: int, server: int) -> bool:
    return bool(public.servers.up[server]) and public.datasets.placed[dataset, server] != NO_COPY


@kernel
def _pressure(load: float, bandwidth: float, target: float, weights: Any) -> float:
    utilisation = load / bandwidth
    return pressure(load, bandwidth, target) + weights[EVEN] * SLACK * utilisation * utilisation


@kernel
def _look(public: Any, weights: Any) -> View:
    servers, settings = public.servers, public.settings
    demand, count = _expected(public, weights), servers.up.shape[0]
    load, now, strain = np.zeros(count), np.empty(count), np.zeros(count)
    for d in range(demand.shape[0]):
        if demand[d] > 0.0:
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
            left = (1.0 - settings.copy_share) * servers.bandwidth[s]
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
def _source(public: Any, dataset: int) -> int:
    """The server that a copy would be read from: the least-loaded holder, as `copies.start_copy` picks it."""
    servers, best = public.servers, -1
    for s in range(servers.up.shape[0]):
        if servers.up[s] and public.datasets.placed[dataset, s] == LIVE_COPY:
            if best < 0 or servers.utilisation[s] < servers.utilisation[best]:
                best = s
    return best


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
    base -= flight * view.strain[_source(public, dataset)]
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
def next_move(public: Any, weights: Any) -> tuple[int, int, int]:
    """Candidate, direction and server of the move of the highest score above zero; candidate -1 if there is none.

    Where the disks are too full, then the drop that is missed least for each byte that it frees.
    """
    datasets, settings = public.datasets, public.settings
    view, full = _look(public, weights), _too_full(public, weights)
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
        if s >= 0 and relief - drop_price * relative - hurry > best:
            best, candidate, direction, server = relief - drop_price * relative - hurry, c, DROP, s
        if full and s >= 0 and relief > -drop_price and relief / datasets.size[d] > least:
            least, spared, spared_server = relief / datasets.size[d], c, s
    if candidate >= 0 or spared < 0:
        return candidate, direction, server
    return spared, DROP, spared_server


@kernel
def extend_relieving(states: Any, weights: Any, actions: Any) -> None:
    """Puts the next action in the place of every COMMIT; row i of the weights is that of cluster i."""
    for index in range(states.shape[0]):
        public = states[index].public
        if actions[index] == COMMIT and public.settings.decides_replicas:
            c, direction, server = next_move(public, weights[index])
            if c >= 0:
                actions[index] = action_of(public, c, direction, server)


@kernel
def plan_relieving(states: Any, weights: Any, codes: Any) -> None:
    """Carries out all decisions of a slot in every cluster, which leaves the slot to be committed.

    The same moves as by single decisions, without observations and masks in between.

    Args:
        states: The clusters.
        weights: Row i is that of cluster i, shape ``(clusters, 13)``.
        codes: Filled with the decisions, ``STOP`` after the last, shape ``(clusters, at least the most of a slot)``.
    """
    for index in range(states.shape[0]):
        public, hidden = states[index].public, states[index].hidden
        codes[index, 0] = STOP
        for decision in range(public.settings.max_decisions_per_slot - 1 - public.decisions):
            c, direction, server = next_move(public, weights[index])
            if c < 0:
                break
            change_copies(public, hidden, c, direction, server if public.settings.placement == 1 else -1)
            codes[index, decision] = 1 + 2 * c + direction
            codes[index, decision + 1] = STOP
