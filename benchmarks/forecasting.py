"""Measures the forecasters on real series and on generated ones, and keeps the raw results.

    python benchmarks/forecasting.py --data TRACES --out benchmarks/results/forecasting.json

One resumable command: what the output file already holds is not measured again. `--data` is the folder that holds
`forecast/`, `jobs/` and `access/` (see docs/traces.md); with `--clones` also the series of public_series.py.
Prints the summary at the end.
"""

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from public_series import CHOSEN_ON, OTHERS, slot_sums

from psgym.predictors import GRU, Hybrid, ResidualGRU, load_forecaster, save_forecaster
from psgym.predictors.backtest import backtest, split_at
from psgym.predictors.hybrid import default_experts

SEEDS = (0, 1, 2)
HORIZONS = (1, 12, 48)
PHILLY = "jobs/philly_jobs_2017Oct03_Nov19.csv.gz"
HELD_OUT = ("gentd26-60", "gentd26-15", "gentd26-5")
"""Series that nothing was chosen on; summarised apart."""
Loader = Callable[[Path], NDArray[np.float64]]


def read_minutes(path: Path, minutes: int, column: str = "value", segment: str | None = None) -> NDArray[np.float64]:
    """Sums of a regular or gapped CSV per slot of some minutes; empty slots are 0."""
    with gzip.open(path, "rt", newline="") as file:
        rows = (
            (row["timestamp"], float(row[column] or 0.0))
            for row in csv.DictReader(file)
            if segment is None or (row["segment"] == segment and row["outage"] == "0")
        )
        return slot_sums(rows, minutes)


def count_rows(path: Path, minutes: int, column: str) -> NDArray[np.float64]:
    """Rows of a CSV, such as jobs or requests, per slot of some minutes; the column holds their times."""
    with gzip.open(path, "rt", newline="") as file:
        return slot_sums(((row[column], 1.0) for row in csv.DictReader(file)), minutes)


def series() -> dict[str, tuple[int, Loader]]:
    """Minutes per slot and loader of each series by name."""
    table: dict[str, tuple[int, Loader]] = {
        "wikipedia-60": (60, lambda root: read_minutes(root / "forecast/wikipedia_1h_2018_2019.csv.gz", 60)),
        "philly-60": (60, lambda root: count_rows(root / PHILLY, 60, "submit_time")),
        "retailrocket-60": (60, _loader("retailrocket_1h_2015.csv.gz", 60, "value", None)),
    }
    for m in (5, 15, 60):
        for segment in ("jul", "aug"):
            table[f"nasa-{segment}-{m}"] = (m, _loader("nasa_ksc_1min_1995.csv.gz", m, "value", segment))
        table[f"wc98-{m}"] = (m, _loader("wc98_1min_1998.csv.gz", m, "value", None))
    for m in (10, 30, 60):
        table[f"venus-{m}"] = (m, _loader("helios_venus_10min_2020AprJul.csv.gz", m, "submit_gpu_job", None))
    for m in (60, 15, 5):
        table[f"gentd26-{m}"] = (m, _requests(m))
    table["generated-sarima"] = (60, lambda _: generate_sarima(np.random.default_rng(1), 2880))
    table["generated-threshold"] = (60, lambda _: generate_threshold(np.random.default_rng(2), 2880))
    table["generated-counts"] = (60, lambda _: generate_counts(np.random.default_rng(3), 2880))
    return table


def _loader(file: str, minutes: int, column: str, segment: str | None) -> Loader:
    return lambda root: read_minutes(root / "forecast" / file, minutes, column, segment)


def _requests(minutes: int) -> Loader:
    return lambda root: count_rows(root / "access/gentd26_model_requests_23d.csv.gz", minutes, "timestamp")


