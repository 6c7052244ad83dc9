"""Policies that come with the package, for clusters of every size: scorers (JSON), and networks (plain arrays).

A scorer reads the record of the environment that it is bound to; a network needs an observation and a mask. Where both
are shipped for an id, the scorer is the better policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from psgym.agents.networks.layout import WeightsError, layout_of
from psgym.agents.policies import PolicyError, part_names
from psgym.agents.policy import simulation_of
from psgym.agents.scorer import Scorer, ScorerPolicy, read_scorer
from psgym.envs.settings import make_config
from psgym.envs.views import VIEWS

if TYPE_CHECKING:
    from psgym.agents.networks.player import NetworkPolicy
    from psgym.agents.networks.weights import About

WEIGHTS = Path(__file__).parent / "weights"


def shipped_scorer(view_id: str) -> Path | None:
    """Return where an id's scorer lies, or None if there is none.

    Raises:
        PolicyError: If the id is unknown.
    """
    part_names(view_id)
    path = WEIGHTS / f"{view_id.split('/')[1]}.json"
    return path if path.exists() else None


def shipped_network(view_id: str) -> Path:
    """Return where the weights of an id's network lie.

    Raises:
        PolicyError: If the id is unknown, or no network is shipped for it.
    """
    part_names(view_id)
    path = WEIGHTS / f"{view_id.split('/')[1]}.npz"
    if path.exists():
        return path
    if shipped_scorer(view_id):
        raise PolicyError(f"what is shipped for {view_id} reads the record of its environment: give `env`")
    ids = (one for one in VIEWS if any((WEIGHTS / f"{one.split('/')[1]}.{kind}").exists() for kind in ("json", "npz")))
    raise PolicyError(f"no policy is shipped for {view_id}; there is one for {', '.join(ids) or 'no id'}")


def shipped_about(view_id: str) -> About | Scorer:
    """Return how an id's shipped policy was trained, and what it needs of a configuration.

    Raises:
        PolicyError: If none is shipped for the id.
    """
    path = shipped_scorer(view_id)
    if path:
        return read_scorer(path)
    from psgym.agents.networks.weights import read_weights

    return read_weights(shipped_network(view_id))[0]


def load_policy(view_id: str, env: Any = None, preset: str | None = None) -> NetworkPolicy | ScorerPolicy:
    """Load the policy that is shipped for an id, for a cluster of any size.

    The policy was trained on plans that start as its description says: make the environment with
    ``**psgym.agents.shipped_about(view_id).changes``.

    Args:
        view_id: Id of the environment.
        env: The environment of psgym in which the policy decides. Without one, only a network can be loaded; give
            ``action_masks`` to its `predict`.
        preset: Where there is no `env`: the configuration that the policy will decide in.

    Returns:
        A policy with the ``predict`` of Stable-Baselines3.

    Raises:
        PolicyError: If none is shipped for the id, or it needs an `env`.
        WeightsError: If the environment's observations or decisions are not those that it was trained with.
    """
    scorer = shipped_scorer(view_id)
    path = scorer if scorer and env is not None else shipped_network(view_id)
    simulation = None if env is None else simulation_of(env)
    config = simulation.config if simulation else make_config(VIEWS[view_id].preset, preset, None, {})
    layout = layout_of(config, view_id)
    if simulation and simulation.actions != layout.actions:
        raise WeightsError(f"{path}: decides for {view_id}, but the environment is another: {env!r}")
    if path == scorer:
        return ScorerPolicy(env, read_scorer(path))
    from psgym.agents.networks.player import NetworkPolicy  # PyTorch; a scorer does without
    from psgym.agents.networks.weights import load_network

    network, _ = load_network(path, layout)
    return NetworkPolicy(network, env)
