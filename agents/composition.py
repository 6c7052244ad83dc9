"""The best composition of rules for a cluster, found part by part on validation days."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psgym.agents.candidates import Candidate, Choice, forms
from psgym.agents.evaluation import Days, run_policy
from psgym.agents.policies import REFERENCES, make_policy, part_names
from psgym.envs.cluster.config import INITIAL_PLANS
from psgym.envs.views import VIEWS

BEST = "best"
"""Name, in a comparison, of the composition that validation days choose."""


@dataclass(frozen=True)
class _Part:
    """A rule of one part with its settings."""

    rule: str
    changes: Mapping[str, Any]


def find_composition(
    days: Days, seed: int = 0, rounds: int = 2, report: Callable[[str], None] = lambda message: None
) -> tuple[Candidate, int]:
    """Improve the reference one part at a time, over all rules and settings of the part, until none helps.

    Args:
        days: Validation days.
        seed: Seed of whatever is random in a rule.
        rounds: Most passes over the parts.
        report: Called with a message after each pass.

    Returns:
        The composition as a candidate, and the episodes that the search took.
    """
    primary = VIEWS[days.view_id].primary
    options = _options(days.view_id)
    current = [_Part(rule, {}) for rule in REFERENCES[days.view_id].split("+")]
    scores: dict[str, float] = {}

    def score(parts: list[_Part]) -> float:
        name, changes = _written(parts)
        key = f"{name} {sorted(changes.items())}"
        if key not in scores:
            run = run_policy(days, lambda env: make_policy(name, env, days.view_id, seed), **changes)
            scores[key] = float(run.metrics[primary].mean())
        return scores[key]

    for attempt in range(rounds):
        before = list(current)
        for place, choices in enumerate(options):
            tried = [current, *([*current[:place], choice, *current[place + 1 :]] for choice in choices)]
            current = min(tried, key=score)
        report(f"pass {attempt + 1}: {_written(current)[0]}, {score(current):.1f}")
        if current == before:
            break
    name, changes = _written(current)
    settings = ", ".join(f"{field} {value}" for field, value in changes.items())
    choice = Choice(", ".join(part for part in (name, settings) if part), changes)
    make = lambda env: make_policy(name, env, days.view_id, seed)  # noqa: E731 a maker like those of all candidates
    return Candidate(BEST, make, choices=(choice,)), len(scores) * len(days.seeds)


def _options(view_id: str) -> list[list[_Part]]:
    """Every rule of every part that the agent decides, with every setting that tuning tries."""
    options = []
    for part, names in part_names(view_id).items():
        found = [_Part(written, changes) for rule in names for written, changes in forms(rule, tune=True)]
        if part == "allocation":
            found = [_Part(one.rule, {**one.changes, "initial": plan}) for one in found for plan in INITIAL_PLANS]
        options.append(found)
    return options


def _written(parts: list[_Part]) -> tuple[str, dict[str, Any]]:
    changes: dict[str, Any] = {}
    for part in parts:
        changes |= part.changes
    return "+".join(part.rule for part in parts), changes
