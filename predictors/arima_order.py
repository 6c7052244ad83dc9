"""Orders of multi-seasonal ARIMA models, their expansion into sparse lags, and the candidates of the search."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Order:
    """phi(B) prod_s Phi_s(B^s) (1 - B)^d prod_s (1 - B^s)^D_s (z - profile) = theta(B) prod_s Theta_s(B^s) e.

    Attributes:
        regular: (p, d, q).
        seasonal: one (P, D, Q, s) per season.
        profile: period of the average profile that is subtracted first; 0 subtracts none.
    """

    regular: tuple[int, int, int]
    seasonal: tuple[tuple[int, int, int, int], ...] = ()
    profile: int = 0

    def __post_init__(self) -> None:
        if min(self.regular) < 0 or any(min(part) < 0 or part[3] < 2 for part in self.seasonal):
            raise ValueError(f"{self}: orders must be >= 0 and seasons >= 2")

    def __str__(self) -> str:
        seasons = "".join(f"({P},{D},{Q}){s}" for P, D, Q, s in self.seasonal)
        profile = f"+profile{self.profile}" if self.profile else ""
        return f"({','.join(map(str, self.regular))}){seasons}{profile}"

    @property
    def factors(self) -> list[tuple[int, int, int]]:
        """(autoregressive order, moving-average order, season) of each factor, the regular one with season 1."""
        p, _, q = self.regular
        return [(p, q, 1), *((P, Q, s) for P, _, Q, s in self.seasonal)]

    @property
    def n_parameters(self) -> int:
        """Coefficients to estimate."""
        return sum(p + q for p, q, _ in self.factors)

    @property
    def burn(self) -> int:
        """First values whose errors depend on assumed history, left out of the sum of squares."""
        return sum(self.regular[:2]) + sum((P + D) * s for P, D, _, s in self.seasonal)

    def expand(self, free: NDArray[np.float64]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Sparse polynomials from unconstrained parameters.

        Args:
            free: per factor its autoregressive then its moving-average parameters, shape [n_parameters]. Their tanh
                are partial autocorrelations, so every factor is stationary and invertible (Monahan 1984).

        Returns:
            ar_lags, ar, ma_lags, ma: z_t = sum ar z_{t - lag} + sum ma e_{t - lag} + e_t.
        """
        coefficients, used = [], 0
        for p, q, _ in self.factors:
            ar, ma = free[used : used + p], free[used + p : used + p + q]
            coefficients += [_from_partial(ar), -_from_partial(ma)]
            used += p + q
        return self.expand_coefficients(coefficients)

    def expand_coefficients(self, coefficients: list[NDArray[np.float64]]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """As `expand`, from the coefficients phi, theta, Phi_1, Theta_1, ... with z = phi z + theta e + e."""
        left, right = np.ones(1), np.ones(1)
        for (_, _, s), ar, ma in zip(self.factors, coefficients[::2], coefficients[1::2], strict=True):
            left = np.convolve(left, _spread(-ar, s))
            right = np.convolve(right, _spread(ma, s))
        for _ in range(self.regular[1]):
            left = np.convolve(left, np.array([1.0, -1.0]))
        for _, D, _, s in self.seasonal:
            for _ in range(D):
                left = np.convolve(left, _spread(np.array([-1.0]), s))
        ar_lags, ma_lags = np.flatnonzero(left[1:]) + 1, np.flatnonzero(right[1:]) + 1
        return ar_lags, -left[ar_lags], ma_lags, right[ma_lags]


def _spread(coefficients: NDArray[np.float64], s: int) -> NDArray[np.float64]:
    polynomial = np.zeros(len(coefficients) * s + 1)
    polynomial[0] = 1.0
    polynomial[s::s] = coefficients
    return polynomial


def _from_partial(free: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients from partial autocorrelations tanh(free) by the Durbin-Levinson recursion."""
    coefficients = np.zeros(0)
    for value in free:
        # The bound keeps roots off the unit circle, where the memory of the start would never fade.
        partial = 0.995 * math.tanh(value)
        coefficients = np.concatenate([coefficients - partial * coefficients[::-1], [partial]])
    return coefficients


REGULAR = ((1, 0, 1), (2, 0, 1), (3, 0, 2), (0, 1, 1), (1, 1, 1), (2, 1, 2))


def candidates(season: tuple[int, ...], length: int) -> list[Order]:
    """The orders that the search tries for a series of some length.

    Seasonal parts: none over a subtracted profile, a stationary or a differenced daily one, a differenced weekly one,
    and both. A differenced season takes part when the series holds it three times, a profile when it holds it four:
    the average of fewer would hide in its residuals what it took from each value.
    """
    parts: list[tuple[tuple[tuple[int, int, int, int], ...], int]] = [((), 0)]
    first, second = (*season, 0, 0)[:2]
    if first:
        parts += [(((1, 0, 1, first),), 0)]
    if first and length >= 3 * first:
        parts += [(((0, 1, 1, first),), 0)]
    if first and length >= 4 * first:
        parts += [((), first), (((1, 0, 1, first),), first)]
    if second and length >= 4 * second:
        parts += [((), second), (((1, 0, 1, first),), second)]
    if second and length >= 3 * second:
        parts += [(((0, 1, 1, second),), 0), (((1, 0, 1, first), (0, 1, 1, second)), 0)]
    return [Order(regular, seasonal, profile) for seasonal, profile in parts for regular in REGULAR]
