"""Trains an algorithm of Stable-Baselines3 on a batch of clusters, and lets it live through a day.

python examples/sb3_training.py --algo maskable-ppo --steps 200000

``ClusterVecEnv`` steps all clusters in one call of a compiled kernel; ``benchmarks/sb3_vec_env.py`` measures how much
faster that is than a ``DummyVecEnv`` of single environments, which works as well.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import tyro
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO

from psgym.agents.sb3 import ClusterVecEnv

# An episode has many decisions, and wasting them would pay if each were discounted: gamma is 1.
ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ppo": (PPO, {"n_steps": 128, "batch_size": 512, "gamma": 1.0, "ent_coef": 0.003}),
    "maskable-ppo": (MaskablePPO, {"n_steps": 128, "batch_size": 512, "gamma": 1.0, "ent_coef": 0.003}),
    "dqn": (DQN, {"learning_starts": 1000, "buffer_size": 50_000, "gamma": 1.0}),
}


def main(
    algo: Literal["ppo", "maskable-ppo", "dqn"] = "maskable-ppo",
    env_id: str = "psgym/Allocation-v0",
    steps: int = 200_000,
    num_envs: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """Trains for ``steps`` decisions, then evaluates one day; returns the day's metrics."""
    envs = ClusterVecEnv(num_envs, env_id)
    algorithm, arguments = ALGORITHMS[algo]
    if algo != "dqn":
        arguments = {**arguments, "n_steps": min(arguments["n_steps"], max(2, steps // num_envs))}
    model = algorithm("MlpPolicy", envs, seed=seed, device="cpu", **arguments)
    model.learn(steps)

    env = gym.make(env_id)
    observation, info = env.reset(seed=seed)
    over = False
    while not over:
        masks = {"action_masks": info["action_mask"]} if algo == "maskable-ppo" else {}
        action, _ = model.predict(observation, deterministic=True, **masks)
        observation, _, terminated, truncated, info = env.step(int(action))
        over = terminated or truncated
    metrics = {name: info[name] for name in ("jobs_finished", "mean_completion_seconds", "total_cost", "refusals")}
    print(algo, metrics)
    return metrics


if __name__ == "__main__":
    tyro.cli(main)
