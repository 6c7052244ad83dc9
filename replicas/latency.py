"""Read latency of servers in a fluid model: processor sharing with even split, mean and tail.

A server of effective bandwidth ``e`` (bytes/s left by copy traffic) under a load of ``load`` bytes/s serves requests of
``q`` bytes as an M/G/1 queue with processor sharing. Its mean latency depends on the utilisation
``rho = load / e`` alone, not on the law of the request sizes (Kleinrock, *Queueing Systems* II, 1976, chapter 4).
The tail has no closed form; for requests of one size it is a straight line in rho fitted to discrete-event simulation.

All of it holds for an **even split** of reads over the copies, which keeps the arrivals of a server Poisson. A router
that looks at the queues has a much shorter tail than these formulas say.
"""

import math

from numba import njit

from psgym.replicas.arrays import Floats

# Above this utilisation the latency is frozen: an overloaded server has no steady state, its reads stall instead.
MAX_UTILISATION = 0.98

# Of the percentiles of a cluster, relative; a handful of steps reach it.
_PRECISION = 1e-9
_MAX_STEPS = 60


@njit(cache=True)
def capped_utilisation(load: float, bandwidth: float) -> float:
    """``rho = min(load / bandwidth, .98)``; a server without bandwidth counts as full, unless nothing is read.

    Args:
        load: Bytes/s asked of the server.
        bandwidth: Bytes/s that copies leave to reads.
    """
    if load <= 0.0:
        return 0.0
    if load >= MAX_UTILISATION * bandwidth:
        return MAX_UTILISATION
    return load / bandwidth


@njit(cache=True)
def mean_latency(request_bytes: float, load: float, bandwidth: float) -> float:
    """Mean seconds of a read under processor sharing: ``T = (q / e) / (1 - rho)``.

    Args:
        request_bytes: ``q``, bytes of one request.
        load: Bytes/s asked of the server.
        bandwidth: ``e``, bytes/s that copies leave to reads, above 0.
    """
    return request_bytes / bandwidth / (1.0 - capped_utilisation(load, bandwidth))


@njit(cache=True)
def p95_over_mean(utilisation: float) -> float:
    """95th percentile over mean for requests of one size, fitted for rho in [.2, .95]: ``1.53 + 1.49 rho``."""
    return 1.53 + 1.49 * utilisation


@njit(cache=True)
def p99_over_mean(utilisation: float) -> float:
    """99th percentile over mean for requests of one size, fitted for rho in [.2, .95]: ``1.96 + 2.70 rho``."""
    return 1.96 + 2.7 * utilisation


@njit(cache=True)
def p95_latency(request_bytes: float, load: float, bandwidth: float) -> float:
    """95th percentile in seconds of the reads of one server; arguments as for :func:`mean_latency`."""
    rho = capped_utilisation(load, bandwidth)
    return p95_over_mean(rho) * mean_latency(request_bytes, load, bandwidth)


@njit(cache=True)
def p99_latency(request_bytes: float, load: float, bandwidth: float) -> float:
    """99th percentile in seconds of the reads of one server; arguments as for :func:`mean_latency`."""
    rho = capped_utilisation(load, bandwidth)
    return p99_over_mean(rho) * mean_latency(request_bytes, load, bandwidth)


@njit(cache=True)
def cluster_mean(request_bytes: float, load: Floats, bandwidth: Floats) -> float:
    """Mean latency over all requests of the cluster, seconds: the servers' means weighted by their load.

    Returns 0 when nothing is read.

    Args:
        request_bytes: ``q``, bytes of one request.
        load: Bytes/s asked of each server, shape ``(servers,)``.
        bandwidth: Bytes/s that copies leave to reads, above 0 where load is, shape ``(servers,)``.
    """
    total = weighted_sum = 0.0
    for server in range(load.shape[0]):
        if load[server] > 0.0:
            total += load[server]
            weighted_sum += load[server] * mean_latency(request_bytes, load[server], bandwidth[server])
    return weighted_sum / total if total > 0.0 else 0.0


@njit(cache=True)
def _tail(seconds: float, request_bytes: float, load: Floats, bandwidth: Floats, p99: bool) -> tuple[float, float]:
    """Share of the cluster's requests that take longer, as a mixture of shifted exponentials, and its derivative."""
    total = late = slope = 0.0
    for server in range(load.shape[0]):
        if load[server] <= 0.0:
            continue
        shift = request_bytes / bandwidth[server]
        if p99:
            scale = (p99_latency(request_bytes, load[server], bandwidth[server]) - shift) / math.log(100.0)
        else:
            scale = (p95_latency(request_bytes, load[server], bandwidth[server]) - shift) / math.log(20.0)
        total += load[server]
        if seconds <= shift:
            late += load[server]
        else:
            later = load[server] * math.exp((shift - seconds) / scale)
            late += later
            slope -= later / scale
    return late / total, slope / total


@njit(cache=True)
def _cluster_percentile(request_bytes: float, load: Floats, bandwidth: Floats, p99: bool) -> float:
    """Latency that the wanted share of requests exceeds: Newton's method, kept within a bracket by bisection.

    The logarithm of the tail is convex past the last shift, so Newton's steps from there approach from one side.
    """
    low = high = seconds = 0.0
    for server in range(load.shape[0]):
        if load[server] > 0.0:
            high = max(high, p99_latency(request_bytes, load[server], bandwidth[server]))
            seconds = max(seconds, request_bytes / bandwidth[server])
    if high == 0.0:
        return 0.0
    wanted = 0.01 if p99 else 0.05
    for _ in range(_MAX_STEPS):
        late, slope = _tail(seconds, request_bytes, load, bandwidth, p99)
        if late > wanted:
            low = seconds
        else:
            high = seconds
        previous = seconds
        seconds = 0.5 * (low + high)
        if slope < 0.0:
            newton = previous - math.log(late / wanted) * late / slope
            if low < newton < high:
                seconds = newton
        if abs(seconds - previous) <= _PRECISION * seconds:
            break
    return seconds


@njit(cache=True)
def cluster_p95(request_bytes: float, load: Floats, bandwidth: Floats) -> float:
    """95th percentile of latency over all requests of the cluster, seconds; see :func:`cluster_p99`."""
    return _cluster_percentile(request_bytes, load, bandwidth, False)


@njit(cache=True)
def cluster_p99(request_bytes: float, load: Floats, bandwidth: Floats) -> float:
    """99th percentile of latency over all requests of the cluster, seconds; 0 when nothing is read.

    A server's latency is taken as ``q / e`` plus an exponential whose 99th percentile is :func:`p99_latency`; the
    percentile of the servers' mixture, weighted by load, is found numerically. Arguments as for
    :func:`cluster_mean`.
    """
    return _cluster_percentile(request_bytes, load, bandwidth, True)
