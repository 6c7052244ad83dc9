"""Where the traffic of an episode comes from: a synthetic day, a day of a trace, or an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from psgym.envs.cluster.config import ClusterConfig

if TYPE_CHECKING:
    from psgym.envs.traces import Traffic

HISTORY_DAYS = 2
"""Days before an episode that a forecaster may look back on."""


class TrafficError(ValueError):
    """Traffic that no episode can be made of."""


@dataclass(frozen=True)
class TrafficDay:
    """The traffic of one episode with its history, relative to the training mean."""

    values: NDArray[np.float64]
    """History, then one value for each slot, shape ``(first + slots,)``."""
    first: int
    """Index of the episode's first slot; at least 1, for the slot that has just ended."""
    slot_of_day: int
    """Slot of the calendar day at which the episode starts."""
    day: int
    """Number of the calendar day, for resampling by days."""
    source: NDArray[np.float64] | None = None
    """The whole trace that the day was cut from, if any."""
    start: int = 0
    """Index of the episode's first slot in the trace."""
    jobs: NDArray[Any] | None = None
    """Jobs that arrive instead of drawn ones, of ``psgym.envs.job_days.TRACED_JOB``, if any."""


class TrafficSource(Protocol):
    """Draws the traffic of an episode."""

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> TrafficDay:
        """Draws one day, with all randomness from ``rng``."""


class SyntheticTraffic:
    """Days with a daily and a weekly season, autocorrelated noise and bursts; the expectation is 1.

    The daily amplitude (maximum less minimum, over the mean) is drawn from 0.45 to 1.9, the range measured over public
    traces of user traffic.
    """

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> TrafficDay:
        """Draws one day and its history."""
        per_day = config.slots_per_day
        slot_of_day = int(rng.integers(per_day))
        history = HISTORY_DAYS * per_day + slot_of_day  # from midnight: a fitted forecaster relies on the phase
        length = history + config.slots
        if config.constant_traffic:
            return TrafficDay(np.ones(length), history, slot_of_day, int(rng.integers(2**31)))
        time = (np.arange(length) - history + slot_of_day) / per_day
        amplitude, phase = rng.uniform(0.45, 1.9), rng.uniform()
        shape = 1.0 + 0.5 * amplitude * np.sin(2 * np.pi * (time - phase)) / max(1.0, 0.5 * amplitude)
        weekday = int(rng.integers(7))
        weekend = np.isin((np.floor(time) + weekday) % 7, (5, 6))
        values = shape * np.where(weekend, 0.8, 1.08) * _noise(rng, length, per_day)
        return TrafficDay(np.clip(values, 0.0, config.max_load), history, slot_of_day, int(rng.integers(2**31)))


def _noise(rng: np.random.Generator, length: int, per_day: int, sigma: float = 0.2) -> NDArray[np.float64]:
    """Lognormal noise of mean 1 whose logarithm is autoregressive with a memory of an hour."""
    memory = np.exp(-24.0 / per_day)
    shocks = rng.standard_normal(length) * sigma
    shocks[1:] *= np.sqrt(1.0 - memory**2)
    _autoregress(shocks, memory)
    return np.exp(shocks - sigma**2 / 2)


@njit(cache=True)
def _autoregress(shocks: NDArray[np.float64], memory: float) -> None:
    """Turns shocks into the autoregressive series that they drive, in place."""
    for t in range(1, shocks.shape[0]):
        shocks[t] += memory * shocks[t - 1]


class TraceTraffic:
    """Days of a trace; an episode starts at a random slot of one part of it."""

    def __init__(self, trace: Traffic, part: str = "train") -> None:
        """Keeps a trace and the name of the part (``train``, ``validation`` or ``test``) to draw from."""
        self.trace = trace
        self.part = part
        self._bounds = trace.part(part)  # type: ignore[arg-type]
        self._days = trace.day
        self._slots_of_day = np.rint(trace.time_of_day * 86400.0 / trace.slot_seconds).astype(np.int64)

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> TrafficDay:
        """Draws a start, uniform over the slots of the part that leave a whole episode in it.

        Raises:
            TrafficError: If the part is shorter than an episode, or the trace has slots of another length.
        """
        if self.trace.slot_seconds != config.slot_seconds:
            raise TrafficError(
                f"{self.trace.source}: slots of {self.trace.slot_seconds} s, "
                f"but the cluster's have {config.slot_seconds} s"
            )
        first, last = max(1, self._bounds[0]), self._bounds[1] - config.slots
        if last < first:
            raise TrafficError(
                f"{self.trace.source}: the {self.part} part has {self._bounds[1] - self._bounds[0]} slots, "
                f"fewer than an episode of {config.slots}"
            )
        start = int(rng.integers(first, last + 1))
        begin = max(0, start - HISTORY_DAYS * config.slots_per_day)
        values = np.minimum(self.trace.values[begin : start + config.slots], config.max_load)
        slot_of_day, day = int(self._slots_of_day[start]), int(self._days[start])
        return TrafficDay(values, start - begin, slot_of_day, day, self.trace.values, start)

    def distinct_days(self, slots: int) -> int:
        """Calendar days on which an episode of the part can start."""
        first, last = max(1, self._bounds[0]), self._bounds[1] - slots
        return len(np.unique(self._days[first : last + 1])) if last >= first else 0


class ArrayTraffic:
    """The same given values in every episode, relative to a mean of 1."""

    def __init__(self, values: NDArray[np.floating] | list[float]) -> None:
        """Checks the values.

        Raises:
            TrafficError: If they are not one-dimensional, finite and non-negative.
        """
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise TrafficError(f"traffic must hold numbers, one for each slot: {error}") from None
        if array.ndim != 1 or array.size == 0:
            raise TrafficError(
                f"traffic must be a one-dimensional array with a value for each slot, not of shape {array.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(array) | (array < 0))
        if bad.size:
            raise TrafficError(f"traffic[{bad[0]}] must be finite and not negative, not {float(array[bad[0]])!r}")
        self._values = array

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> TrafficDay:
        """Returns the values, clipped, with one slot of mean traffic before them.

        Raises:
            TrafficError: If there are fewer values than slots.
        """
        if self._values.size < config.slots:
            raise TrafficError(
                f"traffic has {self._values.size} values, fewer than the {config.slots} slots of an episode"
            )
        values = np.concatenate([[1.0], np.minimum(self._values[: config.slots], config.max_load)])
        return TrafficDay(values, 1, 0, 0)
