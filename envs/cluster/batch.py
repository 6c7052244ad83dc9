"""The kernels that Python calls: each works on a whole batch, and leaves what comes next in ``outcome.pending``.

A step is one or two of them: decide, and where slots were committed, live through them and open the next ones. One
kernel for both would run no faster and compile longer, because LLVM optimises all that a kernel calls once more with
it.
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
            outcome.pending = TO_LIVE
            any_committed = True
        else:
            metrics[index, metrics.shape[1] - 2] += 1.0
            metrics[index, metrics.shape[1] - 1] += outcome.refused
    return any_committed


@kernel
def _clear(outcome: Any) -> None:
    outcome.reward = 0.0
    outcome.slots_elapsed = 0
    for term in range(outcome.terms.shape[0]):
        outcome.terms[term] = 0.0


@kernel
def advance_batch(
    states: Any, scenarios: Any, observations: Any, masks: Any, metrics: Any, outcomes: Any, first: int, last: int
) -> None:
    """Lives through the slots that were committed, opens the next ones and those of new episodes, and shows them."""
    for index in range(first, last):
        outcome = outcomes[index]
        if outcome.pending == NOTHING:
            continue
        state, scenario = states[index], scenarios[index]
        if outcome.pending == TO_LIVE:
            live_slot(state, scenario, outcome)
        if outcome.pending != TO_SHOW:
            open_slot(state, scenario)
        outcome.pending = NOTHING
        observe(state.public, observations[index])
        write_mask(state.public, masks[index])
        write_metrics(state, metrics[index])
