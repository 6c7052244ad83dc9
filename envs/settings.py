"""What ``gym.make`` arguments mean: from a preset, a configuration and traffic to the objects that run."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.config import ClusterConfig, ConfigError, as_config
from psgym.envs.job_days import JobsLike, make_job_days
from psgym.envs.job_trace import JobTrace
from psgym.envs.presets import preset as named_preset
from psgym.envs.traffic import ArrayTraffic, SyntheticTraffic, TraceTraffic, TrafficSource

if TYPE_CHECKING:
    from psgym.envs.traces import Traffic

TrafficLike: TypeAlias = (
    "TrafficSource | Traffic | JobTrace | NDArray[Any] | list[float] | str | os.PathLike[str] | None"
)

RESET_OPTIONS = ("traffic", "jobs")
PARTS = ("train", "validation", "test")
"""Parts of a trace; synthetic traffic and given values have none, and take any of these."""


def make_config(
    default: str, preset: str | None, config: ClusterConfig | Mapping[str, Any] | None, changes: Mapping[str, Any]
) -> ClusterConfig:
    """The configuration of ``gym.make(id, preset=..., config=..., field=value, ...)``.

    Raises:
        ConfigError: If both ``preset`` and ``config`` are given, or a field is unknown or out of range.
    """
    if config is None:
        return named_preset(preset or default, **changes)
    if preset is not None:
        raise ConfigError(f"give either preset ({preset!r}) or config, not both")
    return ClusterConfig.from_mapping({**vars(as_config(config)), **changes}) if changes else as_config(config)


def make_source(
    traffic: TrafficLike, column: str | None, part: str, config: ClusterConfig, jobs: JobsLike = None
) -> TrafficSource:
    """The traffic source that arguments name: None (synthetic), an array, a CSV file, a trace, a source, or jobs.

    Raises:
        ValueError: If there is no such part, or the values or the file cannot be used.
        TypeError: If the argument is none of these.
    """
    if part not in PARTS:
        raise ValueError(f"no part {part!r}; there are {', '.join(PARTS)}")
    if isinstance(traffic, JobTrace):
        traffic, jobs = None, traffic
    if jobs is not None:
        if traffic is not None:
            raise ValueError("give either traffic or jobs: with jobs, the traffic is that of their submissions")
        return make_job_days(jobs, part, config)
    if traffic is None:
        return SyntheticTraffic()
    if isinstance(traffic, (str, os.PathLike)):
        from psgym.envs.traces import read_traffic

        trace = read_traffic(os.fspath(traffic), column, round(config.slot_seconds), config.max_load)
        return TraceTraffic(trace, part)
    if isinstance(traffic, (np.ndarray, list, tuple)):
        return ArrayTraffic(list(traffic))
    if hasattr(traffic, "sample"):
        return traffic
    if hasattr(traffic, "time_of_day"):
        return TraceTraffic(traffic, part)
    raise TypeError(
        f"traffic must be a file name, an array, a Traffic or a source with sample(), not {type(traffic).__name__}"
    )


def reset_source(options: Mapping[str, Any] | None, config: ClusterConfig) -> TrafficSource | None:
    """The traffic or the jobs that ``reset(options={"traffic": ...})`` or ``{"jobs": ...}`` asks for, or None.

    Raises:
        ValueError: If an option is unknown.
    """
    if not options:
        return None
    for key in options:
        if key not in RESET_OPTIONS:
            near = difflib.get_close_matches(str(key), RESET_OPTIONS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(RESET_OPTIONS)}"
            raise ValueError(f"unknown reset option {key!r}{hint}")
    traffic, jobs = options.get("traffic"), options.get("jobs")
    return None if traffic is None and jobs is None else make_source(traffic, None, "train", config, jobs)
