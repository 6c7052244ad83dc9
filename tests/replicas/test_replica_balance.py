"""What a copy more or less does to the pressure on the servers: by hand, and against recomputing all loads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psgym.replicas.balance import pressure, relief_of_copy, relief_of_drop
from psgym.replicas.load import server_load


def test_pressure_by_hand() -> None:
    assert pressure(0.5, 1.0, 0.6) == pytest.approx(0.00025)
    assert pressure(1.6, 2.0, 0.6) == pytest.approx(0.04 + 0.00064)  # utilisation .8


def test_relief_by_hand() -> None:
    load, bandwidth = np.array([1.2, 0.2, 0.0]), np.ones(3)
    holder = np.array([True, False, False])
    # From 1.2 and .2 to .8 and .6: excess over .5 falls from .7 to .3, and rises from 0 to .1.
    relief = 0.7**2 - 0.3**2 - 0.1**2 + 0.001 * (1.2**2 + 0.2**2 - 0.8**2 - 0.6**2)
    assert relief_of_copy(0.8, 1, holder, 1, load, bandwidth, 0.5) == pytest.approx(relief)
    both, after = np.array([True, True, False]), np.array([0.8, 0.6, 0.0])
    assert relief_of_drop(0.8, 2, both, 1, after, bandwidth, 0.5) == pytest.approx(-relief)
    assert relief_of_copy(0.8, 0, np.zeros(3, np.bool_), 1, load, bandwidth, 0.5) == 0.0


@given(seed=st.integers(0, 2**32 - 1), target=st.floats(0.0, 1.0))
@settings(max_examples=60)
def test_relief_is_the_difference_of_the_pressures(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    holder = rng.random((6, 5)) < 0.6
    holder[0] = [True, True, True, False, False]
    demand, bandwidth = rng.exponential(0.6, 6), rng.uniform(0.5, 2.0, 5)

    def total(placement: np.ndarray) -> float:
        loads = server_load(demand, placement)
        return sum(pressure(load, b, target) for load, b in zip(loads, bandwidth, strict=True))

    load = server_load(demand, holder)
    more, less = holder.copy(), holder.copy()
    more[0, 3], less[0, 1] = True, False
    added = relief_of_copy(demand[0], 3, holder[0], 3, load, bandwidth, target)
    dropped = relief_of_drop(demand[0], 3, holder[0], 1, load, bandwidth, target)
    assert added == pytest.approx(total(holder) - total(more), abs=1e-9)
    assert dropped == pytest.approx(total(holder) - total(less), abs=1e-9)
