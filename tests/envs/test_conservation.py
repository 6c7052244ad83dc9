"""Nothing is lost and nothing appears from nowhere, whatever is decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psgym.envs.vector import ClusterVectorEnv
from psgym.envs.views import VIEWS
from tests.envs.conservation import check_everything
from tests.envs.trajectories import BUSY

SOUND = {"node_failures": False, "server_failures": False, "load": 1.5, "placement": "agent"}
FAULTS: dict[str, dict[str, Any]] = {"failures": BUSY, "sound": SOUND}


def random_actions(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each cluster COMMIT (one in twelve), any action of the space (one in twenty), or a legal one."""
    count, actions = masks.shape
    preference = rng.random(masks.shape) * masks
    preference[:, 0] = 1e-9
    chosen = preference.argmax(1)
    draw = rng.random(count)
    chosen[draw < 1 / 20] = rng.integers(actions, size=count)[draw < 1 / 20]
    chosen[draw > 1 - 1 / 12] = 0
    return chosen


def live_forever(env: ClusterVectorEnv, steps: int, every: int, seed: int) -> dict[str, int]:
    """Steps a batch at random and checks it; returns how often what happened."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    sound = not env.config.server_failures
    seen = {"slots": 0, "refused": 0, "ends": 0, "jobs": 0}
    for step in range(steps):
        live = env.public["datasets"]["live"].copy()
        _, rewards, terminated, truncated, infos = env.step(random_actions(env.action_masks(), rng))
        within_slot = infos["slots_elapsed"] == 0
        over = terminated | truncated
        begun = env.public["slot"] == 0
        last_lost = (live > 0) & (env.public["datasets"]["live"] == 0)
        assert not last_lost[within_slot & ~begun].any(), "a decision dropped the last live copy"
        assert not (sound and (env.public["datasets"]["live"] < 1).any()), "a rule dropped the last copy"
        assert np.allclose(sum(infos["reward_terms"].values()), rewards, rtol=1e-12, atol=0)
        assert not rewards[within_slot].any()
        seen["slots"] += int((~within_slot).sum())
        seen["refused"] += int(infos["refused"].sum())
        seen["ends"] += int(over.sum())
        seen["jobs"] += int(infos["jobs_finished"][over].sum())
        if step % every == 0 or over.any():
            check_everything(env)
    return seen


def make(view_id: str, faults: str, count: int) -> ClusterVectorEnv:
    view = VIEWS[view_id]
    changes = dict(FAULTS[faults])
    if view.preset == "storage":
        changes.pop("load")
    return ClusterVectorEnv(count, view, **changes)


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("view_id", VIEWS)
def test_everything_is_conserved(view_id: str, faults: str) -> None:
    seen = live_forever(make(view_id, faults, 16), steps=3200, every=10, seed=11)
    assert seen["slots"] > 1000
    assert seen["refused"] > 500
    assert seen["ends"] > 0 or view_id == "psgym/Replicas-v0"
    assert seen["jobs"] > 0 or view_id == "psgym/Replicas-v0"


@pytest.mark.slow
@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("view_id", VIEWS)
def test_everything_is_conserved_over_ten_million_decisions(view_id: str, faults: str) -> None:
    seen = live_forever(make(view_id, faults, 128), steps=10_000, every=40, seed=12)
    assert seen["ends"] > 100
