"""Learns the weights of a scorer by the cross-entropy method, on the same days for every member of a population.

The search starts where the scorer is the best rule known of its part, and moves all weights at once towards the best
quarter of each population in what the reward counts, over drained training days that no iteration sees twice; at the
end, validation days choose among the start, the last centres and their mean. The method is Rubinstein's
(Methodology and Computing in Applied Probability 1999), with extra spread that fades (Szita and Lorincz, Neural
Computation 2006).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.evaluation import Days, make_days
from psgym.agents.files import write_atomically
from psgym.agents.interruption import Interrupted, StopSignals
from psgym.agents.policies import REFERENCES
from psgym.agents.scorer import Scorer, needed_fields, rule_codes, write_scorer
from psgym.agents.scores import score_of
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.decide import next_actions
from psgym.envs.cluster.records import TERMS
from psgym.envs.settings import make_config
from psgym.envs.vector import ClusterVectorEnv
from psgym.envs.views import VIEWS

if TYPE_CHECKING:
    from psgym.agents.training import Training

Array = NDArray[np.float64]

SCORER = "cem-scorer"
"""Name of the algorithm."""
STATE, MODEL = "search.json", "scorer.json"
"""Where a training's folder keeps the unfinished search, and what was learned."""

ELITE_SHARE = 0.25
SMOOTHING = 0.7
"""Weight of an iteration's elite in the next centre and spread."""
EXTRA_SPREAD = 0.3
"""Extra spread of the first iteration, as a share of the first spread; it falls to 0 by the last."""
LOADS = ("traffic", "traffic_column", "jobs", "accesses", "accesses_column")
"""Arguments of environments that say what load they bear."""
LAST = 4
"""Centres at the end of the search among which, and their mean, validation days choose."""


