"""Rolling-origin evaluation: fitted once on the first part, then a forecast from every slot of the last."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from psgym.predictors import metrics
from psgym.predictors.base import Forecast, Forecaster
from psgym.predictors.series import check_series

Progress = Callable[[str, float], None]
TIMED_UPDATES = 200


def split_at(length: int, split: Sequence[float] = (0.6, 0.2, 0.2)) -> tuple[int, int]:
    """Ends of the training and of the validation part of a series.

    Raises:
        ValueError: the shares are not three positive numbers that sum to 1.
    """
    if len(split) != 3 or min(split) <= 0 or abs(sum(split) - 1.0) > 1e-9:
        raise ValueError(f"split={tuple(split)}: three positive shares that sum to 1")
    return int(split[0] * length), int((split[0] + split[1]) * length)


def backtest(
    forecasters: Mapping[str, Forecaster],
    y: ArrayLike,
    horizons: Sequence[int] = (1, 12, 48),
    split: Sequence[float] = (0.6, 0.2, 0.2),
    against: Sequence[str] = (),
    fit: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fits forecasters on the first part of a series and scores them on the last.

    Parameters are fitted on the first part alone. Between it and the last lies the part on which the online choices
    (weights, intervals, intercepts) are made; it is also where a user compares settings. Each score takes the
    functional that it rewards: absolute errors the median, squared errors the mean, pinball the quantiles.

    Args:
        forecasters: by name; all with `horizon` >= the largest of `horizons`.
        y: the series, shape [T].
        horizons: slots ahead that are scored one by one; the mean over 1..max is scored as well.
        split: shares of the training, validation and test part.
        against: names against which every other is tested (Diebold-Mariano on absolute errors).
        fit: whether to fit; False takes fitted forecasters as they are.
        progress: called with the name of each forecaster before its fit and the share that is done, last with 1.

    Returns:
        Plain dictionaries and lists: `length`, `train`, `test_start`, `scale`; `scores`, one row per forecaster and
        horizon ("mean" for the mean over horizons) with `mase`, `rmse`, `smape`, `pinball`, `coverage_<level>`,
        `width_<level>`; `costs` with `fit_seconds` and `update_us` by name; `tests` with `name`, `against`, `horizon`,
        `statistic` (negative: `name` is better) and `p`.

    Raises:
        ValueError: the series is too short for the split and the horizons, or a name in `against` is unknown.
    """
    values = check_series(y)
    train, test = split_at(len(values), split)
    longest = max(horizons)
    if len(values) - test <= longest:
        raise ValueError(f"the test part of {len(values) - test} slots must be longer than the horizon {longest}")
    unknown = [name for name in against if name not in forecasters]
    if unknown:
        raise ValueError(f"against={unknown[0]!r} is not among {list(forecasters)}")
    first = next(iter(forecasters.values()))
    period = first.season[0] if first.season and train > first.season[0] else 1
    scale = metrics.naive_scale(values[:train], period)
    scores: list[dict[str, Any]] = []
    costs: dict[str, dict[str, float]] = {}
    losses: dict[str, NDArray[np.float64]] = {}
    report = progress or (lambda name, share: None)
    for done, (name, forecaster) in enumerate(forecasters.items()):
        report(name, done / len(forecasters))
        costs[name] = _costs(forecaster, values, train, test, fit)
        bands = forecaster.bands(values, longest)
        scores += [{"name": name} | row for row in _scores(bands, values, test, horizons, scale)]
        losses[name] = _losses(bands, values, test, longest)
    report("done", 1.0)
    return {
        "length": len(values),
        "train": train,
        "test_start": test,
        "scale": scale,
        "scores": scores,
        "costs": costs,
        "tests": _tests(losses, against, horizons),
    }


def _costs(forecaster: Forecaster, y: NDArray, train: int, test: int, fit: bool) -> dict[str, float]:
    started = time.perf_counter()
    if fit:
        forecaster.fit(y[:train])
    fitted = time.perf_counter()
    twin = forecaster.fork()
    updates = y[test : test + TIMED_UPDATES]
    begun = time.perf_counter()
    for value in updates:
        twin.update(value)
    return {"fit_seconds": fitted - started, "update_us": 1e6 * (time.perf_counter() - begun) / len(updates)}


def _scores(bands: Forecast, y: NDArray, test: int, horizons: Sequence[int], scale: float) -> list[dict[str, Any]]:
    rows = {h: _score(bands, y, test, h, scale) for h in range(1, max(horizons) + 1)}
    mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in rows[1]}
    return [{"horizon": h} | rows[h] for h in horizons] + [{"horizon": "mean"} | mean]


def _score(bands: Forecast, y: NDArray, test: int, h: int, scale: float) -> dict[str, float]:
    """Scores at one horizon, over all origins from the last slot before the test part on."""
    truth, origins = y[test - 1 + h :], slice(test - 1, len(y) - h)
    median, mean = bands.median[origins, h - 1], bands.mean[origins, h - 1]
    row = {
        "mase": metrics.mase(truth, median, scale),
        "rmse": metrics.rmse(truth, mean),
        "smape": metrics.smape(truth, median),
    }
    losses = [metrics.pinball(truth, median, 0.5)]
    for j, level in enumerate(bands.level):
        low, high, tail = bands.low[origins, j, h - 1], bands.high[origins, j, h - 1], 0.005 * (100.0 - level)
        losses += [metrics.pinball(truth, low, tail), metrics.pinball(truth, high, 1.0 - tail)]
        row[f"coverage_{level:g}"] = metrics.coverage(truth, low, high)
        row[f"width_{level:g}"] = float((high - low).mean()) / scale
    return row | {"pinball": float(np.mean(losses))}


def _losses(bands: Forecast, y: NDArray, test: int, longest: int) -> NDArray[np.float64]:
    """Absolute errors by origin and horizon, NaN beyond the end, shape [origins, longest]."""
    losses = np.full((len(y) - test, longest), np.nan)
    for h in range(1, longest + 1):
        count = len(y) - test + 1 - h
        losses[:count, h - 1] = np.abs(y[test - 1 + h :] - bands.median[test - 1 : len(y) - h, h - 1])
    return losses


def _tests(
    losses: Mapping[str, NDArray[np.float64]], against: Sequence[str], horizons: Sequence[int]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for other in against:
        for name in losses:
            if name == other:
                continue
            for h in (*horizons, None):
                reach = losses[name].shape[1] if h is None else h
                statistic, p = metrics.diebold_mariano(_loss_at(losses[name], h), _loss_at(losses[other], h), reach)
                rows.append({"name": name, "against": other, "horizon": h or "mean", "statistic": statistic, "p": p})
    return rows


def _loss_at(losses: NDArray[np.float64], horizon: int | None) -> NDArray[np.float64]:
    """Losses by origin at one horizon, or their mean over all where all are known."""
    if horizon is None:
        return np.asarray(losses[~np.isnan(losses).any(axis=1)].mean(axis=1))
    column = losses[:, horizon - 1]
    return np.asarray(column[~np.isnan(column)])
