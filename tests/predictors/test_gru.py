"""The exported network against torch, and reproducible fits."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from psgym.predictors import ARIMA, GRU, ResidualGRU
from psgym.predictors.gru import STATE, WEIGHTS
from psgym.predictors.gru_kernels import N_FEATURES, N_SKIPS, features_of
from psgym.predictors.gru_training import Network, _export

SHARED: dict[str, Any] = {"season": (8, 56), "horizon": 6}


def test_export_equals_torch(series: NDArray[np.float64]) -> None:
    torch.manual_seed(3)
    network = Network(N_FEATURES, N_SKIPS, 7, 6, residual=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    forecaster = GRU(hidden=7, epochs=1, **SHARED).fit(series)
    forecaster.weights_ = {name: array[None] for name, array in _export(network).items()}
    z = np.random.default_rng(0).normal(size=200)
    state = forecaster._rings()
    x, simple = np.empty((200, N_FEATURES)), np.empty((200, 6, N_SKIPS))
    features_of(*(state[name] for name in STATE), z, x, simple)
    with torch.no_grad():
        double = network.double()
        expected = double(torch.from_numpy(x)[None], torch.from_numpy(simple)[None], slice(None))[0].numpy()
    np.testing.assert_allclose(forecaster._table_on_scale(z, z), expected, atol=1e-6)


def test_the_same_seed_gives_the_same_fit(series: NDArray[np.float64]) -> None:
    fits = [GRU(hidden=4, epochs=2, seed=seed, **SHARED).fit(series) for seed in (5, 5, 6)]
    for name in WEIGHTS:
        np.testing.assert_array_equal(fits[0].weights_[name], fits[1].weights_[name])
    assert not np.array_equal(fits[0].weights_["w_hidden"], fits[2].weights_["w_hidden"])


def test_a_fit_leaves_the_generators_alone(series: NDArray[np.float64]) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    GRU(hidden=4, epochs=1, **SHARED).fit(series)
    assert torch.equal(torch.rand(1), expected)


def test_members_are_averaged(series: NDArray[np.float64]) -> None:
    both = GRU(hidden=4, epochs=1, n_members=2, **SHARED).fit(series)
    tables = []
    for member in range(2):
        one = both.fork()
        one.weights_ = {name: array[member : member + 1] for name, array in both.weights_.items()}
        one.n_members = 1
        tables.append(one._table_on_scale(series, series))
    np.testing.assert_allclose(both._table_on_scale(series, series), np.mean(tables, axis=0), atol=1e-12)


def test_a_residual_network_starts_at_its_base(series: NDArray[np.float64]) -> None:
    arima = ARIMA((1, 0, 1), profile=8, **SHARED)
    residual = ResidualGRU(arima, hidden=4, epochs=1, learning_rate=1e-12, **SHARED).fit(series)
    z = residual.transform_.forward(series)
    np.testing.assert_allclose(
        residual._table_on_scale(z, series), residual.base_._table_on_scale(z, series), atol=1e-6
    )


def test_a_residual_network_learns_what_the_base_misses() -> None:
    rng = np.random.default_rng(0)
    y = np.zeros(900)
    for t in range(1, 900):
        # A parabola, of which a linear model sees nothing.
        y[t] = np.clip(1.0 - 1.4 * y[t - 1] ** 2 + 0.05 * rng.normal(), -1.0, 1.0)
    shared = {"season": (), "horizon": 2, "transform": "identity"}
    residual = ResidualGRU(ARIMA((1, 0, 0), **shared), hidden=8, epochs=8, **shared).fit(y[:600])
    errors = [np.abs(y[601:] - f.table(y)[600:-1, 0]).mean() for f in (residual, residual.base_)]
    assert errors[0] < 0.8 * errors[1]


def test_a_base_must_have_the_horizon(series: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"base\.horizon=9 is not horizon=6"):
        ResidualGRU(ARIMA((1, 0, 0), season=(8, 56), horizon=9), **SHARED).fit(series)
