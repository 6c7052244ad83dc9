"""Read traces of jobs: when each was submitted, how long it ran, and on how many workers.

Three forms of CSV are told apart by their headers:

* ``philly``: ``submit_time, duration_s, num_gpus, vc``, the form in which the artifact of Sia (SOSP 2023) holds
  Microsoft's Philly trace;
* ``openb``: ``num_gpu, creation_time, deletion_time, scheduled_time`` and more, the pods of Alibaba's trace of 2023
  (``openb_pod_list_*.csv`` of github.com/alibaba/clusterdata);
* ``generic``: ``arrival, duration`` and, where known, ``workers``, ``group``, ``kind`` and ``mode``.

Pandas parses a file in pieces; what is kept are 28 bytes a job.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.kinds import KINDS
from psgym.envs.trace_files import NUMBER, TraceError, open_trace
from psgym.envs.traced_traffic import Traffic

CHUNK_ROWS = 50_000
MAX_JOBS = 20_000_000
MAX_SECONDS = 1e9
"""Longest duration that is believed (s)."""
UNKNOWN = -1

_MODES = ("sync", "async")


@dataclass(frozen=True)
class _Form:
    """Which column holds what."""

    name: str
    arrival: str
    duration: str = ""
    start: str = ""
    """With ``end``, instead of a duration; a job without a start never ran."""
    end: str = ""
    workers: str = ""
    group: str = ""
    kind: str = ""
    mode: str = ""

    def needs(self) -> tuple[str, ...]:
        """Columns by which the form is known."""
        workers = "" if self.name == "generic" else self.workers
        return tuple(filter(None, (self.arrival, self.duration, self.start, self.end, workers)))


FORMS = (
    _Form("philly", "submit_time", duration="duration_s", workers="num_gpus", group="vc"),
    _Form("openb", "creation_time", start="scheduled_time", end="deletion_time", workers="num_gpu"),
    _Form("generic", "arrival", duration="duration", workers="workers", group="group", kind="kind", mode="mode"),
)


@dataclass(frozen=True, eq=False)
class JobTrace:
    """Jobs in order of arrival."""

    seconds: NDArray[np.float64]
    """Arrival, in seconds since 1970-01-01 00:00 UTC; of a trace with relative times, since its own midnight."""
    duration: NDArray[np.float64]
    """Running time on its workers (s), above 0."""
    workers: NDArray[np.int32]
    """Workers (GPUs) that it ran on; 0 for one without a GPU."""
    group: NDArray[np.int32]
    """Number of the user, team or virtual cluster, `UNKNOWN` where the file has none."""
    kind: NDArray[np.int16]
    """Index of the kind in ``KINDS``, `UNKNOWN` where the file has none."""
    mode: NDArray[np.int16]
    """0 synchronous, 1 asynchronous, `UNKNOWN` where the file has none."""
    form: str
    """``philly``, ``openb`` or ``generic``."""
    source: str
    """Name of the file."""
    dropped: Mapping[str, int]
    """Rows that were left out, by reason."""

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self.seconds)

    def traffic(self, slot_seconds: int, max_load: float) -> Traffic:
        """Return the submissions per slot as traffic, relative to their mean over the training part.

        Slots begin at multiples of their length; what the trace holds of a first and a last slot that it covers only in
        part is left out.

        Raises:
            TraceError: If the trace is shorter than five slots, or its training part holds no job.
        """
        first, last = -(-self.seconds[0] // slot_seconds), self.seconds[-1] // slot_seconds
        slots = int(last - first)
        if slots < 5:
            raise TraceError(
                f"{self.source}: {max(0, slots)} slots of {slot_seconds} s cannot be split into training, validation "
                "and test"
            )
        edges = (first + np.arange(slots + 1)) * slot_seconds
        counts = np.diff(np.searchsorted(self.seconds, edges)).astype(np.float64)
        mean = float(counts[: 3 * slots // 5].mean())
        if mean == 0:
            raise TraceError(f"{self.source}: no job in the training part, the first 60 % of the trace")
        load = counts / mean
        values = np.minimum(load, max_load)
        values.setflags(write=False)
        return Traffic(
            values=values,
            start=datetime.fromtimestamp(float(edges[0]), UTC).isoformat(),
            slot_seconds=slot_seconds,
            source=f"{self.source}:submissions",
            native_seconds=1,
            mean_count=mean,
            interpolated=0,
            clipped=int((load > max_load).sum()),
            sha256="",
        )


@dataclass
class _Met:
    """What the pieces of a file have held so far."""

    groups: dict[str, int] = field(default_factory=dict)
    """Number of each group, by name."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows that were left out, by reason."""
    first_end: float = math.inf
    """When the first job ended (s); infinite in forms that tell durations instead."""


