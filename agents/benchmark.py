"""The comparison: every policy on the same test days, paired, with intervals, and no winner named too early."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psgym.agents.evaluation import Days, PolicyMaker, Run, make_days, run_policy
from psgym.agents.policies import REFERENCES, SIMPLE, check_policy, make_policy, usual_policies
from psgym.agents.result import Kind, Result, Row
from psgym.agents.statistics import RESAMPLES, Difference, estimate_mean, holm, paired_difference, winner
from psgym.envs.cluster.config import INITIAL_PLANS, ClusterConfig
from psgym.envs.job_trace import JobTrace
from psgym.envs.views import VIEWS

REPORTED = (
    "mean_completion_seconds",
    "p99_completion_seconds",
    "total_cost",
    "node_hours",
    "stall_share",
    "unavailable_share",
    "load_max_over_mean",
    "load_variation",
    "storage_utilisation",
    "replica_bytes",
    "bytes_moved",
    "restarts",
    "cpu_utilisation",
    "gpu_utilisation",
    "jobs_arrived",
    "jobs_finished",
    "jobs_unfinished",
    "decisions",
    "refusals",
)
"""Metrics of a result, each at the end of the drained day."""

MOST_VALIDATION_DAYS = 10
SECONDARY_RESAMPLES = 2000
"""Bootstrap samples for metrics other than the primary one, about which no claim is made."""


@dataclass(frozen=True)
class Candidate:
    """A policy to compare."""

    name: str
    make: PolicyMaker
    kind: Kind = "heuristic"
    initials: tuple[str | None, ...] = (None,)
    """Ways in which its plans may start, of which validation days choose; None is the configuration's own."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the configuration that this policy needs, such as the observation that it was trained on."""


@dataclass(frozen=True)
class _Played:
    candidate: Candidate
    initial: str | None
    validation: float
    run: Run


def compare(
    view_id: str,
    preset: str | None = None,
    policies: Sequence[str] = (),
    days: int = 30,
    seed: int = 0,
    traffic: str | None = None,
    traffic_column: str | None = None,
    config: ClusterConfig | Mapping[str, Any] | None = None,
    learned: Sequence[Candidate] = (),
    validation_days: int | None = None,
    progress: Callable[[str], None] = lambda message: None,
    jobs: str | None = None,
) -> Result:
    """Run policies on the same drained test days and compare each with the strongest rule.

    The reference is the heuristic of the best primary metric on validation days, which also choose how the plans of
    each heuristic start. Test days, validation days and the days of training have different seeds, and with a trace
    come from different parts of it.

    Args:
        view_id: Id of the environment.
        preset: Name of a configuration; the id's own if None.
        policies: Names of heuristics; the usual ones of the id if empty. A strong rule is always added.
        days: Number of test days.
        seed: Seed that the days follow from.
        traffic: CSV file of counts; synthetic traffic if None.
        traffic_column: Column of the file.
        config: A configuration instead of a preset.
        learned: Learned policies to compare as well.
        validation_days: Number of days to choose initial plans and the reference by; `days`, but at most 10, if None.
        progress: Called with a message after each policy.
        jobs: File of jobs that arrive instead of synthetic ones; then the traffic is that of their submissions.

    Raises:
        PolicyError: If a name does not fit the id.
        ValueError: If a setting is out of range, or the traffic cannot be used.
    """
    validation_days = min(days, MOST_VALIDATION_DAYS) if validation_days is None else validation_days
    candidates = [*_heuristics(view_id, policies, seed), *learned]
    _check_names(candidates)
    arguments = {"preset": preset, "config": config, "traffic": traffic, "traffic_column": traffic_column, "jobs": jobs}
    test = make_days(view_id, "test", seed, days, **arguments)  # type: ignore[arg-type]
    again: dict[str, Any] = {"config": test.config, "traffic": test.traffic}
    validation = make_days(view_id, "validation", seed, validation_days, **again)
    primary = VIEWS[view_id].primary
    played = []
    for candidate in candidates:
        played.append(_play(candidate, validation, test, primary))
        progress(candidate.name)
    return _result(test, preset or VIEWS[view_id].preset if config is None else "custom", seed, validation_days, played)


def steps_of(view_id: str, policies: Sequence[str], learned: int) -> int:
    """Return how often `compare` reports progress."""
    return len(_heuristics(view_id, policies, 0)) + learned


def _heuristics(view_id: str, policies: Sequence[str], seed: int) -> list[Candidate]:
    names = dict.fromkeys((*(policies or usual_policies(view_id)), REFERENCES[view_id]))
    candidates = []
    for name in names:
        check_policy(name, view_id)
        plans = "allocation" in VIEWS[view_id].decides and name not in SIMPLE
        make = _maker(name, view_id, seed)
        candidates.append(Candidate(name, make, initials=INITIAL_PLANS if plans else (None,)))
    return candidates


