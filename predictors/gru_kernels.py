"""Features, skips and the recurrent cell of the GRU forecaster, without torch."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

N_FEATURES = 13
N_SKIPS = 5
PROFILE_SMOOTHING = 0.3


@numba.njit(cache=True)
def observe(
    clock: NDArray, day: NDArray, week: NDArray, day_profile: NDArray, week_profile: NDArray, value: float, x: NDArray
) -> None:
    """Takes in one value and writes the features of this slot.

    Args:
        clock: values seen so far, shape [1].
        day, week: the last season of values, rings of the two periods; shape [1] each where there is no season.
        day_profile, week_profile: smoothed averages by phase, same shapes.
        value: the new value on the standardised scale.
        x: receives the features, shape [N_FEATURES]: the value; its change from yesterday, last week and the two
            profiles; two harmonics of the day and of the week.
    """
    t = clock[0]
    i, j = t % day.shape[0], t % week.shape[0]
    x[0] = value
    x[1], x[2] = value - day[i], value - week[j]
    x[3], x[4] = value - day_profile[i], value - week_profile[j]
    for harmonic in range(2):
        angle = 2.0 * math.pi * (harmonic + 1)
        by_day, by_week = angle * i / day.shape[0], angle * j / week.shape[0]
        x[5 + 4 * harmonic], x[6 + 4 * harmonic] = math.sin(by_day), math.cos(by_day)
        x[7 + 4 * harmonic], x[8 + 4 * harmonic] = math.sin(by_week), math.cos(by_week)
    day[i], week[j] = value, value
    # The first seasons enter as a running mean, the later ones with a fixed weight.
    day_profile[i] += max(PROFILE_SMOOTHING, 1.0 / (t // day.shape[0] + 2)) * (value - day_profile[i])
    week_profile[j] += max(PROFILE_SMOOTHING, 1.0 / (t // week.shape[0] + 2)) * (value - week_profile[j])
    clock[0] = t + 1


@numba.njit(cache=True)
def skips(
    clock: NDArray,
    day: NDArray,
    week: NDArray,
    day_profile: NDArray,
    week_profile: NDArray,
    value: float,
    k: int,
    out: NDArray,
) -> None:
    """Writes the simple forecasts of k + 1 slots ahead that the network combines, shape [N_SKIPS]."""
    i, j = (clock[0] + k) % day.shape[0], (clock[0] + k) % week.shape[0]
    out[0], out[1], out[2], out[3], out[4] = value, day[i], week[j], day_profile[i], week_profile[j]


@numba.njit(cache=True)
def _sigmoid(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


@numba.njit(cache=True)
def _affine(vector: NDArray, weight: NDArray, bias: NDArray, out: NDArray) -> None:
    """Out = vector @ weight + bias, the inner loop over outputs so that it vectorises without reordering sums."""
    for j in range(out.shape[0]):
        out[j] = bias[j]
    for i in range(vector.shape[0]):
        v = vector[i]
        for j in range(out.shape[0]):
            out[j] += v * weight[i, j]


@numba.njit(cache=True)
def gru_cell(
    x: NDArray, hidden: NDArray, w_input: NDArray, b_input: NDArray, w_hidden: NDArray, b_hidden: NDArray,
    from_input: NDArray, from_hidden: NDArray,
) -> None:  # fmt: skip
    """One step of a gated recurrent unit (Cho et al. 2014) in the form of torch, hidden state changed in place.

    Args:
        x: features, shape [F].
        hidden: shape [N].
        w_input, b_input, w_hidden, b_hidden: weights [F, 3N] and [N, 3N] and biases [3N], gates r, z, n in order.
        from_input, from_hidden: scratch, shape [3N].
    """
    n = hidden.shape[0]
    _affine(x, w_input, b_input, from_input)
    _affine(hidden, w_hidden, b_hidden, from_hidden)
    for j in range(n):
        reset = _sigmoid(from_input[j] + from_hidden[j])
        update = _sigmoid(from_input[n + j] + from_hidden[n + j])
        new = math.tanh(from_input[2 * n + j] + reset * from_hidden[2 * n + j])
        hidden[j] = (1.0 - update) * new + update * hidden[j]


@numba.njit(cache=True)
def features_of(
    clock: NDArray, day: NDArray, week: NDArray, day_profile: NDArray, week_profile: NDArray, z: NDArray,
    x: NDArray, simple: NDArray,
) -> None:  # fmt: skip
    """Features [T, N_FEATURES] and skips [T, H, N_SKIPS] of a whole series, what training sees."""
    for t in range(z.shape[0]):
        observe(clock, day, week, day_profile, week_profile, z[t], x[t])
        for k in range(simple.shape[1]):
            skips(clock, day, week, day_profile, week_profile, z[t], k, simple[t, k])


@numba.njit(cache=True)
def advance_gru(
    clock: NDArray, day: NDArray, week: NDArray, day_profile: NDArray, week_profile: NDArray, hidden: NDArray,
    w_input: NDArray, b_input: NDArray, w_hidden: NDArray, b_hidden: NDArray,
    w_out: NDArray, w_direct: NDArray, b_out: NDArray, w_skip: NDArray,
    z: NDArray, base: NDArray, out: NDArray,
) -> None:  # fmt: skip
    """Feeds values to M networks and writes the mean of their forecasts.

    forecast[k] = base[k] + W_out h + W_direct x + b + sum_s w_skip[s, k] skip_s[k]

    Args:
        clock, day, week, day_profile, week_profile: see `observe`; hidden: shape [M, N]; all changed in place.
        w_input [M, F, 3N], b_input [M, 3N], w_hidden [M, N, 3N], b_hidden [M, 3N]: the cells.
        w_out [M, N, H], w_direct [M, F, H], b_out [M, H], w_skip [M, N_SKIPS, H]: the heads.
        z: new values, shape [n].
        base: forecasts that the network corrects, shape [n, H]; zeros for a network that stands alone.
        out: receives the forecasts, shape [n, H]; may be the same array.
    """
    models, ahead = hidden.shape[0], out.shape[1]
    x, row, direct = np.empty(N_FEATURES), np.empty(ahead), np.empty(ahead)
    from_input, from_hidden = np.empty(b_input.shape[1]), np.empty(b_input.shape[1])
    zero = np.zeros(ahead)
    for i in range(z.shape[0]):
        observe(clock, day, week, day_profile, week_profile, z[i], x)
        for k in range(ahead):
            out[i, k] = base[i, k]
        for m in range(models):
            gru_cell(x, hidden[m], w_input[m], b_input[m], w_hidden[m], b_hidden[m], from_input, from_hidden)
            _affine(hidden[m], w_out[m], b_out[m], row)
            _affine(x, w_direct[m], zero, direct)
            a, b = clock[0] % day.shape[0], clock[0] % week.shape[0]
            w = w_skip[m]
            for k in range(ahead):
                total = row[k] + direct[k] + w[0, k] * z[i] + w[1, k] * day[a] + w[2, k] * week[b]
                total += w[3, k] * day_profile[a] + w[4, k] * week_profile[b]
                out[i, k] += total / models
                a = a + 1 if a + 1 < day.shape[0] else 0
                b = b + 1 if b + 1 < week.shape[0] else 0