def generate_sarima(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """(1, 0, 1)(0, 1, 1)24 with phi .7, theta .2, Theta -.6, around 500."""
    e = rng.normal(0.0, 10.0, length + 400)
    w = np.zeros(length + 400)
    for t in range(25, len(w)):
        w[t] = 0.7 * w[t - 1] + e[t] + 0.2 * e[t - 1] - 0.6 * e[t - 24] - 0.12 * e[t - 25]
    day = 200.0 * np.sin(2 * np.pi * np.arange(24) / 24)
    y = np.empty(len(w))
    y[:24] = 500.0 + day
    for t in range(24, len(w)):
        y[t] = y[t - 24] + w[t]
    return np.maximum(y[400:], 0.0)


def generate_threshold(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """A day and a week around which a threshold autoregression moves: slow above 0, oscillating below."""
    x = np.zeros(length)
    for t in range(1, length):
        x[t] = (0.9 if x[t - 1] > 0.0 else -0.5) * x[t - 1] + rng.normal(0.0, 20.0)
    phase = 2 * np.pi * np.arange(length)
    return np.maximum(500.0 + 150.0 * np.sin(phase / 24) + 80.0 * np.sin(phase / 168) + x, 0.0)


def generate_counts(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Negative binomial counts (r = 2) whose mean has a day, a weekend and a slowly moving level."""
    level = np.cumsum(rng.normal(0.0, 0.02, length))
    phase = np.arange(length)
    rate = 30.0 * np.exp(0.6 * np.sin(2 * np.pi * phase / 24) - 0.4 * (phase % 168 >= 120) + level - level.mean())
    return rng.poisson(rng.gamma(2.0, rate / 2.0)).astype(np.float64)


def measure(
    name: str,
    minutes: int,
    y: NDArray[np.float64],
    done: dict[str, Any],
    save: Callable[[], None],
    seeds: Sequence[int],
    fits: Path,
) -> None:
    """Adds to `done` the result of every seed that it lacks."""
    day = 1440 // minutes
    season = (day, 7 * day)
    train, _ = split_at(len(y))
    for seed in (seed for seed in seeds if str(seed) not in done):
        parts, costs = fitted_parts(y[:train], season, seed, fits / f"{name}-{seed}.npz", fits / f"{name}-0.npz")
        hybrid = Hybrid(parts, experts_fitted=True, seed=seed, season=season).fit(y[:train])
        result = backtest({**parts, "hybrid": hybrid}, y, HORIZONS, against=("arima", "gru"), fit=False)
        for part, seconds in costs.items():
            result["costs"][part]["fit_seconds"] = seconds
        result["tests"] = [row for row in result["tests"] if row["name"] == "hybrid"]
        result["orders"] = [str(order) for order in parts["arima"].orders_]
        result["minutes"] = minutes
        done[str(seed)] = _rounded(result)
        save()
        print(name, seed, headline(done[str(seed)]), flush=True)


def fitted_hybrid(name: str, minutes: int, y: NDArray[np.float64], fits: Path) -> Hybrid:
    """The default hybrid, first seed, of the part to fit of a series, from the fits that are kept in a folder."""
    season = (1440 // minutes, 7 * 1440 // minutes)
    path = fits / f"{name}-0.npz"
    return Hybrid(fitted_parts(y, season, 0, path, path)[0], experts_fitted=True, season=season).fit(y)


def fitted_parts(
    y: NDArray[np.float64], season: tuple[int, int], seed: int, path: Path, first: Path
) -> tuple[dict[str, Any], dict[str, float]]:
    """The experts of the default hybrid, fitted once and kept in a file, and the seconds that each fit took.

    Args:
        y: the part to fit.
        season: periods in slots.
        seed: of the networks.
        path: the file of this seed; first: of the first seed, from which the parts without a seed are taken.
    """
    times = path.with_suffix(".json")
    if path.exists():
        return dict(load_forecaster(path).experts_), json.loads(times.read_text())
    parts: dict[str, Any] = {}
    costs: dict[str, float] = {}
    for name, part in default_experts(seed, season).items():
        learned = isinstance(part, GRU)
        if not learned and first.exists():
            parts[name] = load_forecaster(first).experts_[name]
            costs[name] = json.loads(first.with_suffix(".json").read_text())[name]
            continue
        if isinstance(part, ResidualGRU):
            part.base = parts["arima"]  # the fitted one, which may come from the first seed
        started = time.process_time()
        parts[name] = part.fit(y)
        costs[name] = time.process_time() - started
    path.parent.mkdir(parents=True, exist_ok=True)
    save_forecaster(path, Hybrid(parts, experts_fitted=True, season=season).fit(y))
    times.write_text(json.dumps(costs))
    return parts, costs


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def mean_mase(result: dict[str, Any]) -> dict[str, float]:
    """Mean MASE over 1..48 by forecaster."""
    return {row["name"]: row["mase"] for row in result["scores"] if row["horizon"] == "mean"}


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """The hybrid relative to its parts and to the better seasonal naive forecast."""
    score = mean_mase(result)
    naive = min(value for name, value in score.items() if name.startswith("naive"))
    better = min(score["arima"], score["gru"])
    return {
        "better part": score["hybrid"] / better,
        "arima": score["hybrid"] / score["arima"],
        "gru": score["hybrid"] / score["gru"],
        "naive": score["hybrid"] / naive,
    }


def headline(result: dict[str, Any]) -> str:
    """Ratios and 95 % coverage on one line."""
    cover = [row["coverage_95"] for row in result["scores"] if row["name"] == "hybrid" and row["horizon"] != "mean"]
    return " ".join(f"{k}={v:.3f}" for k, v in ratios(result).items()) + f" cover={cover}"


def summary(results: dict[str, Any]) -> str:
    """The table of docs/forecasting.md: ratios per series (mean over seeds), geometric means, tests and coverage."""
    lines = [
        "| series | seeds | hybrid / better part | / ARIMA | / GRU | / better seasonal naive | "
        "coverage 95 % at 1, 12, 48 |",
        "|---|---|---|---|---|---|---|",
    ]
    means: list[NDArray[np.float64]] = []
    largest = np.zeros(4)
    for name, seeds in results.items():
        rows = [list(ratios(result).values()) for result in seeds.values()]
        mean = np.exp(np.log(rows).mean(axis=0))
        means.append(mean)
        largest = np.maximum(largest, np.max(rows, axis=0))
        covered = np.mean([_hybrid_coverage(result) for result in seeds.values()], axis=0)
        lines.append(
            f"| {name} | {len(rows)} | " + " | ".join(f"{v:.3f}" for v in mean) + " | " + _three(covered) + " |"
        )
    overall = np.exp(np.log(means).mean(axis=0))
    lines.append("| geometric mean of the series | | " + " | ".join(f"{v:.3f}" for v in overall) + " | |")
    lines.append("| largest of any seed | | " + " | ".join(f"{v:.3f}" for v in largest) + " | |")
    cells = [row for seeds in results.values() for result in seeds.values() for row in result["tests"]]
    for horizons, label in ((HORIZONS, "h = 1, 12, 48"), (("mean",), "mean over 1..48")):
        chosen = [row for row in cells if row["horizon"] in horizons]
        better = sum(row["p"] < 0.05 and row["statistic"] < 0 for row in chosen)
        worse = sum(row["p"] < 0.05 and row["statistic"] > 0 for row in chosen)
        lines.append(f"\nDiebold-Mariano, {label}: better in {better}, worse in {worse} of {len(chosen)} cells.")
    return "\n".join(lines)


def _hybrid_coverage(result: dict[str, Any]) -> list[float]:
    return [row["coverage_95"] for row in result["scores"] if row["name"] == "hybrid" and row["horizon"] in HORIZONS]


def _three(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{v:.3f}" for v in values)


def main() -> None:
    """Reads the arguments, measures what is missing, prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with forecast/, jobs/ and access/")
    parser.add_argument("--clones", type=Path, help="folder with the clones that public_series.py names")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/forecasting.json"))
    parser.add_argument("--fits", type=Path, default=Path("benchmarks/results/fits"), help="where fits are kept")
    parser.add_argument("--only", nargs="*", help="names of series; all by default")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS, help="of the networks; three by default")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}

    def save() -> None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=None, separators=(",", ":")))

    sources = [(name, minutes, load, arguments.data) for name, (minutes, load) in series().items()]
    if arguments.clones:
        public = CHOSEN_ON | OTHERS
        sources += [(name, minutes, load, arguments.clones) for name, (minutes, load) in public.items()]
    for name, minutes, load, folder in sources:
        if not arguments.only or name in arguments.only:
            done = results.setdefault(name, {})
            measure(name, minutes, load(folder), done, save, arguments.seeds, arguments.fits)
    groups = {
        "Used while developing": [name for name in series() if name not in HELD_OUT],
        "Held out": HELD_OUT,
        "Public series on which the mixture was chosen": CHOSEN_ON,
        "Public series on which nothing was chosen": OTHERS,
    }
    for title, names in groups.items():
        chosen = {name: results[name] for name in names if results.get(name)}
        if chosen:
            print(f"\n{title}:\n\n{summary(chosen)}")


if __name__ == "__main__":
    main()
