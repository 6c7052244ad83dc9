"""Policies, training, evaluation and the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psgym.agents.shipped import load_policy, shipped_about

__all__ = ["load_policy", "shipped_about"]


def __getattr__(name: str) -> Any:
    """Load the shipped policies when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from psgym.agents import shipped

    return getattr(shipped, name)
