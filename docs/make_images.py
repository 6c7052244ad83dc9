"""Draws the pictures of the documentation: ``python docs/make_images.py``."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
from matplotlib.image import imsave

import psgym
from psgym.agents.policies import make_policy

FOLDER = Path(__file__).parent / "images"
assert psgym.__version__


def draw_day(view_id: str, preset: str, policy_name: str, slot: int, name: str, seed: int = 0) -> None:
    """Lets a heuristic run a day up to a slot, and draws the cluster with the plan of that slot laid."""
    env = gym.make(view_id, preset=preset, render_mode="rgb_array")
    policy = make_policy(policy_name, env, view_id)
    observation, _ = env.reset(seed=seed)
    passed = 0
    while True:
        action, _ = policy.predict(observation)
        if passed == slot and action == 0:
            break
        observation, _, _, _, info = env.step(int(action))
        passed += info["slots_elapsed"]
    imsave(FOLDER / name, env.render())


if __name__ == "__main__":
    draw_day("psgym/Cluster-v0", "small", "forecast+hot-cold+srpt-optimus", 100, "cluster.png", seed=1)
    draw_day("psgym/Replicas-v0", "storage", "hot-cold", 400, "replicas.png")
