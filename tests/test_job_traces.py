"""Traces of jobs: what is read, which error each defect gives, and what a cluster makes of them."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import psgym
from psgym.envs import ClusterConfig, ConfigError
from psgym.envs.cluster.kinds import KINDS
from psgym.envs.job_days import JobDays, write_jobs
from psgym.envs.job_trace import UNKNOWN, JobTrace, read_jobs
from psgym.envs.settings import make_source
from psgym.envs.traces import TraceError, TraceWarning

assert psgym.__version__

FOLDER = os.environ.get("PSGYM_TRACES")
PHILLY = Path(FOLDER or ".") / "jobs" / "philly_jobs_2017Oct03_Nov19.csv.gz"
real = pytest.mark.skipif(not PHILLY.is_file(), reason="PSGYM_TRACES does not name the folder of the traces")

PHILLY_TEXT = """submit_time,duration_s,num_gpus,vc
2017-10-03 00:05:47,19,1,6214e9
2017-10-03 00:01:55,79,2,11cb48
2017-10-03 00:05:52,38,8,6214e9
"""
# The columns and the habits of openb_pod_list_default.csv: seconds since the first pod, which has run for months when
# the first one ends; no start for a pod that stayed pending; types of GPU joined by bars.
OPENB_HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
)
OPENB_TEXT = (
    OPENB_HEADER
    + """openb-pod-0000,12000,16384,1,1000,,LS,Running,0,12537496,0
