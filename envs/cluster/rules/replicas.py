"""Replica rules of ``psgym.replicas`` applied to the candidates of a slot."""

from __future__ import annotations

from typing import Any

from psgym.envs.cluster.jit import kernel
from psgym.envs.cluster.moves import ADD, DROP, STOP, may_change_copies
from psgym.envs.cluster.planning import heat_per_copy
from psgym.replicas.rules import is_cold, is_hot

NO_OP, STATIC, HOT_COLD = range(3)


@kernel
def next_replica(public: Any, rule: int) -> int:
    """The next code of a rule, by its index in ``REPLICA_RULES``; a dataset changes at most once a slot."""
    if rule == STATIC:
        return _static(public)
    if rule == HOT_COLD:
        return _hot_cold(public)
    return STOP


@kernel
def _code(c: int, direction: int) -> int:
    return 1 + 2 * c + direction


@kernel
def _static(public: Any) -> int:
    """Keeps the initial number of copies."""
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        missing = public.datasets.copies[d] + public.datasets.pending[d] < public.settings.initial_copies
        if missing and public.datasets.changed[d] == 0 and may_change_copies(public, c, ADD, -1):
            return _code(c, ADD)
    return STOP


@kernel
def _hot_cold(public: Any) -> int:
    """Hot/cold with hysteresis: the hottest dataset above tau gains a copy; else the coldest may lose one."""
    settings, datasets = public.settings, public.datasets
    tau = settings.hot_threshold * settings.bandwidth_bytes_per_second
    best, most = -1, 0.0
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        copies = datasets.live[d] + datasets.pending[d]
        if datasets.changed[d] == 0 and copies > 0 and is_hot(datasets.heat[d], copies, tau):
            heat = heat_per_copy(public, d)
            if heat > most and may_change_copies(public, c, ADD, -1):
                best, most = c, heat
    if best >= 0:
        return _code(best, ADD)
    least = float("inf")
    for c in range(public.candidate.shape[0]):
        d = public.candidate[c]
        spare = datasets.pending[d] == 0 and datasets.changed[d] == 0
        if spare and is_cold(datasets.heat[d], datasets.live[d], settings.minimum_copies, tau, settings.cold_ratio):
            heat = heat_per_copy(public, d)
            if heat < least and may_change_copies(public, c, DROP, -1):
                best, least = c, heat
    return _code(best, DROP) if best >= 0 else STOP
