"""The scorer: it starts at a rule, a search can go on, its files are plain and are one policy."""

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
from psgym.agents.policies import REFERENCES, PolicyError, make_policy
from psgym.agents.scorer import Scorer, ScorerPolicy, is_scorer, read_scorer, write_scorer
from psgym.agents.scores import SCORES, score_of
from psgym.agents.search import Search, Searcher, train_scorer
from psgym.agents.training import Training
from psgym.envs import ClusterVectorEnv
from psgym.envs.presets import PRESETS

ALLOCATION, CLUSTER = "psgym/Allocation-v0", "psgym/Cluster-v0"
REPLICAS, CAPACITY = "psgym/Replicas-v0", "psgym/Capacity-v0"
SHORT = {"iterations": 2, "population": 4, "days": 1, "validation_days": 1}


def start(view_id: str, preset: str = "contended") -> dict[str, float]:
    score = score_of(view_id)
    return dict(zip(score.weights, score.start(PRESETS[preset]).tolist(), strict=True))


START = start(ALLOCATION)


def training(view_id: str = ALLOCATION, seed: int = 0) -> Training:
    teacher = "forecast+hot-cold+priority" if view_id == CLUSTER else REFERENCES[view_id]
    recipe = {"teacher": teacher, "search": SHORT}
    return Training(view_id, "cem-scorer", "small", seed=seed, cluster={"load": 0.1}, recipe=recipe)


def test_every_weight_has_a_spread_and_a_start() -> None:
    for score in SCORES:
        assert set(score.spreads) == set(score.weights)
        assert all(spread > 0.0 for spread in score.spreads.values())
        assert score.start(PRESETS["small"]).shape == (len(score.weights),)


@pytest.mark.parametrize("view_id", [REPLICAS, CAPACITY])
def test_a_search_starts_at_the_best_rule(view_id: str) -> None:
    env = ClusterVectorEnv(4, view_id, preset="small", placement="agent")
    observations, _ = env.reset(seed=3)
    rule = make_policy(REFERENCES[view_id], env, view_id)
    point = ScorerPolicy(env, Scorer(view_id, start(view_id)))
    moved = 0
    for _ in range(600):
        actions, _ = rule.predict(observations)
        np.testing.assert_array_equal(point.predict(observations)[0], actions)
        observations, *_ = env.step(actions)
        moved += int((actions > 0).sum())
    assert moved > 50


@pytest.mark.parametrize("view_id", [REPLICAS, CAPACITY])
def test_days_at_once_are_those_of_single_decisions(view_id: str) -> None:
    weights = {name: value + 0.3 * score_of(view_id).spreads[name] for name, value in start(view_id).items()}
    days, scorer = make_days(view_id, "train", 0, 3, "small"), Scorer(view_id, weights)
    single = run_policy(days, lambda env: ScorerPolicy(env, scorer)).metrics["total_cost"]
    searcher = Searcher(view_id, {"preset": "small"}, "", Search(**SHORT), 0)
    np.testing.assert_allclose(searcher.costs(days, scorer.array[None])[0], single, rtol=1e-12)


@pytest.mark.parametrize(
    ("view_id", "changes", "metric"),
    [
        (REPLICAS, {"transfer": 50.0}, "bytes_moved"),
        (REPLICAS, {"add_price": 20.0}, "copies_added"),
        (CAPACITY, {"constant": -3.0}, "node_hours"),
    ],
)
def test_weights_do_what_their_names_say(view_id: str, changes: dict[str, float], metric: str) -> None:
    found = []
    for weights in (start(view_id), start(view_id) | changes):
        scorer = Scorer(view_id, weights)
        days = make_days(view_id, "train", 0, 3, "small")
        found.append(run_policy(days, lambda env, scorer=scorer: ScorerPolicy(env, scorer)).metrics[metric].mean())
    assert found[1] < 0.98 * found[0]


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


def test_days_of_allocations_at_once_are_nearly_those_of_single_decisions() -> None:
    searcher = Searcher(CLUSTER, {"preset": "small"}, "forecast+hot-cold", Search(**SHORT), 0)
    weights = {**START, "within": 1.5, "spread": 1.0}
    days = replace(
        make_days(CLUSTER, "train", 0, 3), config=replace(make_days(CLUSTER, "train", 0, 1).config, initial="empty")
    )
    scorer = Scorer(CLUSTER, weights, "forecast+hot-cold")
    single = run_policy(days, lambda env: ScorerPolicy(env, scorer)).metrics["total_cost"]
    at_once = searcher.costs(days, scorer.array[None])[0]
    np.testing.assert_allclose(at_once, single, rtol=0.15)


@pytest.mark.parametrize("view_id", [ALLOCATION, CLUSTER, REPLICAS])
def test_a_search_is_repeatable_and_goes_on(view_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_scorer(training(view_id), tmp_path / "whole")
    found = read_scorer(whole)
    assert found.changes == ({} if view_id == REPLICAS else {"initial": "empty"})
    assert found.trained["cluster"] == {"load": 0.1}
    config = trained_config(whole, view_id)
    assert config is not None
    assert config.load == 0.1
    assert trained_config(whole, view_id, "large") is None  # it fits every cluster
    assert found.beside == ("forecast+hot-cold" if view_id == CLUSTER else "")
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


def test_a_search_may_hold_weights_where_they_are() -> None:
    searcher = Searcher(REPLICAS, {"preset": "small"}, "", Search(**SHORT, only=("target", "fullness")), 0)
    measured = searcher.run_iteration()
    before, after = np.array(searcher.state["centres"])
    moved = {name for name, held in zip(score_of(REPLICAS).weights, before == after, strict=True) if not held}
    assert moved == {"target", "fullness"}
    assert np.isfinite(list(measured.values())).all()
    with pytest.raises(ValueError, match="search: only: no weight 'heat_shrt'; there are demand, heat_short"):
        Searcher(REPLICAS, {}, "", Search(only=("heat_shrt",)), 0)


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
    with pytest.raises(ValueError, match="weights must be planned, requested"):
        Scorer(CAPACITY, START)
    with pytest.raises(ValueError, match="changes: initial is no field"):
        Scorer(CAPACITY, start(CAPACITY), changes={"initial": "empty"})  # there the environment allocates
    with pytest.raises(ValueError, match="search: population must be at least 4"):
        Search(population=2)
