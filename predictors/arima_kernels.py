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

from psgym.predictors.calibration import calibrate
from psgym.predictors.transform import forward

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
def _make_room(clock: NDArray, buffers: NDArray, lags: NDArray, ahead: int) -> None:
    if clock[1] + 1 + ahead < buffers.shape[2]:
        return
    reach = max(1, lags.max())
    start = clock[1] + 1 - reach
    for side in range(2):
        for m in range(buffers.shape[1]):
            for i in range(reach):
                buffers[side, m, i] = buffers[side, m, start + i]
            for i in range(reach, buffers.shape[2]):
                buffers[side, m, i] = 0.0
    clock[1] = reach - 1


@numba.njit(cache=True)
def advance_arima(
    clock: NDArray, buffers: NDArray, lags: NDArray, coefficients: NDArray, profile: NDArray,
    z: NDArray, out: NDArray,
) -> None:  # fmt: skip
    """Feeds values to M models and writes the mean of their forecasts.

    The arrays are few because passing one costs as much as a hundred additions.

    Args:
        clock: values seen so far, and index of the newest in the buffers, shape [2].
        buffers: the deseasonalised series and the one-step errors, shape [2, M, capacity].
        lags, coefficients: expanded polynomials of the autoregressive and of the moving-average side, the longest lag
            first and zeros after the shortest, shape [2, M, K].
        profile: what each model subtracts by phase, shape [M, S].
        z: new values, shape [n].
        out: receives the mean forecasts, shape [n, H].
    """
    ahead, models, terms, phases = out.shape[1], buffers.shape[1], lags.shape[2], profile.shape[1]
    for i in range(z.shape[0]):
        _make_room(clock, buffers, lags, ahead)
        now = clock[1] + 1
        for k in range(ahead):
            out[i, k] = 0.0
        for m in range(models):
            values, errors = buffers[0, m], buffers[1, m]
            phase = clock[0] % phases
            for k in range(ahead + 1):
                t = now + k
                # The longest lags come first, so that only the last terms wait for the forecast one slot before.
                forecast = 0.0
                for j in range(terms):
                    if lags[1, m, j] < max(k, 1):
                        break
                    forecast += coefficients[1, m, j] * errors[t - lags[1, m, j]]
                for j in range(terms):
                    if lags[0, m, j] == 0:
                        break
                    forecast += coefficients[0, m, j] * values[t - lags[0, m, j]]
                if k == 0:
                    values[t] = z[i] - profile[m, phase]
                    # What was assumed before the first value must not linger as a surprise.
                    errors[t] = values[t] - forecast if clock[0] >= lags[0, m, 0] else 0.0
                else:
                    values[t] = forecast
                    out[i, k - 1] += (forecast + profile[m, phase]) / models
                phase = phase + 1 if phase + 1 < phases else 0
        clock[1] = now
        clock[0] += 1


@numba.njit(cache=True)
def run_arima(
    clock: NDArray, buffers: NDArray, lags: NDArray, coefficients: NDArray, profile: NDArray,
    seen: NDArray, learned: NDArray, ring: NDArray, constants: NDArray,
    values: NDArray, forecasts: NDArray, bands: NDArray,
) -> None:  # fmt: skip
    """A whole pass of `Forecaster`, `forward`, `advance_arima` and `calibrate`, in one call from Python.

    Args:
        clock, buffers, lags, coefficients, profile: see `advance_arima`.
        seen, learned, ring, constants: clock, state and constants of `calibrate`.
        values, forecasts, bands: see `psgym.predictors.base.Pass`.
    """
    forward(values[0], constants, values[1])
    advance_arima(clock, buffers, lags, coefficients, profile, values[1], forecasts)
    calibrate(seen, learned, ring, values[0], values[1], forecasts, constants, bands)
