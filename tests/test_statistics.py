"""Known cases of every statistic, and how often policies that are equal get a winner."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from psgym.agents.statistics import (
    Difference,
    estimate_mean,
    holm,
    interquartile_mean,
    paired_difference,
    winner,
)

CLEAR = Difference(-2.0, -3.0, -1.0, -10.0, 0.001, distinct_days=30, candidate_seeds=6, reference_seeds=1)


def noisy_days(generator: np.random.Generator, days: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the day and the level of each episode: skewed, and shared by the episodes of a day."""
    day = np.repeat(np.arange(days), episodes)
    return day, generator.lognormal(8.0, 0.4, days)[day]


# --- means -----------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_that_of_student() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 40)
    estimate = estimate_mean(values, np.arange(40))
    half = 2.0227 * values.std(ddof=1) / math.sqrt(40)  # t quantile of 39 degrees of freedom
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_episodes_of_one_day_count_once() -> None:
    level = np.random.default_rng(0).normal(5.0, 2.0, 20)
    once, often = estimate_mean(level, np.arange(20)), estimate_mean(np.repeat(level, 9), np.repeat(np.arange(20), 9))
    assert (often.low, often.high) == pytest.approx((once.low, once.high), rel=1e-9)


def test_labels_of_days_are_only_names() -> None:
    values = np.random.default_rng(0).normal(size=12)
    assert estimate_mean(values, np.arange(12)) == estimate_mean(values, 17_000 + 7 * np.arange(12))


def test_the_same_seed_gives_the_same_interval() -> None:
    values, day = np.random.default_rng(0).normal(size=(3, 24)), np.arange(24) // 2
    assert estimate_mean(values, day, seed=1) == estimate_mean(values, day, seed=1)
    assert estimate_mean(values, day, seed=1) != estimate_mean(values, day, seed=2)


def test_a_single_day_has_no_interval() -> None:
    estimate = estimate_mean([[1.0, 2.0], [3.0, 4.0]], [5, 5])
    assert estimate.mean == 2.5
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert paired_difference([1.0, 2.0], [0.0, 0.0], [5, 5]).p_value == 1.0


def test_training_seeds_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    days = generator.normal(size=30)
    alike, unlike = np.tile(days, (6, 1)), days + np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])[:, None]
    narrow, wide = estimate_mean(alike, np.arange(30)), estimate_mean(unlike, np.arange(30))
    assert narrow.mean == pytest.approx(wide.mean)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_interquartile_mean() -> None:
    assert interquartile_mean([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 1000.0]]) == pytest.approx(3.5)


# --- paired differences ----------------------------------------------------------------------------------------------


def test_what_days_share_cancels() -> None:
    generator = np.random.default_rng(0)
    day, level = noisy_days(generator, 30, 2)
    difference = paired_difference(level + generator.normal(-10.0, 1.0, 60), level, day)
    assert difference.mean == pytest.approx(-10.0, abs=0.5)
    assert difference.high - difference.low < 1.0 < estimate_mean(level, day).high - estimate_mean(level, day).low
    assert difference.percent == pytest.approx(100 * difference.mean / level.mean())
    assert (difference.distinct_days, difference.candidate_seeds, difference.reference_seeds) == (30, 1, 1)
    assert difference.p_value < 0.001


