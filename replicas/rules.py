"""When a dataset is hot enough for another copy, and cold enough to lose one.

``h`` is the heat in bytes/s, ``r`` the number of copies, ``tau`` the threshold in bytes/s per copy. All tests are
written as products, so that no copies at all (``r = 0``) needs no special case.

The pair :func:`is_hot`, :func:`is_cold` judges a drop by the load *after* it. On constant heat it cannot flap for any
``eta <= 1``: a copy is added only if ``h > tau r``; with ``r + 1`` copies the drop asks for ``h < eta tau r``, which is
then false. The pair :func:`is_hot`, :func:`is_cold_one_threshold` is the rule of one threshold, which judges by the
load before the drop and flaps; it is here as the baseline.
"""

from numba import njit


@njit(cache=True)
def is_hot(heat: float, copies: int, threshold: float) -> bool:
    """Whether each copy carries more than the threshold: ``h / r > tau``.

    The load of one copy is the criterion of ERMS (Cheng et al., IEEE CLUSTER Workshops 2012), here in bytes/s instead
    of accesses.

    Args:
        heat: Heat of the dataset, bytes/s.
        copies: Copies it has or will soon have (those in flight count, else one burst asks for many).
        threshold: ``tau``, bytes/s per copy.
    """
    return heat > threshold * copies


@njit(cache=True)
def is_cold(heat: float, copies: int, minimum: int, threshold: float, eta: float) -> bool:
    """Whether the remaining copies would still be cool: ``r > r_min and h / (r - 1) < eta tau``.

    Args:
        heat: Heat of the dataset, bytes/s.
        copies: Copies it has.
        minimum: ``r_min``, copies never gone below.
        threshold: ``tau``, bytes/s per copy, the same as for :func:`is_hot`.
        eta: Width of the hysteresis, in (0, 1]; .5 to .8 for noisy heat.
    """
    return copies > minimum and heat < eta * threshold * (copies - 1)


@njit(cache=True)
def is_hot_one_threshold(heat: float, copies: int, threshold: float) -> bool:
    """The hot half of the rule of one threshold, the same as :func:`is_hot`: ``h / r > tau``."""
    return heat > threshold * copies


@njit(cache=True)
def is_cold_one_threshold(heat: float, copies: int, minimum: int, threshold: float) -> bool:
    """The cold half of the rule of one threshold: ``r > r_min and h / r < tau``.

    It flaps on constant heat: with ``tau r < h < tau (r + 1)`` a copy is added, is then too many, and is dropped again.
    """
    return copies > minimum and heat < threshold * copies


@njit(cache=True)
def has_cooled_down(seconds_since_change: float, cooldown_seconds: float) -> bool:
    """Whether the last change of a dataset's copies is long enough ago for another.

    A guard against herding used in production: Rucio's C3PO gives no dataset a second copy within 24 h (Beermann et
    al., "C3PO - a dynamic data placement agent for ATLAS distributed data management", J. Phys. Conf. Ser. 2017).
    """
    return seconds_since_change >= cooldown_seconds
