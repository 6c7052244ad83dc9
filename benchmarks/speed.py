"""Speed of the environments, as a Markdown table: ``python benchmarks/speed.py [SECTION ...]``.

Everything is measured on CPU time in one process, and each environment is measured in turns with Gymnasium's CartPole:
only the ratios mean something on another or a busy machine. Actions are random legal ones; they are drawn beforehand,
and the same episode is then lived again with the clock running, so that drawing them costs nothing. (The benchmarks of
``gymnasium.utils.performance`` go by the wall clock and sample actions within it, so they are not used here.)

Sections (all, if none is named): ``decisions``, ``vector``, ``scaling``, ``start``, ``compile``, ``render`` and
``training``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import psgym
from psgym.envs.views import VIEWS

REPEATS = 3
DECISIONS = 20_000
COPIES = 1024
VECTOR_STEPS = 200
TRAINING_STEPS = 200_000
_FIRST_STEP = "import gymnasium, psgym; env = gymnasium.make('{id}', preset='{preset}'); env.reset(seed=0); env.step(0)"


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints a Markdown table."""
    head = list(head)
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
    print(flush=True)


def thousands(rate: float) -> str:
    """A rate with three digits."""
    return f"{float(f'{rate:.3g}'):,.0f}"


def legal_actions(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """One of the legal actions of each row, each as likely as any other."""
    return np.argmax(rng.random(masks.shape, dtype=np.float32) * masks, axis=-1)


def record(env: Any, decisions: int) -> list[int]:
    """Random legal actions from the first reset with seed 0 on."""
    rng, actions = np.random.default_rng(0), []
    _, info = env.reset(seed=0)
    for _ in range(decisions):
        actions.append(int(legal_actions(info["action_mask"], rng)))
        _, _, terminated, truncated, info = env.step(actions[-1])
        if terminated or truncated:
            _, info = env.reset()
    return actions


def replay(env: Any, actions: list[int]) -> float:
    """CPU time of living recorded actions again, resets included."""
    env.reset(seed=0)

    def live() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return cpu_seconds(live)


def split(env: Any, actions: list[int]) -> tuple[float, float, int]:
    """Mean CPU time of a decision that does not commit and of one that does, and the number of slots."""
    env.reset(seed=0)
    spent: tuple[list[float], list[float]] = ([], [])
    for action in actions:
        start = time.process_time()
        _, _, terminated, truncated, info = env.step(action)
        spent[info["slots_elapsed"]].append(time.process_time() - start)
        if terminated or truncated:
            env.reset()
    clock = cpu_seconds(lambda: [time.process_time() for _ in range(10_000)]) / 10_000
    small, commit = (statistics.fmean(times) - clock for times in spent)
    return small, commit, len(spent[1])


def cartpole(decisions: int = 3 * DECISIONS) -> float:
    """CPU time of a step of CartPole-v1 through ``gym.make``, resets included."""
    env = gym.make("CartPole-v1")
    return replay(env, np.random.default_rng(0).integers(0, 2, decisions).tolist()) / decisions


def decisions() -> None:
    """Single environments through ``gym.make``."""
    envs = {view_id: gym.make(view_id, preset="small") for view_id in VIEWS}
    recorded = {view_id: record(env, DECISIONS) for view_id, env in envs.items()}
    steps, times = [], {view_id: [] for view_id in envs}
    for _ in range(REPEATS):
        steps.append(cartpole())
        for view_id, env in envs.items():
            times[view_id].append(replay(env, recorded[view_id]) / DECISIONS)
    step = statistics.median(steps)
    rows = [["CartPole-v1", thousands(1 / step), "", "1.00", f"{1e6 * step:.1f}", ""]]
    for view_id, env in envs.items():
        decision = statistics.median(times[view_id])
        ratio = statistics.median(a / b for a, b in zip(steps, times[view_id], strict=True))
        _, commit, slots = split(env, recorded[view_id])
        slot_rate = slots / (decision * DECISIONS)
        cost = [f"{1e6 * decision:.1f}", f"{commit / step:.1f}"]
        rows.append([f"`{view_id}`", thousands(1 / decision), thousands(slot_rate), f"{ratio:.2f}", *cost])
    print("Single environments through `gym.make`, preset `small`\n")
    head = ("environment", "decisions/s", "slots/s", "over CartPole's", "us a decision", "a COMMIT in CartPole steps")
    table(head, rows)


def record_vector(env: Any, steps: int) -> tuple[list[NDArray[np.int64]], int]:
    """Random legal actions of every copy, and the slots that they commit."""
    rng, actions, slots = np.random.default_rng(0), [], 0
    _, infos = env.reset(seed=0)
    for _ in range(steps):
        actions.append(legal_actions(infos["action_mask"], rng))
        infos = env.step(actions[-1])[-1]
        slots += int(infos["slots_elapsed"].sum())
    return actions, slots


def replay_vector(env: Any, actions: list[NDArray[np.int64]]) -> float:
    """CPU time of one decision of one copy."""
    env.reset(seed=0)
    seconds = cpu_seconds(lambda: [env.step(row) and None for row in actions])
    return seconds / (len(actions) * env.num_envs)


def vector() -> None:
    """Native vector environments through ``gym.make_vec``, against CartPole's and against single environments."""
    pole = gym.make_vec("CartPole-v1", COPIES, "vector_entry_point")
    pole_actions = list(np.random.default_rng(0).integers(0, 2, (VECTOR_STEPS, COPIES)))
    rows, pole_times = [], []
    for view_id in VIEWS:
        single = gym.make(view_id, preset="small")
        recorded = record(single, DECISIONS)
        env = gym.make_vec(view_id, COPIES, "vector_entry_point", preset="small")
        actions, slots = record_vector(env, VECTOR_STEPS)
        times = [
            (replay_vector(env, actions), replay_vector(pole, pole_actions), replay(single, recorded) / DECISIONS)
            for _ in range(REPEATS)
        ]
        pole_times += [pole_time for _, pole_time, _ in times]
        decision = statistics.median(own for own, *_ in times)
        over_pole = statistics.median(pole_time / own for own, pole_time, _ in times)
        over_single = statistics.median(one / own for own, _, one in times)
        slot_rate = slots / (decision * VECTOR_STEPS * COPIES)
        ratios = [f"{over_single:.1f}", f"1/{1 / over_pole:.0f}", f"{1e6 * decision:.2f}"]
        rows.append([f"`{view_id}`", thousands(1 / decision), thousands(slot_rate), *ratios])
    step = statistics.median(pole_times)
    rows.insert(0, ["CartPole-v1", thousands(1 / step), "", "", "1", f"{1e6 * step:.2f}"])
    print(f"{COPIES} copies through `gym.make_vec`, one thread, preset `small`\n")
    table(("environment", "decisions/s", "slots/s", "over the single one", "over CartPole's", "us a decision"), rows)


def scaling() -> None:
    """Cost of a slot against the size of the cluster, decisions by SRPT-Optimus and hot/cold outside the clock."""
    from psgym.agents.policies import make_policy

    rows = []
    for preset, slots in (("storage", 300), ("small", 200), ("contended", 200), ("large", 40)):
        view_id = "psgym/Replicas-v0" if preset == "storage" else "psgym/Cluster-v0"
        env = gym.make(view_id, preset=preset)
        name = "hot-cold" if preset == "storage" else "static+hot-cold+srpt-optimus"
        commits, sizes = _commits(env, make_policy(name, env, view_id), slots)
        cost, size = statistics.fmean(commits), np.mean(sizes, axis=0)
        counts = [f"{value:,.0f}" for value in size]
        rows.append([f"`{preset}`", *counts, f"{1e6 * cost:.0f}", f"{1e9 * cost / size.sum():.0f}"])
    print("A COMMIT against what it simulates\n")
    table(("preset", "jobs", "nodes", "replicas", "us a slot", "ns a job, node or replica"), rows)


def _commits(env: Any, policy: Any, slots: int) -> tuple[list[float], list[tuple[int, int, int]]]:
    """CPU time of each slot of the second half, and its jobs, nodes and replicas."""
    observation, info = env.reset(seed=0)
    commits, sizes = [], []
    while len(commits) < slots:
        action = int(policy.predict(observation)[0])
        start = time.process_time()
        observation, _, _, _, info = env.step(action)
        if info["slots_elapsed"]:
            commits.append(time.process_time() - start)
            public = env.unwrapped.public[0]
            replicas = int(public["datasets"]["copies"].sum())
            sizes.append((int(public["active_count"]), env.unwrapped.config.nodes, replicas))
    return commits[slots // 2 :], sizes[slots // 2 :]


def _child(preset: str, cache: str | None) -> tuple[float, float]:
    """Wall and CPU time of a new process from import to first step."""
    view_id = "psgym/Replicas-v0" if preset == "storage" else "psgym/Cluster-v0"
    code = _FIRST_STEP.format(id=view_id, preset=preset) + "; import time; print(time.process_time())"
    variables = {**os.environ, **({"NUMBA_CACHE_DIR": cache} if cache else {})}
    start = time.perf_counter()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)  # noqa: S603
    return time.perf_counter() - start, float(done.stdout)


def start() -> None:
    """A new process with a warm cache of kernels: import, make, reset and first step."""
    _child("small", None)
    wall, cpu = zip(*(_child("small", None) for _ in range(REPEATS)), strict=True)
    made = cpu_seconds(lambda: [gym.make("psgym/Cluster-v0").reset(seed=seed) and None for seed in range(50)]) / 50
    print("Start\n")
    rows = [["import, `gym.make`, reset and first step in a new process, kernels cached",
             f"{statistics.median(wall):.2f} s wall, {statistics.median(cpu):.2f} s CPU"],
            ["`gym.make` and reset after that", f"{1e3 * made:.1f} ms CPU"]]  # fmt: skip
    table(("what", "time"), rows)


def compile_cold() -> None:
    """The first step ever of each shape of cluster: all kernels are compiled."""
    rows = []
    for preset in ("small", "storage", "large", "dl2"):
        with tempfile.TemporaryDirectory() as cache:
            wall, cpu = _child(preset, cache)
        rows.append([f"`{preset}`", f"{cpu:.0f}", f"{wall:.0f}"])
    print("First step with an empty cache of kernels\n")
    table(("shape", "s CPU", "s wall"), rows)


def render() -> None:
    """Frames of a busy cluster, a slot after another."""
    rows = []
    for mode in ("ansi", "rgb_array"):
        env = gym.make("psgym/Cluster-v0", preset="contended", render_mode=mode)
        env.reset(seed=0)
        env.render()
        times = []
        for _ in range(100):
            env.step(0)
            times.append(cpu_seconds(env.render))
        rows.append([f"`{mode}`", f"{1e3 * statistics.fmean(times):.1f}", thousands(1 / statistics.fmean(times))])
    print("Rendering\n")
    table(("mode", "ms a frame", "frames/s"), rows)


def training() -> None:
    """Share of the wall time of MaskablePPO's training that is spent in the environment, from random weights on."""
    rows = [_training_row(algo, network) for algo, network in (("maskable-ppo", "mlp"), ("clone-ppo", "entities"))]
    print("MaskablePPO with the defaults, decisions/s with learning included\n")
    table(("defaults of", "network", "copies", "decisions/s", "share of the time in the environment"), rows)


def _training_row(algo: str, network: str) -> list[str]:
    from psgym.agents.models import make_model
    from psgym.agents.training import Training

    envs = Training("psgym/Cluster-v0", algo).make_envs()
    spent = [0.0]
    for name in ("step_wait", "env_method", "reset"):
        setattr(envs, name, _clocked(getattr(envs, name), spent))
    model = make_model(algo, envs, network=network)
    model.learn(envs.num_envs * model.n_steps)  # type: ignore[attr-defined]
    spent[0], began = 0.0, time.perf_counter()
    model.learn(TRAINING_STEPS, reset_num_timesteps=False)
    total = time.perf_counter() - began
    share = f"{100 * spent[0] / total:.1f} %"
    return [f"`{algo}`", network, str(envs.num_envs), thousands(TRAINING_STEPS / total), share]


def _clocked(work: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """A function that adds its wall time to ``spent``."""

    def clocked(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = work(*args, **kwargs)
        spent[0] += time.perf_counter() - began
        return result

    return clocked


SECTIONS: dict[str, Callable[[], None]] = {
    "decisions": decisions,
    "vector": vector,
    "scaling": scaling,
    "start": start,
    "compile": compile_cold,
    "render": render,
    "training": training,
}


def main() -> None:
    """Measures the sections that the command line names."""
    names = sys.argv[1:] or list(SECTIONS)
    for name in names:
        if name not in SECTIONS:
            sys.exit(f"no section {name!r}; there are {', '.join(SECTIONS)}")
    print(f"psgym {psgym.__version__}, Gymnasium {gym.__version__}, Python {sys.version.split()[0]}\n")
    for name in names:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
