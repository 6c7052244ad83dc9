"""Demand, durations and capacity."""

import numpy as np
import pytest

from psgym.predictors.capacity import CapacityPlanner, nodes_for
from psgym.predictors.demand import DurationHazard, EWMADemand, expected_flow, expected_stock
from psgym.predictors.metrics import pinball


def test_demand_starts_at_the_prior_and_moves_to_what_is_seen() -> None:
    demand = EWMADemand([[2.0, 1.0], [4.0, 0.0]])
    np.testing.assert_array_equal(demand.mean(), [[2.0, 1.0], [4.0, 0.0]])
    for _ in range(2000):
        demand.observe(0, [6.0, 1.0])
    np.testing.assert_allclose(demand.mean(), [[6.0, 1.0], [4.0, 0.0]], rtol=0.02)


def test_demand_is_not_biased_by_its_start() -> None:
    demand = EWMADemand([[1.0]], half_life=100.0, prior_weight=1e-9)
    for _ in range(3):
        demand.observe(0, [10.0])
    np.testing.assert_allclose(demand.mean(), 10.0)


def test_demand_learns_the_variance() -> None:
    rng = np.random.default_rng(0)
    demand = EWMADemand([[5.0]], half_life=2000.0)
    for x in rng.normal(20.0, 3.0, 8000):
        demand.observe(0, [x])
    assert demand.mean()[0, 0] == pytest.approx(20.0, rel=0.01)
    assert demand.variance()[0, 0] == pytest.approx(9.0, rel=0.1)


def test_demand_rejects_what_it_cannot_place() -> None:
    demand = EWMADemand([[1.0, 1.0]])
    with pytest.raises(ValueError, match="kind=1"):
        demand.observe(1, [1.0, 1.0])
    with pytest.raises(ValueError, match="2 finite values >= 0"):
        demand.observe(0, [1.0])
    with pytest.raises(ValueError, match="2 finite values >= 0"):
        demand.observe(0, [1.0, np.nan])


def test_hazard_counts_those_that_still_run() -> None:
    rng = np.random.default_rng(0)
    hazard, true = DurationHazard(half_life=1e6), 0.25
    ages = np.zeros(0, np.int64)
    for _ in range(3000):
        ages = np.concatenate([ages, np.zeros(3, np.int64)])
        ended = rng.random(len(ages)) < true
        hazard.observe(ages, ended)
        ages = ages[~ended] + 1
    np.testing.assert_allclose(hazard.hazard()[:4], true, atol=0.02)
    np.testing.assert_allclose(hazard.survival([0], 3)[0], (1 - true) ** np.arange(1, 4), atol=0.03)


def test_stock_is_survivors_and_arrivals() -> None:
    hazard = DurationHazard(edges=(0,), prior_hazard=0.5)
    stock = expected_stock([3, 7], np.array([[2.0], [4.0]]), np.array([[1.0], [1.0]]), np.array([[8.0]]), hazard)
    np.testing.assert_allclose(stock[:, 0], [6 * 0.5 + 8 * 0.5, 6 * 0.25 + 8 * 0.25 + 8 * 0.5])
    np.testing.assert_allclose(expected_flow(np.array([[2.0, 1.0]]), np.array([[1.0], [3.0]])), [[5.0]])


@pytest.mark.parametrize(("lead", "quantile"), [(1, 0.9), (6, 0.9), (3, 0.7)])
def test_the_need_is_covered_at_the_quantile(lead: int, quantile: float) -> None:
    rng = np.random.default_rng(0)
    mean = 50.0 + 30.0 * np.sin(np.arange(4000) / 24)
    truth = rng.gamma(2.0, mean / 2.0)
    planner = CapacityPlanner([8.0], quantile=quantile, lead=lead)
    need = [planner.plan([truth[t]], mean[t + 1 : t + 1 + lead, None]).need[lead - 1, 0] for t in range(3900)]
    assert np.mean(truth[500 + lead : 3900 + lead] <= need[500:]) == pytest.approx(quantile, abs=0.015)


def lasting_errors(rng: np.random.Generator, share: float) -> np.ndarray:
    """A need around 100 whose deviation keeps a share of itself from slot to slot, of standard deviation 10."""
    deviation = np.zeros(3000)
    for t in range(1, len(deviation)):
        deviation[t] = share * deviation[t - 1] + rng.normal(0.0, 10.0 * np.sqrt(1.0 - share**2))
    return 100.0 + deviation


def planned(needed: np.ndarray, lead: int, correct: bool) -> np.ndarray:
    """Quantiles planned for the slots from 500 on, of a forecast that always says 100."""
    planner = CapacityPlanner([1.0], lead=lead, correct=correct)
    bounds = [planner.plan([now], np.full((lead, 1), 100.0)).need[-1, 0] for now in needed[:-lead]]
    return np.array(bounds)[500 - lead :]


@pytest.mark.parametrize("lead", [1, 4])
def test_what_lasts_of_an_error_is_planned_for(lead: int) -> None:
    needed = lasting_errors(np.random.default_rng(1), 0.9)
    truth = needed[500:]
    corrected, plain = planned(needed, lead, True), planned(needed, lead, False)
    # The best plan misses by what no forecast can know: a normal error of this deviation, whose pinball loss at its own
    # 90 % quantile is .1755 deviations.
    best = 0.1755 * 10.0 * np.sqrt(1.0 - 0.9 ** (2 * lead))
    assert pinball(truth, corrected, 0.9) == pytest.approx(best, rel=0.1)
    assert pinball(truth, plain, 0.9) > 1.15 * best
    assert np.mean(truth <= corrected) == pytest.approx(0.9, abs=0.015)


def test_where_no_error_lasts_none_is_planned_for() -> None:
    needed = lasting_errors(np.random.default_rng(2), 0.0)
    corrected, plain = planned(needed, 2, True), planned(needed, 2, False)
    assert pinball(needed[500:], corrected, 0.9) == pytest.approx(pinball(needed[500:], plain, 0.9), rel=0.03)


def test_out_on_the_forecast_in_on_what_is_observed() -> None:
    planner = CapacityPlanner([1.0], lead=2, cooldown=4)
    for _ in range(50):
        planner.plan([10.0], [[10.0], [10.0]])
    assert planner.plan([10.0], [[10.0], [40.0]]).nodes >= 40
    # The forecast falls while the observed need does not: nothing is given back.
    assert planner.plan([40.0], [[1.0], [1.0]]).nodes >= 40
    held = [planner.plan([1.0], [[1.0], [1.0]]).nodes for _ in range(5)]
    assert held[2] >= 40
    assert held[4] < 40


def test_the_scarcest_resource_sets_the_nodes() -> None:
    assert nodes_for(np.array([8.0, 1.0]), np.array([8.0, 2.0])) == 1
    assert nodes_for(np.array([8.1, 1.0]), np.array([8.0, 2.0])) == 2
    assert nodes_for(np.array([8.0, 5.0]), np.array([8.0, 2.0])) == 3
    assert nodes_for(np.zeros(2), np.array([8.0, 2.0])) == 0


def test_a_planner_says_what_does_not_fit() -> None:
    planner = CapacityPlanner([8.0, 2.0], lead=2)
    with pytest.raises(ValueError, match=r"expected \(2,\) and \(2, 2\)"):
        planner.plan([1.0, 1.0], [[1.0, 1.0]])
    with pytest.raises(ValueError, match="finite values >= 0"):
        planner.plan([1.0, np.nan], np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"quantile=1\.5"):
        CapacityPlanner([8.0], quantile=1.5)
