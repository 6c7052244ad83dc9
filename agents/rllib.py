"""The environments in RLlib's new API stack, with the action mask respected.

Needs ``pip install "psgym[ray]"``. Ray's worker processes do not see Gymnasium's registry, so the ids are registered
with Ray as well, and made in the worker from ``env_config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

from psgym.envs.views import VIEWS


class MaskedObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Observes ``{"observations": ..., "action_mask": ...}``, as RLlib's module that masks actions wants it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps an environment of psgym with a flat observation."""
        super().__init__(env)
        assert isinstance(env.action_space, spaces.Discrete)
        mask = spaces.Box(0.0, 1.0, (int(env.action_space.n),), np.float32)
        self.observation_space = spaces.Dict({"action_mask": mask, "observations": env.observation_space})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Carries out one decision."""
        observation, reward, terminated, truncated, info = self.env.step(int(action))
        return self._with_mask(observation, info), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        return {"action_mask": info["action_mask"].astype(np.float32), "observations": observation}


def make_env(view_id: str, arguments: Mapping[str, Any]) -> MaskedObservation:
    """Makes an environment in whichever process it is asked for."""
    return MaskedObservation(gym.make(f"psgym:{view_id}", **arguments))


def register() -> None:
    """Registers every id with Ray under its own name."""
    for view_id in VIEWS:
        register_env(view_id, lambda arguments, view_id=view_id: make_env(view_id, dict(arguments)))


def ppo_config(view_id: str, **arguments: Any) -> PPOConfig:
    """PPO of RLlib that takes legal actions alone, undiscounted over the day; change it as any ``PPOConfig``.

    Args:
        view_id: Id of the environment.
        arguments: As for ``gym.make`` of that id.
    """
    register()
    config: PPOConfig = (
        PPOConfig()
        .environment(view_id, env_config=arguments)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        .training(gamma=1.0, lr=5e-4, entropy_coeff=0.003)
    )
    return config
