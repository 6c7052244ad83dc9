"""Speed of a slot of storage, 20 servers x 400 datasets, against the same computation in NumPy, in one process.

Both compute what a slot of ``psgym/Replicas-v0`` does: outages and bursts aside, the even split of the demand over live
copies, effective bandwidths, shares served, statistics of load, heat at three half-lives, latencies, and the decision
of the rule hot/cold. The check at the end makes sure that they agree.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from psgym.envs.cluster.decide import next_actions
from psgym.envs.cluster.slot import live_slot
from psgym.envs.simulation import Simulation
from psgym.envs.vector import ClusterVectorEnv

COPIES, REPEATS, HOT_COLD = 64, 40, 2


class NumPyStorage:
    """The storage of one cluster as arrays, stepped by NumPy."""

    def __init__(self, state: Any, scenario: Any) -> None:
        """Copies what a slot starts from."""
        public = state["public"]
        self.settings = public["settings"]
        self.held = public["datasets"]["placed"].copy()
        self.up = public["servers"]["up"].astype(bool)
        self.size = public["datasets"]["size"].copy()
        self.heats = np.array([public["datasets"][name] for name in ("heat", "heat_medium", "heat_short")])
        self.bandwidth = public["servers"]["bandwidth"].copy()
        self.capacity, self.stored = public["servers"]["capacity"].copy(), public["servers"]["stored"].copy()
        self.trend = public["servers"]["trend"].copy()
        self.slot, self.background = int(public["slot"]), scenario["background"]
        half_lives = np.array([self.settings["heat_half_life_seconds"], 120.0, 30.0])
        self.factor = np.exp2(-30.0 / half_lives)[:, None]

    def step(self) -> NDArray[np.float64]:
        """One slot without copies in flight; returns the utilisation of the servers."""
        demand = self.background[self.slot].astype(np.float64)
        live = (self.held == 1) & self.up
        copies = live.sum(axis=1)
        share = np.divide(demand, copies, out=np.zeros_like(demand), where=copies > 0)
        load = share @ live
        effective = self.bandwidth
        served = np.minimum(1.0, np.divide(effective, load, out=np.ones_like(load), where=load > 0))
        factor = np.divide(live @ served, copies, out=np.zeros_like(demand), where=copies > 0)
        carried = load[self.up]
        self.statistics = (
            (demand * factor).sum(), demand[copies == 0].sum(), (demand * (1 - factor))[copies > 0].sum(),
            (load * served)[load > 0.9 * effective].sum(), carried.max() / carried.mean(),
            carried.std() / carried.mean(), self.stored.sum() / self.size.sum(),
        )  # fmt: skip
        self.heats = self.factor * self.heats + (1.0 - self.factor) * demand
        self.utilisation = load / effective
        self.trend = self.factor[0] * self.trend + (1.0 - self.factor[0]) * self.utilisation
        self.latencies = [_percentile(load, effective, *line) for line in ((1.53, 1.49, 0.05), (1.96, 2.70, 0.01))]
        self.candidates = self._candidates(copies)
        return self.utilisation

    def _candidates(self, copies: NDArray[np.int64]) -> NDArray[np.int64]:
        heat = self.heats[0] / np.maximum(copies, 1)
        order = np.argsort(-heat, kind="stable")
        spare = order[::-1][(copies > self.settings["minimum_copies"])[order[::-1]]]
        return np.concatenate([order[:8], spare[~np.isin(spare, order[:8])][:8]])

    def decide(self) -> tuple[int, int]:
        """The first decision of hot/cold: a dataset, and the server of its new copy (or the dropped one)."""
        live = (self.held == 1) & self.up
        copies = live.sum(axis=1)[self.candidates]
        heat = self.heats[0][self.candidates]
        tau = float(self.settings["hot_threshold"]) * float(self.bandwidth[0])
        room = self.stored + self.size[self.candidates, None] <= self.capacity
        feasible = room & self.up & (self.held[self.candidates] == 0)
        hot = (heat > tau * copies) & (copies > 0) & feasible.any(axis=1)
        if hot.any():
            best = int(np.argmax(np.where(hot, heat / np.maximum(copies, 1), -1.0)))
            server = int(np.argmin(np.where(feasible[best], self.utilisation, np.inf)))
            return int(self.candidates[best]), server
        cold = (copies > self.settings["minimum_copies"]) & (
            heat < float(self.settings["cold_ratio"]) * tau * (copies - 1)
        )
        if cold.any():
            best = int(np.argmin(np.where(cold, heat / copies, np.inf)))
            score = self.utilisation + self.stored / self.capacity
            return int(self.candidates[best]), int(np.argmax(np.where(live[self.candidates[best]], score, -1.0)))
        return -1, -1


def _percentile(load: Any, effective: Any, base: float, slope: float, tail: float) -> float:
    """The latency that a share of all reads exceeds, by bisection on the mixture of the servers (s)."""
    rho = np.minimum(load / effective, 0.98)
    shift = 64e6 / effective
    scale = ((base + slope * rho) * shift / (1.0 - rho) - shift) / -np.log(tail)
    low, high = 0.0, float((shift - scale * np.log(tail)).max())
    weight = load / load.sum()
    for _ in range(40):
        middle = 0.5 * (low + high)
        late = weight @ np.exp(-np.maximum(middle - shift, 0.0) / scale)
        low, high = (middle, high) if late > tail else (low, middle)
    return high


@njit
def live_slots(states: Any, scenarios: Any, outcomes: Any) -> None:
    """Lives through one slot of every cluster."""
    for index in range(states.shape[0]):
        live_slot(states[index], scenarios[index], outcomes[index])


def kernel_slots(simulation: Simulation) -> float:
    """CPU time of one slot of one cluster by the kernels, decision included."""
    actions = np.zeros(simulation.count, np.int64)
    best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        live_slots(simulation.states, simulation.scenarios, simulation.outcomes)
        next_actions(simulation.states, 0, HOT_COLD, 0, actions)
        best = min(best, time.process_time() - start)
    return best / simulation.count


def main() -> None:
    """Prints both times and their ratio."""
    env = ClusterVectorEnv(COPIES, "psgym/Replicas-v0", server_failures=False, bursts_per_day=0.0)
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.zeros(COPIES, np.int64))
    simulation = env.simulation
    states, scenarios = np.asarray(simulation.states), np.asarray(simulation.scenarios)
    mirror = NumPyStorage(states[0], scenarios[0])
    expected = mirror.step()
    env.step(np.zeros(COPIES, np.int64))
    np.testing.assert_allclose(states[0]["public"]["servers"]["utilisation"], expected, rtol=1e-6)
    np.testing.assert_allclose(states[0]["public"]["datasets"]["heat_short"], mirror.heats[2], rtol=1e-6)
    assert set(states[0]["public"]["candidate"].tolist()) == set(mirror.candidates.tolist())
    kernel_slots(simulation)
    kernel = kernel_slots(simulation)
    best = np.inf
    for _ in range(REPEATS):
        mirror = NumPyStorage(states[0], scenarios[0])
        start = time.process_time()
        for _ in range(10):
            mirror.step()
            mirror.decide()
        best = min(best, (time.process_time() - start) / 10)
    print(f"a slot of storage, 20 servers x 400 datasets, one thread: {1e6 * kernel:.1f} us by the kernels,")
    print(f"{1e6 * best:.0f} us in NumPy: ratio {best / kernel:.1f}")


if __name__ == "__main__":
    main()
