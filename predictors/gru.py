"""A gated recurrent network for all horizons at once: trained by torch, run by numba."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from psgym.predictors.base import Forecaster
from psgym.predictors.gru_kernels import N_FEATURES, N_SKIPS, advance_gru, features_of
from psgym.predictors.state import State

WEIGHTS = ("w_input", "b_input", "w_hidden", "b_hidden", "w_out", "w_direct", "b_out", "w_skip")
STATE = ("clock", "day", "week", "day_profile", "week_profile")
# For one value, looking its arguments up by name would cost as much as the network.
_rings, _cell, _weights = itemgetter(*STATE), itemgetter(*STATE, "hidden"), itemgetter(*WEIGHTS)


class GRU(Forecaster):
    """A GRU on value, seasonal changes and time of day and week, with learned weights on simple forecasts.

    One pass gives all horizons (a direct forecast). Training minimises the mean absolute error on the standardised
    scale; the exported weights predict with numba alone, and torch is imported by `fit` only.

    Args:
        hidden: units.
        n_members: networks with consecutive seeds whose forecasts are averaged.
        epochs: of 15 batches of 64 windows; the best on the last 15 % of the fitted part is kept.
        learning_rate: the highest of a one-cycle schedule.
        seed: of initial weights and batches.
        season, horizon, transform, levels, gamma: see `Forecaster`; the first two seasons are used.

    Attributes:
        weights_: the exported arrays by name, the first axis over members.
    """

    residual = False

    def __init__(
        self,
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
        super().__init__(season, horizon, transform, levels, gamma)
        self.hidden = hidden
        self.n_members = n_members
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.seed = seed

    def _learn(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._learn_residual(z, np.zeros((len(z), self.horizon)))

    def _learn_residual(self, z: NDArray[np.float64], base: NDArray[np.float64]) -> None:
        """Trains on what a base forecast [T, H] leaves."""
        from psgym.predictors.gru_training import Budget, train

        first, second = (*self.season_, 1, 1)[:2]
        # The week starts as a row of equal days: in averages over the few weeks of a short series, each target would be
        # a large part of its own input.
        self.day_ = _phase_means(z, first)
        self.week_ = self.day_[np.arange(second) % first]
        state = self._rings()
        x, simple = np.empty((len(z), N_FEATURES)), np.empty((len(z), self.horizon, N_SKIPS))
        features_of(*_rings(state), z, x, simple)
        target = np.full((len(z), self.horizon), np.nan)
        for h in range(1, min(self.horizon, len(z) - 1) + 1):
            target[:-h, h - 1] = z[h:] - base[:-h, h - 1]
        budget = Budget(epochs=self.epochs, learning_rate=self.learning_rate)
        members = [
            train(x, simple, target, self.hidden, 1000 * self.seed + m, budget, self.residual)
            for m in range(self.n_members)
        ]
        self.weights_ = {name: np.stack([member[name] for member in members]) for name in WEIGHTS}

    def _rings(self) -> State:
        return {
            "clock": np.zeros(1, np.int64),
            "day": self.day_.copy(),
            "week": self.week_.copy(),
            "day_profile": self.day_.copy(),
            "week_profile": self.week_.copy(),
        }

    def _new_state(self) -> State:
        return self._rings() | {"hidden": np.zeros((self.n_members, self.hidden))}

    def _advance(self, state: State, z: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        out.fill(0.0)
        self._correct(state, z, out, out)

    def _correct(self, state: State, z: NDArray[np.float64], base: NDArray, out: NDArray) -> None:
        advance_gru(*_cell(state), *_weights(self.weights_), z, base, out)

    def _get_learned(self) -> State:
        return super()._get_learned() | {"day_": self.day_, "week_": self.week_, "weights_": self.weights_}

    def _set_learned(self, learned: State) -> None:
        self.day_, self.week_, self.weights_ = learned["day_"], learned["week_"], dict(learned["weights_"])
        super()._set_learned(learned)


def _phase_means(z: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    phase = np.arange(len(z)) % period
    return np.asarray(np.bincount(phase, z, period) / np.maximum(np.bincount(phase, minlength=period), 1))