def test_a_policy_does_not_differ_from_itself() -> None:
    day, level = noisy_days(np.random.default_rng(0), 12, 3)
    difference = paired_difference(level, level, day)
    assert (difference.mean, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_swapping_the_policies_flips_the_sign() -> None:
    generator = np.random.default_rng(0)
    first, second, day = generator.normal(size=20), generator.normal(1.0, 1.0, 20), np.arange(20)
    one, other = paired_difference(first, second, day), paired_difference(second, first, day)
    assert one.mean == pytest.approx(-other.mean)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_the_p_value_agrees_with_the_interval() -> None:
    generator = np.random.default_rng(0)
    sides = []
    for shift in np.linspace(0.0, 1.0, 60):
        difference = paired_difference(generator.normal(shift, 1.0, 20), np.zeros(20), np.arange(20))
        excluded = difference.low > 0 or difference.high < 0
        if abs(difference.p_value - 0.05) > 0.002:  # closer than that, a quantile interpolates within one sample
            assert excluded == (difference.p_value < 0.05)
        sides.append(excluded)
    assert 10 < sum(sides) < 50


def test_a_difference_from_nothing_has_no_percentage() -> None:
    assert paired_difference([1.0, 2.0], [0.0, 0.0], [0, 1]).percent is None


@pytest.mark.parametrize(
    ("candidate", "day", "message"),
    [
        ([1.0, 2.0], [0, 1, 2], r"candidate has shape \(2,\), but there are 3 episodes"),
        ([[[1.0]]], [0], r"candidate has shape \(1, 1, 1\), but there are 1 episodes"),
        ([1.0, math.nan, 2.0], [0, 1, 2], r"candidate holds nan at \(0, 1\)"),
        ([[1.0, 2.0], [math.inf, 3.0]], [0, 1], r"candidate holds inf at \(1, 0\)"),
        ([], [], r"at least one episode, not of shape \(0,\)"),
        ([1.0], [[0]], r"at least one episode, not of shape \(1, 1\)"),
    ],
)
def test_input_that_does_not_fit(candidate: Any, day: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(candidate, np.zeros(np.shape(day)), day)


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # Sorted .01, .03, .04 times 3, 2, 1 is .03, .06, .04; no later one may be below an earlier one: .03, .06, .06.
    adjusted = holm({"srtf": 0.04, "drf": 0.01, "fifo": 0.03})
    assert adjusted == pytest.approx({"srtf": 0.06, "drf": 0.03, "fifo": 0.06})
    assert holm({}) == {}


def test_a_clear_difference_has_a_winner() -> None:
    assert winner("ppo", "drf", CLEAR, candidate_learned=True).winner == "ppo"
    assert winner("ppo", "drf", CLEAR, lower_is_better=False).winner == "drf"
    assert winner("ppo", "drf", replace(CLEAR, mean=2.0, low=1.0, high=3.0)).winner == "drf"


@pytest.mark.parametrize(
    ("difference", "arguments", "reason"),
    [
        (replace(CLEAR, high=0.5), {}, "the 95 % interval of the difference [-3, 0.5] holds 0"),
        (replace(CLEAR, high=0.0), {}, "the 95 % interval of the difference [-3, 0] holds 0"),
        (replace(CLEAR, low=math.nan, high=math.nan), {}, "[nan, nan] holds 0"),
        (replace(CLEAR, distinct_days=9), {}, "9 distinct days, and no winner is named below 10"),
        (replace(CLEAR, candidate_seeds=5), {"candidate_learned": True}, "ppo has 5 training seeds"),
        (CLEAR, {"reference_learned": True}, "drf has 1 training seeds, and a claim needs 6"),
        (CLEAR, {"adjusted_p_value": 0.05}, "p = 0.050 after Holm's correction"),
    ],
)
def test_no_winner_is_named_too_early(difference: Difference, arguments: dict[str, Any], reason: str) -> None:
    verdict = winner("ppo", "drf", difference, **arguments)
    assert verdict.winner is None
    assert reason in verdict.reason


def false_winners(days: int, seeds: int, comparisons: int, resamples: int) -> float:
    """Return how often one of two equal policies is said to be the better one, with 3 + 3 episodes a day.

    The episodes of each day are halved at random; the policy is the same in both halves. Training, if there is any,
    makes each seed better or worse by about 10 %.
    """
    generator = np.random.default_rng(days)
    found = 0
    for comparison in range(comparisons):
        day, level = noisy_days(generator, days, 6)
        values = generator.permuted((level * generator.lognormal(0.0, 0.3, len(day))).reshape(days, 6), axis=1)
        first, second, half = values[:, :3].ravel(), values[:, 3:].ravel(), day.reshape(days, 6)[:, :3].ravel()
        if seeds > 1:
            first = first * generator.normal(1.0, 0.1, (seeds, 1))
        difference = paired_difference(first, second, half, seed=comparison, resamples=resamples)
        found += winner("first", "second", difference, candidate_learned=seeds > 1).winner is not None
    return found / comparisons


@pytest.mark.parametrize("days", [10, 25])
def test_equal_policies_rarely_get_a_winner(days: int) -> None:
    assert false_winners(days, seeds=1, comparisons=500, resamples=2000) == pytest.approx(0.05, abs=0.02)


def test_equal_training_rarely_gets_a_winner() -> None:
    # Resampling seeds and days counts the noise of their pairs twice, so the interval errs on the wide side.
    assert false_winners(25, seeds=6, comparisons=500, resamples=2000) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize(("days", "seeds"), [(10, 1), (18, 1), (25, 1), (60, 1), (10, 6), (25, 6)])
def test_equal_policies_rarely_get_a_winner_at_length(days: int, seeds: int) -> None:
    # Over 10,000 comparisons 6.0, 6.0 and 5.6 % at 10, 18 and 25 days; 3,000 of them scatter by 0.4 %.
    share = false_winners(days, seeds, comparisons=3000, resamples=3000)
    assert (0.03 if seeds == 1 else 0.02) <= share <= 0.07
