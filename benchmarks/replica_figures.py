"""The figures of ``docs/replicas.md``: the ladder, hysteresis, full disks, and placements, on paired test days.

``python benchmarks/replica_figures.py [SECTION ...]`` with the sections ``ladder``, ``hysteresis``, ``disks`` and
``placement`` (all, if none is named). Every policy lives through the same days; ratios are of means over them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from psgym.agents.evaluation import Days, PolicyMaker, Run, make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.replica_policies import KINDS, LADDER, ThresholdPolicy, tuned_numbers
from psgym.agents.statistics import paired_difference
from psgym.envs.cluster.rules.replicas import Thresholds

ENV = "psgym/Replicas-v0"
SHOWN: dict[str, tuple[str, float, str]] = {
    "stall %": ("stall_share", 100.0, ".2f"),
    "p99 s": ("read_latency_p99_seconds", 1.0, ".2f"),
    "hot traffic %": ("hot_traffic_share", 100.0, ".1f"),
    "max/mean": ("load_max_over_mean", 1.0, ".2f"),
    "moved TB": ("bytes_moved", 1e-12, ".1f"),
    "adds": ("copies_added", 1.0, ",.0f"),
    "drops": ("copies_dropped", 1.0, ",.0f"),
    "flaps": ("flaps", 1.0, ",.0f"),
    "storage": ("storage_factor", 1.0, ".2f"),
    "unavailable %": ("unavailable_share", 100.0, ".2f"),
    "cost": ("total_cost", 1.0, ".1f"),
}
"""Metric, scale and format of every column."""
MARKS = {"oracle": "an oracle", "bound": "a bound"}
"""What the table calls a rung that is no policy."""


def show(runs: Mapping[str, Run], reference: str) -> None:
    """Prints a Markdown table of means, with the paired difference in stall to one of the policies."""
    print("| policy | " + " | ".join(SHOWN) + f" | stall % less {reference}'s |")
    print("|---" * (len(SHOWN) + 2) + "|")
    for name, run in runs.items():
        cells = [f"{run.metrics[metric].mean() * scale:{form}}" for metric, scale, form in SHOWN.values()]
        change = ""
        if name != reference:
            stall, base = run.metrics["stall_share"], runs[reference].metrics["stall_share"]
            found = paired_difference(100 * stall, 100 * base, np.arange(len(stall)))
            change = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        label = f"{name} ({MARKS[KINDS[name]]})" if name in KINDS else name
        print(f"| {label} | " + " | ".join(cells) + f" | {change} |")
    print(flush=True)


def ratio(above: Run, below: Run, metric: str) -> float:
    """Mean of a metric over that of another run."""
    return float(above.metrics[metric].mean() / below.metrics[metric].mean())


def play(days: Days, names: Iterable[str], seed: int = 0) -> dict[str, Run]:
    """Runs policies by their names."""
    return {name: run_policy(days, _named(name, seed)) for name in names}


def _named(name: str, seed: int) -> PolicyMaker:
    return lambda env: make_policy(name, env, ENV, seed)


def _thresholds(rule: Thresholds, placement: int = 0) -> PolicyMaker:
    return lambda env: ThresholdPolicy(env.simulation, rule, placement)


def ladder(days: Days, names: Iterable[str], model: Path | None = None) -> None:
    """Every rung, and how much of the way from hysteresis to the oracle the best honest one goes."""
    runs = play(days, names)
    if model is not None:
        from psgym.agents.learned import learned_candidate

        candidate, _ = learned_candidate(model, ENV)
        runs[candidate.name] = run_policy(days, candidate.make, **candidate.changes)
    show(runs, "hot-cold" if "hot-cold" in runs else next(iter(runs)))
    if not {"hot-cold", "oracle"} <= set(runs):
        return
    stalls = {name: float(run.metrics["stall_share"].mean()) for name, run in runs.items() if name not in KINDS}
    best = min(stalls, key=lambda name: stalls[name])
    oracle = float(runs["oracle"].metrics["stall_share"].mean())
    closed = (stalls["hot-cold"] - stalls[best]) / (stalls["hot-cold"] - oracle)
    print(f"The best policy that is no oracle, {best}, closes {closed:.0%} of the gap in stall to the oracle.\n")


def hysteresis(days: Days) -> None:
    """Two thresholds against one, both tuned."""
    runs = play(days, ("one-threshold", "hot-cold"))
    show(runs, "one-threshold")
    two, one = runs["hot-cold"], runs["one-threshold"]
    print(
        f"Hysteresis over one threshold: stall {ratio(two, one, 'stall_share'):.2f}, "
        f"bytes moved {ratio(two, one, 'bytes_moved'):.2f}, flaps {ratio(two, one, 'flaps'):.3f}.\n"
    )


def disks(days: Days) -> None:
    """Disks that hold 3.02 times the data, which three copies fill: with and without dropping cold copies."""
    full = dataclasses.replace(days, config=dataclasses.replace(days.config, capacity_ratio=3.02))
    rule = Thresholds(**tuned_numbers()["hot-cold"])
    runs = {
        "never drop": run_policy(full, _thresholds(rule._replace(eta=0.0))),
        "drop cold": run_policy(full, _thresholds(rule)),
    }
    show(runs, "never drop")
    drop, never = runs["drop cold"], runs["never drop"]
    print(
        f"Dropping cold copies over never dropping: stall {ratio(drop, never, 'stall_share'):.2f}, "
        f"storage {ratio(drop, never, 'storage_factor'):.2f}.\n"
    )


def placement(days: Days) -> None:
    """Hysteresis with each way to choose the server of a copy."""
    rule = Thresholds(**tuned_numbers()["hot-cold"])
    names = ("least-loaded", "weighted", "power of two", "random", "most free")
    runs = {name: run_policy(days, _thresholds(rule, code)) for code, name in enumerate(names)}
    show(runs, "least-loaded")


SECTIONS: dict[str, Any] = {"ladder": ladder, "hysteresis": hysteresis, "disks": disks, "placement": placement}


def main() -> None:
    """Prints the sections that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default all)")
    parser.add_argument("--days", type=int, default=30, help="paired test days (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the days (default 0)")
    parser.add_argument("--accesses", help="CSV file of accesses that drives the popularity")
    parser.add_argument("--accesses-column", help="column of the objects in it")
    parser.add_argument("--policies", default=",".join(("no-op", "random", *LADDER[1:])), help="rungs to show")
    parser.add_argument("--model", type=Path, help="trained model that joins the ladder")
    arguments = parser.parse_args()
    log = {"accesses": arguments.accesses, "accesses_column": arguments.accesses_column}
    days = make_days(ENV, "test", arguments.seed, arguments.days, **log)
    if days.accesses is not None:
        from psgym.envs.accesses import LoggedPopularity

        distinct = LoggedPopularity(days.accesses, "test").distinct_days(days.config)
        print(f"{days.accesses.source}: {len(days.accesses):,} accesses, {distinct} distinct test days\n")
    for name in arguments.sections or SECTIONS:
        print(f"## {name}, {arguments.days} test days\n", flush=True)
        SECTIONS[name](days, *([arguments.policies.split(","), arguments.model] if name == "ladder" else []))


if __name__ == "__main__":
    main()
