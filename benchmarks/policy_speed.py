"""What a decision of each policy costs on clusters of several sizes: ``python benchmarks/policy_speed.py [ID ...]``.

CPU time of ``predict`` on single environments, through thirty busy slots, and how many decisions a slot takes; the
step that follows is outside the clock. Policies that plan by simulating are left out: a slot takes them seconds.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import gymnasium as gym
from speed import table

from psgym.agents.policies import LOOK_AHEADS, SIMPLE, make_policy, policy_kind, policy_names
from psgym.envs.views import ALLOCATION, CAPACITY, REPLICAS

SIZES = {ALLOCATION.id: ("small", "dl2", "large"), CAPACITY.id: ("small", "large"), REPLICAS.id: ("storage", "large")}
"""Presets on which the policies of an id are measured."""
FIRST, LAST = 10, 40
"""Slots between which the clock runs."""


def measure(env: Any, name: str, view_id: str) -> tuple[float, float]:
    """Return the mean CPU time of a decision (s), and the decisions of a slot."""
    policy = make_policy(name, env, view_id)
    observation, info = env.reset(seed=0)
    slot, decisions, spent = 0, 0, 0.0
    while slot < LAST:
        start = time.process_time()
        action, _ = policy.predict(observation)
        if slot >= FIRST:
            spent += time.process_time() - start
            decisions += 1
        observation, _, terminated, truncated, info = env.step(int(action))
        slot += info["slots_elapsed"]
        if terminated or truncated:
            raise RuntimeError(f"{view_id} ended in slot {slot}, before {LAST}")
    return spent / decisions, decisions / (LAST - FIRST)


def names_of(view_id: str) -> list[str]:
    """Return the policies of an id that decide from what they see."""
    left_out = {*SIMPLE, *LOOK_AHEADS}
    return [name for name in policy_names(view_id) if name not in left_out and policy_kind(name, view_id) != "bound"]


def main() -> None:
    """Print a table for each id that the command line names, all if none."""
    ids = sys.argv[1:] or list(SIZES)
    for view_id in ids:
        if view_id not in SIZES:
            sys.exit(f"no table for {view_id!r}; there are {', '.join(SIZES)}")
    for view_id in ids:
        rows: dict[str, list[str]] = {name: [] for name in names_of(view_id)}
        for preset in SIZES[view_id]:
            env = gym.make(view_id, preset=preset)
            for name, cells in rows.items():
                cost, decisions = measure(env, name, view_id)
                cells.append(f"{1e6 * cost:.1f} x {decisions:.0f}")
        print(f"{view_id}, us a decision x decisions a slot\n")
        table(("policy", *(f"`{preset}`" for preset in SIZES[view_id])), ([name, *row] for name, row in rows.items()))


if __name__ == "__main__":
    main()
