"""Scores of point forecasts, of bounds, and of one forecast against another."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def naive_scale(train: Array, period: int) -> float:
    """Mean absolute error of the seasonal naive forecast inside the training part, the unit of MASE.

    Raises:
        ValueError: the part is shorter than two periods, or repeats itself exactly.
    """
    if len(train) <= period:
        raise ValueError(f"a scale with period {period} needs more than {period} values, found {len(train)}")
    scale = float(np.abs(train[period:] - train[:-period]).mean())
    if scale == 0.0:
        raise ValueError("the training part repeats itself exactly: MASE has no scale")
    return scale


def mase(truth: Array, forecast: Array, scale: float) -> float:
    """Mean absolute scaled error (Hyndman and Koehler 2006)."""
    return float(np.abs(truth - forecast).mean()) / scale


def rmse(truth: Array, forecast: Array) -> float:
    """Root of the mean squared error, in units of the series."""
    return math.sqrt(float(((truth - forecast) ** 2).mean()))


def smape(truth: Array, forecast: Array) -> float:
    """Symmetric mean absolute percentage error in [0, 200]; slots where both are 0 count as 0."""
    total = np.abs(truth) + np.abs(forecast)
    ratio = np.divide(2.0 * np.abs(truth - forecast), total, out=np.zeros_like(total), where=total > 0.0)
    return 100.0 * float(ratio.mean())


def pinball(truth: Array, forecast: Array, quantile: float) -> float:
    """Mean pinball loss of a quantile forecast, in units of the series (Koenker and Bassett 1978)."""
    gap = truth - forecast
    return float(np.maximum(quantile * gap, (quantile - 1.0) * gap).mean())


def coverage(truth: Array, low: Array, high: Array) -> float:
    """Share of values within their bounds."""
    return float(((truth >= low) & (truth <= high)).mean())


def diebold_mariano(loss: Array, other_loss: Array, horizon: int) -> tuple[float, float]:
    """Tests whether two forecasts are equally good (Diebold and Mariano 1995; small-sample form of Harvey et al. 1997).

    Args:
        loss, other_loss: losses of the two at the same origins in order of time, shape [n].
        horizon: slots ahead; losses are correlated over horizon - 1 lags at least.

    Returns:
        Statistic, negative if the first is better, and two-sided p-value. Long-run variance by Bartlett weights, which
        cannot be negative; equal losses give (0, 1).
    """
    from scipy.stats import t as student

    difference = loss - other_loss
    n = len(difference)
    if n < 2:
        raise ValueError(f"a test needs at least 2 origins, found {n}")
    lags = min(max(horizon - 1, int(n ** (1.0 / 3.0))), n - 1)
    centred = difference - difference.mean()
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / n
    if variance <= 1e-300:
        return 0.0, 1.0
    statistic = float(difference.mean()) / math.sqrt(variance / n)
    h = min(horizon, n // 2)
    statistic *= math.sqrt((n + 1.0 - 2.0 * h + h * (h - 1.0) / n) / n)
    return statistic, float(2.0 * student.sf(abs(statistic), n - 1))
