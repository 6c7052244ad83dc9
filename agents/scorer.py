"""A learned policy of ten to nineteen weights: a score of one part's decisions, beside rules for what else is decided.

It reads the public record that the rules read, like them is indifferent to the order and the number of jobs, datasets
and servers, and fits clusters of every size. `psgym.agents.scores` says what can be learned for which part, and
`psgym.agents.search` learns the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.files import write_atomically
from psgym.agents.policies import PolicyError, part_names
from psgym.agents.policy import Actions, BoundPolicy
from psgym.agents.scores import score_of

READ = {
    "allocation": ("initial",),
    "capacity": ("reactive_headroom", "forecast_quantile"),
    "replicas": ("placement", "hot_threshold", "cold_ratio", "rule_heat"),
}
"""Fields of the configuration that say how a part is decided, and nothing else where the agent decides that part."""
KIND = "psgym-scorer"
"""Marks a file as one of a scorer."""


@dataclass(frozen=True)
class Scorer:
    """What was learned, and what it takes to decide by it."""

    env: str
    """Id of the environment."""
    weights: Mapping[str, float]
    """One for each name that the score of the id has."""
    beside: str = ""
    """Rules of the other parts, joined by ``+``, such as ``forecast+hot-cold``."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that it needs, of `needed_fields`."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """On what, and how long."""

    def __post_init__(self) -> None:
        names = score_of(self.env).weights
        if set(self.weights) != set(names):
            raise ValueError(f"weights must be {', '.join(names)}, not {', '.join(self.weights)}")
        for name, value in self.weights.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                raise ValueError(f"weights: {name} must be a finite number, not {value!r}")
        rule_codes(self.env, self.beside)
        needed = needed_fields(self.env)
        if foreign := sorted(set(self.changes) - set(needed)):
            raise ValueError(f"changes: {foreign[0]} is no field that a scorer needs: {', '.join(needed)}")

    @property
    def array(self) -> NDArray[np.float64]:
        """The weights in the order that the kernels take them."""
        return np.array([self.weights[name] for name in score_of(self.env).weights])


def needed_fields(view_id: str) -> tuple[str, ...]:
    """Return the fields of the configuration that a scorer may bring along: how plans start, and what its rules read.

    Any other would have it compared on another cluster than everyone else.
    """
    parts = part_names(view_id)
    return tuple(name for part, names in READ.items() if part in parts for name in names)


def rule_codes(view_id: str, beside: str) -> tuple[int, int]:
    """Return the codes of the rules for capacity and replicas; 0 for a part that the agent does not decide.

    Raises:
        PolicyError: If `beside` does not name the rules of the parts that the score does not decide.
    """
    parts = dict(part_names(view_id))
    parts.pop(score_of(view_id).part)
    rules = beside.split("+") if beside else []
    if len(rules) != len(parts) or any(rule not in names for rule, names in zip(rules, parts.values(), strict=True)):
        shape = "+".join(f"({'|'.join(names)})" for names in parts.values()) or "nothing"
        raise PolicyError(f"the rules beside a scorer for {view_id} must be {shape}, not {beside!r}")
    codes = {part: names[rule] for rule, (part, names) in zip(rules, parts.items(), strict=True)}
    return codes.get("capacity", 0), codes.get("replicas", 0)


class ScorerPolicy(BoundPolicy):
    """Decides by a scorer's weights, after the rules beside them."""

    def __init__(self, env: Any, scorer: Scorer) -> None:
        """Binds a scorer to an environment."""
        super().__init__(env)
        codes = rule_codes(scorer.env, scorer.beside)
        self._policy = score_of(scorer.env).bind(env, scorer.array, codes)

    def decide(self, actions: Actions) -> None:
        """Asks the rules beside, and when they are content the score."""
        self._policy.decide(actions)


def read_scorer(path: Path) -> Scorer:
    """Read a scorer.

    Raises:
        PolicyError: If the file is none.
        OSError: If it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("kind", None) != KIND:
            raise PolicyError(f"{path}: not a file of a scorer: its kind is not {KIND!r}")
        return Scorer(**found)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise PolicyError(f"{path}: not a file of a scorer: {error}") from None
    except ValueError as error:
        raise PolicyError(f"{path}: {error}") from None


def is_scorer(path: Path) -> bool:
    """Whether a JSON file holds a scorer, as far as its mark tells."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def write_scorer(path: Path, scorer: Scorer) -> None:
    """Write a scorer, at once or not at all."""
    text = json.dumps({"kind": KIND, **asdict(scorer)}, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
