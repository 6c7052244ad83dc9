"""Measures the capacity planner on the GPUs that jobs ask for, hour by hour.

    python benchmarks/capacity_planning.py --data TRACES --out benchmarks/results/capacity_planning.json

Need = GPUs requested per hour (Helios Venus, Microsoft Philly); expected need = mean forecast of the number of jobs x
exponentially weighted GPUs per job. Scored on the last fifth and on the one before it, against the expected need with
15 % on top; beside it what the best affine function of the expected need, chosen in hindsight, would have scored.
"""

import argparse
import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from forecasting import PHILLY, _minute, count_rows, fitted_hybrid, read_minutes
from numpy.typing import NDArray

from psgym.predictors.backtest import split_at
from psgym.predictors.capacity import CapacityPlanner
from psgym.predictors.metrics import pinball

QUANTILE, LEADS, HALF_LIFE = 0.9, (1, 6, 24), 1000.0


def load(root: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Jobs and GPUs per hour of each trace."""
    venus = root / "forecast/helios_venus_10min_2020AprJul.csv.gz"
    philly = root / PHILLY
    gpus: Counter[int] = Counter()
    with gzip.open(philly, "rt", newline="") as file:
        for row in csv.DictReader(file):
            gpus[_minute(row["submit_time"]) // 60] += int(row["num_gpus"])
    hours = range(min(gpus), max(gpus) + 1)
    return {
        "venus": (read_minutes(venus, 60, "submit_gpu_job"), read_minutes(venus, 60, "submit_gpu_num")),
        "philly": (count_rows(philly, 60, "submit_time"), np.array([gpus[hour] for hour in hours], np.float64)),
    }


def usage_per_job(jobs: NDArray[np.float64], gpus: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of exponentially weighted sums, known after each hour, shape [T]."""
    keep, above, below = 0.5 ** (1.0 / HALF_LIFE), 0.0, 1e-9
    mean = np.empty(len(jobs))
    for t in range(len(jobs)):
        above, below = keep * above + gpus[t], keep * below + jobs[t]
        mean[t] = above / below
    return mean


def measure(name: str, jobs: NDArray[np.float64], gpus: NDArray[np.float64], fits: Path) -> dict[str, Any]:
    """Coverage and pinball loss of the planner, of the margin and of hindsight, per part and lead time."""
    train, test = split_at(len(jobs))
    hybrid = fitted_hybrid(f"{name}-60", 60, jobs[:train], fits)
    expected = hybrid.table(jobs) * usage_per_job(jobs, gpus)[:, None]
    found: dict[str, Any] = {"validation": {}, "test": {}}
    for lead in LEADS:
        planner = CapacityPlanner([8.0], quantile=QUANTILE, lead=lead)
        need = np.array(
            [planner.plan([now], ahead[:lead, None]).need[-1, 0] for now, ahead in zip(gpus, expected, strict=True)]
        )
        for part, first, end in (("validation", train, test), ("test", test, len(gpus))):
            origins = slice(first - 1, end - lead)
            truth, mean = gpus[first - 1 + lead : end], expected[origins, lead - 1]
            found[part][str(lead)] = (
                _score("", truth, need[origins])
                | _score(" margin", truth, 1.15 * mean)
                | _score(" hindsight", truth, _best_affine(truth, mean))
            )
    return found


def _score(name: str, truth: NDArray[np.float64], bound: NDArray[np.float64]) -> dict[str, float]:
    return {
        f"coverage{name}": float(np.mean(truth <= bound)),
        f"pinball{name}": float(pinball(truth, bound, QUANTILE)),
    }


def _best_affine(truth: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fitted values of the linear quantile regression of the truth on the expected need."""
    from statsmodels.regression.quantile_regression import QuantReg

    design = np.column_stack([np.ones_like(mean), mean])
    return np.asarray(QuantReg(truth, design).fit(q=QUANTILE).fittedvalues)


def main() -> None:
    """Measures, prints and keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with forecast/ and jobs/")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/capacity_planning.json"))
    parser.add_argument("--fits", type=Path, default=Path("benchmarks/results/fits"), help="where fits are kept")
    arguments = parser.parse_args()
    results = {name: measure(name, *pair, arguments.fits) for name, pair in load(arguments.data).items()}
    print("| trace | part | lead (h) | coverage | pinball / margin | hindsight / margin | coverage of the margin |")
    print("|---|---|---|---|---|---|---|")
    for name, parts in results.items():
        for part, leads in parts.items():
            for lead, row in leads.items():
                ours, best = row["pinball"] / row["pinball margin"], row["pinball hindsight"] / row["pinball margin"]
                cells = f"{row['coverage']:.3f} | {ours:.3f} | {best:.3f} | {row['coverage margin']:.3f}"
                print(f"| {name} | {part} | {lead} | {cells} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
