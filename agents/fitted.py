"""Forecasters for the environments, fitted once on training traffic and kept under the hash of what they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.files import write_atomically
from psgym.agents.seeds import episode_seeds
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.records import HORIZONS
from psgym.envs.forecasts import ForecasterLike
from psgym.envs.job_trace import JobTrace
from psgym.envs.traces import Traffic
from psgym.envs.traffic import SyntheticTraffic
from psgym.predictors import ARIMA, GRU, Forecaster, Hybrid, save_forecaster

VERSION = 3
"""Of what is fitted and how; a change makes the kept files useless."""
MOST_TRAINING_DAYS = 42
"""Newest days of the training part of a trace that are fitted: six weeks."""
SYNTHETIC_DAYS = 12
"""Days that are generated (each with the two days or more before it) and fitted where traffic is synthetic."""

KINDS: dict[str, Callable[..., Forecaster]] = {"arima": ARIMA, "gru": GRU, "hybrid": Hybrid}


def forecaster_for(
    name: str, config: ClusterConfig, traffic: Traffic | JobTrace | None, seed: int = 0, folder: Path | None = None
) -> ForecasterLike:
    """Return what feeds an environment's forecasts under a name: a file of a fitted forecaster, or "oracle".

    Args:
        name: ``arima``, ``gru``, ``hybrid`` or ``oracle``.
        config: Configuration of the cluster.
        traffic: The trace whose training part is fitted; training days are generated if None.
        seed: Seed of the generated days and of the networks.
        folder: Where fitted forecasters are kept; `cache_folder()` if None.

    Raises:
        ValueError: If there is no forecaster of that name.
    """
    if name == "oracle":
        return name
    if name not in KINDS:
        raise ValueError(f"no forecaster {name!r}; there are {', '.join((*KINDS, 'oracle'))}")
    values, season = training_series(config, traffic, seed)
    arguments = {"season": season, "horizon": HORIZONS[-1]} | ({} if name == "arima" else {"seed": seed})
    described = json.dumps([VERSION, name, season, seed]).encode()
    key = hashlib.sha256(described + values.tobytes()).hexdigest()[:32]
    path = (folder or cache_folder()) / f"{name}-{key}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fitted = KINDS[name](**arguments).fit(values)
        write_atomically(path, lambda temporary: save_forecaster(temporary, fitted))
    return path


def cache_folder() -> Path:
    """Return the folder of fitted forecasters: ``PSGYM_CACHE`` if that is set, else one in the user's cache."""
    given: Any = os.environ.get("PSGYM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "psgym"
    return Path(given).expanduser() / "forecasters"


def training_series(
    config: ClusterConfig, traffic: Traffic | JobTrace | None, seed: int
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Return what forecasters are fitted on, and its seasons in slots.

    Of a trace it is the end of the training part, from a whole number of weeks after its start, so that the phase is
    that of the whole trace. Synthetic days each have a shape of their own, so that no week can be learned from them.
    """
    day = config.slots_per_day
    if traffic is None:
        days = [
            SyntheticTraffic().sample(np.random.default_rng(one), config)
            for one in episode_seeds("train", seed, 10_000)[:SYNTHETIC_DAYS]
        ]
        return np.concatenate([one.values[: len(one.values) // day * day] for one in days]), (day,)
    if isinstance(traffic, JobTrace):
        traffic = traffic.traffic(round(config.slot_seconds), config.max_load)
    _, end = traffic.part("train")
    week = 7 * day
    first = max(0, -(-(end - MOST_TRAINING_DAYS * day) // week) * week)
    return np.minimum(traffic.values[first:end], config.max_load), tuple(s for s in (day, week) if s > 1)
