"""The scorer: it sees where tasks sit, a search can go on, its files are plain and are one policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.interruption import Interrupted
from psgym.agents.learned import learned_candidates, trained_config
from psgym.agents.models import ModelError
from psgym.agents.policies import PolicyError
from psgym.agents.scorer import Scorer, ScorerPolicy, is_scorer, read_scorer, start_weights, write_scorer
from psgym.agents.search import Search, Searcher, train_scorer
from psgym.agents.training import Training
from psgym.envs import ClusterVectorEnv
from psgym.envs.cluster.rules.priority import WEIGHTS
from psgym.envs.presets import PRESETS

ALLOCATION, CLUSTER = "psgym/Allocation-v0", "psgym/Cluster-v0"
SHORT = {"iterations": 2, "population": 4, "days": 1, "validation_days": 1}
START = dict(zip(WEIGHTS, start_weights(PRESETS["contended"]).tolist(), strict=True))


def training(view_id: str = ALLOCATION, seed: int = 0) -> Training:
    teacher = "priority" if view_id == ALLOCATION else "forecast+hot-cold+priority"
    return Training(
        view_id, "cem-scorer", seed=seed, cluster={"load": 0.1}, recipe={"teacher": teacher, "search": SHORT}
    )


def test_a_preference_for_its_own_nodes_spreads_jobs_less() -> None:
    nodes = {}
    for within in (0.0, 3.0):
        env = ClusterVectorEnv(4, ALLOCATION, preset="contended", initial="empty")
        observations, _ = env.reset(seed=3)
        policy = ScorerPolicy(env, Scorer(ALLOCATION, {**START, "within": within}))
        held = []
        for _ in range(2000):
            observations, *_, infos = env.step(policy.predict(observations)[0])
            if infos["slots_elapsed"][0]:
                jobs = env.public["jobs"][0]
                placed = [
                    set(row[:count]) for row, count in zip(jobs["last_worker_node"], jobs["last_workers"], strict=True)
                ]
                held += [len(one) for one in placed if one]
        nodes[within] = np.mean(held)
    assert nodes[3.0] < nodes[0.0]


def test_days_at_once_are_nearly_those_of_single_decisions() -> None:
    searcher = Searcher(CLUSTER, {"preset": "small"}, "forecast+hot-cold", Search(**SHORT), 0)
    weights = {**START, "within": 1.5, "spread": 1.0}
    days = replace(
        make_days(CLUSTER, "train", 0, 3), config=replace(make_days(CLUSTER, "train", 0, 1).config, initial="empty")
    )
    scorer = Scorer(CLUSTER, weights, "forecast+hot-cold")
    single = run_policy(days, lambda env: ScorerPolicy(env, scorer)).metrics["total_cost"]
    at_once = searcher.costs(days, scorer.array[None])[0]
    np.testing.assert_allclose(at_once, single, rtol=0.15)


@pytest.mark.parametrize("view_id", [ALLOCATION, CLUSTER])
def test_a_search_is_repeatable_and_goes_on(view_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_scorer(training(view_id), tmp_path / "whole")
    found = read_scorer(whole)
    assert found.changes == {"initial": "empty"}
    assert found.trained["cluster"] == {"load": 0.1}
    config = trained_config(whole, view_id)
    assert config is not None
    assert config.load == 0.1
    assert found.beside == ("" if view_id == ALLOCATION else "forecast+hot-cold")
    assert (found.trained["algo"], found.trained["seed"]) == ("cem-scorer", 0)
    assert list((tmp_path / "whole" / "tensorboard").iterdir())

    run = Searcher.run_iteration

    def stop_after(searcher: Searcher) -> dict[str, float]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)
        return run(searcher)

    monkeypatch.setattr(Searcher, "run_iteration", stop_after)
    with pytest.raises(Interrupted, match="after 1 iterations"):
        train_scorer(training(view_id), tmp_path / "parts")
    monkeypatch.undo()
    assert read_scorer(train_scorer(training(view_id), tmp_path / "parts", resume=True)) == found


def test_files_that_differ_in_their_seed_are_one_policy(tmp_path: Path) -> None:
    for seed in range(6):
        write_scorer(tmp_path / f"{seed}.json", Scorer(ALLOCATION, START, trained={"algo": "cem-scorer", "seed": seed}))
    (one,) = learned_candidates(sorted(tmp_path.glob("*.json")), ALLOCATION)
    assert (one.name, one.kind, len(one.more)) == ("cem-scorer", "learned", 5)
    with pytest.raises(ModelError, match="trained on psgym/Allocation-v0; give --env"):
        learned_candidates([tmp_path / "0.json"], CLUSTER)


def test_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "scorer.json"
    write_scorer(path, Scorer(ALLOCATION, START))
    assert is_scorer(path)
    assert read_scorer(path) == Scorer(ALLOCATION, START)
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "weights": {**START, "gain": None}}))
    with pytest.raises(PolicyError, match=r"scorer\.json: weights: gain must be a finite number, not None"):
        read_scorer(path)
    path.write_text("{}")
    assert not is_scorer(path)
    with pytest.raises(PolicyError, match="not a file of a scorer"):
        read_scorer(path)
    with pytest.raises(ValueError, match="weights must be gain, remaining"):
        Scorer(ALLOCATION, {"gain": 1.0})
    with pytest.raises(ValueError, match="changes: load is no field that a scorer needs"):
        Scorer(ALLOCATION, START, changes={"load": 0.1})
    with pytest.raises(ValueError, match="changes: hot_threshold is no field"):
        Scorer(ALLOCATION, START, changes={"hot_threshold": 0.1})  # there it is the environment that reads it
    with pytest.raises(PolicyError, match="must be nothing, not 'forecast'"):
        Scorer(ALLOCATION, START, "forecast")
    with pytest.raises(PolicyError, match=r"must be \(static\|reactive\|forecast\)\+"):
        Scorer(CLUSTER, START, "forecast")
    with pytest.raises(PolicyError, match="is not the agent's in psgym/Capacity-v0"):
        Scorer("psgym/Capacity-v0", START)
    with pytest.raises(ValueError, match="search: population must be at least 4"):
        Search(population=2)
