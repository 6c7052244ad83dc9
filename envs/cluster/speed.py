"""How fast a job runs: its kind's curve, its true coefficients, and what a policy can estimate of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.jit import int64, kernel
from psgym.envs.cluster.kinds import KINDS

SYNCHRONOUS, ASYNCHRONOUS = 0, 1
TABLED = 20
"""Servers, and workers, up to which a kind's own curve is tabulated: the sixteen of the presets, and three to look
ahead."""


@kernel
def curve(kind: Any, mode: int, servers: int, workers: int, spread: float, multiplier: Any) -> float:
    """Speed of a job in samples/s (formulas in ``psgym.envs.cluster.kinds``), 0 without a server or a worker.

    Args:
        kind: Record of the job's kind.
        mode: ``SYNCHRONOUS`` or ``ASYNCHRONOUS``.
        servers: Parameter servers, p.
        workers: Workers, w.
        spread: Relative growth of the communication term (t2, or k) because tasks sit on several nodes.
        multiplier: True coefficients over the kind's, shape (6,).
    """
    if servers == 0 or workers == 0:
        return 0.0
    p, w, batch = float(servers), float(workers), kind.batch_size
    if mode == ASYNCHRONOUS:
        compute = kind.asynchronous[0] * multiplier[0]
        exchange = kind.asynchronous[1] * multiplier[1] * (1.0 + spread) * max(1.0, w / p)
        return batch * w / ((compute + exchange) * (1.0 + 0.02 * w + 0.02 * p))
    step = kind.sync[0] * multiplier[0] * batch / w + kind.sync[1] * multiplier[1]
    step += kind.sync[2] * multiplier[2] * (1.0 + spread) * w / p
    step += kind.sync[3] * multiplier[3] * w + kind.sync[4] * multiplier[4] * p + kind.sync[5] * multiplier[5] / p
    return batch / step


def _table() -> NDArray[np.float64]:
    """Every kind's own curve by kind, mode, servers and workers; flat, so that one index finds a speed."""
    table, ones = np.zeros((len(KINDS), 2, TABLED, TABLED)), [1.0] * 6
    formula = getattr(curve, "py_func", curve)
    for k, kind in enumerate(KINDS):
        row = SimpleNamespace(batch_size=float(kind.batch_size), sync=kind.sync, asynchronous=kind.async_)
        for mode, servers, workers in np.ndindex(table.shape[1:]):
            table[k, mode, servers, workers] = formula(row, mode, servers, workers, 0.0, ones)
    return table.ravel()


_TABLE = _table()


@kernel
def nominal_speed(settings: Any, kind: int, mode: int, servers: int, workers: int) -> float:
    """:func:`curve` with a kind's own coefficients; four divisions take longer than to look them up."""
    if servers < TABLED and workers < TABLED:
        return _TABLE[((2 * int64(kind) + mode) * TABLED + servers) * TABLED + workers]
    return curve(settings.kinds[kind], mode, servers, workers, 0.0, settings.nominal)


@kernel
def estimated_speed(public: Any, job: Any, servers: int, workers: int) -> float:
    """What a policy expects of an allocation: the kind's curve times the job's observed ratio to it (samples/s)."""
    return job.ratio * nominal_speed(public.settings, job.kind, job.mode, servers, workers)


@kernel
def remaining_at_one_each(public: Any, job: Any) -> float:
    """Estimated time to the end with one worker and one server (s)."""
    speed = job.ratio * public.settings.kinds[job.kind].speed_at_one_each[job.mode]
    return (job.samples - job.done) / speed


@kernel
def remaining_seconds(public: Any, job: Any, servers: int, workers: int) -> float:
    """Estimated time to the end at an allocation (s); ``inf`` where it does not run."""
    speed = estimated_speed(public, job, servers, workers)
    return (job.samples - job.done) / speed if speed > 0.0 else float("inf")


@kernel
def observe_speed(public: Any, job: Any, speed: float, servers: int, workers: int) -> None:
    """Moves the job's ratio towards a newly observed speed at the allocation that it had."""
    settings = public.settings
    ratio = speed / nominal_speed(settings, job.kind, job.mode, servers, workers)
    weight = settings.observed_speed_weight
    if job.observed_speed == 0.0:
        weight = max(weight, 0.5)  # the first observation says more than the prior of one
    job.ratio += weight * (ratio - job.ratio)
    job.observed_speed = speed
