"""The replica rules that environments run inside a step, applied to the candidates of a slot.

The other rules of the ladder are in :mod:`psgym.envs.cluster.rules.ladder`: what only a policy needs is compiled only
where that policy is used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.moves import ADD, DROP, STOP, may_change_copies
from psgym.replicas.rules import is_cold, is_cold_one_threshold, is_hot

NO_OP, STATIC, HOT_COLD = range(3)

LONG, MEDIUM, SHORT = range(3)
"""Half-lives of heat that a rule may look at, in the order of ``HEATS``: the configuration's, 2 min, 30 s."""


class Thresholds(NamedTuple):
    """The numbers of a rule that adds and drops by the heat of a copy."""

    hot: float
    """Tau: a dataset is hot when one copy carries more than this share of a server's bandwidth."""
    eta: float
    """A copy is dropped when the heat per copy after the drop stays below eta times tau."""
    memory: int
    """Which half-life of heat."""
    announced: float
    """Share of the reads announced by waiting readers that counts as heat."""
    one_threshold: bool
    """Judge a drop by the load before it and by tau itself, as the rule of one threshold does."""


@kernel
def next_replica(public: Any, rule: int) -> int:
    """The next code of a rule, by its index in ``REPLICA_RULES``; a dataset changes at most once a slot."""
    if rule == STATIC:
        return _static(public)
    if rule == HOT_COLD:
        settings = public.settings
        thresholds = Thresholds(settings.hot_threshold, settings.cold_ratio, settings.rule_heat, 0.0, False)
        return next_by_thresholds(public, thresholds)
    return STOP


@kernel
def code_of(c: int, direction: int) -> int:
    """The code of adding to or dropping from candidate c."""
    return 1 + 2 * c + direction


@kernel
def _static(public: Any) -> int:
    """Keeps the initial number of copies."""
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        missing = public.datasets.copies[d] + public.datasets.pending[d] < public.settings.initial_copies
        if missing and public.datasets.changed[d] == 0 and may_change_copies(public, c, ADD, -1):
            return code_of(c, ADD)
    return STOP


@kernel
def next_by_thresholds(public: Any, rule: Thresholds) -> int:
    """The hottest dataset above tau gains a copy; when there is none, the coldest may lose one."""
    settings, datasets = public.settings, public.datasets
    tau = rule.hot * settings.bandwidth_bytes_per_second
    best, most = -1, 0.0
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        copies = datasets.live[d] + datasets.pending[d]
        heat = heat_for(public, int64(d), rule.memory, rule.announced)
        if datasets.changed[d] == 0 and copies > 0 and is_hot(heat, copies, tau) and heat > most * copies:
            if may_change_copies(public, c, ADD, -1):
                best, most = c, heat / copies
    if best >= 0:
        return code_of(best, ADD)
    least = float("inf")
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        if datasets.pending[d] > 0 or datasets.changed[d] != 0:
            continue
        heat = heat_for(public, int64(d), rule.memory, rule.announced)
        copies, minimum = datasets.live[d], settings.minimum_copies
        if rule.one_threshold:
            cold = is_cold_one_threshold(heat, copies, minimum, tau)
        else:
            cold = is_cold(heat, copies, minimum, tau, rule.eta)
        if cold and heat < least * copies and may_change_copies(public, c, DROP, -1):
            best, least = c, heat / copies
    return code_of(best, DROP) if best >= 0 else STOP


@kernel
def heat_for(public: Any, dataset: int, memory: int, announced: float) -> float:
    """Heat of a dataset (bytes/s) over one of the half-lives, and a share of what waiting readers announce."""
    datasets = public.datasets
    if memory == SHORT:
        heat = datasets.heat_short[dataset]
    elif memory == MEDIUM:
        heat = datasets.heat_medium[dataset]
    else:
        heat = datasets.heat[dataset]
    return float(heat + announced * datasets.announced[dataset])
