"""psgym: Gymnasium environments of a distributed machine-learning cluster."""

from typing import Any

from psgym.envs.registration import register

__version__ = "0.1.0"

register()


def __getattr__(name: str) -> Any:
    """Load ``load_policy``, which few need, when it is asked for."""
    if name != "load_policy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from psgym.agents.shipped import load_policy

    return load_policy
