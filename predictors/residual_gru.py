"""A GRU that corrects an ARIMA."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.arima import ARIMA
from psgym.predictors.base import Forecaster
from psgym.predictors.gru import GRU
from psgym.predictors.state import State


class ResidualGRU(GRU):
    """Learns what an ARIMA leaves: r[t, h] = z[t + h] - base forecast of t + h made at t, for every horizon.

    Its heads start at zero, so it starts as the ARIMA and moves away only where the error falls (a direct multi-horizon
    form of the hybrid of Zhang 2003, whose one-step residuals are near white).

    Args:
        base: the forecaster that is corrected; None is an `ARIMA` of the same season, horizon and transform.
        base_fitted: whether the base has been fitted on the same series and is to be used as it is.
        hidden, n_members, epochs, learning_rate, seed: see `GRU`.
        season, horizon, transform, levels, gamma: see `Forecaster`.

    Attributes:
        base_: the fitted base; weights_: see `GRU`.
    """

    residual = True

    def __init__(
        self,
        base: Forecaster | None = None,
        base_fitted: bool = False,
        hidden: int = 24,
        n_members: int = 1,
        epochs: int = 20,
        learning_rate: float = 5e-3,
        seed: int = 0,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(hidden, n_members, epochs, learning_rate, seed, season, horizon, transform, levels, gamma)
        self.base = base
        self.base_fitted = base_fitted

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.base_ = self.base or ARIMA(season=self.season, horizon=self.horizon, transform=self.transform)
        if self.base_.horizon != self.horizon:
            raise ValueError(f"base.horizon={self.base_.horizon} is not horizon={self.horizon}")
        if not (self.base_fitted and hasattr(self.base_, "transform_")):
            self.base_._fit_on_scale(y, self.season_, self.transform_)
        self._learn_residual(z, self.base_._table_on_scale(z, y))

    def _new_state(self) -> State:
        return super()._new_state() | {"base": self.base_._new_state()}

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        base = np.empty_like(out)
        self.base_._advance(state["base"], z, y, base)
        self._correct(state, z, base, out)

    def _get_learned(self) -> State:
        return super()._get_learned() | {"base_": self.base_._get_learned()}

    def _set_learned(self, learned: State) -> None:
        # A part that is rebuilt from a file comes with its own learned attributes.
        assert self.base is not None
        self.base_ = self.base
        super()._set_learned(learned)
