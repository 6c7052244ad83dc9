"""The configuration of a cluster: one frozen dataclass, validated once, units in the names."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psgym.envs.cluster.kinds import KINDS

ALLOCATION_RULES = (
    "none",
    "fifo",
    "srtf",
    "drf",
    "drf-stop",
    "tetris",
    "optimus",
    "srpt-optimus",
    "hesrpt",
)
REPLICA_RULES = ("no-op", "static", "hot-cold")
CAPACITY_RULES = ("static", "reactive", "forecast")
INITIAL_PLANS = ("one-each", "empty")
PLACEMENTS = ("heuristic", "agent")
OBSERVATIONS = ("flat", "structured")
HEATS = ("long", "medium", "short")


class ConfigError(ValueError):
    """A configuration value that the simulator cannot work with; the message names the field and the value."""


@dataclass(frozen=True)
class ClusterConfig:
    """Everything that shapes a cluster, its load and its decisions.

    The defaults are the preset ``small``. Lengths of arrays (``max_jobs``, ``window``, ``nodes``, ``data_servers``,
    ``datasets``, ``candidates``, ``slots``) decide the record's type: a new combination compiles the kernels anew.
    """

    # Time
    slot_seconds: float = 300.0
    """Length of a scheduling slot (s)."""
    slots: int = 288
    """Slots in an episode; arrivals stop after them."""
    storage_seconds: float = 30.0
    """Length of a storage sub-slot (s); divides ``slot_seconds``."""
    drain: bool = False
    """Go on after the last slot, without arrivals, until every job is done (at most four horizons)."""

    # Load
    load: float = 0.8
    """Work offered at one worker and one server a job, as a share of the cluster."""
    max_load: float = 3.0
    """Traffic is clipped at this multiple of its mean."""
    jobs_per_slot: float = 0.0
    """Mean arrivals in a slot; 0 derives them from ``load``."""
    job_list: int = 0
    """Length of a finite list of jobs; 0 means that jobs arrive until the horizon."""
    batch_jobs: float = 5.0
    """Mean size of a batch of submissions (geometric); 1 gives single submissions."""
    duration_log_mean: float = 6.92
    """Mean of the logarithm of a job's duration at one worker and one server (log s)."""
    duration_log_sigma: float = 2.02
    """Standard deviation of the same logarithm."""
    max_duration_seconds: float = 43200.0
    """Durations are clipped here (s)."""
    samples_per_kind: tuple[float, ...] = ()
    """Samples of a job of each kind (within 10 %), instead of lognormal durations; empty to draw durations."""
    asynchronous_share: float = 0.5
    """Share of jobs that train asynchronously."""
    constant_traffic: bool = False
    """Synthetic traffic without seasons and noise."""
    max_jobs: int = 2048
    """Most jobs that an episode can hold."""

    # Nodes and tasks
    nodes: int = 12
    """Compute nodes."""
    node_cpu: int = 8
    """CPU of a node."""
    node_gpu: int = 2
    """GPU of a node."""
    max_workers: int = 16
    """Most workers of one job."""
    max_servers: int = 16
    """Most parameter servers of one job."""
    boot_seconds: float = 120.0
    """Time from the order to a node that works (s)."""
    node_failures_per_day: float = 2.0
    """Failures of a node a day (accelerated: production clusters see 0.002 to 0.015)."""
    server_failures_per_day: float = 2.0
    """Outages of a data server a day (accelerated)."""
    short_repair_seconds: float = 600.0
    """Mean of a short repair (s), nine in ten."""
    long_repair_seconds: float = 10800.0
    """Median of a long repair (s), one in ten, lognormal with sigma 1."""

    # What an allocation costs; each coupling has a switch
    coefficient_sigma: float = 0.35
    """Lognormal spread of a job's true speed coefficients about its kind's."""
    speed_noise_sigma: float = 0.1
    """Lognormal noise of an observed speed."""
    min_restart_seconds: float = 30.0
    """Shortest restart after a changed allocation (s)."""
    max_restart_seconds: float = 120.0
    """Longest restart after a changed allocation (s)."""
    spread_penalty: float = 0.2
    """Relative growth of the communication term per extra node."""
    colocation_penalty: float = 0.08
    """Relative slowdown per co-located job."""
    checkpoint_interval_seconds: float = 900.0
    """Running time between checkpoints (s)."""
    checkpoint_pause_seconds: float = 5.0
    """Cost of a checkpoint (s)."""
    hidden_coefficients: bool = True
    """Switch: true coefficients differ from the kind's."""
    noisy_speed: bool = True
    """Switch: observed speed is noisy."""
    restart_cost: bool = True
    """Switch: a changed allocation restarts the job."""
    spread_cost: bool = True
    """Switch: tasks on several nodes talk slower."""
    colocation_cost: bool = True
    """Switch: co-located jobs slow each other."""
    storage_stalls: bool = True
    """Switch: busy data servers slow the jobs that read from them."""
    node_failures: bool = True
    """Switch: nodes fail."""
    server_failures: bool = True
    """Switch: data servers fail."""

    # Data
    data_servers: int = 8
    """Data servers."""
    racks: int = 4
    """Racks over which the data servers are spread."""
    datasets: int = 64
    """Datasets."""
    bandwidth_bytes_per_second: float = 1.25e9
    """Bandwidth of a data server (bytes/s)."""
    capacity_ratio: float = 2.3
    """Capacity of all servers over the bytes of all datasets."""
    dataset_log_median_bytes: float = 60e9
    """Median size of a dataset (bytes), lognormal."""
    dataset_log_sigma: float = 0.6
    """Standard deviation of the logarithm of a dataset's size."""
    initial_copies: int = 2
    """Copies of each dataset at the start."""
    minimum_copies: int = 2
    """Fewest copies that a rule leaves."""
    copy_share: float = 0.25
    """Largest share of a server's bandwidth that copies may take; reads keep the rest."""
    max_flights: int = 32
    """Most copies in flight."""
    zipf_exponent: float = 1.1
    """Exponent of the popularity of datasets."""
    background_utilisation: float = 0.29
    """Mean demand of background readers over the bandwidth of all servers."""
    job_read_bytes_per_second: float = 2.0e8
    """What a job reads at one worker and one server (bytes/s); sets the bytes per sample of its kind."""
    reader_bytes_per_second: float = 3.5e8
    """One background reader's rate (bytes/s), to count readers."""
    popularity_drift: float = 0.02
    """Share of datasets that swap ranks in an hour."""
    bursts_per_day: float = 48.0
    """Bursts a day: readers that come together, wait, and read one dataset until they have what they came for."""
    burst_readers: float = 1.5
    """Mean number of readers in a burst (geometric)."""
    burst_seconds: float = 2400.0
    """Mean time that a burst reads if nothing stalls it (s), exponential; a stalled one reads for longer."""
    burst_wait_seconds: float = 600.0
    """Mean time for which a burst is announced before it reads (s), exponential."""
    request_bytes: float = 0.0
    """Bytes of one read request, for the latencies of reads; 0: no latencies, which saves a third of a slot's time."""
    dead_after_seconds: float = 630.0
    """A data server that is down for so long is taken for dead: what it holds is copied again elsewhere until
    ``minimum_copies`` are live (s). The default is that of HDFS."""
    storage_target: float = 3.0
    """Bytes stored over the bytes of all datasets above which storage costs."""
    heat_half_life_seconds: float = 600.0
    """Half-life of the heat of a dataset (s)."""
    hot_threshold: float = 0.2
    """Heat per copy above which a dataset is hot, over a server's bandwidth."""
    cold_ratio: float = 0.6
    """Eta: a copy is dropped when the heat per copy after the drop stays below eta times the hot threshold."""
    rule_heat: str = "long"
    """Heat that the rule hot/cold looks at: ``long`` (that half-life), ``medium`` (2 min) or ``short`` (30 s)."""

    # Decisions
    window: int = 16
    """Jobs that a slot's decisions may address: half the oldest, half the nearest to their end."""
    candidates: int = 8
    """Datasets that a slot's decisions may address: half the hottest per copy, half the coldest."""
    max_decisions_per_slot: int = 128
    """A slot is committed after so many decisions."""
    max_refusals_per_slot: int = 3
    """A slot is committed after so many masked-out actions."""
    initial: str = "one-each"
    """How a plan starts: ``one-each`` or ``empty``."""
    placement: str = "heuristic"
    """Who picks the data server of a copy: ``heuristic`` or ``agent``."""
    observation: str = "flat"
    """``flat`` (Box) or ``structured`` (Dict)."""
    allocation_rule: str = "srpt-optimus"
    """Rule that allocates tasks where the agent does not."""
    replica_rule: str = "hot-cold"
    """Rule that manages replicas where the agent does not."""
    capacity_rule: str = "static"
    """Rule that powers nodes where the agent does not."""
    reactive_headroom: float = 1.75
    """Capacity kept by the reactive rule over the demand seen."""
    forecast_quantile: float = 0.7
    """Share of slots for which the nodes of the forecast rule are to suffice."""
    observed_speed_weight: float = 0.3
    """Weight of the newest observation in the moving average of a job's speed ratio."""

    # Prices
    unfinished_price: float = 1.0
    """Cost of an unfinished job for one hour."""
    node_price: float = 0.25
    """Cost of a powered node for one hour."""
    copy_price: float = 0.5
    """Cost of a terabyte copied."""
    unavailable_price: float = 1.0
    """Cost of an hour of a reader whose dataset has no live copy."""
    stall_price: float = 0.0
    """Cost of an hour of all readers stalled (weight of the stall share, for ``Replicas-v0``)."""
    hot_traffic_price: float = 0.0
    """Cost of an hour of all traffic on servers above 90 % (for ``Replicas-v0``)."""
    storage_price: float = 0.0
    """Cost of an hour of storing all datasets once more than ``storage_target`` (for ``Replicas-v0``)."""
    reward_scale: float = 100.0
    """The reward is the cost divided by this."""

    kinds: tuple[str, ...] = field(default_factory=lambda: tuple(kind.name for kind in KINDS))
    """Names of the job kinds that arrive, all equally often."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check_type(item, getattr(self, item.name))
        for name in ("samples_per_kind", "kinds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_ranges(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ClusterConfig:
        """Builds a configuration from a mapping, such as the JSON form of an ``EnvSpec``.

        Raises:
            ConfigError: If a key is unknown (with the nearest known name) or a value is out of range.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        for key in mapping:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"unknown configuration key {key!r}{hint}")
        return cls(**mapping)

    @property
    def substeps(self) -> int:
        """Storage sub-slots in a slot."""
        return round(self.slot_seconds / self.storage_seconds)

    @property
    def max_bursts(self) -> int:
        """Most bursts that an episode can hold: eight standard deviations above their mean, as a power of two.

        At least 128, so that few bursts or none do not make another type of record.
        """
        seconds = self.slots * self.slot_seconds + self.burst_seconds + self.burst_wait_seconds
        mean = self.bursts_per_day * seconds / 86400.0
        return max(128, 1 << math.ceil(math.log2(mean + 8.0 * math.sqrt(mean) + 8.0)))

    @property
    def slots_per_day(self) -> int:
        """Slots in a calendar day."""
        return max(1, round(86400.0 / self.slot_seconds))

    @property
    def mean_duration_seconds(self) -> float:
        """Mean of the clipped lognormal duration at one worker and one server (s)."""
        mu, sigma, cap = self.duration_log_mean, self.duration_log_sigma, self.max_duration_seconds
        below = math.exp(mu + sigma**2 / 2) * _phi((math.log(cap) - mu - sigma**2) / sigma)
        return below + cap * (1.0 - _phi((math.log(cap) - mu) / sigma))

    @property
    def bundle_share(self) -> float:
        """Dominant share of the cluster that one worker and one server take, averaged over the kinds."""
        kinds = [kind for kind in KINDS if kind.name in self.kinds]
        cpu, gpu = self.nodes * self.node_cpu, max(1, self.nodes * self.node_gpu)
        return sum(max((k.worker_cpu + k.server_cpu) / cpu, k.worker_gpu / gpu) for k in kinds) / len(kinds)

    @property
    def arrivals_per_slot(self) -> float:
        """Mean number of jobs that arrive in a slot when the traffic is at its mean."""
        if self.jobs_per_slot > 0:
            return self.jobs_per_slot
        return self.load * self.slot_seconds / (self.mean_duration_seconds * self.bundle_share)


