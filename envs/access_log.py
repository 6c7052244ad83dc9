"""Read a log of accesses to objects, line by line, and turn it into the reads of datasets.

The file is UTF-8 CSV with a header, plain or compressed with gzip or Zstandard, of the columns ``object`` and, if
there, ``timestamp``. It is never held in memory as text: what is kept are twelve bytes an access and the names of the
objects, within limits.
"""

from __future__ import annotations

import csv
import hashlib
import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from psgym.envs.trace_files import NUMBER, TraceError, open_trace

UNTIMED_SECONDS = 10.0
"""A log without times is taken to hold an access every so many seconds."""
MAX_ACCESSES = 50_000_000
MAX_OBJECTS = 2_000_000
MAX_LINE = 65_536
SEPARATOR = "|"
"""Objects in one cell that are accessed together; an empty cell accesses none."""


Part = Literal["train", "validation", "test"]
_BOUNDS: dict[str, tuple[float, float]] = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}


@dataclass(frozen=True, eq=False)
class AccessLog:
    """Accesses in order of time."""

    seconds: NDArray[np.float64]
    """Time of each access, not decreasing, shape ``(accesses,)``: since 1970 where the log says so, else since its
    own beginning."""
    object: NDArray[np.int32]
    """Number of the object, in order of first access, shape ``(accesses,)``."""
    names: tuple[str, ...]
    """Names of the objects."""
    timed: bool
    """Whether the file has times; without them, accesses are `UNTIMED_SECONDS` apart."""
    source: str
    """Name of the file and of its column."""
    sha256: str
    """Hash of the file's content, after decompression."""

    def __len__(self) -> int:
        """Return the number of accesses."""
        return len(self.seconds)

    def part(self, name: Part) -> tuple[float, float]:
        """Return when a part begins and ends (s): the log is split by time, 60 % to train, 20 % and 20 %.

        Raises:
            ValueError: If there is no part of that name.
        """
        if name not in _BOUNDS:
            raise ValueError(f"no part {name!r}; there are {', '.join(_BOUNDS)}")
        first, last = float(self.seconds[0]), float(self.seconds[-1])
        low, high = _BOUNDS[name]
        return first + low * (last - first), first + high * (last - first)


def read_accesses(path: str | Path, column: str | None = None) -> AccessLog:
    """Read the objects of a log, and when they were accessed.

    Times are ISO 8601 (UTC without an offset) or numbers of seconds, and must not decrease. A cell may name several
    objects, joined by ``|``; an empty one names none.

    Args:
        path: The file.
        column: Name of the column of objects; ``object`` by default.

    Raises:
        TraceError: If the file cannot be read, has no such column, or holds a row or a cell that does not fit; the
            message names file, line, column and value.
    """
    path, column = Path(path), column or "object"
    seconds, objects, numbers = array("d"), array("i"), dict[str, int]()
    digest = hashlib.sha256()
    rows = _rows(path, digest)
    line, header = next(rows, (1, []))
    object_at, time_at = _columns(f"{path}:{line}", header, column)
    for line, cells in rows:
        if len(cells) != len(header):
            raise TraceError(f"{path}:{line}: {len(cells)} cells, but the header has {len(header)}")
        if time_at is None:
            time = len(seconds) * UNTIMED_SECONDS
        else:
            time = _time(cells[time_at], f"{path}:{line}:{header[time_at]}")
            if seconds and time < seconds[-1]:
                raise TraceError(f"{path}:{line}:{header[time_at]}: {cells[time_at]!r} is earlier than the row before")
        for name in filter(None, (name.strip() for name in cells[object_at].split(SEPARATOR))):
            objects.append(numbers.setdefault(name, len(numbers)))
            seconds.append(time)
        _check_size(f"{path}:{line}:{column}", len(objects), len(numbers))
    if not objects:
        raise TraceError(f"{path}:{line}:{column}: no object is accessed")
    if seconds[-1] <= seconds[0]:
        raise TraceError(f"{path}:{line}: all accesses are at one time, so the log has no course")
    times, codes = np.frombuffer(seconds, np.float64), np.frombuffer(objects, np.int32)
    return AccessLog(times, codes, tuple(numbers), time_at is not None, f"{path.name}:{column}", digest.hexdigest())


def _check_size(place: str, accesses: int, objects: int) -> None:
    if accesses > MAX_ACCESSES:
        raise TraceError(f"{place}: more than {MAX_ACCESSES:,} accesses; split the log")
    if objects > MAX_OBJECTS:
        raise TraceError(f"{place}: more than {MAX_OBJECTS:,} different objects; is this the column of objects?")


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, stream: io.BufferedIOBase, digest: hashlib._Hash) -> None:
        self._stream, self._digest = stream, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def _rows(path: Path, digest: hashlib._Hash) -> Iterator[tuple[int, list[str]]]:
    """Yield line and stripped cells of each row that is not blank."""
    line = 0
    try:
        with open_trace(path) as stream:
            raw = io.BufferedReader(_Hashed(stream, digest))
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            reader = csv.reader(_lines(text, path), strict=True)
            for cells in reader:
                line = reader.line_num
                if any(cells):
                    yield line, [cell.strip() for cell in cells]
    except UnicodeDecodeError as error:
        # The decoder works in blocks: the line that it stands on is at least the one after the last whole row.
        raise TraceError(f"{path}:{line + 1}: not UTF-8 text: byte {error.object[error.start]:#04x}") from error
    except csv.Error as error:
        raise TraceError(f"{path}:{line + 1}: not CSV: {error}") from error


def _lines(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Yield lines, none longer than `MAX_LINE`: a file without line ends must not fill the memory."""
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise TraceError(f"{path}:{number}: a line of more than {MAX_LINE:,} characters")
        yield line


def _columns(place: str, header: list[str], column: str) -> tuple[int, int | None]:
    """Return the positions of the objects and, if there is one, of the times."""
    if not header:
        raise TraceError(f"{place}: the file is empty; it needs a header with the column {column!r}")
    if len(set(header)) < len(header):
        raise TraceError(f"{place}: two columns have the same name: {', '.join(header)}")
    if column not in header:
        raise TraceError(f"{place}: no column {column!r}; there are: {', '.join(header)}")
    return header.index(column), header.index("timestamp") if "timestamp" in header else None


def _time(cell: str, place: str) -> float:
    if NUMBER.fullmatch(cell):
        seconds = float(cell)
        if np.isfinite(seconds):
            return seconds
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        raise TraceError(f"{place}: {cell!r} is neither a time in ISO 8601 nor a number of seconds") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
