"""Bursts of readers: announced, waiting, then reading one dataset until they have all the bytes that they came for.

A burst is what the literature calls shot noise with a rectangular shot: a few readers that arrive together and read at
a constant rate. Its bytes are drawn, not its end: where its reads stall, it reads for longer, so that a server that
falls behind has to catch up. The queue of waiting bursts is public; how much each will read is not.
"""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.chance import geometric, poisson
from psgym.envs.cluster.jit import int64, kernel

BEFORE = -1
"""Start of a burst that read before the first slot."""


@kernel
def mean_burst_demand(settings: Any) -> float:
    """Mean demand of all bursts that read, if nothing stalls (bytes/s): Little's law."""
    readers = settings.bursts_per_day * settings.burst_seconds / 86400.0 * settings.burst_readers
    return float(readers * settings.reader_bytes_per_second)


@kernel
def draw_bursts(settings: Any, scenario: Any, rng: Any) -> None:
    """Draws the bursts of an episode, those that read or wait at its beginning included.

    Waiting and reading times are exponential, so what is left of them at the beginning has the same law, and the
    process is stationary from the first slot on.
    """
    rate = settings.bursts_per_day / 86400.0
    for _ in range(poisson(rate * settings.burst_seconds, rng)):
        _draw_burst(settings, scenario, 0, BEFORE, rng)
    for _ in range(poisson(rate * settings.burst_wait_seconds, rng)):
        _draw_burst(settings, scenario, 0, _wait_slots(settings, rng), rng)
    for slot in range(settings.slots):
        for _ in range(poisson(rate * settings.slot_seconds, rng)):
            _draw_burst(settings, scenario, slot + 1, slot + 1 + _wait_slots(settings, rng), rng)


@kernel
def _wait_slots(settings: Any, rng: Any) -> int:
    return int(-settings.burst_wait_seconds * math.log(1.0 - rng.random()) / settings.slot_seconds)


@kernel
def _draw_burst(settings: Any, scenario: Any, announced: int, start: int, rng: Any) -> None:
    readers = geometric(settings.burst_readers, rng)
    seconds = -settings.burst_seconds * math.log(1.0 - rng.random())
    dataset = int(rng.random() * scenario.dataset_size.shape[0])
    if scenario.burst_count == scenario.bursts.shape[0]:
        return  # the record holds eight standard deviations more than the mean
    burst = scenario.bursts[scenario.burst_count]
    scenario.burst_count += 1
    burst.announced_slot, burst.start_slot, burst.dataset, burst.readers = announced, start, dataset, readers
    burst.bytes = readers * settings.reader_bytes_per_second * seconds


@kernel
def start_bursts(state: Any, scenario: Any, before: bool) -> None:
    """Lets the bursts of a slot begin to read: those that start in it, or those that did before the first."""
    public, hidden = state.public, state.hidden
    slot = BEFORE if before else public.slot % public.settings.slots  # a drain lives through the same day again
    for k in range(scenario.burst_count):
        if scenario.bursts[k].start_slot == slot and hidden.burst_count < hidden.bursts.shape[0]:
            hidden.bursts[hidden.burst_count] = k
            hidden.burst_left[hidden.burst_count] = scenario.bursts[k].bytes
            hidden.burst_count += 1
            public.datasets.bursting[scenario.bursts[k].dataset] += scenario.bursts[k].readers


@kernel
def announce_bursts(state: Any, scenario: Any) -> None:
    """Publishes what the bursts that wait at the beginning of a slot will ask for, and the longest wait."""
    public, datasets = state.public, state.public.datasets
    for d in range(datasets.announced.shape[0]):
        datasets.announced[d] = 0.0
        datasets.longest_wait[d] = 0.0
    slot = public.slot % public.settings.slots
    for k in range(scenario.burst_count):
        burst = scenario.bursts[k]
        if burst.announced_slot <= slot <= burst.start_slot:
            datasets.announced[burst.dataset] += burst.readers * public.settings.reader_bytes_per_second
            waited = (slot - burst.announced_slot + 1) * public.settings.slot_seconds
            datasets.longest_wait[burst.dataset] = max(datasets.longest_wait[burst.dataset], waited)


@kernel
def ask_for_bursts(state: Any, scenario: Any) -> bool:
    """Notes what each burst would read in this sub-slot if nothing stalled it, at most what it has left (bytes/s).

    Returns:
        Whether any asks for another amount than in the sub-slot before.
    """
    hidden, settings = state.hidden, state.public.settings
    changed = False
    for k in range(hidden.burst_count):
        most = scenario.bursts[hidden.bursts[k]].readers * settings.reader_bytes_per_second
        asked = min(most, hidden.burst_left[k] / settings.storage_seconds)
        changed = changed or asked != hidden.burst_asked[k]
        hidden.burst_asked[k] = asked
    return changed


@kernel
def advance_bursts(state: Any, scenario: Any) -> bool:
    """Takes what was served from what each burst has left; one that has everything leaves. True if any did."""
    hidden, dt = state.hidden, state.public.settings.storage_seconds
    k, before = 0, hidden.burst_count
    while k < hidden.burst_count:
        burst = scenario.bursts[hidden.bursts[k]]
        served = hidden.burst_asked[k] * hidden.speed_factor[burst.dataset] * dt
        hidden.burst_left[k] -= served
        hidden.totals.bytes_of_bursts += served
        # What less than a millisecond of reading leaves is rounding.
        if hidden.burst_left[k] <= 1e-3 * burst.readers * state.public.settings.reader_bytes_per_second:
            state.public.datasets.bursting[burst.dataset] -= burst.readers
            hidden.burst_count -= 1
            hidden.bursts[k] = hidden.bursts[hidden.burst_count]
            hidden.burst_left[k] = hidden.burst_left[hidden.burst_count]
        else:
            k += 1
    return bool(hidden.burst_count < before)


@kernel
def expected_demand(states: Any, scenarios: Any, slots: int, out: Any) -> None:
    """Writes the true mean demand of each dataset over the next slots if nothing stalls (bytes/s): for oracles."""
    for index in range(states.shape[0]):
        _expected_demand(states[index], scenarios[index], slots, out[index])


@kernel
def _expected_demand(state: Any, scenario: Any, slots: int, out: Any) -> None:
    public, hidden, settings = state.public, state.hidden, state.public.settings
    span = slots * settings.slot_seconds
    for d in range(out.shape[0]):
        out[d] = 0.0
    for step in range(slots):
        row = scenario.background[(public.slot + step) % settings.slots]
        for d in range(out.shape[0]):
            out[d] += row[d] / slots
    for k in range(hidden.burst_count):
        burst = scenario.bursts[hidden.bursts[k]]
        out[burst.dataset] += min(burst.readers * settings.reader_bytes_per_second, hidden.burst_left[k] / span)
    for k in range(scenario.burst_count):
        burst = scenario.bursts[k]
        ahead = burst.start_slot - public.slot % settings.slots
        if 0 <= ahead < slots:
            rate = burst.readers * settings.reader_bytes_per_second
            left = span - ahead * settings.slot_seconds
            out[int64(burst.dataset)] += min(rate * left, burst.bytes) / span
