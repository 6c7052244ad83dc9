"""Conformal intervals and the smearing correction, learned online from errors that have been realised.

Every forecaster issues its forecasts on the standardised scale z. This layer maps them back and adds what experience
says about their errors. An error at horizon h is known h slots after the forecast, never earlier, so a ring holds the
last forecasts and bounds that were issued.

Intervals: each bound is a tracked quantile of the h-step error, in units of the recent mean absolute error, so that it
narrows at once where errors do. When a value leaves the bound issued for it, the quantile moves out by
gamma x (1 - alpha), else in by gamma x alpha; the long-run coverage is then 1 - alpha whatever the process (adaptive
conformal inference: Gibbs and Candes 2021; quantile tracking: Angelopoulos, Candes and Tibshirani 2023). Errors many
slots ahead overlap and come late, so their steps are smaller. The two sides are tracked apart because counts are
skewed.

Smearing: the inverse of a logarithm maps a mean to a median. The ratio of exponentially weighted sums of what came and
of what the median forecast said corrects it per horizon (after Duan 1983).
"""

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from psgym.predictors.state import State
from psgym.predictors.transform import SIZE as TRANSFORM_SIZE
from psgym.predictors.transform import back, inverse, unpack

SMEARING_HALF_LIFE_PERIODS = 7.0
SCALE_HALF_LIFE_PERIODS = 1.0
SMEARING_LIMITS = (0.5, 3.0)
SMEARING_PRIOR_SLOTS = 50.0
FULL_STEP_HORIZON = 12  # beyond it, the step of the quantile falls with the inverse of the horizon


def calibration_constants(
    packed: NDArray, gamma: float, coverage: NDArray, horizon: int, period: int
) -> NDArray[np.float64]:
    """What `calibrate` needs to know and never changes, as one array.

    Args:
        packed: the transform, shape [8].
        gamma: step of the quantile tracker in units of the mean absolute error.
        coverage: the levels as fractions, shape [L].
        horizon: slots ahead, H.
        period: the shortest season in slots, in which half-lives are told.

    Returns:
        The transform, the share of the smearing sums and of the error scale that is kept per slot, the levels, and the
        step at each horizon, shape [8 + 2 + L + H].
    """
    kept = [0.5 ** (1.0 / (periods * period)) for periods in (SMEARING_HALF_LIFE_PERIODS, SCALE_HALF_LIFE_PERIODS)]
    steps = gamma * np.minimum(1.0, FULL_STEP_HORIZON / np.arange(1.0, horizon + 1.0))
    return np.concatenate([packed, kept, coverage, steps])


def new_calibration(lower: NDArray, upper: NDArray, scale: NDArray, smearing: NDArray) -> State:
    """A fresh state that starts from learned priors.

    Args:
        lower: quantiles of the z error below the forecast, per level and horizon, shape [L, H].
        upper: likewise above, shape [L, H].
        scale: mean absolute z error per horizon, shape [H].
        smearing: prior of the smearing factor per horizon, shape [H].

    Returns:
        `clock`: values seen, shape [1]. `learned`: scale, the two sums of the smearing factor, lower and upper
        quantiles in units of the scale, stacked to shape [3 + 2L, H]. `ring`: the forecasts of the next slots with
        their bounds, shape [H, H, 1 + 2L], those of slot t in row t % H by how far ahead they were made. A few arrays
        rather than many, because passing one to a kernel costs as much as a hundred additions.
    """
    levels, horizon = lower.shape
    unit = np.maximum(scale, 1e-12)
    sums = np.stack([SMEARING_PRIOR_SLOTS * smearing, np.full(horizon, SMEARING_PRIOR_SLOTS)])
    return {
        "clock": np.zeros(1, np.int64),
        "learned": np.vstack([scale[None], sums, lower / unit, upper / unit]),
        "ring": np.zeros((horizon, horizon, 1 + 2 * levels)),
    }


