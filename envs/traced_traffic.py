"""Traffic of a trace: load per slot, when each slot was, and which part of the trace it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "validation", "test"]

_DAY_SECONDS = 86_400


@dataclass(frozen=True, eq=False)
class Traffic:
    """Traffic per slot, relative to its mean over the training part."""

    values: NDArray[np.float64]
    """Load of each slot, from 0 to ``max_load``; its mean over the training part is 1 before clipping. Read-only, shape
    ``(slots,)``."""
    start: str
    """When the first slot begins, ISO 8601 in UTC."""
    slot_seconds: int
    """Length of a slot."""
    source: str
    """Name of the file and of its column."""
    native_seconds: int
    """Interval of the file."""
    mean_count: float
    """Counts that a load of 1 stands for: the mean of a slot over the training part."""
    interpolated: int
    """Intervals of the file that were missing and have been interpolated."""
    clipped: int
    """Slots whose load exceeded ``max_load``."""
    sha256: str
    """Hash of the file's content, after decompression."""

    def __len__(self) -> int:
        """Return the number of slots."""
        return len(self.values)

    @property
    def seconds(self) -> NDArray[np.int64]:
        """When each slot begins, in seconds since 1970-01-01 00:00 UTC, shape ``(slots,)``."""
        first = int(datetime.fromisoformat(self.start).timestamp())
        return first + self.slot_seconds * np.arange(len(self.values), dtype=np.int64)

    @property
    def day(self) -> NDArray[np.int64]:
        """Calendar day on which each slot begins, in days since 1970-01-01, shape ``(slots,)``."""
        return self.seconds // _DAY_SECONDS

    @property
    def time_of_day(self) -> NDArray[np.float64]:
        """Share of its day that has gone when each slot begins, from 0 to below 1, shape ``(slots,)``."""
        return self.seconds % _DAY_SECONDS / _DAY_SECONDS

    def part(self, name: Part) -> tuple[int, int]:
        """Return the first slot of a part, and the first one after it.

        Raises:
            ValueError: if there is no part of that name.
        """
        slots = len(self.values)
        bounds = {
            "train": (0, 3 * slots // 5),
            "validation": (3 * slots // 5, 4 * slots // 5),
            "test": (4 * slots // 5, slots),
        }
        if name not in bounds:
            raise ValueError(f"no part {name!r}; there are: {', '.join(bounds)}")
        return bounds[name]
