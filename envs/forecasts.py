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
    """The forecasts of a fitted forecaster; the environment never fits one."""

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
            out[:] = self._rows(known)[day.first - 1 :]
        else:
            first = day.start - 1
            out[:] = self._table(day.source)[first : first + config.slots]

    def _table(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        key = hashlib.sha256(values.tobytes()).hexdigest()
        if key not in self._tables:
            self._tables[key] = self._rows(values)
        return self._tables[key]

    def _rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        bands = self.forecaster.bands(values, HORIZONS[-1], level=(LEVEL,))
        steps = _STEPS - 1
        rows = np.stack([bands.mean[:, steps], bands.low[:, 0, steps], bands.high[:, 0, steps]], axis=2)
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
