"""Heat: hand-worked values of every formula, and what holds for any reads."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psgym.replicas import heat

positive = st.floats(1e-3, 1e6)


def test_half_life_halves() -> None:
    assert heat.decay(60.0, 60.0) == 0.5
    assert heat.decay(30.0, 60.0) == pytest.approx(math.sqrt(0.5))
    assert heat.decay(0.0, 60.0) == 1.0


def test_updated_heat_by_hand() -> None:
    # Half of 100 bytes/s is kept, half of the new 600 bytes / 30 s = 20 bytes/s comes in.
    assert heat.updated_heat(100.0, 600.0, 30.0, 0.5) == 60.0


@given(rate=positive, interval=st.floats(1.0, 600.0), half_life=st.floats(1.0, 600.0))
def test_constant_reads_are_a_fixed_point(rate: float, interval: float, half_life: float) -> None:
    factor = heat.decay(interval, half_life)
    assert heat.updated_heat(rate, rate * interval, interval, factor) == pytest.approx(rate, rel=1e-12)


def test_variance_shrinks_as_documented() -> None:
    factor = heat.decay(30.0, 120.0)
    counts = np.random.default_rng(0).poisson(20.0, 200_000).astype(float)
    values, value = [], 20.0
    for count in counts:
        value = heat.updated_heat(value, count, 1.0, factor)
        values.append(value)
    assert np.var(values) / np.var(counts) == pytest.approx((1 - factor) / (1 + factor), rel=0.05)


def test_heat_per_copy_by_hand() -> None:
    assert heat.heat_per_copy(12.0, 3) == 4.0
    assert heat.heat_per_copy(12.0, 0) == math.inf
    assert heat.heat_per_copy(0.0, 0) == 0.0


def test_windowed_sum_by_hand() -> None:
    window = np.zeros(3)
    assert [heat.windowed_sum(window, i, a) for i, a in enumerate([1.0, 2.0, 3.0, 4.0])] == [1.0, 3.0, 6.0, 9.0]


def test_windowed_maximum_by_hand() -> None:
    window = np.zeros(2)
    readings = [5.0, 1.0, 2.0, 0.0]
    assert [heat.windowed_maximum(window, i, a) for i, a in enumerate(readings)] == [5.0, 5.0, 2.0, 2.0]


@given(amounts=st.lists(st.integers(0, 100), min_size=1, max_size=30), length=st.integers(1, 8))
def test_window_is_the_tail_of_the_reads(amounts: list[int], length: int) -> None:
    sums, maxima = np.zeros(length), np.zeros(length)
    for interval, amount in enumerate(amounts):
        tail = amounts[max(0, interval + 1 - length) : interval + 1]
        assert heat.windowed_sum(sums, interval, float(amount)) == sum(tail)
        assert heat.windowed_maximum(maxima, interval, float(amount)) == max(tail)


def test_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    seconds = np.array([0.0, 10.0, 20.0, 30.0])
    assert heat.reads_in_window(seconds, 30.0, 20.0) == 2
    assert heat.reads_in_window(seconds, 29.9, 20.0) == 2
    assert heat.reads_in_window(seconds, 5.0, 100.0) == 1


def test_combined_recency_and_frequency_by_hand() -> None:
    # With step .25 a read 4 reads ago counts half.
    assert heat.updated_crf(0.0, 0.0, 0.25) == 1.0
    assert heat.updated_crf(1.0, 4.0, 0.25) == 1.5
    assert heat.decayed_crf(1.5, 8.0, 0.25) == 0.375


@given(gaps=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_step_zero_counts_and_step_one_orders_by_recency(gaps: list[int]) -> None:
    count = often = 0.0
    for gap in gaps:
        count = heat.updated_crf(count, float(gap), 0.0)
        often = heat.updated_crf(often, float(gap), 1.0)
    assert count == len(gaps)
    # However often a dataset was read before, one read a moment later wins.
    assert heat.decayed_crf(often, 1.0, 1.0) <= heat.updated_crf(0.0, 0.0, 1.0)
