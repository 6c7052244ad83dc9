"""The panels of an image: each owns its axes, and moves its artists to what a frame says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from psgym.envs.render.frame import Frame, Job, Node, clock, horizon_slots

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.text import Text

    from psgym.envs.cluster.config import ClusterConfig

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.linewidth": 0.8,
    "hatch.linewidth": 0.9,
    "path.simplify": True,
    "text.antialiased": True,
    "text.hinting": "none",
    "text.usetex": False,
}
INK, MUTED, LINE, PALE = "#1f2a37", "#6b7785", "#d5dbe1", "#f3f5f7"
BLUE, AMBER, RED, GREEN = "#3b6fb6", "#e0a030", "#c8453b", "#4f9a62"
JOB_COLOURS = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#8e6bb0", "#2a9d8f", "#e9b93a", "#d37295",
    "#9c755f", "#6aaed6", "#7a8b2a", "#b23a6f", "#a0cb8b", "#3d4f8a", "#ff9d9a", "#5e6b78",
)  # fmt: skip


def job_colours(frame: Frame) -> dict[int, str]:
    """A colour for each job: by its number, or the next one that is free; jobs of the window choose first."""
    colours: dict[int, str] = {}
    window = [job.number for job in frame.window]
    others = {task.job for node in frame.nodes for task in node.tasks}.difference(window)
    taken: set[int] = set()
    for number in [*window, *sorted(others)]:
        if len(taken) == len(JOB_COLOURS):
            taken.clear()
        colour = number % len(JOB_COLOURS)
        while colour in taken:
            colour = (colour + 1) % len(JOB_COLOURS)
        taken.add(colour)
        colours[number] = JOB_COLOURS[colour]
    return colours


def rectangle(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    """Corners of a rectangle from its lower left one."""
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


class Panel:
    """Axes without a frame, a title, and artists that are drawn anew in each frame, in their order."""

    def __init__(self, axes: Axes, title: str) -> None:
        self.axes = axes
        self.artists: list[Artist] = []
        axes.set_facecolor("none")
        axes.tick_params(length=0, colors=MUTED, labelsize=7.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        self.title_height = 1 + 0.015 / axes.get_position().height  # at the same distance from every panel
        axes.text(0, self.title_height, title, transform=axes.transAxes, size=9.5, weight="bold", color=INK)
        self.note = self.text(1, self.title_height, size=8, color=MUTED, ha="right", transform=axes.transAxes)

    def add(self, artist: Any) -> Any:
        """Notes an artist as one that changes from frame to frame."""
        artist.set_animated(True)
        self.artists.append(artist)
        return artist

    def text(self, x: float, y: float, text: str = "", **style: Any) -> Text:
        """A text that changes from frame to frame."""
        return self.add(self.axes.text(x, y, text, **style))

    def polygons(self, **style: Any) -> PolyCollection:
        """Polygons that change from frame to frame."""
        return self.add(self.still([], **style))

    def still(self, corners: Any, **style: Any) -> PolyCollection:
        """Polygons that stay as they are."""
        from matplotlib.collections import PolyCollection

        polygons = PolyCollection(corners, **style)
        self.axes.add_collection(polygons, autolim=False)
        return polygons

    def bare(self) -> None:
        """Takes the ticks away and scales both axes from 0 to 1."""
        self.axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])

    def show(self, frame: Frame) -> None:
        """Moves the artists to a frame."""
        raise NotImplementedError


class Head(Panel):
    """The line above all: which environment, when, and the totals so far."""

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        super().__init__(axes, "")
        self.bare()
        axes.plot([0, 1], [0.06, 0.06], color=LINE, lw=0.8)
        self._title = self.text(0, 0.35, size=14, weight="bold", color=INK)
        self._time = self.text(0.19, 0.35, size=10, color=MUTED)
        self._totals = self.text(1, 0.35, size=10, color=INK, ha="right")

    def show(self, frame: Frame) -> None:
        """Writes the time and the totals."""
        metrics = frame.metrics
        self._title.set_text(frame.title)
        state = "   planning" if frame.is_planning else ""
        self._time.set_text(f"{frame.clock}   slot {frame.slot} of {frame.slots}{state}")
        jobs = (
            f"jobs {metrics['jobs_finished']:.0f} finished of {metrics['jobs_arrived']:.0f}     "
            f"mean completion {metrics['mean_completion_seconds'] / 3600:.2f} h     "
            f"node-hours {metrics['node_hours']:.0f}     "
        )
        stalled, moved = 100 * metrics["stall_share"], metrics["bytes_moved"] / 1e12
        reads = f"stalled reads {stalled:.2f} %     moved {moved:.2f} TB     "
        self._totals.set_text(f"{reads if frame.is_storage_only else jobs}total cost {metrics['total_cost']:.1f}")


class Nodes(Panel):
    """A box for each node: its tasks side by side in the colours of their jobs, and below them its GPU in use."""

    _FILLS: ClassVar = {"on": "white", "boots": "#fdf3dc", "drains": "#fdf3dc", "off": PALE, "failed": "#f9dedb"}
    _EDGES: ClassVar = {"on": "#9aa5b1", "boots": AMBER, "drains": AMBER, "off": "#e3e7eb", "failed": RED}

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        super().__init__(axes, "Compute nodes")
        self.bare()
        count, self._cpu, self._gpu = config.nodes, max(1, config.node_cpu), config.node_gpu
        box = axes.get_position()
        shape = box.width * 12.8 / (box.height * 7.2)
        columns = max(1, round(math.sqrt(count * shape / 4.0)))
        rows = math.ceil(count / columns)
        self._has_names = rows <= 16 and columns <= 6
        self._line = 0.8 if self._has_names else 0.4
        width, height = 1 / columns, 1 / rows
        name = min(0.035, 0.14 * width) if self._has_names else 0.0
        self._boxes = [
            (
                (k // rows) * width + name,
                1 - (k % rows + 1) * height + 0.1 * height,
                width * 0.96 - name,
                0.8 * height,
            )
            for k in range(count)
        ]
        self._frames = self.polygons(linewidths=self._line)
        self._workers = self.polygons(edgecolors="white", linewidths=self._line)
        self._servers = self.polygons(edgecolors="white", linewidths=self._line, hatch="/////")
        self._claims = self.polygons(facecolors="none", edgecolors="#b4bcc5", linewidths=self._line, linestyles=":")
        self._gpus = self.polygons(edgecolors="white", linewidths=self._line)
        self._labels = [self.text(x + w / 2, y + h / 2, size=7.5, color=MUTED, ha="center", va="center")
                        for x, y, w, h in self._boxes] if self._has_names else []  # fmt: skip
        if self._has_names:
            for k, (x, y, _, h) in enumerate(self._boxes):
                axes.text(x - 0.008, y + h / 2, str(k), size=7.5, color=MUTED, ha="right", va="center")
        self._legend()

    def _legend(self) -> None:
        for x, name, hatch in ((0.27, "worker", None), (0.39, "parameter server", "/////")):
            shape = rectangle(x, self.title_height, 0.025, 0.028)
            self.still([shape], facecolors="#8793a0", edgecolors="white", hatch=hatch, clip_on=False)
            self.axes.text(x + 0.033, self.title_height, name, size=8, color=MUTED)
        self.axes.text(0.61, self.title_height, "strip below: GPU", size=8, color=MUTED)

    def show(self, frame: Frame) -> None:
        """Puts tasks into the boxes, and colours the boxes by the state of their nodes."""
        workers, servers, claims, gpus = _Shapes(), _Shapes(), _Shapes(), _Shapes()
        colours = job_colours(frame)
        for node, box in zip(frame.nodes, self._boxes, strict=True):
            self._place(node, box, colours, (workers, servers, claims, gpus))
        for shapes, artist in ((workers, self._workers), (servers, self._servers), (gpus, self._gpus)):
            artist.set_verts(shapes.corners)
            artist.set_facecolor(shapes.colours)
        self._claims.set_verts(claims.corners)
        self._frames.set_verts([rectangle(*box) for box in self._boxes])
        self._frames.set_facecolor([self._FILLS[node.state] for node in frame.nodes])
        self._frames.set_edgecolor([self._EDGES[node.state] for node in frame.nodes])
        for node, label in zip(frame.nodes, self._labels, strict=False):
            label.set_text("" if node.state == "on" or node.tasks else node.state)
        powered = sum(node.state not in ("off", "failed") for node in frame.nodes)
        self.note.set_text(f"{powered} of {len(frame.nodes)} powered")

    def _place(
        self,
        node: Node,
        box: tuple[float, float, float, float],
        colours: dict[int, str],
        shapes: tuple[_Shapes, ...],
    ) -> None:
        x, y, width, height = box
        workers, servers, claims, gpus = shapes
        unit, at, gpu_at = width / self._cpu, 0.0, 0
        for task in sorted(node.tasks, key=lambda task: (task.job, not task.is_worker)):
            colour = colours[task.job]
            corners = rectangle(x + at * unit, y + 0.27 * height, task.cpu * unit, 0.73 * height)
            (workers if task.is_worker else servers).add(corners, colour)
            if task.gpu:
                strip = width / max(1, self._gpu)
                gpus.add(rectangle(x + gpu_at * strip, y, task.gpu * strip, 0.24 * height), colour)
                gpu_at += task.gpu
            at += task.cpu
        claimed = min(node.claimed_cpu, self._cpu - at)
        if claimed > 0:
            claims.add(rectangle(x + at * unit, y + 0.27 * height, claimed * unit, 0.73 * height), MUTED)


class _Shapes:
    """Polygons and their colours, while a frame is collected."""

    def __init__(self) -> None:
        self.corners: list[list[tuple[float, float]]] = []
        self.colours: list[Any] = []

    def add(self, corners: list[tuple[float, float]], colour: Any) -> None:
        self.corners.append(corners)
        self.colours.append(colour)


class Jobs(Panel):
    """A row for each job of the window: kind, allocation, progress, time left."""

    _MOST_ROWS = 20
    _BAR = (0.46, 0.31)
    _STATE_COLOURS: ClassVar = {"runs": MUTED, "new": BLUE, "restarts": AMBER, "stalls": RED, "waits": RED}

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        super().__init__(axes, "Jobs in the window")
        self.bare()
        rows = min(self._MOST_ROWS, config.window)
        self._height = 1 / rows
        self._bars = self.polygons(linewidths=0)
        self._middles = [1 - (k + 0.5) * self._height for k in range(rows)]
        style: dict[str, Any] = {"size": 8, "color": INK, "va": "center"}
        mono: dict[str, Any] = {**style, "family": "DejaVu Sans Mono"}
        self._names = [self.text(0.035, y, **style) for y in self._middles]
        self._modes = [self.text(0.245, y, **style) for y in self._middles]
        self._tasks = [self.text(0.325, y, **mono) for y in self._middles]
        self._left = [self.text(0.865, y, ha="right", **style) for y in self._middles]
        self._states = [self.text(0.895, y, **style) for y in self._middles]
        self._rest = self.text(0.035, -0.04, size=8, color=MUTED, va="center")
        for x, head in ((0.325, "w : ps"), (self._BAR[0], "progress"), (0.815, "left")):
            axes.text(x, self.title_height, head, size=8, color=MUTED)

    def show(self, frame: Frame) -> None:
        """Writes a row for each job that has room."""
        jobs: list[Job | None] = list(frame.window[: len(self._middles)])
        jobs += [None] * (len(self._middles) - len(jobs))
        bars, colours = _Shapes(), job_colours(frame)
        for k, job in enumerate(jobs):
            self._write(k, job)
            if job is not None:
                self._add_bars(k, job, colours[job.number], bars)
        self._bars.set_verts(bars.corners)
        self._bars.set_facecolor(bars.colours)
        hidden = len(frame.window) - len(self._middles)
        beyond = frame.unfinished - len(frame.window)
        parts = ((hidden, "more jobs in the window"), (beyond, "more jobs beyond the window"))
        self._rest.set_text(", ".join(f"{count} {what}" for count, what in parts if count > 0))
        self.note.set_text(f"{frame.unfinished} unfinished")

    def _write(self, row: int, job: Job | None) -> None:
        left = "" if job is None else f"{job.hours_left:.1f} h" if math.isfinite(job.hours_left) else "-"
        self._names[row].set_text("" if job is None else f"#{job.number}  {job.kind}")
        self._modes[row].set_text("" if job is None else job.mode)
        self._tasks[row].set_text("" if job is None else f"{job.workers:>2} : {job.servers:<2}")
        self._left[row].set_text(left)
        self._states[row].set_text("" if job is None else job.state)
        self._states[row].set_color(MUTED if job is None else self._STATE_COLOURS[job.state])

    def _add_bars(self, row: int, job: Job, colour: str, bars: _Shapes) -> None:
        x, width = self._BAR
        low, height = self._middles[row] - 0.28 * self._height, 0.56 * self._height
        bars.add(rectangle(0, low, 0.018, height), colour)
        bars.add(rectangle(x, low, width, height), "#e8ecf0")
        bars.add(rectangle(x, low, width * min(1.0, job.progress), height), colour)


class Traffic(Panel):
    """The traffic so far, and what is forecast: mean and band."""

    def __init__(self, axes: Axes, config: ClusterConfig) -> None:
        super().__init__(axes, "Traffic and its forecast")
        self._slots, self._ahead = config.slots, np.array((0, *horizon_slots()))
        axes.set(xlim=(0, config.slots + self._ahead[-1]), ylim=(0, config.max_load))
        axes.set_yticks(np.arange(0, config.max_load + 0.01, max(0.5, round(config.max_load / 3))))
        self._ticks = np.linspace(0, config.slots, 5)
        axes.set_xticks(self._ticks, [""] * len(self._ticks))
        axes.grid(axis="y", color=LINE, lw=0.6)
        axes.set_axisbelow(True)
        self._labels = [
            self.text(x, -0.045 * config.max_load, size=7.5, color=MUTED, ha="center", va="top") for x in self._ticks
        ]
        self._area = self.polygons(facecolors="#3b6fb622", linewidths=0)
        self._band = self.polygons(facecolors="#e0a03055", linewidths=0)
        (self._past,) = (self.add(line) for line in axes.plot([], [], color=BLUE, lw=1.4))
        (self._mean,) = (self.add(line) for line in axes.plot([], [], color="#b87a10", lw=1.4))
        (self._now,) = (self.add(line) for line in axes.plot([], [], "o", color=BLUE, ms=4.5, mec="white", mew=0.8))

    def show(self, frame: Frame) -> None:
        """Extends the line to now, and the forecast ahead of it."""
        now = min(frame.slot, self._slots)
        past = frame.traffic
        times = np.arange(len(past), dtype=np.float64)
        self._past.set_data(times, past)
        self._area.set_verts([np.column_stack((np.r_[0, times, times[-1]], np.r_[0, past, 0]))])
        mean, low, high = np.vstack((np.full(3, past[-1]), frame.forecast)).T
        ahead = now + self._ahead
        self._mean.set_data(ahead, mean)
        self._band.set_verts([np.column_stack((np.r_[ahead, ahead[::-1]], np.r_[low, high[::-1]]))])
        self._now.set_data([now], [past[-1]])
        self.note.set_text(f"now {past[-1]:.2f} of the mean, band 80 %")
        start = frame.day_hours - frame.slot * frame.slot_hours
        for label, tick in zip(self._labels, self._ticks.tolist(), strict=True):
            label.set_text(clock((start + tick * frame.slot_hours) % 24))


def level_colours(levels: NDArray[np.float64]) -> list[str]:
    """Blue below 70 % of what a server can serve, amber below 90 %, red above."""
    return [BLUE if level < 0.7 else AMBER if level < 0.9 else RED for level in levels.tolist()]
