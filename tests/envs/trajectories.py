"""Random trajectories and their fingerprints, shared by the tests of the simulator.

Run as a script, it prints one line for each trajectory that its first argument asks for: ``plain`` (one of each id) or
``reference`` (a hundred short ones). A second process, or one without JIT, is thereby compared bit by bit.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import sys
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from gymnasium.envs.registration import load_env_creator
from numpy.typing import NDArray

from psgym.envs.cluster.config import ALLOCATION_RULES, CAPACITY_RULES, REPLICA_RULES
from psgym.envs.env import ClusterEnv
from psgym.envs.registration import ENTRY_POINTS

ENVS = tuple(cast("type[ClusterEnv]", load_env_creator(entry_point)) for entry_point in ENTRY_POINTS.values())
"""The class of each registered id."""

BUSY = {"load": 3.0, "node_failures_per_day": 40.0, "server_failures_per_day": 20.0}
"""Changes that make much happen in few slots."""

_COUPLINGS = ("hidden_coefficients", "noisy_speed", "restart_cost", "spread_cost", "colocation_cost", "storage_stalls")


def leaves(records: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Every plain array inside a structured one: the padding between fields means nothing."""
    if records.dtype.names is None:
        yield records
        return
    for name in records.dtype.names:
        yield from leaves(records[name])


def fingerprint(*arrays: NDArray[Any]) -> str:
    """A hash of every byte of arrays, structured or plain."""
    digest = hashlib.sha256()
    for array in arrays:
        for leaf in leaves(np.asarray(array)):
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _bytes_of(value: Any) -> bytes:
    """The bits of anything that a step returns; a mapping with its keys."""
    if isinstance(value, dict):
        return b"".join(key.encode() + _bytes_of(value[key]) for key in value)
    if isinstance(value, float):
        return struct.pack("d", value)
    return np.ascontiguousarray(value).tobytes()


def fingerprint_of_step(env: ClusterEnv, returned: tuple[Any, ...]) -> str:
    """A hash of all that a step or a reset returned, and of the whole state after it."""
    simulation = env.simulation
    digest = hashlib.sha256(b"".join(_bytes_of(part) for part in returned))
    digest.update(fingerprint(simulation.states, simulation.scenarios).encode())
    return digest.hexdigest()


def random_action(mask: NDArray[np.bool_], rng: np.random.Generator, commits: float = 0.1) -> int:
    """COMMIT, any action of the space (one in twenty), or a legal one."""
    draw = rng.random()
    if draw < commits:
        return 0
    if draw < commits + 0.05:
        return int(rng.integers(mask.shape[0]))
    return int(rng.choice(np.flatnonzero(mask)))


def walk(env: ClusterEnv, rng: np.random.Generator, steps: int, commits: float = 0.1) -> list[str]:
    """The fingerprint of every step of a random walk, from wherever the environment stands."""
    prints = []
    for _ in range(steps):
        returned = env.step(random_action(env.action_masks(), rng, commits))
        prints.append(fingerprint_of_step(env, returned))
        if returned[2] or returned[3]:
            prints.append(fingerprint_of_step(env, env.reset()))
    return prints


def trajectory(env: ClusterEnv, seed: int, steps: int, commits: float = 0.1) -> list[str]:
    """The fingerprints of a reset and of a random walk after it."""
    first = fingerprint_of_step(env, env.reset(seed=seed))
    return [first, *walk(env, np.random.default_rng(seed + 1), steps, commits)]


def plain() -> Iterator[list[str]]:
    """A trajectory of each id, past several slots."""
    for make in ENVS:
        yield trajectory(make(preset="small", **BUSY), seed=3, steps=120)


def _variant(number: int) -> dict[str, Any]:
    """Changes of the configuration that keep the shape: rules, starting plans and switches take turns."""
    return {
        **BUSY,
        "allocation_rule": ALLOCATION_RULES[number % len(ALLOCATION_RULES)],
        "capacity_rule": CAPACITY_RULES[number % len(CAPACITY_RULES)],
        "replica_rule": REPLICA_RULES[(number // 3) % len(REPLICA_RULES)],
        "initial": ("one-each", "empty")[number % 2],
        "placement": ("heuristic", "agent")[(number // 2) % 2],
        _COUPLINGS[number % len(_COUPLINGS)]: number % 4 > 0,
    }


def reference(count: int = 100) -> Iterator[list[str]]:
    """Short trajectories over the four ids, all on the records of the preset ``small``."""
    for number, make in zip(range(count), itertools.cycle(ENVS), strict=False):
        env = make(preset="small", **_variant(number // len(ENVS)))
        yield trajectory(env, seed=100 + number, steps=8, commits=0.4)


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # without JIT, the hash behind the random numbers overflows scalars of NumPy
        for prints in {"plain": plain, "reference": reference}[sys.argv[1]]():
            print(" ".join(prints))  # noqa: T201
