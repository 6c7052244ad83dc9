"""Intervals cover what they say, and the smearing correction repairs the mean."""

import numpy as np
import pytest

from psgym.predictors import EWMA, SeasonalNaive
from psgym.predictors.transform import Transform


@pytest.mark.parametrize("level", [80, 95])
def test_coverage_of_noise_whose_spread_changes(level: int) -> None:
    rng = np.random.default_rng(0)
    spread = np.where(np.arange(6000) < 3000, 1.0, 5.0)
    y = 100.0 + spread * rng.standard_t(4, 6000)
    bands = EWMA(0.05, season=(), horizon=12, transform="identity").fit(y[:1000]).bands(y, level=(level,))
    for h in (1, 12):
        truth, low, high = y[2000 + h :], bands.low[2000:-h, 0, h - 1], bands.high[2000:-h, 0, h - 1]
        assert np.mean((truth >= low) & (truth <= high)) == pytest.approx(level / 100, abs=0.02)
        # Both tails are tracked, so neither pays for the other.
        assert np.mean(truth < low) == pytest.approx((1 - level / 100) / 2, abs=0.01)


def test_an_error_counts_when_it_is_realised() -> None:
    forecaster = SeasonalNaive(season=(), horizon=8, transform="identity", levels=(95,))
    forecaster.fit(np.tile([0.0, 1.0], 30)).refit(np.zeros(60))
    reach = []
    for _ in range(6):
        before = forecaster.get_state()["calibration.learned"][-1]
        forecaster.update(50.0)
        reach.append((forecaster.get_state()["calibration.learned"][-1] > before).tolist())
    # The jump surprises every horizon; n slots later only the forecasts that were made before it are still wrong.
    for n, grown in enumerate(reach):
        assert grown == [False] * n + [True] * (8 - n)


def test_smearing_makes_the_mean_unbiased() -> None:
    rng = np.random.default_rng(0)
    y = np.floor(np.exp(rng.normal(4.0, 1.0, 4000)))
    bands = EWMA(0.02, season=(), horizon=3).fit(y[:1000]).bands(y)
    assert bands.median[1000:].mean() == pytest.approx(np.exp(4.0), rel=0.1)
    assert bands.mean[1000:].mean() == pytest.approx(y[1000:].mean(), rel=0.06)


def test_auto_takes_the_logarithm_of_skewed_counts_alone() -> None:
    rng = np.random.default_rng(0)
    assert Transform.learn(np.floor(rng.lognormal(3.0, 1.0, 500)), "auto").log
    assert not Transform.learn(rng.normal(100.0, 1.0, 500), "auto").log
    assert not Transform.learn(rng.lognormal(3.0, 1.0, 500) - 50.0, "auto").log
    with pytest.raises(ValueError, match=r"needs values >= 0, found .*-3"):
        Transform.learn(np.array([1.0, -3.0, 2.0]), "log1p")
    with pytest.raises(ValueError, match="transform='sqrt'"):
        Transform.learn(np.ones(9), "sqrt")


@pytest.mark.parametrize("kind", ["identity", "log1p"])
def test_a_transform_inverts(kind: str) -> None:
    y = np.random.default_rng(0).poisson(30.0, 200).astype(float)
    transform = Transform.learn(y, kind)
    np.testing.assert_allclose(transform.inverse(transform.forward(y)), y, rtol=1e-9)
    assert Transform.unpacked(transform.packed) == transform


def test_an_outage_is_fenced() -> None:
    y = np.random.default_rng(0).poisson(1000.0, 500).astype(float)
    y[100:105] = 0.0
    transform = Transform.learn(y, "log1p")
    assert transform.forward(y).min() > -15.0
    assert transform.forward(y)[100] == transform.forward(np.array([500.0]))[0]
