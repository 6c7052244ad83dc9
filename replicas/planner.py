"""Hot and cold data, interval by interval: the rule that adds and drops copies, without a simulator around it."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from psgym.replicas.arrays import Bools, Floats, Integers
from psgym.replicas.heat import decay
from psgym.replicas.packing import pack
from psgym.replicas.planner_kernel import ADDED, Limits, State, decide
from psgym.replicas.transfer import COPY_SHARE


@dataclass(frozen=True)
class Servers:
    """Data servers.

    Attributes:
        capacity: Bytes that each can hold, shape ``(servers,)``.
        bandwidth: Bytes/s that each can read or write, shape ``(servers,)``.
        rack: Rack of each, at least 0, shape ``(servers,)``.

    Raises:
        ValueError: The shapes differ, or a capacity or bandwidth is not a positive finite number.
    """

    capacity: Floats
    bandwidth: Floats
    rack: Integers

    def __post_init__(self) -> None:
        shapes = self.capacity.shape, self.bandwidth.shape, self.rack.shape
        if len(set(shapes)) > 1 or self.capacity.ndim != 1:
            raise ValueError(f"capacity, bandwidth and rack must have one entry per server, found shapes {shapes}")
        require_positive("capacity", self.capacity)
        require_positive("bandwidth", self.bandwidth)


@dataclass(frozen=True)
class HotColdRule:
    """The rule of two thresholds; the defaults lie within what tuning on simulated days found.

    Attributes:
        threshold_share: Hot when one copy carries more than this share of a server's mean bandwidth. Tuned values
            were .10 to .28.
        eta: Cold when, after the drop, one copy would carry less than ``eta`` times the hot threshold; in (0, 1].
        half_life_seconds: Half-life of the heat.
        minimum_copies: Copies that no dataset falls below; see :func:`psgym.replicas.counts.minimum_copies`.
        cooldown_seconds: Least time between two changes of one dataset.
        interval_seconds: Time between decisions.
        copy_share: Share of its bandwidth that a server gives to a copy; it takes part in one at a time.

    Raises:
        ValueError: A value is out of its range.
    """

    threshold_share: float = 0.2
    eta: float = 0.6
    half_life_seconds: float = 200.0
    minimum_copies: int = 3
    cooldown_seconds: float = 0.0
    interval_seconds: float = 30.0
    copy_share: float = COPY_SHARE

    def __post_init__(self) -> None:
        for name in ("threshold_share", "half_life_seconds", "minimum_copies", "interval_seconds", "copy_share"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive finite number, found {getattr(self, name)!r}")
        if not 0.0 < self.eta <= 1.0:
            raise ValueError(f"eta must lie in (0, 1], found {self.eta!r}: above 1 the rule flaps")
        if not self.cooldown_seconds >= 0.0:
            raise ValueError(f"cooldown_seconds must not be negative, found {self.cooldown_seconds!r}")


@dataclass(frozen=True)
class Change:
    """One copy more or less.

    Attributes:
        seconds: When it was decided.
        action: ``"add"`` or ``"drop"``.
        dataset: Index of the dataset.
        server: Index of the server that gains or loses the copy.
        source: Index of the server copied from, -1 for a drop.
        ready_seconds: When the copy can be read; for a drop, when it is gone.
    """

    seconds: float
    action: Literal["add", "drop"]
    dataset: int
    server: int
    source: int
    ready_seconds: float


class HotColdPlanner:
    """Follows the reads of datasets and says which copies to add and drop.

    A copy takes ``size / (copy_share x the slower end's bandwidth)`` seconds, occupies its space from the start and
    serves reads from the end; a server takes part in one copy at a time. What competes for bandwidth beyond that is
    the business of a simulator.

    Args:
        size: Bytes of each dataset, shape ``(datasets,)``.
        servers: Where copies can be.
        rule: Thresholds, half-life and limits.
        holder: Copies at the start, at least one of each dataset, shape ``(datasets, servers)``; by default each
            dataset gets its minimum (:func:`psgym.replicas.packing.pack`).
        start_seconds: Time at which the first interval begins.
        seed: Settles ties between equally loaded servers.

    Raises:
        ValueError: A size is not positive, the copies have the wrong shape, do not fit, or leave a dataset out.

    Example:
        >>> servers = Servers(np.full(4, 1e12), np.full(4, 1e9), np.array([0, 0, 1, 1]))
        >>> planner = HotColdPlanner(np.array([6e9, 6e9]), servers, HotColdRule(minimum_copies=1))
        >>> [change.action for change in planner.step(np.array([300e9, 0.0]))]
        ['add']
    """

    def __init__(
        self,
        size: Floats,
        servers: Servers,
        rule: HotColdRule | None = None,
        *,
        holder: Bools | None = None,
        start_seconds: float = 0.0,
        seed: int = 0,
    ) -> None:
        require_positive("size", size)
        self.rule = rule if rule is not None else HotColdRule()
        self.now = start_seconds
        self._random = np.random.default_rng(seed)
        self._servers = servers
        if holder is None:
            copies = np.full(size.shape, self.rule.minimum_copies, dtype=np.int64)
            holder = pack(size, copies, servers.capacity, servers.rack, self._ties())
        self._state = _state(size, servers, holder, start_seconds)

    @property
    def heat(self) -> Floats:
        """Bytes/s of each dataset, shape ``(datasets,)``; a copy."""
        return self._state.heat.copy()

    @property
    def holder(self) -> Bools:
        """Copies that take up space, those in flight included, shape ``(datasets, servers)``."""
        return self._state.ready_at < np.inf

    @property
    def live(self) -> Bools:
        """Copies that can be read now, shape ``(datasets, servers)``."""
        return self._state.ready_at <= self.now

    def step(self, bytes_read: Floats) -> list[Change]:
        """Take in the reads of the interval that has passed and decide.

        Args:
            bytes_read: Bytes read of each dataset in the interval, shape ``(datasets,)``.

        Returns:
            The changes decided at the end of the interval, in order.

        Raises:
            ValueError: The shape is wrong.
        """
        rule, heat = self.rule, self._state.heat
        if bytes_read.shape != heat.shape:
            raise ValueError(f"bytes_read must have shape {heat.shape}, found {bytes_read.shape}")
        self.now += rule.interval_seconds
        factor = decay(rule.interval_seconds, rule.half_life_seconds)
        heat[:] = factor * heat + (1.0 - factor) * bytes_read / rule.interval_seconds
        threshold = rule.threshold_share * float(self._servers.bandwidth.mean())
        limits = Limits(threshold, rule.eta, rule.minimum_copies, float(rule.cooldown_seconds), rule.copy_share)
        return [self._change(event) for event in decide(self._state, limits, self.now, self._ties())]

    def _ties(self) -> Floats:
        return self._random.random(self._servers.capacity.shape)

    def _change(self, event: Integers) -> Change:
        kind, dataset, server, source = (int(value) for value in event)
        if kind == ADDED:
            return Change(self.now, "add", dataset, server, source, float(self._state.ready_at[dataset, server]))
        return Change(self.now, "drop", dataset, server, source, self.now)


def _state(size: Floats, servers: Servers, holder: Bools, start_seconds: float) -> State:
    """The kernels' state with the given copies and no heat."""
    shape = size.shape[0], servers.capacity.shape[0]
    if holder.shape != shape:
        raise ValueError(f"holder must have shape (datasets, servers) = {shape}, found {holder.shape}")
    if not holder.any(axis=1).all():
        raise ValueError(f"holder must give each dataset a copy, found none of dataset {holder.any(axis=1).argmin()}")
    free = servers.capacity - size @ holder
    if (free < 0.0).any():
        raise ValueError(f"holder must fit on the servers, found {-free.min():g} bytes too many on {free.argmin()}")
    return State(
        size=np.ascontiguousarray(size, dtype=np.float64),
        capacity=np.ascontiguousarray(servers.capacity, dtype=np.float64),
        bandwidth=np.ascontiguousarray(servers.bandwidth, dtype=np.float64),
        rack=np.ascontiguousarray(servers.rack, dtype=np.int64),
        heat=np.zeros(shape[0]),
        ready_at=np.where(holder, start_seconds, np.inf),
        changed_at=np.full(shape[0], -np.inf),
        busy_until=np.full(shape[1], -np.inf),
        free=free,
        load=np.zeros(shape[1]),
    )


def require_positive(name: str, values: Floats) -> None:
    """Raise if an entry is not a positive finite number, naming the first."""
    wrong = ~(np.isfinite(values) & (values > 0.0))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(f"{name}[{index}] must be a positive finite number, found {float(values[index])!r}")
