"""ARIMA and GRU jointly: experts weighted by what their forecasts turned out to be worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.arima import ARIMA
from psgym.predictors.base import Forecaster
from psgym.predictors.gru import GRU
from psgym.predictors.hybrid_kernels import combine, correct_intercepts
from psgym.predictors.naive import EWMA, SeasonalNaive
from psgym.predictors.residual_gru import ResidualGRU
from psgym.predictors.seasonal_ewma import SeasonalEWMA
from psgym.predictors.state import State

# For series too short to estimate them: a level and a day that move slowly, a week that moves fast.
STEADY = (0.05, 0.05, 0.3, 0.8)
CORRECTION_HALF_LIFE, CORRECTION_PRIOR = 7.0, 2.5  # in periods of the shortest season
MIXTURE_HALF_LIFE = 20.0  # likewise
MIXTURE_RATE = 0.5  # a regret of one standard deviation multiplies a share by exp(0.5)


def default_experts(seed: int = 0, season: Sequence[int] = (24, 168), **shared: Any) -> dict[str, Forecaster]:
    """The unfitted experts of a hybrid by name; `shared` are arguments of `Forecaster`."""
    shared = {"season": tuple(season), "transform": "auto", **shared}
    arima = ARIMA(**shared)
    experts: dict[str, Forecaster] = {
        "arima": arima,
        "gru": GRU(seed=seed, **shared),
        "residual_gru": ResidualGRU(base=arima, base_fitted=True, seed=seed, **shared),
        "seasonal_ewma": SeasonalEWMA(**shared),
        "steady_ewma": SeasonalEWMA(STEADY, **shared),
        "ewma": EWMA(**shared),
    }
    for period in shared["season"]:
        experts[f"naive_{period}"] = SeasonalNaive(period, **shared)
    return experts


class Hybrid(Forecaster):
    """A weighted mean of experts: ARIMA, GRU, a GRU on the errors of the ARIMA, a seasonal EWMA and naive guards.

    ARIMA, GRU and the naive forecast of the longest season enter twice: as they are, and with the recent mean of their
    errors added, which follows a shift of the level. The weight of an expert at a horizon is a power of the inverse of
    its mean absolute error at that horizon, over forecasts whose target has been observed, with exponential forgetting;
    the power grows with the square root of the number of errors that the mean holds. A mixture of all, whose shares
    follow the gradient of its own error instead, is ranked among them: experts that are no better alone may still
    cancel each other's errors. The guards cost nothing while the models are good and take over when the series leaves
    what they were fitted on.

    Args:
        experts: forecasters by name; None is the list above with their defaults and this seed.
        experts_fitted: whether the experts have been fitted on the same series, on one scale, and are used as they are.
        corrected: names of the experts that enter a second time, corrected, as `<name>_corrected`; None is ARIMA, GRU
            and the last naive forecast, as far as there are such experts.
        sharpness: how sharply weights follow errors: the power is this times the square root of their number.
        half_life: periods of the shortest season in which the weight of an error halves.
        seed: of the default experts.
        season, horizon, transform, levels, gamma: see `Forecaster`; they hold for all experts.

    Attributes:
        experts_: the fitted experts by name.
        weights_: current weights by name, each of shape [horizon], with what each has through the mixture.
    """

    def __init__(
        self,
        experts: Mapping[str, Forecaster] | None = None,
        experts_fitted: bool = False,
        corrected: Sequence[str] | None = None,
        sharpness: float = 1.5,
        half_life: float = 2.5,
        seed: int = 0,
        season: Sequence[int] = (24, 168),
        horizon: int = 48,
        transform: str = "auto",
        levels: Sequence[float] = (80, 95),
        gamma: float = 0.3,
    ) -> None:
        super().__init__(season, horizon, transform, levels, gamma)
        self.experts = None if experts is None else dict(experts)
        self.experts_fitted = experts_fitted
        self.corrected = None if corrected is None else tuple(corrected)
        self.sharpness = sharpness
        self.half_life = half_life
        self.seed = seed

    @property
    def weights_(self) -> dict[str, NDArray[np.float64]]:
        """Current weight of each expert per horizon, shape [horizon]."""
        self._require_fitted()
        *alone, mixture = self._state["weights"]
        rows = np.array(alone) + mixture * self._state["shares"]
        return dict(zip(self._names(), rows, strict=True))

    def _names(self) -> list[str]:
        return [*self.experts_, *(f"{name}_corrected" for name in self._corrected())]

    def _corrected(self) -> list[str]:
        if self.corrected is not None:
            return list(self.corrected)
        naive = [name for name in self.experts_ if name.startswith("naive")]
        return [name for name in ("arima", "gru", *naive[-1:]) if name in self.experts_]

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        if self.experts is None:
            shared = {name: getattr(self, name) for name in ("horizon", "transform", "levels", "gamma")}
            self.experts_ = default_experts(self.seed, season=self.season_, **shared)
        else:
            self.experts_ = self.experts
        self._check_parts()
        if not self.experts_fitted:
            for expert in self.experts_.values():
                expert._fit_on_scale(y, self.season_, self.transform_)
        # What the experts were worth on the fitted part, counted as one half-life, is where weights start.
        self.prior_errors_ = np.zeros((len(self._names()) + 2, self.horizon))
        state = self._new_state()
        self._advance(state, z, y, np.empty((len(z), self.horizon)))
        count = np.maximum(state["errors"][-1], 1e-12)
        self.prior_errors_ = state["errors"] * np.minimum(self._half_life_slots() / count, 1.0)

    def _check_parts(self) -> None:
        if not self.experts_:
            raise ValueError("experts={}: at least one forecaster is needed")
        names = list(self.experts_)
        for name, expert in self.experts_.items():
            if expert.horizon != self.horizon:
                raise ValueError(f"experts[{name!r}].horizon={expert.horizon} is not horizon={self.horizon}")
            base = self._base_name(expert)
            if base is not None and names.index(base) > names.index(name):
                raise ValueError(f"experts: {name!r} corrects {base!r}, which must come before it")
        corrected = self._corrected()
        for name in corrected:
            if name not in self.experts_:
                raise ValueError(f"corrected={self.corrected}: no expert {name!r} among {list(self.experts_)}")
            if corrected.count(name) > 1:
                raise ValueError(f"corrected={self.corrected} names {name!r} twice")

    def _half_life_slots(self) -> float:
        return self.half_life * self._period

    def _new_state(self) -> State:
        count, corrected = len(self._names()), len(self._corrected())
        return {
            "clock": np.zeros(1, np.int64),
            "ring": np.zeros((self.horizon, count + 1, self.horizon)),
            "errors": self.prior_errors_.copy(),
            "weights": np.full((count + 1, self.horizon), 1.0 / (count + 1)),
            "regrets": np.zeros((2, count, self.horizon)),
            "shares": np.full((count, self.horizon), 1.0 / count),
            "correction_ring": np.zeros((self.horizon, corrected, self.horizon)),
            "correction_sums": np.zeros((corrected + 1, self.horizon)),
            "experts": {name: self._expert_state(expert) for name, expert in self.experts_.items()},
        }

    def _base_name(self, expert: Forecaster) -> str | None:
        """The expert whose forecasts this one corrects, if it is in the pool."""
        base = expert.base if isinstance(expert, ResidualGRU) else None
        return next((name for name, other in self.experts_.items() if other is base), None)

    def _expert_state(self, expert: Forecaster) -> State:
        state = expert._new_state()
        if self._base_name(expert) is not None:
            del state["base"]
        return state

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        names = list(self.experts_)
        tables = np.empty((len(self._names()), len(z), self.horizon))
        for row, (name, expert) in zip(tables, self.experts_.items(), strict=False):
            base = self._base_name(expert)
            if base is not None and isinstance(expert, ResidualGRU):
                expert._correct(state["experts"][name], z, tables[names.index(base)], row)
            else:
                expert._advance(state["experts"][name], z, y, row)
        period = self._period
        retention = 0.5 ** (1.0 / self._half_life_slots())
        mixture_retention = 0.5 ** (1.0 / (MIXTURE_HALF_LIFE * period))
        raw = tables[[names.index(name) for name in self._corrected()]]
        correct_intercepts(
            state["clock"], state["correction_ring"], state["correction_sums"], z, raw,
            0.5 ** (1.0 / (CORRECTION_HALF_LIFE * period)), CORRECTION_PRIOR * period, tables[len(names) :],
        )  # fmt: skip
        combine(
            state["clock"], state["ring"], state["errors"], state["weights"], state["regrets"], state["shares"],
            y, tables, self.transform_.packed, self.sharpness, retention, MIXTURE_RATE, mixture_retention, out,
        )  # fmt: skip

    def _get_learned(self) -> State:
        parts = {name: expert._get_learned() for name, expert in self.experts_.items()}
        return super()._get_learned() | {"prior_errors_": self.prior_errors_, "experts_": parts}

    def _set_learned(self, learned: State) -> None:
        # The parts of a hybrid that is rebuilt from a file come with their own learned attributes.
        assert self.experts is not None
        self.experts_ = self.experts
        self.prior_errors_ = learned["prior_errors_"]
        super()._set_learned(learned)
