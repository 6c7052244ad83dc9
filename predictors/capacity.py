"""From expected demand to the number of nodes: a quantile whose margin is learned from what it missed."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

SCALE_FLOOR = 1e-9
GAMMA = 0.2  # step of the tracked quantile, in mean absolute errors
HALF_LIFE = 168.0  # slots after which the weight of an error halves
POWER = 0.8  # how the error grows with the expected need
MAX_ERROR = 4.0  # errors beyond as many times the mean error count as this


@dataclass(frozen=True)
class CapacityPlan:
    """What a planner asks for.

    Attributes:
        need: quantile of the need per slot ahead and resource, shape [lead, R].
        target: what to hold of each resource, shape [R].
        nodes: whole nodes that hold it.
    """

    need: NDArray[np.float64]
    target: NDArray[np.float64]
    nodes: int


class CapacityPlanner:
    """Plans capacity for a quantile of the need over the provisioning lead time.

    The need h slots ahead is at most E + k_h s_h (E / level)^p with probability `quantile`: E is the expected need, s_h
    the exponentially weighted mean absolute error at that horizon, and k_h a tracked quantile of the error in units of
    it, which moves out when it was missed and in when it was not (see `psgym.predictors.calibration`). Errors count
    when they are realised; h slots ahead they overlap and come late, so the steps fall with the fourth root of h.

    Bursts last, so E is first corrected by what is left h slots later of the last one-step error, as far as earlier
    errors have shown that they last (see `add_lasting_error`).

    Capacity grows on the forecast and shrinks only on what was observed: the target is the larger of the largest
    quantile over the lead time and the largest need observed in the last `cooldown` slots.

    Args:
        node: what one node offers of each resource, shape [R].
        quantile: share of slots in which the need is to be met.
        lead: slots from an order to a usable node, >= 1.
        cooldown: slots for which an observed need is remembered, >= 1.
        gamma: step of the tracked quantile, in mean absolute errors.
        half_life: slots after which the weight of an error halves.
        power: p, how the error grows with the expected need: 0 not at all, 1 in proportion, 1/2 as for counts.
        correct: whether the expected need is corrected by the last error; False takes it as it is, as the simulator
            does, whose expected need holds the present one already.
    """

    def __init__(
        self,
        node: ArrayLike,
        quantile: float = 0.9,
        lead: int = 1,
        cooldown: int = 6,
        gamma: float = GAMMA,
        half_life: float = HALF_LIFE,
        power: float = POWER,
        correct: bool = True,
    ) -> None:
        self.node = np.atleast_1d(np.asarray(node, np.float64))
        self.quantile, self.lead, self.cooldown = quantile, int(lead), int(cooldown)
        self.gamma, self.half_life, self.power, self.correct = gamma, half_life, power, correct
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"quantile={quantile}: must be between 0 and 1")
        if self.lead < 1 or self.cooldown < 1:
            raise ValueError(f"lead={lead}, cooldown={cooldown}: both must be >= 1")
        resources = len(self.node)
        start = normal_start(quantile)
        self.state = {
            "clock": np.zeros(1, np.int64),
            "score": np.full((self.lead, resources), start),
            "scale": np.zeros((self.lead, resources)),
            "level": np.zeros((2, resources)),
            "ring": np.zeros((self.lead, self.lead, resources, 3)),
            "observed": np.zeros((self.cooldown, resources)),
        }
        self.lasting = {
            "products": np.zeros((self.lead + 1, resources)),
            "errors": np.zeros((self.lead, resources)),
            "issued": np.zeros((self.lead, self.lead, resources)),
        }

    def plan(self, observed: ArrayLike, expected: ArrayLike) -> CapacityPlan:
        """Learns from the need of this slot, then plans for the next ones.

        Args:
            observed: need in the slot that has ended, shape [R].
            expected: mean need 1..lead slots ahead, shape [lead, R].

        Raises:
            ValueError: a shape does not fit, or a value is negative or not finite.
        """
        now, ahead = np.atleast_1d(np.asarray(observed, np.float64)), np.asarray(expected, np.float64)
        ahead = ahead.reshape(self.lead, -1) if ahead.ndim == 1 else ahead
        if now.shape != self.node.shape or ahead.shape != (self.lead, len(self.node)):
            raise ValueError(
                f"observed {now.shape} and expected {ahead.shape}: expected {self.node.shape} and "
                f"{(self.lead, len(self.node))}"
            )
        if not (np.isfinite(now).all() and np.isfinite(ahead).all() and now.min() >= 0.0 and ahead.min() >= 0.0):
            raise ValueError(f"observed {now} and expected {ahead}: finite values >= 0")
        retention = 0.5 ** (1.0 / self.half_life)
        if self.correct:
            ahead = ahead.copy()
            add_lasting_error(self.state["clock"], *self.lasting.values(), now, ahead, retention)
        need, target = np.empty_like(ahead), np.empty(len(self.node))
        plan_step(*self.state.values(), now, ahead, self.quantile, self.gamma, retention, self.power, need, target)
        return CapacityPlan(need, target, nodes_for(target, self.node))

    def __repr__(self) -> str:
        return (
            f"CapacityPlanner(node={self.node.tolist()}, quantile={self.quantile}, lead={self.lead}, "
            f"cooldown={self.cooldown})"
        )


def normal_start(quantile: float) -> float:
    """The tracked quantile before any error is known: that of a normal error, in mean absolute errors."""
    from psgym.predictors.seasonal_ewma_kernel import normal_quantile

    return float(normal_quantile(quantile)) * math.sqrt(math.pi / 2.0)


@numba.njit(cache=True)
def nodes_for(target: NDArray, node: NDArray) -> int:
    """The fewest whole nodes that offer a target of every resource, both of shape [R]."""
    nodes = 0
    for r in range(target.shape[0]):
        if target[r] > 0.0:
            nodes = max(nodes, math.ceil(target[r] / node[r] - 1e-9))
    return nodes


@numba.njit(cache=True)
def add_lasting_error(
    clock: NDArray, products: NDArray, errors: NDArray, issued: NDArray,
    now: NDArray, expected: NDArray, retention: float,
) -> None:  # fmt: skip
    """Adds to the expected need what the last one-step error says of it.

    The error h slots ahead is regressed on the one-step error of the slot from which it was forecast: the coefficient
    is sum e(t) e_h(t + h) / sum e(t)^2 over what is realised, with exponential forgetting, within -1..1. It is near 0
    where the forecast leaves nothing but noise, and large where bursts of need outlast a slot.

    Args:
        clock: slots so far, shape [1]; not changed.
        products: sums of squares (row 0) and of products h slots apart (row h), shape [1 + lead, R].
        errors: last one-step errors, shape [lead, R]. issued: expected needs of the last slots before they were
            corrected, shape [lead, lead, R]. All three are the state and are changed in place.
        now: need of the slot that has ended, shape [R].
        expected: mean need ahead, shape [lead, R]; changed in place.
        retention: share of the sums kept per slot.
    """
    lead, resources, t = expected.shape[0], expected.shape[1], clock[0]
    for r in range(resources):
        error = now[r] - issued[(t - 1) % lead, 0, r] if t > 0 else 0.0
        for h in range(1, min(t - 1, lead) + 1):
            late = now[r] - issued[(t - h) % lead, h - 1, r]
            products[h, r] = retention * products[h, r] + late * errors[(t - h) % lead, r]
        products[0, r] = retention * products[0, r] + error * error
        errors[t % lead, r] = error
        for k in range(lead):
            issued[t % lead, k, r] = expected[k, r]
            if products[0, r] > 0.0:
                share = min(max(products[k + 1, r] / products[0, r], -1.0), 1.0)
                expected[k, r] = max(expected[k, r] + share * error, 0.0)


@numba.njit(cache=True)
def plan_step(
    clock: NDArray, score: NDArray, scale: NDArray, level: NDArray, ring: NDArray, observed: NDArray,
    now: NDArray, expected: NDArray, quantile: float, gamma: float, retention: float, power: float,
    need: NDArray, target: NDArray,
) -> None:  # fmt: skip
    """One step of `CapacityPlanner`, for use inside other kernels.

    Args:
        clock: slots so far, shape [1]. score, scale: tracked quantile and mean absolute error, shape [lead, R].
        level: weighted sum and weight of the observed need, shape [2, R].
        ring: last plans, shape [lead, lead, R, 3]: expected need, its quantile, and the unit of its error.
        observed: last needs, shape [cooldown, R]. All six are the state and are changed in place.
        now: need of the slot that has ended, shape [R]; expected: mean need ahead, shape [lead, R].
        quantile, gamma, power: see `CapacityPlanner`; retention: share of the sums kept per slot.
        need: receives the quantiles, shape [lead, R]; target: receives what to hold, shape [R].
    """
    lead, resources, t = score.shape[0], score.shape[1], clock[0]
    for r in range(resources):
        for h in range(1, min(t, lead) + 1):
            step = gamma / math.sqrt(math.sqrt(h))
            k, slot = h - 1, (t - h) % lead
            mean, bound, unit = ring[slot, k, r, 0], ring[slot, k, r, 1], ring[slot, k, r, 2]
            # A running mean until the half-life has passed, so that the first error does not set the scale for long.
            weight = max(1.0 - retention, 1.0 / (t - h + 1.0))
            error = abs(now[r] - mean) / unit
            # One burst must not set the scale for days.
            scale[k, r] += weight * (min(error, MAX_ERROR * scale[k, r] if t > 10 * h else error) - scale[k, r])
            score[k, r] += step * ((1.0 if now[r] > bound else 0.0) - (1.0 - quantile))
        level[0, r] = retention * level[0, r] + now[r]
        level[1, r] = retention * level[1, r] + 1.0
        usual = level[0, r] / level[1, r] + SCALE_FLOOR
        observed[t % observed.shape[0], r] = now[r]
        target[r] = 0.0
        for k in range(lead):
            unit = math.pow((expected[k, r] + 0.1 * usual) / usual, power)
            # Before an error is known, the unit is half of what is expected.
            width = scale[k, r] * unit if t > k else 0.5 * expected[k, r]
            need[k, r] = max(expected[k, r] + score[k, r] * width, 0.0)
            ring[t % lead, k, r, 0], ring[t % lead, k, r, 1], ring[t % lead, k, r, 2] = expected[k, r], need[k, r], unit
            target[r] = max(target[r], need[k, r])
        for i in range(observed.shape[0]):
            target[r] = max(target[r], observed[i, r])
    clock[0] = t + 1
