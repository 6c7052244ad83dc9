"""Tables and plots of a comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psgym.agents.files import write_atomically
from psgym.agents.result import Result, Row
from psgym.agents.statistics import Difference, Estimate
from psgym.agents.timeline import draw_timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "mean_completion_seconds": ("mean completion (s)", 1.0),
    "median_completion_seconds": ("median completion (s)", 1.0),
    "p99_completion_seconds": ("p99 completion (s)", 1.0),
    "stall_share": ("stall (%)", 100.0),
    "node_hours": ("node-hours", 1.0),
    "bytes_moved": ("moved (TB)", 1e-12),
    "load_max_over_mean": ("load max/mean", 1.0),
    "total_cost": ("total cost", 1.0),
    "jobs_unfinished": ("unfinished", 1.0),
}
"""Columns of the table: metric, heading, factor."""


def write_report(result: Result, folder: Path) -> list[Path]:
    """Write ``result.json``, ``table.md`` and the plots into a folder, and return their paths."""
    result.write(folder / "result.json")
    text = table(result)
    write_atomically(folder / "table.md", lambda path: path.write_text(text, encoding="utf-8"))
    plots = [folder / "paired.png", *([folder / "completion.png"] if _has_jobs(result) else [])]
    for path, draw in zip(plots, (draw_differences, draw_completion), strict=False):
        write_atomically(path, draw(result).savefig)
    for timeline in result.timelines:
        plots.append(folder / f"timeline-{_file_name(timeline.policy)}.png")
        write_atomically(plots[-1], draw_timeline(timeline).savefig)
    return [folder / "result.json", folder / "table.md", *plots]


def table(result: Result) -> str:
    """Return the comparison as a Markdown table, with what it rests on and which winners it names."""
    headings = ["policy", "kind", f"{result.primary} against {result.reference} [95 %]", "p (Holm)"]
    shown = {name: column for name, column in COLUMNS.items() if _varies(result, name)}
    headings += [heading for heading, _ in shown.values()] + ["us/decision"]
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join('---' for _ in headings)}|"]
    for row in result.rows:
        cells = [_name(row, result), _MARKS.get(row.kind, row.kind)]
        cells.append(_difference(row.paired.get(result.primary)))
        cells.append("" if row.adjusted_p_value is None else f"{row.adjusted_p_value:.3f}")
        cells += [_cell(row.metrics.get(name), factor) for name, (_, factor) in shown.items()]
        cells.append("" if row.seconds_per_decision is None else f"{1e6 * row.seconds_per_decision:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([_headline(result), "", *lines, "", *_verdicts(result), "", *_prices(result)])


_MARKS = {"oracle": "ORACLE (knows the future)", "bound": "BOUND (no policy reaches it)"}
"""How rows are marked that no policy could claim."""


def _name(row: Row, result: Result) -> str:
    notes = ["reference"] if row.policy == result.reference else []
    notes += [f"{row.training_seeds} seeds"] if row.training_seeds else []
    notes += [row.choice] if row.choice else []
    return f"{row.policy} ({'; '.join(notes)})" if notes else row.policy


def _headline(result: Result) -> str:
    source = result.traffic["source"] if result.traffic else "synthetic traffic"
    return (
        f"{result.env}, preset {result.preset}, {source}: {result.days} test days ({result.distinct_days} distinct), "
        f"seed {result.seed}, drained. Primary metric: {result.primary} (lower is better). Reference: "
        f"{result.reference}, the best heuristic of {result.validation_days} validation days."
    )


def _file_name(policy: str) -> str:
    return re.sub(r"[^\w+-]", "-", policy)


def _has_jobs(result: Result) -> bool:
    return any(row.completion_percentiles for row in result.rows)


def _varies(result: Result, metric: str) -> bool:
    """Whether a metric means anything here: one that is 0 for every policy is left out of the table."""
    return any(metric in row.metrics and row.metrics[metric].mean != 0 for row in result.rows)


def _cell(estimate: Estimate | None, factor: float) -> str:
    if estimate is None:
        return ""
    if not math.isfinite(estimate.low):
        return _number(factor * estimate.mean)
    return f"{_number(factor * estimate.mean)} [{_number(factor * estimate.low)}, {_number(factor * estimate.high)}]"


def _number(value: float) -> str:
    """Return four digits, more where the whole part has more."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _number(value)


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return ""
    percent = "" if difference.percent is None else f" ({difference.percent:+.1f} %)"
    known = math.isfinite(difference.low)
    interval = f" [{_signed(difference.low)}, {_signed(difference.high)}]" if known else ""
    return _signed(difference.mean) + interval + percent


