"""Gymnasium's own wrappers around a cluster: a video of an episode, its statistics, and a flattened structured view.

python examples/wrappers.py --policy static+hot-cold+srpt-optimus
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, RecordVideo

from psgym.agents.policies import make_policy


class FramePerSlot(gym.Wrapper[Any, Any, Any, Any]):
    """Lives through whole slots, so that a video shows one frame for each of them instead of one for each decision.

    The action is passed on; the decisions after it, up to and including the commit, are a policy's.
    """

    def __init__(self, env: gym.Env[Any, Any], policy: Any) -> None:
        """Keeps the policy that ends the slots."""
        super().__init__(env)
        self._policy = policy

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Carries out decisions until a slot has passed."""
        outcome = self.env.step(action)
        while not outcome[4]["slots_elapsed"]:
            outcome = self.env.step(int(self._policy.predict(outcome[0])[0]))
        return outcome


def main(
    env_id: str = "psgym/Cluster-v0",
    policy: str = "static+hot-cold+srpt-optimus",
    seed: int = 0,
    frames: int = 0,
    folder: Path = Path("runs/video"),
) -> dict[str, Any]:
    """Records a day, or so many frames of it; returns the statistics of the episode."""
    cluster = gym.make(env_id, observation="structured", render_mode="rgb_array")
    rule = make_policy(policy, cluster, env_id)
    env: gym.Env[Any, Any] = FramePerSlot(cluster, rule)
    env = RecordVideo(env, str(folder), name_prefix=policy, video_length=frames, fps=10)
    env = FlattenObservation(env)  # the groups of the structured view, joined in the order of their names
    env = RecordEpisodeStatistics(env)
    observation, _ = env.reset(seed=seed)
    assert env.observation_space.contains(observation)
    over = False
    while not over:
        action, _ = rule.predict(observation)
        observation, _, terminated, truncated, info = env.step(int(action))
        over = terminated or truncated
    env.close()
    print(f"return {info['episode']['r']:.2f} in {info['episode']['l']} slots; video in {folder}")
    return info["episode"]


if __name__ == "__main__":
    tyro.cli(main)
