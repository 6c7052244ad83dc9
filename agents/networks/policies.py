"""The network over sets of rows as policy classes of Stable-Baselines3 and sb3-contrib."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sb3_contrib.common.maskable.distributions import MaskableCategoricalDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor

from psgym.agents.networks.entities import Critic, EntityNetwork, Observations
from psgym.agents.networks.layout import Layout


class _Entities(BasePolicy):
    """What both actor-critic policies share: the network and its critic in the place of extractor and layers."""

    layout: Layout
    width: int
    action_dist: Any

    def _build(self, lr_schedule: Schedule) -> None:
        """Make networks and optimiser; SB3 calls this at the end of its constructor."""
        self.network = EntityNetwork(self.layout, self.width)
        self.critic = Critic(self.network.pooled, self.width)
        rate = lr_schedule(1)
        self.optimizer = self.optimizer_class(self.parameters(), lr=rate, **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _see(self, observations: Observations) -> tuple[Any, Tensor]:
        """Return the distribution of actions and the values."""
        found = self.network.embed(observations)
        distribution = self.action_dist.proba_distribution(action_logits=self.network.heads(found))
        return distribution, self.critic(found["pooled"])

    def predict_values(self, obs: Observations) -> Tensor:
        """Return estimated returns."""
        return self.critic(self.network.embed(obs)["pooled"])

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "layout": self.layout, "width": self.width}


class MaskableEntityPolicy(_Entities, MaskableActorCriticPolicy):
    """For MaskablePPO."""

    action_dist: MaskableCategoricalDistribution

    def __init__(self, *arguments: Any, layout: Layout, width: int = 64, **more: Any) -> None:
        """Builds the policy for the environment that `layout` describes."""
        self.layout, self.width = layout, width
        super().__init__(*arguments, **more)

    def forward(
        self, obs: Observations, deterministic: bool = False, action_masks: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions, values and logarithms of probabilities."""
        distribution, values = self._see(obs)
        distribution.apply_masking(action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: Observations, actions: Tensor, action_masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values, logarithms of probabilities, and entropies."""
        distribution, values = self._see(obs)
        distribution.apply_masking(action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(
        self, obs: Observations, action_masks: NDArray[np.bool_] | None = None
    ) -> MaskableCategoricalDistribution:
        """Return the distribution of actions."""
        distribution = self.action_dist.proba_distribution(action_logits=self.network(obs))
        distribution.apply_masking(action_masks)
        return distribution


class EntityPolicy(_Entities, ActorCriticPolicy):
    """For PPO and A2C, which know no masks."""

    action_dist: CategoricalDistribution

    def __init__(self, *arguments: Any, layout: Layout, width: int = 64, **more: Any) -> None:
        """Builds the policy for the environment that `layout` describes."""
        self.layout, self.width = layout, width
        super().__init__(*arguments, **more)

    def forward(self, obs: Observations, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions, values and logarithms of probabilities."""
        distribution, values = self._see(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Observations, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values, logarithms of probabilities, and entropies."""
        distribution, values = self._see(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Observations) -> CategoricalDistribution:
        """Return the distribution of actions."""
        return self.action_dist.proba_distribution(action_logits=self.network(obs))


class _EntityQNetwork(QNetwork):
    """The network's logits are the values of actions."""

    def __init__(self, *arguments: Any, layout: Layout, width: int = 64, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.q_net = EntityNetwork(layout, width)  # type: ignore[assignment]

    def forward(self, obs: Observations) -> Tensor:
        return self.q_net(obs)


class EntityQPolicy(DQNPolicy):
    """For DQN."""

    def __init__(self, *arguments: Any, layout: Layout, width: int = 64, **more: Any) -> None:
        """Builds the policy for the environment that `layout` describes."""
        self.layout, self.width = layout, width
        super().__init__(*arguments, **more)

    def make_q_net(self) -> QNetwork:
        """Make a network of action values."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return _EntityQNetwork(**arguments, layout=self.layout, width=self.width).to(self.device)
