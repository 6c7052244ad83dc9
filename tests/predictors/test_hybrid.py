"""Weights follow realised errors, and those alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.predictors import EWMA, Hybrid, SeasonalNaive
from psgym.predictors.hybrid_kernels import combine, correct_intercepts
from psgym.predictors.transform import Transform

SHARED: dict[str, Any] = {"season": (8, 56), "horizon": 6}

PLAIN = Transform(False, 1.0, 0.0, 1.0, -1e9, 1e9, -np.inf, -np.inf).packed


def weigh(experts: np.ndarray, y: np.ndarray, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Combined forecasts [n, H] and final weights [K, H] of expert tables [K, n, H]."""
    count, n, ahead = experts.shape
    weights, out = np.zeros((count, ahead)), np.empty((n, ahead))
    ring, errors = np.zeros((ahead, count, ahead)), np.zeros((count + 1, ahead))
    combine(np.zeros(1, np.int64), ring, errors, weights, y, experts, PLAIN, sharpness, 0.99, out)
    return out, weights


def test_weights_are_the_formula() -> None:
    y = np.zeros(40)
    experts = np.stack([np.full((40, 3), 1.0), np.full((40, 3), 2.0)])
    out, weights = weigh(experts, y)
    for k in range(3):
        count = (1.0 - 0.99 ** (39 - k)) / 0.01  # errors in the mean, with their weights
        np.testing.assert_allclose(weights[0, k], 1.0 / (1.0 + 0.5 ** (2.0 * np.sqrt(count))))
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    np.testing.assert_allclose(out[-1], weights[0] + 2.0 * weights[1])


def test_an_error_counts_when_it_is_realised() -> None:
    y = np.zeros(10)
    experts = np.stack([np.full((10, 3), 1.0), np.full((10, 3), 2.0)])
    out, _ = weigh(experts, y)
    # At t = 2 forecasts one and two slots ahead have been judged, none three slots ahead.
    assert out[2, 0] < 1.2
    assert out[2, 1] < 1.3
    assert out[2, 2] == 1.5
    assert out[3, 2] < 1.3


def test_perfect_experts_share() -> None:
    out, weights = weigh(np.zeros((3, 20, 2)), np.zeros(20))
    np.testing.assert_allclose(weights, 1.0 / 3.0)
    assert (out == 0.0).all()


def test_an_intercept_correction_removes_a_shift() -> None:
    z = np.full(200, 1.5)
    out, sums = np.empty((1, 200, 4)), np.zeros((2, 4))
    correct_intercepts(np.zeros(1, np.int64), np.zeros((4, 1, 4)), sums, z, np.zeros((1, 200, 4)), 0.999, 10.0, out)
    np.testing.assert_array_equal(out[0, 2, 2:], 0.0)
    np.testing.assert_allclose(out[0, -1], 1.5, rtol=0.06)


def test_a_guard_takes_over_after_a_shift(series: NDArray[np.float64], make_hybrid: Callable[[], Hybrid]) -> None:
    y = np.tile(series, 3)[:800]
    y[400:] = y[400:] * 6.0 + 200.0
    hybrid = make_hybrid().fit(y[:300])
    errors = {
        name: np.abs(f.bands(y).median[600:-6, 5] - y[606:]).mean()
        for name, f in {"hybrid": hybrid, **hybrid.experts_}.items()
    }
    assert errors["hybrid"] < 1.1 * min(errors.values())


def test_weights_are_readable(series: NDArray[np.float64], make_hybrid: Callable[[], Hybrid]) -> None:
    hybrid = make_hybrid().fit(series)
    weights = hybrid.weights_
    assert list(weights) == [*hybrid.experts_, "arima_corrected", "gru_corrected", "naive_corrected"]
    np.testing.assert_allclose(sum(weights.values()), 1.0)


def test_the_base_of_a_residual_network_runs_once(
    series: NDArray[np.float64], make_hybrid: Callable[[], Hybrid]
) -> None:
    hybrid = make_hybrid().fit(series)
    assert "base" not in hybrid._state["experts"]["residual_gru"]
    alone = hybrid.experts_["residual_gru"].table(series)
    assert np.isfinite(alone).all()


def test_fitted_experts_are_used_as_they_are(series: NDArray[np.float64]) -> None:
    y = series
    experts = {"naive": SeasonalNaive(transform="auto", **SHARED), "ewma": EWMA(**SHARED)}
    for expert in experts.values():
        expert.fit(y)
    fitted = Hybrid(experts, experts_fitted=True, corrected=(), **SHARED).fit(y)
    fresh = Hybrid(
        {"naive": SeasonalNaive(transform="auto", **SHARED), "ewma": EWMA(**SHARED)}, corrected=(), **SHARED
    ).fit(y)
    np.testing.assert_array_equal(fitted.table(y), fresh.table(y))


def test_wrong_parts(series: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="no expert 'arima' among"):
        Hybrid({"ewma": EWMA(**SHARED)}, corrected=("arima",), **SHARED).fit(series)
    with pytest.raises(ValueError, match=r"experts\['ewma'\]\.horizon=48 is not horizon=6"):
        Hybrid({"ewma": EWMA()}, corrected=(), **SHARED).fit(series)
