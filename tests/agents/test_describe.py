"""``train.py describe``: what it says of traces whose character is known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from psgym.agents.cli import main
from psgym.agents.describe import describe, draw, seasonality, text_of
from psgym.envs.traces import TraceError

FOLDER = os.environ.get("PSGYM_TRACES")
DATA = Path(FOLDER or ".")
real = pytest.mark.skipif(not (DATA / "jobs").is_dir(), reason="PSGYM_TRACES does not name the folder of the traces")


def counts_file(folder: Path, values: np.ndarray) -> Path:
    stamps = np.datetime64("2024-01-01T00:00:00") + 300 * np.arange(len(values)).astype("timedelta64[s]")
    rows = "\n".join(f"{stamp},{value:g}" for stamp, value in zip(stamps, values, strict=True))
    (folder / "counts.csv").write_text(f"timestamp,value\n{rows}\n")
    return folder / "counts.csv"


def jobs_file(folder: Path, seconds: np.ndarray, group: str = "a") -> Path:
    rows = "\n".join(f"{second:.3f},100,1,{group}" for second in seconds)
    (folder / "jobs.csv").write_text(f"arrival,duration,workers,group\n{rows}\n")
    return folder / "jobs.csv"


def number_after(text: str, words: str) -> float:
    return float(text.split(words)[1].split()[0])


def test_a_daily_season_is_found(tmp_path: Path) -> None:
    hours = np.arange(7 * 288) / 12
    values = 100 + 60 * np.sin(2 * np.pi * hours / 24)
    described = describe(counts_file(tmp_path, values))
    day = seasonality(described)["day"]
    assert number_after(day, "explains") > 99
    assert number_after(day, "amplitude") == pytest.approx(1.2, abs=0.02)
    assert number_after(day, "autocorrelation") > 0.99
    assert seasonality(described)["week"].startswith("too short")
    noise = describe(counts_file(tmp_path, np.random.default_rng(0).poisson(100, 7 * 288).astype(float)))
    assert number_after(seasonality(noise)["day"], "explains") < 30


def test_poisson_arrivals_and_batches_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    single = np.sort(rng.uniform(0, 3 * 86_400, 3000))
    text = text_of(describe(jobs_file(tmp_path, single, "a")), "jobs.csv")
    assert number_after(text, "variation") == pytest.approx(1.0, abs=0.1)
    assert number_after(text, "counts             variance") == pytest.approx(1.0, abs=0.15)
    batched = np.sort((np.sort(rng.uniform(0, 3 * 86_400, 300))[:, None] + np.arange(10)).ravel())
    text = text_of(describe(jobs_file(tmp_path, batched)), "jobs.csv")
    assert number_after(text, "variation") > 2
    assert number_after(text, "counts             variance") > 7
    assert "100 % in batches of 5 or more" in text


def test_accesses(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "timestamp,object\n" + "".join(f"{k},{'a' if k % 4 else 'b'}\n" for k in range(900))
    )
    text = text_of(describe(tmp_path / "log.csv"), "log.csv")
    assert "accesses           900" in text
    assert "objects            2; 1 % of them take 75 % of the accesses" in text


def test_a_named_column_of_words_is_one_of_objects(tmp_path: Path) -> None:
    rows = "".join(f"{300 * k},{k},{'' if k < 3 else f'model-{k % 5}'}\n" for k in range(900))
    (tmp_path / "log.csv").write_text("timestamp,value,model\n" + rows)
    described = describe(tmp_path / "log.csv", "model")
    assert described.kind == "accesses"
    assert described.facts["objects"].startswith("5;")


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = jobs_file(tmp_path, np.arange(0, 3 * 86_400, 60.0))
    main(["describe", str(path), "--out", str(tmp_path / "out")])
    assert "jobs (generic), 3.0 days" in capsys.readouterr().out
    assert (tmp_path / "out" / "jobs.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match=r"train\.py: .*nothing\.csv: cannot be read"):
        main(["describe", str(tmp_path / "nothing.csv")])
    path.write_text("arrival,duration\n1,x\n")
    with pytest.raises(SystemExit, match=r"train\.py: .*jobs\.csv:2:duration: 'x' is not a duration in seconds"):
        main(["describe", str(path)])


def test_a_short_trace_is_drawn_too(tmp_path: Path) -> None:
    described = describe(jobs_file(tmp_path, np.array([0.0, 10.0, 20.0])))
    assert "too short" in text_of(described, "x")
    draw(described, "x").canvas.draw()
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(TraceError, match=r"empty\.csv"):
        describe(tmp_path / "empty.csv")


@real
def test_the_real_jobs_come_in_batches() -> None:
    text = text_of(describe(DATA / "jobs" / "philly_jobs_2017Oct03_Nov19.csv.gz"), "philly")
    assert "jobs               60,782" in text
    assert number_after(text, "variation") == pytest.approx(2.4, abs=0.05)
    assert "1: 94.0 %" in text
