"""The recursion against the filter of statsmodels, estimation, orders."""

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX

from psgym.predictors import ARIMA
from psgym.predictors.arima_estimation import estimate
from psgym.predictors.arima_order import Order, candidates


def sarima(length: int = 900, seed: int = 0) -> np.ndarray:
    """(1, 0, 1)(0, 1, 1)12 with phi .6, theta .3, Theta -.5."""
    rng = np.random.default_rng(seed)
    e, w, y = rng.normal(size=length), np.zeros(length), np.zeros(length)
    for t in range(13, length):
        w[t] = 0.6 * w[t - 1] + e[t] + 0.3 * e[t - 1] - 0.5 * e[t - 12] - 0.15 * e[t - 13]
        y[t] = y[t - 12] + w[t]
    return y


@pytest.mark.parametrize(
    ("order", "seasonal", "coefficients", "tolerance"),
    [
        ((2, 0, 1), (0, 0, 0, 0), [0.5, 0.2, 0.4], 1e-9),
        ((1, 1, 1), (0, 0, 0, 0), [0.4, -0.5], 1e-6),
        ((1, 0, 1), (0, 1, 1, 12), [0.6, 0.3, -0.5], 1e-6),
        ((1, 0, 1), (1, 0, 1, 12), [0.6, 0.3, 0.7, -0.4], 1e-6),
    ],
)
def test_equals_the_filter_of_statsmodels(
    order: tuple, seasonal: tuple, coefficients: list[float], tolerance: float
) -> None:
    y = sarima()
    parts = [seasonal] if seasonal[3] else []
    ours = ARIMA(order, parts, season=(12,), horizon=24, transform="identity").fit(y)
    z = ours.transform_.forward(y)
    model = ours.models_[0]
    expanded = model.order.expand_coefficients(_split(model.order, coefficients))
    ours._set_models([type(model)(model.order, *expanded, model.profile, model.usual)])
    theirs = SARIMAX(
        z, order=order, seasonal_order=seasonal, enforce_stationarity=False, enforce_invertibility=False
    ).smooth([*coefficients, 1.0])
    # The starts differ (assumed history here, a diffuse state there) and fade as the moving average's roots allow.
    table = ours._table_on_scale(z, y)
    np.testing.assert_allclose(table[-1], theirs.forecast(24), atol=tolerance)
    one_step = theirs.get_prediction(start=600).predicted_mean
    np.testing.assert_allclose(table[599:-1, 0], one_step, atol=max(tolerance, 1e-5))


def _split(order: Order, values: list[float]) -> list[np.ndarray]:
    parts, used = [], 0
    for p, q, _ in order.factors:
        parts += [np.array(values[used : used + p]), np.array(values[used + p : used + p + q])]
        used += p + q
    return parts


def test_css_recovers_the_parameters() -> None:
    model = estimate(Order((1, 0, 1), ((0, 1, 1, 12),)), sarima(6000), (12,))
    assert dict(zip(model.ma_lags.tolist(), model.ma.tolist(), strict=True))[12] == pytest.approx(-0.5, abs=0.05)
    assert model.ma[0] == pytest.approx(0.3, abs=0.07)
    assert model.ar[0] == pytest.approx(0.6, abs=0.05)


def test_css_and_statsmodels_agree() -> None:
    y = sarima(800)
    shared = {"season": (12,), "horizon": 24, "transform": "identity"}
    css = ARIMA((1, 0, 1), [(0, 1, 1, 12)], **shared).fit(y)
    exact = ARIMA((1, 0, 1), [(0, 1, 1, 12)], method="statsmodels", **shared).fit(y)
    gap = css.table(y)[400:] - exact.table(y)[400:]
    assert np.abs(gap).mean() < 0.05 * np.abs(np.diff(y)).mean()


def test_statsmodels_says_what_it_cannot_do() -> None:
    arima = ARIMA((1, 0, 1), [(1, 0, 1, 4), (0, 1, 1, 28)], method="statsmodels", season=(4, 28), horizon=4)
    with pytest.raises(ValueError, match="takes one season of at most 48 slots"):
        arima.fit(sarima(300))


def test_expansion_multiplies_the_polynomials() -> None:
    order = Order((1, 1, 0), ((0, 1, 1, 4),))
    expanded = order.expand_coefficients([np.array([0.5]), np.zeros(0), np.zeros(0), np.array([-0.3])])
    left = np.convolve(np.convolve([1, -0.5], [1, -1]), [1, 0, 0, 0, -1])
    np.testing.assert_array_equal(expanded[0], np.flatnonzero(left[1:]) + 1)
    np.testing.assert_allclose(expanded[1], -left[1:][left[1:] != 0])
    assert expanded[2].tolist() == [4]
    assert expanded[3].tolist() == [-0.3]


def test_any_parameters_are_stationary_and_invertible() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ar_lags, ar, ma_lags, ma = Order((3, 0, 3)).expand(rng.normal(0.0, 3.0, 6))
        for lags, values, sign in ((ar_lags, ar, -1.0), (ma_lags, ma, 1.0)):
            polynomial = np.zeros(4)
            polynomial[0], polynomial[lags] = 1.0, sign * values
            assert np.abs(np.roots(polynomial)).max() < 1.0


def test_the_search_finds_the_season() -> None:
    arima = ARIMA(season=(12,), horizon=12, transform="identity").fit(sarima(700))
    assert len(arima.orders_) == 3
    assert any(part[3] == 12 for order in arima.orders_ for part in order.seasonal)


def test_candidates_need_enough_seasons() -> None:
    assert all(not order.seasonal and not order.profile for order in candidates((), 500))
    assert not any(order.profile == 168 for order in candidates((24, 168), 600))
    assert any(len(order.seasonal) == 2 for order in candidates((24, 168), 600))


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="method='mle'"):
        ARIMA(method="mle")
    with pytest.raises(ValueError, match="expected \\(p, d, q\\) or 'auto'"):
        ARIMA("best")
    with pytest.raises(ValueError, match="chooses the seasonal part itself"):
        ARIMA("auto", [(0, 1, 1, 24)])
    with pytest.raises(ValueError, match="needs more than"):
        ARIMA((1, 0, 1), [(0, 1, 1, 24)]).fit(np.arange(20.0))
