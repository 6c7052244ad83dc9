"""Fit the speed curves of the job kinds that ``psgym.envs.cluster.kinds`` ships.

    python benchmarks/fit_speed_model.py MEASURED.csv[.gz]

The file holds one measured run per line, with the columns ``model, num_ps, num_worker, speed_total, valid`` (speeds in
samples/s). Kinds that it does not hold are fitted to their anchors and to the lattice of an earlier fit (`EARLIER`), or
left out if there is none.

The model is the synchronous curve of Optimus (Peng et al., EuroSys 2018) with one further term ``t5/p``, the part of
the exchange that one worker alone already waits for:

    samples/s = M / (t0*M/w + t1 + t2*w/p + t3*w + t4*p + t5/p),        every t >= 0

Method: bounded least squares on the logarithm of the speed, so that errors are relative; measured points pass through
a soft-L1 loss, because a few runs are outliers, and anchors do not. The weight of the anchors is the smallest power of
two that brings each of them within `TARGET_ERROR`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from psgym.envs.cluster.kinds import KINDS

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Points = tuple[Array, Array, Array]
"""Servers p, workers w and speed in samples/s of the same runs, each of shape ``(n,)``."""

MAX_TASKS = 16
MEASURED_TASKS = 24  # no published run has more servers and workers together
TARGET_ERROR = 0.145  # 15 %, less what rounding the coefficients may cost
SOFT_L1_SCALE = 0.1  # relative error at which a measured point starts to count as an outlier

BATCH_SIZES = {kind.name: kind.batch_size for kind in KINDS}

ANCHORS: dict[str, dict[tuple[int, int], float]] = {
    "resnet-50": {(1, 1): 15.8, (2, 2): 27.3, (4, 4): 32.4},
    "vgg-16": {(1, 1): 9.6, (2, 2): 11.0, (4, 4): 14.6},
    "resnext-110": {(1, 1): 382.8, (2, 2): 369.0, (4, 4): 393.0},
    "inception-bn": {(1, 1): 169.8, (2, 2): 202.8, (4, 4): 275.0},
    "seq2seq": {(1, 1): 276.7, (2, 2): 319.0, (4, 4): 436.0},
    "cnn-text": {(1, 1): 61.9, (2, 2): 74.5, (4, 4): 97.6},
    "dssm": {(1, 1): 462.0, (2, 2): 718.0, (4, 4): 1092.0},
    "wlm": {(1, 1): 162.0, (2, 2): 217.0, (4, 4): 293.0},
}
"""Samples/s at (servers, workers): published measurements, linearly interpolated where that pair was not run."""

BEST_MEASURED: dict[str, tuple[int, int, float]] = {
    "resnet-50": (15, 2, 65.2),
    "vgg-16": (14, 1, 28.4),
    "resnext-110": (5, 1, 507.0),
    "inception-bn": (16, 5, 318.0),
    "seq2seq": (11, 3, 556.0),
    "cnn-text": (5, 5, 100.1),
    "dssm": (7, 5, 1188.0),
    "wlm": (5, 1, 498.0),
}
"""Servers, workers and samples/s of the fastest published run; not fitted to, printed beside the fit."""

EARLIER: dict[str, tuple[float, ...]] = {
    "vgg-16": (2.013e-2, 0.5165, 1.0041, 0.12754, 0.0, 0.0),
    "seq2seq": (1.135e-3, 0.0489, 0.0262, 1.440e-2, 0.0, 0.0),
    "wlm": (7.494e-4, 0.2204, 0.1815, 3.161e-2, 0.0, 0.0),
}
"""Our least-squares fit of t0..t4 to all published points of these kinds, without the term t5."""


def terms(batch_size: float, servers: Array, workers: Array) -> Array:
    """Return what each coefficient is multiplied with in the seconds per step, of shape ``(n, 6)``."""
    ones = np.ones(len(workers))
    return np.stack([batch_size / workers, ones, workers / servers, workers, servers, 1.0 / servers], axis=-1)


def sync_speed(coefficients: Array | tuple[float, ...], batch_size: float, servers: Array, workers: Array) -> Array:
    """Return the synchronous speed in samples/s, of shape ``(n,)``."""
    step_seconds: Array = terms(batch_size, servers, workers) @ np.asarray(coefficients)
    return batch_size / step_seconds


def async_speed(coefficients: tuple[float, float], batch_size: float, servers: Array, workers: Array) -> Array:
    """Return the asynchronous speed in samples/s, of shape ``(n,)``: weak scaling that saturates."""
    compute, exchange = coefficients
    step_seconds = compute + exchange * np.maximum(1.0, workers / servers)
    return batch_size * workers / (step_seconds * (1.0 + 0.02 * workers + 0.02 * servers))


def lattice() -> tuple[Array, Array]:
    """Return servers and workers of every allocation that a job may have, each of shape ``(256,)``."""
    servers, workers = np.meshgrid(np.arange(1.0, MAX_TASKS + 1), np.arange(1.0, MAX_TASKS + 1), indexing="ij")
    return servers.ravel(), workers.ravel()


def read_points(path: str, name: str) -> Points | None:
    """Read the valid runs of one kind, or return None when the file holds none."""
    import pandas as pd

    table: pd.DataFrame = pd.read_csv(path)
    # The file may spell a kind out: "cnn-text-classification".
    runs = table[table["model"].str.startswith(name) & (table["valid"] == 1)]
    if runs.empty:
        return None
    servers, workers, speed = (runs[column].to_numpy(float) for column in ("num_ps", "num_worker", "speed_total"))
    return servers, workers, speed


def earlier_points(name: str) -> Points:
    """Sample the earlier fit of a kind on the part of the lattice that was measured."""
    servers, workers = lattice()
    measured = servers + workers <= MEASURED_TASKS
    servers, workers = servers[measured], workers[measured]
    return servers, workers, sync_speed(EARLIER[name], BATCH_SIZES[name], servers, workers)


def anchor_points(name: str) -> Points:
    """Return the anchors of a kind as arrays of shape ``(3,)``."""
    servers, workers = np.array(list(ANCHORS[name]), dtype=float).T
    return servers, workers, np.array(list(ANCHORS[name].values()))


def soft_l1(residual: Array) -> Array:
    """Shrink residuals so that their square is the soft-L1 loss of scale `SOFT_L1_SCALE`."""
    scaled = residual / SOFT_L1_SCALE
    return np.sign(residual) * SOFT_L1_SCALE * np.sqrt(2.0 * (np.sqrt(1.0 + scaled**2) - 1.0))


def fit_with_weight(batch_size: float, points: Points, anchors: Points, weight: float) -> Array:
    """Return the six coefficients that fit points and weighted anchors best, of shape ``(6,)``."""
    point_terms, anchor_terms = terms(batch_size, *points[:2]), terms(batch_size, *anchors[:2])

    def residuals(coefficients: Array) -> Array:
        of_points = np.log(batch_size / (point_terms @ coefficients) / points[2])
        of_anchors = np.log(batch_size / (anchor_terms @ coefficients) / anchors[2])
        return np.concatenate([soft_l1(of_points), np.sqrt(weight) * of_anchors])

    # The seconds per step are linear in the coefficients, so non-negative least squares gives a start near the answer.
    relative = np.concatenate([point_terms * points[2][:, None], anchor_terms * anchors[2][:, None]]) / batch_size
    start = nnls(relative, np.ones(len(relative)))[0] + 1e-6
    found = least_squares(residuals, start, bounds=(0.0, np.inf), x_scale=np.maximum(start, 1e-3))
    return np.asarray(found.x)


def fit(name: str, points: Points) -> tuple[Array, float]:
    """Fit one kind, and return its coefficients and the weight that its anchors needed.

    Raises:
        RuntimeError: if no weight brings the anchors within `TARGET_ERROR`.
    """
    anchors = anchor_points(name)
    for weight in 2.0 ** np.arange(0, 12):
        coefficients = fit_with_weight(BATCH_SIZES[name], points, anchors, weight)
        if np.abs(relative_error(coefficients, name, anchors)).max() <= TARGET_ERROR:
            return rounded(coefficients), weight
    raise RuntimeError(f"no weight brings the anchors of {name} within {TARGET_ERROR:.1%}")


def rounded(coefficients: Array) -> Array:
    """Keep four significant digits, and call 0 what changes no speed by a thousandth."""
    return np.array([float(f"{value:.4g}") if value > 1e-6 else 0.0 for value in coefficients])


def relative_error(coefficients: Array | tuple[float, ...], name: str, points: Points) -> Array:
    """Return predicted over measured speed, less 1, of shape ``(n,)``."""
    return sync_speed(coefficients, BATCH_SIZES[name], *points[:2]) / points[2] - 1.0


def error_row(name: str, coefficients: Array, points: Points, measured: bool, weight: float) -> str:
    """Format the errors of one kind as a row of the table."""
    anchors = " | ".join(f"{error:+.1%}" for error in relative_error(coefficients, name, anchor_points(name)))
    errors = np.abs(relative_error(coefficients, name, points))
    source = f"{len(points[0])} runs" if measured else "earlier fit"
    servers, workers, best = BEST_MEASURED[name]
    at_best = sync_speed(coefficients, BATCH_SIZES[name], np.array([servers]), np.array([workers]))[0]
    return (
        f"| {name} | {source} | {weight:.0f} | {anchors} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%} "
        f"| {best:g} at {servers}:{workers} | {at_best:.4g} |"
    )


def shape_row(name: str, coefficients: Array, async_coefficients: tuple[float, float]) -> str:
    """Format where the curves of one kind peak as a row of the table."""
    servers, workers = lattice()
    sync = sync_speed(coefficients, BATCH_SIZES[name], servers, workers)
    weak = async_speed(async_coefficients, BATCH_SIZES[name], servers, workers)
    cells = [name]
    for speed in (sync, weak):
        peak = speed.argmax()
        cells += [f"{speed[peak]:.4g} at {servers[peak]:.0f}:{workers[peak]:.0f}", f"{speed[-1]:.4g}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Fit every kind and print its coefficients, its errors and its shape as Markdown tables."""
    parser = argparse.ArgumentParser(description="Fit the synchronous speed curves of the job kinds.")
    parser.add_argument("measured", help="CSV of measured runs: model, num_ps, num_worker, speed_total, valid")
    path = parser.parse_args().measured
    coefficient_rows, error_rows, shape_rows = [], [], []
    for kind in KINDS:
        measured = read_points(path, kind.name)
        if measured is None and kind.name not in EARLIER:
            continue
        points = measured or earlier_points(kind.name)
        coefficients, weight = fit(kind.name, points)
        shipped = "yes" if np.allclose(coefficients, kind.sync, rtol=1e-2, atol=1e-5) else "NO"
        coefficient_rows.append(f"| {kind.name} | {' | '.join(f'{value:g}' for value in coefficients)} | {shipped} |")
        error_rows.append(error_row(kind.name, coefficients, points, measured is not None, weight))
        shape_rows.append(shape_row(kind.name, coefficients, kind.async_))
    print("| kind | t0 | t1 | t2 | t3 | t4 | t5 | as shipped |\n|---|---|---|---|---|---|---|---|")
    print(*coefficient_rows, sep="\n")
    print(
        "\n| kind | fitted to | anchor weight | error 1:1 | error 2:2 | error 4:4 | median error | 90th percentile ",
        end="",
    )
    print("| fastest run (p:w) | fit there |\n|---|---|---|---|---|---|---|---|---|---|")
    print(*error_rows, sep="\n")
    print("\n| kind | sync peak (p:w) | sync 16:16 | async peak (p:w) | async 16:16 |\n|---|---|---|---|---|")
    print(*shape_rows, sep="\n")


if __name__ == "__main__":
    main()
