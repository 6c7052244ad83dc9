"""The one contract of every forecaster.

A model is a pair of functions on the standardised scale: `_learn` finds parameters, `_advance` feeds values to a state
and writes the forecasts made after each. Both the table of a whole series and the update by one value are calls of
`_advance`, so they agree to the last bit and row t cannot depend on what came after t.
"""

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from psgym.predictors.calibration import calibrate, calibration_constants, error_priors, new_calibration
from psgym.predictors.series import MINIMUM_LENGTH, check_series
from psgym.predictors.state import State, copy_state, fill, flatten
from psgym.predictors.transform import Transform, forward


class NotFittedError(ValueError):
    """A forecast was asked of a forecaster that has not been fitted."""


class Forecast(NamedTuple):
    """What a forecaster says, in units of the series.

    Attributes:
        bands: mean, median, lower and upper bounds per level, shape [2 + 2L, h] (or [T, 2 + 2L, h] for a whole table).
        level: coverage of the bounds in per cent.
    """

    bands: NDArray[np.float64]
    level: tuple[float, ...]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Expected values 1..h slots ahead, shape [h] (or [T, h])."""
        return self.bands[..., 0, :]

    @property
    def median(self) -> NDArray[np.float64]:
        """Medians, same shape; equal to the mean unless the model works on logarithms."""
        return self.bands[..., 1, :]

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower bounds per level, shape [L, h] (or [T, L, h])."""
        return self.bands[..., 2 : 2 + len(self.level), :]

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper bounds, same shape."""
        return self.bands[..., 2 + len(self.level) :, :]


class Pass(NamedTuple):
    """One pass over n values: what goes in, and the arrays that it fills.

    Attributes:
        values: in units of the series, and the same on the standardised scale, shape [2, n].
        forecasts: the model's z forecasts after each, shape [n, H].
        bands: mean, median, lower and upper bounds after each in units of the series, shape [n, 2 + 2L, H].
    """

    values: NDArray[np.float64]
    forecasts: NDArray[np.float64]
    bands: NDArray[np.float64]


class Forecaster(ABC):
    """Base of all forecasters.

    Args:
        season: periods in slots, shortest first, such as (24, 168) for hourly data. A period that the fitted part
            does not hold twice is left out; `season_` says which were used.
        horizon: slots ahead that the forecaster is built for.
        transform: "auto" (the logarithm for skewed counts), "identity" or "log1p".
        levels: coverages in per cent for which bounds are learned.
        gamma: step of the conformal intervals, in mean absolute errors.

    After `fit`, learned attributes end in an underscore: `season_`, `transform_`, and those of the model.

    Attributes:
        slot_seconds: length of a slot of the series, where whoever fits says it; saved along.
        load_unit: count per slot that the environments call a load of 1, likewise; 1 for a series of loads.
    """

    slot_seconds: float | None = None
    load_unit: float = 1.0

    def __init__(
        self,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        self.season = tuple(int(s) for s in season)
        self.horizon = int(horizon)
        self.transform = transform
        self.levels = tuple(levels)
        self.gamma = gamma
        self._coverage = np.array(self.levels, np.float64) / 100.0
        if any(s < 2 for s in self.season) or list(self.season) != sorted(set(self.season)):
            raise ValueError(f"season={tuple(season)}: periods must be >= 2 and increase")
        if self.horizon < 1:
            raise ValueError(f"horizon={horizon}: must be >= 1")
        if not all(0 < level < 100 for level in self.levels):
            raise ValueError(f"levels={self.levels}: coverages in per cent, between 0 and 100")

    # What a model provides.

    @abstractmethod
    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Sets the learned attributes from the standardised series z and the same in its own units, shape [T]."""

    @abstractmethod
    def _new_state(self) -> State:
        """The state before the first value of a series: a flat mapping of arrays, changed in place by `_advance`."""

    @abstractmethod
    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Feeds n values to the state; row i of `out` [n, H] receives the z forecasts made after value i."""

    # The contract.

    def fit(self, y: ArrayLike) -> Self:
        """Learns parameters, priors of the intervals, and the state after the last value.

        Args:
            y: one finite value per slot, shape [T], T >= 8.

        Returns:
            self.

        Raises:
            ValueError: the series is too short, not one-dimensional or not finite.
        """
        values = check_series(y, MINIMUM_LENGTH)
        season = tuple(s for s in self.season if len(values) >= 2 * s)
        return self._fit_on_scale(values, season, Transform.learn(values, self.transform))

    def refit(self, y: ArrayLike) -> Self:
        """Forgets the state, keeps the parameters, and replays another history.

        Args:
            y: the history, shape [T], T >= 0.

        Returns:
            self.
        """
        values = check_series(y, 0)
        self._require_fitted()
        self._hold(self._new_state(), new_calibration(*self._priors), self._pass_over(np.zeros(1)))
        self._started = False
        self._observe(values)
        return self

    def update(self, y_new: ArrayLike) -> Self:
        """Moves the state by new values, in time that does not depend on the length of the history.

        Args:
            y_new: one value, or several in order, shape [n].

        Returns:
            self; the parameters do not change.
        """
        if not self._started:
            self._require_fitted()
        # The usual call, one number, skips what only arrays need and allocates nothing.
        if isinstance(y_new, float) and math.isfinite(y_new):
            self._slot.values[0, 0] = y_new
            self._step()
            self._started = True
        else:
            self._observe(check_series(np.atleast_1d(np.asarray(y_new, dtype=np.float64))))
        return self

    def predict(self, h: int | None = None, level: Sequence[float] | None = None) -> Forecast:
        """Forecasts the next h slots from all that was observed.

        Args:
            h: slots ahead, 1..horizon; by default the horizon.
            level: coverages in per cent, each of `levels`; by default all of them.

        Returns:
            Mean and median of shape [h], low and high of shape [levels, h].

        Raises:
            NotFittedError: before `fit`.
            ValueError: h or a level was not prepared for, or nothing has been observed since `refit([])`.
        """
        if not self._started:
            self._require_fitted()
            raise ValueError("no value has been observed yet: call update first")
        if h is None and level is None:
            return Forecast(self._newest.copy(), self.levels)
        rows, levels = self._rows(level)
        return Forecast(self._newest[rows, : self._checked_horizon(h)].copy(), levels)

    def table(self, y: ArrayLike, h: int | None = None) -> NDArray[np.float64]:
        """All rolling mean forecasts of a series; the forecaster's own state is left alone.

        Args:
            y: a series that starts at the same phase of its seasons as the one fitted, shape [T].
            h: slots ahead, 1..horizon; by default the horizon.

        Returns:
            Shape [T, h]; row t holds the forecasts of t + 1, ..., t + h and uses `y[: t + 1]` only.
        """
        return self.bands(y, h, level=()).mean

    def bands(self, y: ArrayLike, h: int | None = None, level: Sequence[float] | None = None) -> Forecast:
        """As `table`, with medians and bounds: arrays of shapes [T, h] and [T, levels, h]."""
        values = check_series(y, 0)
        self._require_fitted()
        rows, levels = self._rows(level)
        h = self._checked_horizon(h)
        passed = self._run(self._pass_over(values), self._new_state(), new_calibration(*self._priors))
        return Forecast(passed.bands[:, rows, :h], levels)

    def get_state(self) -> State:
        """A copy of all that `update` moves, as a flat mapping of arrays."""
        self._require_fitted()
        state = flatten({"model": self._state, "calibration": self._calibration})
        if self._started:
            state["forecast"] = self._newest.copy()
        return state

    def set_state(self, state: State) -> Self:
        """Continues from what `get_state` returned, of this forecaster or of one with equal parameters.

        Raises:
            ValueError: an array is missing, or its shape is not that of this forecaster.
        """
        self._require_fitted()
        started = "forecast" in state
        template: State = {"model": self._new_state(), "calibration": new_calibration(*self._priors)}
        filled = fill(template | ({"forecast": self._newest} if started else {}), state)
        self._hold(filled["model"], filled["calibration"], self._slot)
        self._started = started
        if started:
            self._newest[:] = filled["forecast"]
        return self

    def fork(self) -> Self:
        """A forecaster that shares the learned parameters and has a state of its own (one per environment)."""
        self._require_fitted()
        twin = copy.copy(self)
        slot = Pass(*(array.copy() for array in self._slot))
        twin._hold(copy_state(self._state), copy_state(self._calibration), slot)
        return twin

    # Parameters, in the manner of scikit-learn.

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments by name."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({arguments})"

    # What storage asks of a model: its learned arrays, flat.

    def _get_learned(self) -> State:
        """The learned attributes as arrays; models extend it."""
        return {
            "season_": np.array(self.season_, np.int64),
            "transform_": self.transform_.packed,
            **dict(zip(("prior_lower", "prior_upper", "prior_scale", "prior_smearing"), self._priors, strict=True)),
        }

    def _set_learned(self, learned: State) -> None:
        """The inverse of `_get_learned`; models extend it."""
        self.season_ = tuple(learned["season_"].tolist())
        self.transform_ = Transform.unpacked(learned["transform_"])
        self._priors = tuple(learned[f"prior_{name}"] for name in ("lower", "upper", "scale", "smearing"))
        self._set_constants()
        self.refit(np.zeros(0))

    # Inner workings.

    _priors: tuple[NDArray, ...]
    _constants: NDArray[np.float64]  # see `calibration_constants`
    _state: State
    _calibration: State
    _slot: Pass  # the newest value and what was forecast after it
    _newest: NDArray[np.float64]  # the bands of that slot
    _step: Callable[[], object]  # feeds the value of the slot to the state
    _started: bool = False  # whether there is one

    def _fit_on_scale(self, values: NDArray[np.float64], season: tuple[int, ...], transform: Transform) -> Self:
        self.season_, self.transform_ = season, transform
        z = transform.forward(values)
        self._learn(z, values)
        forecasts = self._table_on_scale(z, values)
        self._priors = error_priors(z, values, forecasts, self._coverage, transform.packed)
        self._set_constants()
        return self.refit(values)

    @property
    def _period(self) -> int:
        """The shortest season, in which half-lives are told; 24 slots without one."""
        return self.season_[0] if self.season_ else 24

    def _set_constants(self) -> None:
        packed = self.transform_.packed
        self._constants = calibration_constants(packed, self.gamma, self._coverage, self.horizon, self._period)

    def _table_on_scale(self, z: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        forecasts = np.empty((len(z), self.horizon))
        self._advance(self._new_state(), z, values, forecasts)
        return forecasts

    def _hold(self, state: State, calibration: State, slot: Pass) -> None:
        """Takes over a state, and prepares once what every update by one value calls."""
        self._state, self._calibration, self._slot, self._newest = state, calibration, slot, slot.bands[0]
        self._step = partial(self._run, slot, state, calibration)

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        """Restores a copy or a pickle, in which a view of an array has become an array of its own."""
        self.__dict__.update(attributes)
        if "_slot" in attributes:
            self._hold(self._state, self._calibration, self._slot)

    def _observe(self, values: NDArray[np.float64]) -> None:
        if len(values):
            passed = self._run(self._pass_over(values), self._state, self._calibration)
            self._newest[:] = passed.bands[-1]
            self._started = True

    def _pass_over(self, values: NDArray[np.float64]) -> Pass:
        n = len(values)
        rows = 2 + 2 * len(self.levels)
        both = np.stack([values, np.empty(n)])
        return Pass(both, np.empty((n, self.horizon)), np.empty((n, rows, self.horizon)))

    def _run(self, passed: Pass, state: State, calibration: State) -> Pass:
        """Feeds the values of a pass to both states and writes all the rest of it."""
        (y, z), forecasts, bands = passed
        forward(y, self.transform_.packed, z)
        self._advance(state, z, y, forecasts)
        calibrate(
            calibration["clock"], calibration["learned"], calibration["ring"], y, z, forecasts, self._constants, bands
        )
        return passed

    def _rows(self, level: Sequence[float] | None) -> tuple[slice | list[int], tuple[float, ...]]:
        """Rows of `Forecast.bands` for the asked levels, and these levels."""
        if level is None:
            return slice(None), self.levels
        unknown = [value for value in level if value not in self.levels]
        if unknown:
            raise ValueError(f"level={unknown[0]!r} was not prepared for: levels={self.levels}")
        lows = [2 + self.levels.index(value) for value in level]
        return [0, 1, *lows, *(len(self.levels) + row for row in lows)], tuple(level)

    def _checked_horizon(self, h: int | None) -> int:
        if h is None:
            return self.horizon
        if not 1 <= h <= self.horizon:
            raise ValueError(f"h={h}: must be within 1..horizon={self.horizon}")
        return int(h)

    def _require_fitted(self) -> None:
        if not hasattr(self, "transform_"):
            raise NotFittedError(f"{type(self).__name__} has not been fitted: call fit(y) first")
