"""Replica rules that only policies need: caches, Scarlett, thresholds with numbers of their own, full replication.

They choose among the same candidates and servers as an agent, and return an action of ``psgym/Replicas-v0``. Nothing
here is called by an environment's step, so it is compiled only where one of these policies is used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from psgym.envs.cluster.chance import PLACEMENT, uniform
from psgym.envs.cluster.copies import choose_drop, choose_target, end_flight, may_hold, start_copy
from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.moves import ADD, DROP, STOP, may_change_copies
from psgym.envs.cluster.records import NO_COPY
from psgym.envs.cluster.rules.replicas import Thresholds, next_by_thresholds
from psgym.replicas.eviction import dataset_to_evict
from psgym.replicas.placement import most_free, power_of_two, random_choice, weighted
from psgym.replicas.racks import on_new_rack
from psgym.replicas.scarlett import scarlett_counts

COMMIT = 0
LEAST_LOADED, WEIGHTED, POWER_OF_TWO, RANDOM, MOST_FREE = range(5)


class Fill(NamedTuple):
    """The numbers of a rule that keeps the disks full of what is read most."""

    most_copies: int
    """Copies that a dataset may have."""
    adds: int
    """Copies that may start in one slot."""
    frequency: bool
    """Rank by all reads so far (LFU), not by the newest (LRU)."""


class Scarlett(NamedTuple):
    """The numbers of Scarlett."""

    period: int
    """Slots between two plans; it learns from two such periods."""
    budget: float
    """Bytes for copies beyond the initial ones, as a share of those."""
    round_robin: bool
    """Spend the budget one copy at a time instead of by priority."""
    fullness: float
    """Spare copies are dropped while more than this share of all disks is in use."""


@kernel
def action_of(public: Any, c: int, direction: int, server: int) -> int:
    """The action of adding or dropping a copy of candidate c on a server."""
    code, first = 2 * c + direction, public.settings.first_replica
    if public.settings.placement != 1:
        return int(first + code)
    return int(first + code * public.servers.up.shape[0] + server)


@kernel
def threshold_actions(states: Any, rule: Thresholds, placement: int, actions: Any) -> None:
    """The next action of a rule of thresholds in every cluster of a batch."""
    for index in range(states.shape[0]):
        public = states[index].public
        code = next_by_thresholds(public, rule)
        actions[index] = COMMIT
        if code != STOP:
            c, direction = (code - 1) // 2, (code - 1) % 2
            d = int64(public.candidate[c])
            server = pick_target(public, d, placement) if direction == ADD else choose_drop(public, d)
            actions[index] = action_of(public, c, direction, server)


@kernel
def pick_target(public: Any, dataset: int, placement: int) -> int:
    """The server for a new copy by one of the rules of ``psgym.replicas.placement``; -1 if none may take it."""
    servers = public.servers
    target = choose_target(public, dataset)
    if target < 0 or placement == LEAST_LOADED:
        return target
    count = servers.up.shape[0]
    feasible, new_rack = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    holder, free, tie = np.zeros(count, np.bool_), np.zeros(count), np.zeros(count)
    for s in range(count):
        feasible[s] = may_hold(public, dataset, s)
        holder[s] = public.datasets.placed[dataset, s] != NO_COPY
        free[s] = 1.0 - servers.stored[s] / servers.capacity[s]
        tie[s] = uniform(np.uint64(0), PLACEMENT, dataset * count + s, public.slot)
    if placement == POWER_OF_TWO:
        return int(power_of_two(servers.utilisation, feasible, tie))
    if placement == RANDOM:
        return int(random_choice(feasible, tie))
    if placement == MOST_FREE:
        return int(most_free(free, feasible, tie))
    for s in range(count):
        new_rack[s] = on_new_rack(s, holder, servers.rack)
    return int(weighted(servers.utilisation, free, new_rack, feasible, tie))


@kernel
def fill_actions(states: Any, rule: Fill, seen: Any, reads: Any, actions: Any) -> None:
    """The next action of LRU or LFU fill in every cluster.

    In a fluid model every dataset is being read; one of ``d`` bytes/s had its last read about ``1 / d`` ago. So the
    order of LRU is that of the demand in the last slot, and the order of LFU that of all reads so far.

    Args:
        states: Clusters.
        rule: The numbers of the rule.
        seen: Last slot that was looked at, -1 before the first, shape ``(clusters,)``; written.
        reads: What ranks the datasets, shape ``(clusters, datasets)``; written.
        actions: Written, shape ``(clusters,)``.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        if public.slot != seen[index]:
            _note_reads(public, rule.frequency and public.slot > seen[index], reads[index])
            seen[index] = public.slot
        actions[index] = _next_fill(public, rule, reads[index])


@kernel
def _note_reads(public: Any, accumulate: bool, reads: Any) -> None:
    for d in range(reads.shape[0]):
        newest = public.datasets.demand[d] if public.slot > 0 else public.datasets.heat[d]
        reads[d] = reads[d] + newest if accumulate else newest


