"""Speed of the native SB3 adapter against SB3's own vector environments, as a learner drives them.

python benchmarks/sb3_vec_env.py

Every step asks for the masks of all copies and takes a random legal action in each, as the rollout of MaskablePPO does.
Reported is wall time, since ``SubprocVecEnv`` works in other processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tyro
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import psgym
from psgym.agents.sb3 import ClusterVecEnv
from psgym.envs import VIEWS

REPEATS = 3
SECONDS = 1.0

assert psgym.__version__


def rate(envs: VecEnv, seconds: float) -> float:
    """Decisions per second over all copies."""
    rng = np.random.default_rng(0)
    envs.reset()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        masks = get_action_masks(envs)
        envs.step(np.argmax(rng.random(masks.shape, dtype=np.float32) * masks, axis=-1))
        steps += 1
    return steps * envs.num_envs / (time.perf_counter() - began)


def main(ids: tuple[str, ...] = tuple(VIEWS), numbers: tuple[int, ...] = (8, 64, 256)) -> None:
    """Prints a table of the given ids and numbers of copies."""
    print("| id | copies | ClusterVecEnv | DummyVecEnv | SubprocVecEnv | over Dummy | over Subproc |")
    print("|---|---|---|---|---|---|---|")
    for view_id in ids:
        for copies in numbers:
            makers: dict[str, Callable[[], Any]] = {
                "native": partial(ClusterVecEnv, copies, view_id),
                "dummy": partial(make_vec_env, view_id, copies, seed=0, vec_env_cls=DummyVecEnv),
            }
            if copies == 8:  # more processes than that would tell of the machine alone
                makers["subproc"] = partial(make_vec_env, view_id, copies, seed=0, vec_env_cls=SubprocVecEnv)
            rates: dict[str, list[float]] = {name: [] for name in makers}
            built = {name: make() for name, make in makers.items()}
            for envs in built.values():
                rate(envs, 0.1)
            for _ in range(REPEATS):  # in turn, so that other work on the machine falls on all alike
                for name, envs in built.items():
                    rates[name].append(rate(envs, SECONDS))
            for envs in built.values():
                envs.close()
            median = {name: float(np.median(values)) for name, values in rates.items()}
            subproc = f"{median['subproc']:,.0f} |" if "subproc" in median else "|"
            over = f"{median['native'] / median['subproc']:.1f}" if "subproc" in median else ""
            print(
                f"| `{view_id}` | {copies} | {median['native']:,.0f} | {median['dummy']:,.0f} | {subproc} "
                f"{median['native'] / median['dummy']:.1f} | {over} |"
            )


if __name__ == "__main__":
    tyro.cli(main)
