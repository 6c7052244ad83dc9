"""Compares the hybrid with MSTL and AutoTheta of statsforecast, which are refitted at every origin.

    pip install "psgym[bench]"
    python benchmarks/forecast_peers.py --data TRACES --out benchmarks/results/forecast_peers.json

The peers see the last 56 days before each of 100 origins spread over the last fifth of a series; the hybrid was fitted
once, on the first 60 %, and forecasts from the same origins. Resumable: peers that the output file holds are kept, the
hybrid is measured each time.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from forecasting import fitted_hybrid, series
from numpy.typing import NDArray

from psgym.predictors.backtest import split_at
from psgym.predictors.metrics import diebold_mariano

NAMES = ("philly-60", "venus-60", "nasa-jul-60", "wc98-60", "generated-sarima", "wikipedia-60")
PEERS = ("MSTL", "AutoTheta")
HORIZON, ORIGINS, HISTORY_DAYS = 48, 100, 56


def peer_errors(y: NDArray[np.float64], origins: NDArray[np.int64], day: int, name: str) -> tuple[NDArray, float]:
    """Mean absolute error over 1..48 at each origin, and seconds per origin."""
    from statsforecast.models import MSTL, AutoTheta

    errors, started = [], time.perf_counter()
    for origin in origins:
        history = y[max(0, origin + 1 - HISTORY_DAYS * day) : origin + 1]
        model = MSTL(season_length=[day, 7 * day]) if name == "MSTL" else AutoTheta(season_length=7 * day)
        forecast = np.asarray(model.forecast(history, h=HORIZON)["mean"])
        errors.append(float(np.abs(y[origin + 1 : origin + 1 + HORIZON] - forecast).mean()))
    return np.array(errors), (time.perf_counter() - started) / len(origins)


def measure(y: NDArray[np.float64], minutes: int, name: str, done: dict[str, Any], fits: Path) -> dict[str, Any]:
    """Mean absolute errors of the hybrid and of both peers at the same origins; peers that are `done` are kept."""
    train, test = split_at(len(y))
    origins = np.unique(np.linspace(test - 1, len(y) - 1 - HORIZON, ORIGINS).astype(np.int64))
    median = fitted_hybrid(name, minutes, y[:train], fits).bands(y).median
    ours = np.array([np.abs(y[o + 1 : o + 1 + HORIZON] - median[o]).mean() for o in origins])
    result: dict[str, Any] = {"origins": len(origins), "hybrid": float(ours.mean())}
    spacing = max(1, int(np.median(np.diff(origins))))
    for peer in PEERS:
        row = done.get(peer)
        if row is None:
            errors, seconds = peer_errors(y, origins, 1440 // minutes, peer)
            row = {"mae": float(errors.mean()), "seconds": seconds, "errors": [float(f"{e:.6g}") for e in errors]}
        result[peer] = row
        if "errors" in row:
            # Origins closer than the horizon share targets.
            row["statistic"], row["p"] = diebold_mariano(ours, np.array(row["errors"]), -(-HORIZON // spacing))
    return result


def summary(results: dict[str, Any]) -> str:
    """One row per series, and the geometric means."""
    lines = ["| series | origins | hybrid / MSTL (p) | hybrid / AutoTheta (p) |", "|---|---|---|---|"]
    for name, row in results.items():
        cells = [f"{row['hybrid'] / row[peer]['mae']:.3f} ({row[peer].get('p', math.nan):.2g})" for peer in PEERS]
        lines.append(f"| {name} | {row['origins']} | " + " | ".join(cells) + " |")
    means = [np.exp(np.mean([np.log(row["hybrid"] / row[peer]["mae"]) for row in results.values()])) for peer in PEERS]
    return "\n".join([*lines, "| geometric mean | | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"])


def main() -> None:
    """Reads the arguments, measures what is missing, prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with forecast/ and jobs/")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/forecast_peers.json"))
    parser.add_argument("--fits", type=Path, default=Path("benchmarks/results/fits"), help="where fits are kept")
    parser.add_argument("--only", nargs="*", default=NAMES, help="names of series")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    loaders = series()
    for name in arguments.only:
        minutes, load = loaders[name]
        results[name] = measure(load(arguments.data), minutes, name, results.get(name, {}), arguments.fits)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results))
        print(summary({name: results[name]}), flush=True)
    print(summary(results))


if __name__ == "__main__":
    main()
