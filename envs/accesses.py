"""Popularity that follows a real log of accesses, slot by slot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from psgym.envs.access_log import AccessLog, read_accesses
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.traffic import TrafficError

WINDOW = 64
"""Newest accesses whose composition is the popularity of a moment."""


@dataclass(frozen=True)
class Popularity:
    """Which datasets the readers of one episode want."""

    share: NDArray[np.float64]
    """Share of all reads, for the slot before the first and for each slot, shape ``(slots + 1, datasets)``."""
    slot_of_day: int
    """Slot of the calendar day at which the episode starts."""
    day: int
    """Number of the calendar day, of the log's own if it has no times."""


class LoggedPopularity:
    """Episodes cut from one part of a log of accesses, at the log's own pace.

    In each slot the reads split over datasets as the newest `WINDOW` accesses before its end did; how much is read in
    all is a matter of the traffic. Objects are mapped to datasets by their rank in the training part, so that the most
    accessed ones have a dataset each; those beyond the number of datasets share them in turn. The numbers of the
    datasets are shuffled for each episode.
    """

    def __init__(self, log: AccessLog, part: str = "train") -> None:
        """Keeps a log and the name of the part (``train``, ``validation`` or ``test``) to draw from."""
        self.log = log
        self.name = part
        self._bounds = log.part(part)  # type: ignore[arg-type]
        training = log.object[: np.searchsorted(log.seconds, log.part("train")[1], side="right")]
        counts = np.bincount(training, minlength=len(log.names))
        self._rank = np.empty(len(counts), np.int64)
        self._rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))

    def sample(self, rng: np.random.Generator, config: ClusterConfig) -> Popularity:
        """Draws the start of an episode, a whole number of slots into the part, and what is read from there on.

        Raises:
            TrafficError: If the part is shorter than an episode.
        """
        first, last = self._bounds
        length = config.slot_seconds * config.slots
        starts = int((last - first - length) // config.slot_seconds)
        if starts < 0:
            raise TrafficError(
                f"{self.log.source}: the {self.name} part lasts {last - first:,.0f} s, less than an episode of "
                f"{length:,.0f} s"
            )
        start = first + config.slot_seconds * int(rng.integers(starts + 1))
        dataset = rng.permutation(config.datasets)[self._rank % config.datasets]
        share = np.zeros((config.slots + 1, config.datasets))
        ends = np.searchsorted(self.log.seconds, start + config.slot_seconds * np.arange(config.slots + 1))
        for row, end in zip(share, np.maximum(ends, 1).tolist(), strict=True):
            newest = dataset[self.log.object[max(0, end - WINDOW) : end]]
            row[:] = np.bincount(newest, minlength=config.datasets) / len(newest)
        slot_of_day = int((start % 86400.0) // config.slot_seconds) % config.slots_per_day
        return Popularity(share, slot_of_day, int(start // 86400.0))

    def distinct_days(self, config: ClusterConfig) -> int:
        """Calendar days on which an episode can start."""
        first, last = self._bounds
        last -= config.slot_seconds * config.slots
        return int(last // 86400.0) - int(first // 86400.0) + 1 if last >= first else 0


AccessesLike: TypeAlias = "AccessLog | LoggedPopularity | str | os.PathLike[str] | None"


def make_popularity(accesses: AccessesLike, column: str | None, part: str) -> LoggedPopularity | None:
    """The popularity that an argument names: that of a CSV file, of a log, one made before, or None (synthetic)."""
    if accesses is None or isinstance(accesses, LoggedPopularity):
        return accesses
    log = accesses if isinstance(accesses, AccessLog) else read_accesses(os.fspath(accesses), column)
    return LoggedPopularity(log, part)
