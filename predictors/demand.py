"""What tasks use and how long they hold it: exponentially weighted estimates that start from a prior."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

PRIOR_WEIGHT = 5.0


class EWMADemand:
    """Mean and variance of what a task of each class uses of each resource.

    With weights that halve every `half_life` observations of a class, A the weighted sum of uses and B of weights,

        mean = (A + k m0) / (B + k),    variance = (Q + k v0) / (B + k)

    where m0 and v0 are the prior, counted as k observations, and Q sums (x - old mean)(x - new mean) (West 1979). Being
    a ratio of sums, the mean needs no correction for its start (Kingma and Ba 2015 correct the same bias).

    Args:
        prior: use per class and resource before anything is seen, such as what tasks declare, shape [C, R].
        half_life: observations after which a weight halves.
        prior_weight: k, in observations.
        prior_variance: shape [C, R]; by default the square of the prior.

    Attributes:
        sums, squares: A and Q, shape [C, R]; weights: B, shape [C].
    """

    def __init__(
        self,
        prior: ArrayLike,
        half_life: float = 200.0,
        prior_weight: float = PRIOR_WEIGHT,
        prior_variance: ArrayLike | None = None,
    ) -> None:
        self.prior = np.atleast_2d(np.asarray(prior, np.float64))
        self.half_life = half_life
        self.prior_weight = prior_weight
        given = self.prior**2 if prior_variance is None else np.atleast_2d(np.asarray(prior_variance, np.float64))
        self.prior_variance = given
        if self.prior_variance.shape != self.prior.shape:
            raise ValueError(f"prior_variance has shape {self.prior_variance.shape}, prior {self.prior.shape}")
        if half_life <= 0.0 or prior_weight <= 0.0:
            raise ValueError(f"half_life={half_life}, prior_weight={prior_weight}: both must be > 0")
        self.sums, self.squares = np.zeros_like(self.prior), np.zeros_like(self.prior)
        self.weights = np.zeros(len(self.prior))

    def observe(self, kind: int, usage: ArrayLike) -> None:
        """Takes in one finished or measured task.

        Args:
            kind: its class, 0..C-1.
            usage: what it used of each resource, shape [R]; for memory its peak, which is what must fit.

        Raises:
            ValueError: the class is unknown, or the usage is negative, not finite or of another length.
        """
        x = np.asarray(usage, np.float64)
        if not 0 <= kind < len(self.prior):
            raise ValueError(f"kind={kind}: classes are 0..{len(self.prior) - 1}")
        if x.shape != self.prior.shape[1:] or not np.all(np.isfinite(x)) or np.any(x < 0.0):
            raise ValueError(f"usage={usage!r}: {self.prior.shape[1]} finite values >= 0 are expected")
        observe_usage(
            self.sums, self.squares, self.weights, self.prior, self.prior_weight, 0.5 ** (1.0 / self.half_life), kind, x
        )

    def mean(self) -> NDArray[np.float64]:
        """Expected use per class and resource, shape [C, R]."""
        weight = (self.weights + self.prior_weight)[:, None]
        return np.asarray((self.sums + self.prior_weight * self.prior) / weight)

    def variance(self) -> NDArray[np.float64]:
        """Variance of the use of one task, shape [C, R]."""
        weight = (self.weights + self.prior_weight)[:, None]
        return np.asarray((self.squares + self.prior_weight * self.prior_variance) / weight)

    def __repr__(self) -> str:
        classes, resources = self.prior.shape
        return f"EWMADemand({classes} classes, {resources} resources, half_life={self.half_life!r})"


@numba.njit(cache=True)
def observe_usage(
    sums: NDArray,
    squares: NDArray,
    weights: NDArray,
    prior: NDArray,
    prior_weight: float,
    retention: float,
    kind: int,
    usage: NDArray,
) -> None:
    """The update of `EWMADemand` by one task of a class, in place; `retention` is the share of old weights kept."""
    old_weight = weights[kind] + prior_weight
    weights[kind] = retention * weights[kind] + 1.0
    new_weight = weights[kind] + prior_weight
    for r in range(usage.shape[0]):
        old = (sums[kind, r] + prior_weight * prior[kind, r]) / old_weight
        sums[kind, r] = retention * sums[kind, r] + usage[r]
        new = (sums[kind, r] + prior_weight * prior[kind, r]) / new_weight
        squares[kind, r] = retention * squares[kind, r] + (usage[r] - old) * (usage[r] - new)


class DurationHazard:
    """How likely a running task is to end within the next slot, by age.

    hazard_b = ended_b / exposed_b for tasks whose age lies in bin b, both with exponential forgetting. Tasks that are
    still running count as exposed, so censoring is handled: the mean of finished durations alone is biased short
    (Kaplan and Meier 1958).

    Args:
        edges: first ages, in slots, of the bins, increasing from 0.
        half_life: slots after which a count halves.
        prior_hazard: of every bin before anything is seen, counted as `prior_weight` exposed slots.
    """

    def __init__(
        self,
        edges: Sequence[int] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256),
        half_life: float = 2016.0,
        prior_hazard: float = 0.1,
        prior_weight: float = PRIOR_WEIGHT,
    ) -> None:
        self.edges = np.asarray(edges, np.int64)
        if self.edges[0] != 0 or np.any(np.diff(self.edges) <= 0):
            raise ValueError(f"edges={tuple(edges)}: must increase from 0")
        self.half_life = half_life
        self.prior_hazard = prior_hazard
        self.prior_weight = prior_weight
        self.ended, self.exposed = np.zeros(len(self.edges)), np.zeros(len(self.edges))

    def observe(self, ages: ArrayLike, ended: ArrayLike) -> None:
        """Takes in one slot.

        Args:
            ages: age in slots, at its start, of every task that ran in the slot, shape [n].
            ended: whether each of them ended in it, shape [n].
        """
        bins = np.searchsorted(self.edges, np.asarray(ages, np.int64), side="right") - 1
        retention, count = 0.5 ** (1.0 / self.half_life), len(self.edges)
        self.ended = retention * self.ended + np.bincount(bins, np.asarray(ended, np.float64), count)
        self.exposed = retention * self.exposed + np.bincount(bins, minlength=count)

    def hazard(self) -> NDArray[np.float64]:
        """Probability per bin of ending within a slot, shape [bins]."""
        return np.asarray((self.ended + self.prior_weight * self.prior_hazard) / (self.exposed + self.prior_weight))

    def survival(self, ages: ArrayLike, h: int) -> NDArray[np.float64]:
        """Probability that tasks of some ages are still running 1..h slots later, shape [n, h]."""
        steps = np.asarray(ages, np.int64)[:, None] + np.arange(h)
        hazard = self.hazard()[np.searchsorted(self.edges, steps, side="right") - 1]
        return np.asarray(np.cumprod(1.0 - hazard, axis=1))

    def __repr__(self) -> str:
        return f"DurationHazard({len(self.edges)} bins, half_life={self.half_life!r})"


def expected_flow(volume: NDArray[np.float64], demand: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resources that arriving tasks ask for.

    Args:
        volume: mean number of tasks per slot ahead and class, shape [h, C].
        demand: mean use per class and resource, shape [C, R].

    Returns:
        Shape [h, R].
    """
    return np.asarray(volume @ demand)


def expected_stock(
    ages: ArrayLike,
    held: NDArray[np.float64],
    volume: NDArray[np.float64],
    demand: NDArray[np.float64],
    hazard: DurationHazard,
) -> NDArray[np.float64]:
    """Resources in use 1..h slots ahead: what running tasks still hold and what arrivals will.

        stock(t + k) = sum_i held_i S(k | age_i) + sum_{j <= k} volume_j demand S(k - j + 1 | 0)

    Args:
        ages: age of each running task in slots, shape [n].
        held: what each holds, shape [n, R].
        volume: mean number of arrivals per slot ahead and class, shape [h, C].
        demand: mean use per class and resource, shape [C, R].
        hazard: of durations; S is its survival.

    Returns:
        Shape [h, R].
    """
    h = len(volume)
    stock = hazard.survival(ages, h).T @ held
    fresh = hazard.survival([0], h)[0]
    arriving = expected_flow(volume, demand)
    for k in range(h):
        stock[k] += fresh[: k + 1][::-1] @ arriving[: k + 1]
    return np.asarray(stock)
