"""The ladder of replica policies: faces with SB3's ``predict`` over the rules of the simulator.

Each rung sees the same candidates and servers as an agent. The numbers of the rules were tuned on validation days, each
rung by the same number of trials (``benchmarks/tune_replicas.py``), and stand in ``agents/configs/replicas.json``.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psgym.agents.policy import Actions, BoundPolicy
from psgym.envs.cluster.bursts import expected_demand
from psgym.envs.cluster.config import REPLICA_RULES
from psgym.envs.cluster.decide import COMMIT, next_actions
from psgym.envs.cluster.rules.ladder import (
    Fill,
    Scarlett,
    fill_actions,
    replicate_fully,
    scarlett_actions,
    threshold_actions,
)
from psgym.envs.cluster.rules.relieving import WEIGHTS, extend_relieving
from psgym.envs.cluster.rules.replicas import LONG, MEDIUM, SHORT, Thresholds
from psgym.envs.simulation import Simulation

if TYPE_CHECKING:
    from psgym.agents.result import Kind
    from psgym.predictors.base import Forecaster

CONFIGS = Path(__file__).parent / "configs"
AHEAD_SECONDS = 300.0
"""How far the forecast and the oracle look."""
HISTORY = 48
"""Slots of demand that a forecast is made from."""


class ThresholdPolicy(BoundPolicy):
    """Hot/cold with hysteresis with numbers of its own, one threshold, and queue-aware."""

    def __init__(self, simulation: Simulation, rule: Thresholds, placement: int = 0) -> None:
        """Binds the rule; ``placement`` is one of those of ``psgym.envs.cluster.rules.ladder``."""
        super().__init__(simulation)
        self.rule, self.placement = rule, placement

    def decide(self, actions: Actions) -> None:
        """Lets the hottest dataset gain a copy, or the coldest lose one."""
        threshold_actions(self.simulation.states, self.rule, self.placement, actions)


class InnerPolicy(BoundPolicy):
    """A rule that environments run inside their step too, with the numbers of the configuration."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        """Binds a rule of ``REPLICA_RULES``."""
        super().__init__(simulation)
        self._code = REPLICA_RULES.index(name)

    def decide(self, actions: Actions) -> None:
        """Asks the rule."""
        next_actions(self.simulation.states, 0, self._code, 0, actions)


class FillPolicy(BoundPolicy):
    """LRU and LFU fill: the disks are kept full of what is read most."""

    def __init__(self, simulation: Simulation, rule: Fill) -> None:
        """Binds the rule, with a memory of reads for each cluster."""
        super().__init__(simulation)
        self.rule = rule
        self._seen = np.full(simulation.count, -1, np.int64)
        self._reads = np.zeros((simulation.count, simulation.config.datasets))

    def decide(self, actions: Actions) -> None:
        """Copies what is read most, where room is or is made."""
        fill_actions(self.simulation.states, self.rule, self._seen, self._reads, actions)


class ScarlettPolicy(BoundPolicy):
    """Scarlett: periodic plans from the most concurrent readers, within a budget of bytes."""

    def __init__(self, simulation: Simulation, rule: Scarlett) -> None:
        """Binds the rule, with the peaks and the plan of each cluster."""
        super().__init__(simulation)
        self.rule = rule
        count, datasets = simulation.count, simulation.config.datasets
        self._seen = np.full(count, -1, np.int64)
        self._peaks = np.zeros((count, 2, datasets), np.int64)
        self._plans = np.zeros((count, datasets), np.int64)

    def decide(self, actions: Actions) -> None:
        """Moves towards the plan."""
        scarlett_actions(self.simulation.states, self.rule, self._seen, self._peaks, self._plans, actions)


class RelievingPolicy(BoundPolicy):
    """Greedy search by the load of all servers, on a weighed sum of what is measured: load-aware, and the scorer."""

    def __init__(self, env: Any, weights: Mapping[str, float]) -> None:
        """Binds weights of `psgym.envs.cluster.rules.relieving`, by name; those left out are zero."""
        super().__init__(env)
        simulation = self.simulation
        self._weights = np.tile([weights.get(name, 0.0) for name in WEIGHTS], (simulation.count, 1))
        self._known = np.full((simulation.count, simulation.config.datasets), np.nan)

    def decide(self, actions: Actions) -> None:
        """Takes the change that relieves the servers most."""
        extend_relieving(self.simulation.states, self._known, self._weights, actions)


class ForecastPolicy(RelievingPolicy):
    """The same search on forecasts of the demand for each hot dataset, and on heat for the others."""

    def __init__(self, env: Any, weights: Mapping[str, float], forecaster: Forecaster) -> None:
        """Binds the search and a forecaster fitted on demand over its mean; one series for each candidate."""
        super().__init__(env, weights)
        simulation = self.simulation
        count, datasets = simulation.count, simulation.config.datasets
        self._announced = weights["announced"]
        self._forecaster = forecaster.fork()
        self._ahead = max(1, round(AHEAD_SECONDS / simulation.config.slot_seconds))
        self._seen = np.full(count, -1, np.int64)
        self._history = np.zeros((count, HISTORY, datasets))
        self._length = np.zeros(count, np.int64)

    def decide(self, actions: Actions) -> None:
        """Forecasts at the beginning of each slot, then searches."""
        public = np.asarray(self.simulation.states)["public"]
        for index in np.flatnonzero(public["slot"] != self._seen).tolist():
            self._look_ahead(index, public[index])
        super().decide(actions)

    def _look_ahead(self, index: int, public: Any) -> None:
        slot = int(public["slot"])
        if slot < self._seen[index]:
            self._length[index] = 0
        self._seen[index] = slot
        history = self._history[index]
        history[:-1] = history[1:]
        history[-1] = public["datasets"]["demand"] if slot > 0 else public["datasets"]["heat"]
        self._length[index] = length = min(HISTORY, self._length[index] + 1)
        self._known[index] = np.nan
        bandwidth = self.simulation.config.bandwidth_bytes_per_second
        candidates = public["candidate"]
        for dataset in candidates[: len(candidates) - len(candidates) // 2].tolist():
            series = history[HISTORY - length :, dataset] / bandwidth
            mean = self._forecaster.refit(series).predict(self._ahead).mean.mean()
            announced = self._announced * public["datasets"]["announced"][dataset]
            self._known[index, dataset] = max(0.0, float(mean)) * bandwidth + announced


class OraclePolicy(RelievingPolicy):
    """The same search on the true demand of the next five minutes, which no policy can know."""

    def decide(self, actions: Actions) -> None:
        """Reads the future from the scenario."""
        simulation = self.simulation
        ahead = max(1, round(AHEAD_SECONDS / simulation.config.slot_seconds))
        expected_demand(simulation.states, simulation.scenarios, ahead, self._known)
        super().decide(actions)


class FullReplication(BoundPolicy):
    """Every dataset on every server, whatever the disks hold and copies cost: a bound, which no policy can reach.

    It does not act: it changes the clusters at the beginning of their episodes.
    """

    def decide(self, actions: Actions) -> None:
        """Fills all servers once, then commits."""
        replicate_fully(self.simulation.states)
        actions[:] = COMMIT


def search_weights(numbers: Mapping[str, Any]) -> dict[str, float]:
    """The weights of the search on heat, by its numbers.

    Those are its ``target`` and ``fullness``; one ``price`` of additions and drops, of which the weights are
    logarithms; ``memory``, which half-life of heat; and ``announced``, which share of announced reads counts as demand.
    """
    weights = {name: numbers[name] for name in ("announced", "target", "fullness")}
    weights |= dict.fromkeys(("add_price", "drop_price"), math.log(numbers["price"]))
    return weights | {{LONG: "heat", MEDIUM: "heat_medium", SHORT: "heat_short"}[numbers["memory"]]: 1.0}


@functools.cache
def heat_forecaster() -> Forecaster:
    """The forecaster of a dataset's demand that ``benchmarks/tune_replicas.py`` fitted on training days."""
    from psgym.predictors.storage import load_forecaster

    return load_forecaster(CONFIGS / "replica-demand.npz")


