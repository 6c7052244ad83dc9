"""Logs of accesses: what is read, what is wrong with a bad one and where, and the popularity that they make."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from psgym.envs import access_log
from psgym.envs.access_log import read_accesses
from psgym.envs.accesses import WINDOW, LoggedPopularity
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.presets import preset
from psgym.envs.trace_files import TraceError
from psgym.envs.traffic import TrafficError

TRACES = os.environ.get("PSGYM_TRACES")
needs_traces = pytest.mark.skipif(TRACES is None, reason="PSGYM_TRACES does not name the folder of the traces")


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_objects_and_times_are_read(tmp_path: Path) -> None:
    rows = ("user,object,timestamp", "u,cats,2024-11-15 16:57:50", "", "v,dogs|cats,2024-11-15T17:57:50+01:00")
    more = ("w,,1731689880.5", "x, mice ,1731689881")
    log = read_accesses(write(tmp_path, b"\xef\xbb\xbf" + "\r\n".join((*rows, *more)).encode()))
    start = 1731689870.0
    np.testing.assert_array_equal(log.seconds, [start, start, start, start + 11])
    assert [log.names[k] for k in log.object] == ["cats", "dogs", "cats", "mice"]
    assert log.timed
    assert log.source == "log.csv:object"


def test_a_gzipped_log_is_the_plain_one(tmp_path: Path) -> None:
    text = "timestamp,object\n0.5,cats\n2.0,dogs\n2.5,cats\n"
    plain = read_accesses(write(tmp_path, text))
    packed = read_accesses(write(tmp_path, gzip.compress(text.encode()), "log.csv"))
    np.testing.assert_array_equal(plain.seconds, [0.5, 2.0, 2.5])
    np.testing.assert_array_equal(plain.seconds, packed.seconds)
    np.testing.assert_array_equal(plain.object, packed.object)
    assert plain.sha256 == packed.sha256


def test_without_times_the_order_is_the_time(tmp_path: Path) -> None:
    log = read_accesses(write(tmp_path, "name,key\na,1\nb,2\nc,1\n"), "key")
    np.testing.assert_array_equal(log.seconds, [0.0, 10.0, 20.0])
    np.testing.assert_array_equal(log.object, [0, 1, 0])
    assert not log.timed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"log\.csv:1: the file is empty; it needs a header with the column 'object'"),
        ("timestamp,object\n", r"log\.csv:1:object: no object is accessed"),
        ("timestamp,name\n1,a\n", r"log\.csv:1: no column 'object'; there are: timestamp, name"),
        ("object,object\na,b\n", r"log\.csv:1: two columns have the same name"),
        ("timestamp,object\n1,a\n2\n", r"log\.csv:3: 1 cells, but the header has 2"),
        ("timestamp,object\n1,a\nnoon,b\n", r"log\.csv:3:timestamp: 'noon' is neither a time in ISO 8601 nor a number"),
        ("timestamp,object\n1,a\nnan,b\n", r"log\.csv:3:timestamp: 'nan' is neither"),
        ("timestamp,object\n1,a\n1e999,b\n", r"log\.csv:3:timestamp: '1e999' is neither"),
        ("timestamp,object\n2,a\n\n1,b\n", r"log\.csv:4:timestamp: '1' is earlier than the row before"),
        ("timestamp,object\n1,a\n1,b\n", r"log\.csv:3: all accesses are at one time"),
        ('timestamp,object\n1,a\n2,"b\n', r"log\.csv:3: not CSV: unexpected end of data"),
        (b"timestamp,object\n1,a\n2,\xff\n", r"log\.csv:\d: not UTF-8 text: byte 0xff"),
        (b"\x1f\x8bnot gzip", r"log\.csv: cannot be read"),
        ("object\n" + "a" * 70_000, r"log\.csv:2: a line of more than 65,536 characters"),
    ],
)
def test_what_is_wrong_with_a_log_is_said_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_accesses(write(tmp_path, text))


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.csv: cannot be read: No such file"):
        read_accesses(tmp_path / "none.csv")


def test_too_many_accesses_or_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "object\na\nb\nc\n")
    monkeypatch.setattr(access_log, "MAX_ACCESSES", 2)
    with pytest.raises(TraceError, match=r"log\.csv:4:object: more than 2 accesses"):
        read_accesses(path)
    monkeypatch.setattr(access_log, "MAX_ACCESSES", 10)
    monkeypatch.setattr(access_log, "MAX_OBJECTS", 2)
    with pytest.raises(TraceError, match=r"log\.csv:4:object: more than 2 different objects"):
        read_accesses(path)


def test_memory_grows_with_the_accesses_not_with_the_text(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"padding,object\n" + (b"x" * 500 + b",a\n") * 40_000))
    tracemalloc.start()
    read_accesses(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6, f"{peak / 1e6:.1f} MB for 20 MB of text"


def test_popularity_is_the_composition_of_the_newest_accesses(tmp_path: Path) -> None:
    rows = ["a", "b"] * 1600 + ["c"] * 800  # c is new to the test part and an object of its own
    log = read_accesses(write(tmp_path, "object\n" + "\n".join(rows) + "\n"))
    config = preset("storage", slots=20)
    train = LoggedPopularity(log, "train").sample(np.random.default_rng(0), config).share
    test = LoggedPopularity(log, "test").sample(np.random.default_rng(3), config).share
    assert train.shape == (21, 400)
    np.testing.assert_allclose(train.sum(axis=1), 1.0)
    assert ((train > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(np.sort(train, axis=1)[:, -2:], 0.5, atol=0.05)  # the first windows are not full
    np.testing.assert_allclose(np.sort(test, axis=1)[:, -1], 1.0)
    assert WINDOW == 64


def test_more_objects_than_datasets_share_them_by_rank(tmp_path: Path) -> None:
    rows = [str(k) for k in range(10) for _ in range(100 - k)] * 10
    log = read_accesses(write(tmp_path, "object\n" + "\n".join(rows) + "\n"))
    config = ClusterConfig(datasets=8, slots=5, candidates=4)
    share = LoggedPopularity(log, "train").sample(np.random.default_rng(1), config).share
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    again = LoggedPopularity(log, "train").sample(np.random.default_rng(1), config).share
    np.testing.assert_array_equal(share, again)


def test_parts_are_split_by_time_and_never_meet(tmp_path: Path) -> None:
    log = read_accesses(write(tmp_path, "object\n" + "\n".join(str(k % 7) for k in range(1000)) + "\n"))
    bounds = [log.part(name) for name in ("train", "validation", "test")]
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert bounds[0] == (0.0, pytest.approx(5994.0))
    with pytest.raises(ValueError, match="no part 'all'"):
        log.part("all")  # type: ignore[arg-type]
    with pytest.raises(TrafficError, match=r"the test part lasts 1,998 s, less than an episode of 21,600 s"):
        LoggedPopularity(log, "test").sample(np.random.default_rng(0), preset("storage"))


@needs_traces
@pytest.mark.parametrize(
    ("name", "column", "accesses", "objects"),
    [
        ("gentd26_model_requests_23d.csv.gz", "base_model", 26_798, 86),
        ("gentd26_model_requests_23d.csv.gz", "loras", 4_858, 389),
        ("cache2k_web07.csv.gz", None, 76_118, 20_484),
    ],
)
def test_real_logs(name: str, column: str | None, accesses: int, objects: int) -> None:
    assert TRACES is not None
    log = read_accesses(Path(TRACES) / "access" / name, column)
    assert (len(log), len(log.names)) == (accesses, objects)
    share = LoggedPopularity(log, "test").sample(np.random.default_rng(0), preset("storage")).share
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
