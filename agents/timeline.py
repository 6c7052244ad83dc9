"""One day of one policy, slot by slot: who had which tasks, which nodes ran, where copies were, what traffic came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from psgym.agents.evaluation import Days, PolicyMaker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """A day, drained; arrays over slots unless it says otherwise."""

    policy: str
    title: str
    hours: Array
    """Time since the start of the day at the end of each slot (h)."""
    traffic: Array
    """Over its mean in training."""
    forecast: Array
    """Forecast of the traffic, made at the start of the slot: mean, low and high, shape ``(slots, 3)``."""
    nodes_on: Array
    """Nodes that are powered, with those that boot, drain or have failed."""
    nodes_ready: Array
    """Nodes that take tasks."""
    copies: Array
    """Copies of datasets on disk."""
    utilisation: Array
    """Largest utilisation of a data server."""
    unfinished: Array
    """Jobs that have arrived and are not done."""
    workers: NDArray[np.int64]
    """Of each job in each slot, shape ``(jobs, slots)``."""
    servers: NDArray[np.int64]
    """Of each job in each slot, shape ``(jobs, slots)``."""
    waiting: NDArray[np.bool_]
    """Whether a job was unfinished and had no tasks, shape ``(jobs, slots)``."""


def record_timeline(
    days: Days, make: PolicyMaker, name: str, index: int = 0, changes: Mapping[str, Any] | None = None
) -> Timeline:
    """Let a policy live through one of the days, and keep what happened in each slot."""
    env = replace(days, seeds=[days.seeds[index]]).make(**(changes or {}))
    policy = make(env)
    observation, _ = env.reset(seed=list(days.seeds[index : index + 1]))
    rows: list[dict[str, Any]] = []
    over, start, state = False, np.ones(1, np.bool_), None
    forecast = env.public["forecast"][0, 0].copy()
    while not over:
        actions, state = policy.predict(observation, state, start, deterministic=True)
        observation, _, terminated, truncated, infos = env.step(actions)
        over, start = bool(terminated[0] or truncated[0]), np.zeros(1, np.bool_)
        if infos["slots_elapsed"][0]:
            rows.append({**_slot(env.public[0]), "forecast": forecast})
            forecast = env.public["forecast"][0, 0].copy()
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    jobs = int(env.public["known_jobs"][0])
    tables = {key: np.stack([_padded(row, jobs) for row in columns.pop(key)], axis=1) for key in _TABLES}
    step = env.config.slot_seconds / 3600.0
    return Timeline(
        policy=name,
        title=f"{days.view_id}, {name}, {days.part} day {index}",
        hours=step * np.arange(1.0, len(rows) + 1.0, dtype=np.float64),
        **{key: np.array(values, dtype=float) for key, values in columns.items()},
        **tables,
    )


_TABLES = ("workers", "servers", "waiting")


def _slot(public: Any) -> dict[str, Any]:
    """What is known of the slot that has just ended; the plan of it is a job's last one."""
    nodes, jobs = public["nodes"], public["jobs"][: public["known_jobs"]]
    active = np.zeros(len(jobs), np.bool_)
    active[public["active"][: public["active_count"]]] = True
    now = public["slot"] * public["settings"]["slot_seconds"]
    on = nodes["on"] != 0
    ready = on & (nodes["draining"] == 0) & (nodes["failed"] == 0) & (nodes["ready_seconds"] <= now)
    runs = active | (jobs["workers"] > 0)
    return {
        "traffic": float(public["traffic"]),
        "nodes_on": int(on.sum()),
        "nodes_ready": int(ready.sum()),
        "copies": int(public["datasets"]["copies"].sum()),
        "utilisation": float(public["servers"]["utilisation"].max(initial=0.0)),
        "unfinished": int(public["active_count"]),
        "workers": np.where(runs, jobs["last_workers"], 0),
        "servers": np.where(runs, jobs["last_servers"], 0),
        "waiting": active & (jobs["last_workers"] == 0),
    }


def _padded(row: NDArray[Any], length: int) -> NDArray[Any]:
    """Jobs that had not arrived yet have nothing."""
    return np.concatenate([row, np.zeros(length - len(row), row.dtype)])


def draw_timeline(timeline: Timeline) -> Figure:
    """Draw the day: a Gantt chart of tasks, unfinished jobs, nodes against traffic, and replicas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 9.0), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    gantt, jobs, nodes, data = figure.subplots(4, 1, sharex=True, height_ratios=(4, 1, 1.3, 1.3))
    _draw_gantt(figure, gantt, timeline)
    hours = timeline.hours
    jobs.step(hours, timeline.unfinished, color="tab:red", linewidth=1.0)
    jobs.set_ylabel("unfinished jobs")
    nodes.step(hours, timeline.nodes_on, color="tab:gray", linewidth=1.0, label="nodes powered")
    nodes.step(hours, timeline.nodes_ready, color="tab:green", linewidth=1.0, label="nodes that take tasks")
    nodes.set_ylabel("nodes")
    nodes.set_ylim(bottom=0)
    traffic = nodes.twinx()
    mean, low, high = timeline.forecast.T
    traffic.fill_between(hours, low, high, color="tab:blue", alpha=0.15, linewidth=0, label="forecast (80 %)")
    traffic.plot(hours, mean, color="tab:blue", linewidth=0.8, linestyle="--", label="forecast")
    traffic.plot(hours, timeline.traffic, color="tab:blue", linewidth=1.0, label="traffic")
    traffic.set_ylabel("traffic over mean")
    traffic.set_ylim(bottom=0)
    lines = [nodes.get_legend_handles_labels(), traffic.get_legend_handles_labels()]
    nodes.legend(lines[0][0] + lines[1][0], lines[0][1] + lines[1][1], fontsize="x-small", ncols=5, loc="upper right")
    data.step(hours, timeline.copies, color="tab:purple", linewidth=1.0)
    data.set_ylabel("replicas", color="tab:purple")
    load = data.twinx()
    load.plot(hours, timeline.utilisation, color="tab:brown", linewidth=0.8)
    load.set_ylabel("busiest data server", color="tab:brown")
    load.set_ylim(bottom=0)
    data.set_xlabel("hours")
    figure.suptitle(timeline.title)
    return figure


def _draw_gantt(figure: Figure, axes: Any, timeline: Timeline) -> None:
    tasks = (timeline.workers + timeline.servers).astype(float)
    shown = np.where(tasks > 0, tasks, np.nan)
    extent = (0.0, float(timeline.hours[-1]), float(len(tasks)), 0.0)
    grey = np.where(timeline.waiting, 0.85, np.nan)
    axes.imshow(grey, aspect="auto", extent=extent, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    image = axes.imshow(shown, aspect="auto", extent=extent, cmap="viridis", vmin=0.0, interpolation="nearest")
    axes.set_ylabel("job, in order of arrival\n(grey: waits)")
    figure.colorbar(image, ax=axes, label="servers and workers")
