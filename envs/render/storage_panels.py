"""The panels of the storage: load of the data servers, and where the copies of each dataset lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from psgym.envs.cluster.records import IN_FLIGHT, LIVE_COPY
from psgym.envs.render.frame import Frame
from psgym.envs.render.panels import LINE, MUTED, RED, Panel, level_colours, rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from psgym.envs.cluster.config import ClusterConfig


class Servers(Panel):
    """Two bars for each data server: its load in colour, and how full it is in grey."""

    _TOP = 1.25

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        super().__init__(axes, "Data servers")
        count = config.data_servers
        axes.set(xlim=(-0.6, count - 0.4), ylim=(0, self._TOP))
        axes.set_yticks([0, 0.5, 1.0], ["0", "0.5", "1"])
        axes.set_xticks(np.arange(0, count, max(1, count // 10)))
        axes.axhline(1.0, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes.axhline(0.0, color=LINE, lw=0.8)
        self._down = self.polygons(facecolors="#f9dedb", linewidths=0)
        self._stored = self.polygons(facecolors="#c9d0d8", linewidths=0)
        self._load = self.polygons(linewidths=0)
        legend = " colour: load over bandwidth    grey: storage in use"
        axes.text(-0.6, 1.17, legend, size=7.5, color=MUTED, va="center")

    def show(self, frame: Frame) -> None:
        """Sets the height of the bars, and shades servers that are down."""
        loads = np.minimum(frame.server_load, self._TOP - 0.15).tolist()
        self._load.set_verts([rectangle(k - 0.36, 0, 0.42, load) for k, load in enumerate(loads)])
        self._load.set_facecolor(level_colours(frame.server_load))
        stored = frame.server_stored.tolist()
        self._stored.set_verts([rectangle(k + 0.1, 0, 0.26, share) for k, share in enumerate(stored)])
        down = np.flatnonzero(~frame.server_up).tolist()
        self._down.set_verts([rectangle(k - 0.5, 0, 1.0, 1.0) for k in down])
        note = f"{len(frame.server_up) - len(down)} of {len(frame.server_up)} up"
        self.note.set_text(f"{note}, {frame.flights} copies in flight" if frame.flights else note)


class Datasets(Panel):
    """A column for each dataset, the hottest first, and a row for each data server; copies by their heat."""

    _EMPTY, _FLIGHT = (246, 247, 249), (59, 111, 182)

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        import matplotlib

        super().__init__(axes, "Copies of the datasets")
        servers = config.data_servers
        room = int(axes.get_position().width * 12.8 * 100 / 3)  # columns of three pixels at the usual resolution
        self._shown = datasets = min(config.datasets, room)
        self._top = config.hot_threshold
        shades = matplotlib.colormaps["YlOrRd"](np.linspace(0.2, 0.95, 256))
        self._shades = np.rint(255 * shades[:, :3]).astype(np.uint8)
        pixels = np.zeros((servers, datasets, 3), np.uint8)
        self._image = self.add(
            axes.imshow(pixels, aspect="auto", interpolation="nearest", extent=(0, datasets, servers, 0), zorder=1)
        )
        numbers = np.arange(0, servers, max(1, servers // 8))
        axes.set_yticks(numbers + 0.5, numbers)
        axes.set_xticks([])
        grid = self.polygons(facecolors="none", edgecolors="white", linewidths=0.5 if datasets < room else 0.25)
        rows = [rectangle(0, s, datasets, 1) for s in range(servers)]
        grid.set_verts(rows + [rectangle(d, 0, 1, servers) for d in range(datasets)])
        self._failed = self.polygons(facecolors="none", edgecolors=RED, linewidths=1.0)
        self._legend(axes)

    def _legend(self, axes: Axes) -> None:
        """A scale of the colours, below the right end of the panel."""
        box = axes.get_position()
        inch, y = 1 / (12.8 * box.width), -0.024 / box.height
        style: Any = {"size": 7.5, "color": MUTED, "va": "center", "ha": "right", "transform": axes.transAxes}
        axes.text(1 - 1.3 * inch, y, f"{self._top:g} of the bandwidth", **{**style, "ha": "left"})
        axes.text(1 - 1.8 * inch, y, "blue: in flight     heat per copy: 0", **style)
        step, height = 0.4 * inch / 64, 0.012 / box.height
        ramp = [rectangle(1 - 1.75 * inch + k * step, y - height / 2, 1.5 * step, height) for k in range(64)]
        self.still(ramp, facecolors=self._shades[::4] / 255, transform=axes.transAxes, clip_on=False)

    def show(self, frame: Frame) -> None:
        """Colours a cell for each copy."""
        order = np.argsort(-frame.heat, kind="stable")[: self._shown]
        placed, heat = frame.placed[order].T, frame.heat[order]
        shade = self._shades[np.rint(255 * np.clip(heat / self._top, 0, 1)).astype(np.int64)]
        pixels = np.empty((*placed.shape, 3), np.uint8)
        pixels[:] = self._EMPTY
        np.copyto(pixels, shade[None], where=(placed == LIVE_COPY)[..., None])
        pixels[placed == IN_FLIGHT] = self._FLIGHT
        self._image.set_data(pixels)
        down = np.flatnonzero(~frame.server_up).tolist()
        self._failed.set_verts([rectangle(0, s, len(heat), 1) for s in down])
        copies = (frame.placed == LIVE_COPY).sum(axis=1)
        part = "hottest first" if self._shown == len(copies) else f"the {self._shown} hottest of {len(copies)}"
        self.note.set_text(f"{part}, {copies.min()} to {copies.max()} copies each")
