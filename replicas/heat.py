"""Heat: how much a dataset is read, as one number that forgets the past.

Decisions are made on bytes per second *per copy* (see :mod:`psgym.replicas.rules`), so the heat that the simulator
keeps is an exponentially decaying average of bytes per second. The other measures are those of systems in use, for
comparison and for stand-alone work with access logs.
"""

import math

import numpy as np
from numba import njit

from psgym.replicas.arrays import Floats


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


@njit(cache=True)
def heat_per_copy(heat: float, copies: int) -> float:
    """``h / r``, what one copy carries under an even split; infinite for data that is read but has no copy.

    Args:
        heat: Heat of the dataset, bytes/s.
        copies: Live copies, at least 0.
    """
    if copies > 0:
        return heat / copies
    return math.inf if heat > 0.0 else 0.0


@njit(cache=True)
def windowed_sum(window: Floats, interval: int, amount: float) -> float:
    """Enter an interval's reads in a ring and return the sum of the last ``len(window)`` intervals.

    Call it once for every interval, in order: the sum of reads in ``(t - W, t]`` with ``W`` = length x interval. The
    windowed count is the heat of the rules of HDFS Smart Storage Management (``accessCount(5min) > 3``).

    Args:
        window: Ring of the last intervals, zeros at the start, written, shape ``(intervals,)``.
        interval: Number of the interval, counted from 0.
        amount: Reads or bytes in the interval.
    """
    window[interval % window.shape[0]] = amount
    total = 0.0
    for entry in range(window.shape[0]):
        total += window[entry]
    return total


@njit(cache=True)
def windowed_maximum(window: Floats, interval: int, amount: float) -> float:
    """Enter an interval's reading in a ring and return the largest of the last ``len(window)`` intervals.

    With the number of concurrent readers as the reading it is the popularity that Scarlett learns
    (:mod:`psgym.replicas.scarlett`). Arguments as for :func:`windowed_sum`.
    """
    window[interval % window.shape[0]] = amount
    largest = amount
    for entry in range(window.shape[0]):
        largest = max(largest, window[entry])
    return largest


@njit(cache=True)
def reads_in_window(seconds: Floats, now: float, window_seconds: float) -> int:
    """Number of reads in ``(now - window, now]``, from the sorted times of a log.

    Args:
        seconds: Times of the reads of one dataset, ascending, shape ``(reads,)``.
        now: End of the window, included.
        window_seconds: Length of the window.
    """
    first = np.searchsorted(seconds, now - window_seconds, side="right")
    last = np.searchsorted(seconds, now, side="right")
    return int(last - first)


@njit(cache=True)
def updated_crf(crf: float, elapsed: float, step: float) -> float:
    """Combined recency and frequency of a dataset when it is read: ``C <- 1 + C 2 ** (-step elapsed)``.

    Lee et al., "LRFU: a spectrum of policies that subsumes the least recently used and least frequently used
    policies", IEEE Transactions on Computers 2001. Step 0 counts reads (LFU), step 1 orders by the last read (LRU);
    Alluxio's default is .25.

    Args:
        crf: Value at the last read, 0 for a dataset not read before.
        elapsed: Reads of any dataset (or units of time) since then.
        step: Between 0 and 1.
    """
    return 1.0 + decayed_crf(crf, elapsed, step)


@njit(cache=True)
def decayed_crf(crf: float, elapsed: float, step: float) -> float:
    """The value of :func:`updated_crf` between reads, to compare datasets: ``C 2 ** (-step elapsed)``."""
    return crf * math.exp2(-step * elapsed)
