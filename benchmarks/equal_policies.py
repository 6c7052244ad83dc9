"""How often a comparison names a winner where there is none: one policy's days against others of its own.

Each comparison draws 2 n of the policy's days, lays n of them against the other n as if they were two policies on the
same days, and asks for a winner as a comparison does. 5 % of them may name one.
"""

from __future__ import annotations

import argparse

import numpy as np

from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import make_policy
from psgym.agents.statistics import paired_difference, winner
from psgym.envs.views import VIEWS


def false_winners(values: np.ndarray, days: int, comparisons: int, seed: int) -> float:
    """Return the share of comparisons of a policy with itself that name a winner."""
    generator = np.random.default_rng(seed)
    found = 0
    for comparison in range(comparisons):
        chosen = generator.choice(len(values), size=2 * days, replace=False)
        first, second = values[chosen[:days]], values[chosen[days:]]
        difference = paired_difference(first, second, np.arange(days), seed=comparison, resamples=2000)
        found += winner("first", "second", difference).winner is not None
    return found / comparisons


def main() -> None:
    """Print the share for several numbers of days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="psgym/Allocation-v0")
    parser.add_argument("--preset", default="contended")
    parser.add_argument("--policy", default="srpt-optimus")
    parser.add_argument("--pool", type=int, default=600, help="days of the policy to draw from")
    parser.add_argument("--comparisons", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    days = make_days(arguments.env, "validation", arguments.seed, arguments.pool, arguments.preset)
    run = run_policy(days, lambda env: make_policy(arguments.policy, env, arguments.env))
    values = run.metrics[VIEWS[arguments.env].primary]
    for count in (10, 30, 100):
        share = false_winners(values, count, arguments.comparisons, arguments.seed)
        print(f"{count:4d} days: {100 * share:.1f} % of {arguments.comparisons} comparisons name a winner")


if __name__ == "__main__":
    main()
