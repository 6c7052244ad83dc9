"""The flags of each sub-command of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

Env = Literal["psgym/Capacity-v0", "psgym/Replicas-v0", "psgym/Allocation-v0", "psgym/Cluster-v0"]
Algo = Literal["clone-ppo", "maskable-ppo", "ppo", "a2c", "dqn", "clone", "clone-cem", "cem-scorer"]
Network = Literal["mlp", "entities"]
FILES = ("traffic", "jobs", "accesses")
"""Flags that name files of a load."""


@dataclass(frozen=True)
class Common:
    """Flags of every sub-command."""

    env: Env = "psgym/Cluster-v0"
    """Id of the environment."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Configuration of the cluster: small, uncontended, contended, storage, large, dl2; None: the one of the id."""
    seed: int = 0
    """Seed of everything: training, validation and test days follow from it and never meet."""
    traffic: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file (plain, .gz or .zst) of counts per interval that drive the arrivals; None: synthetic traffic."""
    traffic_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Column of the traffic file; None: `value`, or the only one that can be meant."""
    jobs: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file (plain, .gz or .zst) of jobs that arrive instead of synthetic ones; None: synthetic jobs."""
    accesses: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file (plain, .gz or .zst) of accesses to objects that drives the popularity of datasets; None: Zipf's law."""
    accesses_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Column of the objects; None: `object`. An optional column `timestamp` says when."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the results; None: a new one in runs/."""
    no_progress: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no progress bars."""


@dataclass(frozen=True)
class Train(Common):
    """Train a policy, then compare it with the heuristics on test days."""

    algo: Algo = "clone-ppo"
    """Learning algorithm: of sb3-contrib (maskable-ppo) or Stable-Baselines3; a recipe that clones a heuristic, and
    goes on with MaskablePPO (clone-ppo) or with the cross-entropy method on the clone's last layers (clone-cem); or the
    cross-entropy method on the weights of a score for each decision (cem-scorer), which is the best known."""
    network: Network = "mlp"
    """A perceptron, or a network over sets of rows that fits clusters of every size; recipes have the second."""
    steps: int = 300_000
    """Decisions of reinforcement learning, over all copies; a training of this length takes about 3 minutes on 2 cores.
    What recipes do before or instead has its own settings."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON file of settings, as config.json of a run, or the name of one in agents/configs/train; flags win over it."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Go on with the training of a run's folder, with its settings, from its last checkpoint."""
    num_envs: int = 256
    """Copies of the environment that are stepped together."""
    forecaster: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Fitted forecaster (npz) that feeds the observation; or arima, gru or hybrid, to fit one on training traffic."""
    days: int = 20
    """Test days of the comparison, each run until every job is done; 0: no comparison."""


@dataclass(frozen=True)
class Evaluate(Common):
    """Compare a trained model with the heuristics on test days."""

    model: Annotated[Path, tyro.conf.arg(metavar="FILE")] = field(kw_only=True)
    """Model file that a training has written (model.zip or checkpoint.zip)."""
    days: int = 30
    """Test days, each run until every job is done."""


@dataclass(frozen=True)
class Compare(Common):
    """Compare heuristics on test days, without training."""

    workers: Literal["local", "ray"] = "local"
    """Who lives through the days: this process, or a Ray cluster, the one that RAY_ADDRESS names or a local one."""

    policies: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = ""
    """Heuristics, those of Cluster-v0 as capacity+replicas+allocation; `all`; or nothing: all, varied part by part.
    `best` is the composition that validation days find. Also model files (patterns such as `runs/*/model.zip`; models
    of one recipe are one policy), `module:callable`, which takes an environment and returns a policy, and JSON files of
    parameters of the priority rule."""
    days: int = 30
    """Test days, each run until every job is done."""
    validation_days: int | None = None
    """Days that choose initial plans, settings and the reference; None: as many as test days, at most 10."""
    tune_baselines: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let validation days also choose headroom and thresholds of the rules; results tell the episodes that it took."""
    timeline: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also draw the first test day of the reference and of the best other policy: tasks, replicas, nodes, traffic."""


@dataclass(frozen=True)
class Tune(Common):
    """Tune the priority rule of the allocation by the cross-entropy method; an unfinished search in --out goes on."""

    initial: Literal["empty", "one-each"] = "empty"
    """How plans start."""
    iterations: int = 25
    """Iterations of the search."""
    population: int = 32
    """Samples of an iteration."""
    days: int = 16
    """Fresh training days of an iteration."""
    validation_days: int = 40
    """Validation days that choose among the centres of the search."""


@dataclass(frozen=True)
class Forecast:
    """Backtest the forecasters on a series: fitted on its first 60 %, scored on its last 20 %."""

    series: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """CSV file (plain or .gz) of counts per interval."""
    column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Column of the counts; None: `value`, or the only other column."""
    horizon: int = 48
    """Slots ahead."""
    period: Annotated[str, tyro.conf.arg(metavar="N,N,...")] = ""
    """Seasons, in slots, shortest first; nothing: a day and a week."""
    slot_seconds: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Length of a slot that the counts are summed to (s); None: the interval of the file."""
    seed: int = 0
    """Seed of the networks."""
    save: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Keep the fitted hybrid here (npz); `gym.make(..., forecaster=FILE)` loads it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the results; None: a new one in runs/."""
    no_progress: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no progress bar."""


@dataclass(frozen=True)
class Describe:
    """Tell what a trace holds: what was read, how regular and how bursty it is; and draw it."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """CSV file (plain, .gz or .zst) of jobs, of accesses to objects, or of counts per interval."""
    column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Column of the counts or of the objects; None: `value` or `object`, or the only one that can be meant."""
    slot_seconds: int = 300
    """Length of the slots that jobs and accesses are counted in (s)."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the picture; None: a new one in runs/."""


COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "tune": Tune,
    "forecast": Forecast,
    "describe": Describe,
}
Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Forecast, tyro.conf.subcommand("forecast")]
    | Annotated[Describe, tyro.conf.subcommand("describe")]
)
