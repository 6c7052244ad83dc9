"""One slot of the cluster: from a committed plan to the next slot's decisions."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.bursts import advance_bursts, announce_bursts, ask_for_bursts
from psgym.envs.cluster.capacity import draw_node_failures, switch_off_drained, update_nodes
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.jobs import (
    admit_arrivals,
    ask_for_data,
    close_jobs,
    count_demand,
    make_progress,
    settle_plan,
    strike_failed_nodes,
)
from psgym.envs.cluster.needs import learn_need
from psgym.envs.cluster.placement import recount_fits
from psgym.envs.cluster.planning import choose_candidates, choose_window, count_waiting, open_plan
from psgym.envs.cluster.rules.capacity import FORECAST
from psgym.envs.cluster.rules.parts import run_rules
from psgym.envs.cluster.storage import end_storage_slot, move_copies, spread_load, start_storage_slot

UNFINISHED, NODES, COPIES, UNAVAILABLE, STALL, HOT_TRAFFIC, STORAGE = range(7)


@kernel
def live_slot(state: Any, scenario: Any, outcome: Any) -> None:
    """Commits the plan, lives through one slot and books its cost; :func:`open_slot` opens the next."""
    public, hidden = state.public, state.hidden
    settings, totals = public.settings, hidden.totals
    totals.decisions += public.decisions
    totals.refusals += public.refusals
    run_rules(public, hidden)
    switch_off_drained(public)
    draw_node_failures(state, scenario)
    settle_plan(state, scenario)
    start_storage_slot(state, scenario)
    moved, demanded, hot = totals.bytes_moved, totals.bytes_demanded, totals.bytes_hot
    served = totals.bytes_served
    asks = ask_for_data(state)
    for substep in range(settings.substeps):
        if strike_failed_nodes(state, substep):
            asks = ask_for_data(state) or asks
        changed = move_copies(state, scenario) or asks or substep == 0
        if ask_for_bursts(state, scenario) or changed:
            spread_load(state, scenario)
        hidden.substeps_held += 1
        asks = make_progress(state, substep)
        asks = advance_bursts(state, scenario) or asks
    end_storage_slot(state, scenario)
    node_seconds = _powered_seconds(state)
    unfinished, event = close_jobs(state, scenario)
    waited, work = admit_arrivals(state, scenario, (public.slot + 1) * settings.slot_seconds)
    unfinished += waited
    totals.unfinished_seconds += unfinished
    totals.node_seconds += node_seconds
    terms = outcome.terms
    demanded = totals.bytes_demanded - demanded
    hours = settings.slot_seconds / 3600.0
    terms[UNFINISHED] = settings.unfinished_price * unfinished / 3600.0
    terms[NODES] = settings.node_price * node_seconds / 3600.0
    terms[COPIES] = settings.copy_price * (totals.bytes_moved - moved) / 1e12
    terms[UNAVAILABLE] = settings.unavailable_price * hidden.unavailable_seconds / 3600.0
    terms[STALL], terms[HOT_TRAFFIC] = 0.0, 0.0
    terms[STORAGE] = settings.storage_price * hours * max(0.0, public.storage_factor - settings.storage_target)
    _forget_moves(public, totals.bytes_moved - moved)
    if demanded > 0.0:
        terms[STALL] = settings.stall_price * hours * max(0.0, 1.0 - (totals.bytes_served - served) / demanded)
        terms[HOT_TRAFFIC] = settings.hot_traffic_price * hours * (totals.bytes_hot - hot) / demanded
    _reward(hidden, settings, outcome)
    learn_work(public, scenario, work)
    public.slot += 1
    _note_end(state, scenario, outcome)
    hidden.event = event or waited > 0.0


@kernel
def _forget_moves(public: Any, moved: float) -> None:
    """Keeps what was copied in about the last ten minutes."""
    public.recently_moved = public.recently_moved * math.exp(-public.settings.slot_seconds / 600.0) + moved


@kernel
def _reward(hidden: Any, settings: Any, outcome: Any) -> None:
    """Books the cost of the slot and turns its terms into parts of the reward."""
    outcome.slots_elapsed = 1
    outcome.reward = 0.0
    for term in range(outcome.terms.shape[0]):
        hidden.totals.cost[term] += outcome.terms[term]
        outcome.terms[term] *= -1.0 / settings.reward_scale if settings.rewarded[term] else 0.0
        outcome.reward += outcome.terms[term]


@kernel
def _powered_seconds(state: Any) -> float:
    """Node-seconds of power in the slot: booting and draining count, a failed node does not."""
    public, hidden, settings = state.public, state.hidden, state.public.settings
    total = 0.0
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.failed[n]:
            at = hidden.node_fails_at[n]
            total += settings.slot_seconds if at < 0 else at * settings.storage_seconds
    return total


@kernel
def learn_work(public: Any, scenario: Any, work: float) -> None:
    """Moving average, over about a day, of the work that a unit of traffic brings in a slot."""
    traffic = scenario.traffic[public.slot % (scenario.traffic.shape[0] - 1) + 1]
    if traffic > 0.0:
        public.work_per_traffic += (work / max(traffic, 0.05) - public.work_per_traffic) / public.settings.slots_per_day


@kernel
def _note_end(state: Any, scenario: Any, outcome: Any) -> None:
    public, settings = state.public, state.public.settings
    all_done = public.known_jobs == scenario.job_count and public.active_count == 0
    no_more = settings.job_list > 0 or (settings.drain and public.slot >= settings.slots)
    outcome.terminated = all_done and no_more
    last = 4 * settings.slots if settings.drain else settings.slots
    outcome.truncated = public.slot >= last and not outcome.terminated
    state.hidden.over = outcome.terminated or outcome.truncated


@kernel
def open_slot(state: Any, scenario: Any) -> None:
    """Prepares the decisions of a slot: what is now known, the window, the candidates, and a plan after an event."""
    public, settings = state.public, state.public.settings
    row = public.slot % settings.slots  # a drain lives through the same day again, without arrivals
    public.slot_of_day = (scenario.first_slot_of_day + public.slot) % settings.slots_per_day
    public.traffic = scenario.traffic[(public.slot - 1) % settings.slots + 1 if public.slot > 0 else 0]
    for h in range(public.forecast.shape[0]):  # element by element: numba takes seconds to compile a broadcast
        for part in range(public.forecast.shape[1]):
            public.forecast[h, part] = scenario.forecast[row, h, part]
    public.decisions = 0
    public.refusals = 0
    event = public.capacity_change != 0 or state.hidden.event
    public.capacity_change = 0
    event = update_nodes(state) or event
    if settings.decides_capacity or settings.capacity_rule == FORECAST:
        learn_need(public)
    recount_fits(public)
    count_demand(public)
    choose_window(public)
    announce_bursts(state, scenario)
    choose_candidates(public)
    public.planning = False
    if event:
        open_plan(public)
    else:
        count_waiting(public)
