"""Reading series, and what is said about those that are wrong."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from psgym.predictors import fill_gaps, read_series


def write(path: Path, rows: list[str], header: str = "timestamp,value") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_reads_plain_and_compressed(tmp_path: Path) -> None:
    rows = [f"2020-01-01 0{h}:00:00,{h * 10}" for h in range(6)]
    plain = read_series(write(tmp_path / "a.csv", rows))
    assert plain.values.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert plain.slot_seconds == 3600.0
    assert plain.periods() == (24, 168)
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write((tmp_path / "a.csv").read_text())
    np.testing.assert_array_equal(read_series(tmp_path / "a.csv.gz").values, plain.values)


def test_coarsens_by_summing(tmp_path: Path) -> None:
    series = read_series(write(tmp_path / "a.csv", [f"{300 * i},{i}" for i in range(7)]))
    coarse = series.coarsen(900)
    assert coarse.values.tolist() == [3.0, 12.0]
    assert coarse.slot_seconds == 900.0
    with pytest.raises(ValueError, match="not a multiple"):
        series.coarsen(700)


def test_short_gaps_are_counted_and_filled(tmp_path: Path) -> None:
    rows = [f"{300 * i},{i}" for i in (0, 1, 2, 4, 5)]
    with pytest.warns(UserWarning, match="1 missing slots were interpolated"):
        assert read_series(write(tmp_path / "a.csv", rows)).values.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match=r"a\.csv: gap of 4 slots at y\[3\]"):
        read_series(write(tmp_path / "a.csv", [f"{300 * i},{i}" for i in (0, 1, 2, 7, 8)]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0,1", "300,x"], r"line 3, column 'value': 'x' is not a number"),
        (["0,1", "noon,2"], r"line 3, column 'timestamp': 'noon' is not a time"),
        (["0,1", "300,2", "300,3"], r"line 4, column 'timestamp': times must increase"),
        (["0,1", "300,2", "600,3", "1000,3"], r"line 5, column 'timestamp': not on the grid of 300 s"),
        (["0,1"], "at least two rows"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_series(write(tmp_path / "a.csv", rows))


def test_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["0,1,2", "60,3,4"], "timestamp,jobs,gpus")
    assert read_series(path, "gpus").values.tolist() == [2.0, 4.0]
    with pytest.raises(ValueError, match="no column 'value', found"):
        read_series(path)
    with pytest.raises(ValueError, match="no column 'when'"):
        read_series(path, time="when")


def test_gaps_at_an_end_are_errors() -> None:
    with pytest.raises(ValueError, match=r"gap of 1 slots at y\[0\]"):
        fill_gaps([np.nan, 1.0, 2.0])
    np.testing.assert_array_equal(fill_gaps([1.0, 2.0]), [1.0, 2.0])


@pytest.mark.skipif("PSGYM_TRACES" not in os.environ, reason="PSGYM_TRACES does not name the folder of traces")
def test_a_real_trace() -> None:
    series = read_series(Path(os.environ["PSGYM_TRACES"]) / "forecast" / "wikipedia_1h_2018_2019.csv.gz")
    assert len(series.values) == 17520
    assert series.periods() == (24, 168)
