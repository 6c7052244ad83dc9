"""Compares the forecast-driven capacity rule with the reactive one on real traces, both tuned on earlier days.

    python benchmarks/capacity_policies.py --data TRACES --out benchmarks/results/capacity_policies.json

`psgym/Capacity-v0`, preset `small`. Days of the training and of the validation part, as many of each, choose: one
part alone may be busier than the days to come. They are compared by logarithms, day by day, so that an overloaded day
does not outweigh all the others. The reactive rule takes the headroom of least total cost. The planner has two
settings: its quantile, and the price of a node-hour, in multiples of the true one, at which it plans what a job
requests. Of those that need fewer node-hours than the tuned reactive rule, by two standard errors, it takes the one
that needs the most: node-hours are known well, and more nodes seldom lengthen completion. All costs are told at the
true price. Test days are run once, after that. Intervals resample calendar days. Results are kept trace by trace;
what the output holds is not measured again.

With --repeat SEED, test days of another seed are run with what was chosen before, nothing being chosen anew.
"""

import argparse
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.evaluation import Days, make_days, run_policy
from psgym.agents.fitted import forecaster_for
from psgym.agents.policies import make_policy
from psgym.agents.seeds import Part
from psgym.agents.statistics import paired_difference

VIEW = "psgym/Capacity-v0"
TUNING_PARTS: tuple[Part, ...] = ("train", "validation")
TRACES = {
    "wikipedia": ("wikipedia_1h_2018_2019.csv.gz", None),
    "venus": ("helios_venus_10min_2020AprJul.csv.gz", "submit_gpu_job"),
    "wc98": ("wc98_1min_1998.csv.gz", None),
}
HEADROOMS = (3.0, 4.0, 5.0, 6.0, 8.0)
PLANS = tuple((round(2.0 ** (step / 4.0), 2), quantile) for step in range(6, -5, -1) for quantile in (0.5, 0.8))
"""Prices and quantiles, the thriftiest first."""
FORECASTS = ("hybrid", "oracle", "arima", "gru")
METRICS = ("mean_completion_seconds", "node_hours", "total_cost")
BATCH = 200
"""Days that run side by side, so that their records fit in memory."""

Metrics = dict[str, NDArray[np.float64]]


def play(days: Days, name: str, price: float = 1.0, **changes: Any) -> Metrics:
    """Runs a policy on all days, with node-hours at a multiple of their price; the costs are those at the true price.

    Returns:
        Each of `METRICS` and the calendar `day`, shape [days].
    """
    runs = []
    for first in range(0, len(days.seeds), BATCH):
        batch = replace(days, seeds=days.seeds[first : first + BATCH])
        node_price = price * days.config.node_price
        runs.append(run_policy(batch, lambda env: make_policy(name, env, VIEW), node_price=node_price, **changes))
    found = {metric: np.concatenate([run.metrics[metric] for run in runs]) for metric in METRICS}
    found["total_cost"] -= (price - 1.0) * days.config.node_price * found["node_hours"]
    return found | {"day": np.concatenate([run.day for run in runs])}


def means(run: Metrics) -> dict[str, float]:
    """Mean of each reported metric."""
    return {name: float(run[name].mean()) for name in METRICS}


def saved(run: Metrics, base: Metrics) -> float:
    """Mean logarithm of the node-hours saved against another run, less two standard errors."""
    fewer = np.log(base["node_hours"] / run["node_hours"])
    return float(fewer.mean() - 2.0 * fewer.std(ddof=1) / math.sqrt(len(fewer)))


def typical(run: Metrics, metric: str) -> float:
    """Mean logarithm of a metric."""
    return float(np.log(run[metric]).mean())


def play_all(parts: Sequence[Days], name: str, price: float = 1.0, **changes: Any) -> Metrics:
    """As `play`, on the days of several parts, one after the other."""
    runs = [play(days, name, price, **changes) for days in parts]
    return {metric: np.concatenate([run[metric] for run in runs]) for metric in runs[0]}


