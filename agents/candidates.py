"""The policies of a comparison: what stands for each, and the forms that validation days choose among."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psgym.agents.evaluation import PolicyMaker
from psgym.agents.policies import (
    FORECASTERS,
    LOOK_AHEADS,
    REFERENCES,
    SIMPLE,
    PolicyError,
    PriorityPolicy,
    check_policy,
    make_policy,
    policy_kind,
    usual_policies,
)
from psgym.agents.priorities import PrioritySet, read_priorities, shipped_sets
from psgym.agents.result import Kind
from psgym.envs.cluster.config import INITIAL_PLANS
from psgym.envs.views import ALLOCATION, VIEWS

TUNABLE: dict[str, dict[str, tuple[float, ...]]] = {
    "reactive": {"reactive_headroom": (1.25, 1.75, 2.5, 4.0)},
    **{name: {"forecast_quantile": (0.3, 0.5, 0.7, 0.85)} for name in ("forecast", *FORECASTERS)},
    "hot-cold": {"hot_threshold": (0.1, 0.2, 0.35), "cold_ratio": (0.6, 0.8)},
}
"""Fields of the configuration that a rule reads and nothing else does, and the values that tuning tries."""


@dataclass(frozen=True)
class Choice:
    """One form of a policy that can be tuned."""

    label: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the configuration that only rules read, such as the headroom of a capacity rule."""
    make: PolicyMaker | None = None
    """Builds this form; the candidate's own if None."""


@dataclass(frozen=True)
class Candidate:
    """A policy to compare."""

    name: str
    make: PolicyMaker
    kind: Kind = "heuristic"
    initials: tuple[str | None, ...] = (None,)
    """Ways in which its plans may start, of which validation days choose; None is the configuration's own."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the configuration that this policy needs, such as the observation that it was trained on; and
    ``forecaster``, what feeds the forecasts of its environment."""
    more: tuple[PolicyMaker, ...] = ()
    """The same recipe trained from other seeds: all of them together are one policy."""
    choices: tuple[Choice, ...] = ()
    """Forms of the policy, of which validation days choose; none is the policy as it is."""


def heuristic_candidates(view_id: str, names: Sequence[str] = (), seed: int = 0, tune: bool = False) -> list[Candidate]:
    """Return candidates for names of heuristics (the usual ones if there are none), and always a strong rule.

    Args:
        view_id: Id of the environment.
        names: Names, as `make_policy` takes them, ``module:callable``, or a JSON file of parameters of the priority
            rule.
        seed: Seed of the random policy and of imagined futures.
        tune: Whether validation days also choose among the values in `TUNABLE`.

    Raises:
        PolicyError: If a name does not fit the id.
    """
    chosen = dict.fromkeys((*(names or usual_policies(view_id)), REFERENCES[view_id]))
    return [_heuristic(name, view_id, seed, tune) for name in chosen]


def _heuristic(name: str, view_id: str, seed: int, tune: bool) -> Candidate:
    if name.endswith(".json"):
        return _from_parameters(Path(name), view_id)
    if ":" in name:
        return _from_code(name)
    check_policy(name, view_id)
    if name in LOOK_AHEADS:
        kind: Kind = "oracle" if name.endswith("oracle") else "heuristic"
        return Candidate(name, _maker(name, view_id, seed), kind, initials=("empty",))
    if name in SIMPLE:
        return Candidate(name, _maker(name, view_id, seed))
    choices = tuple(_choices(name, view_id, seed, tune))
    kind, initials = policy_kind(name, view_id), _initials(name, view_id, tune)
    return Candidate(name, _maker(name, view_id, seed), kind, initials=initials, choices=choices)


def _initials(name: str, view_id: str, tune: bool) -> tuple[str | None, ...]:
    """How plans may start: either way, but as it was tuned for the priority rule, unless it is tuned again."""
    if "allocation" not in VIEWS[view_id].decides:
        return (None,)
    return ("empty",) if name.split("+")[-1].startswith("priority") and not tune else INITIAL_PLANS


def _maker(name: str, view_id: str, seed: int) -> PolicyMaker:
    return lambda env: make_policy(name, env, view_id, seed)


def _choices(name: str, view_id: str, seed: int, tune: bool) -> Iterator[Choice]:
    """Every combination of the forms of each rule in a name."""
    rules = name.split("+")
    every = [forms(rule, tune) for rule in rules]
    for combination in itertools.product(*every):
        changes: dict[str, Any] = {}
        for _, change in combination:
            changes |= change
        written = "+".join(rule for rule, _ in combination)
        settings = ", ".join(f"{field} {value:g}" for field, value in changes.items())
        label = ", ".join(part for part in (written if written != name else "", settings) if part)
        yield Choice(label, changes, _maker(written, view_id, seed))


def forms(rule: str, tune: bool) -> list[tuple[str, dict[str, float]]]:
    """Return the ways to write a rule, with settings: the shipped sets of the priority rule, the grid of `TUNABLE`."""
    if rule == "priority" and tune:
        return [(f"priority@{name}", {}) for name in shipped_sets()]
    grid = TUNABLE.get(rule, {}) if tune else {}
    return [(rule, dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]


def _from_parameters(path: Path, view_id: str) -> Candidate:
    if view_id != ALLOCATION.id:
        raise PolicyError(f"{path}: parameters of the priority rule are a policy for {ALLOCATION.id} only")
    choices = tuple(
        Choice(label, {"initial": one.initial}, _bound(one)) for label, one in read_priorities(path).items()
    )
    return Candidate(path.stem, choices[0].make or _maker("priority", view_id, 0), choices=choices)


def _bound(one: PrioritySet) -> PolicyMaker:
    return lambda env: PriorityPolicy(env, one.array)


def _from_code(name: str) -> Candidate:
    """Import ``module:callable``, which takes an environment and returns a policy; its attribute ``kind`` says more."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Callable[[Any], Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"{name}: {error}") from None
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise PolicyError(f"{name}: must be callable with an environment, not {found!r}")
    kind: Any = getattr(found, "kind", "heuristic")
    if kind not in ("heuristic", "learned", "oracle"):
        raise PolicyError(f"{name}: its kind must be heuristic, learned or oracle, not {kind!r}")
    return Candidate(name, found, kind)
