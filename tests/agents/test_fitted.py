"""Forecasters for the environments: fitted once, on training traffic alone, and found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psgym.agents import fitted
from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import PolicyError, check_policy, forecaster_of, make_policy
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.forecasts import FittedForecasts
from psgym.envs.traces import Traffic
from psgym.envs.traffic import TrafficDay
from psgym.predictors import EWMA, SeasonalNaive

ID = "psgym/Capacity-v0"
CONFIG = ClusterConfig(load=0.1)


def trace(days: int = 70) -> Traffic:
    values = np.random.default_rng(0).uniform(0.5, 1.5, 288 * days)
    return Traffic(values, "2020-01-01T00:00:00+00:00", 300, "x:value", 300, 1.0, 0, 0, "")


def test_a_forecaster_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EWMA] = []

    def make(**arguments: Any) -> EWMA:
        made.append(EWMA(**arguments))
        return made[-1]

    monkeypatch.setitem(fitted.KINDS, "arima", make)
    paths = {fitted.forecaster_for("arima", CONFIG, trace(), folder=tmp_path) for _ in range(3)}
    assert len(paths) == len(made) == 1
    other = fitted.forecaster_for("arima", CONFIG, trace(80), folder=tmp_path)
    assert other not in paths
    assert fitted.forecaster_for("oracle", CONFIG, None) == "oracle"
    with pytest.raises(ValueError, match="no forecaster 'prophet'"):
        fitted.forecaster_for("prophet", CONFIG, None)


def test_only_the_training_part_is_fitted_in_phase() -> None:
    traffic = trace()
    values, season = fitted.training_series(CONFIG, traffic, 0)
    end = traffic.part("train")[1]
    assert season == (288, 2016)
    assert (end - len(values)) % 2016 == 0
    np.testing.assert_array_equal(values, traffic.values[end - len(values) : end])
    synthetic, season = fitted.training_series(CONFIG, None, 0)
    assert season == (288,)
    assert len(synthetic) % 288 == 0


def test_a_policy_names_the_forecaster_of_its_environment() -> None:
    assert forecaster_of("hybrid", ID) == "hybrid"
    assert forecaster_of("gru+hot-cold+fifo", "psgym/Cluster-v0") == "gru"
    assert forecaster_of("forecast", ID) is None
    check_policy("oracle+hot-cold+fifo", "psgym/Cluster-v0")
    with pytest.raises(PolicyError, match="no policy 'hybrid' for psgym/Allocation-v0"):
        check_policy("hybrid", "psgym/Allocation-v0")


def test_the_day_is_the_same_whatever_forecasts_it() -> None:
    days = make_days(ID, "test", 0, 2, config=CONFIG)
    runs = [run_policy(days, lambda env: make_policy("forecast", env, ID), forecaster=f) for f in (None, "oracle")]
    np.testing.assert_array_equal(runs[0].metrics["jobs_arrived"], runs[1].metrics["jobs_arrived"])


def hourly(days: int = 12) -> tuple[np.ndarray, SeasonalNaive]:
    """Counts per hour, and what forecasts them."""
    counts = np.random.default_rng(1).poisson(300.0, 24 * days).astype(float)
    forecaster = SeasonalNaive(24, season=(24,)).fit(counts[: 24 * 8])
    forecaster.slot_seconds, forecaster.load_unit = 3600.0, counts[: 24 * 8].mean()
    return counts, forecaster


def written(forecaster: SeasonalNaive, values: np.ndarray, first: int) -> np.ndarray:
    """Forecasts of the episode that starts at a slot of 300 s, shape [slots, horizons, 3]."""
    out = np.empty((CONFIG.slots, 3, 3))
    day = TrafficDay(values[: first + CONFIG.slots], first, first % 288, 0)
    FittedForecasts(forecaster).write(day, CONFIG, out)
    return out


def test_a_forecaster_of_hourly_counts_is_fed_hours_in_its_own_unit() -> None:
    counts, forecaster = hourly()
    loads = np.repeat(counts / forecaster.load_unit, 12)
    first = 9 * 288 + 100
    out = written(forecaster, loads, first)
    for row in range(0, CONFIG.slots, 7):
        for column, ahead in enumerate((1, 3, 12)):
            # Known are the slots before this one; tomorrow is as today, hour by hour.
            hour = (first + row - 1 + ahead) // 12
            assert out[row, column, 0] == pytest.approx(counts[hour - 24] / forecaster.load_unit)
    assert np.all((out[:, :, 1] <= out[:, :, 0]) & (out[:, :, 0] <= out[:, :, 2]))


def test_a_row_of_hourly_forecasts_does_not_know_its_future() -> None:
    counts, forecaster = hourly()
    loads = np.repeat(counts / forecaster.load_unit, 12)
    changed, first = loads.copy(), 9 * 288 + 100
    changed[first + 50 :] *= 2.0
    before, after = written(forecaster, loads, first), written(forecaster, changed, first)
    np.testing.assert_array_equal(before[:51], after[:51])
    assert np.any(before[51 + 12 :] != after[51 + 12 :])


def test_forecasters_of_slots_that_do_not_divide_are_refused() -> None:
    _, forecaster = hourly()
    forecaster.slot_seconds = 420.0
    with pytest.raises(ValueError, match="slots of 420 s, which cannot be divided into the cluster's of 300 s"):
        written(forecaster, np.ones(9 * 288), 7 * 288)
