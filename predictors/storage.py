"""Forecasters in a file: arrays and a description in JSON, no pickle; loading needs numpy and numba alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.arima import ARIMA
from psgym.predictors.base import Forecaster, NotFittedError
from psgym.predictors.gru import GRU
from psgym.predictors.hybrid import Hybrid
from psgym.predictors.naive import EWMA, SeasonalNaive
from psgym.predictors.residual_gru import ResidualGRU
from psgym.predictors.seasonal_ewma import SeasonalEWMA
from psgym.predictors.state import State, flatten, subset

FORMAT = 4  # 3 had no mixture in a hybrid, 2 other places of forecasts in its arrays, 1 bounds in units of the series
CLASSES: dict[str, Callable[..., Forecaster]] = {
    kind.__name__: kind for kind in (ARIMA, EWMA, GRU, Hybrid, ResidualGRU, SeasonalEWMA, SeasonalNaive)
}


def save_forecaster(path: str | Path, forecaster: Forecaster) -> None:
    """Writes a fitted forecaster, its parameters and its state, as npz.

    Raises:
        NotFittedError: it has not been fitted.
        TypeError: it, or one of its parts, is not of a class of this package.
    """
    if not hasattr(forecaster, "transform_"):
        raise NotFittedError(f"{type(forecaster).__name__} has not been fitted: call fit(y) before saving it")
    series = {"slot_seconds": forecaster.slot_seconds, "load_unit": forecaster.load_unit}
    description = json.dumps({"format": FORMAT, "forecaster": _describe(forecaster, {}), "series": series})
    arrays = flatten({"learned": forecaster._get_learned(), "state": forecaster.get_state()})
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, description=np.array(description), **arrays)


def load_forecaster(path: str | Path) -> Forecaster:
    """Reads what `save_forecaster` wrote; it forecasts and updates exactly as the one that was saved.

    Raises:
        ValueError: the file is not one of a forecaster, or of another format.
    """
    with np.load(path, allow_pickle=False) as file:
        if "description" not in file.files:
            raise ValueError(f"{path}: not a forecaster, it has no description")
        description = json.loads(str(file["description"]))
        arrays = {name: file[name] for name in file.files if name != "description"}
    if description.get("format") != FORMAT:
        raise ValueError(f"{path}: format {description.get('format')!r}, this version reads {FORMAT}")
    forecaster = _rebuild(description["forecaster"], subset(arrays, "learned."), {})
    for name, value in description.get("series", {}).items():
        setattr(forecaster, name, value)
    return forecaster.set_state(subset(arrays, "state."))


def _describe(forecaster: Forecaster, named: dict[int, str]) -> dict[str, Any]:
    """Class and arguments; parts in full, and a part that is already named (`named`, by identity) by its name."""
    kind = type(forecaster).__name__
    if CLASSES.get(kind) is not type(forecaster):
        raise TypeError(f"{kind} is not a forecaster of this package, so it cannot be saved")
    params = forecaster.get_params()
    description: dict[str, Any] = {"class": kind}
    if isinstance(forecaster, ResidualGRU):
        base = forecaster.base_
        description["base"] = named.get(id(base)) or _describe(base, named)
        params.pop("base")
    if isinstance(forecaster, Hybrid):
        parts: dict[str, Any] = {}
        names: dict[int, str] = {}
        for name, expert in forecaster.experts_.items():
            parts[name] = _describe(expert, names)
            names[id(expert)] = name
        description["experts"] = parts
        params.pop("experts")
    return description | {"params": params}


def _rebuild(description: dict[str, Any], learned: dict[str, NDArray], named: dict[str, Forecaster]) -> Forecaster:
    kind = CLASSES.get(description["class"])
    if kind is None:
        raise ValueError(f"unknown forecaster {description['class']!r}, expected one of {sorted(CLASSES)}")
    params: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description["params"].items()
    }
    if kind is Hybrid:
        experts: dict[str, Forecaster] = {}
        for name, part in description["experts"].items():
            experts[name] = _rebuild(part, subset(learned, f"experts_.{name}."), experts)
        params["experts"] = experts
    if kind is ResidualGRU:
        base = description["base"]
        params["base"] = named[base] if isinstance(base, str) else _rebuild(base, subset(learned, "base_."), {})
    forecaster = kind(**params)
    forecaster._set_learned(_nested(learned))
    return forecaster


def _nested(flat: dict[str, NDArray]) -> State:
    """The inverse of `flatten`, without a template."""
    nested: State = {}
    for name, array in flat.items():
        *path, last = name.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[last] = array
    return nested
