"""A window that shows images one after another, for ``render_mode="human"``.

It is matplotlib's own, because matplotlib draws the images anyway; pygame would be another package, of 15 MB, that only
copies them to the screen.
"""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


class Window:
    """Opens with the first image. Once the user closes it, images are passed over.

    Where matplotlib finds no display it falls back to a backend without windows, and a warning says so; a backend that
    was chosen by the environment variable ``MPLBACKEND`` is taken as it is.
    """

    def __init__(self, title: str, frames_per_second: float) -> None:
        """Keeps the title, and how many images a second are shown at most."""
        self._title, self._interval = title, 1.0 / frames_per_second
        self._figure: Any = None
        self._image: Any = None
        self._next = 0.0

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Shows an image of shape ``(height, width, 3)``, not before the last has stood for its time."""
        import matplotlib.pyplot as plt

        if self._figure is None:
            self._open(pixels)
        elif not plt.fignum_exists(self._figure.number):
            return
        self._image.set_data(pixels)
        canvas = self._figure.canvas
        canvas.draw_idle()
        canvas.flush_events()
        while (left := self._next - time.monotonic()) > 0:
            canvas.flush_events()
            time.sleep(min(left, 0.02))
        self._next = time.monotonic() + self._interval

    def _open(self, pixels: NDArray[np.uint8]) -> None:
        import matplotlib
        import matplotlib.pyplot as plt

        from psgym.envs.render.pixels import Pixels

        height, width, _ = pixels.shape
        with matplotlib.rc_context({"toolbar": "None"}):
            self._figure = plt.figure(self._title, figsize=(width / 100, height / 100), dpi=100)
        self._image = self._figure.add_artist(Pixels(pixels))
        if getattr(self._figure.canvas.manager, "show", None) and _has_windows():
            self._figure.show()
        elif "MPLBACKEND" not in os.environ:
            gym.logger.warn('no display was found for render_mode="human"; use "rgb_array" or "ansi"')

    def close(self) -> None:
        """Closes the window."""
        if self._figure is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)
            self._figure = None


def _has_windows() -> bool:
    import matplotlib
    from matplotlib.backends.registry import backend_registry

    registry: Any = backend_registry
    _, framework = registry.resolve_backend(matplotlib.get_backend())
    return framework not in (None, "headless")  # a backend without an event loop has no windows
