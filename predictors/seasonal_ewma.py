"""Exponential smoothing with a daily and a weekly season."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from psgym.predictors.base import Forecaster
from psgym.predictors.seasonal_ewma_kernel import seasonal_ewma_table
from psgym.predictors.state import State

__all__ = ["SeasonalEWMA", "seasonal_ewma_table"]

STARTS = ((0.1, 0.1, 0.1, 0.8), (0.02, 0.2, 0.2, 0.5), (0.3, 0.05, 0.05, 0.2))


class SeasonalEWMA(Forecaster):
    """Additive double seasonal exponential smoothing with an autoregressive error (Taylor 2003).

    With e_t the one-step error before its correction, level l, daily factor d and weekly factor w (on the standardised
    scale, so multiplicative for counts on logarithms):

        forecast(t + h) = l + d[t + h] + w[t + h] + phi^h e_t
        e_t = z_t - (l + d[t] + w[t]);   u_t = z_t - forecast(t)
        l += alpha u_t,   d[t] += delta u_t,   w[t] += omega u_t

    Factors start from the averages of the first half of the fitted part; the four parameters minimise the mean
    absolute error over 1, 3, 12 and `horizon` steps on the second half. The environments' default, which needs no fit,
    is `seasonal_ewma_table`.

    Args:
        smoothing: alpha, delta, omega and phi, each in [0, 1], if they are not to be estimated.
        season, horizon, transform, levels, gamma: see `Forecaster`; the first two seasons are used.

    Attributes:
        smoothing_: alpha, delta, omega, phi.
    """

    def __init__(
        self,
        smoothing: tuple[float, float, float, float] | None = None,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(season, horizon, transform, levels, gamma)
        self.smoothing = smoothing
        if smoothing is not None and not (len(smoothing) == 4 and all(0.0 <= value <= 1.0 for value in smoothing)):
            raise ValueError(f"smoothing={smoothing}: four values in [0, 1]")

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        first, second = (*self.season_, 1, 1)[:2]
        # Factors that had seen the values they are scored on would make smoothing look useless.
        self.first_, self.second_ = _starting_factors(z[: len(z) // 2], first, second)
        self.smoothing_ = self._estimated(z) if self.smoothing is None else np.array(self.smoothing)

    def _estimated(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.optimize import minimize

        starts = [_to_free(start) for start in STARTS]
        best = min(
            (
                minimize(lambda x: self._error(z, x), start, method="Nelder-Mead", options={"maxfev": 120})
                for start in starts
            ),
            key=lambda result: float(result.fun),
        )
        return self._parameters(best.x)

    def _parameters(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        parameters = 1.0 / (1.0 + np.exp(-np.clip(free, -30.0, 30.0)))
        parameters[1] *= float(len(self.first_) > 1)
        parameters[2] *= float(len(self.second_) > 1)
        return np.asarray(parameters)

    def _error(self, z: NDArray[np.float64], free: NDArray[np.float64]) -> float:
        ahead = np.array(sorted({1, min(3, self.horizon), min(12, self.horizon), self.horizon}), np.int64)
        first, second = self.first_.copy(), self.second_.copy()
        return float(_double_seasonal_error(z, self._parameters(free), first, second, ahead, len(z) // 2))

    def _new_state(self) -> State:
        return {
            "clock": np.zeros(1, np.int64),
            "level": np.zeros(2),
            "first": self.first_.copy(),
            "second": self.second_.copy(),
        }

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        _advance_double_seasonal(
            state["clock"], state["level"], state["first"], state["second"], self.smoothing_, z, out
        )

    def _get_learned(self) -> State:
        return super()._get_learned() | {"smoothing_": self.smoothing_, "first_": self.first_, "second_": self.second_}

    def _set_learned(self, learned: State) -> None:
        self.smoothing_, self.first_, self.second_ = (learned[n] for n in ("smoothing_", "first_", "second_"))
        super()._set_learned(learned)


def _to_free(parameters: Sequence[float]) -> NDArray[np.float64]:
    p = np.array(parameters)
    return np.asarray(np.log(p / (1.0 - p)))


def _starting_factors(z: NDArray[np.float64], first: int, second: int) -> tuple[NDArray, NDArray]:
    """Averages by phase, shrunk by one visit: of the day, then of the week what the day leaves."""
    phase = np.arange(len(z))
    day = np.bincount(phase % first, z, first) / (np.bincount(phase % first, minlength=first) + 1.0)
    rest = z - day[phase % first]
    week = np.bincount(phase % second, rest, second) / (np.bincount(phase % second, minlength=second) + 1.0)
    return day if first > 1 else np.zeros(1), week if second > 1 else np.zeros(1)


@numba.njit(cache=True)
def _observe(clock: NDArray, level: NDArray, first: NDArray, second: NDArray, p: NDArray, value: float) -> None:
    t = clock[0]
    i, j = t % first.shape[0], t % second.shape[0]
    fitted = level[0] + first[i] + second[j]
    error = value - fitted
    correction = error - p[3] * level[1]
    level[0] += p[0] * correction
    first[i] += p[1] * correction
    second[j] += p[2] * correction
    level[1] = error
    clock[0] = t + 1


@numba.njit(cache=True)
def _advance_double_seasonal(
    clock: NDArray, level: NDArray, first: NDArray, second: NDArray, p: NDArray, z: NDArray, out: NDArray
) -> None:
    for i in range(z.shape[0]):
        _observe(clock, level, first, second, p, z[i])
        decay = level[1]
        a, b = clock[0] % first.shape[0], clock[0] % second.shape[0]
        for k in range(out.shape[1]):
            decay *= p[3]
            out[i, k] = level[0] + first[a] + second[b] + decay
            a = a + 1 if a + 1 < first.shape[0] else 0
            b = b + 1 if b + 1 < second.shape[0] else 0


@numba.njit(cache=True)
def _double_seasonal_error(
    z: NDArray, p: NDArray, first: NDArray, second: NDArray, ahead: NDArray, start: int
) -> float:
    clock, level = np.zeros(1, np.int64), np.zeros(2)
    total, count = 0.0, 0
    for i in range(z.shape[0]):
        _observe(clock, level, first, second, p, z[i])
        if i < start:
            continue
        for n in range(ahead.shape[0]):
            h = ahead[n]
            if i + h < z.shape[0]:
                decay = level[1]
                for _ in range(h):
                    decay *= p[3]
                t = i + h
                total += abs(z[t] - (level[0] + first[t % first.shape[0]] + second[t % second.shape[0]] + decay))
                count += 1
    return total / max(count, 1)
