"""Means, paired differences and their uncertainty, and when a winner may be named.

Every policy is run on the same episodes, so a comparison is paired. Episodes of one calendar day are alike, so the
bootstrap resamples days, not episodes (a cluster bootstrap). What is learned also varies with the seed of its training,
so those are resampled too, independently of the days (Agarwal et al., "Deep reinforcement learning at the edge of the
statistical precipice", NeurIPS 2021; two crossed levels as in Owen, "The pigeonhole bootstrap", Annals of Applied
Statistics 2007).

A plain percentile interval is too narrow for a few days or seeds: a bootstrap of n units has (n-1)/n of the variance,
and normal instead of Student tails. Both are put right as in Hesterberg, "What teachers should know about the
bootstrap", The American Statistician 2015 (the expanded percentile interval), with the degrees of freedom of several
levels after Welch and Satterthwaite. ``tests/test_statistics.py`` measures how often policies that are equal differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MIN_DAYS = 10
"""Distinct calendar days below which no winner is named."""
MIN_TRAINING_SEEDS = 6
"""Training seeds of a learned policy below which no winner is named."""
ALPHA = 0.05
"""Share of comparisons of equal policies that may name a winner: intervals hold 95 %."""
RESAMPLES = 10_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval. With a single day there is none, and `low` and `high` are NaN."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference, candidate less reference, and its 95 % interval."""

    percent: float | None
    """The mean difference in percent of the reference's mean; None where that is 0."""
    p_value: float
    """Two-sided p-value of no difference, by the same bootstrap as the interval; 1 with a single day."""
    distinct_days: int
    candidate_seeds: int
    reference_seeds: int


@dataclass(frozen=True)
class Verdict:
    """Who won, or None, and why in words."""

    winner: str | None
    reason: str


