"""The kernels that Python calls: each works on a whole batch, and leaves what comes next in ``hidden.pending``.

A step is up to three of them: decide, live through the slots that were committed, open the next ones. One kernel
for all three would run no faster and compile longer, because LLVM optimises all that a kernel calls once more with it.
"""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.decide import decide, write_mask
from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.metrics import write_metrics
from psgym.envs.cluster.observe import observe
from psgym.envs.cluster.slot import live_slot, open_slot

NOTHING, TO_LIVE, TO_OPEN, TO_SHOW = range(4)


@kernel
def decide_batch(states: Any, actions: Any, observations: Any, masks: Any, metrics: Any, outcomes: Any) -> bool:
    """Carries out one decision of every cluster; one whose action is negative rests. True if any committed."""
    any_committed = False
    for index in range(states.shape[0]):
        if actions[index] < 0:
            continue
        state, outcome = states[index], outcomes[index]
        if outcome.slots_elapsed > 0:
            _clear(outcome)
        if decide(state, actions[index], observations[index], masks[index], outcome):
            state.hidden.pending = TO_LIVE
            any_committed = True
        else:
            metrics[index, metrics.shape[1] - 2] = state.hidden.totals.decisions
            metrics[index, metrics.shape[1] - 1] = state.hidden.totals.refusals
    return any_committed


@kernel
def _clear(outcome: Any) -> None:
    outcome.reward = 0.0
    outcome.slots_elapsed = 0
    for term in range(outcome.terms.shape[0]):
        outcome.terms[term] = 0.0


@kernel
def live_batch(states: Any, scenarios: Any, outcomes: Any) -> None:
    """Lives through the slot of every cluster that committed."""
    for index in range(states.shape[0]):
        if states[index].hidden.pending == TO_LIVE:
            live_slot(states[index], scenarios[index], outcomes[index])
            states[index].hidden.pending = TO_OPEN


@kernel
def open_batch(states: Any, scenarios: Any, observations: Any, masks: Any, metrics: Any, first: int, last: int) -> None:
    """Opens the next slot where one has been lived through or an episode begins, and shows it."""
    for index in range(first, last):
        state = states[index]
        if state.hidden.pending == NOTHING:
            continue
        if state.hidden.pending == TO_OPEN:
            open_slot(state, scenarios[index])
        state.hidden.pending = NOTHING
        observe(state.public, observations[index])
        write_mask(state.public, masks[index])
        write_metrics(state, metrics[index])
