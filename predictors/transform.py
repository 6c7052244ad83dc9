"""From the units of a series to the standardised scale on which the models work, and back."""

import math
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

KINDS = ("auto", "identity", "log1p")
SIZE = 8  # of a packed transform


@dataclass(frozen=True)
class Transform:
    """z = (g(y) - centre) / spread, where g is the identity or log(1 + y / unit).

    Attributes:
        log: whether g is the logarithm.
        unit: the quantity that counts as one; 1 for counts.
        centre: mean of g over the part it was learned from.
        spread: standard deviation of g there, or 1 if that is 0.
        lowest: forecasts below it (in z) are clipped before they are mapped back; one range below what was seen.
        highest: likewise above, so that an exponential can never overflow.
        fence: logarithms below it are taken at it, so that an outage is not a value of minus five deviations.
        floor: smallest possible value in units of the series: 0 if none seen was negative, else -inf.
    """

    log: bool
    unit: float
    centre: float
    spread: float
    lowest: float
    highest: float
    fence: float
    floor: float

    @classmethod
    def learn(cls, y: NDArray[np.float64], kind: str) -> "Transform":
        """Chooses and scales the transform of a series; `"auto"` takes the logarithm of skewed counts.

        Args:
            y: finite values, shape [T].
            kind: one of `KINDS`.

        Raises:
            ValueError: the kind is unknown, or a logarithm is asked of negative values.
        """
        if kind not in KINDS:
            raise ValueError(f"transform={kind!r}, expected one of {KINDS}")
        positive = bool(y.min() >= 0.0)
        if kind == "log1p" and not positive:
            raise ValueError(f"transform='log1p' needs values >= 0, found {y.min()!r} at index {int(y.argmin())}")
        log = kind == "log1p" or (kind == "auto" and positive and _is_skewed(y))
        whole = bool(np.all(y == np.floor(y)))
        unit = 1.0 if whole or not log else max(float(y.mean()) / 20.0, 1e-12)
        g, fence = y, -np.inf
        if log:
            g = np.log1p(y / unit)
            fence = _lower_fence(g)
            g = np.maximum(g, fence)
        centre, spread = float(g.mean()), float(g.std())
        if spread <= 1e-9 * max(1.0, abs(centre)):
            spread = 1.0
        z = (g - centre) / spread
        reach = max(float(z.max() - z.min()), 1.0)
        lowest, highest = float(z.min()) - reach, float(z.max()) + reach
        return cls(log, unit, centre, spread, lowest, highest, fence, 0.0 if positive else -np.inf)

    def forward(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps values of the series to z; values below the logarithm's domain are taken at its floor."""
        z = np.empty(len(y))
        forward(y, self.packed, z)
        return z

    def inverse(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps z to units of the series, clipped to a finite range."""
        return np.array([inverse(v, self.packed) for v in z.ravel()]).reshape(z.shape)

    @cached_property
    def packed(self) -> NDArray[np.float64]:
        """The attributes as one array, shape [8], the form that kernels and files take."""
        return np.array(
            [self.log, self.unit, self.centre, self.spread, self.lowest, self.highest, self.fence, self.floor]
        )

    @classmethod
    def unpacked(cls, packed: NDArray[np.float64]) -> "Transform":
        """The inverse of `packed`."""
        log, *rest = packed.tolist()
        return cls(bool(log), *rest)


def _lower_fence(g: NDArray[np.float64]) -> float:
    """Tukey's far-out fence: three interquartile ranges below the first quartile (Tukey 1977)."""
    first, third = np.quantile(g, [0.25, 0.75])
    return float(first - 3.0 * (third - first)) if third > first else -np.inf


def _is_skewed(y: NDArray[np.float64]) -> bool:
    spread = float(y.std())
    if spread == 0.0:
        return False
    skewness = float(np.mean(((y - y.mean()) / spread) ** 3))
    counts_with_zeros = bool(np.any(y == 0.0)) and bool(np.all(y == np.floor(y)))
    return skewness > 1.0 or counts_with_zeros


@numba.njit(cache=True)
def forward(y: NDArray[np.float64], packed: NDArray[np.float64], z: NDArray[np.float64]) -> None:
    """Writes values of a series on the standardised scale into z, shape [T]; `packed` starts as `Transform.packed`."""
    for i in range(y.shape[0]):
        g = y[i]
        if packed[0] > 0.5:
            g = max(math.log1p(max(g, 0.0) / packed[1]), packed[6])
        z[i] = (g - packed[2]) / packed[3]


@numba.njit(cache=True)
def inverse(z: float, packed: NDArray[np.float64]) -> float:
    """One value of z in units of the series; `packed` as from `Transform.packed`."""
    return back(z, *unpack(packed))


@numba.njit(cache=True)
def unpack(packed: NDArray[np.float64]) -> tuple[bool, float, float, float, float, float, float]:
    """What `back` takes (log, unit, centre, spread, lowest, highest, floor) from the start of an array."""
    return packed[0] > 0.5, packed[1], packed[2], packed[3], packed[4], packed[5], packed[7]


@numba.njit(cache=True)
def back(
    z: float, log: bool, unit: float, centre: float, spread: float, lowest: float, highest: float, floor: float
) -> float:
    """`inverse` by the attributes of `Transform`, which lie in registers inside a loop."""
    g = min(max(z, lowest), highest) * spread + centre
    if log:
        g = unit * math.expm1(g)
    return max(g, floor)
