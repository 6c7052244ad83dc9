"""The comparison: paired, repeatable, with the schema that others read, above its lower bound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from psgym.agents.benchmark import compare
from psgym.agents.candidates import Candidate
from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.policies import PolicyError, make_policy
from psgym.agents.report import table, write_report
from psgym.agents.result import Result
from psgym.agents.seeds import RANGE, episode_seeds

ID = "psgym/Allocation-v0"
QUIET = {"load": 0.1}
"""Few jobs: a day has little more than its commits."""


def small(seed: int = 1) -> Result:
    return compare(ID, policies=["drf", "random"], days=3, seed=seed, config=QUIET, validation_days=1)


@pytest.fixture(scope="module")
def result() -> Result:
    return small()


def test_the_file_has_its_schema(result: Result, tmp_path: Path) -> None:
    paths = write_report(result, tmp_path)
    assert {path.name for path in paths} == {"result.json", "table.md", "paired.png", "completion.png"}
    assert all(path.stat().st_size > 0 for path in paths)
    found = json.loads((tmp_path / "result.json").read_text())
    assert {"env", "preset", "seed", "days", "distinct_days", "reference", "primary", "rows"} <= found.keys()
    assert (found["env"], found["preset"], found["days"], found["distinct_days"]) == (ID, "custom", 3, 3)
    assert found["primary"] == "mean_completion_seconds"
    for row in found["rows"]:
        assert {"policy", "kind", "metrics", "paired", "seconds_per_decision"} <= row.keys()
        assert row["kind"] in ("heuristic", "learned", "oracle", "bound")
        for estimate in row["metrics"].values():
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]
        for difference in row["paired"].values():
            assert {"difference", "low", "high", "percent"} <= difference.keys()
    rows = {row["policy"]: row for row in found["rows"]}
    assert rows[found["reference"]]["paired"] == {}
    assert rows["lower-bound"]["kind"] == "bound"
    wanted = {"mean_completion_seconds", "p99_completion_seconds", "stall_share", "node_hours", "bytes_moved"}
    assert wanted | {"load_max_over_mean", "total_cost", "jobs_unfinished"} <= rows["drf"]["metrics"].keys()


def test_rows_are_ordered_by_the_primary_metric(result: Result) -> None:
    means = [row.metrics[result.primary].mean for row in result.rows if row.kind != "bound"]
    assert means == sorted(means)
    assert result.rows[-1].kind == "bound"


def test_no_winner_is_named_below_ten_days(result: Result) -> None:
    verdicts = [row.verdict for row in result.rows if row.verdict]
    assert len(verdicts) == 2
    assert all(verdict.winner is None and "3 distinct days" in verdict.reason for verdict in verdicts)
    assert "no winner" in table(result)


def test_the_same_seed_gives_the_same_numbers(result: Result) -> None:
    def numbers(found: Result) -> str:
        return json.dumps([{**row, "seconds_per_decision": None} for row in found.as_json()["rows"]])

    assert numbers(small()) == numbers(result)
    assert numbers(small(2)) != numbers(result)


def test_a_single_day_has_no_interval(tmp_path: Path) -> None:
    found = compare(ID, policies=["do-nothing"], days=1, config=QUIET, validation_days=1)
    write_report(found, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["rows"][0]["metrics"]["total_cost"]["low"] is None


def test_parts_have_different_seeds() -> None:
    parts = [episode_seeds(part, 7, 1000) for part in ("train", "validation", "test")]
    assert len({seed for part in parts for seed in part}) == 3000
    assert [min(part) // RANGE for part in parts] == [max(part) // RANGE for part in parts] == [0, 1, 2]
    assert episode_seeds("test", 7, 10) == episode_seeds("test", 7, 10) != episode_seeds("test", 8, 10)


def test_every_policy_lives_through_the_same_days() -> None:
    days = make_days(ID, "validation", 0, 2, config=QUIET)
    runs = [run_policy(days, lambda env, name=name: make_policy(name, env, ID)) for name in ("drf", "random")]
    np.testing.assert_array_equal(runs[0].day, runs[1].day)
    np.testing.assert_array_equal(runs[0].metrics["jobs_arrived"], runs[1].metrics["jobs_arrived"])
    assert (runs[0].metrics["mean_completion_seconds"] != runs[1].metrics["mean_completion_seconds"]).all()


def test_nothing_undercuts_the_lower_bound() -> None:
    days = make_days("psgym/Cluster-v0", "validation", 0, 3, "uncontended")
    bound = days.bound()
    for name in ("static+hot-cold+srpt-optimus", "reactive+no-op+hesrpt", "random"):
        run = run_policy(days, lambda env, name=name: make_policy(name, env, "psgym/Cluster-v0"))
        for metric, least in bound.items():
            assert (run.metrics[metric] > least).all(), (name, metric)


def test_the_bound_is_near_where_jobs_are_alone() -> None:
    # Hardly any load, and nothing that slows a job: a policy that tries all increments comes close to the bound.
    changes = {"load": 0.02, "batch_jobs": 1.0, "hidden_coefficients": False, "spread_cost": False}
    changes |= {"colocation_cost": False, "storage_stalls": False, "node_failures": False, "server_failures": False}
    days = make_days(ID, "validation", 0, 8, config=changes)
    run = run_policy(days, lambda env: make_policy("srpt-optimus", env, ID))
    reached = run.metrics["mean_completion_seconds"].mean() / days.bound()["mean_completion_seconds"].mean()
    assert 1.0 < reached < 1.5


def test_learned_policies_need_training_seeds_for_a_claim() -> None:
    candidate = Candidate("model", lambda env: make_policy("do-nothing", env, ID), "learned")
    found = compare(ID, policies=["srpt-optimus"], days=12, config=QUIET, validation_days=1, learned=[candidate])
    verdict = next(row.verdict for row in found.rows if row.policy == "model")
    assert verdict is not None
    assert verdict.winner is None
    assert "training seeds" in verdict.reason


def test_mistakes_are_explained() -> None:
    with pytest.raises(PolicyError, match="did you mean 'drf-stop'"):
        compare(ID, policies=["drf-stpo"])
    with pytest.raises(ValueError, match="days must be at least 1"):
        compare(ID, policies=["drf"], days=0)
    twin = Candidate("drf", lambda env: make_policy("drf", env, ID), "learned")
    with pytest.raises(ValueError, match="drf is there twice"):
        compare(ID, policies=["drf"], learned=[twin])
