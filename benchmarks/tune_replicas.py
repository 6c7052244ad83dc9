"""Tunes the numbers of every replica policy on validation days, each with the same budget of trials.

The objective is what ``psgym/Replicas-v0`` charges: ``total_cost``, of which stalled reads are most. A trial draws its
numbers at random within the ranges below; the first one is the middle of them. The best trial of each policy goes to
``agents/configs/replicas.json``, with all that is needed to find it again, and the forecaster of a dataset's demand,
fitted on training days, to ``agents/configs/replica-demand.npz``. The numbers of ``hot-cold`` are fields of the
configuration: copy them to the preset ``storage``.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from typing import Any

import numpy as np

from psgym.agents.evaluation import Days, PolicyMaker, make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.replica_policies import AHEAD_SECONDS, CONFIGS, heat_forecaster, make_rung
from psgym.envs.cluster.config import HEATS
from psgym.predictors import ARIMA, Forecaster, save_forecaster

ENV = "psgym/Replicas-v0"
OBJECTIVE = "total_cost"

_HEAT = {"hot": ("log", 0.05, 0.5), "eta": ("linear", 0.4, 0.9), "memory": ("choice", 0, 1, 2)}
_SEARCH = {
    "target": ("linear", 0.35, 0.9),
    "price": ("log", 1e-4, 0.1),
    "fullness": ("linear", 0.75, 0.98),
    "memory": ("choice", 0, 1, 2),
    "announced": ("linear", 0.0, 1.0),
}
_FILL = {"most_copies": ("choice", 4, 5, 6, 8, 10, 12), "adds": ("choice", 1, 2, 4)}
RANGES: dict[str, dict[str, tuple[Any, ...]]] = {
    "lru": {**_FILL, "frequency": ("choice", False)},
    "lfu": {**_FILL, "frequency": ("choice", True)},
    "one-threshold": {
        **_HEAT, "eta": ("choice", 1.0), "announced": ("choice", 0.0), "one_threshold": ("choice", True)
    },
    "hot-cold": {**_HEAT, "announced": ("choice", 0.0), "one_threshold": ("choice", False)},
    "scarlett": {
        "period": ("choice", 20, 40, 60, 120),
        "budget": ("log", 0.03, 0.3),
        "round_robin": ("choice", False, True),
        "fullness": ("linear", 0.8, 0.97),
    },
    "queue-aware": {**_HEAT, "announced": ("linear", 0.0, 1.0), "one_threshold": ("choice", False)},
    "load-aware": _SEARCH,
    "forecast": _SEARCH,
    "oracle": {**_SEARCH, "memory": ("choice", 0), "announced": ("choice", 0.0)},
}  # fmt: skip


def draw(name: str, spec: tuple[Any, ...], at: float) -> Any:
    """A value of a range, from a number in [0, 1)."""
    kind, *values = spec
    if kind == "choice":
        return values[int(at * len(values))]
    low, high = values
    value = low * (high / low) ** at if kind == "log" else low + at * (high - low)
    return float(f"{value:.4g}")


def trials(name: str, count: int, seed: int) -> list[dict[str, Any]]:
    """The numbers of every trial: the middle of the ranges, then a Latin hypercube."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    ranges = RANGES[name]
    places = np.array([(rng.permutation(count - 1) + rng.random(count - 1)) / (count - 1) for _ in ranges])
    places = np.concatenate([np.full((len(ranges), 1), 0.5), places], axis=1)
    return [
        {key: draw(key, spec, places[row, trial]) for row, (key, spec) in enumerate(ranges.items())}
        for trial in range(count)
    ]


def fit_forecaster(seed: int, days: Days) -> Forecaster:
    """An ARIMA model of the demand for a dataset over a server's bandwidth, in steps of a slot.

    It is fitted on the five datasets of each training day whose demand varies most, one after the other.
    """
    env = days.make()
    env.reset(seed=list(days.seeds))
    rows = []
    for _ in range(days.config.slots):
        env.step(np.zeros(env.num_envs, np.int64))
        rows.append(env.public["datasets"]["demand"] / days.config.bandwidth_bytes_per_second)
    demand = np.array(rows)
    series = [
        demand[:, day, dataset]
        for day in range(demand.shape[1])
        for dataset in np.argsort(demand[:, day].std(axis=0))[-5:].tolist()
    ]
    ahead = max(1, round(AHEAD_SECONDS / days.config.slot_seconds))
    return ARIMA(season=(), horizon=ahead, transform="identity").fit(np.concatenate(series))


def _maker(name: str, numbers: dict[str, Any]) -> PolicyMaker:
    return lambda env: make_rung(name, env.simulation, numbers)


def _settings(numbers: dict[str, Any]) -> dict[str, Any]:
    """The fields of the configuration that the rule inside the environment reads."""
    heat = HEATS[numbers["memory"]]
    return {"hot_threshold": numbers["hot"], "cold_ratio": numbers["eta"], "rule_heat": heat}


def main() -> None:
    """Tunes the policies named, all by default, and keeps the numbers of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=8, help="validation days (default 8)")
    parser.add_argument("--trials", type=int, default=24, help="trials of each policy (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="seed of days and trials (default 0)")
    parser.add_argument("--policies", default=",".join(RANGES), help="names, joined by commas")
    arguments = parser.parse_args()
    days = make_days(ENV, "validation", arguments.seed, arguments.days)
    names = arguments.policies.split(",")
    if "forecast" in names:
        training = make_days(ENV, "train", arguments.seed, 4)
        save_forecaster(CONFIGS / "replica-demand.npz", fit_forecaster(arguments.seed, training))
        heat_forecaster.cache_clear()
    path = CONFIGS / "replicas.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"numbers": {}}
    scores = found.get("validation", {})
    base = run_policy(days, lambda env: make_policy("no-op", env, ENV)).metrics[OBJECTIVE].mean()
    print(f"no-op: {base:.2f}\n\n| policy | default | best | numbers |\n|---|---|---|---|")
    for name in names:
        best, first = math.inf, math.nan
        for number, numbers in enumerate(trials(name, arguments.trials, arguments.seed)):
            changes = _settings(numbers) if name == "hot-cold" else {}
            run = run_policy(days, _maker(name, numbers), **changes)
            score = float(run.metrics[OBJECTIVE].mean())
            first = score if number == 0 else first
            if score < best:
                best, found["numbers"][name] = score, numbers
        scores[name] = round(best, 4)
        print(f"| {name} | {first:.2f} | {best:.2f} | {json.dumps(found['numbers'][name])} |", flush=True)
        about = {"objective": OBJECTIVE, "days": arguments.days, "trials": arguments.trials, "seed": arguments.seed}
        found = {"tuned": about, "validation": scores, "numbers": found["numbers"]}
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
