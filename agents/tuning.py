"""Tunes the priority rule by the cross-entropy method: sample parameters, keep the best, sample near them again.

Every sample of an iteration runs the same fresh training days, so samples are compared in pairs; validation days, which
no iteration has seen, choose among the centres that the search went through. Nothing here ever sees a test day.

The method is Rubinstein's ("The cross-entropy method for combinatorial and continuous optimization", Methodology and
Computing in Applied Probability 1999). An extra spread that fades keeps the search from freezing (Szita and Lorincz,
"Learning Tetris using the noisy cross-entropy method", Neural Computation 2006).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.evaluation import Days
from psgym.agents.files import write_atomically
from psgym.agents.priorities import STICKY, PrioritySet, write_priorities
from psgym.agents.search import ELITE_SHARE, EXTRA_SPREAD, SMOOTHING, Search, Searcher
from psgym.envs.cluster.rules.priority import PARAMETERS, WEIGHTS
from psgym.envs.views import ALLOCATION

Array = NDArray[np.float64]

SPREAD = (0.5, 0.4, 0.5, 0.3, 0.3, 0.7, 0.7, 0.1, 0.3, 0.3)
"""Standard deviation of the first samples around the sticky rule, by parameter."""


@dataclass(frozen=True)
class Tuning:
    """What to tune on, and how long."""

    preset: str = "contended"
    """Configuration of the cluster."""
    initial: str = "empty"
    """How plans start."""
    iterations: int = 25
    """Iterations of the search."""
    population: int = 32
    """Samples of an iteration."""
    days: int = 16
    """Fresh training days of an iteration."""
    validation_days: int = 40
    """Days that choose among the centres."""
    seed: int = 0
    """Seed of days and samples."""


def tune(
    tuning: Tuning,
    folder: Path,
    report: Callable[[str], None] = lambda message: None,
    traffic: str | None = None,
    traffic_column: str | None = None,
    jobs: str | None = None,
) -> PrioritySet:
    """Run the search and write ``priority.json``; a folder that holds an unfinished search of the same kind goes on.

    Args:
        tuning: What to tune on, and how long.
        folder: Where ``search.json`` (after each iteration) and ``priority.json`` (at the end) are written.
        report: Called with a message after each iteration and after the choice.
        traffic: CSV file of counts; synthetic traffic if None.
        traffic_column: Column of the file.
        jobs: File of jobs that arrive instead of synthetic ones.

    Raises:
        ValueError: If the folder holds a search with other settings.
    """
    search = _load(folder / "search.json", tuning)
    given = {"preset": tuning.preset, "initial": tuning.initial, "traffic": traffic}
    given |= {"traffic_column": traffic_column, "jobs": jobs}
    budget = Search(tuning.iterations, tuning.population, tuning.days, tuning.validation_days)
    searcher = Searcher(ALLOCATION.id, given, "", budget, tuning.seed)
    for iteration in range(len(search["centres"]) - 1, tuning.iterations):
        report(_iterate(search, searcher, tuning, iteration))
        write_atomically(folder / "search.json", lambda path: path.write_text(json.dumps(search, indent=1)))
    chosen, scores = _choose(search["centres"], searcher)
    report(f"validation {scores.min():.0f} s")
    found = PrioritySet(
        parameters=dict(zip(PARAMETERS, (round(float(value), 4) for value in chosen), strict=True)),
        initial=tuning.initial,
        tuned={
            **asdict(tuning),
            "validation_seconds": round(float(scores.min()), 1),
            "sticky_seconds": round(float(scores[0]), 1),
        },
    )
    write_priorities(folder / "priority.json", {tuning.preset: found})
    return found


def _load(path: Path, tuning: Tuning) -> dict[str, Any]:
    if not path.exists():
        start = [STICKY.parameters[name] for name in PARAMETERS]
        return {"tuning": asdict(tuning), "centres": [start], "spread": list(SPREAD), "best": []}
    search: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if search["tuning"] != asdict(tuning):
        differ = [name for name, value in asdict(tuning).items() if search["tuning"].get(name) != value]
        raise ValueError(f"{path}: a search with another {', '.join(differ)}; give another folder")
    return search


def _iterate(search: dict[str, Any], searcher: Searcher, tuning: Tuning, iteration: int) -> str:
    """Sample around the centre, run the days, and move the centre to the best samples."""
    generator = np.random.default_rng([tuning.seed, iteration])
    centre, spread = np.array(search["centres"][-1]), np.array(search["spread"])
    samples = centre + spread * generator.standard_normal((tuning.population, len(PARAMETERS)))
    samples[0] = centre
    scores = _mean_completion(searcher, searcher.training_days(iteration), samples)
    elite = samples[np.argsort(scores, kind="stable")[: round(ELITE_SHARE * tuning.population)]]
    extra = EXTRA_SPREAD * np.array(SPREAD) * max(0.0, 1.0 - (iteration + 1) / tuning.iterations)
    search["centres"].append((centre + SMOOTHING * (elite.mean(axis=0) - centre)).tolist())
    search["spread"] = (spread + SMOOTHING * (elite.std(axis=0) + extra - spread)).tolist()
    search["best"].append(float(scores.min()))
    return f"centre {scores[0]:.0f} s, best {scores.min():.0f} s"


def _choose(centres: Sequence[Sequence[float]], searcher: Searcher) -> tuple[Array, Array]:
    """Return the best of the start and the later half of all centres on validation days, and the scores of those."""
    later = centres[1:][len(centres) // 2 - 1 :] if len(centres) > 2 else centres[1:]
    candidates = np.array([centres[0], *later])
    scores = _mean_completion(searcher, searcher.validation_days(), candidates)
    return candidates[int(scores.argmin())], scores


def _mean_completion(searcher: Searcher, days: Days, parameters: Array) -> Array:
    """Return the mean completion time of each row of parameters (s), the further weights at zero."""
    weights = np.pad(parameters, ((0, 0), (0, len(WEIGHTS) - len(PARAMETERS))))
    return searcher.costs(days, weights).mean(axis=1)
