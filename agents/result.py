"""What a comparison found, as dataclasses and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from psgym.agents.files import write_atomically
from psgym.agents.statistics import Difference, Estimate, Verdict
from psgym.agents.timeline import Timeline

Kind = Literal["heuristic", "learned", "oracle", "bound"]


@dataclass(frozen=True)
class Row:
    """One policy's results over all days."""

    policy: str
    kind: Kind
    metrics: Mapping[str, Estimate]
    paired: Mapping[str, Difference]
    """Differences to the reference, of which negative ones are better; none for the reference itself."""
    seconds_per_decision: float | None
    """CPU time of one decision; None for a bound."""
    initial: str | None
    """How this policy's plans start; None where no policy decides the allocation."""
    adjusted_p_value: float | None
    """p-value of the primary metric's difference after Holm's correction over all policies."""
    verdict: Verdict | None
    completion_percentiles: tuple[float, ...]
    """Percentiles 0, 1, ..., 100 of completion times (s); empty if unknown."""
    training_seeds: int | None = None
    """Models of one recipe that the row stands for; None where nothing was trained."""
    choice: str | None = None
    """What validation days chose for this policy, beside how its plans start."""
    validation_episodes: int = 0
    """Episodes of validation days that its choices took: the budget of its tuning."""
    interquartile_mean: Mapping[str, Estimate] = field(default_factory=dict)
    """Mean of the middle half of all episodes and training seeds, of the primary metric and of completion times."""
    episodes: tuple[tuple[float, ...], ...] = ()
    """Primary metric of each episode, a row for each training seed; from these any two policies can be compared."""
    cost_episodes: tuple[tuple[float, ...], ...] = ()
    """Total cost of each episode likewise, where that is not the primary metric."""


@dataclass(frozen=True)
class Sensitivity:
    """The comparison at another price, from the terms of the cost that were logged: no policy is run or chosen anew."""

    price: str
    factor: float
    reference: str
    """The best heuristic of the validation days at this price."""
    differences: Mapping[str, Difference]
    """Paired difference in total cost of each other policy."""


@dataclass(frozen=True)
class Result:
    """A comparison of policies on the same days."""

    env: str
    preset: str
    seed: int
    days: int
    distinct_days: int
    reference: str
    primary: str
    traffic: Mapping[str, Any] | None
    """Source of the traffic, its hash, and how much was interpolated and clipped; None if synthetic."""
    validation_days: int
    rows: tuple[Row, ...]
    """The best first, bounds last."""
    sensitivity: tuple[Sensitivity, ...] = ()
    """Each price halved and doubled, where total cost is the primary metric."""
    episode_days: tuple[int, ...] = ()
    """Calendar day of each episode."""
    timelines: tuple[Timeline, ...] = ()
    """Days, slot by slot, to be drawn; they are no part of the JSON form."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values; what is unknown, such as an interval over a single day, is None."""
        head = {name: value for name, value in vars(self).items() if name not in ("rows", "sensitivity", "timelines")}
        rows = [_row(row) for row in self.rows]
        return {**head, "rows": rows, "sensitivity": [_sensitivity(one) for one in self.sensitivity]}

    def write(self, path: Path) -> None:
        """Write the JSON form to a file, at once or not at all."""
        text = json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _row(row: Row) -> dict[str, Any]:
    return {
        "policy": row.policy,
        "kind": row.kind,
        "initial": row.initial,
        "metrics": {name: _estimate(estimate) for name, estimate in row.metrics.items()},
        "paired": {name: _difference(difference) for name, difference in row.paired.items()},
        "adjusted_p_value": row.adjusted_p_value,
        "winner": row.verdict.winner if row.verdict else None,
        "verdict": row.verdict.reason if row.verdict else None,
        "seconds_per_decision": row.seconds_per_decision,
        "completion_percentiles_seconds": list(row.completion_percentiles),
        "training_seeds": row.training_seeds,
        "choice": row.choice,
        "validation_episodes": row.validation_episodes,
        "interquartile_mean": {name: _estimate(estimate) for name, estimate in row.interquartile_mean.items()},
        "episodes": [list(one) for one in row.episodes],
        "cost_episodes": [list(one) for one in row.cost_episodes],
    }


def _sensitivity(one: Sensitivity) -> dict[str, Any]:
    differences = {name: _difference(difference) for name, difference in one.differences.items()}
    return {**vars(one), "differences": differences}


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"mean": _finite(estimate.mean), "low": _finite(estimate.low), "high": _finite(estimate.high)}


def _difference(difference: Difference) -> dict[str, float | None]:
    return {
        "difference": difference.mean,
        "low": _finite(difference.low),
        "high": _finite(difference.high),
        "percent": difference.percent,
        "p_value": difference.p_value,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
