"""An image on a matplotlib figure, pixel for pixel; imported when the first window opens."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray


class Pixels(Artist):
    """Fills a figure with an image. ``Figure.figimage`` resamples it, though nothing is scaled: five times the work."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        """Begins with an image of shape ``(height, width, 3)``."""
        super().__init__()
        self._bottom_up = np.full((*pixels.shape[:2], 4), 255, np.uint8)
        self.set_data(pixels)

    def set_data(self, pixels: NDArray[np.uint8]) -> None:
        """Takes another image of the same shape."""
        self._bottom_up[..., :3] = pixels[::-1]
        self.stale = True

    def draw(self, renderer: Any) -> None:
        """Draws the image, enlarged by a whole number where a screen has finer dots than the figure."""
        times = max(1, int(renderer.height) // len(self._bottom_up))
        image = self._bottom_up if times == 1 else self._bottom_up.repeat(times, 0).repeat(times, 1)
        gc = renderer.new_gc()
        renderer.draw_image(gc, 0, 0, image)
        gc.restore()
        self.stale = False
