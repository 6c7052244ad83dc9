"""The decorator of every kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit, types

F = TypeVar("F", bound=Callable[..., Any])

int64: Any = np.int64
"""Widens a narrow integer of a record, so that no kernel is compiled for both widths."""


def _stamp_of_sources() -> tuple[float, int]:
    """Newest change and total size of every source that a kernel may be compiled from."""
    package = Path(__file__).resolve().parents[2]
    sources = [path for part in ("envs/cluster", "replicas") for path in (package / part).rglob("*.py")]
    stats = [path.stat() for path in sources]
    return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats)


_STAMP = _stamp_of_sources()


def kernel(function: F) -> F:
    """``numba.njit(cache=True)`` that compiles a function once for each type, not once for each literal argument.

    A kernel called with ``0`` and with ``1`` would otherwise be compiled twice, and so would all that it calls: that
    doubles the time of a cold start. Without JIT the function is returned as it is.
    """
    dispatcher: Any = njit(cache=True, no_cfunc_wrapper=True)(function)
    if dispatcher is not function:
        template = dispatcher.get_call_template

        def without_literals(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            plain = {name: types.unliteral(value) for name, value in kws.items()}
            return template(tuple(types.unliteral(value) for value in args), plain)

        dispatcher.get_call_template = without_literals
        # Numba's cache notices a change in a function's own file only; a kernel also holds what it calls.
        dispatcher._cache._cache_file._source_stamp = _STAMP
    return dispatcher
