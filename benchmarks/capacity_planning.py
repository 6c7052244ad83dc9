"""Measures the capacity planner on the GPUs that jobs ask for, hour by hour, and on traffic itself.

    python benchmarks/capacity_planning.py --data TRACES --out benchmarks/results/capacity_planning.json

Need = GPUs requested per hour (Helios Venus, Microsoft Philly); expected need = mean forecast of the number of jobs x
exponentially weighted GPUs per job. With --traffic also every series of benchmarks/forecasting.py, each unit of traffic
needing one unit of capacity (minutes, where its fits are not kept yet). Scored on the last fifth and on the one before
it, against the expected need with 15 % on top; beside it what the best affine function of the expected need, chosen in
hindsight, would have scored.
"""

import argparse
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from forecasting import HELD_OUT, PHILLY, count_rows, fitted_hybrid, read_minutes, series
from numpy.typing import NDArray
from public_series import slot_sums

from psgym.predictors.backtest import split_at
from psgym.predictors.capacity import CapacityPlanner
from psgym.predictors.metrics import pinball

QUANTILE, LEADS, HALF_LIFE = 0.9, (1, 6, 24), 1000.0


def load(root: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Jobs and GPUs per hour of each trace."""
    venus = root / "forecast/helios_venus_10min_2020AprJul.csv.gz"
    philly = root / PHILLY
    with gzip.open(philly, "rt", newline="") as file:
        gpus = slot_sums(((row["submit_time"], float(row["num_gpus"])) for row in csv.DictReader(file)), 60)
    return {
        "venus": (read_minutes(venus, 60, "submit_gpu_job"), read_minutes(venus, 60, "submit_gpu_num")),
        "philly": (count_rows(philly, 60, "submit_time"), gpus),
    }


def usage_per_job(jobs: NDArray[np.float64], gpus: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of exponentially weighted sums, known after each hour, shape [T]."""
    keep, above, below = 0.5 ** (1.0 / HALF_LIFE), 0.0, 1e-9
    mean = np.empty(len(jobs))
    for t in range(len(jobs)):
        above, below = keep * above + gpus[t], keep * below + jobs[t]
        mean[t] = above / below
    return mean


def expected_gpus(name: str, jobs: NDArray[np.float64], gpus: NDArray[np.float64], fits: Path) -> NDArray[np.float64]:
    """Jobs forecast by the hybrid x GPUs per job, shape [T, 48]."""
    train, _ = split_at(len(jobs))
    return fitted_hybrid(f"{name}-60", 60, jobs[:train], fits).table(jobs) * usage_per_job(jobs, gpus)[:, None]


def measure(needed: NDArray[np.float64], expected: NDArray[np.float64]) -> dict[str, Any]:
    """Coverage and pinball loss of the planner, of the margin and of hindsight, per part and lead time."""
    train, test = split_at(len(needed))
    found: dict[str, Any] = {"validation": {}, "test": {}}
    for lead in LEADS:
        planner = CapacityPlanner([8.0], quantile=QUANTILE, lead=lead)
        need = np.array(
            [planner.plan([now], ahead[:lead, None]).need[-1, 0] for now, ahead in zip(needed, expected, strict=True)]
        )
        for part, first, end in (("validation", train, test), ("test", test, len(needed))):
            origins = slice(first - 1, end - lead)
            truth, mean = needed[first - 1 + lead : end], expected[origins, lead - 1]
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

    unit = truth.mean()
    design = np.column_stack([np.ones_like(mean), mean / unit])
    return unit * np.asarray(QuantReg(truth / unit, design).fit(q=QUANTILE, max_iter=5000).fittedvalues)


def table(results: dict[str, Any]) -> str:
    """One row per trace, part and lead."""
    lines = [
        "| trace | part | lead (h) | coverage | pinball / margin | hindsight / margin | coverage of the margin |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, parts in results.items():
        for part, leads in parts.items():
            for lead, row in leads.items():
                ours, best = row["pinball"] / row["pinball margin"], row["pinball hindsight"] / row["pinball margin"]
                cells = f"{row['coverage']:.3f} | {ours:.3f} | {best:.3f} | {row['coverage margin']:.3f}"
                lines.append(f"| {name} | {part} | {lead} | {cells} |")
    return "\n".join(lines)


def summary(results: dict[str, Any]) -> str:
    """Per part and lead: series in range, and the geometric mean of the loss relative to the margin's."""
    lines = ["| part | lead (slots) | coverage within .88 to .92 | pinball / margin | hindsight / margin |"]
    lines.append("|---|---|---|---|---|")
    for part in ("validation", "test"):
        for lead in map(str, LEADS):
            rows = [parts[part][lead] for parts in results.values()]
            right = sum(0.88 <= row["coverage"] <= 0.92 for row in rows)
            ours, best = (
                np.exp(np.mean([np.log(row[f"pinball{which}"] / row["pinball margin"]) for row in rows]))
                for which in ("", " hindsight")
            )
            lines.append(f"| {part} | {lead} | {right} of {len(rows)} | {ours:.3f} | {best:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with forecast/ and jobs/")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/capacity_planning.json"))
    parser.add_argument("--fits", type=Path, default=Path("benchmarks/results/fits"), help="where fits are kept")
    parser.add_argument("--traffic", action="store_true", help="every series of forecasting.py as well")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"gpus": {}, "traffic": {}, "held out": {}}
    for name, (jobs, gpus) in load(arguments.data).items():
        results["gpus"][name] = measure(gpus, expected_gpus(name, jobs, gpus, arguments.fits))
    for name, (minutes, read) in series().items() if arguments.traffic else ():
        y = read(arguments.data)
        hybrid = fitted_hybrid(name, minutes, y[: split_at(len(y))[0]], arguments.fits)
        results["held out" if name in HELD_OUT else "traffic"][name] = measure(y, hybrid.table(y))
    for title, found in results.items():
        if found:
            print(f"\n{title}:\n\n{table(found)}\n\n{summary(found)}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
