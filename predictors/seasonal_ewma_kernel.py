"""The default forecaster of the environments: a seasonal EWMA in one numba kernel, with neither torch nor pandas."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.4  # weight of the newest slot in the level
SEASONAL_SMOOTHING = 0.4  # weight of the newest day in the daily profile
DAMPING = 0.98  # share of today's deviation from the profile that survives one slot
MAX_RATIO = 4.0  # a day may run at up to four times its profile; what exceeds it is carried additively
ERROR_SMOOTHING = 0.02  # weight of the newest realised error in the variance
PRIOR_WEIGHT = 5.0  # the prior of the error variance counts as many errors
PRIOR_VARIANCE = 0.25  # relative: a standard deviation of half the forecast before anything is known
MAX_ERROR = 4.0  # relative errors beyond it count as much: one burst out of silence must not open the band for days


@numba.njit(cache=True)
def normal_quantile(probability: float) -> float:
    """The standard normal quantile by bisection on `math.erf`, for 0 < probability < 1; exact to 1e-12."""
    low, high = -10.0, 10.0
    for _ in range(64):
        middle = 0.5 * (low + high)
        if 0.5 * (1.0 + math.erf(middle / math.sqrt(2.0))) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@numba.njit(cache=True)
def _update_profile(series: NDArray, t: int, period: int, half: int, profile: NDArray) -> None:
    """Smooths into the profile the centred mean around slot t - half, the last one whose window is complete.

    Neighbouring slots are averaged because one slot of counts is too noisy for a daily factor.
    """
    centre = t - half
    if centre < 0:
        return
    start = max(0, centre - half)
    total = 0.0
    for i in range(start, t + 1):
        total += series[i]
    average = total / (t + 1 - start)
    slot = centre % period
    if centre < period:
        profile[slot] = average
    else:
        profile[slot] += SEASONAL_SMOOTHING * (average - profile[slot])


@numba.njit(cache=True)
def seasonal_ewma_table(
    series: NDArray[np.float64],
    first: int,
    period: int,
    horizons: NDArray[np.int64],
    level: float,
    out: NDArray[np.float64],
) -> None:
    """Fills the forecasts made at every slot from `first` on: level x daily factor, damped, with an error band.

    Row t is a function of `series[: t + 1]` alone. With P the smoothed daily profile, A and B the EWMA of the series
    and of the profile at the same slots and r = A / B, the mean h slots ahead is

        P[t + h] (1 + (r - 1) damping^h) + (A - r B) damping^h,

    a multiplicative Holt-Winters forecast (Winters 1960) whose deviation from the profile is damped (Gardner and
    McKenzie 1985). r is clipped to [0, 4] and its remainder carried additively, so zeros never divide. Before one
    period has passed the forecast is A. The band comes from the exponentially weighted variance of the h-step errors
    that were realised by t, relative to the mean of forecast and level, around a wide prior.

    Args:
        series: non-negative finite values per slot, shape [T].
        first: the first row to fill, 0 <= first < T.
        period: slots per day.
        horizons: slots ahead, each >= 1 and <= period, shape [H].
        level: coverage of the band, as a fraction (0.8) or in per cent (80).
        out: receives mean, low and high in units of the series, all >= 0, shape [T - first, H, 3].
    """
    length, count = series.shape[0], horizons.shape[0]
    share = level / 100.0 if level > 1.0 else level
    spread = normal_quantile(0.5 + 0.5 * share)
    half = max(1, period // 24)
    profile = np.zeros(period)
    forecasts = np.zeros((length, count))
    scales = np.zeros((length, count))
    squares = np.full(count, PRIOR_WEIGHT * PRIOR_VARIANCE)
    weights = np.full(count, PRIOR_WEIGHT)
    decays = np.ones(count)
    for k in range(count):
        for _ in range(horizons[k]):
            decays[k] *= DAMPING
    current, current_weight, usual, usual_weight, long_run = 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(length):
        current += SMOOTHING * (series[t] - current)
        current_weight += SMOOTHING * (1.0 - current_weight)
        seasonal = t >= period
        expected = 0.0
        if seasonal:
            usual += SMOOTHING * (profile[t % period] - usual)
            usual_weight += SMOOTHING * (1.0 - usual_weight)
            expected = usual / usual_weight
        long_run += (series[t] - long_run) / min(t + 1, period)
        _update_profile(series, t, period, half, profile)
        observed = current / current_weight
        floor = 0.05 * long_run + 1e-12
        ratio = min(observed / max(expected, floor), MAX_RATIO)
        remainder = max(observed - ratio * max(expected, floor), 0.0)
        for k in range(count):
            h = horizons[k]
            if t >= h:
                error = (series[t] - forecasts[t - h, k]) / scales[t - h, k]
                error = min(max(error, -MAX_ERROR), MAX_ERROR)
                squares[k] = (1.0 - ERROR_SMOOTHING) * squares[k] + error * error
                weights[k] = (1.0 - ERROR_SMOOTHING) * weights[k] + 1.0
            mean = observed
            if seasonal:
                mean = profile[(t + h) % period] * (1.0 + (ratio - 1.0) * decays[k]) + remainder * decays[k]
            forecasts[t, k] = mean
            scales[t, k] = 0.5 * (mean + long_run) + 1e-9
            if t >= first:
                width = spread * math.sqrt(squares[k] / weights[k]) * scales[t, k]
                out[t - first, k, 0] = mean
                out[t - first, k, 1] = max(0.0, mean - width)
                out[t - first, k, 2] = mean + width
