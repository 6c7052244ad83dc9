"""Policies that come with the package: one network for each id, as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psgym.agents.networks.layout import layout_of
from psgym.agents.networks.player import NetworkPolicy
from psgym.agents.networks.weights import About, WeightsError, load_network, read_weights
from psgym.agents.policies import PolicyError, part_names
from psgym.agents.policy import simulation_of
from psgym.envs.settings import make_config
from psgym.envs.views import VIEWS

WEIGHTS = Path(__file__).parent / "weights"


def shipped_path(view_id: str) -> Path:
    """Return where an id's weights lie.

    Raises:
        PolicyError: If the id is unknown, or none is shipped for it.
    """
    part_names(view_id)
    path = WEIGHTS / f"{view_id.split('/')[1]}.npz"
    if not path.exists():
        shipped = ", ".join(one for one in VIEWS if (WEIGHTS / f"{one.split('/')[1]}.npz").exists())
        raise PolicyError(f"no policy is shipped for {view_id}; there is one for {shipped or 'no id'}")
    return path


def shipped_about(view_id: str) -> About:
    """Return how an id's shipped policy was trained, and what it needs of a configuration.

    Raises:
        PolicyError: If none is shipped for the id.
    """
    return read_weights(shipped_path(view_id))[0]


def load_policy(view_id: str, env: Any = None, preset: str | None = None) -> NetworkPolicy:
    """Load the policy that is shipped for an id, for a cluster of any size.

    The policy was trained on plans that start as its description says: make the environment with
    ``**psgym.agents.shipped_about(view_id).changes``.

    Args:
        view_id: Id of the environment.
        env: An environment of psgym whose masks the policy reads; without one, give ``action_masks`` to `predict`.
        preset: Where there is no `env`: the configuration that the policy will decide in.

    Returns:
        A policy with the ``predict`` of Stable-Baselines3.

    Raises:
        PolicyError: If none is shipped for the id.
        WeightsError: If the environment's observations or decisions are not those that it was trained with.
    """
    path = shipped_path(view_id)
    simulation = None if env is None else simulation_of(env)
    config = simulation.config if simulation else make_config(VIEWS[view_id].preset, preset, None, {})
    layout = layout_of(config, view_id)
    if simulation and simulation.actions != layout.actions:
        raise WeightsError(f"{path}: decides for {view_id}, but the environment is another: {env!r}")
    network, _ = load_network(path, layout)
    return NetworkPolicy(network, env)
