"""The forecast features of an episode: what a forecaster says at each slot, from what was known by then.

Traffic does not depend on the policy, so all forecasts of an episode can be made at its reset; row t still uses nothing
after the slot that ended before t. The rows of a trace are computed once and kept under the hash of its content.
"""

from __future__ import annotations

import functools
import hashlib
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.records import HORIZONS
from psgym.envs.traffic import TrafficDay
from psgym.predictors.seasonal_ewma_kernel import seasonal_ewma_table

if TYPE_CHECKING:
    from psgym.predictors.base import Forecaster

LEVEL = 80
"""Coverage of the bounds, in per cent."""

ForecasterLike: TypeAlias = "ForecastSource | Forecaster | str | os.PathLike[str] | None"

_STEPS = np.array(HORIZONS, dtype=np.int64)


class ForecastSource(Protocol):
    """Makes the forecasts of an episode."""

    def write(self, day: TrafficDay, config: ClusterConfig, out: NDArray[np.float64]) -> None:
        """Writes mean, low and high for each slot and horizon, shape ``(slots, horizons, 3)``."""


class SeasonalForecasts:
    """The default: a seasonal EWMA over the day and its history, in one numba kernel."""

    def write(self, day: TrafficDay, config: ClusterConfig, out: NDArray[np.float64]) -> None:
        """Writes the rows of an episode."""
        known = np.ascontiguousarray(day.values[: day.first + config.slots - 1])
        seasonal_ewma_table(known, day.first - 1, config.slots_per_day, _STEPS, LEVEL / 100.0, out)


class OracleForecasts:
    """The true future, for a bound that no forecaster can beat; past the end of the day, its last value."""

    def write(self, day: TrafficDay, config: ClusterConfig, out: NDArray[np.float64]) -> None:
        """Writes the rows of an episode."""
        ahead = day.first - 1 + np.arange(config.slots)[:, None] + _STEPS[None, :]
        out[:] = day.values[np.minimum(ahead, len(day.values) - 1)][:, :, None]


class FittedForecasts:
    """The forecasts of a fitted forecaster; the environment never fits one.

    A forecaster of counts is fed the load in its own unit. One of longer slots than the cluster's, such as hours, is
    fed its slots as they end, and says the same of each slot of the cluster within one of its own.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        """Keeps a fitted forecaster.

        Raises:
            ValueError: If it was not built for the horizons and the coverage of the observation.
        """
        if forecaster.horizon < HORIZONS[-1]:
            raise ValueError(
                f"the forecaster looks {forecaster.horizon} slots ahead; the observation needs {HORIZONS[-1]}"
            )
        if LEVEL not in forecaster.levels:
            raise ValueError(f"the forecaster has bounds of {forecaster.levels} %; the observation needs {LEVEL} %")
        self.forecaster = forecaster
        self._tables: dict[str, NDArray[np.float64]] = {}

    def write(self, day: TrafficDay, config: ClusterConfig, out: NDArray[np.float64]) -> None:
        """Writes the rows of an episode: of the whole trace where the day is of one, else of the day's own series."""
        if day.source is None:
            known = day.values[: day.first + config.slots - 1]
            out[:] = self._rows(known, self._ratio(config))[day.first - 1 :]
        else:
            first = day.start - 1
            out[:] = self._table(day.source, self._ratio(config))[first : first + config.slots]

    def _ratio(self, config: ClusterConfig) -> int:
        """Slots of the cluster in one of the forecaster.

        Raises:
            ValueError: If that is not a whole number.
        """
        seconds = self.forecaster.slot_seconds or config.slot_seconds
        ratio = round(seconds / config.slot_seconds)
        if ratio < 1 or ratio * config.slot_seconds != seconds:
            raise ValueError(
                f"the forecaster was fitted on slots of {seconds:g} s, which cannot be divided into the cluster's of "
                f"{config.slot_seconds:g} s; fit one on slots of a multiple of these"
            )
        return ratio

    def _table(self, values: NDArray[np.float64], ratio: int) -> NDArray[np.float64]:
        key = f"{ratio} {hashlib.sha256(values.tobytes()).hexdigest()}"
        if key not in self._tables:
            self._tables[key] = self._rows(values, ratio)
        return self._tables[key]

    def _rows(self, values: NDArray[np.float64], ratio: int) -> NDArray[np.float64]:
        unit = self.forecaster.load_unit
        ended = values[: len(values) // ratio * ratio].reshape(-1, ratio).mean(axis=1)
        bands = self.forecaster.bands(unit * ended, HORIZONS[-1], level=(LEVEL,))
        said = np.stack([bands.mean, bands.low[:, 0], bands.high[:, 0]], axis=2) / unit
        slot = np.arange(len(values))
        last = (slot + 1) // ratio - 1  # the newest slot of the forecaster that has ended
        steps = (slot[:, None] + _STEPS) // ratio - last[:, None] - 1
        rows = said[np.maximum(last, 0)[:, None], steps]
        rows[last < 0] = values[last < 0, None, None]  # none has ended yet
        return np.maximum(rows, 0.0)


def make_forecasts(forecaster: ForecasterLike) -> ForecastSource:
    """The forecasts that an argument names: None (seasonal EWMA), "oracle", a saved or a fitted one, or a source."""
    if forecaster is None:
        return SeasonalForecasts()
    if forecaster == "oracle":
        return OracleForecasts()
    if isinstance(forecaster, (str, os.PathLike)):
        return _loaded(os.fspath(forecaster), os.stat(forecaster).st_mtime_ns)
    if hasattr(forecaster, "write"):
        return forecaster
    if hasattr(forecaster, "bands"):
        return FittedForecasts(forecaster)
    raise TypeError(f"forecaster must be a file name, a fitted forecaster or None, not {type(forecaster).__name__}")


@functools.lru_cache(maxsize=8)
def _loaded(path: str, changed: int) -> Any:
    """A saved forecaster, shared by all environments of a process so that they share its tables."""
    from psgym.predictors.storage import load_forecaster

    return FittedForecasts(load_forecaster(path))
