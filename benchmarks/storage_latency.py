"""Read latency of data servers: the fluid formulas against a discrete-event simulation of the same servers.

    python benchmarks/storage_latency.py [--requests 3000000] [--seed 0]

Two parts. *One server*: requests of one size arrive as a Poisson stream at a server that divides its bandwidth evenly
among the requests it holds. *A cluster*: 20 servers, some slowed by copy traffic, and 400 datasets of Zipf popularity
with three copies each; every request goes to one of the copies at random (even split). Printed are the simulated
mean, 95th and 99th percentile and the error of ``psgym.replicas.latency``; rho is the utilisation of the busiest
server. It exits with status 1 if an error within the range of the fit exceeds the tolerance. Needs SimPy.
"""

import argparse
import heapq
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import simpy

from psgym.replicas import latency

REQUEST_BYTES = 64e6
BANDWIDTH = 1.25e9
TOLERANCE = 0.04
WARM_UP_SHARE = 0.05


class SharingServer:
    """A server that splits its bandwidth evenly over the requests in progress.

    Kept in virtual time, the bytes that a request present from the start would have received: a request is finished
    when virtual time reaches its start plus its size, so only the earliest finish matters.
    """

    def __init__(self, env: simpy.Environment, bandwidth: float, finished: Callable[[float, float], None]) -> None:
        self._env = env
        self._bandwidth = bandwidth
        self._finished = finished
        self._requests: list[tuple[float, float]] = []  # (virtual finish, arrival), a heap
        self._virtual = 0.0
        self._updated = 0.0
        self._plan = 0

    def submit(self, size: float) -> None:
        """Start serving a request of ``size`` bytes."""
        self._catch_up()
        heapq.heappush(self._requests, (self._virtual + size, self._env.now))
        self._plan_next()

    def _catch_up(self) -> None:
        if self._requests:
            self._virtual += (self._env.now - self._updated) * self._bandwidth / len(self._requests)
        self._updated = self._env.now

    def _plan_next(self) -> None:
        """Wait for the earliest finish; a later plan makes this one void."""
        self._plan += 1
        if not self._requests:
            return
        left = max(0.0, self._requests[0][0] - self._virtual)
        departure = self._env.timeout(left * len(self._requests) / self._bandwidth, self._plan)
        departure.callbacks.append(self._depart)

    def _depart(self, departure: simpy.Event) -> None:
        if departure.value != self._plan:
            return
        self._catch_up()
        _, arrival = heapq.heappop(self._requests)
        self._finished(arrival, self._env.now)
        self._plan_next()


@dataclass(frozen=True)
class Storage:
    """Servers and the bytes/s that datasets ask of them.

    Attributes:
        bandwidth: Bytes/s that each server has for reads, shape ``(servers,)``.
        demand: Bytes/s read of each dataset, shape ``(datasets,)``.
        holders: Servers with a copy of each dataset, shape ``(datasets, copies)``.
    """

    bandwidth: np.ndarray
    demand: np.ndarray
    holders: np.ndarray

    def load(self) -> np.ndarray:
        """Bytes/s asked of each server when reads split evenly over the copies, shape ``(servers,)``."""
        copies = self.holders.shape[1]
        share = np.repeat(self.demand / copies, copies)
        return np.bincount(self.holders.ravel(), weights=share, minlength=self.bandwidth.size)


def one_server(utilisation: float) -> Storage:
    """A single server under a given utilisation."""
    return Storage(np.array([BANDWIDTH]), np.array([utilisation * BANDWIDTH]), np.array([[0]]))


def cluster(utilisation: float, rng: np.random.Generator) -> Storage:
    """Twenty servers, five of which lose a quarter of their bandwidth to copies, and 400 datasets of Zipf(.9).

    The demand is scaled to the given utilisation of the busiest server.
    """
    servers, datasets, copies = 20, 400, 3
    bandwidth = np.full(servers, BANDWIDTH)
    bandwidth[:5] *= 0.75
    popularity = 1.0 / np.arange(1, datasets + 1) ** 0.9
    # The head counts as spread over more copies already: with three, its servers alone would be busy.
    popularity[:10] = popularity[10]
    holders = np.array([rng.choice(servers, copies, replace=False) for _ in range(datasets)])
    unscaled = Storage(bandwidth, popularity, holders)
    busiest = (unscaled.load() / bandwidth).max()
    return Storage(bandwidth, popularity * utilisation / busiest, holders)


