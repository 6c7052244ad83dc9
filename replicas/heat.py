"""Heat: how much a dataset is read, as one number that forgets the past.

Decisions are made on bytes per second *per copy* (see :mod:`psgym.replicas.rules`), so the heat that the simulator
keeps is an exponentially decaying average of bytes per second. The other measures are those of systems in use, for
comparison and for stand-alone work with access logs.
"""

import math

from numba import njit


@njit(cache=True)
def decay(interval_seconds: float, half_life_seconds: float) -> float:
    """Weight that heat keeps over an interval: ``2 ** -(interval / half-life)``.

    ``exp2``, not ``pow``: LLVM rewrites ``pow(2, x)``, and the last bit would differ from the same code without numba.

    Args:
        interval_seconds: Time since the last update, at least 0.
        half_life_seconds: Time in which heat without reads halves, above 0.
    """
    return math.exp2(-interval_seconds / half_life_seconds)


@njit(cache=True)
def updated_heat(heat: float, bytes_read: float, interval_seconds: float, factor: float) -> float:
    """Exponentially weighted heat in bytes/s: ``h <- a h + (1 - a) n / dt``.

    With independent reads its variance is ``(1 - a) / (1 + a)`` of that of one interval's rate (Roberts, "Control
    chart tests based on geometric moving averages", Technometrics 1959): it averages ``(1 + a) / (1 - a)`` intervals.

    Args:
        heat: Heat before the interval, bytes/s.
        bytes_read: Bytes read in the interval.
        interval_seconds: Length of the interval, above 0.
        factor: ``decay(interval_seconds, half_life_seconds)``.
    """
    return factor * heat + (1.0 - factor) * bytes_read / interval_seconds