@dataclass(frozen=True)
class Search:
    """How long to search."""

    iterations: int = 16
    population: int = 32
    days: int = 9
    """Fresh training days of an iteration, the same for every member."""
    validation_days: int = 40
    """Days that choose among the start and the last centres."""
    only: tuple[str, ...] = ()
    """Names of the weights that move, such as those that the rule at the start has itself; all if empty."""

    def __post_init__(self) -> None:
        for name in ("iterations", "days", "validation_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"search: {name} must be at least 1, not {getattr(self, name)!r}")
        if self.population < 4:
            raise ValueError(f"search: population must be at least 4, not {self.population!r}")


class Searcher:
    """Runs the search, and can go on from any iteration of it."""

    def __init__(self, view_id: str, arguments: Mapping[str, Any], beside: str, search: Search, seed: int) -> None:
        """Takes what to learn on.

        Args:
            view_id: Id of the environment.
            arguments: Arguments of the environments: preset, traffic, fields of the configuration.
            beside: Rules of the parts that the score does not decide; those of the id's reference if empty.
            search: How long to search.
            seed: Seed of days and samples.
        """
        self._view, self.search, self._seed = view_id, search, seed
        self._score = score_of(view_id)
        self.beside = beside or beside_of(REFERENCES[view_id])
        self._codes = rule_codes(view_id, self.beside)
        fields = vars(ClusterConfig())
        given = {name: one for name, one in arguments.items() if name in fields}
        needed = needed_fields(view_id)
        if "initial" in needed:
            given.setdefault("initial", "empty")
        self.changes = {name: one for name, one in given.items() if name in needed}
        self.cluster = {name: one for name, one in given.items() if name not in needed}
        config = make_config(VIEWS[view_id].preset, arguments.get("preset"), None, given)
        self._given: dict[str, Any] = {**{name: arguments.get(name) for name in LOADS}, "config": config}
        names = self._score.weights
        if unknown := sorted(set(search.only) - set(names)):
            raise ValueError(f"search: only: no weight {unknown[0]!r}; there are {', '.join(names)}")
        self._moves = np.array([not search.only or name in search.only for name in names])
        self._spread = np.array([self._score.spreads[name] for name in names]) * self._moves
        self.state: dict[str, Any] = {"centres": [self._score.start(config).tolist()], "spread": self._spread.tolist()}

    @property
    def done(self) -> int:
        """Iterations that are done."""
        return len(self.state["centres"]) - 1

    def training_days(self, number: int) -> Days:
        """Return the days of an iteration, which no other sees."""
        search = self.search
        fresh = make_days(self._view, "train", self._seed, search.iterations * search.days, **self._given)
        return replace(fresh, seeds=fresh.seeds[number * search.days : (number + 1) * search.days])

    def validation_days(self) -> Days:
        """Return the days that choose."""
        return make_days(self._view, "validation", self._seed, self.search.validation_days, **self._given)

    def costs(self, days: Days, rows: Array) -> Array:
        """Return what each row of weights makes of each day, `objective_of` the id, shape ``(rows, days)``."""
        members, count = len(rows), len(days.seeds)
        env = replace(days, seeds=list(days.seeds) * members).make()
        env.reset(seed=list(days.seeds) * members)
        weights = np.repeat(rows, count, axis=0)
        codes = np.zeros((len(weights), env.config.max_decisions_per_slot + 1), np.int64)
        commit, over = np.zeros(len(weights), np.int64), np.zeros(len(weights), np.bool_)
        infos: Mapping[str, Any] = {}
        while not over.all():
            if self.beside:
                self._decide_beside(env, over.copy())
            self._score.plan(env.simulation.states, weights, codes)
            _, _, terminated, truncated, infos = env.step(commit)
            over = terminated | truncated
        return np.asarray(infos[objective_of(self._view)]).reshape(members, count)

    def _decide_beside(self, env: ClusterVectorEnv, content: NDArray[np.bool_]) -> None:
        """Let the rules beside the scorer decide until they are content in every cluster; those already so rest."""
        actions = np.zeros(env.num_envs, np.int64)
        while True:
            next_actions(env.simulation.states, *self._codes, 0, actions)
            content |= actions == 0
            if content.all():
                return
            actions[content] = -1
            env.simulation.step(actions)

    def run_iteration(self) -> dict[str, float]:
        """Draw members around the centre, and move it to the best of them.

        Returns:
            Mean cost of the ``centre`` and of the ``elite``, and the ``spread`` over that of the first iteration.
        """
        search, number = self.search, self.done
        centre, spread = np.array(self.state["centres"][-1]), np.array(self.state["spread"])
        generator = np.random.default_rng([self._seed, number])
        members = centre + spread * generator.standard_normal((search.population, len(centre)))
        members[0] = centre
        costs = self.costs(self.training_days(number), members)
        order = np.argsort((costs / costs.mean(axis=0)).mean(axis=1), kind="stable")
        elite = order[: max(2, round(ELITE_SHARE * search.population))]
        extra = EXTRA_SPREAD * self._spread * max(0.0, 1.0 - (number + 1) / search.iterations)
        self.state["centres"].append((centre + SMOOTHING * (members[elite].mean(axis=0) - centre)).tolist())
        moved = spread + SMOOTHING * (np.hypot(members[elite].std(axis=0), extra) - spread)
        self.state["spread"] = moved.tolist()
        return {
            "centre": float(costs[0].mean()),
            "elite": float(costs[elite].mean()),
            "spread": float((moved[self._moves] / self._spread[self._moves]).mean()),
        }

    def finish(self) -> tuple[Scorer, dict[str, float]]:
        """Choose by validation days; return the scorer, and what the choice found."""
        centres, search = np.array(self.state["centres"]), self.search
        last = centres[1:][-LAST:]
        candidates = np.array([centres[0], *last, last.mean(axis=0)])
        costs = self.costs(self.validation_days(), candidates)
        best = int(costs.mean(axis=1).argmin())
        gain = costs[best] - costs[0]
        start = float(costs[0].mean())
        found = {
            "start": start,
            "chosen": float(costs[best].mean()),
            "gain_percent": 100.0 * float(gain.mean()) / start,
            "gain_error_percent": 100.0 * float(gain.std(ddof=1)) / math.sqrt(len(gain)) / start
            if len(gain) > 1
            else 0.0,
        }
        chosen = zip(self._score.weights, candidates[best], strict=True)
        weights = {name: float(f"{value:.5g}") for name, value in chosen}
        trained = {"seed": self._seed, **asdict(search), "validation": {k: round(v, 2) for k, v in found.items()}}
        if not search.only:
            del trained["only"]
        trained |= {"cluster": self.cluster} if self.cluster else {}
        return Scorer(self._view, weights, self.beside, self.changes, trained), found

    def save(self, path: Path) -> None:
        """Write where the search stands, at once or not at all."""
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(self.state), encoding="utf-8"))

    def load(self, path: Path) -> None:
        """Go on from where a search stood.

        Raises:
            ValueError: If the file holds none.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            shapes = {np.shape(found["centres"])[1:], np.shape(found["spread"])}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a search: {error}") from None
        names = self._score.weights
        if shapes != {(len(names),)}:
            raise ValueError(f"{path}: a search of other weights than {', '.join(names)}")
        self.state = found


Report = Callable[[str, int, dict[str, float]], bool]
"""Told of each finished piece of work: the stage's name, the iterations that are done, and what was measured; returns
whether to go on."""


def learn_scorer(searcher: Searcher, state: Path, report: Report) -> Scorer | None:
    """Run what is left of a search, which is kept in a file after each iteration; None if `report` asks to stop."""
    while searcher.done < searcher.search.iterations:
        measured = searcher.run_iteration()
        searcher.save(state)
        if not report("search", searcher.done, measured):
            return None
    scorer, measured = searcher.finish()
    report("choice", searcher.done, measured)
    return scorer


def train_scorer(training: Training, folder: Path, progress_bar: bool = False, resume: bool = False) -> Path:
    """Learn a scorer as a training says, and return its file.

    Args:
        training: What to learn on.
        folder: Where to write.
        progress_bar: Show one.
        resume: Go on with the unfinished search of the folder, if it has one.

    Raises:
        ValueError: If the recipe has an unknown field or a value out of range.
        Interrupted: If a signal stopped the search after an iteration.
    """
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    try:
        search = Search(**training.recipe.get("search", {}))
    except TypeError as error:
        raise ValueError(f"recipe: search: {error}") from None
    teacher = str(training.recipe.get("teacher", ""))
    searcher = Searcher(training.env, training.env_arguments(), beside_of(teacher), search, training.seed)
    if resume and (folder / STATE).exists():
        searcher.load(folder / STATE)
    with (
        StopSignals() as signals,
        SummaryWriter(str(folder / "tensorboard")) as writer,
        tqdm(total=search.iterations + 1, disable=not progress_bar, desc=training.algo) as bar,
    ):

        def report(stage: str, done: int, measured: dict[str, float]) -> bool:
            bar.set_postfix_str(f"{stage} " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()))
            bar.update(done - bar.n if stage == "search" else 1)
            for name, value in measured.items():
                writer.add_scalar(f"{stage}/{name}", value, done)
            return signals.received is None

        scorer = learn_scorer(searcher, folder / STATE, report)
    if scorer is None:
        message = f"stopped by a signal after {searcher.done} iterations; the search is {folder / STATE}"
        raise Interrupted(message, signals.received or 0)
    name = f"{training.algo} of {len(search.only)} weights" if search.only else training.algo
    trained = {"algo": name, "preset": training.preset, **scorer.trained}
    write_scorer(folder / MODEL, replace(scorer, trained=trained))
    return folder / MODEL


def objective_of(view_id: str) -> str:
    """The metric that the search makes small: what the reward counts.

    That is the primary metric, except that ``psgym/Replicas-v0`` pays for more than the stall by which it is compared.
    """
    view = VIEWS[view_id]
    return "total_cost" if view.rewarded == TERMS else view.primary


def beside_of(teacher: str) -> str:
    """The rules beside the last part in a composed name: ``forecast+hot-cold`` of ``forecast+hot-cold+priority``."""
    return "+".join(teacher.split("+")[:-1])
