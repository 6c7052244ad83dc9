"""What decisions and slots are made of: ``python benchmarks/accounting.py [ID] [COPIES]``.

The kernels of a step are taken apart and put together again with a reading of the processor's time-stamp counter after
every call, so that what is timed is what runs. Copies of one environment live through random legal actions; what the
readings themselves take is subtracted, and a piece that lasts longer than 20 us was interrupted and does not count.
"""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic
from speed import record_vector, replay_vector, table

import psgym
from psgym.envs import simulation
from psgym.envs.cluster import batch, decide, slot

STEPS, REPEATS = 300, 4
INTERRUPTED_SECONDS = 20e-6


@intrinsic
def cycles(_: Any) -> Any:
    """The time-stamp counter."""

    def generate(_: Any, builder: Any, *__: Any) -> Any:
        counter = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, counter, "llvm.readcyclecounter"), [])

    return types.int64(), generate


@njit
def lap(laps: Any, piece: int) -> None:
    """Books the time since the last lap on a piece; the last row holds that time, and what counts as interrupted."""
    spent = cycles() - laps[-1, 0]
    if spent < laps[-1, 1]:
        laps[piece, 0] += spent
        laps[piece, 1] += 1
    laps[-1, 0] = cycles()


class Timed:
    """Kernels with a lap after every call of another kernel."""

    def __init__(self) -> None:
        """Starts without pieces."""
        self.names: list[str] = []
        self._folder = tempfile.TemporaryDirectory()  # for what is put together; numba reads it again

    def kernel(self, kernel: Any, **inner: Any) -> Any:
        """A kernel with one more argument, the laps; ``inner`` are timed ones that take the place of what it calls."""
        tree = ast.parse(inspect.getsource(kernel.py_func))
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        self._globals, self._inner, self._prefix = kernel.py_func.__globals__, inner, function.name
        function.decorator_list = []
        function.args.args.append(ast.arg("laps"))
        function.body = [*ast.parse("laps[-1, 0] = cycles()").body, *self._with_laps(function.body)]
        path = Path(self._folder.name, f"{function.name}.py")
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
        names = {**self._globals, **inner, "lap": lap, "cycles": cycles}
        return njit(error_model="numpy")(runpy.run_path(str(path), names)[function.name])

    def _with_laps(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        timed: list[ast.stmt] = []
        for statement in statements:
            for part in ("body", "orelse"):
                if getattr(statement, part, None):
                    setattr(statement, part, self._with_laps(getattr(statement, part)))
            head = statement.test if isinstance(statement, ast.If) else statement
            name = None if isinstance(statement, (ast.For, ast.While, ast.Return)) else self._called(head)
            if name is None:
                timed.append(statement)
            elif isinstance(statement, ast.If):
                timed.append(ast.Assign([ast.Name("true", ast.Store())], statement.test))
                statement.test = ast.Name("true", ast.Load())
                timed += [*self._lap(name), statement]
            else:
                timed += [statement, *self._lap(name)]
        return timed

    def _called(self, node: ast.AST) -> str | None:
        """The last kernel that a statement calls; a timed one is given the laps, and needs none after it."""
        found = None
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                if call.func.id in self._inner:
                    call.args.append(ast.Name("laps", ast.Load()))
                elif isinstance(self._globals.get(call.func.id), Dispatcher):
                    found = call.func.id
        return found

    def _lap(self, name: str) -> list[ast.stmt]:
        self.names.append(f"{self._prefix}: {name}")
        return ast.parse(f"lap(laps, {len(self.names) - 1})").body


@njit
def _now() -> int:
    return cycles()


@njit
def _empty_laps(laps: Any) -> None:
    for _ in range(10000):
        lap(laps, 0)


def _calibrate(laps: Any) -> tuple[float, float]:
    """Ticks in a second, and ticks that a lap takes."""
    _now()
    first, start = _now(), time.perf_counter()
    time.sleep(0.2)
    rate = (_now() - first) / (time.perf_counter() - start)
    laps[-1] = _now(), rate * INTERRUPTED_SECONDS
    _empty_laps(laps)
    return rate, laps[0, 0] / laps[0, 1]


def _with(kernel: Callable[..., Any], laps: Any) -> Callable[..., Any]:
    return lambda *arguments: kernel(*arguments, laps)


def main() -> None:
    """Prints the table."""
    view_id = sys.argv[1] if len(sys.argv) > 1 else "psgym/Allocation-v0"
    copies = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    env: Any = gym.make_vec(view_id, copies, "vector_entry_point", preset="small")
    actions, slots = record_vector(env, STEPS)
    plain = min(replay_vector(env, actions) for _ in range(REPEATS))
    timed = Timed()
    growth = timed.kernel(decide._decide_allocation)
    one = timed.kernel(decide.decide, _decide_allocation=growth)
    decided = timed.kernel(batch.decide_batch, decide=one)
    live, opened = timed.kernel(slot.live_slot), timed.kernel(slot.open_slot)
    advance = timed.kernel(batch.advance_batch, live_slot=live, open_slot=opened)
    laps = np.zeros((len(timed.names) + 1, 2), np.int64)
    simulation.decide_batch = _with(decided, laps)  # type: ignore[assignment]
    simulation.advance_batch = _with(advance, laps)  # type: ignore[assignment]
    rate, overhead = _calibrate(laps)
    best, least = laps.copy(), np.inf
    for _ in range(REPEATS):
        laps[:-1] = 0
        replay_vector(env, actions)
        if laps[:-1, 0].sum() < least:
            best, least = laps.copy(), float(laps[:-1, 0].sum())
    nanoseconds = 1e9 / rate * (best[:, 0] - overhead * best[:, 1])
    decisions = copies * STEPS
    print(f"psgym {psgym.__version__}, `{view_id}`, {copies} copies, preset `small`: {1e9 * plain:.0f} ns a decision,")
    print(
        f"{decisions / slots:.1f} decisions a slot; {sum(nanoseconds[:-1]) / decisions:.0f} ns of them in the pieces\n"
    )
    rows = [
        [name, f"{calls / slots:.2f}", f"{spent / slots:.0f}"]
        for name, (_, calls), spent in zip(timed.names, best, nanoseconds, strict=False)
        if calls
    ]
    table(("piece", "calls a slot", "ns a slot"), rows)


if __name__ == "__main__":
    main()
