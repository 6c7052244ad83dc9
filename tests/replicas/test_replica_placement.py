"""Placement and eviction: hand-worked choices, and that a choice does not depend on the labels."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from psgym.replicas import eviction, placement, racks
from psgym.replicas.arrays import Bools, Floats, Integers

ALL = np.ones(4, dtype=bool)
NONE = np.zeros(4, dtype=bool)
BUSY = np.array([0.7, 0.2, 0.2, 0.9])
TIE = np.array([0.1, 0.9, 0.4, 0.3])
RACK = np.array([0, 0, 1, 1])


def marks(*servers: int) -> Bools:
    """Marks of four servers."""
    result = np.zeros(4, dtype=bool)
    result[list(servers)] = True
    return result


def test_least_loaded_by_hand() -> None:
    assert placement.least_loaded(BUSY, ALL, TIE) == 2
    assert placement.least_loaded(BUSY, marks(0, 3), TIE) == 0
    assert placement.least_loaded(BUSY, NONE, TIE) == -1


def test_weighted_by_hand() -> None:
    free = np.array([0.9, 0.1, 0.2, 0.9])
    # .5 (1 - u) + .3 free + .2 new rack: .42, .43, .66, .52
    assert placement.weighted_score(0.7, 0.9, False) == 0.42000000000000004
    assert placement.weighted(BUSY, free, marks(2, 3), ALL, TIE) == 2
    assert placement.weighted(BUSY, free, marks(2, 3), marks(0, 1, 3), TIE) == 3
    assert placement.weighted(BUSY, free, NONE, NONE, TIE) == -1


def test_random_choice_and_power_of_two_by_hand() -> None:
    assert placement.random_choice(ALL, TIE) == 0
    assert placement.random_choice(marks(1, 2), TIE) == 2
    # The two smallest numbers draw servers 0 and 3; 0 is less loaded.
    assert placement.power_of_two(BUSY, ALL, TIE) == 0
    assert placement.power_of_two(np.array([0.7, 0.2, 0.2, 0.1]), ALL, TIE) == 3
    assert placement.power_of_two(BUSY, marks(3), TIE) == 3
    assert placement.power_of_two(BUSY, NONE, TIE) == -1


def test_most_free_by_hand() -> None:
    assert placement.most_free(BUSY, ALL, TIE) == 3
    assert placement.most_free(BUSY, marks(1, 2), TIE) == 2
    assert placement.most_free(BUSY, NONE, TIE) == -1


def test_copy_source_by_hand() -> None:
    assert placement.copy_source(BUSY, marks(0, 1, 2)) == 1
    assert placement.copy_source(BUSY, marks(0, 1, 2), TIE) == 2
    assert placement.copy_source(BUSY, NONE) == -1


def test_copy_to_drop_keeps_two_racks() -> None:
    full = np.array([0.1, 0.1, 0.5, 0.5])
    # Server 3 is the busiest and fullest; without 0 or 1 the copies stand on one rack only if 2 and 3 both go.
    assert placement.copy_to_drop(BUSY, full, marks(0, 1, 3), RACK) == 0
    assert placement.copy_to_drop(BUSY, full, marks(0, 2, 3), RACK) == 3
    assert placement.copy_to_drop(BUSY, full, marks(0, 3), RACK) == 3
    assert placement.copy_to_drop(BUSY, full, marks(0, 1, 3), RACK, marks(3)) == 3
    assert placement.copy_to_drop(BUSY, full, NONE, RACK) == -1


def test_drop_ties_are_settled_by_number() -> None:
    even = np.full(4, 0.5)
    assert placement.copy_to_drop(even, even, ALL, RACK) == 0
    assert placement.copy_to_drop(even, even, marks(1, 2, 3), RACK, ALL, TIE) == 3


def test_new_racks_by_hand() -> None:
    assert racks.on_new_rack(2, marks(0, 1), RACK)
    assert not racks.on_new_rack(3, marks(2), RACK)
    assert racks.on_one_rack(marks(0, 1), RACK)
    assert not racks.on_one_rack(marks(1, 2), RACK)
    assert not racks.on_one_rack(NONE, RACK)


def test_rack_limit_by_hand() -> None:
    # HDFS's three copies over three racks: at most two on one.
    assert racks.rack_limit(3, 3) == 2
    assert racks.rack_limit(2, 4) == 1
    assert racks.rack_limit(10, 4) == 4
    assert racks.rack_limit(5, 1) == 5
    assert racks.rack_limit(1, 4) == 1


@given(copies=st.integers(2, 50), count=st.integers(2, 20))
def test_rack_limit_forces_two_racks_and_leaves_room(copies: int, count: int) -> None:
    limit = racks.rack_limit(copies, count)
    assert limit < copies
    assert limit * count >= copies


def feasible_servers(up: Bools, holder: Bools, free: Floats, size: float, rack: Integers) -> list[int]:
    """Servers that :func:`mark_feasible` marks, checked against the count that it returns."""
    feasible = np.zeros_like(up)
    count = racks.mark_feasible(up, holder, free, size, rack, feasible)
    assert count == feasible.sum()
    return np.flatnonzero(feasible).tolist()


def test_feasible_by_hand() -> None:
    free = np.array([5.0, 5.0, 5.0, 1.0])
    assert feasible_servers(ALL, NONE, free, 2.0, RACK) == [0, 1, 2]
    assert feasible_servers(ALL, marks(0), free, 2.0, RACK) == [2]
    assert feasible_servers(marks(0, 1, 3), marks(0), free, 2.0, RACK) == [1]
    assert feasible_servers(ALL, marks(0, 2), free, 2.0, RACK) == [1]
    assert feasible_servers(ALL, marks(0, 2), free, 5.5, RACK) == []


def test_evicts_the_least_score_above_the_minimum() -> None:
    score = np.array([3.0, 1.0, 1.0, 0.5])
    copies = np.array([4, 4, 4, 3])
    assert eviction.dataset_to_evict(score, copies, 3, ALL, TIE) == 2
    assert eviction.dataset_to_evict(score, copies, 3, marks(0, 1), TIE) == 1
    assert eviction.dataset_to_evict(score, copies, 2, ALL, TIE) == 3
    assert eviction.dataset_to_evict(score, copies, 4, ALL, TIE) == -1


Case = tuple[Floats, Floats, Bools, Floats, Integers]

CHOICES: dict[str, Callable[[Case], int]] = {
    "least_loaded": lambda c: placement.least_loaded(c[0], c[2], c[3]),
    "weighted": lambda c: placement.weighted(c[0], c[1], c[4] > 1, c[2], c[3]),
    "power_of_two": lambda c: placement.power_of_two(c[0], c[2], c[3]),
    "random_choice": lambda c: placement.random_choice(c[2], c[3]),
    "most_free": lambda c: placement.most_free(c[1], c[2], c[3]),
    "copy_source": lambda c: placement.copy_source(c[0], c[2], c[3]),
    "copy_to_drop": lambda c: placement.copy_to_drop(c[0], c[1], c[2], c[4], None, c[3]),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, Integers]:
    """Servers with many equal loads but distinct tie numbers, and a relabelling."""
    servers = draw(st.integers(1, 9))
    levels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=servers, max_size=servers)
    busy, free = np.array(draw(levels)), np.array(draw(levels))
    feasible = np.array(draw(st.lists(st.booleans(), min_size=servers, max_size=servers)))
    tie = np.array(draw(st.permutations(range(servers))), dtype=float)
    rack = np.array(draw(st.lists(st.integers(0, 3), min_size=servers, max_size=servers)))
    relabelling = np.array(draw(st.permutations(range(servers))))
    return (busy, free, feasible, tie, rack), relabelling


@given(cases())
def test_relabelling_servers_relabels_the_choice(drawn: tuple[Case, Integers]) -> None:
    case, new_to_old = drawn
    relabelled = tuple(array[new_to_old] for array in case)
    for name, choose in CHOICES.items():
        chosen, chosen_relabelled = choose(case), choose(relabelled)  # type: ignore[arg-type]
        assert (chosen == -1) == (not case[2].any()), name
        if chosen >= 0:
            assert case[2][chosen], name
            assert new_to_old[chosen_relabelled] == chosen, name


@given(cases())
def test_a_drop_keeps_two_racks_where_it_can(drawn: tuple[Case, Integers]) -> None:
    busy, free, holder, tie, rack = drawn[0]
    chosen = placement.copy_to_drop(busy, free, holder, rack, None, tie)
    if chosen < 0:
        return
    racks_left = [
        len(set(rack[holder & (np.arange(holder.size) != server)].tolist())) for server in np.flatnonzero(holder)
    ]
    left = holder.copy()
    left[chosen] = False
    assert min(2, max(racks_left)) == min(2, len(set(rack[left].tolist()))) or max(racks_left) < 2


@given(cases(), st.sampled_from([0.25, 0.5]))
def test_feasible_servers_have_room_and_a_new_rack_where_needed(drawn: tuple[Case, Integers], size: float) -> None:
    _, free, holder, tie, rack = drawn[0]
    up = tie > 0
    chosen = feasible_servers(up, holder, free, size, rack)
    able = [s for s in range(up.size) if up[s] and not holder[s] and free[s] >= size]
    assert set(chosen) <= set(able)
    elsewhere = [s for s in able if rack[s] not in rack[holder]]
    if len(set(rack[holder].tolist())) == 1 and elsewhere:
        assert chosen == elsewhere
    else:
        assert chosen == able
