"""Read one column of counts from a CSV file, or say in one line what is wrong with it and where."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psgym.envs.trace_files import NUMBER, TraceError, open_trace

_MAX_COUNT = 2.0**53  # above it a float cannot tell neighbouring whole numbers apart


@dataclass(frozen=True, eq=False)
class Counts:
    """A column of counts and when their intervals begin. Rows whose cell is empty are left out."""

    path: Path
    column: str
    """Name of the column that was read."""
    seconds: NDArray[np.int64]
    """Beginning of each interval, in seconds since 1970-01-01 00:00 UTC, strictly increasing, shape ``(rows,)``."""
    values: NDArray[np.float64]
    """Counts, each finite and not negative, shape ``(rows,)``."""
    lines: NDArray[np.int64]
    """Line of the file that each row stands on, from 1, shape ``(rows,)``."""
    sha256: str
    """Hash of the file's content, after decompression."""


def read_counts(path: str | Path, column: str | None = None) -> Counts:
    """Read the times and one column of counts.

    The file is UTF-8 CSV with a header, plain or compressed with gzip or Zstandard. Times are ISO 8601, in the column
    ``timestamp`` or, without one of that name, in the first column; a time without an offset is taken as UTC.

    Args:
        path: The file.
        column: Name of the column of counts. By default ``value``, else the only other column, else the only one
            that begins with a number.

    Raises:
        TraceError: if the file cannot be read, has no such column, or holds a row or a cell that does not fit.
    """
    path = Path(path)
    content = _read_content(path)
    rows = _split_rows(path, content)
    if len(rows) < 2:
        raise TraceError(f"{path}: the file is empty" if not rows else f"{path}:{rows[0][0]}: a header, but no rows")
    (line, header), *rows = rows
    time_at, value_at = _choose_columns(f"{path}:{line}", header, column, rows[0][1])
    seconds, values, lines = [], [], []
    previous = -math.inf
    for line, cells in rows:
        if len(cells) != len(header):
            raise TraceError(f"{path}:{line}: {len(cells)} cells, but the header has {len(header)}")
        time = _parse_time(cells[time_at], f"{path}:{line}:{header[time_at]}")
        if time <= previous:
            raise TraceError(f"{path}:{line}:{header[time_at]}: {cells[time_at]!r} is not later than the row before it")
        previous = time
        if cells[value_at]:
            seconds.append(time)
            values.append(_parse_count(cells[value_at], f"{path}:{line}:{header[value_at]}"))
            lines.append(line)
    if not values:
        raise TraceError(f"{path}:{rows[0][0]}:{header[value_at]}: every cell of the column is empty")
    digest = hashlib.sha256(content).hexdigest()
    return Counts(path, header[value_at], np.array(seconds), np.array(values), np.array(lines), digest)


def _read_content(path: Path) -> bytes:
    """Return the bytes of a file, decompressed."""
    with open_trace(path) as stream:
        content: bytes = stream.read()
    return content


def _split_rows(path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    """Return the line and the stripped cells of each row that is not blank."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TraceError(f"{path}:{line}: not UTF-8 text: byte {content[error.start]:#04x}") from error
    except csv.Error as error:
        raise TraceError(f"{path}:{reader.line_num}: not CSV: {error}") from error


def _choose_columns(place: str, header: list[str], column: str | None, first: list[str]) -> tuple[int, int]:
    """Return the positions of the times and of the counts."""
    if len(set(header)) < len(header):
        raise TraceError(f"{place}: two columns have the same name: {', '.join(header)}")
    if NUMBER.fullmatch(header[-1]):
        raise TraceError(f"{place}: {header[-1]!r} is a value: the file needs a header, such as timestamp,value")
    time_at = header.index("timestamp") if "timestamp" in header else 0
    others = [name for k, name in enumerate(header) if k != time_at]
    column = column or _default_column(place, header, others, first)
    if column not in others:
        raise TraceError(f"{place}: no column of counts {column!r}; there are: {', '.join(others) or '(none)'}")
    return time_at, header.index(column)


def _default_column(place: str, header: list[str], others: list[str], first: list[str]) -> str:
    """Return the column ``value``, else the only one besides the times, else the only one that begins with a number."""
    numbers = [name for name, cell in zip(header, first, strict=False) if name in others and NUMBER.fullmatch(cell)]
    for candidates in (["value"] if "value" in others else [], others, numbers):
        if len(candidates) == 1:
            return candidates[0]
    raise TraceError(f"{place}: name the column of counts, one of: {', '.join(others) or '(none)'}")


def _parse_time(cell: str, place: str) -> int:
    """Return seconds since 1970."""
    try:
        time = datetime.fromisoformat(cell)
    except ValueError as error:
        raise TraceError(f"{place}: {cell!r} is not a time in ISO 8601, such as 2018-01-31 23:55:00") from error
    if time.microsecond:
        raise TraceError(f"{place}: {cell!r} is not a whole second")
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _parse_count(cell: str, place: str) -> float:
    """Return a number from 0 to `_MAX_COUNT`."""
    if not NUMBER.fullmatch(cell):
        raise TraceError(f"{place}: {cell!r} is not a number")
    count = float(cell)
    if not 0 <= count <= _MAX_COUNT:
        raise TraceError(f"{place}: {cell!r} is not a count: it must be from 0 to {_MAX_COUNT:.0f}")
    return count
