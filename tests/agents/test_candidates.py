"""What may be compared, what validation days choose, other prices, the timeline, and what TensorBoard gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psgym.agents.benchmark import compare
from psgym.agents.candidates import Candidate, Choice, heuristic_candidates
from psgym.agents.composition import find_composition
from psgym.agents.evaluation import make_days, run_policy, stack_runs
from psgym.agents.policies import PolicyError, make_policy
from psgym.agents.priorities import STICKY, write_priorities
from psgym.agents.report import table, write_report
from psgym.agents.result import Result, Row

ALLOCATION, CLUSTER = "psgym/Allocation-v0", "psgym/Cluster-v0"
QUIET = {"load": 0.1}


def row_of(result: Result, name: str) -> Row:
    return next(row for row in result.rows if row.policy == name)


@pytest.fixture(scope="module")
def prices() -> Result:
    names = ["reactive+hot-cold+drf", "static+no-op+drf"]
    return compare(CLUSTER, policies=names, days=4, config=QUIET, validation_days=1, tune=True, timelines=True)


def test_other_prices_are_weighed_from_the_terms_of_the_cost(prices: Result) -> None:
    assert {(one.price, one.factor) for one in prices.sensitivity} >= {("nodes", 0.5), ("nodes", 2.0), ("copies", 2.0)}
    days = make_days(CLUSTER, "test", 0, 4, config=QUIET)
    run = run_policy(days, lambda env: make_policy("static+no-op+drf", env, CLUSTER))
    np.testing.assert_allclose(sum(run.costs.values()), run.metrics["total_cost"])
    dear = next(one for one in prices.sensitivity if (one.price, one.factor) == ("nodes", 2.0))
    assert dear.reference == "reactive+hot-cold+drf", "dear nodes ask for a rule that switches them off"
    assert dear.differences["static+no-op+drf"].low > 0
    assert "| nodes x 2 | reactive+hot-cold+drf" in table(prices)


def test_validation_days_choose_the_settings_of_rules(prices: Result) -> None:
    row = row_of(prices, "reactive+hot-cold+drf")
    assert row.choice is not None
    assert "reactive_headroom" in row.choice
    assert row.validation_episodes == 2 * 4 * 6  # initial plans, headrooms, thresholds x ratios
    assert row_of(prices, "static+no-op+drf").choice is None


def test_the_timeline_is_the_day_that_was_compared(prices: Result, tmp_path: Path) -> None:
    assert prices.timelines[0].policy == prices.reference
    one = prices.timelines[0]
    jobs, slots = one.workers.shape
    assert (len(one.hours), len(one.traffic), one.forecast.shape) == (slots, slots, (slots, 3))
    assert jobs == run_days(prices)["jobs_arrived"][0]
    assert one.unfinished[-1] == 0  # drained
    assert (one.nodes_ready <= one.nodes_on).all()
    assert not (one.waiting & (one.workers > 0)).any()
    paths = write_report(prices, tmp_path)
    assert sum(path.name.startswith("timeline-") for path in paths) == 2
    assert all(path.stat().st_size > 0 for path in paths)
    found = json.loads((tmp_path / "result.json").read_text())
    assert {"price", "factor", "reference", "differences"} == found["sensitivity"][0].keys()
    assert {"training_seeds", "choice", "validation_episodes", "interquartile_mean"} <= found["rows"][0].keys()
    assert "timelines" not in found


def run_days(result: Result) -> Any:
    days = make_days(CLUSTER, "test", result.seed, result.days, config=QUIET)
    return run_policy(days, lambda env: make_policy("static+no-op+drf", env, CLUSTER)).metrics


def test_models_of_one_recipe_are_one_row_and_an_oracle_claims_nothing() -> None:
    def make(env: Any) -> Any:
        return make_policy("srpt-optimus", env, ALLOCATION)

    learned = Candidate("recipe", make, "learned", more=(make,) * 5)
    oracle = Candidate("sees-all", make, "oracle")
    found = compare(ALLOCATION, policies=["drf"], days=12, config=QUIET, validation_days=1, learned=[learned, oracle])
    assert row_of(found, "recipe").training_seeds == 6
    assert row_of(found, "recipe").paired[found.primary].candidate_seeds in (1, 6)
    assert found.reference in ("drf", "priority")
    assert np.shape(row_of(found, "recipe").episodes) == (6, len(found.episode_days))
    row = row_of(found, "drf")
    assert np.mean(row.episodes) == pytest.approx(row.metrics[found.primary].mean)
    assert row_of(found, "sees-all").verdict is None
    assert row_of(found, "sees-all").adjusted_p_value is None
    assert "ORACLE" in table(found)
    row = row_of(found, "recipe")
    assert row.interquartile_mean[found.primary].low <= row.interquartile_mean[found.primary].mean
    assert row.metrics["median_completion_seconds"].mean < row.metrics["p99_completion_seconds"].mean


def test_runs_of_several_seeds_stand_side_by_side() -> None:
    days = make_days(ALLOCATION, "validation", 0, 2, config=QUIET)
    runs = [run_policy(days, lambda env, name=name: make_policy(name, env, ALLOCATION)) for name in ("drf", "fifo")]
    both = stack_runs(runs)
    assert both.metrics["mean_completion_seconds"].shape == (2, 2)
    np.testing.assert_array_equal(both.metrics["restarts"][1], runs[1].metrics["restarts"])


def test_code_and_files_of_parameters_are_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_policy.py").write_text(
        "from psgym.agents.policies import make_policy\n"
        "def make(env):\n    return make_policy('fifo', env, 'psgym/Allocation-v0')\n"
    )
    write_priorities(tmp_path / "mine.json", {"contended": STICKY})
    monkeypatch.chdir(tmp_path)
    names = ["own_policy:make", "mine.json", "fifo"]
    found = compare(ALLOCATION, policies=names, days=2, config={**QUIET, "initial": "empty"}, validation_days=1)
    metrics = {row.policy: row.metrics for row in found.rows}
    assert {"own_policy:make", "mine"} <= metrics.keys()
    with pytest.raises(PolicyError, match="no_such_module"):
        heuristic_candidates(ALLOCATION, ["no_such_module:make"])
    with pytest.raises(PolicyError, match="own_policy:makes"):
        heuristic_candidates(ALLOCATION, ["own_policy:makes"])
    with pytest.raises(PolicyError, match="policy for psgym/Allocation-v0 only"):
        heuristic_candidates(CLUSTER, ["mine.json"])


def test_a_composition_is_never_worse_than_where_its_search_began() -> None:
    days = make_days("psgym/Capacity-v0", "validation", 0, 2, config=QUIET)
    found, episodes = find_composition(days)
    (choice,) = found.choices
    best = run_policy(days, found.make, **choice.changes).metrics["total_cost"].mean()
    start = run_policy(days, lambda env: make_policy("forecast", env, days.view_id)).metrics["total_cost"].mean()
    assert best <= start
    assert episodes == 2 * (1 + 1 + 4 + 4)  # the reference, static, and two rules with four headrooms
    assert choice.label.startswith(("static", "reactive", "forecast"))


def test_choices_are_made_on_validation_days() -> None:
    # The better form on validation days is kept, whatever test days would say.
    forms = (Choice("slow", make=lambda env: make_policy("do-nothing", env, ALLOCATION)), Choice("srpt"))
    candidate = Candidate("either", lambda env: make_policy("srpt-optimus", env, ALLOCATION), choices=forms)
    found = compare(
        ALLOCATION, policies=["drf"], days=2, config={**QUIET, "initial": "empty"}, validation_days=1,
        learned=[candidate],
    )  # fmt: skip
    assert row_of(found, "either").choice == "srpt"


def test_tensorboard_gets_table_figures_and_hyperparameters(prices: Result, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    from psgym.agents.board import log_hyperparameters, log_result, log_timeline

    writer = SummaryWriter(str(tmp_path))
    log_result(writer, prices, 5)
    log_timeline(writer, prices.timelines[0], 5)
    log_hyperparameters(writer, {"gamma": 0.98, "net": [64, 64]}, prices, "static+no-op+drf")
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert "evaluation/table/text_summary" in tags["tensors"]
    assert {"evaluation/paired", f"timeline/{prices.reference}"} <= set(tags["images"])
    assert "evaluation/total_cost/static+no-op+drf" in tags["scalars"]
    assert "final/total_cost" in tags["scalars"]
