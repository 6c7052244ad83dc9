"""Small series and small forecasters, shared by the tests of the predictors."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.predictors import ARIMA, EWMA, GRU, Forecaster, Hybrid, ResidualGRU, SeasonalEWMA, SeasonalNaive

SEASON = (8, 56)
SHARED = {"season": SEASON, "horizon": 6}


def counts(length: int = 320, seed: int = 0) -> NDArray[np.float64]:
    """Counts with a day of 8 slots and a week of 56."""
    rng = np.random.default_rng(seed)
    phase = np.arange(length)
    rate = 20.0 * np.exp(0.8 * np.sin(2 * np.pi * phase / 8) + 0.3 * np.cos(2 * np.pi * phase / 56))
    return rng.poisson(rate).astype(np.float64)


def small_hybrid() -> Hybrid:
    """A hybrid whose residual network corrects the ARIMA of the pool."""
    arima = ARIMA((1, 0, 1), profile=8, **SHARED)
    experts = {
        "arima": arima,
        "gru": GRU(hidden=4, epochs=1, **SHARED),
        "residual_gru": ResidualGRU(arima, base_fitted=True, hidden=4, epochs=1, **SHARED),
        "naive": SeasonalNaive(**SHARED),
    }
    return Hybrid(experts, **SHARED)


FORECASTERS: dict[str, Callable[[], Forecaster]] = {
    "seasonal_naive": lambda: SeasonalNaive(**SHARED),
    "ewma": lambda: EWMA(**SHARED),
    "seasonal_ewma": lambda: SeasonalEWMA(**SHARED),
    "arima": lambda: ARIMA((1, 0, 1), [(0, 1, 1, 8)], **SHARED),
    "arima_auto": lambda: ARIMA(**SHARED),
    "gru": lambda: GRU(hidden=4, epochs=1, **SHARED),
    "residual_gru": lambda: ResidualGRU(ARIMA((1, 0, 1), profile=8, **SHARED), hidden=4, epochs=1, **SHARED),
    "hybrid": small_hybrid,
}


@pytest.fixture(scope="session")
def series() -> NDArray[np.float64]:
    return counts()


@pytest.fixture(scope="session", params=list(FORECASTERS))
def fitted(request: pytest.FixtureRequest, series: NDArray[np.float64]) -> Forecaster:
    """Each forecaster, fitted on the first 240 values; tests that move its state use a fork."""
    return FORECASTERS[request.param]().fit(series[:240])


@pytest.fixture(params=[name for name in FORECASTERS if name != "arima_auto"])
def make(request: pytest.FixtureRequest) -> Callable[[], Forecaster]:
    """Each forecaster but the one whose search takes seconds, yet to be made and fitted."""
    return FORECASTERS[request.param]


@pytest.fixture
def make_hybrid() -> Callable[[], Hybrid]:
    return small_hybrid
