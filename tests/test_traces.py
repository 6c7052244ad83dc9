"""Traffic files: what is read, how it becomes load per slot, and which error each defect gives."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import zstandard

from psgym.envs.traces import TraceError, TraceWarning, Traffic, read_traffic

START = datetime(2024, 3, 1)


def stamp(minutes: float) -> str:
    return str(START + timedelta(minutes=minutes))


def csv_text(values: Sequence[object], minutes: float = 5, header: str = "timestamp,value") -> str:
    rows = [f"{stamp(k * minutes)},{value}" for k, value in enumerate(values)]
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "trace.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


Write = Callable[[str | bytes], Path]


# --- from counts to load ---------------------------------------------------------------------------------------------


def test_load_is_relative_to_the_mean_of_the_training_part(write: Write) -> None:
    traffic = read_traffic(write(csv_text([1, 2, 3, 2, 2, 2, 4, 5, 1, 30])))
    np.testing.assert_allclose(traffic.values, np.array([1, 2, 3, 2, 2, 2, 4, 5, 1, 6]) / 2)
    assert (traffic.mean_count, traffic.clipped, traffic.interpolated, traffic.native_seconds) == (2.0, 1, 0, 300)


def test_minutes_are_summed(write: Write) -> None:
    counts = np.random.default_rng(0).poisson(7, 600)
    traffic = read_traffic(write(csv_text(counts.tolist(), minutes=1)))
    np.testing.assert_allclose(traffic.values * traffic.mean_count, counts.reshape(-1, 5).sum(1), rtol=1e-15)


def test_hours_are_divided_evenly(write: Write) -> None:
    counts = np.random.default_rng(0).poisson(700, 48)
    traffic = read_traffic(write(csv_text(counts.tolist(), minutes=60)))
    np.testing.assert_allclose(traffic.values * traffic.mean_count, np.repeat(counts, 12) / 12, rtol=1e-11)


def test_an_interval_on_the_border_of_two_slots_is_split(write: Write) -> None:
    traffic = read_traffic(write(csv_text([6, 12, 6, 12, 6, 12, 6, 12, 6, 12], minutes=10)), slot_seconds=900)
    np.testing.assert_allclose(traffic.values * traffic.mean_count, [12, 12, 15, 15, 12, 12])


def test_slots_that_are_covered_in_part_are_left_out(write: Write) -> None:
    rows = [f"{stamp(2 + k)},{k + 1}" for k in range(31)]  # 00:02 up to and including 00:32
    traffic = read_traffic(write("timestamp,value\n" + "\n".join(rows)))
    assert traffic.start == "2024-03-01T00:05:00+00:00"
    np.testing.assert_allclose(traffic.values * traffic.mean_count, [30, 55, 80, 105, 130])


def test_parts_cover_the_trace_in_order(write: Write) -> None:
    traffic = read_traffic(write(csv_text([1, 2] * 501)))
    bounds = [traffic.part(name) for name in ("train", "validation", "test")]
    assert bounds == [(0, 601), (601, 801), (801, 1002)]
    with pytest.raises(ValueError, match="no part 'holdout'; there are: train, validation, test"):
        traffic.part("holdout")  # type: ignore[arg-type]


def test_days_and_times_of_day(write: Write) -> None:
    traffic = read_traffic(write(csv_text([1, 2] * 30, minutes=60)), slot_seconds=3600)
    first = (START - datetime(1970, 1, 1)).days
    np.testing.assert_array_equal(traffic.day, first + np.arange(60) // 24)
    np.testing.assert_allclose(traffic.time_of_day, np.arange(60) % 24 / 24)


def test_values_are_read_only(write: Write) -> None:
    traffic = read_traffic(write(csv_text([1, 2, 3, 4, 5])))
    with pytest.raises(ValueError, match="read-only"):
        traffic.values[0] = 1


# --- what a file may look like ---------------------------------------------------------------------------------------


def plain(values: Sequence[object] | None = None) -> str:
    return csv_text(values or [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(plain().encode("utf-8-sig"), id="byte-order-mark"),
        pytest.param(plain().replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(gzip.compress(plain().encode()), id="gzip-by-content"),
        pytest.param(zstandard.compress(plain().encode()), id="zstandard-by-content"),
        pytest.param((plain() + "\n\n").encode(), id="blank-lines"),
        pytest.param(plain().replace(",", " , ").encode(), id="spaces"),
        pytest.param(plain([1.0, "2e0", "+3", ".4e1", "5."]).encode(), id="spellings"),
        pytest.param(plain().replace(" 00:", "T00:").replace("0,", "0Z,").encode(), id="iso-z"),
        pytest.param(plain().replace(" 00:", "T01:").replace("0,", "0+01:00,").encode(), id="iso-offset"),
        pytest.param(plain().replace("timestamp", "time").encode(), id="first-column-is-the-time"),
        pytest.param(plain().replace("value", "visits").encode(), id="only-other-column"),
    ],
)
def test_the_same_trace_written_otherwise(write: Write, content: bytes) -> None:
    traffic = read_traffic(write(content))
    np.testing.assert_array_equal(traffic.values, np.minimum(np.array([1, 2, 3, 4, 5]) / 2, 3))
    assert traffic.start == "2024-03-01T00:00:00+00:00"


def test_the_hash_is_of_the_content_not_of_the_compression(write: Write) -> None:
    assert read_traffic(write(plain())).sha256 == read_traffic(write(gzip.compress(plain().encode()))).sha256


def test_the_column_is_chosen_by_name_or_alone(write: Write) -> None:
    rows = [f"{stamp(5 * k)},jul,{k},{10 * k}" for k in range(5)]
    path = write("timestamp,segment,jobs,gpus\n" + "\n".join(rows))
    assert read_traffic(path, "gpus").mean_count == 10 * read_traffic(path, "jobs").mean_count
    assert read_traffic(path, "jobs").source == "trace.csv:jobs"
    with pytest.raises(TraceError, match=r"trace.csv:1: name the column of counts, one of: segment, jobs, gpus"):
        read_traffic(path)
    with pytest.raises(TraceError, match=r"trace.csv:1: no column of counts 'cpus'; there are: segment, jobs, gpus"):
        read_traffic(path, "cpus")
    with pytest.raises(TraceError, match=r"trace.csv:2:segment: 'jul' is not a number"):
        read_traffic(path, "segment")


def test_a_single_column_of_numbers_needs_no_name(write: Write) -> None:
    rows = [f"{stamp(5 * k)},jul,{k}" for k in range(5)]
    assert read_traffic(write("timestamp,segment,jobs\n" + "\n".join(rows))).source == "trace.csv:jobs"


# --- gaps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", ["empty", "left out"])
def test_short_gaps_are_interpolated_with_one_warning(write: Write, absent: str) -> None:
    lines = csv_text([10, 20, 30, 40, 50, 60, 10, 20, 30, 40]).splitlines()
    missing = {2, 3, 4, 8}  # counted from the first row: 15 minutes on end, and 5
    kept = [
        line if k not in missing else line.split(",")[0] + ","
        for k, line in enumerate(lines[1:])
        if absent == "empty" or k not in missing
    ]
    with pytest.warns(TraceWarning, match="4 missing values were interpolated") as warned:
        traffic = read_traffic(write("\n".join([lines[0], *kept])))
    assert len(warned) == 1
    assert traffic.interpolated == 4
    np.testing.assert_allclose(traffic.values * traffic.mean_count, [10, 20, 30, 40, 50, 60, 10, 20, 30, 40])


def test_long_gaps_part_the_file_into_segments(write: Write) -> None:
    rows = [f"{stamp(5 * k)},{k}" for k in [*range(6), *range(10, 20)]]
    path = write("timestamp,value\n" + "\n".join(rows))
    message = r"trace.csv:8:value: no value for 1200 s since line 7, .* 2 segments, .* segment=1 is the longest"
    with pytest.raises(TraceError, match=message):
        read_traffic(path)
    assert len(read_traffic(path, segment=0)) == 6
    traffic = read_traffic(path, segment=1)
    assert (len(traffic), traffic.start) == (10, "2024-03-01T00:50:00+00:00")
    with pytest.raises(TraceError, match="no segment 2; there are 2"):
        read_traffic(path, segment=2)


def test_one_missing_hour_is_a_long_gap(write: Write) -> None:
    with pytest.raises(TraceError, match=r"trace.csv:5:value: no value for 3600 s since line 3"):
        read_traffic(write(csv_text([1, 2, "", 4, 5, 6], minutes=60)))


# --- defects, one clear error each -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["1_000", "nan", "NaN", "inf", "-inf", "١٢", "0x10", "1,5", "twelve", "1 000", "--1", "None"]
)
def test_what_is_not_a_number(write: Write, cell: str) -> None:
    quoted = f'"{cell}"'
    with pytest.raises(TraceError, match=re.escape(f"trace.csv:4:value: {cell!r} is not a number")):
        read_traffic(write(csv_text([1, 2, quoted, 4, 5])))


@pytest.mark.parametrize("cell", ["-1", "-0.5", "1e400", "1e16"])
def test_what_is_a_number_but_not_a_count(write: Write, cell: str) -> None:
    with pytest.raises(TraceError, match=re.escape(f"trace.csv:4:value: {cell!r} is not a count")):
        read_traffic(write(csv_text([1, 2, cell, 4, 5])))


@pytest.mark.parametrize("cell", ["", "now", "01/03/2024 00:10", "1709251800", "2024-02-30 00:10:00", "٢٠٢٤-03-01"])
def test_what_is_not_a_time(write: Write, cell: str) -> None:
    text = plain().replace(stamp(10), cell)
    with pytest.raises(TraceError, match=re.escape(f"trace.csv:4:timestamp: {cell!r} is not a time in ISO 8601")):
        read_traffic(write(text))


DEFECTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "trace.csv: the file is empty"),
    "header only": ("timestamp,value\n", "trace.csv:1: a header, but no rows"),
    "no header": (plain().split("\n", 1)[1], "trace.csv:1: '1' is a value: the file needs a header"),
    "semicolons": (plain().replace(",", ";"), "trace.csv:1: name the column of counts, one of: (none)"),
    "same names": (csv_text([1, 2], header="timestamp,timestamp"), "trace.csv:1: two columns have the same name"),
    "short row": (plain().replace(",3", ""), "trace.csv:4: 1 cells, but the header has 2"),
    "long row": (plain().replace(",3", ",3,3"), "trace.csv:4: 3 cells, but the header has 2"),
    "twice": (plain().replace(stamp(10), stamp(5)), f"trace.csv:4:timestamp: '{stamp(5)}' is not later"),
    "unsorted": (plain().replace(stamp(15), stamp(1)), f"trace.csv:5:timestamp: '{stamp(1)}' is not later"),
    "off the grid": (plain().replace(stamp(10), stamp(11)), f"trace.csv:4: {stamp(11)} is not a multiple"),
    "half a second": (
        plain().replace(stamp(10), stamp(10) + ".5"),
        "'2024-03-01 00:10:00.5' is not a whole second",
    ),
    "zero": (csv_text([0] * 6 + [1] * 4), "trace.csv:2:value: nothing but 0 in the training part"),
    "constant": (csv_text([7] * 10), "trace.csv:2:value: the traffic is constant: every value is 7"),
    "nothing": (csv_text([""] * 5), "trace.csv:2:value: every cell of the column is empty"),
    "one row": (csv_text([5]), "trace.csv:2:value: a single value has no interval"),
    "three rows": (csv_text([1, 2, 3]), "trace.csv:2:value: 3 slots cannot be split"),
    "utf-16": (plain().encode("utf-16"), "trace.csv:1: not UTF-8 text: byte 0xff"),
    "open quote": (plain().replace("3\n", '"3\n'), "not CSV: unexpected end of data"),
    "gzip cut short": (gzip.compress(plain().encode())[:-12], "trace.csv: cannot be read"),
    "gzip broken": (b"\x1f\x8b" + bytes(40), "trace.csv: cannot be read"),
}


@pytest.mark.parametrize(("content", "message"), DEFECTS.values(), ids=DEFECTS)
def test_defects_of_a_file(write: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(TraceError, match=re.escape(message)) as raised:
        read_traffic(write(content))
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none.csv: cannot be read: No such file or directory"):
        read_traffic(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read_traffic(tmp_path)


@pytest.mark.parametrize(
    "arguments", [{"slot_seconds": 0}, {"slot_seconds": 0.5}, {"max_load": 0.0}, {"max_load": np.nan}]
)
def test_arguments_out_of_range(write: Write, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be"):
        read_traffic(write(plain()), **arguments)  # type: ignore[arg-type]


# --- real traces -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traces() -> Path:
    folder = os.environ.get("PSGYM_TRACES")
    if not folder:
        pytest.skip("PSGYM_TRACES is unset: the real traces are not part of the repository")
    return Path(folder) / "forecast"


def distinct_test_days(traffic: Traffic) -> int:
    first, stop = traffic.part("test")
    return len(np.unique(traffic.day[first:stop]))


def test_wikipedia(traces: Path) -> None:
    traffic = read_traffic(traces / "wikipedia_1h_2018_2019.csv.gz")
    assert (len(traffic), traffic.native_seconds, traffic.interpolated) == (730 * 288, 3600, 0)
    assert distinct_test_days(traffic) == 146
    assert traffic.mean_count == pytest.approx(1_830_171, rel=1e-6)


def test_world_cup(traces: Path) -> None:
    with pytest.warns(TraceWarning, match="10 missing values"):
        traffic = read_traffic(traces / "wc98_1min_1998.csv.gz")
    assert (len(traffic), traffic.native_seconds, traffic.interpolated) == (25_062, 60, 10)
    assert traffic.start == "1998-04-30T21:30:00+00:00"
    assert traffic.clipped == 2247
    assert distinct_test_days(traffic) == 18


def test_venus(traces: Path) -> None:
    traffic = read_traffic(traces / "helios_venus_10min_2020AprJul.csv.gz", column="submit_gpu_job")
    assert (len(traffic), traffic.native_seconds, traffic.interpolated) == (122 * 288, 600, 0)
    assert distinct_test_days(traffic) == 25


def test_nasa_has_two_segments(traces: Path) -> None:
    with pytest.raises(TraceError, match="segment=1 is the longest"):
        read_traffic(traces / "nasa_ksc_1min_1995.csv.gz")
    assert len(read_traffic(traces / "nasa_ksc_1min_1995.csv.gz", segment=1)) == 31 * 288
