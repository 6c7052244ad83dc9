"""A day of an access log in, a replica plan out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from psgym.replicas.arrays import Bools, Floats, Integers
from psgym.replicas.planner import Change, HotColdPlanner, HotColdRule, Servers

# A copy dropped within this time of being made was not worth making.
FLAP_SECONDS = 600.0


@dataclass(frozen=True)
class AccessLog:
    """Reads in order of time.

    Attributes:
        seconds: Time of each read, ascending, shape ``(reads,)``.
        dataset: Index of the dataset read, at least 0, shape ``(reads,)``.
        bytes_read: Bytes of each read, shape ``(reads,)``.

    Raises:
        ValueError: The shapes differ, or a read is out of order, negative or not finite.
    """

    seconds: Floats
    dataset: Integers
    bytes_read: Floats

    def __post_init__(self) -> None:
        shapes = self.seconds.shape, self.dataset.shape, self.bytes_read.shape
        if len(set(shapes)) > 1 or self.seconds.ndim != 1 or not self.seconds.size:
            raise ValueError(f"seconds, dataset and bytes_read must have one entry per read, found shapes {shapes}")
        self._require(np.isfinite(self.seconds), "seconds", "a finite number")
        self._require(np.diff(self.seconds, prepend=self.seconds[0]) >= 0.0, "seconds", "no earlier than the last read")
        self._require(self.dataset >= 0, "dataset", "an index of at least 0")
        self._require(np.isfinite(self.bytes_read) & (self.bytes_read >= 0.0), "bytes_read", "finite and not negative")

    def _require(self, right: Bools, name: str, wanted: str) -> None:
        if not right.all():
            read = int(np.argmin(right))
            raise ValueError(f"{name}[{read}] must be {wanted}, found {getattr(self, name)[read].item()!r}")

    def bytes_per_interval(self, interval_seconds: float, datasets: int) -> Iterator[Floats]:
        """Bytes read of each dataset, shape ``(datasets,)``, for each interval from the first read to the last."""
        self._require(self.dataset < datasets, "dataset", f"an index below {datasets}")
        interval = (self.seconds - self.seconds[0]) // interval_seconds
        ends = np.searchsorted(interval, np.arange(interval[-1] + 1.0), side="right")
        for first, end in pairwise([0, *ends.tolist()]):
            reads = np.bincount(self.dataset[first:end], weights=self.bytes_read[first:end], minlength=datasets)
            yield reads.astype(np.float64)


@dataclass(frozen=True)
class ReplicaPlan:
    """What to copy and drop, when and where.

    Attributes:
        initial: Copies at the start, shape ``(datasets, servers)``.
        final: Copies at the end, those in flight included, shape ``(datasets, servers)``.
        changes: Every change in order of time.
        moved_bytes: Bytes copied between servers.
    """

    initial: Bools
    final: Bools
    changes: tuple[Change, ...]
    moved_bytes: float

    @property
    def copies(self) -> Integers:
        """Copies of each dataset at the end, shape ``(datasets,)``."""
        copies: Integers = np.count_nonzero(self.final, axis=1)
        return copies

    def live_at(self, seconds: float) -> Bools:
        """Copies that can be read at a time of the log, shape ``(datasets, servers)``."""
        live = self.initial.copy()
        for change in self.changes:
            if change.ready_seconds <= seconds:
                live[change.dataset, change.server] = change.action == "add"
        return live

    def flaps(self, within_seconds: float = FLAP_SECONDS) -> int:
        """How many drops came within this time of an addition to the same dataset."""
        added: dict[int, float] = {}
        flaps = 0
        for change in self.changes:
            if change.action == "add":
                added[change.dataset] = change.seconds
            else:
                flaps += change.seconds - added.get(change.dataset, -np.inf) <= within_seconds
        return flaps


def plan_replicas(
    log: AccessLog,
    size: Floats,
    servers: Servers,
    rule: HotColdRule | None = None,
    *,
    holder: Bools | None = None,
    seed: int = 0,
) -> ReplicaPlan:
    """Run the hot/cold rule over an access log.

    Args:
        log: The reads.
        size: Bytes of each dataset, shape ``(datasets,)``.
        servers: Where copies can be.
        rule: Thresholds, half-life and limits.
        holder: Copies at the start, shape ``(datasets, servers)``; by default the minimum of each dataset, spread over
            racks and space.
        seed: Settles ties between equally loaded servers.

    Returns:
        The changes and the placements before and after them.

    Raises:
        ValueError: The log names a dataset that has no size, or an argument of :class:`HotColdPlanner` is wrong.
    """
    planner = HotColdPlanner(size, servers, rule, holder=holder, start_seconds=float(log.seconds[0]), seed=seed)
    initial = planner.holder
    changes: list[Change] = []
    for bytes_read in log.bytes_per_interval(planner.rule.interval_seconds, size.shape[0]):
        changes += planner.step(bytes_read)
    moved = sum(float(size[change.dataset]) for change in changes if change.action == "add")
    return ReplicaPlan(initial, planner.holder, tuple(changes), moved)
