"""Three agents share a cluster: one powers nodes, one copies data, one gives tasks to jobs.

python examples/pettingzoo_agents.py
"""

from __future__ import annotations

import tyro

from psgym.envs.pettingzoo import parallel_env


def main(seed: int = 0) -> float:
    """Lets three random agents live through a day; returns the reward that they share."""
    env = parallel_env()
    observations, _ = env.reset(seed=seed)
    for number, agent in enumerate(env.agents):
        env.action_space(agent).seed(seed + number)
    total = 0.0
    while env.agents:
        actions = {agent: env.action_space(agent).sample(observations[agent]["action_mask"]) for agent in env.agents}
        observations, rewards, _, _, _ = env.step(actions)
        total += next(iter(rewards.values()))
    env.close()
    print(f"shared return {total:.2f}")
    return total


if __name__ == "__main__":
    tyro.cli(main)
