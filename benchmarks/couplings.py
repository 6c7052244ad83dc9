"""Measures how much each coupling of the model matters: mean completion with it switched off, on the same days."""

from __future__ import annotations

import argparse

from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.statistics import paired_difference

ENV = "psgym/Allocation-v0"
COUPLINGS = (
    "colocation_cost",
    "spread_cost",
    "restart_cost",
    "hidden_coefficients",
    "node_failures",
    "storage_stalls",
    "server_failures",
    "noisy_speed",
)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=48, help="paired days (default 48)")
    parser.add_argument("--preset", default="contended", help="configuration (default contended)")
    parser.add_argument("--policy", default="srpt-optimus", help="allocation rule (default srpt-optimus)")
    arguments = parser.parse_args()
    days = make_days(ENV, "test", 0, arguments.days, preset=arguments.preset)
    metric = "mean_completion_seconds"
    base = run_policy(days, lambda env: make_policy(arguments.policy, env, ENV))
    reference = base.metrics[metric]
    print(f"All on: mean completion {reference.mean():,.0f} s over {arguments.days} days of {arguments.preset}.\n")
    print("| off | mean completion |\n|---|---|")
    for coupling in COUPLINGS:
        run = run_policy(days, lambda env: make_policy(arguments.policy, env, ENV), **{coupling: False})
        change = paired_difference(run.metrics[metric], reference, base.day)
        low, high = (100.0 * bound / reference.mean() for bound in (change.low, change.high))
        print(f"| `{coupling}` | {change.percent:+.1f} % [{low:+.1f}, {high:+.1f}] |")


if __name__ == "__main__":
    main()
