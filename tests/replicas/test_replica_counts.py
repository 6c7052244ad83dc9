"""Replica counts: hand-worked values, tables, and the optimality of the greedy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psgym.replicas import counts, scarlett
from psgym.replicas.load import server_load


def test_availability_by_hand() -> None:
    assert counts.availability(2, 0.1) == pytest.approx(0.99)
    assert counts.availability(2, 0.1, 2) == pytest.approx(0.9801)


@given(copies=st.integers(1, 5), failure=st.floats(0.01, 0.9), blocks=st.integers(1, 8))
def test_availability_is_the_alternating_sum_of_cdrm(copies: int, failure: float, blocks: int) -> None:
    terms = [(-1) ** (j + 1) * math.comb(blocks, j) * failure ** (copies * j) for j in range(1, blocks + 1)]
    assert counts.availability(copies, failure, blocks) == pytest.approx(1.0 - sum(terms), abs=1e-12)


def test_availability_is_the_share_of_simulated_outages() -> None:
    rng = np.random.default_rng(0)
    down = rng.random((200_000, 3, 2)) < 0.2  # trials, blocks, copies
    readable = (down.sum(axis=2) < 2).all(axis=1)
    assert readable.mean() == pytest.approx(counts.availability(2, 0.2, 3), abs=4 * 0.32 / math.sqrt(200_000))


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (0.001, [1, 1, 2, 2, 2]),
        (0.01, [1, 2, 2, 3, 3]),
        (0.05, [2, 3, 4, 4, 5]),
        (0.1, [2, 3, 4, 5, 6]),
        (0.2, [3, 5, 6, 8, 9]),
    ],
)
def test_minimum_copies_for_two_to_six_nines(failure: float, expected: list[int]) -> None:
    nines = (0.99, 0.999, 0.9999, 0.99999, 0.999999)
    assert [counts.minimum_copies(availability, failure) for availability in nines] == expected


@given(availability=st.floats(0.5, 0.9999999), failure=st.floats(1e-4, 0.5), blocks=st.integers(1, 1000))
def test_minimum_copies_are_enough_and_one_less_is_not(availability: float, failure: float, blocks: int) -> None:
    copies = counts.minimum_copies(availability, failure, blocks)
    assert counts.availability(copies, failure, blocks) >= availability - 1e-8
    assert copies == 1 or counts.availability(copies - 1, failure, blocks) < availability + 1e-8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1.0, 0.1, 1), "availability.*1.0"), ((0.9, 0.0, 1), "failure_probability.*0.0"), ((0.9, 0.1, 0), "blocks.*0")],
)
def test_minimum_copies_names_what_is_wrong(arguments: tuple[float, float, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counts.minimum_copies(*arguments)


def test_copies_for_bandwidth_by_hand() -> None:
    assert counts.copies_for_bandwidth(1.0e9, 0.25e9, 1, 20) == 4
    assert counts.copies_for_bandwidth(1.01e9, 0.25e9, 1, 20) == 5
    assert counts.copies_for_bandwidth(0.0, 0.25e9, 3, 20) == 3
    assert counts.copies_for_bandwidth(1e30, 0.25e9, 3, 20) == 20
    assert counts.queue_aware_copies(0.5e9, 0.75e9, 0.25e9, 3, 20) == 5


def test_greedy_counts_by_hand() -> None:
    # Gains per byte of a second copy: 81/2, 9/2, 1/2; the first dataset's r-th copy gains 81/(r(r-1)).
    assert counts.copies_under_budget(np.array([9.0, 3.0, 1.0]), np.ones(3), 5.0, 1, 20).tolist() == [3, 1, 1]
    # Sixth copy: 81/12 = 6.75 against 9/2; seventh: 81/20 = 4.05 against 4.5.
    assert counts.copies_under_budget(np.array([9.0, 3.0, 1.0]), np.ones(3), 7.0, 1, 20).tolist() == [4, 2, 1]
    assert counts.copies_under_budget(np.array([9.0, 3.0, 1.0]), np.ones(3), 99.0, 1, 4).tolist() == [4, 4, 4]
    assert counts.copy_gain(9.0, 1, 2.0) == 20.25


def test_a_large_dataset_that_does_not_fit_is_passed_over() -> None:
    assert counts.copies_under_budget(np.array([9.0, 1.0]), np.array([10.0, 1.0]), 13.0, 1, 20).tolist() == [1, 3]


def test_data_that_is_not_read_gets_no_more_than_the_minimum() -> None:
    assert counts.copies_under_budget(np.array([0.0, 1.0]), np.ones(2), 100.0, 2, 5).tolist() == [2, 5]


def test_budget_below_the_minimum_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"budget.*2\.0"):
        counts.copies_under_budget(np.ones(2), np.ones(2), 4.0, 3, 5)


def test_counts_follow_demand_over_the_root_of_size() -> None:
    rng = np.random.default_rng(1)
    demand, size = rng.lognormal(0.0, 1.0, 50), rng.lognormal(0.0, 1.0, 50)
    copies = counts.copies_under_budget(demand, size, 2000.0 * size.mean(), 1, 10_000)
    ratio = copies / (demand / np.sqrt(size))
    assert ratio[copies > 20] == pytest.approx(np.median(ratio), rel=0.1)


@given(
    demand=st.lists(st.floats(0.1, 10.0), min_size=2, max_size=4),
    extra=st.integers(0, 6),
)
def test_greedy_is_the_best_of_all_counts_for_equal_sizes(demand: list[float], extra: int) -> None:
    demands = np.array(demand)
    copies = counts.copies_under_budget(demands, np.ones(len(demand)), len(demand) + float(extra), 1, 100)
    every = np.array(np.meshgrid(*[np.arange(1, extra + 2)] * len(demand))).reshape(len(demand), -1)
    every = every[:, every.sum(axis=0) == len(demand) + extra]
    best = (demands[:, None] ** 2 / every).sum(axis=0).min()
    assert (demands**2 / copies).sum() == pytest.approx(best)


def test_load_variation_is_that_of_random_placements() -> None:
    rng = np.random.default_rng(0)
    demand = 1.0 / np.arange(1, 101) ** 0.9
    copies = np.minimum(20, 1 + np.arange(100)[::-1] // 10)
    variations = []
    for _ in range(300):
        holder = np.zeros((100, 20), dtype=bool)
        for dataset, count in enumerate(copies):
            holder[dataset, rng.choice(20, count, replace=False)] = True
        load = server_load(demand, holder)
        variations.append(np.var(load) / np.mean(load) ** 2)
    # The variance of 20 servers' loads around their own mean is 19/20 of that around the expectation.
    simulated = math.sqrt(np.mean(variations) * 20 / 19)
    assert counts.load_variation(demand, copies, 20) == pytest.approx(simulated, rel=0.03)


def test_full_replication_has_no_variation() -> None:
    assert counts.load_variation(np.array([1.0, 2.0]), np.array([20, 20]), 20) == 0.0
    assert counts.load_variation(np.zeros(2), np.array([3, 3]), 20) == 0.0


def test_scarlett_wish_by_hand() -> None:
    assert scarlett.scarlett_wish(7, 1, 3, 20) == 8
    assert scarlett.scarlett_wish(1, 1, 3, 20) == 3
    assert scarlett.scarlett_wish(30, 1, 3, 20) == 20


def test_scarlett_spends_by_priority_or_in_turns() -> None:
    concurrent, size = np.array([5, 1, 7]), np.array([1.0, 2.0, 3.0])
    # Wishes 6, 3, 8; 9 bytes buy three copies of the largest, or in turns 3 + 1 + 3 + 1 + 1 bytes.
    assert scarlett.scarlett_counts(concurrent, size, 9.0, 1, 3, 20, False).tolist() == [3, 3, 6]
    assert scarlett.scarlett_counts(concurrent, size, 9.0, 1, 3, 20, True).tolist() == [6, 3, 5]


@given(st.data(), st.booleans())
def test_scarlett_stays_within_budget_and_wishes(data: st.DataObject, round_robin: bool) -> None:
    datasets = data.draw(st.integers(1, 8))
    concurrent = np.array(data.draw(st.lists(st.integers(0, 12), min_size=datasets, max_size=datasets)))
    size = np.array(data.draw(st.lists(st.integers(1, 9), min_size=datasets, max_size=datasets)), dtype=float)
    budget = float(data.draw(st.integers(0, 100)))
    copies = scarlett.scarlett_counts(concurrent, size, budget, 1, 3, 10, round_robin)
    spent = ((copies - 3) * size).sum()
    wish = np.clip(concurrent + 1, 3, 10)
    assert (copies >= 3).all()
    assert (copies <= wish).all()
    assert spent <= budget
    assert ((copies == wish) | (size > budget - spent)).all()


def test_peak_concurrency_by_hand() -> None:
    start = np.array([0.0, 1.0, 2.0, 3.0, 50.0])
    end = np.array([4.0, 2.0, 5.0, 6.0, 60.0])
    dataset = np.array([0, 0, 0, 1, 1])
    # The read that ends at 2 does not meet the one that starts then.
    assert scarlett.peak_concurrency(start, end, dataset, 3, 0.0, 100.0).tolist() == [2, 1, 0]
    assert scarlett.peak_concurrency(start, end, dataset, 3, 5.5, 100.0).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match=r"later than it starts.*0"):
        scarlett.peak_concurrency(np.array([1.0]), np.array([1.0]), np.array([0]), 1, 0.0, 9.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=20))
def test_peak_concurrency_is_the_busiest_moment(reads: list[tuple[int, int, int]]) -> None:
    start = np.array([read[0] for read in reads], dtype=float)
    end = start + [read[1] for read in reads]
    dataset = np.array([read[2] for read in reads])
    moments = np.arange(40)[:, None]
    running = (start <= moments) & (moments < end)
    expected = [running[:, dataset == d].sum(axis=1).max(initial=0) for d in range(3)]
    assert scarlett.peak_concurrency(start, end, dataset, 3, 0.0, 100.0).tolist() == expected
