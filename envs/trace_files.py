"""Open the files of traces: plain, gzip or Zstandard, told by their first bytes and not by their names."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""What every program means by a number; `float` would also take "1_000", "nan", "inf" and digits of any script."""


class TraceError(ValueError):
    """A trace that cannot be used; the message names the file, and the line, column and value at fault."""


@contextmanager
def open_trace(path: Path) -> Iterator[Any]:
    """Open a file as a stream of its decompressed bytes, which is read piece by piece.

    Raises:
        TraceError: If the file cannot be opened, read or decompressed; the message names it.
    """
    try:
        with path.open("rb") as file:
            magic = file.peek(4)[:4]
            if magic.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=file) as stream:
                    yield stream
            elif magic == ZSTD_MAGIC:
                with _zstd(path, file) as stream:
                    yield stream
            else:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _zstd(path: Path, file: Any) -> Iterator[Any]:
    try:
        import zstandard
    except ImportError:
        raise TraceError(f"{path}: a Zstandard file, which needs: pip install zstandard") from None
    try:
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
            yield stream
    except zstandard.ZstdError as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
