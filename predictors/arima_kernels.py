"""The recursion of multi-seasonal ARIMA models on sparse lags: one value in, all horizons out.

A seasonal model is a product of polynomials in the lag operator, so its expansion is long but almost empty: with
seasons of 24 and 168 slots it reaches back 195 slots through a dozen coefficients. The recursion visits only these:

    e_t = z_t - sum_i a_i z_{t - i} - sum_j b_j e_{t - j}
    forecast(t + h) = sum_i a_i z~_{t + h - i} + sum_j b_j e~_{t + h - j}

where z~ is the value if it is known, else its forecast, and e~ is 0 after t (Box and Jenkins 1970). Values live in a
linear buffer whose last part is moved to the front when it is full, so a step costs the same for any history.
"""

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK = 1024


@numba.njit(cache=True)
def residuals(
    history: NDArray, z: NDArray, burn: int, ar_lags: NDArray, ar: NDArray, ma_lags: NDArray, ma: NDArray
) -> NDArray[np.float64]:
    """One-step errors of a series.

    Args:
        history: values assumed before the first, shape [L], L >= every lag.
        z: the series, shape [T].
        burn: first errors that depend on the assumed history and are taken as 0.
        ar_lags, ar: lags and coefficients of the autoregressive side, differences included.
        ma_lags, ma: lags and coefficients of the moving-average side.

    Returns:
        e, shape [T]; errors before the first value are taken as 0 too.
    """
    reach = history.shape[0]
    values, errors = np.concatenate((history, z)), np.zeros(reach + z.shape[0])
    for t in range(reach + burn, reach + z.shape[0]):
        forecast = 0.0
        for i in range(ar_lags.shape[0]):
            forecast += ar[i] * values[t - ar_lags[i]]
        for j in range(ma_lags.shape[0]):
            forecast += ma[j] * errors[t - ma_lags[j]]
        error = values[t] - forecast
        # A trial point of the optimiser near the unit circle may run away; a bound keeps the sum of squares finite.
        errors[t] = min(max(error, -1e6), 1e6)
    return errors[reach:]


@numba.njit(cache=True)
def _make_room(position: NDArray, values: NDArray, errors: NDArray, reach: int, ahead: int) -> None:
    if position[0] + 1 + ahead < values.shape[1]:
        return
    start = position[0] + 1 - reach
    for m in range(values.shape[0]):
        for i in range(reach):
            values[m, i], errors[m, i] = values[m, start + i], errors[m, start + i]
        for i in range(reach, values.shape[1]):
            values[m, i], errors[m, i] = 0.0, 0.0
    position[0] = reach - 1


@numba.njit(cache=True)
def advance_arima(
    clock: NDArray, position: NDArray, values: NDArray, errors: NDArray, reach: int, burn: NDArray,
    ar_lags: NDArray, ar: NDArray, ar_count: NDArray, ma_lags: NDArray, ma: NDArray, ma_count: NDArray,
    profile: NDArray, z: NDArray, out: NDArray,
) -> None:  # fmt: skip
    """Feeds values to M models and writes the mean of their forecasts.

    Args:
        clock: values seen so far, shape [1]; position: index of the newest in the buffers, shape [1].
        values, errors: buffers of the deseasonalised series and of one-step errors, shape [M, capacity].
        reach: the longest lag of any model; burn: first errors of each that are taken as 0, shape [M].
        ar_lags, ar, ma_lags, ma: expanded polynomials, shape [M, K]; ar_count, ma_count: terms in use, shape [M].
        profile: what each model subtracts by phase, shape [M, S].
        z: new values, shape [n].
        out: receives the mean forecasts, shape [n, H].
    """
    ahead, models, phases = out.shape[1], values.shape[0], profile.shape[1]
    for i in range(z.shape[0]):
        _make_room(position, values, errors, reach, ahead)
        now = position[0] + 1
        for k in range(ahead):
            out[i, k] = 0.0
        for m in range(models):
            for k in range(ahead + 1):
                t = now + k
                forecast = 0.0
                for j in range(ar_count[m]):
                    forecast += ar[m, j] * values[m, t - ar_lags[m, j]]
                for j in range(ma_count[m]):
                    forecast += ma[m, j] * errors[m, t - ma_lags[m, j]]
                phase = (clock[0] + k) % phases
                if k == 0:
                    values[m, t] = z[i] - profile[m, phase]
                    # What was assumed before the first value must not linger as a surprise.
                    errors[m, t] = values[m, t] - forecast if clock[0] >= burn[m] else 0.0
                else:
                    values[m, t] = forecast
                    out[i, k - 1] += (forecast + profile[m, phase]) / models
        position[0] = now
        clock[0] += 1
