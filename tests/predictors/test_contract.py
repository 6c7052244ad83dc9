"""What every forecaster promises."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.predictors import (
    ARIMA,
    EWMA,
    GRU,
    Forecaster,
    Hybrid,
    NotFittedError,
    ResidualGRU,
    SeasonalEWMA,
    SeasonalNaive,
    load_forecaster,
    save_forecaster,
)

Array = NDArray[np.float64]


@pytest.mark.parametrize("t", [0, 57, 239, 300])
def test_the_future_does_not_move_a_row(fitted: Forecaster, series: Array, t: int) -> None:
    changed = series.copy()
    changed[t + 1 :] = 3.0 * changed[t + 1 :] + 100.0
    before, after = fitted.bands(series), fitted.bands(changed)
    for name in ("mean", "median", "low", "high"):
        np.testing.assert_array_equal(getattr(before, name)[: t + 1], getattr(after, name)[: t + 1])
    assert not np.array_equal(before.mean[t + 1 :], after.mean[t + 1 :])


def test_updates_equal_the_table(fitted: Forecaster, series: Array) -> None:
    table, twin = fitted.bands(series), fitted.fork()
    for t in range(240, 300):
        forecast = twin.update(series[t]).predict()
        np.testing.assert_array_equal(forecast.mean, table.mean[t])
        np.testing.assert_array_equal(forecast.low, table.low[t])
        np.testing.assert_array_equal(forecast.high, table.high[t])


def test_a_long_stream_equals_one_pass(series: Array) -> None:
    # Longer than the buffer of the recursion, so that it is moved to the front several times.
    long = np.tile(series, 12)
    arima = ARIMA((2, 0, 1), [(0, 1, 1, 8)], season=(8, 56), horizon=6).fit(series)
    table = arima.table(long)
    twin = arima.fork().refit([])
    for start in range(0, len(long), 700):
        twin.update(long[start : start + 700])
        np.testing.assert_array_equal(twin.predict().mean, table[min(start + 700, len(long)) - 1])


def test_refit_replays_a_history(fitted: Forecaster, series: Array) -> None:
    twin = fitted.fork().refit(series[:100])
    np.testing.assert_array_equal(twin.predict().mean, fitted.table(series)[99])


def test_forks_do_not_share_a_state(fitted: Forecaster, series: Array) -> None:
    before = fitted.predict().mean
    fitted.fork().update(series[240:260])
    np.testing.assert_array_equal(fitted.predict().mean, before)


def through_pickle(forecaster: Forecaster) -> Any:
    return pickle.loads(pickle.dumps(forecaster))  # noqa: S301


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle])
def test_copies_and_pickles_go_on_alone(fitted: Forecaster, series: Array, copied: Callable[[Any], Any]) -> None:
    origin = fitted.fork().update(series[240:250])
    twin, before = copied(origin), origin.predict()
    np.testing.assert_array_equal(twin.predict().high, before.high)
    for value in series[250:260]:
        twin.update(value)
    np.testing.assert_array_equal(origin.predict().mean, before.mean)
    np.testing.assert_array_equal(origin.update(series[250:260]).predict().low, twin.predict().low)


def test_a_forecast_is_the_users_own(fitted: Forecaster, series: Array) -> None:
    twin = fitted.fork()
    kept = twin.predict()
    expected = kept.mean.copy()
    twin.update(series[240])
    np.testing.assert_array_equal(kept.mean, expected)
    kept.mean[:] = -1.0
    assert (twin.predict().mean >= 0.0).all()


def test_the_same_seed_gives_the_same_fit(make: Callable[[], Forecaster], series: Array) -> None:
    first, second = (make().fit(series[:240]).bands(series) for _ in range(2))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.high, second.high)


def test_a_state_round_trips(fitted: Forecaster, series: Array) -> None:
    ahead = fitted.fork().update(series[240:270])
    back = fitted.fork().set_state(ahead.get_state())
    np.testing.assert_array_equal(back.predict().high, ahead.predict().high)
    np.testing.assert_array_equal(
        back.update(series[270:300]).predict().mean, ahead.update(series[270:300]).predict().mean
    )
    state = ahead.get_state()
    missing = {name: array for name, array in state.items() if name != "calibration.learned"}
    with pytest.raises(ValueError, match=r"calibration\.learned is missing or not of the form"):
        fitted.fork().set_state(missing)
    for name in ("calibration.learned", "forecast"):
        with pytest.raises(ValueError, match=f"{name} is missing or not of the form"):
            fitted.fork().set_state(state | {name: state[name][:-1]})


def test_a_file_round_trips(fitted: Forecaster, series: Array, tmp_path: Path) -> None:
    fitted = fitted.fork()
    fitted.slot_seconds, fitted.load_unit = 3600.0, 12.5
    save_forecaster(tmp_path / "forecaster.npz", fitted)
    loaded = load_forecaster(tmp_path / "forecaster.npz")
    assert type(loaded) is type(fitted)
    assert (loaded.slot_seconds, loaded.load_unit) == (3600.0, 12.5)
    np.testing.assert_array_equal(loaded.predict().low, fitted.predict().low)
    np.testing.assert_array_equal(loaded.table(series), fitted.table(series))


def test_shapes_and_bounds(fitted: Forecaster, series: Array) -> None:
    forecast = fitted.predict(4, level=(95,))
    assert forecast.mean.shape == forecast.median.shape == (4,)
    assert forecast.low.shape == forecast.high.shape == (1, 4)
    assert forecast.level == (95,)
    table = fitted.bands(series, 3)
    assert table.mean.shape == (len(series), 3)
    assert table.low.shape == (len(series), 2, 3)
    assert np.isfinite(table.mean).all()
    assert np.isfinite(table.high).all()
    assert (table.low >= 0.0).all()
    assert (table.low <= table.median[:, None]).all()
    assert (table.median[:, None] <= table.high).all()
    assert fitted.table([]).shape == (0, 6)


def test_the_transform_is_learned_from_the_fitted_part_alone(fitted: Forecaster, series: Array) -> None:
    twin = fitted.fork().update(np.full(20, 5000.0))
    assert twin.transform_ == fitted.transform_
    assert np.isfinite(twin.predict().high).all()


def test_requests_that_were_not_prepared_for(fitted: Forecaster) -> None:
    with pytest.raises(ValueError, match=r"h=7: must be within 1\.\.horizon=6"):
        fitted.predict(7)
    with pytest.raises(ValueError, match="level=90 was not prepared for"):
        fitted.predict(3, level=(90,))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=rf"y\[0\] is {value}"):
            fitted.fork().update(value)
    with pytest.raises(ValueError, match=r"y\[1\] is nan .*fill_gaps"):
        fitted.fork().update([1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="found 0"):
        fitted.fork().update([])
    with pytest.raises(ValueError, match="no value has been observed"):
        fitted.fork().refit([]).predict()


def test_reprs_print_parameters(fitted: Forecaster) -> None:
    assert repr(fitted).startswith(type(fitted).__name__ + "(")
    assert "horizon=6" in repr(fitted)


Kind = Callable[..., Forecaster]
SMALL: dict[str, Any] = {"hidden": 4, "epochs": 1}


def plain_hybrid(**shared: Any) -> Hybrid:
    parts = {"arima": ARIMA((1, 0, 0), **shared), "gru": GRU(**SMALL, **shared), "naive": SeasonalNaive(**shared)}
    return Hybrid(parts, **shared)


KINDS = [
    SeasonalNaive,
    EWMA,
    SeasonalEWMA,
    ARIMA,
    partial(GRU, **SMALL),
    partial(ResidualGRU, **SMALL),
    plain_hybrid,
]
each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=["naive", "ewma", "seasonal_ewma", "arima", "gru", "residual_gru", "hybrid"]
)


@each_kind
def test_series_that_cannot_be_fitted(kind: Kind) -> None:
    with pytest.raises(NotFittedError):
        kind().predict()
    with pytest.raises(ValueError, match="at least 8 values is needed, found 0"):
        kind().fit([])
    with pytest.raises(ValueError, match="at least 8 values is needed, found 3"):
        kind().fit([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"y\[2\] is nan .*fill_gaps"):
        kind().fit([1.0, 2.0, np.nan, *range(20)])
    with pytest.raises(ValueError, match=r"y\[1\] is inf"):
        kind().fit([1.0, np.inf, *range(20)])
    with pytest.raises(ValueError, match="one-dimensional"):
        kind().fit(np.ones((10, 2)))


@each_kind
@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_constants_are_forecast_as_they_are(kind: Kind, value: float) -> None:
    forecast = kind(season=(4,), horizon=5).fit(np.full(40, value)).predict()
    np.testing.assert_allclose(forecast.mean, value, atol=1e-6)
    np.testing.assert_allclose(forecast.high, value, atol=1e-6)


@each_kind
def test_short_series_use_the_seasons_that_they_hold(kind: Kind) -> None:
    forecaster = kind(season=(4, 28), horizon=5).fit(np.arange(12) % 4)
    assert forecaster.season_ == (4,)
    assert np.isfinite(forecaster.predict().mean).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"season": (24, 24)}, "must be >= 2 and increase"),
        ({"horizon": 0}, "horizon=0"),
        ({"levels": (0.8, 100)}, "between 0 and 100"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EWMA(**arguments)