@kernel
def _next_fill(public: Any, rule: Fill, reads: Any) -> int:
    """A copy of the candidate that is read most; if no disk has room, the least read gives one up first."""
    datasets, candidate = public.datasets, public.candidate
    best, started = -1, 0
    for c in range(candidate.shape[0]):
        d = candidate[c]
        started += datasets.changed[d] > 0
        growing = datasets.changed[d] == 0 and 0 < datasets.live[d] + datasets.pending[d] < rule.most_copies
        if growing and (best < 0 or reads[d] > reads[candidate[best]]):
            best = c
    if best < 0 or started >= rule.adds:
        return COMMIT
    d = int64(candidate[best])
    if may_change_copies(public, best, ADD, -1):
        return action_of(public, best, ADD, choose_target(public, d))
    victim = _victim(public, reads)
    if victim < 0 or reads[candidate[victim]] >= reads[d] or datasets.pending[d] > 0:
        return COMMIT
    return action_of(public, victim, DROP, choose_drop(public, int64(candidate[victim])))


@kernel
def _victim(public: Any, reads: Any) -> int:
    """The candidate that gives up a copy; -1 if none may."""
    datasets, candidate = public.datasets, public.candidate
    count = candidate.shape[0]
    score, copies, tie = np.zeros(count), np.zeros(count, np.int64), np.zeros(count)
    evictable = np.zeros(count, np.bool_)
    for c in range(count):
        d = candidate[c]
        score[c], copies[c], tie[c] = reads[d], datasets.live[d], c
        evictable[c] = datasets.changed[d] == 0 and datasets.pending[d] == 0 and may_change_copies(public, c, DROP, -1)
    return int(dataset_to_evict(score, copies, public.settings.minimum_copies, evictable, tie))


@kernel
def scarlett_actions(states: Any, rule: Scarlett, seen: Any, peaks: Any, plans: Any, actions: Any) -> None:
    """The next action of Scarlett in every cluster.

    Args:
        states: Clusters.
        rule: The numbers of the rule.
        seen: Last slot that was looked at, -1 before the first, shape ``(clusters,)``; written.
        peaks: Most concurrent readers in the current and in the last period, shape ``(clusters, 2, datasets)``.
        plans: Copies wanted, shape ``(clusters, datasets)``; written.
        actions: Written, shape ``(clusters,)``.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        if public.slot != seen[index]:
            _learn_peaks(public, rule, public.slot < seen[index] or seen[index] < 0, peaks[index], plans[index])
            seen[index] = public.slot
        actions[index] = _next_scarlett(public, rule, plans[index])


@kernel
def _learn_peaks(public: Any, rule: Scarlett, begins: bool, peaks: Any, plan: Any) -> None:
    datasets, settings = public.datasets, public.settings
    if begins:
        peaks[:, :] = 0
    for d in range(plan.shape[0]):
        demand = datasets.demand[d] if public.slot > 0 else datasets.heat[d]
        readers = int(np.ceil(demand / settings.reader_bytes_per_second))
        peaks[0, d] = max(peaks[0, d], readers)
    if not begins and public.slot % rule.period != 0:
        return
    total = 0.0
    for d in range(plan.shape[0]):
        total += datasets.size[d]
        peaks[1, d] = max(peaks[0, d], peaks[1, d])
    initial = settings.initial_copies
    budget = rule.budget * initial * total
    servers = public.servers.up.shape[0]
    plan[:] = scarlett_counts(peaks[1], datasets.size, budget, 1, initial, servers, rule.round_robin)
    peaks[1] = peaks[0]
    peaks[0] = 0


@kernel
def _next_scarlett(public: Any, rule: Scarlett, plan: Any) -> int:
    datasets, candidate, servers = public.datasets, public.candidate, public.servers
    for c in range(candidate.shape[0]):
        d = int64(candidate[c])
        if datasets.changed[d] == 0 and datasets.live[d] + datasets.pending[d] < plan[d]:
            if may_change_copies(public, c, ADD, -1):
                return action_of(public, c, ADD, choose_target(public, d))
    stored, capacity = 0.0, 0.0
    for s in range(servers.up.shape[0]):
        stored += servers.stored[s]
        capacity += servers.capacity[s]
    if stored <= rule.fullness * capacity:  # deletion is lazy: a spare copy harms nobody while there is room
        return COMMIT
    for c in range(candidate.shape[0] - 1, -1, -1):
        d = int64(candidate[c])
        spare = datasets.live[d] > max(int64(plan[d]), public.settings.minimum_copies)
        if spare and datasets.pending[d] == 0 and datasets.changed[d] == 0 and may_change_copies(public, c, DROP, -1):
            return action_of(public, c, DROP, choose_drop(public, d))
    return COMMIT


@kernel
def replicate_fully(states: Any) -> None:
    """Puts a copy of every dataset on every server at the start of an episode, at no cost and whatever the disks hold.

    It changes the clusters themselves: a bound on what copies can do, no policy.
    """
    for index in range(states.shape[0]):
        public = states[index].public
        if public.slot > 0 or public.decisions > 0:
            continue
        servers, datasets = public.servers, public.datasets
        total = 0.0
        for d in range(datasets.size.shape[0]):
            total += datasets.size[d]
        for s in range(servers.up.shape[0]):
            servers.capacity[s] = max(servers.capacity[s], 1.01 * total)
            for d in range(datasets.size.shape[0]):
                if datasets.placed[d, s] == NO_COPY and datasets.live[d] > 0:
                    start_copy(public, d, s)
                    end_flight(public, int64(public.flight_count - 1), True)
                    datasets.changed[d] = 0
