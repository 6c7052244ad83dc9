"""`train.py forecast`, run as users run it, on a small series."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from psgym.agents.cli import main
from psgym.envs.env import CapacityEnv
from psgym.predictors import load_forecaster


def write_series(path: Path, length: int = 260, broken: str = "") -> Path:
    """Hourly counts with a day of 8 slots, and one broken value if asked for."""
    values = np.random.default_rng(0).poisson(20.0 + 10.0 * np.sin(np.arange(length) * 2 * np.pi / 8)).astype(str)
    if broken:
        values[5] = broken
    start = np.datetime64("2024-01-01T00")
    rows = [f"{start + np.timedelta64(i, 'h')},{value}" for i, value in enumerate(values)]
    path.write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    return path


def test_a_backtest_leaves_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    series = write_series(tmp_path / "counts.csv")
    main(
        ["forecast", "--series", str(series), "--horizon", "12", "--period", "8", "--save", "hybrid.npz", "--out", "o"]
    )
    printed = capsys.readouterr()
    assert "backtest" in printed.err  # the progress bar
    found = json.loads((tmp_path / "o/result.json").read_text())
    names = {"seasonal_naive_8", "seasonal_ewma", "arima", "gru", "hybrid"}
    assert {row["name"] for row in found["scores"]} == names == found["costs"].keys()
    scores = {"mase", "rmse", "smape", "pinball", "coverage_80", "coverage_95"}
    assert all(scores <= row.keys() for row in found["scores"])
    assert {row["horizon"] for row in found["scores"]} == {1, 12, "mean"}
    assert all({"fit_seconds", "update_us"} <= cost.keys() for cost in found["costs"].values())
    tested = {(row["against"], row["horizon"]) for row in found["tests"] if row["name"] == "hybrid"}
    assert tested == {(part, h) for part in ("arima", "gru") for h in (1, 12, "mean")}
    text = (tmp_path / "o/table.md").read_text()
    assert text in printed.out
    assert "p against arima" in text
    assert (tmp_path / "o/forecast.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "o").glob("events.out.tfevents.*"))
    assert load_forecaster("hybrid.npz").horizon == 12
    assert load_forecaster("hybrid.npz").slot_seconds == 3600.0
    env = CapacityEnv(traffic=str(series), forecaster="hybrid.npz", load=0.1)
    env.reset(seed=0)
    public = env.public[0]
    assert public["forecast"][:, 0] == pytest.approx(public["traffic"], rel=0.5)  # in the unit of the environment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--series": "nothing.csv"}, "nothing.csv"),
        ({"--period": "8,x"}, "--period must be whole numbers of slots, joined by commas, not 'x'"),
        ({"--horizon": "0"}, "horizon"),
        ({"--horizon": "60"}, "the test part of 52 slots must be longer than the horizon 60"),
        ({"--series": "broken.csv"}, "broken.csv, line 7, column 'value': 'many' is not a number"),
    ],
)
def test_mistakes_are_one_clear_line(
    changes: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "counts.csv")
    write_series(tmp_path / "broken.csv", broken="many")
    flags = {"--series": "counts.csv", "--period": "8", **changes}
    with pytest.raises(SystemExit) as caught:
        main(["forecast", "--no-progress", *(word for flag in flags.items() for word in flag)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
