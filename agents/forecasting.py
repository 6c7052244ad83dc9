"""The rolling-origin backtest of the forecasters on a series: its table, plot and scalars, and the fitted hybrid."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.files import write_atomically
from psgym.predictors import ARIMA, GRU, Forecaster, Hybrid, SeasonalEWMA, SeasonalNaive, read_series, save_forecaster
from psgym.predictors.backtest import backtest
from psgym.predictors.series import Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORTED = (1, 12, 48)
"""Horizons that are scored one by one, as far as the longest allows."""


def load_series(path: Path, column: str | None, slot_seconds: float | None) -> Series:
    """Read a CSV of counts, coarsened where a longer slot is asked for.

    Raises:
        ValueError: The message names the file, the line, the column and the value found.
    """
    series = read_series(path, column or "value")
    return series if slot_seconds is None else series.coarsen(slot_seconds)


def run_backtest(
    series: Series,
    horizon: int = 48,
    season: Sequence[int] = (),
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[dict[str, Any], Hybrid]:
    """Fit the parts and the hybrid on the first 60 % of a series and score them on the last 20 %.

    Args:
        series: The counts.
        horizon: Slots ahead.
        season: Periods in slots; a day and a week if empty.
        seed: Seed of the networks.
        progress: Called with the name of what is being fitted and the share that is done.

    Returns:
        The result of `psgym.predictors.backtest.backtest`, and the fitted hybrid.
    """
    periods = tuple(season) or series.periods()
    shared: dict[str, Any] = {"season": periods, "horizon": horizon}
    hybrid = Hybrid(seed=seed, **shared)
    forecasters: dict[str, Forecaster] = {
        **{f"seasonal_naive_{period}": SeasonalNaive(period, **shared) for period in periods},
        "seasonal_ewma": SeasonalEWMA(**shared),
        "arima": ARIMA(**shared),
        "gru": GRU(seed=seed, **shared),
        "hybrid": hybrid,
    }
    horizons = sorted({min(h, horizon) for h in (*REPORTED, horizon)})
    result = backtest(forecasters, series.values, horizons, against=("arima", "gru"), progress=progress)
    hybrid.slot_seconds = series.slot_seconds
    hybrid.load_unit = float(series.values[: result["train"]].mean()) or 1.0
    return {"season": periods, "slot_seconds": series.slot_seconds} | result, hybrid


def write_forecast_report(result: dict[str, Any], hybrid: Hybrid, series: Series, folder: Path) -> str:
    """Write ``result.json``, ``table.md``, ``forecast.png`` and TensorBoard scalars, and return the table."""
    text = forecast_table(result)
    write_atomically(folder / "result.json", lambda path: path.write_text(json.dumps(result, indent=1) + "\n"))
    write_atomically(folder / "table.md", lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(folder / "forecast.png", draw_forecast(hybrid, series.values, result["test_start"]).savefig)
    _write_scalars(result, folder)
    return text


def save_fitted(hybrid: Hybrid, path: Path) -> None:
    """Keep a fitted hybrid where ``--forecaster`` finds it (npz, no pickle)."""
    write_atomically(path, lambda temporary: save_forecaster(temporary, hybrid))


def forecast_table(result: dict[str, Any]) -> str:
    """Return the scores as a Markdown table: a row for each forecaster and horizon."""
    parts = sorted({test["against"] for test in result["tests"]})
    headings = ["forecaster", "horizon", "MASE", "RMSE", "sMAPE (%)", "pinball", "80 % cover", "95 % cover"]
    headings += [f"p against {part}" for part in parts] + ["fit (s)", "us/update"]
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join('---' for _ in headings)}|"]
    for score in result["scores"]:
        name, horizon, cost = score["name"], score["horizon"], result["costs"][score["name"]]
        cells = [name, str(horizon), *(f"{score[key]:.4g}" for key in ("mase", "rmse", "smape", "pinball"))]
        cells += [f"{score[f'coverage_{level}']:.3f}" for level in (80, 95)]
        cells += [_p_value(result, name, part, horizon) for part in parts]
        cells += [f"{cost['fit_seconds']:.2f}", f"{cost['update_us']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    scored = result["length"] - result["test_start"]
    head = (
        f"{result['length']} slots of {result['slot_seconds']:g} s, seasons {tuple(result['season'])}; fitted on the "
        f"first {result['train']}, scored on the last {scored}. A p-value with a minus: better.\n"
    )
    return "\n".join([head, *lines, ""])


def _p_value(result: dict[str, Any], name: str, against: str, horizon: int | str) -> str:
    for test in result["tests"]:
        if (test["name"], test["against"], test["horizon"]) == (name, against, horizon):
            return f"{'-' if test['statistic'] < 0 else '+'}{test['p']:.2g}"
    return ""


def draw_forecast(hybrid: Hybrid, values: NDArray[np.float64], test_start: int) -> Figure:
    """Draw the first seasons of the test part: truth, median and bands, one slot and the whole horizon ahead."""
    from matplotlib.figure import Figure

    length = min(len(values) - test_start, 2 * max(hybrid.season_ or (48,)), 400)
    end = test_start + length
    bands = hybrid.bands(values[:end])
    time = np.arange(length)
    figure = Figure(figsize=(10, 7), dpi=120, layout="constrained")
    shown = sorted({1, hybrid.horizon})
    for axes, ahead in zip(figure.subplots(len(shown), squeeze=False)[:, 0], shown, strict=True):
        rows = slice(test_start - ahead, end - ahead)
        for level, alpha in ((1, 0.18), (0, 0.3)):
            low, high = bands.low[rows, level, ahead - 1], bands.high[rows, level, ahead - 1]
            axes.fill_between(time, low, high, color="C0", alpha=alpha, lw=0, label=f"{bands.level[level]:g} % band")
        axes.plot(time, bands.median[rows, ahead - 1], color="C0", lw=1.2, label=f"forecast, {ahead} ahead")
        axes.plot(time, values[test_start:end], color="black", lw=0.9, label="truth")
        top = 1.25 * max(values[test_start:end].max(), bands.median[rows, ahead - 1].max())
        axes.set(ylabel="count", xlim=(0, length - 1), ylim=(0, max(top, 1.0)))
        axes.legend(frameon=False, ncols=4, loc="upper left")
    axes.set_xlabel("slots of the test part")
    return figure


def _write_scalars(result: dict[str, Any], folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for score in result["scores"]:
            if score["horizon"] != "mean":
                for key in ("mase", "rmse", "smape", "pinball", "coverage_80", "coverage_95"):
                    writer.add_scalar(f"forecast/{key}/{score['name']}", score[key], score["horizon"])
