"""Trained models as candidates of a comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from psgym.agents.candidates import Candidate
from psgym.agents.models import LearnedPolicy, ModelError, load_model, read_description
from psgym.agents.sb3 import ClusterVecEnv
from psgym.agents.scorer import Scorer, ScorerPolicy, read_scorer
from psgym.agents.shipped import load_policy, shipped_about
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.settings import make_config
from psgym.envs.views import VIEWS

SHIPPED = "shipped"
"""Name, in a comparison, of the policy that comes with the package."""


def learned_candidate(path: Path, view_id: str, preset: str | None = None) -> tuple[Candidate, ClusterConfig | None]:
    """Load a model for a comparison.

    Returns:
        The candidate, and the configuration of the cluster if the model was trained on one without a name.

    Raises:
        ModelError: If the file is no model of psgym, or the model was trained on another environment or layout.
    """
    description = read_description(path)
    if description.env != view_id:
        raise ModelError(f"{path}: trained on {description.env}; give --env {description.env}")
    config = make_config(VIEWS[view_id].preset, preset or description.preset, None, description.changes)
    model, _ = load_model(path, ClusterVecEnv(1, view_id, config=config))
    changes = {name: getattr(config, name) for name in ("observation", "initial", "placement")}
    forecaster = path.parent / description.forecaster
    if description.forecaster and not forecaster.is_file():
        raise ModelError(f"{path}: trained with a forecaster, which is missing beside it: {forecaster}")
    given = {**changes, "forecaster": forecaster} if description.forecaster else changes
    candidate = Candidate(description.algo, lambda env: LearnedPolicy(model, env), "learned", changes=given)
    named = make_config(VIEWS[view_id].preset, preset or description.preset, None, changes)
    return candidate, None if named == config else config


def learned_candidates(paths: Sequence[Path], view_id: str, preset: str | None = None) -> list[Candidate]:
    """Load models for a comparison; those that differ in their training seed alone are one policy.

    Raises:
        ModelError: If a file is no model of psgym, or was trained on another environment or layout.
    """
    recipes: dict[str, list[Candidate]] = {}
    for path in paths:
        if path.suffix == ".json":
            scorer = read_scorer(path)
            if scorer.env != view_id:
                raise ModelError(f"{path}: trained on {scorer.env}; give --env {scorer.env}")
            recipes.setdefault(_recipe_of(scorer), []).append(_scorer_candidate(scorer))
            continue
        description = read_description(path)
        recipe = {**asdict(description), "seed": None, "psgym": None, "progress": None}
        if description.progress:  # a recipe takes as many decisions as the policy that it trains makes
            recipe["steps"] = None
        found, _ = learned_candidate(path, view_id, preset)
        recipes.setdefault(json.dumps(recipe, sort_keys=True, default=str), []).append(found)
    candidates: list[Candidate] = []
    for alike in recipes.values():
        taken = sum(one.name.split("#")[0] == alike[0].name for one in candidates)
        name = f"{alike[0].name}#{taken + 1}" if taken else alike[0].name
        candidates.append(replace(alike[0], name=name, more=tuple(one.make for one in alike[1:])))
    return candidates


def trained_config(path: Path, view_id: str, preset: str | None = None) -> ClusterConfig | None:
    """Return the configuration of the cluster that a policy was trained on, or None if that has a name.

    A scorer fits clusters of every size, so that a preset that is asked for is taken as it is.

    Raises:
        ModelError: If the file is no model of psgym, or the model was trained on another environment or layout.
    """
    if path.suffix != ".json":
        return learned_candidate(path, view_id, preset)[1]
    trained = read_scorer(path).trained
    cluster = None if preset else trained.get("cluster")
    return make_config(VIEWS[view_id].preset, trained.get("preset"), None, cluster) if cluster else None


def _recipe_of(scorer: Scorer) -> str:
    trained = {name: value for name, value in scorer.trained.items() if name not in ("seed", "validation")}
    return json.dumps([scorer.beside, dict(scorer.changes), trained], sort_keys=True)


def _scorer_candidate(scorer: Scorer) -> Candidate:
    name = str(scorer.trained.get("algo", "scorer"))
    return Candidate(name, lambda env: ScorerPolicy(env, scorer), "learned", changes=dict(scorer.changes))


def shipped_candidate(view_id: str) -> Candidate:
    """Return the policy that is shipped for an id, as ``shipped``.

    Raises:
        PolicyError: If none is.
    """
    changes = {**shipped_about(view_id).changes, "observation": "flat"}
    return Candidate(SHIPPED, lambda env: load_policy(view_id, env), "learned", changes=changes)
