"""Scores, tests and the rolling-origin protocol."""

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from psgym.predictors import EWMA, SeasonalEWMA, SeasonalNaive, metrics
from psgym.predictors.backtest import backtest, split_at

SHARED = {"season": (8, 56), "horizon": 6}


def test_scores_by_hand() -> None:
    truth, forecast = np.array([1.0, 2.0, 0.0]), np.array([2.0, 4.0, 0.0])
    assert metrics.mase(truth, forecast, 2.0) == pytest.approx(0.5)
    assert metrics.rmse(truth, forecast) == pytest.approx(np.sqrt(5 / 3))
    assert metrics.smape(truth, forecast) == pytest.approx(100 * (2 / 3 + 4 / 6) / 3)
    assert metrics.pinball(truth, forecast, 0.9) == pytest.approx(0.1)
    assert metrics.coverage(truth, np.zeros(3), np.array([1.0, 1.0, 1.0])) == pytest.approx(2 / 3)
    assert metrics.naive_scale(np.array([0.0, 1.0, 2.0, 5.0]), 2) == pytest.approx(3.0)


def test_a_series_that_repeats_itself_has_no_scale() -> None:
    with pytest.raises(ValueError, match="repeats itself"):
        metrics.naive_scale(np.tile([1.0, 2.0], 10), 2)


def test_diebold_mariano_at_one_step_is_a_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(1.0, 1.0, 8), rng.normal(1.2, 1.0, 8)
    statistic, p = metrics.diebold_mariano(first[:7], second[:7], 1)
    # One lag of Bartlett weights is 0 beyond lag 1: with n = 7 the rule of thumb takes one lag.
    difference = first[:7] - second[:7]
    centred = difference - difference.mean()
    variance = (centred @ centred + (centred[1:] @ centred[:-1])) / 7
    expected = difference.mean() / np.sqrt(variance / 7) * np.sqrt(6 / 7)
    assert statistic == pytest.approx(expected)
    assert p == pytest.approx(2 * stats.t.sf(abs(expected), 6))


def test_diebold_mariano_has_its_size() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        # Errors of optimal 4-step forecasts are correlated over 3 lags.
        losses = [np.abs(np.convolve(rng.normal(size=303), np.ones(4), "valid")) for _ in range(2)]
        rejected += metrics.diebold_mariano(*losses, 4)[1] < 0.05
    assert 0.02 < rejected / 400 < 0.11


def test_equal_forecasts_are_equally_good() -> None:
    assert metrics.diebold_mariano(np.ones(20), np.ones(20), 3) == (0.0, 1.0)


def test_the_protocol(series: NDArray[np.float64]) -> None:
    seen: list[tuple[str, float]] = []
    result = backtest(
        {"naive": SeasonalNaive(**SHARED), "ewma": EWMA(**SHARED)},
        series,
        horizons=(1, 6),
        against=("naive",),
        progress=lambda name, share: seen.append((name, share)),
    )
    assert (result["train"], result["test_start"]) == (192, 256)
    assert seen == [("naive", 0.0), ("ewma", 0.5), ("done", 1.0)]
    json.dumps(result)
    by_hand = SeasonalNaive(**SHARED).fit(series[:192]).table(series)
    error = np.abs(series[261:] - by_hand[255:-6, 5]).mean()
    scale = np.abs(series[8:192] - series[:184]).mean()
    row = next(r for r in result["scores"] if r["name"] == "naive" and r["horizon"] == 6)
    assert row["mase"] == pytest.approx(error / scale)
    assert {test["horizon"] for test in result["tests"]} == {1, 6, "mean"}
    assert all(test["name"] == "ewma" for test in result["tests"])


def test_the_test_part_does_not_move_the_fit(series: NDArray[np.float64]) -> None:
    fits = []
    for factor in (1.0, 5.0):
        changed = series.copy()
        changed[192:] *= factor
        forecaster = SeasonalEWMA(**SHARED)
        backtest({"it": forecaster}, changed, horizons=(1, 6))
        fits.append(forecaster.smoothing_)
    np.testing.assert_array_equal(*fits)


def test_what_cannot_be_tested(series: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="must be longer than the horizon"):
        backtest({"it": EWMA(**SHARED)}, series[:30], horizons=(6,))
    with pytest.raises(ValueError, match="against='other'"):
        backtest({"it": EWMA(**SHARED)}, series, horizons=(6,), against=("other",))
    with pytest.raises(ValueError, match="three positive shares"):
        split_at(100, (0.5, 0.5, 0.0))


def test_predictors_import_neither_torch_nor_the_environments() -> None:
    code = (
        "import sys, psgym.predictors as p, psgym.predictors.backtest, psgym.predictors.capacity\n"
        "print([m for m in ('torch', 'pandas', 'statsmodels', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
