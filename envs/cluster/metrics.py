"""The physical metrics of a cluster so far: what every ``info`` holds and every table is made of."""

from __future__ import annotations

import math
from typing import Any

from psgym.envs.cluster.jit import kernel

METRICS = (
    "jobs_arrived",
    "jobs_finished",
    "jobs_waiting",
    "jobs_unfinished",
    "mean_completion_seconds",
    "p99_completion_seconds",
    "cpu_utilisation",
    "gpu_utilisation",
    "stall_share",
    "restart_share",
    "load_max_over_mean",
    "load_variation",
    "storage_utilisation",
    "unavailable_share",
    "hot_traffic_share",
    "replica_bytes",
    "bytes_moved",
    "copies_added",
    "copies_dropped",
    "flaps",
    "storage_factor",
    "read_latency_mean_seconds",
    "read_latency_p95_seconds",
    "read_latency_p99_seconds",
    "restarts",
    "node_failures",
    "node_hours",
    "nodes_on",
    "total_cost",
    "decisions",
    "refusals",
)
"""Names of the metrics, in the order of :func:`write_metrics`; units are seconds, bytes, hours or shares in [0, 1].

The storage factor is the mean over slots of the bytes stored and reserved over the bytes of all datasets; the latencies
are means over slots of each slot's mean, 95th and 99th percentile."""


@kernel
def percentile_completion(public: Any, hidden: Any, share: float) -> float:
    """Nearest-rank percentile of completion times over *every* job that arrived (s).

    An unfinished job counts with its age: leaving it out would reward starving it. Both lists are in order (finished
    ascending, active from the oldest), so the percentile is found from their tops.
    """
    finished, waiting = hidden.totals.finished, public.active_count
    total = finished + waiting
    if total == 0:
        return 0.0
    now = public.slot * public.settings.slot_seconds
    above = total - math.ceil(share * total)
    f, a = finished - 1, 0
    value = 0.0
    for _ in range(above + 1):
        done = hidden.completion[f] if f >= 0 else -1.0
        age = now - public.jobs[public.active[a]].arrival_seconds if a < waiting else -1.0
        if done >= age:
            value = done
            f -= 1
        else:
            value = age
            a += 1
    return value


@kernel
def write_metrics(state: Any, out: Any) -> None:
    """Writes the metrics of one cluster into a row of ``len(METRICS)`` numbers, all finite."""
    public, hidden = state.public, state.hidden
    settings, totals = public.settings, hidden.totals
    waiting = 0
    for k in range(public.active_count):
        job = public.jobs[public.active[k]]
        if job.workers == 0 or job.servers == 0:
            waiting += 1
    elapsed = max(1.0, public.slot * settings.slot_seconds)
    stored, on, cost = 0.0, 0, 0.0
    for d in range(public.datasets.size.shape[0]):
        stored += public.datasets.size[d] * public.datasets.copies[d]
    for n in range(public.nodes.on.shape[0]):
        if public.nodes.on[n] and not public.nodes.failed[n]:
            on += 1
    for term in range(totals.cost.shape[0]):
        cost += totals.cost[term]
    demanded = max(1.0, totals.bytes_demanded)
    loaded = max(1, totals.loaded_substeps)
    out[0] = public.known_jobs
    out[1] = totals.finished
    out[2] = waiting
    out[3] = public.active_count
    out[4] = totals.unfinished_seconds / max(1, public.known_jobs)
    out[5] = percentile_completion(public, hidden, 0.99)
    out[6] = totals.cpu_seconds / (elapsed * settings.nodes * settings.node_cpu)
    out[7] = totals.gpu_seconds / (elapsed * max(1, settings.nodes * settings.node_gpu))
    out[8] = (totals.bytes_stalled + totals.bytes_unavailable) / demanded
    out[9] = totals.pause_seconds / max(1.0, totals.pause_seconds + totals.run_seconds)
    out[10] = totals.load_max_over_mean / loaded
    out[11] = totals.load_variation / loaded
    out[12] = totals.storage_utilisation / max(1, totals.substeps)
    out[13] = totals.bytes_unavailable / demanded
    out[14] = totals.bytes_hot / demanded
    out[15] = stored
    out[16] = totals.bytes_moved
    out[17] = totals.copies_added
    out[18] = totals.copies_dropped
    out[19] = totals.flaps
    out[20] = totals.storage_factor / max(1, public.slot)
    slots = max(1, totals.latency_slots)
    out[21] = totals.latency_mean / slots
    out[22] = totals.latency_p95 / slots
    out[23] = totals.latency_p99 / slots
    out[24] = totals.restarts
    out[25] = totals.node_failures
    out[26] = totals.node_seconds / 3600.0
    out[27] = on
    out[28] = cost
    out[29] = totals.decisions + public.decisions
    out[30] = totals.refusals + public.refusals
