"""Masked PPO in one file, in the manner of CleanRL, on the native vector environment.

python examples/cleanrl_ppo.py --total-timesteps 200000
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical

import psgym

assert psgym.__version__  # importing psgym registers its environments


@dataclass
class Args:
    """Settings of the training."""

    env_id: str = "psgym/Allocation-v0"
    """Id of the environment."""
    seed: int = 0
    """Seed of weights, episodes and exploration."""
    total_timesteps: int = 200_000
    """Decisions over all copies."""
    num_envs: int = 64
    """Copies of the environment."""
    num_steps: int = 64
    """Decisions of each copy between two updates."""
    num_minibatches: int = 4
    """Parts of a batch."""
    update_epochs: int = 4
    """Passes over a batch."""
    learning_rate: float = 5e-4
    """Step size of Adam."""
    gamma: float = 0.98
    """Discount of a slot; decisions within a slot are not discounted, so that wasting them does not pay."""
    gae_lambda: float = 0.95
    """Lambda of the advantage estimate."""
    clip_coef: float = 0.2
    """Clipping of the probability ratio."""
    ent_coef: float = 0.003
    """Weight of the entropy."""


class Agent(nn.Module):
    """Actor and critic."""

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(observations, 128), nn.Tanh(), nn.Linear(128, 1))
        self.actor = nn.Sequential(nn.Linear(observations, 128), nn.Tanh(), nn.Linear(128, actions))
        with torch.no_grad():
            self.actor[-1].weight *= 0.01
            self.actor[-1].bias[0] += 3.0  # action 0, COMMIT: begin with few decisions a slot

    def distribution(self, observation: torch.Tensor, mask: torch.Tensor) -> Categorical:
        """Probabilities of the legal actions."""
        return Categorical(logits=self.actor(observation).masked_fill(~mask, -1e9))


def main(args: Args) -> list[float]:
    """Trains; returns the mean reward of a slot in each update."""
    torch.manual_seed(args.seed)
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    observations = int(np.prod(envs.single_observation_space.shape))
    actions = int(envs.single_action_space.n)
    agent = Agent(observations, actions)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)

    shape = (args.num_steps, args.num_envs)
    obs, masks = torch.zeros(*shape, observations), torch.zeros(*shape, actions, dtype=torch.bool)
    acts, logprobs = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
    rewards, dones, values, discounts = (torch.zeros(shape) for _ in range(4))

    first, infos = envs.reset(seed=args.seed)
    next_obs, next_mask = torch.as_tensor(first), torch.as_tensor(infos["action_mask"])
    history = []
    for update in range(max(1, args.total_timesteps // (args.num_steps * args.num_envs))):
        slots = 0
        for step in range(args.num_steps):
            obs[step], masks[step] = next_obs, next_mask
            with torch.no_grad():
                distribution = agent.distribution(next_obs, next_mask)
                acts[step] = distribution.sample()
                logprobs[step] = distribution.log_prob(acts[step])
                values[step] = agent.critic(next_obs).flatten()
            seen, reward, terminated, truncated, infos = envs.step(acts[step].numpy())
            last = infos.get("final_info", infos)
            rewards[step] = torch.as_tensor(reward)
            dones[step] = torch.as_tensor(terminated | truncated, dtype=torch.float32)
            passed = torch.as_tensor(last["slots_elapsed"] > 0)
            discounts[step] = torch.where(passed, args.gamma, 1.0)
            slots += int(passed.sum())
            if truncated.any():  # an episode that was cut off goes on in the critic's estimate
                with torch.no_grad():
                    rest = agent.critic(torch.as_tensor(infos["final_obs"])).flatten()
                rewards[step] += discounts[step] * rest * torch.as_tensor(truncated)
            next_obs, next_mask = torch.as_tensor(seen), torch.as_tensor(infos["action_mask"])

        with torch.no_grad():
            advantages, following = torch.zeros(shape), torch.zeros(args.num_envs)
            next_value = agent.critic(next_obs).flatten()
            for step in reversed(range(args.num_steps)):
                alive = 1.0 - dones[step]
                delta = rewards[step] + discounts[step] * alive * next_value - values[step]
                following = delta + discounts[step] * args.gae_lambda * alive * following
                advantages[step], next_value = following, values[step]
            returns = advantages + values

        batch = [part.flatten(0, 1) for part in (obs, masks, acts, logprobs, advantages, returns)]
        for _ in range(args.update_epochs):
            for rows in torch.randperm(len(batch[0])).chunk(args.num_minibatches):
                b_obs, b_mask, b_act, b_logprob, b_advantage, b_return = (part[rows] for part in batch)
                distribution = agent.distribution(b_obs, b_mask)
                ratio = (distribution.log_prob(b_act) - b_logprob).exp()
                advantage = (b_advantage - b_advantage.mean()) / (b_advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
                value_loss = 0.5 * (agent.critic(b_obs).flatten() - b_return).pow(2).mean()
                loss = policy_loss + 0.5 * value_loss - args.ent_coef * distribution.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        history.append(float(rewards.sum()) / max(1, slots))
        print(f"update {update}: {slots} slots, mean reward of a slot {history[-1]:.4f}")
    envs.close()
    return history


if __name__ == "__main__":
    main(tyro.cli(Args))