openb-pod-0001,3152,5600,1,1000,,BE,Failed,9964800,9965000,9964801
openb-pod-0002,12000,16384,1,1000,,LS,Running,9966000,9967000,9966010
openb-pod-0003,8000,30517,0,0,,BE,Running,9966005,9966900,9966005
openb-pod-0004,11908,47104,1,1000,,BE,Pending,9966010,9966020,
openb-pod-0005,4000,15258,1,220,T4,BE,Running,9966030,,9966040
openb-pod-0006,88000,327680,8,1000,V100M16|V100M32,Burstable,Failed,9966050,9966050,9966050
"""
)
GENERIC_TEXT = """arrival,duration,workers,kind,mode
0,100,1,vgg-16,sync
60.5,200,4,,async
"""

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "jobs.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def trace_of(seconds: object, duration: object, workers: object = 1, group: object = 0) -> JobTrace:
    times = np.asarray(seconds, np.float64)
    count = len(times)
    return JobTrace(
        times,
        np.broadcast_to(np.asarray(duration, np.float64), count),
        np.broadcast_to(np.asarray(workers, np.int32), count),
        np.broadcast_to(np.asarray(group, np.int32), count),
        np.full(count, UNKNOWN, np.int16),
        np.full(count, UNKNOWN, np.int16),
        "generic",
        "made",
        {},
    )


# --- what is read ----------------------------------------------------------------------------------------------------


def test_philly(write: Write) -> None:
    trace = read_jobs(write(PHILLY_TEXT))
    assert trace.form == "philly"
    np.testing.assert_array_equal(trace.seconds - trace.seconds[0], [0, 232, 237])
    np.testing.assert_array_equal(trace.duration, [79, 19, 38])
    np.testing.assert_array_equal(trace.workers, [2, 1, 8])
    assert trace.group[1] == trace.group[2] != trace.group[0]
    assert trace.dropped == {}


def test_openb(write: Write) -> None:
    trace = read_jobs(write(OPENB_TEXT))
    assert trace.form == "openb"
    np.testing.assert_array_equal(trace.seconds, [9966000, 9966005])
    np.testing.assert_array_equal(trace.duration, [990, 895])
    np.testing.assert_array_equal(trace.workers, [1, 0])
    assert trace.dropped == {
        "never started": 1,
        "had not ended": 1,
        "ran for no time": 1,
        "submitted before the record began": 2,
    }
    np.testing.assert_array_equal(read_jobs(write(OPENB_TEXT), chunk_rows=1).seconds, trace.seconds)


def test_generic(write: Write) -> None:
    trace = read_jobs(write(GENERIC_TEXT))
    assert KINDS[trace.kind[0]].name == "vgg-16"
    assert trace.kind[1] == UNKNOWN
    np.testing.assert_array_equal(trace.mode, [0, 1])
    shortest = read_jobs(write("arrival,duration\n2024-01-01T00:00:00Z,5\n2024-01-01T01:00:00+01:00,6\n"))
    np.testing.assert_array_equal(np.diff(shortest.seconds), [0])
    np.testing.assert_array_equal(shortest.workers, [1, 1])


@pytest.mark.parametrize("packing", ["gzip", "zstd", "bom", "crlf", "blank lines", "spaces", "small chunks"])
def test_the_same_trace_written_otherwise(write: Write, packing: str) -> None:
    content = PHILLY_TEXT.encode()
    if packing == "gzip":
        content = gzip.compress(content)
    elif packing == "zstd":
        content = pytest.importorskip("zstandard", reason="zstandard is not installed").compress(content)
    elif packing == "bom":
        content = b"\xef\xbb\xbf" + content
    elif packing == "crlf":
        content = content.replace(b"\n", b"\r\n")
    elif packing == "blank lines":
        content += b"\n\n"
    elif packing == "spaces":
        content = content.replace(b",1,", b" , 1 ,")
    trace = read_jobs(write(content), chunk_rows=1 if packing == "small chunks" else 1000)
    np.testing.assert_array_equal(trace.duration, [79, 19, 38])
    np.testing.assert_array_equal(trace.workers, [2, 1, 8])


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("79", "soon", r"jobs\.csv:3:duration_s: 'soon' is not a duration in seconds"),
        ("79", "-79", r"jobs\.csv:3:duration_s: '-79' is not a duration in seconds: it must be from 0 to 1e\+09"),
        ("79", "nan", r"jobs\.csv:3:duration_s: 'nan' is not a duration"),
        ("79", "1_000", r"jobs\.csv:3:duration_s: '1_000' is not a duration"),
        ("79", "1e99", r"jobs\.csv:3:duration_s: '1e99' is not a duration"),
        (",2,", ",1.5,", r"jobs\.csv:3:num_gpus: '1\.5' is not a whole number of workers"),
        (",2,", ",-2,", r"jobs\.csv:3:num_gpus: '-2' is not a number of workers"),
        ("2017-10-03 00:01:55", "03.10.2017", r"jobs\.csv:3:submit_time: '03\.10\.2017' is neither a time"),
        ("2017-10-03 00:01:55", "2017-13-03 00:00:00", r"jobs\.csv:3:submit_time: '2017-13-03 00:00:00' is neither"),
        ("2017-10-03 00:01:55", "115", r"jobs\.csv:3:submit_time: '115' is neither a time"),
        (",2,11cb48", "", r"jobs\.csv:3:num_gpus: '' is not a number of workers"),
        ("11cb48", "11cb48,x", r"jobs\.csv: not CSV: .*line 3"),
        ("num_gpus", "gpus", r"jobs\.csv:1: no form of job trace has the columns .*gpus"),
        ("duration_s", "duration_", r"did you mean 'duration_s' by 'duration_'\?"),
        (PHILLY_TEXT[35:], "", r"jobs\.csv: there is no job in the file"),
        (PHILLY_TEXT, "", r"jobs\.csv: the file is empty"),
    ],
)
def test_defects(write: Write, old: str, new: str, message: str) -> None:
    assert old in PHILLY_TEXT
    with pytest.raises(TraceError, match=message):
        read_jobs(write(PHILLY_TEXT.replace(old, new)))


def test_defects_of_the_other_forms(write: Write) -> None:
    with pytest.raises(TraceError, match=r"jobs\.csv:4:deletion_time: '9966009' is before scheduled_time"):
        read_jobs(write(OPENB_TEXT.replace(",9967000,9966010", ",9966009,9966010")))
    with pytest.raises(TraceError, match=r"no job in the file but .*: 2 submitted before the record began"):
        read_jobs(write("".join(OPENB_TEXT.splitlines(keepends=True)[:3])))
    with pytest.raises(TraceError, match=r"jobs\.csv:2:kind: 'vgg16' is none of .*; did you mean 'vgg-16'\?"):
        read_jobs(write(GENERIC_TEXT.replace("vgg-16", "vgg16")))
    with pytest.raises(TraceError, match=r"jobs\.csv:3:arrival: 'x' is not a number of seconds, as the rows before"):
        read_jobs(write(GENERIC_TEXT.replace("60.5", "x")))
    with pytest.raises(TraceError, match=r"no job in the file but those that were left out: 2 ran for no time"):
        read_jobs(write("arrival,duration\n1,0\n2,0\n"))


def test_files_that_are_none(write: Write, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nowhere: cannot be read: No such file"):
        read_jobs(tmp_path / "nowhere")
    with pytest.raises(TraceError, match=r"jobs\.csv: cannot be read"):
        read_jobs(write(gzip.compress(PHILLY_TEXT.encode())[:40]))
    with pytest.raises(TraceError, match=r"jobs\.csv"):
        read_jobs(write(b"\x28\xb5\x2f\xfd" + b"rubbish"))
    with pytest.raises(TraceError, match=r"jobs\.csv: not CSV"):
        read_jobs(write(PHILLY_TEXT.encode().replace(b"6214e9", b"\xff\xfe")))


def test_memory_is_bounded(tmp_path: Path) -> None:
    rows, copies = "".join(f"{k},100,1,a-group-with-a-long-name-{k % 10}\n" for k in range(1000)), 150
    with gzip.open(tmp_path / "long.csv.gz", "wt", compresslevel=1) as file:
        file.write("arrival,duration,workers,group\n")
        for _ in range(copies):
            file.write(rows)
    read_jobs(tmp_path / "long.csv.gz", chunk_rows=5000)  # imports
    tracemalloc.start()
    trace = read_jobs(tmp_path / "long.csv.gz", chunk_rows=5000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(trace) == 1000 * copies
    assert peak < 120 * len(trace)  # 28 bytes a job twice, and a piece of the text


@real
def test_the_real_trace() -> None:
    trace = read_jobs(PHILLY)
    assert len(trace) == 60_782
    assert trace.form == "philly"
    assert (np.diff(trace.seconds) >= 0).all()
    traffic = trace.traffic(300, 3.0)
    first, last = trace.seconds[0], trace.seconds[-1]
    assert len(traffic) == last // 300 - -(-first // 300)
    gaps = np.diff(trace.seconds)
    assert gaps.std() / gaps.mean() == pytest.approx(2.4, abs=0.3)  # far from Poisson


@real
@pytest.mark.parametrize(("line", "column"), [(2, 1), (40_000, 2), (60_783, 0)])
def test_a_malformed_copy_of_the_real_trace(write: Write, line: int, column: int) -> None:
    lines = gzip.decompress(PHILLY.read_bytes()).decode().splitlines()
    cells = lines[line - 1].split(",")
    cells[column] = "?"
    lines[line - 1] = ",".join(cells)
    name = lines[0].split(",")[column]
    with pytest.raises(TraceError, match=rf"jobs\.csv:{line}:{name}: '\?' is"):
        read_jobs(write(gzip.compress("\n".join(lines).encode())))


# --- what a cluster makes of it --------------------------------------------------------------------------------------

DAY = 86_400.0


def ten_days(per_day: int = 800, duration: float = 3000.0, workers: int = 1) -> JobTrace:
    seconds = np.sort(np.random.default_rng(0).uniform(0, 10 * DAY, 10 * per_day))
    return trace_of(seconds, duration, workers, np.arange(len(seconds)) % 7)


def test_the_load_is_that_of_the_configuration() -> None:
    trace, rng = ten_days(), np.random.default_rng(0)
    config = ClusterConfig(load=0.8)
    days = JobDays(trace, "train", config)
    work = []
    for _ in range(300):
        jobs = days.sample(rng, config).jobs
        assert jobs is not None
        speeds = days._speed[jobs["kind"], jobs["mode"], 1]
        work.append((jobs["samples"] / speeds).sum())
    wanted = config.slots * config.arrivals_per_slot * config.mean_duration_seconds
    assert np.mean(work) == pytest.approx(wanted, rel=0.05)


def test_a_list_of_pods_fills_its_training_part(write: Write) -> None:
    """Pods that have run for months before the record must not make the training part a time without jobs."""
    rng = np.random.default_rng(0)
    created = np.concatenate([np.linspace(0, 110 * DAY, 30), np.sort(rng.uniform(115 * DAY, 149 * DAY, 7000))])
    created = created.astype(int)
    begun = created + rng.geometric(0.3, len(created)) - 1
    ended = np.where(created < 115 * DAY, 12_902_960, begun + rng.lognormal(6.4, 1.8, len(created)).astype(int) + 1)
    rows = zip(created, ended, begun, rng.choice([0, 1, 8], len(created), p=[0.15, 0.84, 0.01]), strict=True)
    text = "".join(
        f"openb-pod-{k:04},8000,30517,{gpus},1000,,BE,Running,{create},{end},{begin}\n"
        for k, (create, end, begin, gpus) in enumerate(rows)
    )
    trace, config = read_jobs(write(OPENB_HEADER + text)), ClusterConfig(load=0.1)
    assert trace.dropped["submitted before the record began"] == pytest.approx(30, abs=3)
    days = JobDays(trace, "train", config)
    for _ in range(5):
        jobs = days.sample(rng, config).jobs
        assert jobs is not None
        assert len(jobs) > 20


def test_a_trace_that_is_too_small_arrives_whole_and_warns() -> None:
    trace, config = ten_days(per_day=50, duration=60.0), ClusterConfig()
    with pytest.warns(TraceWarning, match="offer a load of 0.0"):
        days = JobDays(trace, "train", config)
    day = days.sample(np.random.default_rng(0), config)
    begin = days._first_second + day.start * 300
    inside = (trace.seconds >= begin) & (trace.seconds < begin + DAY)
    assert day.jobs is not None
    np.testing.assert_allclose(day.jobs["arrival_seconds"], trace.seconds[inside] - begin)
    counts = np.bincount((day.jobs["arrival_seconds"] // 300).astype(int), minlength=288)
    np.testing.assert_allclose(day.values[day.first :], np.minimum(counts / days._days.trace.mean_count, 3.0))


def test_jobs_with_and_without_a_gpu_have_kinds_to_match() -> None:
    config = ClusterConfig()
    for workers in (0, 2):
        days = JobDays(ten_days(workers=workers), "train", config)
        jobs = days.sample(np.random.default_rng(1), config).jobs
        assert jobs is not None
        assert {KINDS[kind].worker_gpu > 0 for kind in jobs["kind"]} == {workers > 0}


def test_a_batch_shares_kind_mode_and_dataset() -> None:
    seconds = np.sort(np.random.default_rng(0).uniform(0, 10 * DAY, 300))
    trace = trace_of(np.sort(np.concatenate([seconds + 10 * k for k in range(5)])), 14_000.0, 1, 0)
    config = ClusterConfig()
    days = JobDays(trace, "train", config)
    rng = np.random.default_rng(0)
    jobs = days.sample(rng, config).jobs
    assert jobs is not None
    env = gym.make("psgym/Allocation-v0").unwrapped
    env.reset(seed=0)
    scenario = env.simulation.scenarios[0]
    write_jobs(scenario, jobs, config, rng)
    rows = scenario["jobs"][: len(jobs)]
    assert len(set(jobs["batch"].tolist())) < len(jobs) / 3
    for batch in set(jobs["batch"].tolist()):
        same = rows[jobs["batch"] == batch]
        assert len({(row["kind"], row["mode"], row["dataset"]) for row in same}) == 1
    assert (scenario["jobs"]["samples"][len(jobs) :] == 0).all()
    assert rows["multiplier"].std() > 0.2


@pytest.mark.parametrize("view", ["Capacity", "Allocation", "Cluster"])
def test_any_id_takes_the_jobs_of_a_trace(view: str) -> None:
    trace = ten_days()
    env = gym.make(f"psgym/{view}-v0", preset="small", jobs=trace)
    _, info = env.reset(seed=4)
    scenario = env.unwrapped.simulation.scenarios[0]
    count, arrivals = int(scenario["job_count"]), scenario["jobs"]["arrival_seconds"].copy()
    for _ in range(288):
        _, _, _, truncated, info = env.step(0)
    assert truncated
    assert info["jobs_arrived"] == count > 50
    env.reset(seed=4)
    np.testing.assert_array_equal(scenario["jobs"]["arrival_seconds"], arrivals)


def test_one_episode_takes_the_jobs_of_a_trace(write: Write) -> None:
    lines = [f"{300 * k + 5},7,1" for k in range(600)]
    path = write("arrival,duration,workers\n" + "\n".join(lines))
    env = gym.make("psgym/Cluster-v0")
    with pytest.warns(TraceWarning, match="offer a load"):
        env.reset(seed=0, options={"jobs": path})
    assert env.unwrapped.simulation.scenarios["job_count"][0] == 288
    envs = gym.make_vec("psgym/Cluster-v0", num_envs=2)
    with pytest.warns(TraceWarning, match="offer a load"):
        envs.reset(seed=0, options={"jobs": read_jobs(path)})
    np.testing.assert_array_equal(envs.unwrapped.simulation.scenarios["job_count"], [288, 288])
    env.reset(seed=0)
    assert env.unwrapped.simulation.scenarios["job_count"][0] != 288


def test_requests_that_cannot_be_met() -> None:
    trace, config = ten_days(), ClusterConfig()
    with pytest.raises(ValueError, match="give either traffic or jobs"):
        make_source(np.ones(300), None, "train", config, trace)
    with pytest.raises(ConfigError, match=r"load=0\.0 lets no job of a trace arrive"):
        JobDays(trace, "train", ClusterConfig(load=0.0))
    with pytest.raises(TraceError, match="cannot be split into training"):
        JobDays(trace_of([0.0, 400.0], 5.0), "train", config)
    short = JobDays(trace_of(np.arange(0, 2 * DAY, 60.0), 3000.0), "test", config)
    with pytest.raises(ValueError, match="fewer than an episode"):
        short.sample(np.random.default_rng(0), config)
    env = gym.make("psgym/Allocation-v0", jobs=trace_of(np.arange(0, 5 * DAY, 20.0), 450.0)).unwrapped
    with pytest.raises(ConfigError, match="jobs of the trace arrive in this episode; raise max_jobs=2048"):
        env.reset(seed=0)


def test_a_comparison_on_the_jobs_of_a_trace(write: Write) -> None:
    from psgym.agents.benchmark import _describe_traffic
    from psgym.agents.evaluation import make_days, run_policy
    from psgym.agents.policies import make_policy

    trace = ten_days()
    rows = zip(trace.seconds, trace.duration, strict=True)
    path = write("arrival,duration\n" + "".join(f"{arrival:.3f},{duration}\n" for arrival, duration in rows))
    days = make_days("psgym/Allocation-v0", "test", 0, 2, jobs=str(path))
    run = run_policy(days, lambda env: make_policy("fifo", env, "psgym/Allocation-v0"))
    assert (run.metrics["jobs_arrived"] > 50).all()
    assert set(run.day) <= {8, 9}  # of ten days, the last two are for testing
    described = _describe_traffic(days)
    assert described is not None
    assert described["source"] == "jobs.csv:submissions"