def read_jobs(path: str | Path, chunk_rows: int = CHUNK_ROWS) -> JobTrace:
    """Read a trace of jobs, plain, gzipped or compressed with Zstandard.

    Times are ISO 8601 (UTC without an offset) or numbers of seconds; durations are seconds. Rows may be in any order.
    Jobs that never started, had not ended, or ran for no time are left out and counted. Cells that a row lacks at its
    end are empty ones.

    A list of pods (``openb``) begins with those that were running when its record began, however long before that they
    were submitted: of all that had ended by then nothing is known. So what was submitted before the first end in the
    file is left out too.

    Args:
        path: The file; UTF-8 with a header.
        chunk_rows: Rows that are parsed at a time.

    Raises:
        TraceError: If the file cannot be read, has none of the forms, or holds a row or a cell that does not fit; the
            message names file, line, column and value.
    """
    path, met = Path(path), _Met()
    parts: list[dict[str, NDArray[Any]]] = []
    count, form = 0, None
    for table in _chunks(path, chunk_rows):
        form = form or _form(path, list(table.columns))
        part = _parse(path, form, table, met)
        count += len(part["seconds"])
        if count > MAX_JOBS:
            raise TraceError(f"{path}: more than {MAX_JOBS:,} jobs; split the file")
        parts.append(part)
    columns = _in_order(parts, met) if parts else {}
    if form is None or not len(columns["seconds"]):
        why = f" but those that were left out: {_counted(met.dropped)}" if met.dropped else ""
        raise TraceError(f"{path}: there is no job in the file{why}")
    return JobTrace(**columns, form=form.name, source=path.name, dropped=dict(met.dropped))


