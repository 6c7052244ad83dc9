"""The two forecasters that every other must beat: the last season again, and a moving level."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from psgym.predictors.base import Forecaster
from psgym.predictors.state import State

SMOOTHING_GRID = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


class SeasonalNaive(Forecaster):
    """Repeats the last season: the forecast of t + h is the newest value at the same phase.

    Args:
        period: the season that is repeated; by default the shortest of `season`. Without one (none given, or a
            history shorter than two of it) the last value is repeated.
        season, horizon, transform, levels, gamma: see `Forecaster`.
    """

    def __init__(
        self,
        period: int | None = None,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "identity",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(season, horizon, transform, levels, gamma)
        self.period = period

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        wanted = self.period or (self.season_[0] if self.season_ else 1)
        self.period_ = wanted if len(z) >= 2 * wanted else 1

    def _new_state(self) -> State:
        return {"clock": np.zeros(1, np.int64), "ring": np.zeros(self.period_)}

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        _advance_seasonal_naive(state["clock"], state["ring"], z, out)

    def _get_learned(self) -> State:
        return super()._get_learned() | {"period_": np.array([self.period_])}

    def _set_learned(self, learned: State) -> None:
        self.period_ = int(learned["period_"][0])
        super()._set_learned(learned)


@numba.njit(cache=True)
def _advance_seasonal_naive(clock: NDArray, ring: NDArray, z: NDArray, out: NDArray) -> None:
    period = ring.shape[0]
    for i in range(z.shape[0]):
        t = clock[0]
        ring[t % period] = z[i]
        for k in range(out.shape[1]):
            slot = (t + 1 + k) % period
            # Before one period has passed, a phase that was never seen takes the newest value.
            out[i, k] = ring[slot] if slot <= t else z[i]
        clock[0] = t + 1


class EWMA(Forecaster):
    """An exponentially weighted moving average, bias-corrected; the forecast is flat.

    Args:
        smoothing: weight of the newest value, in (0, 1]; None chooses it by the mean absolute error over the horizon.
        season, horizon, transform, levels, gamma: see `Forecaster`.
    """

    def __init__(
        self,
        smoothing: float | None = None,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(season, horizon, transform, levels, gamma)
        self.smoothing = smoothing
        if smoothing is not None and not 0.0 < smoothing <= 1.0:
            raise ValueError(f"smoothing={smoothing}: must be in (0, 1]")

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        candidates = SMOOTHING_GRID if self.smoothing is None else (self.smoothing,)
        self.smoothing_ = min(candidates, key=lambda smoothing: self._error(z, smoothing))

    def _error(self, z: NDArray[np.float64], smoothing: float) -> float:
        out = np.empty((len(z), 1))
        _advance_ewma(np.zeros(2), z, smoothing, out)
        ahead = sorted({1, min(12, self.horizon), self.horizon})
        errors = [np.abs(z[h:] - out[:-h, 0]).mean() for h in ahead if h < len(z)]
        return float(np.mean(errors))

    def _new_state(self) -> State:
        return {"level": np.zeros(2)}

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        _advance_ewma(state["level"], z, self.smoothing_, out)

    def _get_learned(self) -> State:
        return super()._get_learned() | {"smoothing_": np.array([self.smoothing_])}

    def _set_learned(self, learned: State) -> None:
        self.smoothing_ = float(learned["smoothing_"][0])
        super()._set_learned(learned)


@numba.njit(cache=True)
def _advance_ewma(level: NDArray, z: NDArray, smoothing: float, out: NDArray) -> None:
    for i in range(z.shape[0]):
        level[0] += smoothing * (z[i] - level[0])
        level[1] += smoothing * (1.0 - level[1])
        for k in range(out.shape[1]):
            out[i, k] = level[0] / level[1]
