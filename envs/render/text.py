"""Draws a frame as plain text of at most 100 columns, for terminals and logs."""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from psgym.envs.cluster.records import LIVE_COPY
from psgym.envs.render.frame import Frame, Job, Node, horizon_slots

WIDTH = 100
_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_ROWS = 24
_LEFT = 42


def draw_text(frame: Frame) -> str:
    """Draws a frame as lines of at most ``WIDTH`` characters, without escape codes."""
    blocks = [_head(frame), _traffic(frame)]
    if not frame.is_storage_only:
        letters = {job.number: letter for job, letter in zip(frame.window, _LETTERS, strict=False)}
        blocks.append(_side_by_side(_nodes(frame, letters), _jobs(frame, letters)))
    blocks.append(_side_by_side(_servers(frame), _datasets(frame)))
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks)


def bar(share: float, width: int) -> str:
    """A bar of ``width`` characters, filled to a share in [0, 1] in steps of an eighth of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(width, "·")


def sparkline(values: NDArray[np.float64], top: float) -> str:
    """One character for each value, its height from 0 to ``top``."""
    steps = np.rint(np.clip(values / top, 0.0, 1.0) * (len(_LEVELS) - 1)).astype(np.int64)
    return "".join(_LEVELS[step] for step in steps.tolist())


def _head(frame: Frame) -> list[str]:
    metrics = frame.metrics
    left = f"{frame.title}   {frame.clock}   slot {frame.slot} of {frame.slots}" + ("   planning" * frame.is_planning)
    right = f"total cost {metrics['total_cost']:.2f}"
    lines = [left + right.rjust(WIDTH - len(left)), "─" * WIDTH]
    if not frame.is_storage_only:
        lines.append(
            f"jobs: {metrics['jobs_arrived']:.0f} arrived, {metrics['jobs_finished']:.0f} finished, "
            f"{frame.unfinished} unfinished; mean completion {metrics['mean_completion_seconds'] / 3600:.2f} h"
        )
    return lines


def _traffic(frame: Frame) -> list[str]:
    ahead = [
        f"{60 * slots * frame.slot_hours:g} min {mean:.2f} ({low:.2f} to {high:.2f})"
        for slots, (mean, low, high) in zip(horizon_slots(), frame.forecast.tolist(), strict=True)
    ]
    recent = frame.traffic[-(WIDTH - 15) :]
    return [
        f"traffic {frame.traffic[-1]:5.2f}  {sparkline(recent, max(2.0, float(recent.max())))}",
        "forecast in  " + ", ".join(ahead),
    ]


def _nodes(frame: Frame, letters: dict[int, str]) -> list[str]:
    on = sum(node.state != "off" for node in frame.nodes)
    title = f"compute nodes: {on} of {len(frame.nodes)} powered"
    capacity = max(1, frame.node_cpu)
    if len(frame.nodes) > _MOST_ROWS:
        text = "".join(_node_letter(node, capacity) for node in frame.nodes)
        rows = [text[at : at + _LEFT - 2] for at in range(0, len(text), _LEFT - 2)]
        return [title, *rows, "CPU in use; .off +boots -drains xfailed"]
    rows = [f"{k:>3} {_node_bar(node, capacity, letters)}" for k, node in enumerate(frame.nodes)]
    return [title, *rows, "capitals: workers; small: servers"]


def _node_letter(node: Node, capacity: int) -> str:
    sign = {"off": ".", "boots": "+", "drains": "-", "failed": "x"}.get(node.state)
    used = sum(task.cpu for task in node.tasks) / capacity
    return sign or (" " + _LEVELS)[round(used * len(_LEVELS))]


def _node_bar(node: Node, capacity: int, letters: dict[int, str]) -> str:
    """Two characters a CPU: the tasks by the letters of their jobs, claims of the last plan as ``~``."""
    text = ""
    for task in sorted(node.tasks, key=lambda task: (task.job, not task.is_worker)):
        letter = letters.get(task.job, "?")
        text += (letter if task.is_worker else letter.lower()) * (2 * task.cpu)
    text += "~" * min(2 * node.claimed_cpu, 2 * capacity - len(text))
    gpu = sum(task.gpu for task in node.tasks)
    empty = "·" if node.state in ("on", "drains") else " "
    return f"▕{text.ljust(2 * capacity, empty)}▏ " + (f"{gpu} gpu" if node.state == "on" else node.state)


def _jobs(frame: Frame, letters: dict[int, str]) -> list[str]:
    beyond = frame.unfinished - len(frame.window)
    title = f"jobs in the window: {len(frame.window)}" + (f", beyond it: {beyond}" if beyond else "")
    rows = [_job(job, letters.get(job.number, "?")) for job in frame.window[:_MOST_ROWS]]
    if len(frame.window) > _MOST_ROWS:
        rows.append(f"and {len(frame.window) - _MOST_ROWS} more")
    return [title, *rows]


def _job(job: Job, letter: str) -> str:
    left = f"{job.hours_left:4.1f} h" if math.isfinite(job.hours_left) else "     -"
    size = f"{job.workers:>2}w {job.servers:>2}s"
    return f"{letter} {job.kind:<12} {job.mode:<5} {size} {bar(job.progress, 8)} {left}  {job.state}"


def _servers(frame: Frame) -> list[str]:
    count = len(frame.server_up)
    title = f"data servers: {frame.server_up.sum()}/{count} up, {frame.flights} copies in flight"
    if count > _MOST_ROWS:
        width = _LEFT - 10
        rows = []
        for at in range(0, count, width):
            part = slice(at, at + width)
            rows += [f"load   {sparkline(frame.server_load[part], 1.0)}"]
            rows += [f"stored {sparkline(frame.server_stored[part], 1.0)}"]
        return [title, *rows]
    rows = [
        f"{k:>3} load {bar(load, 8)}{load:5.2f}  stored {bar(stored, 8)}" if up else f"{k:>3} down"
        for k, (up, load, stored) in enumerate(
            zip(frame.server_up.tolist(), frame.server_load.tolist(), frame.server_stored.tolist(), strict=True)
        )
    ]
    return [title, *rows]


def _datasets(frame: Frame) -> list[str]:
    rows = min(_MOST_ROWS, len(frame.server_up))
    hottest = np.argsort(-frame.heat, kind="stable")[:rows]
    top = max(0.2, float(frame.heat[hottest[0]]))
    lines = [f"hottest of {len(frame.heat)} datasets, heat per copy / bandwidth"]
    for dataset in hottest.tolist():
        copies = int((frame.placed[dataset] == LIVE_COPY).sum())
        lines.append(f"#{dataset:<4} {bar(frame.heat[dataset] / top, 20)} {frame.heat[dataset]:.3f}  {copies} copies")
    return lines


def _side_by_side(left: list[str], right: list[str]) -> list[str]:
    return [f"{a:<{_LEFT}} {b}" for a, b in zip_longest(left, right, fillvalue="")]