def _in_order(parts: list[dict[str, NDArray[Any]]], met: _Met) -> dict[str, NDArray[Any]]:
    """Return the jobs of all pieces in order of arrival, without those from before the record."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["seconds"], kind="stable")
    early = 0 if math.isinf(met.first_end) else int((columns["seconds"] < met.first_end).sum())
    if early:
        met.dropped["submitted before the record began"] = early
    return {name: values[order[early:]] for name, values in columns.items()}


def _counted(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def _chunks(path: Path, rows: int) -> Iterator[Any]:
    """Yield tables of stripped text, whose index is the line of the file."""
    import pandas as pd

    with open_trace(path) as stream:
        try:
            reader = pd.read_csv(
                stream, chunksize=rows, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
            )
            for table in reader:
                table.index = table.index + 2  # the header is line 1
                yield table
        except pd.errors.EmptyDataError:
            raise TraceError(f"{path}: the file is empty") from None
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise TraceError(f"{path}: not CSV: {' '.join(str(error).split())}") from error


def _form(path: Path, header: list[str]) -> _Form:
    for form in FORMS:
        if set(form.needs()) <= set(header):
            return form
    known = sorted({name for form in FORMS for name in form.needs()})
    others = [name for name in header if name not in known]
    near = [(name, hint[0]) for name in others if (hint := difflib.get_close_matches(name, known, n=1))]
    meant = "".join(f"; did you mean {right!r} by {name!r}?" for name, right in near[:1])
    forms = "; ".join(f"{', '.join(form.needs())} ({form.name})" for form in FORMS)
    raise TraceError(f"{path}:1: no form of job trace has the columns {', '.join(header)}; there are: {forms}{meant}")


def _parse(path: Path, form: _Form, table: Any, met: _Met) -> dict[str, NDArray[Any]]:
    """Return the jobs of a table, one array for each field of `JobTrace`."""
    table = table[~(table == "").all(axis=1)]  # blank lines
    for name in table.columns:
        table = table.assign(**{name: table[name].str.strip()})
    if form.duration:
        kept = table
        duration = _numbers(path, kept[form.duration], 0.0, MAX_SECONDS, "a duration in seconds")
    else:
        for column, reason in ((form.start, "never started"), (form.end, "had not ended")):
            gone = table[column] == ""
            met.dropped.update({reason: int(gone.sum())} if gone.any() else {})
            table = table[~gone]
        kept = table
        begin, end = _times(path, kept[form.start]), _times(path, kept[form.end])
        duration = end - begin
        if (duration < 0).any():
            _fail(path, kept[form.end], duration < 0, f"is before {form.start}")
        met.first_end = min(met.first_end, float(end.min(initial=math.inf)))
    arrival = _times(path, kept[form.arrival])
    ran = duration > 0
    if not ran.all():
        met.dropped["ran for no time"] += int((~ran).sum())
    columns = set(kept.columns)
    fields: dict[str, NDArray[Any]] = {
        "seconds": arrival,
        "duration": duration,
        "workers": _workers(path, kept[form.workers]) if form.workers in columns else np.ones(len(kept), np.int32),
        "group": _codes(kept[form.group], met.groups) if form.group in columns else _unknown(len(kept), np.int32),
        "kind": _named(path, kept[form.kind], [kind.name for kind in KINDS])
        if form.kind in columns
        else _unknown(len(kept), np.int16),
        "mode": _named(path, kept[form.mode], _MODES) if form.mode in columns else _unknown(len(kept), np.int16),
    }
    return {name: values[ran] for name, values in fields.items()}


def _unknown(count: int, dtype: Any) -> NDArray[Any]:
    return np.full(count, UNKNOWN, dtype)


def _fail(path: Path, cells: Any, bad: Any, what: str) -> NoReturn:
    at = int(np.argmax(np.asarray(bad)))
    raise TraceError(f"{path}:{cells.index[at]}:{cells.name}: {cells.iloc[at]!r} {what}")


def _numbers(path: Path, cells: Any, low: float, high: float, what: str) -> NDArray[np.float64]:
    good = cells.str.fullmatch(NUMBER.pattern).to_numpy(dtype=bool)
    if not good.all():
        _fail(path, cells, ~good, f"is not {what}")
    values = cells.to_numpy(dtype=object).astype(np.float64)
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        _fail(path, cells, bad, f"is not {what}: it must be from {low:g} to {high:g}")
    return values


def _times(path: Path, cells: Any) -> NDArray[np.float64]:
    """Return seconds since 1970; a column holds either times or numbers."""
    import pandas as pd

    if not len(cells):
        return np.zeros(0)
    if cells.iloc[:1].str.fullmatch(NUMBER.pattern).iloc[0]:
        return _numbers(path, cells, -1e11, 1e11, "a number of seconds, as the rows before it are")
    times = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    if times.isna().any():
        _fail(path, cells, times.isna(), "is neither a time in ISO 8601 nor a number of seconds")
    return (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)


def _workers(path: Path, cells: Any) -> NDArray[np.int32]:
    values = _numbers(path, cells, 0, 1e6, "a number of workers")
    if (values % 1 != 0).any():
        _fail(path, cells, values % 1 != 0, "is not a whole number of workers")
    return values.astype(np.int32)


def _codes(cells: Any, codes: dict[str, int]) -> NDArray[np.int32]:
    return np.array([codes.setdefault(name, len(codes)) for name in cells], np.int32)


def _named(path: Path, cells: Any, names: Any) -> NDArray[np.int16]:
    """Return the index of each cell in a list of names; an empty cell is unknown."""
    codes = {"": UNKNOWN} | {name: code for code, name in enumerate(names)}
    bad = ~cells.isin(list(codes))
    if bad.any():
        name = cells[bad].iloc[0]
        near = difflib.get_close_matches(name, list(names), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        _fail(path, cells, bad, f"is none of {', '.join(names)}{hint}")
    return cells.map(codes).to_numpy(dtype=np.int16)
