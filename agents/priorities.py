"""Sets of parameters of the priority rule: the sticky form of SRPT-Optimus, and those that tuning has found."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.files import write_atomically
from psgym.envs.cluster.config import INITIAL_PLANS, ClusterConfig
from psgym.envs.cluster.rules.priority import PARAMETERS, WEIGHTS
from psgym.envs.presets import PRESETS

SHIPPED = Path(__file__).parent / "configs" / "priority.json"
"""The sets that come with the package, one for each preset that was tuned on."""


@dataclass(frozen=True)
class PrioritySet:
    """Parameters of the priority rule."""

    parameters: Mapping[str, float]
    initial: str = "empty"
    """How plans started when they were tuned."""
    tuned: Mapping[str, Any] = field(default_factory=dict)
    """On what, and how long."""

    def __post_init__(self) -> None:
        if set(self.parameters) != set(PARAMETERS):
            raise ValueError(f"parameters must be {', '.join(PARAMETERS)}, not {', '.join(self.parameters)}")
        for name, value in self.parameters.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                raise ValueError(f"parameters: {name} must be a finite number, not {value!r}")
        if self.initial not in INITIAL_PLANS:
            raise ValueError(f"initial must be one of {', '.join(INITIAL_PLANS)}, not {self.initial!r}")

    @property
    def array(self) -> NDArray[np.float64]:
        """All weights in the order that the rule takes them; those that know where tasks will sit are zero."""
        return np.array([self.parameters.get(name, 0.0) for name in WEIGHTS])


STICKY = PrioritySet(dict(zip(PARAMETERS, (1.0, 0.0, -1.0, 0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0), strict=True)))
"""SRPT-Optimus that counts restarts, with half an e-fold in favour of what a job already has."""


@functools.cache
def shipped_sets() -> Mapping[str, PrioritySet]:
    """The sets that come with the package, by the preset that each was tuned on."""
    return read_priorities(SHIPPED)


def nearest_set(config: ClusterConfig) -> PrioritySet:
    """The shipped set for a cluster: of presets with a list of jobs if it has one, the one of the nearest load."""
    sets = shipped_sets()

    def distance(name: str) -> tuple[bool, float]:
        other = PRESETS[name]
        return (other.job_list > 0) != (config.job_list > 0), abs(other.load - config.load)

    return sets[min(sets, key=distance)]


def read_priorities(path: Path = SHIPPED) -> dict[str, PrioritySet]:
    """Read sets of parameters by the name of the preset that they were tuned on.

    Raises:
        ValueError: If the file is not JSON of that form.
        OSError: If it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: PrioritySet(**one) for name, one in found.items()}
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: not parameters of the priority rule: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_priorities(path: Path, sets: Mapping[str, PrioritySet]) -> None:
    """Write sets of parameters, at once or not at all."""
    text = json.dumps({name: asdict(one) for name, one in sets.items()}, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
