"""The command line, run as users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from psgym.agents.interruption import Interrupted
from psgym.agents.priorities import SHIPPED
from psgym.agents.run_folder import CONFIGS
from psgym.predictors import EWMA, load_forecaster, save_forecaster

ROOT = Path(__file__).parents[2]
QUIET = {
    "cluster": {"load": 0.1},
    "algorithm": {"n_steps": 16, "batch_size": 128, "n_epochs": 1},
    "recipe": {"cloning": {"rounds": 2, "decisions": 512, "updates": 4}},
}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_train_then_evaluate(tmp_path: Path) -> None:
    (tmp_path / "quiet.json").write_text(json.dumps(QUIET))
    flags = ("--env", "psgym/Capacity-v0", "--no-progress", "--days", "1")
    small = ("--steps", "512", "--num-envs", "8", "--config", "quiet.json")
    done = run(*flags, *small, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {"result.json", "table.md", "paired.png", "config.json", "model.zip", "checkpoint.zip"} <= names
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert "evaluation/table/text_summary" in events.Tags()["tensors"]
    assert any(tag.startswith("timeline/") for tag in events.Tags()["images"])
    assert "final/total_cost" in events.Tags()["scalars"]
    assert (folder / "table.md").read_text() in done.stdout
    rows = {row["policy"]: row for row in json.loads((folder / "result.json").read_text())["rows"]}
    assert rows["clone-ppo"]["kind"] == "learned"
    again = run("evaluate", *flags, "--model", str(folder / "model.zip"), "--out", "again", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    repeated = {row["policy"]: row for row in json.loads((tmp_path / "again/result.json").read_text())["rows"]}
    assert repeated["clone-ppo"]["metrics"] == rows["clone-ppo"]["metrics"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "--policies", "drf"), "no policy 'drf' for psgym/Cluster-v0"),
        (("compare", "--preset", "smal"), "did you mean 'small'"),
        (("compare", "--traffic", "nothing.csv"), "nothing.csv"),
        (("compare", "--jobs", "nothing.csv"), "nothing.csv: cannot be read: No such file"),
        (("compare", "--jobs", "a.csv", "--traffic", "b.csv"), "give either traffic or jobs"),
        (("compare", "--days", "0"), "days must be at least 1"),
        (("evaluate", "--model", "nothing.zip"), "nothing.zip: no such file"),
        (("train", "--steps", "0"), "steps must be at least 1"),
        (("train", "--config", "nothing.json"), "nothing.json"),
        (("train", "--config", str(SHIPPED)), "must be an object with settings of a training"),
        (("train", "--resume", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_clear_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psgym.agents.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--no-progress"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def recorded_training(arguments: list[str], monkeypatch: pytest.MonkeyPatch, status: int = 143) -> dict[str, Any]:
    """Run the command line up to the training, which a signal seems to stop; return its arguments."""
    from psgym.agents import search, training
    from psgym.agents.cli import main

    seen: dict[str, Any] = {}

    def stop(given: training.Training, folder: Path, progress_bar: bool, resume: bool) -> None:
        seen.update(training=given, folder=folder, resume=resume)
        raise Interrupted("stopped by a signal", status - 128)

    monkeypatch.setattr(training, "train", stop)
    monkeypatch.setattr(search, "train_scorer", stop)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == status
    return seen


def test_flags_win_over_a_file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps({"algo": "a2c", "steps": 77, "seed": 5, "cluster": {"load": 0.1}}))
    found = recorded_training(["train", "--config", "mine.json", "--seed", "6"], monkeypatch)["training"]
    assert (found.algo, found.steps, found.seed, found.cluster) == ("a2c", 77, 6, {"load": 0.1})
    joined = recorded_training(["train", "--config=mine.json", "--seed", "6"], monkeypatch)["training"]
    assert joined == found


def test_a_training_keeps_the_forecaster_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = EWMA(season=(24,), horizon=12).fit(np.arange(60.0) % 7)
    save_forecaster("given.npz", given)
    seen = recorded_training(
        ["train", "--env", "psgym/Capacity-v0", "--forecaster", "given.npz", "--out", "run"], monkeypatch
    )
    kept = Path(seen["training"].forecaster)
    assert kept.parent == seen["folder"]
    np.testing.assert_array_equal(load_forecaster(kept).predict().mean, given.predict().mean)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_configurations_are_found_by_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first = recorded_training(["train", "--config", path.stem], monkeypatch)
    given = json.loads(path.read_text())
    assert {name: getattr(first["training"], name) for name in given} == given
    # What the run keeps is enough to go on with it.
    folder = str(first["folder"])
    assert f"go on with: train.py train --resume {folder}" in capsys.readouterr().out
    again = recorded_training(["train", "--resume", folder], monkeypatch, 130)
    assert again["training"] == first["training"]
    assert again["resume"] is True


@pytest.mark.parametrize("command", ["train", "evaluate", "compare"])
def test_help_explains_every_flag(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from psgym.agents.cli import main

    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--env", "--preset", "--seed", "--traffic", "--traffic-column", "--out", "--no-progress", "--days"):
        assert flag in text