def _maker(name: str, view_id: str, seed: int) -> PolicyMaker:
    return lambda env: make_policy(name, env, view_id, seed)


def _check_names(candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"policies must have different names; {', '.join(twice)} is there twice")


def _play(candidate: Candidate, validation: Days, test: Days, primary: str) -> _Played:
    """Choose the better initial plan on validation days, then run the test days."""
    scores: dict[str | None, float] = {}
    for initial in candidate.initials:
        run = run_policy(validation, candidate.make, **_changes(candidate, initial))
        scores[initial] = float(run.metrics[primary].mean())
    best = min(scores, key=lambda initial: scores[initial])
    run = run_policy(test, candidate.make, **_changes(candidate, best))
    decides = "allocation" in VIEWS[test.view_id].decides
    shown = best or candidate.changes.get("initial", test.config.initial)
    return _Played(candidate, shown if decides else None, scores[best], run)


def _changes(candidate: Candidate, initial: str | None) -> dict[str, Any]:
    return dict(candidate.changes) if initial is None else {**candidate.changes, "initial": initial}


def _result(test: Days, preset: str, seed: int, validation_days: int, played: Sequence[_Played]) -> Result:
    primary = VIEWS[test.view_id].primary
    heuristics = [one for one in played if one.candidate.kind == "heuristic"]
    reference = min(heuristics, key=lambda one: one.validation)
    paired = {one.candidate.name: _paired(one.run, reference.run, primary) for one in played if one is not reference}
    adjusted = holm({name: differences[primary].p_value for name, differences in paired.items()})
    rows = [
        _row(one, reference.candidate.name, primary, paired.get(one.candidate.name), adjusted.get(one.candidate.name))
        for one in played
    ]
    rows.sort(key=lambda row: row.metrics[primary].mean)
    bound = _bound(test, reference.run, primary)
    return Result(
        env=test.view_id,
        preset=preset,
        seed=seed,
        days=len(test.seeds),
        distinct_days=len(set(reference.run.day.tolist())),
        reference=reference.candidate.name,
        primary=primary,
        traffic=_describe_traffic(test),
        validation_days=validation_days,
        rows=(*rows, *([bound] if bound else [])),
    )


def _paired(run: Run, reference: Run, primary: str) -> dict[str, Difference]:
    differences = {}
    for name in REPORTED:
        resamples = _resamples(name, primary)
        differences[name] = paired_difference(run.metrics[name], reference.metrics[name], run.day, resamples=resamples)
    return differences


def _resamples(metric: str, primary: str) -> int:
    return RESAMPLES if metric == primary else SECONDARY_RESAMPLES


def _row(
    played: _Played, reference: str, primary: str, paired: Mapping[str, Difference] | None, adjusted: float | None
) -> Row:
    run, candidate = played.run, played.candidate
    learned = candidate.kind == "learned"
    verdict = None
    if paired is not None:
        verdict = winner(candidate.name, reference, paired[primary], adjusted, candidate_learned=learned)
    return Row(
        policy=candidate.name,
        kind=candidate.kind,
        metrics={
            name: estimate_mean(run.metrics[name], run.day, resamples=_resamples(name, primary)) for name in REPORTED
        },
        paired=paired or {},
        seconds_per_decision=run.seconds_per_decision,
        initial=played.initial,
        adjusted_p_value=adjusted,
        verdict=verdict,
        completion_percentiles=tuple(run.completion_percentiles.tolist()),
    )


def _bound(test: Days, reference: Run, primary: str) -> Row | None:
    """Return the row of the lower bound, where jobs make one."""
    metrics = test.bound()
    if primary not in metrics or not metrics[primary].any():
        return None
    day = reference.day
    return Row(
        policy="lower-bound",
        kind="bound",
        metrics={name: estimate_mean(values, day) for name, values in metrics.items()},
        paired={name: paired_difference(values, reference.metrics[name], day) for name, values in metrics.items()},
        seconds_per_decision=None,
        initial=None,
        adjusted_p_value=None,
        verdict=None,
        completion_percentiles=(),
    )


def _describe_traffic(test: Days) -> dict[str, Any] | None:
    if test.traffic is None:
        return None
    traffic = test.traffic
    if isinstance(traffic, JobTrace):
        traffic = traffic.traffic(round(test.config.slot_seconds), test.config.max_load)
    kept = ("source", "start", "native_seconds", "slot_seconds", "mean_count", "interpolated", "clipped", "sha256")
    return {name: getattr(traffic, name) for name in kept}
