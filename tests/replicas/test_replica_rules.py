"""The rules that call data hot or cold: hand-worked cases and the absence of flapping."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from psgym.replicas import rules
from psgym.replicas.heat import decay, updated_heat

thresholds = st.floats(1e-3, 1e9)
heats = st.floats(0.0, 1e12)
etas = st.floats(1e-3, 1.0)


def test_hot_by_hand() -> None:
    assert rules.is_hot(31.0, 3, 10.0)
    assert not rules.is_hot(30.0, 3, 10.0)
    assert rules.is_hot(1.0, 0, 10.0)
    assert not rules.is_hot(0.0, 0, 10.0)


def test_cold_is_judged_after_the_drop() -> None:
    # Three copies of 12 bytes/s: two would carry 6 each, above .5 x 10.
    assert not rules.is_cold(12.0, 3, 1, 10.0, 0.5)
    assert rules.is_cold(9.9, 3, 1, 10.0, 0.5)
    assert not rules.is_cold(0.0, 3, 3, 10.0, 0.5)


def test_one_threshold_is_judged_before_the_drop() -> None:
    assert rules.is_cold_one_threshold(29.0, 3, 1, 10.0)
    assert not rules.is_cold_one_threshold(29.0, 3, 3, 10.0)
    assert not rules.is_cold_one_threshold(30.0, 3, 1, 10.0)
    assert rules.is_hot_one_threshold(31.0, 3, 10.0)


def test_cooldown_by_hand() -> None:
    assert rules.has_cooled_down(60.0, 60.0)
    assert not rules.has_cooled_down(59.9, 60.0)


@given(heat=heats, copies=st.integers(0, 1000), minimum=st.integers(0, 10), threshold=thresholds, eta=etas)
def test_a_copy_just_added_is_never_cold(heat: float, copies: int, minimum: int, threshold: float, eta: float) -> None:
    if rules.is_hot(heat, copies, threshold):
        assert not rules.is_cold(heat, copies + 1, minimum, threshold, eta)


@given(heat=heats, copies=st.integers(2, 1000), threshold=thresholds, eta=etas)
def test_a_copy_just_dropped_is_never_missed(heat: float, copies: int, threshold: float, eta: float) -> None:
    if rules.is_cold(heat, copies, 1, threshold, eta):
        assert not rules.is_hot(heat, copies - 1, threshold)


def changes_on_constant_heat(heat: float, copies: int, eta: float | None, epochs: int) -> list[int]:
    """+1 and -1 for every copy added and dropped; ``eta`` None is the rule of one threshold."""
    changes = []
    for _ in range(epochs):
        cold = (
            rules.is_cold_one_threshold(heat, copies, 1, 1.0)
            if eta is None
            else rules.is_cold(heat, copies, 1, 1.0, eta)
        )
        change = int(rules.is_hot(heat, copies, 1.0)) - int(cold)
        copies += change
        if change:
            changes.append(change)
    return changes


@given(heat=st.floats(0.0, 30.0), copies=st.integers(1, 40), eta=etas)
def test_no_flapping_on_constant_heat(heat: float, copies: int, eta: float) -> None:
    changes = changes_on_constant_heat(heat, copies, eta, 100)
    assert len(changes) < 40
    assert len(set(changes)) <= 1


@given(copies=st.integers(1, 20), above=st.floats(0.01, 0.99))
def test_one_threshold_flaps_forever_between_two_counts(copies: int, above: float) -> None:
    changes = changes_on_constant_heat(copies + above, copies, None, 100)
    assert changes == [1, -1] * 50


def flaps_per_thousand(eta: float, half_life_epochs: float, reads: float, epochs: int) -> float:
    """Changes per 1,000 epochs of a dataset of Poisson reads; the threshold sits where two copies are just hot."""
    factor = decay(1.0, half_life_epochs)
    heat, copies, changes = 2.0 * reads, 2, 0
    for count in np.random.default_rng(0).poisson(2.0 * reads, epochs):
        heat = updated_heat(heat, float(count), 1.0, factor)
        change = int(rules.is_hot(heat, copies, reads)) - int(rules.is_cold(heat, copies, 1, reads, eta))
        copies += change
        changes += change != 0
    return 1000.0 * changes / epochs


def test_memory_and_hysteresis_calm_noisy_heat() -> None:
    assert flaps_per_thousand(1.0, 1.0, 20.0, 20_000) > 100.0
    assert flaps_per_thousand(0.6, 1.0, 20.0, 20_000) < 3.0
    assert flaps_per_thousand(0.75, 6.6, 20.0, 20_000) < 0.2
