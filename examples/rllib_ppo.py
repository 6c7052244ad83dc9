"""Trains PPO of Ray's RLlib on a cluster; the action mask is respected.

python examples/rllib_ppo.py --iterations 20 --env-runners 2
"""

from __future__ import annotations

from typing import Any

import ray
import tyro

from psgym.agents.rllib import ppo_config


def main(
    env_id: str = "psgym/Allocation-v0", iterations: int = 20, env_runners: int = 0, batch: int = 4000, seed: int = 0
) -> dict[str, Any]:
    """Trains for some iterations of ``batch`` decisions; returns what the last one reports of its episodes."""
    ray.init(include_dashboard=False, num_cpus=max(1, env_runners), log_to_driver=False)
    config = ppo_config(env_id).env_runners(num_env_runners=env_runners).debugging(seed=seed)
    config.training(train_batch_size_per_learner=batch, minibatch_size=min(256, batch), num_epochs=4)
    algorithm = config.build_algo()
    try:
        for iteration in range(iterations):
            found = algorithm.train()["env_runners"]
            steps = found["num_env_steps_sampled_lifetime"]
            print(f"iteration {iteration}: {steps:.0f} decisions, return {found.get('episode_return_mean')}")
    finally:
        algorithm.stop()
        ray.shutdown()
    return dict(found)


if __name__ == "__main__":
    tyro.cli(main)
