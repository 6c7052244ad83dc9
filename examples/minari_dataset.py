"""Records days of a heuristic as a Minari dataset, for offline reinforcement learning and imitation.

python examples/minari_dataset.py --policy srpt-optimus --days 10

Minari's own ``DataCollector`` works too, but needs JAX (``pip install "minari[create]"``); here the episodes are kept
in its buffers by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium as gym
import tyro

from psgym.agents.policies import make_policy


def main(
    env_id: str = "psgym/Allocation-v0",
    policy: str = "srpt-optimus",
    days: int = 10,
    folder: Path = Path("runs/minari"),
) -> str:
    """Records the days; returns the name under which Minari finds them in the folder."""
    os.environ["MINARI_DATASETS_PATH"] = str(folder)  # Minari's default is in the home folder
    import minari
    from minari.data_collector import EpisodeBuffer

    env = gym.make(env_id)
    rule = make_policy(policy, env, env_id)
    episodes = []
    for seed in range(days):
        observation, _ = env.reset(seed=seed)
        episode = EpisodeBuffer(id=seed, seed=seed, observations=[observation], actions=[])
        over = False
        while not over:
            action, _ = rule.predict(observation)
            observation, reward, terminated, truncated, _ = env.step(int(action))
            episode.observations.append(observation)
            episode.actions.append(int(action))
            episode.rewards.append(reward)
            episode.terminations.append(terminated)
            episode.truncations.append(truncated)
            over = terminated or truncated
        episodes.append(episode)
    name = f"{env_id.lower().removesuffix('-v0')}/{policy}-v0"
    dataset = minari.create_dataset_from_buffers(
        name,
        episodes,
        env=env,
        eval_env=env,
        algorithm_name=policy,
        author="psgym",
        author_email="none",
        code_permalink="examples/minari_dataset.py",
        description=f"{days} days of {env_id} under {policy}, seeds 0 to {days - 1}",
    )
    env.close()
    print(f"{name}: {dataset.total_episodes} episodes, {dataset.total_steps} decisions in {folder}")
    return name


if __name__ == "__main__":
    tyro.cli(main)
