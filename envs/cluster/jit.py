"""The decorator of every kernel."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit, types

F = TypeVar("F", bound=Callable[..., Any])

int64: Any = np.int64
"""Widens a narrow integer of a record."""


_PACKAGE = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r"^from psgym\.([\w.]+) import", re.MULTILINE)


@functools.cache
def _source(module: str) -> tuple[str, tuple[str, ...]]:
    """A module's source, and the modules of the package that it imports from."""
    path = _PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    return text, tuple(_IMPORT.findall(text))


def _reachable(module: str, seen: set[str]) -> Iterator[str]:
    if module not in seen:
        seen.add(module)
        for imported in _source(module)[1]:
            yield from _reachable(imported, seen)
        yield module


@functools.cache
def _stamp(module: str) -> str:
    """A hash of the sources that a kernel of a module may be compiled from: its own, and all that it imports."""
    sources = (_source(name)[0] for name in sorted(_reachable(module, set())))
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def _wide(argument: Any) -> Any:
    """The type of an argument without its value, and of an integer without its width."""
    plain = types.unliteral(argument)
    narrow = isinstance(plain, types.Integer) and plain.signed and plain.bitwidth < 64
    return types.int64 if narrow else plain


def kernel(function: F) -> F:
    """``numba.njit(cache=True)`` that compiles a function once, whatever integers it is called with.

    A kernel called with ``0`` and with ``1``, or with integers of two widths, would otherwise be compiled twice, and so
    would all that it calls: that doubles the time of a cold start. Without JIT the function is returned as it is.
    """
    dispatcher: Any = njit(cache=True, no_cfunc_wrapper=True, error_model="numpy")(function)
    if dispatcher is not function:
        template = dispatcher.get_call_template

        def widened(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            return template(tuple(map(_wide, args)), {name: _wide(value) for name, value in kws.items()})

        dispatcher.get_call_template = widened
        # Numba's cache notices a change in a function's own file only; a kernel also holds what it calls.
        dispatcher._cache._cache_file._source_stamp = _stamp(function.__module__.removeprefix("psgym."))
    return dispatcher