def measure(
    path: Path, column: str | None, tuning_days: int, test_days: int, seed: int, forecasts: Sequence[str]
) -> dict[str, Any]:
    """Tunes on days of the training and of the validation part, then runs the test days."""
    test = make_days(VIEW, "test", seed, test_days, traffic=str(path), traffic_column=column)
    earlier = [make_days(VIEW, part, seed, tuning_days, traffic=test.traffic) for part in TUNING_PARTS]
    reactive = {headroom: play_all(earlier, "reactive", reactive_headroom=headroom) for headroom in HEADROOMS}
    headroom = min(HEADROOMS, key=lambda h: typical(reactive[h], "total_cost"))
    source = forecaster_for(forecasts[0], test.config, test.traffic)
    planned = {
        plan: play_all(earlier, forecasts[0], plan[0], forecaster=source, forecast_quantile=plan[1]) for plan in PLANS
    }
    thrifty = [plan for plan in PLANS if saved(planned[plan], reactive[headroom]) > 0.0] or PLANS[:1]
    price, quantile = max(thrifty, key=lambda plan: typical(planned[plan], "node_hours"))
    chosen = {"headroom": headroom, "price": price, "quantile": quantile}
    tuning = {
        "reactive": {f"{h:g}": means(run) for h, run in reactive.items()},
        "planned": {f"{p:g}, {q:g}": means(run) for (p, q), run in planned.items()},
    }
    return {"tuning_days": 2 * tuning_days, "tuning": tuning} | chosen | run_test(test, chosen, forecasts)


def repeat(
    path: Path, column: str | None, test_days: int, seed: int, chosen: dict[str, Any], forecasts: Sequence[str]
) -> dict[str, Any]:
    """Runs test days of another seed with what was chosen."""
    days = make_days(VIEW, "test", seed, test_days, traffic=str(path), traffic_column=column)
    return run_test(days, chosen, forecasts)


def run_test(test: Days, chosen: dict[str, Any], forecasts: Sequence[str]) -> dict[str, Any]:
    """Runs the reactive rule and the planner, fed by each forecaster, on the test days."""
    base = play(test, "reactive", reactive_headroom=chosen["headroom"])
    found: dict[str, Any] = {
        "test_days": len(test.seeds),
        "calendar_days": len(set(base["day"].tolist())),
        "test": {"reactive": means(base)},
        "paired": {},
    }
    for name in forecasts:
        source = forecaster_for(name, test.config, test.traffic)
        run = play(test, name, chosen["price"], forecaster=source, forecast_quantile=chosen["quantile"])
        found["test"][name] = means(run)
        found["paired"][name] = {
            metric: _interval(paired_difference(run[metric], base[metric], base["day"])) for metric in METRICS
        }
    return found


def _interval(difference: Any) -> list[float]:
    return [difference.mean, difference.low, difference.high, difference.percent]


def summary(results: dict[str, Any]) -> str:
    """One row per trace and forecaster."""
    lines = [
        "| trace | days (calendar) | headroom | price, quantile | forecaster | completion (s) [95 %] "
        "| node-hours [95 %] | total cost [95 %] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    tables = {name: (row, row) for name, row in results.items()}
    for name, row in results.items():
        tables |= {f"{name}, seed {seed}": (row, again) for seed, again in row.get("repeated", {}).items()}
    for trace, (chosen, row) in tables.items():
        days, plan = f"{row['test_days']} ({row['calendar_days']})", f"{chosen['price']:g}, {chosen['quantile']:g}"
        head = f"| {trace} | {days} | {chosen['headroom']:g} | {plan} "
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
    parser.add_argument("--tuning-days", type=int, default=240, help="of each part")
    parser.add_argument("--test-days", type=int, default=700)
    parser.add_argument("--forecasts", nargs="*", default=FORECASTS, help="the first is also the one that is tuned")
    parser.add_argument("--seed", type=int, default=2, help="of the days")
    parser.add_argument("--repeat", type=int, help="seed of other test days; nothing is chosen anew")
    parser.add_argument("--only", nargs="*", default=list(TRACES), help="names of traces")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    warnings.simplefilter("ignore")  # interpolated minutes are told by the reader
    for name in arguments.only:
        file, column = TRACES[name]
        path = arguments.data / "forecast" / file
        if name not in results:
            results[name] = measure(
                path, column, arguments.tuning_days, arguments.test_days, arguments.seed, arguments.forecasts
            )
        repeated = results[name].setdefault("repeated", {})
        if arguments.repeat is not None and str(arguments.repeat) not in repeated:
            repeated[str(arguments.repeat)] = repeat(
                path, column, arguments.test_days, arguments.repeat, results[name], arguments.forecasts
            )
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1))
        print(summary({name: results[name]}), flush=True)
    print(summary(results))


if __name__ == "__main__":
    main()
