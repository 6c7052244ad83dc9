"""Reading and checking series before anything is learned from them."""

import csv
import gzip
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

MINIMUM_LENGTH = 8
LONGEST_FILLED_GAP_SECONDS = 900.0


def check_series(y: ArrayLike, minimum: int = 1) -> NDArray[np.float64]:
    """Returns the series as a float64 vector, or says what is wrong with it.

    Args:
        y: the values, one per slot.
        minimum: the fewest values that make sense.

    Raises:
        ValueError: it is not one-dimensional, too short, or holds a NaN or an infinity.
    """
    values = np.ascontiguousarray(y, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"a series must be one-dimensional, found shape {values.shape}")
    if len(values) < minimum:
        raise ValueError(f"a series of at least {minimum} values is needed, found {len(values)}")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        hint = "; close gaps with psgym.predictors.fill_gaps first" if np.isnan(values[bad[0]]) else ""
        raise ValueError(f"y[{bad[0]}] is {values[bad[0]]} ({len(bad)} such values){hint}")
    return values


def fill_gaps(y: ArrayLike, longest: int = 3) -> NDArray[np.float64]:
    """Interpolates runs of NaN of at most `longest` slots, with a warning that counts them.

    Raises:
        ValueError: a run is longer, or touches an end of the series.
    """
    values = np.array(y, dtype=np.float64)
    missing = np.isnan(values)
    if not missing.any():
        return values
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if start == 0 or stop == len(values) or stop - start > longest:
            raise ValueError(
                f"gap of {stop - start} slots at y[{start}]: only inner gaps of up to {longest} are filled"
            )
    known = np.flatnonzero(~missing)
    values[missing] = np.interp(np.flatnonzero(missing), known, values[known])
    warnings.warn(f"{int(missing.sum())} missing slots were interpolated", stacklevel=2)
    return values


@dataclass(frozen=True)
class Series:
    """Counts per slot.

    Attributes:
        values: one per slot, shape [T].
        slot_seconds: length of a slot.
        start: time of the first slot.
    """

    values: NDArray[np.float64]
    slot_seconds: float
    start: np.datetime64

    def coarsen(self, slot_seconds: float) -> "Series":
        """Sums whole groups of slots; an incomplete last group is left out.

        Raises:
            ValueError: the new slot is not a multiple of the old one.
        """
        factor = round(slot_seconds / self.slot_seconds)
        if factor < 1 or not math.isclose(factor * self.slot_seconds, slot_seconds):
            raise ValueError(f"slot_seconds={slot_seconds} is not a multiple of {self.slot_seconds}")
        whole = len(self.values) // factor * factor
        return Series(self.values[:whole].reshape(-1, factor).sum(axis=1), float(slot_seconds), self.start)

    def periods(self) -> tuple[int, ...]:
        """Slots in a day and in a week."""
        day = max(2, round(86400.0 / self.slot_seconds))
        return day, 7 * day


def read_series(path: str | Path, column: str = "value", time: str = "timestamp", longest: int | None = None) -> Series:
    """Reads a CSV (plain or .gz) with a header, a column of times and a column of values.

    Rows must be in order of time. The slot is the most frequent step; absent rows and empty cells are gaps.

    Args:
        path: the file.
        column: name of the column of values; if absent and the file has one other column, that one is taken.
        time: name of the column of times (ISO 8601, or seconds).
        longest: longest gap, in slots, that is interpolated (with a warning); 15 minutes by default.

    Raises:
        ValueError: names the file, the line, the column and the value found.
    """
    stamps, values = _read_columns(Path(path), column, time)
    steps = np.diff(stamps)
    if len(steps) == 0:
        raise ValueError(f"{path}: at least two rows are needed, found {len(stamps)}")
    late = np.flatnonzero(steps <= 0.0)
    if len(late):
        raise ValueError(f"{path}, line {late[0] + 3}, column {time!r}: times must increase")
    slot = float(_most_frequent(steps))
    index = np.round((stamps - stamps[0]) / slot).astype(np.int64)
    off = np.flatnonzero(np.abs(stamps - stamps[0] - index * slot) > 0.01 * slot)
    if len(off):
        raise ValueError(f"{path}, line {off[0] + 2}, column {time!r}: not on the grid of {slot:g} s")
    regular = np.full(int(index[-1]) + 1, np.nan)
    regular[index] = values
    limit = int(LONGEST_FILLED_GAP_SECONDS // slot) if longest is None else longest
    try:
        filled = fill_gaps(regular, limit)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Series(filled, slot, np.datetime64(int(stamps[0]), "s"))


def _most_frequent(steps: NDArray[np.float64]) -> float:
    values, counts = np.unique(steps, return_counts=True)
    return float(values[counts.argmax()])


def _read_columns(path: Path, column: str, time: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        names = list(rows.fieldnames or [])
        others = [name for name in names if name != time]
        if time not in names:
            raise ValueError(f"{path}, line 1: no column {time!r}, found {names}")
        if column not in names:
            if len(others) != 1:
                raise ValueError(f"{path}, line 1: no column {column!r}, found {names}")
            column = others[0]
        stamps, values = [], []
        for line, row in enumerate(rows, start=2):
            stamps.append(_seconds(row[time], f"{path}, line {line}, column {time!r}"))
            values.append(_number(row[column], f"{path}, line {line}, column {column!r}"))
    return np.array(stamps), np.array(values)


def _seconds(text: str, where: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        pass
    try:
        return float((np.datetime64(text.replace(" ", "T").removesuffix("Z"), "ms")).astype(np.int64)) / 1000.0
    except (AttributeError, ValueError):
        raise ValueError(f"{where}: {text!r} is not a time") from None


def _number(text: str, where: str) -> float:
    if text is None or text.strip() == "":
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where}: {text!r} is not a number") from None
