"""What a trace holds: what was read, how regular it is, how bursty, and a picture of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from psgym.agents.files import write_atomically
from psgym.envs.csv_counts import read_counts
from psgym.envs.job_days import BATCH_SECONDS, batches
from psgym.envs.job_trace import FORMS, read_jobs
from psgym.envs.trace_files import NUMBER, TraceError, open_trace
from psgym.envs.traces import read_accesses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY, WEEK = 86_400, 604_800
LARGE_BATCH = 5
"""Events of a batch that are told of as a large one."""


@dataclass(frozen=True)
class Described:
    """A trace in the form in which every kind of trace is described."""

    kind: str
    """What kind of trace it is, and in which form."""
    facts: Mapping[str, str]
    """What was read, by name."""
    begin: float
    """When the first slot begins, in seconds since 1970 or since the trace's own midnight."""
    slot_seconds: int
    counts: NDArray[np.float64]
    """Events in each slot, shape ``(slots,)``."""
    gaps: NDArray[np.float64] | None = None
    """Seconds between events, where each event has a time."""
    batch: NDArray[np.int64] | None = None
    """Number of the batch of each event, where events have batches."""
    spreads: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Quantities whose distribution is drawn, by name and unit."""


def describe(path: Path, column: str | None = None, slot_seconds: int = 300) -> Described:
    """Read a trace of whichever kind its header shows: jobs, accesses to objects, or counts per interval.

    Raises:
        TraceError: If the file cannot be read; the message names file, line, column and value.
    """
    columns = _columns(path)
    for fits, read in READERS:
        if fits(columns, column):
            return read(path, column, slot_seconds)
    raise AssertionError("the last reader takes any columns")


def _columns(path: Path, rows: int = 100) -> dict[str, str]:
    """Return the names in the header, each with the first entry below it; empty if the first rows have none."""
    with open_trace(path) as stream:
        lines = [stream.readline(65_536) for _ in range(1 + rows)]
    try:
        header, *table = csv.reader([line.decode("utf-8-sig").strip() for line in lines if line] or [""])
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}:1: not UTF-8 CSV: {error}") from None
    found = dict.fromkeys((name.strip() for name in header), "")
    for row in reversed(table):
        found |= {name: cell.strip() for name, cell in zip(found, row, strict=False) if cell.strip()}
    return found


def _describe_jobs(path: Path, column: str | None, slot_seconds: int) -> Described:
    trace = read_jobs(path)
    begin, counts = _per_slot(trace.seconds, slot_seconds)
    batch = batches(trace)
    quartiles = np.percentile(trace.duration, (25, 50, 75, 99))
    work = trace.duration * np.maximum(1, trace.workers)
    facts = {
        "jobs": f"{len(trace):,}",
        "left out": ", ".join(f"{count:,} {why}" for why, count in trace.dropped.items()) or "none",
        "duration": "median {1:,.0f} s, quartiles {0:,.0f} and {2:,.0f} s, 99 % below {3:,.0f} s".format(*quartiles),
        "workers": _shares(trace.workers),
        "groups": f"{trace.group.max() + 1}" if trace.group.max() >= 0 else "none named",
        "workers busy": f"{work.sum() / max(1.0, np.ptp(trace.seconds)):,.1f} on average",
    }
    spreads = {"duration (s)": trace.duration, "gap (s)": np.diff(trace.seconds)}
    return Described(f"jobs ({trace.form})", facts, begin, slot_seconds, counts, np.diff(trace.seconds), batch, spreads)


def _describe_accesses(path: Path, column: str | None, slot_seconds: int) -> Described:
    log = read_accesses(path, column)
    begin, counts = _per_slot(log.seconds, slot_seconds)
    popularity = np.sort(np.bincount(log.object))[::-1].astype(np.float64)
    top = popularity[: max(1, len(popularity) // 100)].sum() / popularity.sum()
    facts = {
        "accesses": f"{len(log):,}",
        "objects": f"{len(log.names):,}; 1 % of them take {100 * top:.0f} % of the accesses",
        "times": "of the file" if log.timed else "none in the file: accesses are taken to be evenly spaced",
    }
    gaps = np.diff(log.seconds) if log.timed else None
    return Described("accesses", facts, begin, slot_seconds, counts, gaps, None, {"accesses of an object": popularity})


def _describe_counts(path: Path, column: str | None, slot_seconds: int) -> Described:
    counts = read_counts(path, column)
    interval = int(np.median(np.diff(counts.seconds))) if len(counts.seconds) > 1 else slot_seconds
    whole = int(counts.seconds[-1] - counts.seconds[0]) // interval + 1
    values = np.full(whole, np.nan)
    values[(counts.seconds - counts.seconds[0]) // interval] = counts.values
    facts = {
        "column": counts.column,
        "values": f"{len(counts.values):,}, one every {interval} s",
        "missing": f"{int(np.isnan(values).sum()):,} intervals",
        "range": f"{counts.values.min():,.6g} to {counts.values.max():,.6g}, mean {counts.values.mean():,.6g}",
    }
    return Described("counts", facts, float(counts.seconds[0]), interval, values, spreads={"count": counts.values})


def _are_jobs(columns: Mapping[str, str], column: str | None) -> bool:
    return any(columns.keys() >= set(form.needs()) for form in FORMS)


def _are_accesses(columns: Mapping[str, str], column: str | None) -> bool:
    """Objects are in the column of that name, or in one that is named and whose entries are no numbers."""
    if column in (None, "object"):
        return "object" in columns
    return not NUMBER.fullmatch(columns.get(column, "0"))


READERS: tuple[
    tuple[Callable[[Mapping[str, str], str | None], bool], Callable[[Path, str | None, int], Described]], ...
] = (
    (_are_jobs, _describe_jobs),
    (_are_accesses, _describe_accesses),
    (lambda columns, column: True, _describe_counts),
)
"""Each kind of trace: whether columns, and the one that was named, are of its kind, and how it is described."""


def _per_slot(seconds: NDArray[np.float64], slot_seconds: int) -> tuple[float, NDArray[np.float64]]:
    first = int(seconds[0] // slot_seconds)
    slots = (seconds // slot_seconds).astype(np.int64) - first
    return float(first * slot_seconds), np.bincount(slots).astype(np.float64)


def _shares(values: NDArray[np.int32]) -> str:
    numbers, times = np.unique(values, return_counts=True)
    most = np.argsort(-times, kind="stable")[:5]
    return ", ".join(f"{numbers[k]}: {100 * times[k] / len(values):.1f} %" for k in most)


# --- regularity and bursts --------------------------------------------------------------------------------------------


def seasonality(described: Described) -> dict[str, str]:
    """Return how much of the counts the time of day and of the week tell."""
    found = {}
    for name, period in (("day", DAY), ("week", WEEK)):
        lag = period // described.slot_seconds
        if lag < 2 or len(described.counts) < 2 * lag or period % described.slot_seconds:
            found[name] = f"too short: less than two {name}s"
            continue
        mean, explained = _folded(described, period)
        amplitude = (mean.max() - mean.min()) / mean.mean() if mean.mean() > 0 else 0.0
        correlation = _correlation(described.counts, lag)
        found[name] = (
            f"explains {100 * explained:.0f} % of the variance of hours, amplitude {amplitude:.2f} of the mean, "
            f"autocorrelation {correlation:.2f}"
        )
    return found


def _hours(described: Described) -> NDArray[np.float64]:
    """Return counts per hour, or per slot where those are longer; what is missing is left out of the sums."""
    per_hour = max(1, 3600 // described.slot_seconds)
    whole = len(described.counts) // per_hour * per_hour
    rows = described.counts[:whole].reshape(-1, per_hour)
    known = np.isfinite(rows)
    total = np.where(known, rows, 0.0).sum(axis=1)
    share = known.mean(axis=1)
    return np.divide(total, share, out=np.full(len(rows), np.nan), where=share > 0.5)


def _folded(described: Described, period: int) -> tuple[NDArray[np.float64], float]:
    """Return the mean of each hour of the period, and the share of the variance of hours that it explains."""
    hours = _hours(described)
    seconds = max(3600, described.slot_seconds)
    phase = ((described.begin // seconds + np.arange(len(hours))) % (period // seconds)).astype(np.int64)
    known = np.isfinite(hours)
    sums = np.bincount(phase[known], hours[known], minlength=period // seconds)
    times = np.maximum(1, np.bincount(phase[known], minlength=period // seconds))
    mean = sums / times
    if not known.any():
        return mean, 0.0
    variance = hours[known].var()
    rest = (hours[known] - mean[phase[known]]).var()
    return mean, float(1.0 - rest / variance) if variance > 0 else 0.0


def _correlation(values: NDArray[np.float64], lag: int) -> float:
    first, second = values[:-lag], values[lag:]
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 2 or first[known].std() == 0 or second[known].std() == 0:
        return 0.0
    return float(np.corrcoef(first[known], second[known])[0, 1])


def burstiness(described: Described) -> dict[str, str]:
    """Return how far the events are from coming one by one at an even rate."""
    known = described.counts[np.isfinite(described.counts)]
    found = {}
    if known.mean() > 0:
        dispersion = known.var() / known.mean()
        found["counts"] = f"variance {dispersion:.2f} times the mean per {described.slot_seconds} s (Poisson: 1)"
        found["peak"] = (
            f"busiest slot {known.max() / known.mean():.1f} times the mean, {100 * (known == 0).mean():.0f} % empty"
        )
    if described.gaps is not None and len(described.gaps) and described.gaps.mean() > 0:
        variation = described.gaps.std() / described.gaps.mean()
        found["gaps"] = f"coefficient of variation {variation:.2f} (Poisson: 1)"
    if described.batch is not None:
        sizes = np.bincount(described.batch)
        sizes = sizes[sizes > 0]
        large = sizes[sizes >= LARGE_BATCH].sum() / sizes.sum()
        found["batches"] = (
            f"{100 * large:.0f} % in batches of {LARGE_BATCH} or more (one group, within {BATCH_SECONDS:.0f} s), "
            f"mean {sizes.mean():.1f}"
        )
    return found


# --- text and picture ------------------------------------------------------------------------------------------------


def text_of(described: Described, name: str) -> str:
    """Return the description as lines of text."""
    length = len(described.counts) * described.slot_seconds / DAY
    begin = f"{datetime.fromtimestamp(described.begin, UTC):%Y-%m-%d %H:%M} UTC"
    lines = [f"{name}: {described.kind}, {length:,.1f} days from {begin}"]
    for title, facts in (("", described.facts), ("season of a ", seasonality(described)), ("", burstiness(described))):
        lines += [f"  {title + key:<18} {value}" for key, value in facts.items()]
    return "\n".join(lines)


def draw(described: Described, name: str) -> Figure:
    """Draw the course, the mean day and the distributions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic([["course", "course"], ["day", "spread"]])
    hours = _hours(described)
    days = np.arange(len(hours)) * max(3600, described.slot_seconds) / DAY
    axes["course"].plot(days, hours, lw=0.6, color="C0")
    axes["course"].set(
        title=f"{name}: {described.kind}", xlabel="days", ylabel="per hour", xlim=(0, None), ylim=(0, None)
    )
    _draw_day(axes["day"], described)
    for label, values in described.spreads.items():
        ordered = np.sort(values[values > 0])
        if len(ordered):
            axes["spread"].plot(ordered, 1.0 - np.arange(len(ordered)) / len(ordered), lw=1.2, label=label)
    axes["spread"].set(xscale="log", yscale="log", ylabel="share above")
    axes["spread"].legend(frameon=False)
    return figure


def _draw_day(axes: object, described: Described) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    axes.set(title="mean day", xlabel="hour of the day (UTC)", ylabel="per hour")
    if DAY % max(3600, described.slot_seconds) == 0:
        mean, _ = _folded(described, DAY)
        axes.bar(np.arange(len(mean)) * 24 / len(mean), mean, width=20 / len(mean), align="edge", color="C0")


def describe_file(path: Path, column: str | None, slot_seconds: int, folder: Path) -> str:
    """Describe a file, draw it into a folder, and return the text."""
    described = describe(path, column, slot_seconds)
    picture = folder / f"{path.name.split('.')[0]}.png"
    write_atomically(picture, draw(described, path.name).savefig)
    return f"{text_of(described, path.name)}\n  {'picture':<18} {picture}"
