"""Draws frames as images with matplotlib, which is imported only when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.envs.render.frame import Frame
from psgym.envs.render.stamps import StampPress

if TYPE_CHECKING:
    from psgym.envs.cluster.config import ClusterConfig

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 12.8, 7.2, 100.0


class ImageRenderer:
    """A figure that shows one cluster after another frame of it.

    What never changes (titles, scales) is drawn once and kept as a picture; each frame is drawn over a copy of it. No
    global state of matplotlib is used or left changed: the same frame gives the same pixels in any program.

    Attributes:
        figure: The matplotlib figure; ``figure.savefig("cluster.pdf")`` after a ``draw`` gives vector graphics.
    """

    def __init__(self, config: ClusterConfig, dpi: float = DOTS_PER_INCH) -> None:
        """Lays out the panels of a configuration: compute nodes and jobs only where jobs arrive.

        Args:
            config: The configuration of the cluster.
            dpi: Dots per inch; the figure is 12.8 x 7.2 inches.
        """
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        from psgym.envs.render import panels, storage_panels

        self._style = panels.STYLE
        with matplotlib.rc_context(self._style):
            self.figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=dpi, facecolor="white")
            self._canvas: Any = FigureCanvasAgg(self.figure)
            has_jobs = config.load > 0 or config.jobs_per_slot > 0
            upper = [panels.Nodes, panels.Jobs] if has_jobs else [storage_panels.Datasets]
            lower = [panels.Traffic, storage_panels.Servers] + ([storage_panels.Datasets] if has_jobs else [])
            boxes = _boxes(len(upper), len(lower))
            kinds = [panels.Head, *upper, *lower]
            self._panels = [kind(self.figure.add_axes(box), config) for kind, box in zip(kinds, boxes, strict=True)]
            self._press = StampPress(2 * WIDTH_INCHES, 0.5, dpi)
        self._background: Any = None

    def draw(self, frame: Frame) -> NDArray[np.uint8]:
        """Draws a frame; returns a new array of shape ``(height, width, 3)``."""
        import matplotlib
        from matplotlib.text import Text

        with matplotlib.rc_context(self._style):
            if self._background is None:
                self._canvas.draw()
                self._background = self._canvas.copy_from_bbox(self.figure.bbox)
            self._canvas.restore_region(self._background)
            for panel in self._panels:
                panel.show(frame)
            artists = [artist for panel in self._panels for artist in panel.artists]
            for artist in artists:
                if not isinstance(artist, Text):
                    artist.draw(self._canvas.get_renderer())
            pixels = np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
            for artist in artists:
                if isinstance(artist, Text) and artist.get_text():
                    self._press.put(artist, pixels)
        return pixels


def _boxes(upper: int, lower: int) -> list[tuple[float, float, float, float]]:
    """Left, bottom, width and height of the head, the upper and the lower panels, as shares of the figure."""
    left, right, gap = 0.035, 0.985, 0.04
    boxes = [(left, 0.93, right - left, 0.06)]
    widths = {1: (1.0,), 2: (0.51, 0.49), 3: (0.36, 0.27, 0.37)}
    for bottom, height, count in ((0.41, 0.455, upper), (0.065, 0.275, lower)):
        at, room = left, right - left - gap * (count - 1)
        for share in widths[count]:
            boxes.append((at, bottom, room * share, height))
            at += room * share + gap
    return boxes