def estimate_mean(values: ArrayLike, day: ArrayLike, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Return the mean of a metric and its 95 % interval.

    Args:
        values: The metric of each episode, shape ``(episodes,)``, or ``(training seeds, episodes)`` if learned.
        day: Calendar day of each episode, any integers, shape ``(episodes,)``.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.

    Raises:
        ValueError: if the shapes do not agree, or a value is not finite.
    """
    labels = _day_index(day)
    counts = np.bincount(labels)
    table = _per_day(values, labels, "values")
    generator = np.random.default_rng(seed)
    weights = _draw_weights(generator, len(counts), resamples)
    samples = _resampled_mean(table, counts, weights, generator)
    precision = _precision(_day_spread(table.mean(axis=0), counts), [_seed_spread(table, counts)])
    return Estimate(_mean(table, counts), *_interval(samples, precision))


def paired_difference(
    candidate: ArrayLike, reference: ArrayLike, day: ArrayLike, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Return the mean difference of two policies that ran the same episodes, and its 95 % interval.

    Args:
        candidate: The metric of each episode, shape ``(episodes,)``, or ``(training seeds, episodes)`` if learned.
        reference: The same of the policy to compare with; it need not have as many training seeds.
        day: Calendar day of each episode, any integers, shape ``(episodes,)``.
        seed: Seed of the resampling.
        resamples: Number of bootstrap samples.

    Raises:
        ValueError: if the shapes do not agree, or a value is not finite.
    """
    labels = _day_index(day)
    counts = np.bincount(labels)
    first, second = _per_day(candidate, labels, "candidate"), _per_day(reference, labels, "reference")
    generator = np.random.default_rng(seed)
    weights = _draw_weights(generator, len(counts), resamples)
    samples = _resampled_mean(first, counts, weights, generator) - _resampled_mean(second, counts, weights, generator)
    # Days are shared by the two, so their spread is that of the difference; training seeds are each policy's own.
    days = _day_spread(first.mean(axis=0) - second.mean(axis=0), counts)
    precision = _precision(days, [_seed_spread(first, counts), _seed_spread(second, counts)])
    low, high = _interval(samples, precision)
    difference, base = _mean(first, counts) - _mean(second, counts), _mean(second, counts)
    return Difference(
        mean=difference,
        low=low,
        high=high,
        percent=100.0 * difference / abs(base) if base else None,
        p_value=_p_value(samples, difference, precision),
        distinct_days=len(counts),
        candidate_seeds=len(first),
        reference_seeds=len(second),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values of several comparisons, adjusted so that all of them together err in 5 % (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return {}
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return dict(zip(p_values, (float(value) for value in adjusted), strict=True))


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of all values: robust to a failed run, less noisy than the median."""
    return float(stats.trim_mean(np.asarray(values, dtype=float), 0.25, axis=None))


def estimate_interquartile_mean(values: ArrayLike, day: ArrayLike, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Return the interquartile mean of a metric over all episodes and training seeds, and its 95 % interval.

    Arguments are those of `estimate_mean`, by which days and training seeds are resampled; the interval is the plain
    percentile one, since the statistic is no mean of the levels.
    """
    labels = _day_index(day)
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    _per_day(rows, labels, "values")
    if labels.max() == 0:
        return Estimate(interquartile_mean(rows), math.nan, math.nan)
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == one) for one in range(labels.max() + 1)]
    samples = np.empty(resamples)
    for sample in range(resamples):
        days = generator.integers(len(members), size=len(members))
        episodes = np.concatenate([members[one] for one in days])
        samples[sample] = interquartile_mean(rows[generator.integers(len(rows), size=len(rows))][:, episodes])
    low, high = np.quantile(samples, [ALPHA / 2, 1.0 - ALPHA / 2])
    return Estimate(interquartile_mean(rows), float(low), float(high))


def winner(
    candidate: str,
    reference: str,
    difference: Difference,
    adjusted_p_value: float | None = None,
    lower_is_better: bool = True,
    candidate_learned: bool = False,
    reference_learned: bool = False,
) -> Verdict:
    """Name the better of two policies, or say why that would be too early.

    Args:
        candidate: Name of the policy that was compared.
        reference: Name of the policy that it was compared with.
        difference: Their paired difference.
        adjusted_p_value: Its p-value after `holm`, where several policies are compared with the reference.
        lower_is_better: Whether the metric is a cost.
        candidate_learned: Whether the candidate was trained, so that training seeds are needed.
        reference_learned: Whether the reference was.
    """
    if difference.distinct_days < MIN_DAYS:
        return Verdict(None, f"{difference.distinct_days} distinct days, and no winner is named below {MIN_DAYS}")
    for name, learned, seeds in (
        (candidate, candidate_learned, difference.candidate_seeds),
        (reference, reference_learned, difference.reference_seeds),
    ):
        if learned and seeds < MIN_TRAINING_SEEDS:
            return Verdict(None, f"{name} has {seeds} training seeds, and a claim needs {MIN_TRAINING_SEEDS}")
    interval = f"[{difference.low:.4g}, {difference.high:.4g}]"
    if not (difference.low > 0 or difference.high < 0):
        return Verdict(None, f"the 95 % interval of the difference {interval} holds 0")
    if adjusted_p_value is not None and adjusted_p_value >= ALPHA:
        return Verdict(None, f"p = {adjusted_p_value:.3f} after Holm's correction over all policies")
    better = candidate if (difference.mean < 0) == lower_is_better else reference
    return Verdict(better, f"the 95 % interval of the difference {interval} leaves out 0")


def _day_index(day: ArrayLike) -> NDArray[np.int64]:
    """Number the distinct days from 0, shape ``(episodes,)``."""
    labels = np.asarray(day)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"day must be one label for each of at least one episode, not of shape {labels.shape}")
    return np.unique(labels, return_inverse=True)[1]


def _per_day(values: ArrayLike, labels: NDArray[np.int64], name: str) -> Array:
    """Return the sum of a metric over the episodes of each day, shape ``(training seeds, days)``."""
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != len(labels) or not len(rows):
        raise ValueError(f"{name} has shape {np.shape(values)}, but there are {len(labels)} episodes")
    if not np.isfinite(rows).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(rows))[0])
        raise ValueError(f"{name} holds {rows[at]} at {at}")
    return np.stack([np.bincount(labels, weights=row) for row in rows])


