"""The shipped speed curves: within 15 % of the measured anchors, and never faster than anything that was measured."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psgym.envs.cluster.kinds import KINDS, JobKind

FIT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "fit_speed_model.py"))

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def sync_grid(kind: JobKind) -> np.ndarray:
    """Return the synchronous speed at every (servers, workers) of the lattice, shape (16, 16)."""
    return np.reshape(FIT["sync_speed"](kind.sync, kind.batch_size, *FIT["lattice"]()), (16, 16))


def test_there_are_eight_distinct_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 8


@each_kind
def test_coefficients_are_finite_and_non_negative(kind: JobKind) -> None:
    coefficients = np.array([*kind.sync, *kind.async_])
    assert np.isfinite(coefficients).all()
    assert (coefficients >= 0).all()
    assert kind.sync[0] > 0
    assert min(kind.async_) > 0


@each_kind
def test_anchors_are_within_fifteen_percent(kind: JobKind) -> None:
    anchors = FIT["anchor_points"](kind.name)
    assert np.abs(FIT["relative_error"](kind.sync, kind.name, anchors)).max() <= 0.15


@each_kind
def test_more_workers_stop_helping_inside_the_lattice(kind: JobKind) -> None:
    best_workers = sync_grid(kind).argmax(axis=1) + 1
    assert (best_workers < 16).all()


@each_kind
def test_no_allocation_beats_the_fastest_measured_run(kind: JobKind) -> None:
    assert sync_grid(kind).max() <= FIT["BEST_MEASURED"][kind.name][2]


@each_kind
def test_asynchronous_speed_has_falling_returns(kind: JobKind) -> None:
    tasks = np.arange(1.0, 17.0)
    speed = FIT["async_speed"](kind.async_, kind.batch_size, tasks, tasks)
    assert (np.diff(speed) > 0).all()
    assert (np.diff(speed, n=2) < 0).all()


@each_kind
def test_the_fit_reproduces_the_shipped_coefficients(kind: JobKind) -> None:
    traces = os.environ.get("PSGYM_TRACES")
    if not traces:
        pytest.skip("PSGYM_TRACES is unset: the measured runs are not part of the repository")
    measured = FIT["read_points"](str(Path(traces) / "ps_worker" / "dl2_ps_worker_speed_5models.csv.gz"), kind.name)
    if measured is None and kind.name not in FIT["EARLIER"]:
        pytest.skip("its runs are in another file")
    coefficients, _ = FIT["fit"](kind.name, measured or FIT["earlier_points"](kind.name))
    np.testing.assert_allclose(coefficients, kind.sync, rtol=1e-2, atol=1e-5)
