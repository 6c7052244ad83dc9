"""Records whose fields are attributes, as numba shows them to a kernel: for running the kernels without JIT.

NumPy's own ``recarray`` does not serve: the attributes of its scalars (``size``, ``max``, ...) hide fields of the same
name, elements of an array within a record are no records, and access is several times slower.
"""

from __future__ import annotations

import functools
from operator import itemgetter
from typing import Any

import numpy as np


@functools.lru_cache(maxsize=256)
def with_attributes(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same type, of the same bytes, whose scalars have their fields as attributes, at every depth."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((with_attributes(base), shape))
    if dtype.names is None or dtype.fields is None:
        return dtype
    fields = [dtype.fields[name] for name in dtype.names]
    layout: Any = {
        "names": dtype.names,
        "formats": [with_attributes(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
    }
    return np.dtype((_record_class(dtype.names), np.dtype(layout)))


def _record_class(names: tuple[str, ...]) -> type[np.void]:
    return type("Record", (np.void,), {name: _field(name) for name in names})


def _field(name: str) -> property:
    def assign(record: Any, value: Any) -> None:
        record[name] = value

    return property(itemgetter(name), assign)
