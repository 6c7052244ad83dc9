"""How much any choice of capacity could be worth: for each day the best of many rules, chosen when the day is over.

    python benchmarks/capacity_bound.py

`psgym/Capacity-v0` on its preset, total cost, validation days. The rules are all of `psgym.agents`, with many settings
each; an oracle that knew which of them suits a day would do as well as the best of that day, and nothing else could do
so without luck. How much of that is luck is shown by as many settings of the best rule that are as good as one: what
they gain by the same choice, no policy can learn. The result is kept in ``benchmarks/results/capacity_bound.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.evaluation import Days, make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.statistics import paired_difference

VIEW = "psgym/Capacity-v0"
RESULT = Path(__file__).parent / "results" / "capacity_bound.json"
RULES: list[tuple[str, dict[str, Any]]] = [
    ("static", {}),
    *(("reactive", {"reactive_headroom": headroom}) for headroom in (1.25, 1.75, 2.5, 3.0, 4.0, 6.0, 8.0)),
    *(("forecast", {"forecast_quantile": quantile}) for quantile in (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)),
]
ALIKE: list[tuple[str, dict[str, Any]]] = [
    ("forecast", {"forecast_quantile": round(0.47 + 0.005 * number, 3)}) for number in range(len(RULES))
]


def costs(days: Days, rules: list[tuple[str, dict[str, Any]]]) -> NDArray[np.float64]:
    """Total cost of each rule on each day, shape ``(rules, days)``."""
    return np.array(
        [
            run_policy(days, lambda env, name=name: make_policy(name, env, VIEW), **changes).metrics["total_cost"]
            for name, changes in rules
        ]
    )


def hindsight(found: NDArray[np.float64], base: NDArray[np.float64]) -> list[float]:
    """Cost of the best of each day less that of a rule, in percent of it, with its 95 % interval over days."""
    difference = paired_difference(found.min(axis=0), base, np.arange(len(base)))
    return [100.0 * value / float(base.mean()) for value in (difference.mean, difference.low, difference.high)]


def main() -> None:
    """Run all rules, and print what the choices gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=100, help="validation days (default 100)")
    parser.add_argument("--seed", type=int, default=2, help="seed of the days (default 2)")
    arguments = parser.parse_args()
    days = make_days(VIEW, "validation", arguments.seed, arguments.days)
    every, alike = costs(days, RULES), costs(days, ALIKE)
    best = int(every.mean(axis=1).argmin())
    result = {
        "days": arguments.days,
        "seed": arguments.seed,
        "rules": [
            [name, changes, round(float(row.mean()), 2)] for (name, changes), row in zip(RULES, every, strict=True)
        ],
        "alike": [round(float(row.mean()), 2) for row in alike],
        "best": best,
        "best_of_rules_percent": hindsight(every, every[best]),
        "best_of_alike_percent": hindsight(alike, alike.mean(axis=0)),
        "spread_of_alike_percent": 100.0 * float((alike.std(axis=0, ddof=1) / alike.mean(axis=0)).mean()),
    }
    RESULT.write_text(json.dumps(result) + "\n", encoding="utf-8")
    for name, changes, cost in result["rules"]:
        print(f"{name} {changes}: {cost}")
    for name in ("best_of_rules_percent", "best_of_alike_percent"):
        mean, low, high = result[name]
        print(f"{name}: {mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    print(f"one setting varies on a day by {result['spread_of_alike_percent']:.2f} % (standard deviation)")


if __name__ == "__main__":
    main()