def simulate(storage: Storage, requests: int, rng: np.random.Generator) -> np.ndarray:
    """Latencies in seconds of ``requests`` reads after the warm-up, in order of completion."""
    env = simpy.Environment()
    latencies: list[float] = []
    servers = [
        SharingServer(env, float(bandwidth), lambda arrival, now: latencies.append(now - arrival))
        for bandwidth in storage.bandwidth
    ]
    warm_up = int(WARM_UP_SHARE * requests)
    env.process(_arrivals(env, storage, servers, requests + warm_up, rng))
    env.run()
    return np.array(latencies[warm_up:])


def _arrivals(
    env: simpy.Environment, storage: Storage, servers: list[SharingServer], requests: int, rng: np.random.Generator
) -> Generator[simpy.Event, None, None]:
    """Poisson requests: the dataset by demand, the copy at random."""
    total = storage.demand.sum()
    gaps = rng.exponential(REQUEST_BYTES / total, requests).tolist()
    dataset = rng.choice(storage.demand.size, requests, p=storage.demand / total)
    copy = rng.integers(storage.holders.shape[1], size=requests)
    for gap, server in zip(gaps, storage.holders[dataset, copy].tolist(), strict=True):
        yield env.timeout(gap)
        servers[server].submit(REQUEST_BYTES)


def formula(storage: Storage) -> np.ndarray:
    """Mean, 95th and 99th percentile in seconds by the fluid formulas."""
    functions = latency.cluster_mean, latency.cluster_p95, latency.cluster_p99
    return np.array([function(REQUEST_BYTES, storage.load(), storage.bandwidth) for function in functions])


def measure(latencies: np.ndarray) -> np.ndarray:
    """Mean, 95th and 99th percentile in seconds of simulated latencies."""
    return np.array([latencies.mean(), *np.quantile(latencies, [0.95, 0.99])])


def report(name: str, storage: Storage, requests: int, rng: np.random.Generator) -> float:
    """Print one line of the table and return the largest relative error in it."""
    latencies = simulate(storage, requests, rng)
    simulated, fluid = measure(latencies), formula(storage)
    parts = np.array([measure(part) for part in np.array_split(latencies, 10)])
    noise = parts.std(axis=0, ddof=1) / np.sqrt(len(parts)) / simulated
    error = fluid / simulated - 1.0
    cells = [f"{s:7.4f} {e:+6.1%} ({n:.1%})" for s, e, n in zip(simulated, error, noise, strict=True)]
    print(f"{name:<28} {(storage.load() / storage.bandwidth).max():6.3f}  " + "  ".join(cells), flush=True)
    return float(np.abs(error).max())


def main() -> int:
    """Print the table; 1 if an error within the range of the fit exceeds the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3_000_000, help="requests simulated for each line")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"seconds, error of the formula (standard error of the simulation); {arguments.requests} requests a line")
    print(f"{'':<28} {'rho':>6}  {'mean':<22}  {'95 %':<22}  {'99 %':<22}")
    for rho in (0.05, 0.1):
        report("one server, outside the fit", one_server(rho), arguments.requests, rng)
    storages = {"one server": [one_server(rho) for rho in (0.2, 0.3, 0.5, 0.7, 0.9)]}
    storages |= {"20 servers": [cluster(rho, rng) for rho in (0.5, 0.7, 0.8)]}
    errors = [report(name, storage, arguments.requests, rng) for name, group in storages.items() for storage in group]
    print(f"largest error {max(errors):.1%}, tolerance {TOLERANCE:.0%}")
    return int(max(errors) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
