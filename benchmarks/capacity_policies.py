"""Compares the forecast-driven capacity rule with the reactive one on real traces, both tuned on validation days.

    python benchmarks/capacity_policies.py --data TRACES --out benchmarks/results/capacity_policies.json

`psgym/Capacity-v0`, preset `small`. The reactive rule takes, of `HEADROOMS`, the headroom of the least total cost on
the validation days. The planner takes, of as many `QUANTILES`, the one of least mean completion among those that need
no more node-hours than that on the same days (the smallest quantile if none does). Test days are run once. Intervals
resample calendar days. Results are kept trace by trace; what the output file holds is not measured again.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

from psgym.agents.evaluation import Days, Run, make_days, run_policy
from psgym.agents.fitted import forecaster_for
from psgym.agents.policies import make_policy
from psgym.agents.statistics import paired_difference

VIEW = "psgym/Capacity-v0"
TRACES = {
    "wikipedia": ("wikipedia_1h_2018_2019.csv.gz", None),
    "wc98": ("wc98_1min_1998.csv.gz", None),
    "venus": ("helios_venus_10min_2020AprJul.csv.gz", "submit_gpu_job"),
}
HEADROOMS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
QUANTILES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
FORECASTS = ("hybrid", "arima", "gru", "oracle")
METRICS = ("mean_completion_seconds", "node_hours", "total_cost")


def play(days: Days, name: str, **changes: Any) -> Run:
    """Runs a policy on all days."""
    return run_policy(days, lambda env: make_policy(name, env, VIEW), **changes)


def means(run: Run) -> dict[str, float]:
    """Mean of each reported metric."""
    return {name: float(run.metrics[name].mean()) for name in METRICS}


def measure(path: Path, column: str | None, validation_days: int, test_days: int, seed: int) -> dict[str, Any]:
    """Tunes on validation days, then runs the test days."""
    arguments: dict[str, Any] = {"traffic": str(path), "traffic_column": column}
    validation = make_days(VIEW, "validation", seed, validation_days, **arguments)
    test = make_days(VIEW, "test", seed, test_days, **(arguments | {"traffic": validation.traffic}))
    tuned = {str(h): means(play(validation, "reactive", reactive_headroom=h)) for h in HEADROOMS}
    headroom = min(HEADROOMS, key=lambda h: tuned[str(h)]["total_cost"])
    allowed = tuned[str(headroom)]["node_hours"]
    source = forecaster_for("hybrid", test.config, test.traffic, seed)
    planned = {str(q): means(play(validation, "hybrid", forecaster=source, forecast_quantile=q)) for q in QUANTILES}
    thrifty = [q for q in QUANTILES if planned[str(q)]["node_hours"] <= allowed]
    quantile = min(thrifty, key=lambda q: planned[str(q)]["mean_completion_seconds"]) if thrifty else QUANTILES[0]
    base = play(test, "reactive", reactive_headroom=headroom)
    found: dict[str, Any] = {
        "validation_days": validation_days,
        "test_days": test_days,
        "calendar_days": len(set(base.day.tolist())),
        "headroom": headroom,
        "quantile": quantile,
        "validation": {"reactive": tuned, "hybrid": planned},
        "test": {"reactive": means(base)},
        "paired": {},
    }
    for name in FORECASTS:
        source = forecaster_for(name, test.config, test.traffic, seed)
        run = play(test, name, forecaster=source, forecast_quantile=quantile)
        found["test"][name] = means(run)
        found["paired"][name] = {
            metric: _interval(paired_difference(run.metrics[metric], base.metrics[metric], base.day))
            for metric in METRICS
        }
    return found


def _interval(difference: Any) -> list[float]:
    return [difference.mean, difference.low, difference.high, difference.percent]


def summary(results: dict[str, Any]) -> str:
    """One row per trace and forecaster."""
    lines = [
        "| trace | days (calendar) | headroom | quantile | forecaster | completion (s) [95 %] | node-hours [95 %] "
        "| total cost [95 %] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for trace, row in results.items():
        head = f"| {trace} | {row['test_days']} ({row['calendar_days']}) | {row['headroom']:g} | {row['quantile']:g} "
        base = row["test"]["reactive"]
        lines.append(head + "| reactive | " + " | ".join(f"{base[metric]:.1f}" for metric in METRICS) + " |")
        for name, paired in row["paired"].items():
            cells = [f"{d:+.2f} [{low:+.2f}, {high:+.2f}] ({p:+.2f} %)" for d, low, high, p in paired.values()]
            lines.append(head + f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures what is missing, keeps it, prints the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with forecast/")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/capacity_policies.json"))
    parser.add_argument("--validation-days", type=int, default=200)
    parser.add_argument("--test-days", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    warnings.simplefilter("ignore")  # interpolated minutes are told by the reader
    for name, (file, column) in TRACES.items():
        if name not in results:
            path = arguments.data / "forecast" / file
            results[name] = measure(path, column, arguments.validation_days, arguments.test_days, arguments.seed)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(results, indent=1))
            print(summary({name: results[name]}), flush=True)
    print(summary(results))


if __name__ == "__main__":
    main()