def _draw_weights(generator: np.random.Generator, units: int, resamples: int) -> Array:
    """Draw how often each unit is in each bootstrap sample, shape ``(resamples, units)``."""
    return generator.multinomial(units, np.full(units, 1.0 / units), size=resamples).astype(float)


def _resampled_mean(table: Array, counts: NDArray[np.int64], weights: Array, generator: np.random.Generator) -> Array:
    """Return the mean of each bootstrap sample of days and training seeds, shape ``(resamples,)``."""
    seeds = len(table)
    seed_weights = _draw_weights(generator, seeds, len(weights)) if seeds > 1 else np.ones((len(weights), 1))
    return np.einsum("bk,bk->b", seed_weights @ table, weights) / (seeds * (weights @ counts))


def _mean(table: Array, counts: NDArray[np.int64]) -> float:
    """Return the mean over all episodes and training seeds."""
    return float(table.sum() / (len(table) * counts.sum()))


Spread = tuple[float, int]
"""Variance of the mean that one level causes, and the number of its units."""


def _day_spread(by_day: Array, counts: NDArray[np.int64]) -> Spread:
    """Return the spread that days cause, from the sum over each day's episodes, shape ``(days,)``."""
    days = len(counts)
    # Days may differ in their number of episodes: to first order, each moves the mean by its excess over it.
    excess = (by_day - counts * by_day.sum() / counts.sum()) * days / counts.sum()
    return (float(excess.var(ddof=1)) / days if days > 1 else 0.0), days


def _seed_spread(table: Array, counts: NDArray[np.int64]) -> Spread:
    """Return the spread that training seeds cause; none if there is only one."""
    seeds = len(table)
    return (float((table.sum(axis=1) / counts.sum()).var(ddof=1)) / seeds if seeds > 1 else 0.0), seeds


class _Precision(NamedTuple):
    """What the bootstrap of a few units does not know."""

    standard_error: float
    widen: float
    """By what factor the bootstrap is too narrow."""
    freedom: float
    """Degrees of freedom of the standard error."""


def _precision(days: Spread, seeds: list[Spread]) -> _Precision | None:
    """Combine the spread of all levels; None with a single day."""
    if days[1] < 2:
        return None
    spread = [(variance, units) for variance, units in (days, *seeds) if variance > 0.0]
    if not spread:
        return _Precision(0.0, 1.0, math.inf)
    total = sum(variance for variance, _ in spread)
    widen = math.sqrt(total / sum(variance * (units - 1) / units for variance, units in spread))
    return _Precision(math.sqrt(total), widen, total**2 / sum(v**2 / (units - 1) for v, units in spread))


def _interval(samples: Array, precision: _Precision | None) -> tuple[float, float]:
    """Return the ends of the expanded percentile interval."""
    if precision is None:
        return math.nan, math.nan
    tail = float(stats.norm.cdf(precision.widen * stats.t.ppf(ALPHA / 2, precision.freedom)))
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return float(low), float(high)


def _p_value(samples: Array, difference: float, precision: _Precision | None) -> float:
    """Return the two-sided p-value at which the expanded percentile interval begins to hold 0.

    Where no sample lies on the other side of 0 it is too small to be counted, and a t-test says how small.
    """
    if precision is None:
        return 1.0
    beyond = min((samples <= 0).sum(), (samples >= 0).sum())
    tail = min((beyond + 1) / (len(samples) + 1), 0.5)
    counted = 2.0 * float(stats.t.cdf(stats.norm.ppf(tail) / precision.widen, precision.freedom))
    if beyond or not precision.standard_error:
        return min(1.0, counted)
    return min(counted, 2.0 * float(stats.t.cdf(-abs(difference) / precision.standard_error, precision.freedom)))