def as_config(config: ClusterConfig | Mapping[str, Any]) -> ClusterConfig:
    """Accepts a configuration or the mapping that JSON makes of it.

    Raises:
        ConfigError: If it is neither, or the mapping does not describe a configuration.
    """
    if isinstance(config, ClusterConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(f"config must be a ClusterConfig or a mapping, not {config!r}")
    return ClusterConfig.from_mapping(config)


def _phi(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _check_type(item: dataclasses.Field[Any], value: Any) -> None:
    kind = str(item.type)
    good = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        "str": isinstance(value, str),
    }.get(kind, isinstance(value, (tuple, list)))
    if not good:
        raise ConfigError(f"{item.name} must be a finite {kind}, not {value!r}")


# The lowest and the highest value of each number; None is unbounded.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "slot_seconds": (1, 7200), "slots": (1, 100_000), "storage_seconds": (1, 7200), "load": (0, 100),
    "max_load": (1, 100), "jobs_per_slot": (0, None), "job_list": (0, None), "batch_jobs": (1, 1000),
    "duration_log_mean": (0, 20), "duration_log_sigma": (0.01, 5), "max_duration_seconds": (1, None),
    "asynchronous_share": (0, 1), "max_jobs": (1, 1 << 20), "nodes": (1, 10_000), "node_cpu": (1, 1024),
    "node_gpu": (0, 1024), "max_workers": (1, 64), "max_servers": (1, 64), "boot_seconds": (0, 86400),
    "node_failures_per_day": (0, 100), "server_failures_per_day": (0, 100), "short_repair_seconds": (1, None),
    "long_repair_seconds": (1, None), "coefficient_sigma": (0, 2), "speed_noise_sigma": (0, 2),
    "min_restart_seconds": (0, None), "max_restart_seconds": (0, None), "spread_penalty": (0, 10),
    "colocation_penalty": (0, 10), "checkpoint_interval_seconds": (1, None), "checkpoint_pause_seconds": (0, None),
    "data_servers": (1, 1000), "racks": (1, 1000), "datasets": (1, 100_000), "bandwidth_bytes_per_second": (1, None),
    "capacity_ratio": (1, 1000), "dataset_log_median_bytes": (1, None), "dataset_log_sigma": (0, 3),
    "initial_copies": (1, None), "minimum_copies": (1, None), "copy_share": (0, 0.95), "max_flights": (1, 10_000),
    "zipf_exponent": (0, 3), "background_utilisation": (0, 10), "job_read_bytes_per_second": (0, None),
    "reader_bytes_per_second": (1, None), "popularity_drift": (0, 1), "bursts_per_day": (0, 10_000),
    "burst_readers": (1, 1000), "burst_seconds": (1, None), "burst_wait_seconds": (0, None),
    "request_bytes": (0, None), "dead_after_seconds": (0, None), "storage_target": (0, 1000),
    "storage_price": (0, None),
    "heat_half_life_seconds": (1, None), "hot_threshold": (0, None), "cold_ratio": (0, 1), "window": (2, 512),
    "candidates": (2, 512), "max_decisions_per_slot": (1, 100_000), "max_refusals_per_slot": (1, 100_000),
    "reactive_headroom": (0.1, 100), "forecast_quantile": (0.01, 0.99),
    "observed_speed_weight": (0.01, 1), "unfinished_price": (0, None),
    "node_price": (0, None), "copy_price": (0, None), "unavailable_price": (0, None), "stall_price": (0, None),
    "hot_traffic_price": (0, None), "reward_scale": (1e-9, None),
}  # fmt: skip

