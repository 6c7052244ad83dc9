"""What must hold in every state of every cluster of a batch, counted anew from the jobs, the nodes and the copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.metrics import METRICS
from psgym.envs.cluster.records import IN_FLIGHT, LIVE_COPY
from psgym.envs.vector import ClusterVectorEnv

CLOSE = {"rtol": 1e-9, "atol": 1e-6}


def check_everything(env: ClusterVectorEnv) -> None:
    """Every check of this module, on the current state."""
    states = np.asarray(env.simulation.states)
    public, hidden, scenario = states["public"], states["hidden"], np.asarray(env.simulation.scenarios)
    unfinished = check_jobs(public, hidden, scenario)
    check_nodes(public, unfinished)
    check_fits(public)
    check_copies(public)
    check_bytes(public, hidden)
    check_outputs(env)


def check_jobs(public: NDArray[Any], hidden: NDArray[Any], scenario: NDArray[Any]) -> NDArray[np.bool_]:
    """Arrived = finished + unfinished, job by job; returns which jobs are unfinished, shape (clusters, jobs)."""
    known, count = public["known_jobs"], public["active_count"]
    width = int(known.max(initial=0)) + 1
    jobs, secret, truth = public["jobs"][:, :width], hidden["jobs"][:, :width], scenario["jobs"][:, :width]
    exists = np.arange(width) < known[:, None]
    listed = public["active"][:, : int(count.max()) + 1]
    row, place = np.nonzero(np.arange(listed.shape[1]) < count[:, None])
    unfinished = np.zeros(exists.shape, np.bool_)
    unfinished[row, listed[row, place]] = True
    assert np.array_equal(unfinished.sum(1), count), "a job is listed twice"
    assert not (unfinished & ~exists).any()
    in_order = np.diff(listed, axis=1) > 0
    assert in_order[np.arange(1, listed.shape[1]) < count[:, None]].all(), "the oldest job does not come first"
    assert np.array_equal(known, hidden["totals"]["finished"] + count)
    finished = exists & ~unfinished
    assert np.array_equal(secret["finish_seconds"] > 0, finished)
    assert (jobs["done"] == jobs["samples"])[finished].all(), "a finished job is not done"
    assert ((jobs["done"] >= 0) & (jobs["done"] <= jobs["samples"]))[unfinished].all()
    for field in ("arrival_seconds", "kind", "mode", "dataset", "samples"):
        assert (jobs[field] == truth[field])[exists].all()
    _check_completions(hidden, secret["finish_seconds"], finished)
    _check_arrivals(public, scenario)
    datasets = public["datasets"]["readers"].shape[1]
    row, place = np.nonzero(unfinished)
    readers = _count(row, jobs["dataset"][row, place], (len(known), datasets))
    assert np.array_equal(readers, public["datasets"]["readers"])
    return unfinished


def _check_completions(hidden: NDArray[Any], seconds: NDArray[np.float64], finished: NDArray[np.bool_]) -> None:
    for cluster in range(len(hidden)):
        times = hidden["completion"][cluster, : hidden["totals"]["finished"][cluster]]
        assert np.array_equal(times, np.sort(seconds[cluster, finished[cluster]])), "completion times are out of order"
        assert np.isclose(times.sum(), hidden["totals"]["completion_seconds"][cluster], **CLOSE)


def _check_arrivals(public: NDArray[Any], scenario: NDArray[Any]) -> None:
    """Exactly the jobs are known that arrived before the slot."""
    now = public["slot"] * public["settings"]["slot_seconds"]
    drawn = np.arange(scenario["jobs"].shape[1]) < scenario["job_count"][:, None]
    arrived = drawn & (scenario["jobs"]["arrival_seconds"] < now[:, None])
    assert np.array_equal(arrived.sum(1), public["known_jobs"])


def _count(row: NDArray[Any], column: NDArray[Any], shape: tuple[int, int], weights: Any = None) -> NDArray[np.int64]:
    flat = np.bincount(row * shape[1] + column, weights, minlength=shape[0] * shape[1])
    return np.rint(flat).astype(np.int64).reshape(shape)


def check_nodes(public: NDArray[Any], unfinished: NDArray[np.bool_]) -> None:
    """What nodes say of their tasks is what jobs say of theirs, and no node holds more than it can."""
    nodes, settings, jobs = public["nodes"], public["settings"], public["jobs"][:, : unfinished.shape[1]]
    row, place = np.nonzero((jobs["workers"] > 0) | (jobs["servers"] > 0))
    assert unfinished[row, place].all(), "a finished job holds tasks"
    held = jobs[row, place]
    kinds = settings["kinds"][0]
    shape = nodes["tasks"].shape
    used = {"tasks": 0, "cpu": 0, "gpu": 0}
    pairs = []
    for role, cpu, gpu in (("worker", "worker_cpu", "worker_gpu"), ("server", "server_cpu", None)):
        task, k = np.nonzero(np.arange(held[f"{role}_node"].shape[1]) < held[f"{role}s"][:, None])
        node, cluster, kind = held[f"{role}_node"][task, k], row[task], held["kind"][task]
        assert nodes["on"][cluster, node].all(), "a task sits on a node that is off"
        assert not nodes["failed"][cluster, node].any(), "a task sits on a failed node"
        used["tasks"] = used["tasks"] + _count(cluster, node, shape)
        used["cpu"] = used["cpu"] + _count(cluster, node, shape, kinds[cpu][kind])
        if gpu:
            used["gpu"] = used["gpu"] + _count(cluster, node, shape, kinds[gpu][kind])
        pairs.append(np.stack([cluster, place[task], node], axis=1))
    assert np.array_equal(used["tasks"], nodes["tasks"])
    assert np.array_equal(used["cpu"], settings["node_cpu"][:, None] - nodes["cpu_free"])
    assert np.array_equal(used["gpu"], settings["node_gpu"][:, None] - nodes["gpu_free"])
    distinct = np.unique(np.concatenate(pairs), axis=0)
    assert np.array_equal(_count(distinct[:, 0], distinct[:, 2], shape), nodes["jobs"])
    for field in ("cpu_free", "gpu_free", "cpu_claimed", "gpu_claimed"):
        assert (nodes[field] >= 0).all(), f"{field} is negative"


def check_fits(public: NDArray[Any]) -> None:
    """The counts of nodes that fit a task follow every change of a node."""
    nodes, settings = public["nodes"], public["settings"]
    now = (public["slot"] * settings["slot_seconds"])[:, None]
    takes = (nodes["on"] != 0) & (nodes["draining"] == 0) & (nodes["failed"] == 0) & (nodes["ready_seconds"] <= now)
    for k, kind in enumerate(settings["kinds"][0]):
        worker = takes & (nodes["cpu_free"] >= kind["worker_cpu"]) & (nodes["gpu_free"] >= kind["worker_gpu"])
        server = takes & (nodes["cpu_free"] >= kind["server_cpu"])
        both = worker & (nodes["cpu_free"] >= kind["worker_cpu"] + kind["server_cpu"])
        expected = np.stack([fit.sum(1) for fit in (worker, server, both, worker & server)], axis=1)
        assert np.array_equal(public["fits"][:, kind["shape"]], expected), f"kind {k}"
    assert np.array_equal((nodes["cpu_free"] * takes).sum(1), public["cpu_free"])
    assert np.array_equal((nodes["gpu_free"] * takes).sum(1), public["gpu_free"])


def check_copies(public: NDArray[Any]) -> None:
    """Stored bytes are those of copies and reservations; counts of copies and flights follow the table of places."""
    servers, datasets, flights = public["servers"], public["datasets"], public["flights"]
    stored, flying = datasets["placed"] == LIVE_COPY, datasets["placed"] == IN_FLIGHT
    up = (servers["up"] != 0)[:, None, :]
    held = ((stored | flying) * datasets["size"][:, :, None]).sum(1)
    assert np.allclose(held, servers["stored"], rtol=1e-9, atol=1e-9 * float(servers["capacity"].max()))
    assert (servers["stored"] <= servers["capacity"] * (1 + 1e-12)).all()
    assert np.array_equal(stored.sum(2), datasets["copies"])
    assert np.array_equal((stored & up).sum(2), datasets["live"])
    assert np.array_equal(flying.sum(2), datasets["pending"])
    cluster, f = np.nonzero(np.arange(flights.shape[1]) < public["flight_count"][:, None])
    dataset, source, target = (flights[name][cluster, f] for name in ("dataset", "source", "target"))
    assert np.array_equal(_count(cluster, dataset, datasets["pending"].shape), datasets["pending"])
    shape = servers["flights"].shape
    assert np.array_equal(_count(cluster, source, shape) + _count(cluster, target, shape), servers["flights"])
    assert flying[cluster, dataset, target].all()
    assert stored[cluster, dataset, source].all(), "a copy in flight lost its source"
    assert (servers["up"][cluster, source] & servers["up"][cluster, target]).all()
    remaining = flights["remaining"][cluster, f]
    assert ((remaining > 0) & (remaining <= datasets["size"][cluster, dataset])).all()


def check_bytes(public: NDArray[Any], hidden: NDArray[Any]) -> None:
    """Every byte that is asked for is served, stalled or unavailable; jobs read their samples and no more."""
    totals = hidden["totals"]
    parts = totals["bytes_served"] + totals["bytes_stalled"] + totals["bytes_unavailable"]
    assert np.allclose(parts, totals["bytes_demanded"], **CLOSE)
    width = int(public["known_jobs"].max(initial=0)) + 1
    jobs, each = public["jobs"][:, :width], public["settings"]["kinds"]["bytes_per_sample"]
    kept = (jobs["done"] * np.take_along_axis(each, jobs["kind"], axis=1)).sum(1)
    # Samples that a failure threw away were read as well; their kinds are not on record.
    least, most = (kept + totals["samples_lost"] * limit for limit in (each.min(1), each.max(1)))
    assert (totals["bytes_read"] >= least * (1 - 1e-9) - 1e-6).all()
    assert (totals["bytes_read"] <= most * (1 + 1e-9) + 1e-6).all()
    assert (totals["samples_lost"] >= 0).all()
    if public["settings"]["storage_stalls"].all():
        assert (totals["bytes_read"] <= totals["bytes_served"] * (1 + 1e-9)).all()


def check_outputs(env: ClusterVectorEnv) -> None:
    """Observations lie in the declared space, metrics are finite, COMMIT is legal."""
    simulation, space = env.simulation, env.single_observation_space
    assert np.isfinite(simulation.observations).all()
    assert (simulation.observations >= space.low).all()  # type: ignore[attr-defined]
    assert (simulation.observations <= space.high).all()  # type: ignore[attr-defined]
    assert np.isfinite(simulation.metrics).all()
    assert simulation.masks[:, 0].all()
    public, totals = env.public, np.asarray(simulation.states)["hidden"]["totals"]
    metric = {name: simulation.metrics[:, at] for at, name in enumerate(METRICS)}
    assert np.array_equal(metric["jobs_arrived"], public["known_jobs"])
    assert np.array_equal(metric["jobs_finished"] + metric["jobs_unfinished"], public["known_jobs"])
    assert np.allclose(metric["total_cost"], totals["cost"].sum(1), **CLOSE)