_MAKERS: dict[str, Callable[[Simulation, Mapping[str, Any]], BoundPolicy]] = {
    "static": lambda simulation, _: InnerPolicy(simulation, "static"),
    "lru": lambda simulation, numbers: FillPolicy(simulation, Fill(**numbers)),
    "lfu": lambda simulation, numbers: FillPolicy(simulation, Fill(**numbers)),
    "one-threshold": lambda simulation, numbers: ThresholdPolicy(simulation, Thresholds(**numbers)),
    "hot-cold": lambda simulation, _: InnerPolicy(simulation, "hot-cold"),
    "scarlett": lambda simulation, numbers: ScarlettPolicy(simulation, Scarlett(**numbers)),
    "queue-aware": lambda simulation, numbers: ThresholdPolicy(simulation, Thresholds(**numbers)),
    "load-aware": lambda simulation, numbers: RelievingPolicy(simulation, search_weights(numbers)),
    "forecast": lambda simulation, numbers: ForecastPolicy(simulation, search_weights(numbers), heat_forecaster()),
    "oracle": lambda simulation, numbers: OraclePolicy(simulation, search_weights(numbers)),
    "full": lambda simulation, _: FullReplication(simulation),
}

LADDER = ("no-op", *_MAKERS)
"""Names of the rungs, from the bottom up; ``random`` fits every id and is not among them."""
KINDS: dict[str, Kind] = {"oracle": "oracle", "full": "bound"}
"""Rungs that no policy could be: one reads the future, one ignores capacity and the cost of copies."""


@functools.cache
def tuned_numbers() -> dict[str, dict[str, Any]]:
    """The numbers of each rung, by its name."""
    found: dict[str, dict[str, Any]] = json.loads((CONFIGS / "replicas.json").read_text(encoding="utf-8"))["numbers"]
    return found


def make_rung(name: str, simulation: Simulation, numbers: Mapping[str, Any] | None = None) -> BoundPolicy:
    """Build a rung of the ladder; without numbers it has its tuned ones.

    Raises:
        KeyError: If there is no rung of that name.
    """
    maker = _MAKERS[name]
    return maker(simulation, tuned_numbers().get(name, {}) if numbers is None else numbers)
