"""Gymnasium's and SB3's own checkers on every id; a new id is tested by being registered."""

from __future__ import annotations

import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import psgym

IDS = tuple(name for name in gym.registry if name.startswith("psgym/"))


def test_every_id_is_registered() -> None:
    psgym.register()  # a second time changes nothing
    assert set(IDS) == {"psgym/Capacity-v0", "psgym/Replicas-v0", "psgym/Allocation-v0", "psgym/Cluster-v0"}


@pytest.mark.parametrize("observation", ["flat", "structured"])
@pytest.mark.parametrize("name", IDS)
def test_gymnasium_finds_nothing_to_warn_of(name: str, observation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")  # check_env draws in every mode, and there may be no display
    env = gym.make(name, preset="small", observation=observation).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


@pytest.mark.parametrize("name", IDS)
def test_sb3_finds_nothing_to_warn_of(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env_for_sb3(gym.make(name, preset="small"))
