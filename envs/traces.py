"""Read traces that drive a cluster: traffic from a file of counts (here), jobs, and accesses to objects.

The values of a file are counts per interval. They are summed or divided evenly into slots, expressed as multiples of
their mean over the training part, and clipped. The trace is split by time: the first 60 % of its slots are for
training, the next 20 % for validation and the last 20 % for testing.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psgym.envs.access_log import AccessLog, read_accesses
from psgym.envs.csv_counts import Counts, read_counts
from psgym.envs.job_trace import JobTrace, read_jobs
from psgym.envs.trace_files import TraceError
from psgym.envs.traced_traffic import Traffic

__all__ = [
    "MAX_GAP_SECONDS",
    "AccessLog",
    "JobTrace",
    "TraceError",
    "TraceWarning",
    "Traffic",
    "read_accesses",
    "read_jobs",
    "read_traffic",
]

MAX_GAP_SECONDS = 900
"""Longest stretch without values that is interpolated."""


class TraceWarning(UserWarning):
    """A trace was mended; the message counts what was changed."""


def read_traffic(
    path: str | Path,
    column: str | None = None,
    slot_seconds: int = 300,
    max_load: float = 3.0,
    segment: int | None = None,
) -> Traffic:
    """Read traffic from a CSV file of counts, plain or compressed.

    Values that are missing for up to `MAX_GAP_SECONDS` on end are interpolated linearly, with one `TraceWarning` that
    counts them. Slots begin at multiples of their length since midnight UTC; what the file holds of a first and a last
    slot that it covers only in part is left out.

    Args:
        path: File with a header, ISO 8601 times and counts per interval; see `psgym.envs.csv_counts.read_counts`.
        column: Name of the column of counts. By default ``value``, else the only one that can be meant.
        slot_seconds: Length of a slot.
        max_load: Where the load is clipped, as a multiple of its mean over the training part.
        segment: Which of the segments between longer gaps to read, counted from 0. By default there must be only one.

    Raises:
        TraceError: if the file cannot be used; the message names file, line, column and value.
        ValueError: if `slot_seconds` or `max_load` is out of range.
    """
    if slot_seconds < 1 or slot_seconds != int(slot_seconds):
        raise ValueError(f"slot_seconds must be a whole number of at least 1, not {slot_seconds!r}")
    if not 0 < max_load < np.inf:
        raise ValueError(f"max_load must be positive and finite, not {max_load!r}")
    counts = read_counts(path, column)
    native = _native_interval(counts)
    counts = _choose_segment(counts, native, segment)
    seconds, values, missing = _fill_gaps(counts, native)
    first, per_slot = _resample(seconds, values, native, slot_seconds)
    mean = _training_mean(counts, per_slot)
    load = per_slot / mean
    clipped = np.minimum(load, max_load)
    clipped.setflags(write=False)
    return Traffic(
        values=clipped,
        start=datetime.fromtimestamp(first, UTC).isoformat(),
        slot_seconds=slot_seconds,
        source=f"{counts.path.name}:{counts.column}",
        native_seconds=native,
        mean_count=mean,
        interpolated=missing,
        clipped=int((load > max_load).sum()),
        sha256=counts.sha256,
    )


def _native_interval(counts: Counts) -> int:
    """Return the most frequent gap between rows, in seconds; of equally frequent ones the shortest."""
    if len(counts.values) < 2:
        raise TraceError(f"{counts.path}:{counts.lines[0]}:{counts.column}: a single value has no interval")
    gaps, times = np.unique(np.diff(counts.seconds), return_counts=True)
    return int(gaps[times.argmax()])


def _choose_segment(counts: Counts, native: int, segment: int | None) -> Counts:
    """Return the rows between two gaps that are too long to interpolate."""
    missing_seconds = np.diff(counts.seconds) - native
    cuts = np.flatnonzero(missing_seconds > MAX_GAP_SECONDS) + 1
    bounds = [0, *cuts.tolist(), len(counts.values)]
    if segment is None and len(cuts):
        lengths = np.diff(bounds)
        before, after = counts.lines[cuts[0] - 1 : cuts[0] + 1]
        gap = missing_seconds[cuts[0] - 1]
        raise TraceError(
            f"{counts.path}:{after}:{counts.column}: no value for {gap} s since line {before}, and more than "
            f"{MAX_GAP_SECONDS} s are not interpolated; the file falls into {len(lengths)} segments, of which "
            f"segment={lengths.argmax()} is the longest, with {lengths.max()} rows"
        )
    if segment is not None and not 0 <= segment < len(bounds) - 1:
        raise TraceError(f"{counts.path}: no segment {segment}; there are {len(bounds) - 1}, counted from 0")
    rows = slice(bounds[segment or 0], bounds[(segment or 0) + 1])
    return replace(counts, seconds=counts.seconds[rows], values=counts.values[rows], lines=counts.lines[rows])


def _fill_gaps(counts: Counts, native: int) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return times and values without gaps, each of shape ``(intervals,)``, and how many values are interpolated."""
    off_grid = np.flatnonzero((counts.seconds - counts.seconds[0]) % native)
    if len(off_grid):
        time = datetime.fromtimestamp(int(counts.seconds[off_grid[0]]), UTC)
        raise TraceError(
            f"{counts.path}:{counts.lines[off_grid[0]]}: {time:%Y-%m-%d %H:%M:%S} is not a multiple of the interval of "
            f"{native} s after line {counts.lines[0]}"
        )
    seconds = np.arange(counts.seconds[0], counts.seconds[-1] + native, native)
    missing = len(seconds) - len(counts.values)
    if missing:
        warnings.warn(f"{counts.path}: {missing} missing values were interpolated", TraceWarning, stacklevel=3)
    return seconds, np.interp(seconds, counts.seconds, counts.values), missing


def _resample(
    seconds: NDArray[np.int64], values: NDArray[np.float64], native: int, slot_seconds: int
) -> tuple[int, NDArray[np.float64]]:
    """Return when the first whole slot begins, and the counts of each whole slot, shape ``(slots,)``.

    The counts of an interval are spread evenly over it, so that what has been counted until any moment is linear in
    between; the difference over a slot sums short intervals, divides long ones, and splits those on its border.
    """
    first = -(-int(seconds[0]) // slot_seconds) * slot_seconds
    edges = np.arange(first, int(seconds[-1]) + native + 1, slot_seconds)
    counted = np.concatenate([[0.0], np.cumsum(values)])
    per_slot = np.diff(np.interp(edges, np.append(seconds, seconds[-1] + native), counted))
    return first, np.maximum(per_slot, 0.0)


def _training_mean(counts: Counts, per_slot: NDArray[np.float64]) -> float:
    """Return the mean of the training part, by which the load is scaled."""
    place = f"{counts.path}:{counts.lines[0]}:{counts.column}"
    if len(per_slot) < 5:
        raise TraceError(f"{place}: {len(per_slot)} slots cannot be split into training, validation and test")
    mean = float(per_slot[: 3 * len(per_slot) // 5].mean())
    if mean == 0:
        raise TraceError(f"{place}: nothing but 0 in the training part, the first 60 % of the trace")
    if np.ptp(counts.values) == 0:
        raise TraceError(f"{place}: the traffic is constant: every value is {counts.values[0]:g}")
    return mean