_CHOICES = {
    "initial": INITIAL_PLANS,
    "placement": PLACEMENTS,
    "observation": OBSERVATIONS,
    "rule_heat": HEATS,
    "allocation_rule": ALLOCATION_RULES,
    "replica_rule": REPLICA_RULES,
    "capacity_rule": CAPACITY_RULES,
}


def _check_ranges(config: ClusterConfig) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ConfigError(f"{name} must lie in [{low}, {'inf' if high is None else high}], not {value!r}")
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            near = difflib.get_close_matches(getattr(config, name), choices, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {getattr(config, name)!r}{hint}")
    _check_together(config)


def _check_together(config: ClusterConfig) -> None:
    if abs(config.substeps * config.storage_seconds - config.slot_seconds) > 1e-9 or config.substeps < 1:
        raise ConfigError(
            f"storage_seconds must divide slot_seconds, not {config.storage_seconds!r} into {config.slot_seconds!r}"
        )
    if config.min_restart_seconds > config.max_restart_seconds:
        raise ConfigError(
            f"min_restart_seconds {config.min_restart_seconds!r} is above max_restart_seconds "
            f"{config.max_restart_seconds!r}"
        )
    _check_kinds(config)
    for name in ("initial_copies", "minimum_copies"):
        if getattr(config, name) > config.data_servers:
            found = getattr(config, name)
            raise ConfigError(f"{name} must be at most data_servers ({config.data_servers}), not {found!r}")
    if config.initial_copies + 0.02 > config.capacity_ratio:
        raise ConfigError(
            f"capacity_ratio must exceed initial_copies by 0.02 or more, not {config.capacity_ratio!r} "
            f"for {config.initial_copies} copies"
        )
    if config.candidates > config.datasets:
        raise ConfigError(f"candidates must be at most datasets ({config.datasets}), not {config.candidates!r}")
    if config.job_list > config.max_jobs:
        raise ConfigError(f"job_list must be at most max_jobs ({config.max_jobs}), not {config.job_list!r}")


def _check_kinds(config: ClusterConfig) -> None:
    names = {kind.name: kind for kind in KINDS}
    for name in config.kinds:
        if not isinstance(name, str) or name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            raise ConfigError(f"kinds: unknown job kind {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        kind = names[name]
        cpu, gpu = config.nodes * config.node_cpu, config.nodes * config.node_gpu
        largest_cpu = max(kind.worker_cpu, kind.server_cpu)
        too_large = largest_cpu > config.node_cpu or kind.worker_gpu > config.node_gpu
        if too_large or kind.worker_cpu + kind.server_cpu > cpu or kind.worker_gpu > gpu:
            raise ConfigError(
                f"kinds: one worker and one server of {name!r} need {kind.worker_cpu}+{kind.server_cpu} CPU and "
                f"{kind.worker_gpu} GPU, which no {config.nodes} nodes of {config.node_cpu} CPU and "
                f"{config.node_gpu} GPU can hold"
            )
        if config.kinds.count(name) > 1:
            raise ConfigError(f"kinds names {name!r} twice")
    if not config.kinds:
        raise ConfigError("kinds must name at least one job kind")
    for samples in config.samples_per_kind:
        if not isinstance(samples, (int, float)) or not 0.0 < samples < math.inf:
            raise ConfigError(f"samples_per_kind must hold positive numbers, not {samples!r}")
    if config.samples_per_kind and len(config.samples_per_kind) != len(config.kinds):
        raise ConfigError(
            f"samples_per_kind must have one value for each of the {len(config.kinds)} kinds, "
            f"not {len(config.samples_per_kind)}"
        )
