"""Lets long work end in order when the process is asked to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """Work was stopped by a signal after it had saved what it had."""

    def __init__(self, message: str, number: int) -> None:
        """Keeps the number of the signal."""
        super().__init__(message)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What the shell expects of a process that this signal ended."""
        return 128 + self.number


class StopSignals:
    """While entered, SIGTERM and SIGINT only set `received`; a second one ends the process as it always would."""

    def __init__(self) -> None:
        """Starts with nothing received."""
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # handlers can be set nowhere else
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