def error_priors(
    z: NDArray, y: NDArray, forecasts: NDArray, coverage: NDArray, packed: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Quantiles, scale and smearing of the errors of a table, the priors of `new_calibration`.

    Args:
        z: the series on the standardised scale, shape [T].
        y: the same in its own units, shape [T].
        forecasts: the model's table on z, shape [T, H].
        coverage: the levels as fractions, shape [L].
        packed: the transform.

    Returns:
        lower [L, H], upper [L, H], scale [H] and smearing [H]. Horizons as long as the series take the last known.
    """
    length, horizon = forecasts.shape
    lower, upper = np.zeros((len(coverage), horizon)), np.zeros((len(coverage), horizon))
    scale, smearing = np.zeros(horizon), np.ones(horizon)
    start = min(length // 2, max(0, length - 4 * horizon))  # the start of a table is warm-up
    for h in range(1, horizon + 1):
        if length - start - h < 2:
            lower[:, h - 1 :], upper[:, h - 1 :] = lower[:, h - 2 : h - 1], upper[:, h - 2 : h - 1]
            scale[h - 1 :], smearing[h - 1 :] = scale[h - 2], smearing[h - 2]
            break
        issued = forecasts[start : length - h, h - 1]
        error = z[start + h :] - issued
        lower[:, h - 1] = -np.quantile(error, 0.5 * (1.0 - coverage))
        upper[:, h - 1] = np.quantile(error, 0.5 * (1.0 + coverage))
        scale[h - 1] = np.abs(error).mean()
        if packed[0] > 0.5:
            said = np.array([inverse(v, packed) for v in issued])
            unit = packed[1]
            smearing[h - 1] = np.clip((y[start + h :].mean() + unit) / (said.mean() + unit), *SMEARING_LIMITS)
    return lower, upper, scale, smearing


@numba.njit(cache=True)
def calibrate(
    clock: NDArray, learned: NDArray, ring: NDArray,
    y: NDArray, z: NDArray, forecasts: NDArray, constants: NDArray, out: NDArray,
) -> None:  # fmt: skip
    """Learns from each new value, then maps the forecasts made at it to units of the series.

    Args:
        clock, learned, ring: the state of `new_calibration`, changed in place.
        y: new values, shape [n]; z: the same on the standardised scale, shape [n].
        forecasts: the model's z forecasts after each of them, shape [n, H].
        constants: of `calibration_constants`.
        out: receives mean, median, lower and upper bounds, shape [n, 2 + 2L, H].
    """
    horizon, levels = ring.shape[0], ring.shape[2] // 2
    # The transform by number: the compiler cannot know that writing a bound leaves the array alone.
    transform, rates = unpack(constants), constants[TRANSFORM_SIZE:]
    for i in range(y.shape[0]):
        slot = clock[0] % horizon
        _learn(learned, ring[slot, : min(clock[0], horizon)], y[i], z[i], rates, transform)
        _issue(learned, forecasts[i], transform, out[i])
        for k in range(horizon):
            slot = slot + 1 if slot + 1 < horizon else 0
            ring[slot, k, 0] = forecasts[i, k]
            for j in range(2 * levels):
                ring[slot, k, 1 + j] = out[i, 2 + j, k]
        for j in range(2, 2 + 2 * levels):
            for k in range(horizon):
                out[i, j, k] = back(out[i, j, k], *transform)
        clock[0] += 1


# The loops below run over horizons innermost and do one thing each, so that the compiler turns them into vectors.


@numba.njit(cache=True)
def _learn(learned: NDArray, due: NDArray, y: float, z: float, rates: NDArray, transform: Any) -> None:
    """Takes in a value and what was issued for it, shape [ahead, 1 + 2L]."""
    levels, ahead = due.shape[1] // 2, due.shape[0]
    retention, scale_retention, coverage, step = rates[0], rates[1], rates[2 : 2 + levels], rates[2 + levels :]
    log, unit, centre = transform[0], transform[1], transform[2]
    scale, came, said = learned[0], learned[1], learned[2]
    for k in range(ahead):
        scale[k] = scale_retention * scale[k] + (1.0 - scale_retention) * abs(z - due[k, 0])
    if log:
        typical = unit * math.exp(centre)  # the geometric mean, so that the prior has a weight in slots
        for k in range(ahead):
            came[k] = retention * came[k] + (y + unit) / typical
            said[k] = retention * said[k] + (back(due[k, 0], *transform) + unit) / typical
    for j in range(levels):
        lower, upper, tail = learned[3 + j], learned[3 + levels + j], 0.5 * (1.0 - coverage[j])
        for k in range(ahead):
            lower[k] += step[k] * ((1.0 if z < due[k, 1 + j] else 0.0) - tail)
            upper[k] += step[k] * ((1.0 if z > due[k, 1 + levels + j] else 0.0) - tail)


@numba.njit(cache=True)
def _issue(learned: NDArray, forecasts: NDArray, transform: Any, out: NDArray) -> None:
    """Writes mean and median in units of the series, and the bounds on the standardised scale."""
    levels, ahead = (out.shape[0] - 2) // 2, forecasts.shape[0]
    scale, came, said = learned[0], learned[1], learned[2]
    for k in range(ahead):
        out[0, k] = out[1, k] = back(forecasts[k], *transform)
    if transform[0]:
        unit = transform[1]
        for k in range(ahead):
            factor = min(max(came[k] / said[k], SMEARING_LIMITS[0]), SMEARING_LIMITS[1])
            out[0, k] = max((out[1, k] + unit) * factor - unit, 0.0)
    for j in range(levels):
        lower, upper = learned[3 + j], learned[3 + levels + j]
        for k in range(ahead):
            out[2 + j, k] = min(forecasts[k] - scale[k] * lower[k], forecasts[k])
            out[2 + levels + j, k] = max(forecasts[k] + scale[k] * upper[k], forecasts[k])
