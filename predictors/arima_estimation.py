"""Estimating one ARIMA order: conditional sum of squares in numba, or the exact likelihood of statsmodels."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.arima_kernels import BLOCK, advance_arima, residuals
from psgym.predictors.arima_order import Order
from psgym.predictors.state import State

LONGEST_EXACT_SEASON = 48  # the state of an exact filter grows with the season; beyond, it takes gigabytes and hours
# First guesses of autoregressive and moving-average parameters, before their tanh: one for a series that carries on
# its errors, one for a differenced series that takes most of them back. Equal guesses would cancel each other out.
STARTS = ((0.5, -0.2), (0.2, 0.5))


@dataclass(frozen=True)
class Model:
    """An order with estimated coefficients.

    Attributes:
        order: what was estimated.
        ar_lags, ar, ma_lags, ma: the sparse expansion, see `Order.expand`.
        profile: what is subtracted by phase, shape [S]; zeros if nothing is.
        usual: average of the series by phase, assumed before the first value, shape [S].
    """

    order: Order
    ar_lags: NDArray[np.int64]
    ar: NDArray[np.float64]
    ma_lags: NDArray[np.int64]
    ma: NDArray[np.float64]
    profile: NDArray[np.float64]
    usual: NDArray[np.float64]

    @property
    def reach(self) -> int:
        """The longest lag."""
        return int(max(self.ar_lags.max(initial=1), self.ma_lags.max(initial=1)))

    def history(self, length: int) -> NDArray[np.float64]:
        """Deseasonalised values assumed before the first, shape [length]."""
        phase = np.arange(-length, 0) % len(self.usual)
        return np.asarray((self.usual - self.profile)[phase])


def average_profile(z: NDArray[np.float64], period: int, length: int) -> NDArray[np.float64]:
    """Means by phase of a period, repeated to `length`; zeros for period 0."""
    if period == 0:
        return np.zeros(length)
    phase = np.arange(len(z)) % period
    means = np.bincount(phase, z, period) / np.maximum(np.bincount(phase, minlength=period), 1)
    return np.tile(means, length // period)


def estimate(order: Order, z: NDArray[np.float64], season: tuple[int, ...], method: str = "css") -> Model:
    """Estimates the coefficients of an order on the standardised series z of shape [T].

    Raises:
        ValueError: the method cannot express or afford the order, or the series is too short for it.
    """
    if len(z) < order.burn + order.n_parameters + 4:
        raise ValueError(f"order {order} needs more than {order.burn + order.n_parameters + 3} values, found {len(z)}")
    # One length holds a whole number of every period.
    length = math.lcm(*season, max(order.profile, 1))
    profile = average_profile(z, order.profile, length)
    usual = average_profile(z, season[-1] if season else 0, length)
    if order.profile:
        usual = profile
    solve = _exact if method == "statsmodels" else _conditional
    start = Model(order, *order.expand(np.zeros(order.n_parameters)), profile, usual)
    deseasonalised = z - profile[np.arange(len(z)) % length]
    return Model(order, *solve(order, deseasonalised, start), profile, usual)


Expansion = tuple[NDArray, NDArray, NDArray, NDArray]


def _conditional(order: Order, z: NDArray[np.float64], start: Model) -> Expansion:
    from scipy.optimize import least_squares

    guesses = [_guess(order, *start) for start in STARTS]
    reach = int(order.burn + sum(max(p, q) * s for p, q, s in order.factors) + 1)
    history = start.history(reach)

    def errors(free: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(residuals(history, z, order.burn, *order.expand(free))[order.burn :])

    if order.n_parameters == 0 or len(z) - order.burn <= order.n_parameters:
        return order.expand(guesses[0])
    results = [least_squares(errors, guess, method="lm", max_nfev=40 * order.n_parameters) for guess in guesses]
    return order.expand(min(results, key=lambda result: float(result.cost)).x)


def _guess(order: Order, autoregressive: float, moving_average: float) -> NDArray[np.float64]:
    return np.concatenate([np.r_[np.full(p, autoregressive), np.full(q, moving_average)] for p, q, _ in order.factors])


def _exact(order: Order, z: NDArray[np.float64], start: Model) -> Expansion:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    if len(order.seasonal) > 1 or any(part[3] > LONGEST_EXACT_SEASON for part in order.seasonal):
        raise ValueError(
            f"order {order}: method='statsmodels' takes one season of at most {LONGEST_EXACT_SEASON} slots; use 'css'"
        )
    seasonal = order.seasonal[0] if order.seasonal else (0, 0, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is judged by the backtest, not by the optimiser's notices
        result = SARIMAX(z, order=order.regular, seasonal_order=seasonal).fit(disp=False, low_memory=True)
    values, used, coefficients = np.asarray(result.params), 0, []
    # statsmodels lists all autoregressive terms before the seasonal ones: ar, ma, seasonal ar, seasonal ma.
    for p, q, _ in order.factors:
        coefficients += [values[used : used + p], values[used + p : used + p + q]]
        used += p + q
    return order.expand_coefficients(coefficients)


def pack(models: list[Model]) -> tuple[NDArray, ...]:
    """Models as the padded arrays of `advance_arima`: lags, coefficients, profile."""
    length = math.lcm(*(len(model.profile) for model in models))
    profile = np.array([np.tile(model.profile, length // len(model.profile)) for model in models])
    terms = max(max(len(model.ar), len(model.ma), 1) for model in models)
    lags, coefficients = np.zeros((2, len(models), terms), np.int64), np.zeros((2, len(models), terms))
    for m, model in enumerate(models):
        lags[0, m, : len(model.ar)], coefficients[0, m, : len(model.ar)] = model.ar_lags[::-1], model.ar[::-1]
        lags[1, m, : len(model.ma)], coefficients[1, m, : len(model.ma)] = model.ma_lags[::-1], model.ma[::-1]
    return lags, coefficients, profile


def new_state(models: list[Model], horizon: int) -> State:
    """Buffers that hold the assumed history of each model."""
    reach = max(model.reach for model in models)
    buffers = np.zeros((2, len(models), reach + horizon + BLOCK))
    for m, model in enumerate(models):
        buffers[0, m, :reach] = model.history(reach)
    return {"clock": np.array([0, reach - 1], np.int64), "buffers": buffers}


def tail_errors(model: Model, z: NDArray[np.float64], split: int, horizon: int) -> NDArray[np.float64]:
    """Mean absolute errors by horizon, shape [horizon], of the forecasts made from `split` on; inf where unknown."""
    state, packed = new_state([model], horizon), pack([model])
    arguments = (state["clock"], state["buffers"], *packed)
    out = np.empty((len(z) - split, horizon))
    advance_arima(*arguments, z[:split], np.empty((split, 0)))
    advance_arima(*arguments, z[split:], out)
    errors = np.full(horizon, np.inf)
    for h in range(1, min(horizon, len(out) - 1) + 1):
        errors[h - 1] = np.abs(z[split + h :] - out[: len(out) - h, h - 1]).mean()
    return np.where(np.isfinite(errors), errors, np.inf)
