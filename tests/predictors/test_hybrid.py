"""Weights follow realised errors, and those alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.predictors import EWMA, Hybrid, ResidualGRU, SeasonalNaive
from psgym.predictors.hybrid_kernels import combine, correct_intercepts
from psgym.predictors.transform import Transform

SHARED: dict[str, Any] = {"season": (8, 56), "horizon": 6}

PLAIN = Transform(False, 1.0, 0.0, 1.0, -1e9, 1e9, -np.inf, -np.inf).packed


RETENTION, MIXTURE_RETENTION, RATE = 0.99, 0.98, 0.5


def weigh(experts: np.ndarray, y: np.ndarray, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Combined forecasts [n, H], final weights [K + 1, H] and final shares [K, H] of expert tables [K, n, H]."""
    count, n, ahead = experts.shape
    weights, shares, out = np.zeros((count + 1, ahead)), np.zeros((count, ahead)), np.empty((n, ahead))
    ring, errors = np.zeros((ahead, count + 1, ahead)), np.zeros((count + 2, ahead))
    regrets = np.zeros((2, count, ahead))
    combine(
        np.zeros(1, np.int64), ring, errors, weights, regrets, shares, y, experts, PLAIN,
        sharpness, RETENTION, RATE, MIXTURE_RETENTION, out,
    )  # fmt: skip
    return out, weights, shares


def test_weights_and_shares_are_the_formula() -> None:
    """One horizon at a time, from every error that is known, without recursions."""
    rng, sharpness = np.random.default_rng(0), 1.5
    experts, y = rng.normal(size=(3, 40, 4)), rng.normal(size=40)
    out, weights, shares = weigh(experts, y, sharpness)
    for h in range(1, 5):
        mixture = np.empty(40)
        for t in range(40):
            made, age = np.arange(0, t - h + 1), np.arange(t - h, -1, -1)  # forecasts whose target has been observed
            forecasts, mixed, truth = experts[:, made, h - 1], mixture[made], y[made + h]
            gradient = np.sign(truth - mixed) * (forecasts - mixed)
            spread = np.sqrt((gradient**2 * MIXTURE_RETENTION**age).sum(axis=1))
            regret = (gradient * MIXTURE_RETENTION**age).sum(axis=1)
            share = np.exp(RATE * regret / spread) if len(made) else np.ones(3)
            share /= share.sum()
            mixture[t] = share @ experts[:, t, h - 1]
            error = (np.abs(truth - np.vstack([forecasts, mixed])) * RETENTION**age).sum(axis=1)
            power = sharpness * np.sqrt((RETENTION**age).sum())
            weight = error**-power if len(made) else np.ones(4)
            weight /= weight.sum()
            assert out[t, h - 1] == pytest.approx(weight[:3] @ experts[:, t, h - 1] + weight[3] * mixture[t])
        np.testing.assert_allclose(weights[:, h - 1], weight)
        np.testing.assert_allclose(shares[:, h - 1], share)


def test_an_error_counts_when_it_is_realised() -> None:
    y = np.zeros(10)
    experts = np.stack([np.full((10, 3), 1.0), np.full((10, 3), 2.0)])
    out, *_ = weigh(experts, y)
    # At t = 2 forecasts one and two slots ahead have been judged, none three slots ahead.
    assert out[2, 0] < 1.2
    assert out[2, 1] < 1.3
    assert out[2, 2] == 1.5
    assert out[3, 2] < 1.3


def test_perfect_experts_share() -> None:
    out, weights, shares = weigh(np.zeros((3, 20, 2)), np.zeros(20))
    np.testing.assert_allclose(weights, 0.25)
    np.testing.assert_allclose(shares, 1.0 / 3.0)
    assert (out == 0.0).all()


def test_errors_that_cancel_out_are_mixed() -> None:
    """A ranking cannot tell two experts apart that miss to opposite sides; their mixture does better than both."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=600)
    miss = rng.exponential(size=(600, 1))
    truth = np.append(y[1:], 0.0)[:, None]
    experts = np.stack([truth + miss, truth - miss, truth + 3.0 * miss])
    out, weights, shares = weigh(experts, y)
    assert np.abs(out[300:-1] - truth[300:-1]).mean() < 0.1 * miss.mean()
    assert weights[3, 0] > 0.9
    assert shares[1, 0] > 0.5  # the only one that misses below


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
    with pytest.raises(ValueError, match="at least one forecaster"):
        Hybrid({}, **SHARED).fit(series)
    base = EWMA(**SHARED)
    with pytest.raises(ValueError, match="'residual' corrects 'ewma', which must come before it"):
        Hybrid({"residual": ResidualGRU(base, base_fitted=True, **SHARED), "ewma": base}, **SHARED).fit(series)
    with pytest.raises(ValueError, match="names 'ewma' twice"):
        Hybrid({"ewma": EWMA(**SHARED)}, corrected=("ewma", "ewma"), **SHARED).fit(series)
    with pytest.raises(ValueError, match="no expert 'arima' among"):
        Hybrid({"ewma": EWMA(**SHARED)}, corrected=("arima",), **SHARED).fit(series)
    with pytest.raises(ValueError, match=r"experts\['ewma'\]\.horizon=48 is not horizon=6"):
        Hybrid({"ewma": EWMA()}, corrected=(), **SHARED).fit(series)
