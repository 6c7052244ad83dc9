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
    clock: NDArray, ring: NDArray, errors: NDArray, weights: NDArray, regrets: NDArray, shares: NDArray,
    y: NDArray, experts: NDArray, packed: NDArray, sharpness: float, retention: float, rate: float,
    mixture_retention: float, out: NDArray,
) -> None:  # fmt: skip
    """Weights K experts and one mixture of them per horizon, and writes their combination.

    With E_k[h] the exponentially weighted mean absolute error of expert k at horizon h, in units of the series and over
    forecasts whose target has been observed,

        w_k[h] = E_k[h]^-p / sum_j E_j[h]^-p,    p = sharpness sqrt(n)        (after Bates and Granger 1969)

    where n is the weighted count of errors in the mean: the surer their ranking, the sharper the weights. These weights
    ask who is best alone. The mixture, which is ranked as one more expert, asks who would have made it better: where m
    is what it forecast, f_k what expert k did and y what came, the gradient of its absolute error, as if forecasts were
    mixed in units of the series, sums to

        R_k[h] = sum +-(f_k - m),    V_k[h] = sum (f_k - m)^2,    share_k[h] ~ exp(rate R_k / sqrt(V_k))

    with plus where y > m, and with forgetting: an exponentially weighted average whose rate is each expert's own (after
    Wintenberger 2017).

    Args:
        clock: values seen so far, shape [1].
        ring: the last forecasts of each expert and of the mixture, shape [H, K + 1, H], slot t % H for those made at t.
        errors: sums of weighted errors [K + 1, H] and, in the last row, of the weights themselves, shape [K + 2, H].
        weights: receives the current weights, the last that of the mixture, shape [K + 1, H].
        regrets: R and V, shape [2, K, H].
        shares: receives the current shares in the mixture, shape [K, H].
        y: new values, shape [n].
        experts: the experts' z forecasts, shape [K, n, H].
        packed: the transform.
        sharpness: how sharply weights follow errors.
        retention: share of the sums of errors kept per slot.
        rate: how sharply shares follow gradients.
        mixture_retention: share of R and V kept per slot.
        out: receives the combined z forecasts, shape [n, H].
    """
    count, ahead = shares.shape
    for i in range(y.shape[0]):
        t = clock[0]
        for h in range(1, min(t, ahead) + 1):
            k, slot = h - 1, (t - h) % ahead
            mixed = inverse(ring[slot, count, k], packed)
            errors[count, k] = retention * errors[count, k] + abs(y[i] - mixed)
            errors[count + 1, k] = retention * errors[count + 1, k] + 1.0
            side = 1.0 if y[i] > mixed else -1.0
            for e in range(count):
                forecast = inverse(ring[slot, e, k], packed)
                errors[e, k] = retention * errors[e, k] + abs(y[i] - forecast)
                apart = forecast - mixed
                regrets[0, e, k] = mixture_retention * regrets[0, e, k] + side * apart
                regrets[1, e, k] = mixture_retention * regrets[1, e, k] + apart * apart
        slot = t % ahead
        for k in range(ahead):
            for e in range(count):
                ring[slot, e, k] = experts[e, i, k]
            _share(regrets[:, :, k], rate, shares[:, k])
            _rank(errors[:, k], sharpness, weights[:, k])
            mixed = 0.0
            for e in range(count):
                mixed += shares[e, k] * experts[e, i, k]
            ring[slot, count, k] = mixed
            out[i, k] = weights[count, k] * mixed
            for e in range(count):
                out[i, k] += weights[e, k] * experts[e, i, k]
        clock[0] = t + 1


@numba.njit(cache=True)
def _rank(errors: NDArray, sharpness: float, weights: NDArray) -> None:
    """Weights at one horizon from sums of errors and, last, their count."""
    smallest, total = errors[: weights.shape[0]].min(), 0.0
    power = sharpness * math.sqrt(errors[weights.shape[0]])
    for e in range(weights.shape[0]):
        # Relative to the smallest, so that no power overflows; equal errors of 0 give equal weights.
        weights[e] = ((smallest + 1e-12) / (errors[e] + 1e-12)) ** power
        total += weights[e]
    for e in range(weights.shape[0]):
        weights[e] /= total


@numba.njit(cache=True)
def _share(regrets: NDArray, rate: float, shares: NDArray) -> None:
    """Shares in the mixture at one horizon."""
    highest, total = -math.inf, 0.0
    for e in range(shares.shape[0]):
        shares[e] = rate * regrets[0, e] / (math.sqrt(regrets[1, e]) + 1e-12)
        highest = max(highest, shares[e])
    for e in range(shares.shape[0]):
        shares[e] = math.exp(shares[e] - highest)
        total += shares[e]
    for e in range(shares.shape[0]):
        shares[e] /= total
