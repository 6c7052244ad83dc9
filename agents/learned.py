"""Trained models as candidates of a comparison."""

from __future__ import annotations

from pathlib import Path

from psgym.agents.benchmark import Candidate
from psgym.agents.models import LearnedPolicy, ModelError, load_model, read_description
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.settings import make_config
from psgym.envs.views import VIEWS


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
    candidate = Candidate(description.algo, lambda env: LearnedPolicy(model, env), "learned", changes=changes)
    named = make_config(VIEWS[view_id].preset, preset or description.preset, None, {})
    return candidate, None if named == config else config
