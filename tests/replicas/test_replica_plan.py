"""The plan from an access log: what it copies and drops, its limits, and what is wrong with a log."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psgym.replicas.arrays import Bools, Floats
from psgym.replicas.packing import pack
from psgym.replicas.plan import AccessLog, ReplicaPlan, plan_replicas
from psgym.replicas.planner import HotColdPlanner, HotColdRule, Servers

GIGABYTE = 1e9
RULE = HotColdRule(threshold_share=0.25, minimum_copies=2, half_life_seconds=60.0)


def servers(count: int = 4, capacity: float = 100.0 * GIGABYTE) -> Servers:
    """Servers of 1 GB/s on two racks."""
    return Servers(np.full(count, capacity), np.full(count, GIGABYTE), np.arange(count) % 2)


def constant_log(rates: list[float], seconds: float) -> AccessLog:
    """Each dataset read once a second at a constant rate, bytes/s."""
    times = np.repeat(np.arange(0.0, seconds), len(rates))
    dataset = np.tile(np.arange(len(rates)), int(seconds))
    return AccessLog(times, dataset, np.tile(np.array(rates), int(seconds)))


def test_a_hot_dataset_gets_the_copies_its_bandwidth_needs() -> None:
    # .7 GB/s over copies of at most .25 GB/s each: three.
    plan = plan_replicas(constant_log([0.7e9, 0.0], 1800.0), np.full(2, GIGABYTE), servers(), RULE)
    assert plan.copies.tolist() == [3, 2]
    assert [(change.action, change.dataset) for change in plan.changes] == [("add", 0)]
    assert plan.moved_bytes == GIGABYTE
    assert plan.flaps() == 0


def test_a_copy_takes_the_time_of_its_bytes() -> None:
    # 1 GB at a quarter of 1 GB/s.
    plan = plan_replicas(constant_log([0.7e9], 600.0), np.full(1, GIGABYTE), servers(), RULE)
    (change,) = plan.changes
    assert change.ready_seconds - change.seconds == pytest.approx(4.0)
    assert plan.initial[0, change.source]
    assert not plan.initial[0, change.server]


def test_a_burst_comes_and_goes() -> None:
    burst = constant_log([0.7e9], 600.0)
    quiet = AccessLog(np.array([4000.0]), np.array([0]), np.array([0.0]))
    log = AccessLog(*(np.concatenate(pair) for pair in zip(vars(burst).values(), vars(quiet).values(), strict=True)))
    plan = plan_replicas(log, np.full(1, GIGABYTE), servers(), RULE)
    assert [change.action for change in plan.changes] == ["add", "drop"]
    assert plan.copies.tolist() == [2]
    drop = plan.changes[-1]
    assert drop.ready_seconds == drop.seconds > 600.0


def test_the_cooldown_spaces_changes() -> None:
    rule = replace(RULE, cooldown_seconds=300.0)
    plan = plan_replicas(constant_log([0.99e9], 1800.0), np.full(1, GIGABYTE), servers(), rule)
    times = [change.seconds for change in plan.changes]
    assert len(times) == 2
    assert times[1] - times[0] >= 300.0


def test_a_full_server_takes_no_copy() -> None:
    tight = servers(count=3, capacity=GIGABYTE)
    plan = plan_replicas(constant_log([0.9e9], 600.0), np.full(1, GIGABYTE), tight, replace(RULE, minimum_copies=3))
    assert plan.changes == ()
    small = Servers(np.array([1.0, 1.0, 0.5]) * GIGABYTE, np.full(3, GIGABYTE), np.array([0, 1, 2]))
    assert plan_replicas(constant_log([0.9e9], 600.0), np.full(1, GIGABYTE), small, RULE).changes == ()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), eta=st.floats(0.1, 1.0))
def test_limits_hold_for_any_reads(seed: int, eta: float) -> None:
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.5, 4.0, 12) * GIGABYTE
    fleet = servers(count=6, capacity=1.3 * 2 * size.sum() / 6 + size.max())
    planner = HotColdPlanner(size, fleet, replace(RULE, eta=eta), seed=seed)
    holder, last_added = planner.holder, np.full(12, -np.inf)
    for _ in range(60):
        rates = rng.exponential(0.3e9, 12) * (rng.random(12) < 0.5)
        for change in planner.step(rates * 30.0):
            added = change.action == "add"
            assert holder[change.dataset, change.server] != added
            holder[change.dataset, change.server] = added
            if added:
                assert holder[change.dataset, change.source]
                last_added[change.dataset] = change.seconds
        assert (planner.holder == holder).all()
        assert (holder.sum(axis=1) >= RULE.minimum_copies).all()
        assert (planner.live.sum(axis=1) >= 1).all()
        assert (size @ holder <= fleet.capacity).all()
        assert all(len(set(fleet.rack[row].tolist())) == 2 for row in holder)


@settings(max_examples=20)
@given(rates=st.lists(st.floats(0.0, 1.5e9), min_size=1, max_size=5), eta=st.floats(0.05, 1.0))
def test_no_flapping_on_constant_reads(rates: list[float], eta: float) -> None:
    planner = HotColdPlanner(np.full(len(rates), GIGABYTE), servers(6), replace(RULE, eta=eta))
    actions = [change.action for _ in range(200) for change in planner.step(np.array(rates) * 30.0)]
    assert "drop" not in actions
    assert len(actions) <= 4 * len(rates)


def busy_plan(relabel_datasets: list[int], relabel_servers: list[int]) -> tuple[ReplicaPlan, Bools]:
    """A plan of three hot datasets and its start, with both relabelled; no two loads are equal."""
    size = np.array([1.0, 2.0, 3.0])[relabel_datasets] * GIGABYTE
    fleet = Servers(np.full(5, 1e12), np.array([1.0, 1.1, 1.2, 1.3, 1.4])[relabel_servers] * GIGABYTE, np.arange(5))
    holder = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    holder = holder[np.ix_(relabel_datasets, relabel_servers)]
    rates = np.array([1.15e9, 1.0e9, 0.7e9])[relabel_datasets]
    return plan_replicas(constant_log(rates.tolist(), 900.0), size, fleet, RULE, holder=holder), holder


@given(datasets=st.permutations(range(3)), fleet=st.permutations(range(5)))
def test_relabelling_relabels_the_plan(datasets: list[int], fleet: list[int]) -> None:
    reference, _ = busy_plan([0, 1, 2], [0, 1, 2, 3, 4])
    relabelled, holder = busy_plan(datasets, fleet)
    assert len(reference.changes) > 3
    assert (relabelled.initial == holder).all()
    assert (relabelled.final == reference.final[np.ix_(datasets, fleet)]).all()
    changes = {(c.seconds, c.action, datasets[c.dataset], fleet[c.server]) for c in relabelled.changes}
    assert changes == {(c.seconds, c.action, c.dataset, c.server) for c in reference.changes}


def test_the_plan_lightens_the_busiest_server() -> None:
    rng = np.random.default_rng(0)
    rates = 6e9 / np.arange(1, 41) ** 1.1 / (1.0 / np.arange(1, 41) ** 1.1).sum()
    size = rng.lognormal(0.0, 0.5, 40) * GIGABYTE
    fleet = servers(count=10)
    planner = HotColdPlanner(size, fleet, RULE, seed=1)

    def busiest() -> float:
        live = planner.live
        return float((rates / live.sum(axis=1) @ live).max() / GIGABYTE)

    before = busiest()
    for _ in range(60):
        planner.step(rates * 30.0)
    assert before > 0.95
    assert busiest() < 0.8


def test_packing_spreads_over_space_and_racks() -> None:
    size = np.array([4.0, 3.0, 2.0, 1.0])
    holder = pack(size, np.full(4, 2), np.full(4, 10.0), np.array([0, 0, 1, 1]), np.arange(4.0))
    # Largest first, on the emptiest server, then on the emptiest of the other rack.
    assert holder.astype(int).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0]]
    with pytest.raises(ValueError, match=r"no server has room.*0, 1, 2"):
        pack(np.array([5.0]), np.array([2]), np.array([9.0, 4.0]), np.zeros(2, dtype=np.int64), np.arange(2.0))


def reads(seconds: list[float], dataset: list[int], bytes_read: list[float]) -> tuple[Floats, np.ndarray, Floats]:
    """The arrays of a log."""
    return np.array(seconds, dtype=float), np.array(dataset), np.array(bytes_read, dtype=float)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (reads([0, 2, 1], [0, 0, 0], [1, 1, 1]), r"seconds\[2\].*1\.0"),
        (reads([0, np.nan], [0, 0], [1, 1]), r"seconds\[1\].*nan"),
        (reads([0, 1], [0, -3], [1, 1]), r"dataset\[1\].*-3"),
        (reads([0, 1], [0, 0], [1, -5]), r"bytes_read\[1\].*-5\.0"),
        (reads([0, 1], [0], [1, 1]), r"shapes .*\(2,\), \(1,\)"),
        (reads([], [], []), r"shapes .*\(0,\)"),
    ],
)
def test_a_malformed_log_names_the_read(arrays: tuple[Floats, np.ndarray, Floats], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AccessLog(*arrays)


def test_a_dataset_without_a_size_is_named() -> None:
    log = AccessLog(*reads([0, 1], [0, 7], [1, 1]))
    with pytest.raises(ValueError, match=r"dataset\[1\].*below 2.*7"):
        plan_replicas(log, np.ones(2), servers(), RULE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eta": 1.5}, r"eta.*1\.5"),
        ({"minimum_copies": 0}, r"minimum_copies.*0"),
        ({"half_life_seconds": float("nan")}, "half_life_seconds.*nan"),
        ({"cooldown_seconds": -1.0}, r"cooldown_seconds.*-1\.0"),
    ],
)
def test_a_rule_out_of_range_is_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HotColdRule(**change)  # type: ignore[arg-type]


def test_wrong_servers_and_placements_are_named() -> None:
    fleet = servers()
    with pytest.raises(ValueError, match=r"capacity\[1\].*-1"):
        Servers(np.array([1.0, -1.0]), np.ones(2), np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match="one entry per server"):
        Servers(np.ones(2), np.ones(3), np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match=r"size\[0\].*0\.0"):
        HotColdPlanner(np.array([0.0]), fleet, RULE)
    with pytest.raises(ValueError, match=r"\(1, 4\), found \(2, 4\)"):
        HotColdPlanner(np.ones(1), fleet, RULE, holder=np.ones((2, 4), dtype=bool))
    with pytest.raises(ValueError, match="none of dataset 0"):
        HotColdPlanner(np.ones(1), fleet, RULE, holder=np.zeros((1, 4), dtype=bool))
    with pytest.raises(ValueError, match="bytes too many on 0"):
        HotColdPlanner(np.full(1, 1e12), fleet, RULE, holder=np.ones((1, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"\(1,\), found \(2,\)"):
        HotColdPlanner(np.ones(1), fleet, RULE).step(np.ones(2))
