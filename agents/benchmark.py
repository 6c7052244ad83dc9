"""The comparison: every policy on the same test days, paired, with intervals, and no winner named too early."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.candidates import Candidate, Choice, heuristic_candidates
from psgym.agents.composition import BEST, find_composition
from psgym.agents.evaluation import Days, Run, make_days, run_policy, stack_runs
from psgym.agents.fitted import forecaster_for
from psgym.agents.policies import forecaster_of
from psgym.agents.result import Result, Row, Sensitivity
from psgym.agents.statistics import (
    RESAMPLES,
    Difference,
    estimate_interquartile_mean,
    estimate_mean,
    holm,
    paired_difference,
    winner,
)
from psgym.agents.timeline import Timeline, record_timeline
from psgym.agents.workers import Workers
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.job_trace import JobTrace
from psgym.envs.views import VIEWS

REPORTED = (
    "mean_completion_seconds",
    "median_completion_seconds",
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

COMPLETION = ("mean_completion_seconds", "median_completion_seconds", "p99_completion_seconds")
NO_POLICIES = ("oracle", "bound")
MOST_VALIDATION_DAYS = 10
SECONDARY_RESAMPLES = 2000
"""Bootstrap samples for metrics other than the primary one, about which no claim is made."""


@dataclass(frozen=True)
class _Played:
    candidate: Candidate
    initial: str | None
    choice: Choice
    validation: Run | None
    """None for a policy that is neither chosen among forms nor a possible reference."""
    episodes: int
    """Episodes of validation days that the choices took."""
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
    tune: bool = False,
    timelines: bool = False,
    progress: Callable[[str], None] = lambda message: None,
    jobs: str | None = None,
    workers: Workers | None = None,
    accesses: str | None = None,
    accesses_column: str | None = None,
) -> Result:
    """Run policies on the same drained test days and compare each with the strongest rule.

    The reference is the heuristic of the best primary metric on validation days, which also choose how the plans of
    each heuristic start. Test days, validation days and the days of training have different seeds, and with a trace
    come from different parts of it.

    Args:
        view_id: Id of the environment.
        preset: Name of a configuration; the id's own if None.
        policies: Names of heuristics, as `heuristic_candidates` takes them, and ``best``, the composition that
            validation days find; the usual ones of the id if empty. A strong rule is always added.
        days: Number of test days.
        seed: Seed that the days follow from.
        traffic: CSV file of counts; synthetic traffic if None.
        traffic_column: Column of the file.
        config: A configuration instead of a preset.
        learned: Learned policies to compare as well.
        validation_days: Number of days to choose initial plans and the reference by; `days`, but at most 10, if None.
        tune: Whether validation days also choose the settings of rules, among those of `candidates.TUNABLE`.
        timelines: Whether to keep the first test day, slot by slot, of the reference and of the best other policy.
        progress: Called with a message after each policy.
        jobs: File of jobs that arrive instead of synthetic ones; then the traffic is that of their submissions.
        workers: Who lives through the days; this process if None.
        accesses: File of accesses that drives the popularity of datasets.
        accesses_column: Column of the objects in it.

    Raises:
        PolicyError: If a name does not fit the id.
        ValueError: If a setting is out of range, or the traffic cannot be used.
    """
    validation_days = min(days, MOST_VALIDATION_DAYS) if validation_days is None else validation_days
    candidates = [*heuristic_candidates(view_id, [name for name in policies if name != BEST], seed, tune), *learned]
    _check_names(candidates)
    arguments = {"preset": preset, "config": config, "traffic": traffic, "traffic_column": traffic_column, "jobs": jobs}
    arguments |= {"accesses": accesses, "accesses_column": accesses_column}
    test = make_days(view_id, "test", seed, days, workers=workers, **arguments)  # type: ignore[arg-type]
    again: dict[str, Any] = {"config": test.config, "traffic": test.traffic, "accesses": test.accesses}
    again["workers"] = workers
    validation = make_days(view_id, "validation", seed, validation_days, **again)
    candidates = [_with_forecaster(one, view_id, test, seed) for one in candidates]
    primary = VIEWS[view_id].primary
    played = []
    if BEST in policies:
        composition, episodes = find_composition(validation, seed)
        played.append(dataclasses.replace(_play(composition, validation, test, primary), episodes=episodes))
        progress(BEST)
    for candidate in candidates:
        played.append(_play(candidate, validation, test, primary))
        progress(candidate.name)
    name = preset or VIEWS[view_id].preset if config is None else "custom"
    result = _result(test, name, seed, validation_days, played)
    return dataclasses.replace(result, timelines=_timelines(result, test, played)) if timelines else result


def steps_of(view_id: str, policies: Sequence[str], learned: int) -> int:
    """Return how often `compare` reports progress."""
    return (
        len(heuristic_candidates(view_id, [name for name in policies if name != BEST])) + (BEST in policies) + learned
    )


def _with_forecaster(candidate: Candidate, view_id: str, days: Days, seed: int) -> Candidate:
    """Feed the environment of a policy that is named for a forecaster by the one that fits these days."""
    name = forecaster_of(candidate.name, view_id)
    if name is None or candidate.kind == "learned":
        return candidate
    changes = {**candidate.changes, "forecaster": forecaster_for(name, days.config, days.traffic, seed)}
    return dataclasses.replace(candidate, changes=changes)


def _check_names(candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"policies must have different names; {', '.join(twice)} is there twice")


def _play(candidate: Candidate, validation: Days, test: Days, primary: str) -> _Played:
    """Choose the form and the initial plan on validation days, then run the test days."""
    options = list(itertools.product(candidate.initials, candidate.choices or (Choice(),)))
    runs: list[Run] = []
    if len(options) > 1 or candidate.kind == "heuristic":
        runs = [_run(candidate, validation, *option) for option in options]
    scores = [float(run.metrics[primary].mean()) for run in runs]
    best = scores.index(min(scores)) if scores else 0
    initial, choice = options[best]
    run = _run(candidate, test, initial, choice)
    decides = "allocation" in VIEWS[test.view_id].decides
    shown = initial or candidate.changes.get("initial", test.config.initial)
    episodes = len(runs) * len(validation.seeds) * (1 + len(candidate.more))
    return _Played(candidate, shown if decides else None, choice, runs[best] if runs else None, episodes, run)


def _run(candidate: Candidate, days: Days, initial: str | None, choice: Choice) -> Run:
    changes = _changes(candidate, initial, choice)
    makers = (choice.make or candidate.make, *candidate.more)
    return stack_runs([run_policy(days, make, **changes) for make in makers])


def _changes(candidate: Candidate, initial: str | None, choice: Choice) -> dict[str, Any]:
    return {**candidate.changes, **choice.changes} | ({} if initial is None else {"initial": initial})


def _result(test: Days, preset: str, seed: int, validation_days: int, played: Sequence[_Played]) -> Result:
    primary = VIEWS[test.view_id].primary
    reference = _best_heuristic(played, lambda run: run.metrics[primary])
    paired = {one.candidate.name: _paired(one.run, reference.run, primary) for one in played if one is not reference}
    # An oracle or a bound is no policy that could be run: it claims nothing, and takes no part in the correction.
    claims = [one.candidate.name for one in played if one is not reference and one.candidate.kind not in NO_POLICIES]
    adjusted = holm({name: paired[name][primary].p_value for name in claims})
    rows = [
        _row(one, reference.candidate.name, primary, paired.get(one.candidate.name), adjusted.get(one.candidate.name))
        for one in played
    ]
    rows.sort(key=lambda row: (row.kind == "bound", row.metrics[primary].mean))
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
        sensitivity=_sensitivity(played) if primary == "total_cost" else (),
        episode_days=tuple(reference.run.day.tolist()),
    )


def _timelines(result: Result, test: Days, played: Sequence[_Played]) -> tuple[Timeline, ...]:
    """Keep the first test day of the reference and of the best other policy that could be run."""
    by_name = {one.candidate.name: one for one in played}
    real = [row.policy for row in result.rows if row.kind in ("heuristic", "learned")]
    others = [name for name in real if name != result.reference]
    found = []
    for name in (result.reference, *others[:1]):
        one = by_name[name]
        changes = _changes(one.candidate, one.initial if one.candidate.initials != (None,) else None, one.choice)
        found.append(record_timeline(test, one.choice.make or one.candidate.make, name, changes=changes))
    return tuple(found)


def _best_heuristic(played: Sequence[_Played], metric: Callable[[Run], NDArray[np.float64]]) -> _Played:
    """Return the heuristic of the best metric on validation days."""
    heuristics = [(one, one.validation) for one in played if one.candidate.kind == "heuristic" and one.validation]
    return min(heuristics, key=lambda pair: float(metric(pair[1]).mean()))[0]


def _sensitivity(played: Sequence[_Played]) -> tuple[Sensitivity, ...]:
    """Weigh the logged terms of the cost with each price halved and doubled; the reference is chosen anew each time."""
    prices = [price for price in played[0].run.costs if any(one.run.costs[price].any() for one in played)]
    found = []
    for price, factor in itertools.product(prices, (0.5, 2.0)):
        reference = _best_heuristic(played, functools.partial(_cost_at, price=price, factor=factor))
        base = _cost_at(reference.run, price, factor)
        differences = {
            one.candidate.name: paired_difference(
                _cost_at(one.run, price, factor), base, one.run.day, resamples=SECONDARY_RESAMPLES
            )
            for one in played
            if one is not reference
        }
        found.append(Sensitivity(price, factor, reference.candidate.name, differences))
    return tuple(found)


def _cost_at(run: Run, price: str, factor: float) -> NDArray[np.float64]:
    """Return the total cost of each day if one price were another."""
    return np.sum([values * (factor if name == price else 1.0) for name, values in run.costs.items()], axis=0)


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
    if paired is not None and candidate.kind not in NO_POLICIES:
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
        training_seeds=1 + len(candidate.more) if learned else None,
        choice=played.choice.label or None,
        validation_episodes=played.episodes,
        interquartile_mean={
            name: estimate_interquartile_mean(run.metrics[name], run.day)
            for name in dict.fromkeys((primary, *COMPLETION))
        },
        episodes=_episodes(run, primary),
        cost_episodes=() if primary == "total_cost" else _episodes(run, "total_cost"),
    )


def _episodes(run: Run, metric: str) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.atleast_2d(run.metrics[metric]).tolist())


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
