"""Load, latency and transfer times: hand-worked values, limits, and a small event simulation."""

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psgym.replicas import latency, load, transfer

loads = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=8)


def test_latency_by_hand() -> None:
    # 64 MB at 1 GB/s take .064 s alone, twice that at half load.
    assert latency.capped_utilisation(0.5e9, 1e9) == 0.5
    assert latency.mean_latency(64e6, 0.5e9, 1e9) == pytest.approx(0.128)
    assert latency.p95_latency(64e6, 0.5e9, 1e9) == pytest.approx((1.53 + 0.745) * 0.128)
    assert latency.p99_latency(64e6, 0.5e9, 1e9) == pytest.approx((1.96 + 1.35) * 0.128)


def test_overload_is_frozen_at_the_cap() -> None:
    assert latency.capped_utilisation(5.0, 1.0) == latency.MAX_UTILISATION
    assert latency.capped_utilisation(5.0, 0.0) == latency.MAX_UTILISATION
    assert latency.capped_utilisation(0.0, 0.0) == 0.0
    assert latency.mean_latency(1.0, 5.0, 1.0) == pytest.approx(50.0)


def test_cluster_mean_weighs_by_load() -> None:
    assert latency.cluster_mean(1.0, np.array([0.5, 0.25]), np.ones(2)) == pytest.approx(
        (0.5 * 2 + 0.25 * 4 / 3) / 0.75
    )


def test_cluster_of_equal_servers_is_one_server() -> None:
    busy, bandwidth = np.full(5, 0.6), np.ones(5)
    assert latency.cluster_p95(0.5, busy, bandwidth) == pytest.approx(latency.p95_latency(0.5, 0.6, 1.0))
    assert latency.cluster_p99(0.5, busy, bandwidth) == pytest.approx(latency.p99_latency(0.5, 0.6, 1.0))


def test_cluster_percentile_solves_the_mixture() -> None:
    busy, bandwidth = np.array([0.8, 0.3]), np.array([1.0, 1.0])
    found = latency.cluster_p99(1.0, busy, bandwidth)
    late = 0.0
    for rho in busy:
        scale = (latency.p99_latency(1.0, rho, 1.0) - 1.0) / math.log(100.0)
        late += rho * math.exp(-(found - 1.0) / scale)
    assert late / busy.sum() == pytest.approx(0.01)


def test_nothing_read_takes_no_time() -> None:
    idle = np.zeros(3)
    for function in (latency.cluster_mean, latency.cluster_p95, latency.cluster_p99):
        assert function(1.0, idle, np.ones(3)) == 0.0


@given(loads)
def test_percentiles_are_ordered_and_relabelling_changes_nothing(values: list[float]) -> None:
    busy = np.array(values)
    bandwidth = np.linspace(1.0, 2.0, busy.size)
    if busy.sum() <= 0.0:
        return
    mean, p95, p99 = (f(1.0, busy, bandwidth) for f in (latency.cluster_mean, latency.cluster_p95, latency.cluster_p99))
    assert p95 < p99
    assert min(1.0 / bandwidth) <= mean
    assert latency.cluster_p99(1.0, busy[::-1].copy(), bandwidth[::-1].copy()) == pytest.approx(p99)
    assert latency.cluster_p99(2.0, busy, bandwidth) == pytest.approx(2.0 * p99)


def test_load_splits_evenly_by_hand() -> None:
    holder = np.array([[True, True, False], [False, True, True], [False, False, False]])
    carried = np.zeros(3)
    assert load.add_server_load(np.array([4.0, 2.0, 7.0]), holder, carried) == 7.0
    assert carried.tolist() == [2.0, 3.0, 1.0]
    assert load.max_over_mean(carried) == 1.5
    assert load.max_over_mean(np.zeros(3)) == 1.0


def test_full_replication_is_even() -> None:
    assert load.max_over_mean(load.server_load(np.array([3.0, 1.0]), np.ones((2, 4), dtype=bool))) == 1.0


@given(st.data())
def test_load_is_conserved(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    demand, holder = rng.exponential(1.0, 30), rng.random((30, 6)) < 0.3
    carried = np.zeros(6)
    unavailable = load.add_server_load(demand, holder, carried)
    assert carried.sum() + unavailable == pytest.approx(demand.sum(), rel=1e-12)


def test_transfer_times_by_hand() -> None:
    # The source gives .25 x 2 / 2, the target .25 x 1 / 1.
    assert transfer.copy_rate(2.0, 2, 1.0, 1, 0.25) == 0.25
    assert transfer.copy_rate(2.0, 4, 1.0, 1, 0.25) == 0.125
    # .84 TB, 20 servers of 1.25 GB/s, a tenth of it for copies.
    assert transfer.recovery_seconds(0.84e12, 1.25e9, 0.1, 20, True) == pytest.approx(353.7, abs=0.1)
    assert transfer.recovery_seconds(0.84e12, 1.25e9, 0.1, 20, False) == pytest.approx(6720.0)


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The discrete-event simulation of ``benchmarks/storage_latency.py``."""
    pytest.importorskip("simpy", reason="SimPy is not installed: it is needed only for this check")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module("storage_latency")
    sys.modules.pop("storage_latency")


def test_formulas_agree_with_a_small_event_simulation(benchmark_module: ModuleType) -> None:
    # 60,000 requests are enough for 8 %; the benchmark itself holds 4 % with millions.
    rng = np.random.default_rng(0)
    for storage in (benchmark_module.one_server(0.5), benchmark_module.cluster(0.7, rng)):
        simulated = benchmark_module.measure(benchmark_module.simulate(storage, 60_000, rng))
        assert benchmark_module.formula(storage) == pytest.approx(simulated, rel=0.08)


def test_simulated_requests_share_by_hand(benchmark_module: ModuleType) -> None:
    simpy = pytest.importorskip("simpy")
    env, finished = simpy.Environment(), []
    server = benchmark_module.SharingServer(env, 1.0, lambda arrival, now: finished.append((arrival, now)))

    def arrive() -> Iterator[object]:
        server.submit(4.0)
        yield env.timeout(2.0)
        server.submit(1.0)

    env.process(arrive())
    env.run()
    # Alone until 2, then half the bandwidth each: the second ends at 4, the first, with 1 byte left, at 5.
    assert finished == [(2.0, 4.0), (0.0, 5.0)]
