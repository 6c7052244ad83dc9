"""The environments' kernel, and the double seasonal smoother."""

import os
import subprocess
import sys

import numpy as np
import pytest

from psgym.predictors import SeasonalEWMA, seasonal_ewma_table
from psgym.predictors.seasonal_ewma_kernel import normal_quantile

HORIZONS = np.array([1, 3, 12])


def table(series: np.ndarray, first: int = 0, period: int = 48, level: float = 0.8) -> np.ndarray:
    out = np.empty((len(series) - first, 3, 3))
    seasonal_ewma_table(series, first, period, HORIZONS, level, out)
    return out


def daily(length: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(60.0 + 50.0 * np.sin(2 * np.pi * np.arange(length) / 48)).astype(float)


def test_the_future_does_not_move_a_row() -> None:
    series = daily(200)
    changed = series.copy()
    changed[121:] *= 5.0
    np.testing.assert_array_equal(table(series)[:121], table(changed)[:121])
    assert not np.array_equal(table(series)[121:], table(changed)[121:])


def test_first_leaves_out_rows_and_changes_none() -> None:
    np.testing.assert_array_equal(table(daily(200), first=90), table(daily(200))[90:])


@pytest.mark.parametrize(
    "series", [np.zeros(150), np.full(150, 4.0), daily(20), np.r_[np.zeros(100), daily(100)], np.ones(1)]
)
def test_finite_ordered_and_not_negative(series: np.ndarray) -> None:
    out = table(series)
    assert np.isfinite(out).all()
    assert (out >= 0.0).all()
    assert (out[:, :, 1] <= out[:, :, 0]).all()
    assert (out[:, :, 0] <= out[:, :, 2]).all()


def test_a_constant_is_forecast_as_it_is() -> None:
    np.testing.assert_allclose(table(np.full(300, 4.0))[:, :, 0], 4.0, rtol=1e-12)


def test_better_than_both_naive_forecasts_and_covers() -> None:
    series = daily(1200)
    out = table(series)
    for k, h in enumerate(HORIZONS):
        truth, rows = series[600 + h :], out[600:-h, k]
        error = np.abs(truth - rows[:, 0]).mean()
        assert error < np.abs(truth - series[600:-h]).mean()
        assert error < np.abs(truth - series[552 + h : -48]).mean()
        assert 0.7 < ((truth >= rows[:, 1]) & (truth <= rows[:, 2])).mean() < 0.9


def test_level_is_a_fraction_or_per_cent() -> None:
    np.testing.assert_array_equal(table(daily(100), level=80.0), table(daily(100), level=0.8))


def test_normal_quantile() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054, abs=1e-11)


CODE = """
import hashlib, numpy as np
from psgym.predictors import seasonal_ewma_table
from psgym.predictors.capacity import CapacityPlanner
from psgym.predictors.arima_kernels import advance_arima
series = np.random.default_rng(0).poisson(30 + 20 * np.sin(np.arange(150) / 7)).astype(float)
out = np.empty((150, 2, 3))
seasonal_ewma_table(series, 0, 48, np.array([1, 12]), 0.8, out)
planner = CapacityPlanner([8.0], lead=2)
needs = [planner.plan([v], [[1.1 * v], [0.9 * v]]).need for v in series]
print(hashlib.sha256(out.tobytes() + np.array(needs).tobytes()).hexdigest())
"""


def test_equal_without_jit() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, "NUMBA_DISABLE_JIT": flag},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flag in ("0", "1")
    ]
    assert runs[0] == runs[1]


def test_double_seasonal_learns_both_seasons() -> None:
    phase = np.arange(56 * 8)
    series = 100.0 + 20.0 * np.sin(2 * np.pi * phase / 8) + 30.0 * (phase % 56 > 40)
    forecaster = SeasonalEWMA(season=(8, 56), horizon=12, transform="identity").fit(series[: 56 * 6])
    errors = np.abs(forecaster.table(series)[56 * 6 : -12, 11] - series[56 * 6 + 12 :])
    assert errors.mean() < 0.05 * series.std()


def test_given_smoothing_is_kept() -> None:
    assert SeasonalEWMA((0.1, 0.2, 0.3, 0.4), season=(8,)).fit(daily(100)).smoothing_.tolist() == [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(ValueError, match="four values"):
        SeasonalEWMA((0.1, 2.0, 0.3, 0.4))
