"""Combining experts by their realised errors."""

import math

import numba
from numpy.typing import NDArray

from psgym.predictors.transform import inverse


@numba.njit(cache=True)
def correct_intercepts(
    clock: NDArray,
    ring: NDArray,
    sums: NDArray,
    z: NDArray,
    experts: NDArray,
    retention: float,
    prior: float,
    out: NDArray,
) -> None:
    """Adds to forecasts the recent mean of their realised errors, which follows a shift of the level.

    An intercept correction (Clements and Hendry 1996) per horizon, with exponential forgetting and shrunk to none.

    Args:
        clock: values seen so far, shape [1]; it is left to `combine` to move it.
        ring: the last forecasts, shape [H, C, H]; sums: weighted errors [C, H] and, in the last row, weights,
            shape [C + 1, H]; both changed in place.
        z: new values on the standardised scale, shape [n].
        experts: forecasts on that scale, shape [C, n, H].
        retention: share of the sums kept per slot.
        prior: slots without an error that the mean is shrunk by.
        out: receives the corrected forecasts, shape [C, n, H].
    """
    count, ahead = out.shape[0], out.shape[2]
    for i in range(z.shape[0]):
        t = clock[0] + i
        for h in range(1, min(t, ahead) + 1):
            k, slot = h - 1, (t - h) % ahead
            for c in range(count):
                sums[c, k] = retention * sums[c, k] + z[i] - ring[slot, c, k]
            sums[count, k] = retention * sums[count, k] + 1.0
        slot = t % ahead
        for c in range(count):
            for k in range(ahead):
                ring[slot, c, k] = experts[c, i, k]
                out[c, i, k] = experts[c, i, k] + sums[c, k] / (sums[count, k] + prior)


@numba.njit(cache=True)
def combine(
    clock: NDArray, ring: NDArray, errors: NDArray, weights: NDArray,
    y: NDArray, experts: NDArray, packed: NDArray, sharpness: float, retention: float, out: NDArray,
) -> None:  # fmt: skip
    """Weights K experts per horizon and writes their combination.

    With E_k[h] the exponentially weighted mean absolute error of expert k at horizon h, in units of the series and over
    forecasts whose target has been observed,

        w_k[h] = E_k[h]^-p / sum_j E_j[h]^-p,    p = sharpness sqrt(n)        (after Bates and Granger 1969)

    where n is the weighted count of errors in the mean: the surer their ranking, the sharper the weights.

    Args:
        clock: values seen so far, shape [1].
        ring: the last forecasts of each expert, shape [H, K, H], slot t % H for those made at t.
        errors: sums of weighted errors [K, H] and, in the last row, of the weights themselves, shape [K + 1, H].
        weights: receives the current weights, shape [K, H].
        y: new values, shape [n].
        experts: the experts' z forecasts, shape [K, n, H].
        packed: the transform.
        sharpness: how sharply weights follow errors.
        retention: share of the sums kept per slot.
        out: receives the combined z forecasts, shape [n, H].
    """
    count, ahead = weights.shape
    for i in range(y.shape[0]):
        t = clock[0]
        for h in range(1, min(t, ahead) + 1):
            k, slot = h - 1, (t - h) % ahead
            for e in range(count):
                error = abs(y[i] - inverse(ring[slot, e, k], packed))
                errors[e, k] = retention * errors[e, k] + error
            errors[count, k] = retention * errors[count, k] + 1.0
        slot = t % ahead
        for k in range(ahead):
            smallest = errors[0, k]
            for e in range(1, count):
                smallest = min(smallest, errors[e, k])
            total, power = 0.0, sharpness * math.sqrt(errors[count, k])
            for e in range(count):
                # Relative to the smallest, so that no power overflows; equal errors of 0 give equal weights.
                ratio = (smallest + 1e-12) / (errors[e, k] + 1e-12)
                weights[e, k] = ratio**power
                total += weights[e, k]
            out[i, k] = 0.0
            for e in range(count):
                weights[e, k] /= total
                ring[slot, e, k] = experts[e, i, k]
                out[i, k] += weights[e, k] * experts[e, i, k]
        clock[0] = t + 1
