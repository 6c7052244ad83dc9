"""What an evaluation shows in TensorBoard: the paired table, the timeline of a day, and hyperparameters with results.

Each function takes a ``torch.utils.tensorboard.SummaryWriter``; `writer_of` finds the one that a model of SB3 logs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psgym.agents.report import draw_completion, draw_differences, table
from psgym.agents.result import Result
from psgym.agents.timeline import Timeline, draw_timeline

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch.utils.tensorboard import SummaryWriter


def writer_of(model: BaseAlgorithm) -> SummaryWriter | None:
    """Return the writer of TensorBoard's files of a model that learns, or None if it writes none."""
    from stable_baselines3.common.logger import TensorBoardOutputFormat

    for output in model.logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            return output.writer
    return None


def show_evaluation(folder: Path, result: Result, hyperparameters: Mapping[str, Any], step: int = 0) -> None:
    """Write all that an evaluation of one trained policy shows into the folder of its TensorBoard files."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        log_result(writer, result, step)
        for timeline in result.timelines:
            log_timeline(writer, timeline, step)
        for row in result.rows:
            if row.kind == "learned":
                log_hyperparameters(writer, hyperparameters, result, row.policy)


def log_result(writer: SummaryWriter, result: Result, step: int) -> None:
    """Write a comparison: the table as text, its plots, and scalars of every row's difference from the reference."""
    writer.add_text("evaluation/table", table(result), step)
    for row in result.rows:
        writer.add_scalar(f"evaluation/{result.primary}/{row.policy}", row.metrics[result.primary].mean, step)
        difference = row.paired.get(result.primary)
        if difference is not None and difference.percent is not None:
            writer.add_scalar(f"evaluation/percent_of_reference/{row.policy}", difference.percent, step)
    writer.add_figure("evaluation/paired", draw_differences(result), step)
    if any(row.completion_percentiles for row in result.rows):
        writer.add_figure("evaluation/completion", draw_completion(result), step)
    writer.flush()


def log_timeline(writer: SummaryWriter, timeline: Timeline, step: int) -> None:
    """Write the Gantt chart and timeline of a day as a figure."""
    writer.add_figure(f"timeline/{timeline.policy}", draw_timeline(timeline), step)
    writer.flush()


def log_hyperparameters(writer: SummaryWriter, hyperparameters: Mapping[str, Any], result: Result, policy: str) -> None:
    """Write hyperparameters beside the final metrics of a policy, for TensorBoard's table of runs.

    Args:
        writer: Where to.
        hyperparameters: Numbers, truth values and strings as they are; anything else as its text.
        result: The last comparison.
        policy: Name of the policy's row in it.
    """
    row = next(row for row in result.rows if row.policy == policy)
    plain = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in hyperparameters.items()
    }
    metrics = {f"final/{name}": estimate.mean for name, estimate in row.metrics.items()}
    difference = row.paired.get(result.primary)
    if difference is not None and difference.percent is not None:
        metrics["final/percent_of_reference"] = difference.percent
    writer.add_hparams(plain, metrics, run_name=".")
    writer.flush()