def _verdicts(result: Result) -> Iterator[str]:
    for row in result.rows:
        if row.verdict is not None:
            named = f"{row.verdict.winner} is better" if row.verdict.winner else "no winner"
            yield f"- {row.policy} against {result.reference}: {named}; {row.verdict.reason}."


def _prices(result: Result) -> Iterator[str]:
    """The table of other prices: the difference of each policy from the best heuristic at those prices."""
    if not result.sensitivity:
        return
    names = [row.policy for row in result.rows if row.kind != "bound"]
    yield "Total cost against the best heuristic of the validation days, with each price halved and doubled:"
    yield ""
    yield f"| price | reference | {' | '.join(names)} |"
    yield f"|{'|'.join('---' for _ in range(len(names) + 2))}|"
    for one in result.sensitivity:
        cells = [_percent(one.differences.get(name)) for name in names]
        yield f"| {one.price} x {one.factor:g} | {one.reference} | {' | '.join(cells)} |"
    yield ""


def _percent(difference: Difference | None) -> str:
    """The difference in percent of the reference's mean, with its interval."""
    if difference is None or difference.percent is None or not difference.mean:
        return ""
    scale = difference.percent / difference.mean
    return f"{difference.percent:+.1f} [{scale * difference.low:+.1f}, {scale * difference.high:+.1f}] %"


def draw_differences(result: Result) -> Figure:
    """Draw each policy's paired difference from the reference in the primary metric, with its interval."""
    rows = [row for row in result.rows if result.primary in row.paired]
    figure, axes = _figure(height=1.2 + 0.32 * len(rows))
    for place, row in enumerate(reversed(rows)):
        difference = row.paired[result.primary]
        color = {"learned": "tab:orange", "bound": "tab:gray"}.get(row.kind, "tab:blue")
        axes.plot(difference.mean, place, "o", color=color)
        if math.isfinite(difference.low):
            axes.plot([difference.low, difference.high], [place, place], color=color)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=_linear_part(result), linscale=1.5)
    axes.set_yticks(range(len(rows)), [row.policy for row in reversed(rows)])
    axes.set_xlabel(f"{result.primary} less that of {result.reference}\n(95 % interval; left is better)")
    axes.set_title(f"{result.env}, {result.preset}, {result.distinct_days} distinct test days")
    return figure


def _linear_part(result: Result) -> float:
    """Return the power of ten nearest to a tenth of the primary metric: smaller differences are drawn to scale."""
    reference = next(row for row in result.rows if row.policy == result.reference).metrics[result.primary].mean
    return 10.0 ** round(math.log10(max(1e-9, 0.1 * abs(reference))))


def draw_completion(result: Result) -> Figure:
    """Draw the distribution of completion times of each policy's finished jobs."""
    figure, axes = _figure(height=4.2)
    for row in result.rows:
        if row.completion_percentiles:
            axes.plot(row.completion_percentiles, range(101), label=_label(row), linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlabel("completion time (s)")
    axes.set_ylabel("finished jobs (%)")
    axes.legend(fontsize="x-small")
    axes.set_title(f"{result.env}, {result.preset}")
    return figure


def _label(row: Row) -> str:
    unfinished = row.metrics["jobs_unfinished"].mean
    return row.policy if unfinished == 0 else f"{row.policy} ({unfinished:.3g} unfinished a day)"


def _figure(height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)  # needs no display and leaves pyplot's global state alone
    return figure, figure.add_subplot()
