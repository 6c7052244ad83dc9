"""Multi-seasonal ARIMA with updates in constant time."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.arima_estimation import LONGEST_EXACT_SEASON, Model, estimate, new_state, pack, tail_errors
from psgym.predictors.arima_kernels import advance_arima, run_arima
from psgym.predictors.arima_order import Order, candidates
from psgym.predictors.base import Forecaster, Pass
from psgym.predictors.state import State

METHODS = ("css", "statsmodels")


class ARIMA(Forecaster):
    """A multi-seasonal ARIMA model, or the mean of the best few.

    Args:
        order: (p, d, q), or "auto" to search orders by their mean absolute error, relative to the best at each of
            1..horizon, on the last fifth of the fitted part, with parameters estimated on what precedes it.
        seasonal: one (P, D, Q, s) per season; only with a given order.
        profile: period of an average profile that is subtracted first, 0 for none; only with a given order.
        method: "css" minimises the conditional sum of squares in numba and takes any seasons; "statsmodels" is exact
            maximum likelihood, for at most one season of up to 48 slots.
        n_average: how many of the best orders are averaged by "auto".
        season, horizon, transform, levels, gamma: see `Forecaster`.

    Attributes:
        orders_: the orders in use.
        models_: the same with their sparse lags and coefficients.
    """

    def __init__(
        self,
        order: str | tuple[int, int, int] = "auto",
        seasonal: Sequence[tuple[int, int, int, int]] = (),
        profile: int = 0,
        method: str = "css",
        n_average: int = 3,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(season, horizon, transform, levels, gamma)
        self.order = order
        self.seasonal = tuple(seasonal)
        self.profile = profile
        self.method = method
        self.n_average = n_average
        if method not in METHODS:
            raise ValueError(f"method={method!r}, expected one of {METHODS}")
        if isinstance(order, str) and order != "auto":
            raise ValueError(f"order={order!r}, expected (p, d, q) or 'auto'")
        if order == "auto" and (seasonal or profile):
            raise ValueError("order='auto' chooses the seasonal part itself: give seasonal or profile with an order")

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        orders = self._search(z) if isinstance(self.order, str) else [Order(self.order, self.seasonal, self.profile)]
        self._set_models([estimate(order, z, self.season_, self.method) for order in orders])

    def _search(self, z: NDArray[np.float64]) -> list[Order]:
        split = int(0.8 * len(z))
        orders = [
            order
            for order in candidates(self.season_, split)
            if self._affordable(order) and order.burn + 4 * order.n_parameters + 8 < split
        ]
        if not orders:
            return [Order((0, 1, 1))]
        errors = np.array(
            [tail_errors(estimate(order, z[:split], self.season_), z, split, self.horizon) for order in orders]
        )
        known = np.isfinite(errors).any(axis=0)
        # Relative to the best at each horizon: far horizons, whose errors are larger, do not decide alone.
        score = (errors[:, known] / np.maximum(errors[:, known].min(axis=0), 1e-12)).mean(axis=1)
        return [orders[i] for i in np.argsort(score, kind="stable")[: self.n_average]]

    def _affordable(self, order: Order) -> bool:
        exact = len(order.seasonal) <= 1 and all(part[3] <= LONGEST_EXACT_SEASON for part in order.seasonal)
        return self.method == "css" or exact

    def _set_models(self, models: list[Model]) -> None:
        self.models_ = models
        self.orders_ = [model.order for model in models]
        self._packed = pack(models)

    def _new_state(self) -> State:
        return new_state(self.models_, self.horizon)

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        advance_arima(state["clock"], state["buffers"], *self._packed, z, out)

    # The same three steps as one call: for one value, calls and look-ups would cost more than their work.

    def _hold(self, state: State, calibration: State, slot: Pass) -> None:
        super()._hold(state, calibration, slot)
        self._step = partial(run_arima, *self._arguments(slot, state, calibration))

    def _run(self, passed: Pass, state: State, calibration: State) -> Pass:
        run_arima(*self._arguments(passed, state, calibration))
        return passed

    def _arguments(self, passed: Pass, state: State, calibration: State) -> tuple[Any, ...]:
        return (
            state["clock"], state["buffers"], *self._packed, calibration["clock"], calibration["learned"],
            calibration["ring"], self._constants, *passed,
        )  # fmt: skip

    def _get_learned(self) -> State:
        learned = super()._get_learned()
        for m, model in enumerate(self.models_):
            order = [*model.order.regular, model.order.profile, *(n for part in model.order.seasonal for n in part)]
            learned[f"model{m}"] = {
                "order": np.array(order, np.int64),
                **{name: getattr(model, name) for name in ("ar_lags", "ar", "ma_lags", "ma", "profile", "usual")},
            }
        return learned

    def _set_learned(self, learned: State) -> None:
        models: list[Model] = []
        while f"model{len(models)}" in learned:
            saved = dict(learned[f"model{len(models)}"])
            p, d, q, profile, *rest = saved.pop("order").tolist()
            parts = tuple((rest[i], rest[i + 1], rest[i + 2], rest[i + 3]) for i in range(0, len(rest), 4))
            models.append(Model(Order((p, d, q), parts, profile), **saved))
        self._set_models(models)
        super()._set_learned(learned)
