"""Cloning reaches its teacher, its parts can be resumed, and evolution never chooses worse than its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psgym.agents.cloning import Cloner, Cloning
from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.evolution import Basis, Evolution, Evolver
from psgym.agents.networks.entities import Critic, EntityNetwork, Heads
from psgym.agents.networks.layout import layout_of
from psgym.agents.networks.player import NetworkPolicy
from psgym.agents.policies import make_policy
from psgym.agents.recipe import Recipe
from psgym.agents.sb3 import ClusterVecEnv

ID = "psgym/Allocation-v0"
TEACHER = "srpt-optimus"


def clone(rounds: int, **settings: int) -> tuple[Cloner, EntityNetwork, Critic]:
    envs = ClusterVecEnv(32, ID, preset="small", spread=True)
    envs.seed(0)
    envs.reset()
    torch.manual_seed(0)
    network = EntityNetwork(layout_of(envs.vector.config, ID), 32)
    critic = Critic(network.pooled, 32)
    teacher = make_policy(TEACHER, envs, ID)
    cloner = Cloner(network, critic, envs, teacher, Cloning(rounds=rounds, **settings), 0)
    for number in range(rounds):
        cloner.run_round(number)
    return cloner, network, critic


def test_a_short_run_reaches_95_percent_of_its_teachers_return() -> None:
    cloner, network, critic = clone(6, decisions=8000, updates=150, batch_size=256)
    days = make_days(ID, "test", 0, 6, "small")
    own = run_policy(days, lambda env: NetworkPolicy(network, env)).metrics["mean_completion_seconds"]
    teacher = run_policy(days, lambda env: make_policy(TEACHER, env, ID)).metrics["mean_completion_seconds"]
    random = run_policy(days, lambda env: make_policy("do-nothing", env, ID)).metrics["mean_completion_seconds"]
    # The return is minus the summed completion times.
    assert own.sum() <= teacher.sum() / 0.95
    assert random.sum() > teacher.sum() / 0.9
    assert cloner.fit_critic(24, 0.98) > 0
    assert critic.mean < 0


def test_cloning_follows_its_seed() -> None:
    first, again = (clone(2, decisions=640, updates=3, batch_size=64)[1].state_dict() for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)


def test_a_unit_step_moves_logits_by_about_one() -> None:
    layout = layout_of(make_days(ID, "train", 0, 1, "small").config, ID)
    torch.manual_seed(0)
    heads = Heads(layout, 8)
    mixed = torch.randn(8, 8)
    hidden = {"context": torch.randn(500, 8) @ mixed + 3.0, "jobs": torch.randn(500, 16, 8) @ mixed - 1.0}
    basis = Basis(heads, hidden, 4)
    assert basis.size == (1 + 1 + 3) * 5
    before = heads(hidden)
    for place in (0, 5, 14):
        steps = np.zeros((1, basis.size))
        steps[0, place] = 1.0
        moved = {name: tensor[0] for name, tensor in basis.parameters(steps).items()}
        change = torch.func.functional_call(heads, moved, (hidden,)) - before
        changed = change[:, change.abs().sum(0) > 1e-3]
        torch.testing.assert_close(changed.square().mean().sqrt(), torch.tensor(1.0), rtol=0.05, atol=0.0)
    unmoved = {name: tensor[0] for name, tensor in basis.parameters(np.zeros((1, basis.size))).items()}
    torch.testing.assert_close(torch.func.functional_call(heads, unmoved, (hidden,)), before)


def test_evolution_compares_on_the_same_days_and_keeps_its_start() -> None:
    view_id = "psgym/Capacity-v0"
    network = EntityNetwork(layout_of(make_days(view_id, "train", 0, 1).config, view_id), 16)
    settings = Evolution(iterations=1, population=4, days=2, directions=2, validation_days=2)
    evolver = Evolver(network, view_id, {"preset": "small"}, settings, 0)
    twice = evolver.returns(np.zeros((2, len(evolver.search.centre))), "train", [1, 2])
    np.testing.assert_array_equal(twice[0], twice[1])
    evolver.run_iteration(0)
    found = evolver.finish()
    assert found["chosen"] >= found["start"]


def test_recipes_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown field 'teachr'"):
        Recipe.from_mapping({"teachr": "fifo"}, "clone")
    with pytest.raises(ValueError, match="cloning: rounds must be at least 1"):
        Recipe.from_mapping({"cloning": {"rounds": 0}}, "clone")
    with pytest.raises(ValueError, match="unexpected keyword argument 'members'"):
        Recipe.from_mapping({"evolution": {"members": 2}}, "clone-cem")
