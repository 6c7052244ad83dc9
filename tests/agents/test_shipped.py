"""The policies that come with the package: small, safe, and at home on clusters of any size."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import psgym
from psgym.agents.learned import shipped_candidate
from psgym.agents.networks.layout import layout_of
from psgym.agents.networks.weights import WeightsError, read_weights
from psgym.agents.policies import PolicyError
from psgym.agents.scorer import Scorer, ScorerPolicy
from psgym.agents.shipped import WEIGHTS, load_policy, shipped_about
from psgym.envs import VIEWS
from psgym.envs.cluster.features import observation_size
from psgym.envs.presets import preset

NETWORKS = tuple(view_id for view_id in VIEWS if (WEIGHTS / f"{view_id.split('/')[1]}.npz").exists())
SCORERS = tuple(view_id for view_id in VIEWS if (WEIGHTS / f"{view_id.split('/')[1]}.json").exists())
SHIPPED = tuple(dict.fromkeys(NETWORKS + SCORERS))


def test_something_is_shipped() -> None:
    assert set(SCORERS) == set(VIEWS)


@pytest.mark.parametrize("view_id", SCORERS)
def test_a_shipped_scorer_decides_in_its_environment(view_id: str) -> None:
    about = shipped_about(view_id)
    assert isinstance(about, Scorer)
    assert (about.env, about.trained["algo"]) == (view_id, "cem-scorer")
    env = gym.make(view_id, **about.changes)
    policy = psgym.load_policy(view_id, env)
    assert isinstance(policy, ScorerPolicy)
    observation, info = env.reset(seed=0)
    for _ in range(50):
        action, _ = policy.predict(observation)
        assert info["action_mask"][action]
        observation, _, _, _, info = env.step(action)
    if view_id not in NETWORKS:
        with pytest.raises(PolicyError, match="give `env`"):
            load_policy(view_id)


@pytest.mark.parametrize("view_id", NETWORKS)
def test_weights_are_small_and_tell_how_they_were_trained(view_id: str) -> None:
    path = WEIGHTS / f"{view_id.split('/')[1]}.npz"
    assert path.stat().st_size < 2_000_000
    with zipfile.ZipFile(path) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())
    about, _ = read_weights(path)
    assert about.env == view_id
    assert {"algo", "preset", "seed", "steps", "recipe"} <= about.trained.keys()


@pytest.mark.parametrize("view_id", NETWORKS)
def test_a_shipped_network_decides_in_single_environments(view_id: str) -> None:
    about, _ = read_weights(WEIGHTS / f"{view_id.split('/')[1]}.npz")
    env = gym.make(view_id, **about.changes)
    policy = psgym.load_policy(view_id)
    observation, info = env.reset(seed=0)
    for _ in range(50):
        action, _ = policy.predict(observation, action_masks=info["action_mask"])
        assert info["action_mask"][action]
        observation, _, _, _, info = env.step(action)


@pytest.mark.parametrize("view_id", NETWORKS)
def test_a_shipped_network_fits_clusters_of_other_sizes(view_id: str) -> None:
    rng = np.random.default_rng(0)
    for name in ("storage", "large", "dl2"):
        layout = layout_of(preset(name), view_id)
        seen = rng.random((3, observation_size(preset(name))), dtype=np.float32)
        masks = rng.random((3, layout.actions)) < 0.5
        masks[:, 0] = True
        actions, _ = load_policy(view_id, preset=name).predict(seen, action_masks=masks)
        assert masks[np.arange(3), actions].all()


@pytest.mark.parametrize("view_id", SHIPPED)
def test_a_comparison_can_name_it(view_id: str) -> None:
    candidate = shipped_candidate(view_id)
    assert (candidate.name, candidate.kind) == ("shipped", "learned")
    assert candidate.changes == {**shipped_about(view_id).changes, "observation": "flat"}


def test_other_layouts_and_ids_are_refused() -> None:
    with pytest.raises(PolicyError, match="no environment 'psgym/Allocation-v1'"):
        load_policy("psgym/Allocation-v1")
    with pytest.raises(WeightsError, match="but the environment is another"):
        load_policy(SHIPPED[0], gym.make(next(view_id for view_id in VIEWS if view_id != SHIPPED[0])))


def test_importing_psgym_loads_no_torch(tmp_path: Path) -> None:
    code = "import sys, psgym; assert not {'torch', 'psgym.agents'} & set(sys.modules); psgym.load_policy"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("view_id", SCORERS)
def test_a_scorer_needs_no_torch(view_id: str) -> None:
    program = (
        "import sys; sys.modules['torch'] = None;"
        "import gymnasium as gym, psgym; from psgym.agents import shipped_about;"
        f"name = {view_id!r}; env = gym.make(name, **shipped_about(name).changes);"
        "policy = psgym.load_policy(name, env); observation, _ = env.reset(seed=0); policy.predict(observation)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
