"""The command line: ``python train.py`` (or ``psgym``) with train, evaluate, compare, tune, forecast and describe."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from psgym.agents.files import write_atomically
from psgym.agents.policies import PolicyError, part_names, policy_names
from psgym.agents.run_folder import find_config, make_folder, read_config, write_config
from psgym.agents.workers import make_workers
from psgym.envs.cluster.config import ConfigError
from psgym.envs.settings import make_config
from psgym.envs.traces import TraceError
from psgym.envs.traffic import TrafficError
from psgym.envs.views import VIEWS

if TYPE_CHECKING:
    from psgym.agents.result import Result
    from psgym.agents.training import Training

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
    """CSV file (plain or .gz) of counts per interval that drive the arrivals; None: synthetic traffic."""
    traffic_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Column of the traffic file; None: `value`, or the only one that can be meant."""
    jobs: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file (plain, .gz or .zst) of jobs that arrive instead of synthetic ones; None: synthetic jobs."""
    accesses: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """CSV file (plain or .gz) of accesses to objects that drives the popularity of datasets; None: Zipf's law."""
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
    cross-entropy method on the weights of a score for each increment of tasks (cem-scorer), which is the best known."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; without a sub-command it trains."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "train")
    command: Any = tyro.cli(
        _commands(given),
        args=given,
        prog="train.py",
        description="Train policies for a distributed machine-learning cluster, and compare them with heuristics.",
    )
    try:
        _run(command)
    except (ConfigError, PolicyError, TraceError, TrafficError, ValueError, OSError) as error:
        raise SystemExit(f"train.py: {error}") from error


def _commands(given: Sequence[str]) -> Any:
    """The sub-commands; a file of settings changes the defaults of the flags that stand beside it."""
    if given[0] != "train" or "--config" not in given[:-1]:
        return Command
    try:
        found = read_config(find_config(Path(given[given.index("--config") + 1])))
    except (ValueError, OSError) as error:
        raise SystemExit(f"train.py: {error}") from error
    flags = {item.name for item in fields(Train)}
    paths = {name: Path(found[name]) for name in FILES if found.get(name) is not None}
    defaults = Train(**{name: value for name, value in found.items() if name in flags} | paths)
    train = Annotated[Train, tyro.conf.subcommand("train", default=defaults)]
    return train | Annotated[Compare, tyro.conf.subcommand("compare")]


def _run(command: Train | Evaluate | Compare | Tune | Forecast | Describe) -> None:
    if isinstance(command, Forecast):
        _forecast(command)
    elif isinstance(command, Describe):
        _describe(command)
    elif isinstance(command, Tune):
        _tune(command)
    elif isinstance(command, Compare):
        names = _names(command)
        models = [path for name in names for path in _files(name) if _is_model(path)]
        _compare(command, [name for name in names if not any(map(_is_model, _files(name)))], models=models)
    elif isinstance(command, Evaluate):
        _evaluate(command)
    else:
        _train(command)


def _names(command: Compare) -> list[str]:
    part_names(command.env)
    if command.policies == "all":
        return list(policy_names(command.env))
    return [name.strip() for name in command.policies.split(",") if name.strip()]


def _train(command: Train) -> None:
    from psgym.agents.board import show_evaluation
    from psgym.agents.interruption import Interrupted
    from psgym.agents.models import FORECASTER
    from psgym.agents.search import MODEL as SCORER_MODEL
    from psgym.agents.search import SCORER, train_scorer
    from psgym.agents.training import MODEL, Training, train

    if command.resume is not None:
        folder, training = command.resume, Training(**read_config(command.resume / "config.json"))
    else:
        training = _training(command)
        name = f"train-{VIEWS[command.env].id.split('/')[1]}-{command.algo}"
        forecaster = _forecaster(command, training.cluster)
        folder = make_folder(command.out, name, command.seed)
        if forecaster is not None:  # a model is of no use without what it looked at
            training = replace(training, forecaster=str(folder / FORECASTER))
            write_atomically(folder / FORECASTER, lambda path: shutil.copyfile(forecaster, path))
        write_config(folder / "config.json", training)
    try:
        if training.algo == SCORER:
            model = folder / SCORER_MODEL
            train_scorer(training, folder, progress_bar=not command.no_progress, resume=command.resume is not None)
        else:
            model = folder / MODEL
            train(training, folder, progress_bar=not command.no_progress, resume=command.resume is not None)
    except Interrupted as stop:
        _print(f"train.py: {stop}; go on with: train.py train --resume {folder}")
        raise SystemExit(stop.exit_status) from None
    if command.days == 0:
        _print(str(model))
        return
    result = _compare(replace(command, **_shared(training)), [], folder, models=[model])
    show_evaluation(folder / "tensorboard", result, asdict(training))


def _training(command: Train) -> Training:
    from psgym.agents.training import Training

    found = read_config(find_config(command.config)) if command.config else {}
    return Training(**{**found, **_shared(command), "algo": command.algo, "network": command.network,
                       "steps": command.steps, "num_envs": command.num_envs})  # fmt: skip


def _shared(source: Train | Training) -> dict[str, Any]:
    """Settings that a training and a command have in common, as plain values."""
    files = {name: None if (path := getattr(source, name)) is None else str(path) for name in FILES}
    plain = ("env", "preset", "seed", "traffic_column", "accesses_column")
    return {**files, **{name: getattr(source, name) for name in plain}}


def _forecaster(command: Train, cluster: Mapping[str, Any]) -> str | None:
    """Return the file that ``--forecaster`` names, fitted first if it names a kind.

    Raises:
        ValueError: If the file is not that of a forecaster.
        OSError: If it cannot be read.
    """
    from psgym.agents.evaluation import make_days
    from psgym.agents.fitted import KINDS, forecaster_for
    from psgym.envs.forecasts import make_forecasts

    if command.forecaster in KINDS:
        traffic = None if command.traffic is None else str(command.traffic)
        config = make_config(VIEWS[command.env].preset, command.preset, None, cluster)
        arguments = {"config": config, "traffic": traffic, "traffic_column": command.traffic_column}
        days = make_days(command.env, "train", 0, 1, jobs=_text(command.jobs), **arguments)  # type: ignore[arg-type]
        return str(forecaster_for(str(command.forecaster), days.config, days.traffic, command.seed))
    make_forecasts(command.forecaster)  # an unusable file is told before anything is trained
    return command.forecaster


def _evaluate(command: Evaluate) -> None:
    _compare(command, [], models=[command.model])


def _files(pattern: str) -> list[Path]:
    """The files that a pattern names, in order; a plain name stands for itself."""
    if not any(character in pattern for character in "*?["):
        return [Path(pattern)]
    anchor = Path(pattern).anchor
    found = sorted(Path(anchor or ".").glob(pattern.removeprefix(anchor)))
    if not found:
        raise ValueError(f"--policies: no file matches {pattern!r}")
    return found


def _is_model(path: Path) -> bool:
    """Whether a file is a trained policy, and no set of parameters of the priority rule."""
    from psgym.agents.scorer import is_scorer

    return path.suffix == ".zip" or (path.suffix == ".json" and is_scorer(path))


def _compare(
    command: Train | Evaluate | Compare, names: Sequence[str], folder: Path | None = None, models: Sequence[Path] = ()
) -> Result:
    from psgym.agents.benchmark import compare, steps_of
    from psgym.agents.report import table, write_report

    learned, config = [], None
    if "shipped" in names:
        from psgym.agents.learned import shipped_candidate

        learned.append(shipped_candidate(command.env))
        names = [name for name in names if name != "shipped"]
    if models:
        from psgym.agents.learned import learned_candidates, trained_config

        config = trained_config(models[0], command.env, command.preset)
        learned += learned_candidates(models, command.env, command.preset)
    kind = type(command).__name__.lower()
    folder = folder or make_folder(command.out, f"{kind}-{VIEWS[command.env].id.split('/')[1]}", command.seed)
    more: dict[str, Any] = {}
    if isinstance(command, Compare):
        more = {
            "validation_days": command.validation_days,
            "tune": command.tune_baselines,
            "timelines": command.timeline,
            "workers": make_workers(command.workers),
        }
    elif isinstance(command, Train):
        more = {"timelines": True}  # for TensorBoard
    with _Bar(steps_of(command.env, names, len(learned)), command.no_progress) as report:
        comparison = compare(
            command.env,
            None if config else command.preset,
            names,
            command.days,
            command.seed,
            None if command.traffic is None else str(command.traffic),
            command.traffic_column,
            config,
            learned,
            progress=report,
            jobs=_text(command.jobs),
            accesses=_text(command.accesses),
            accesses_column=command.accesses_column,
            **more,
        )
    paths = write_report(comparison, folder)
    _print(table(comparison))
    _print("\n".join(str(path) for path in paths))
    return comparison


def _tune(command: Tune) -> None:
    from psgym.agents.tuning import Tuning, tune

    folder = make_folder(command.out, f"tune-{command.preset or 'contended'}", command.seed)
    tuning = Tuning(
        preset=command.preset or "contended",
        initial=command.initial,
        iterations=command.iterations,
        population=command.population,
        days=command.days,
        validation_days=command.validation_days,
        seed=command.seed,
    )
    with _Bar(command.iterations + 1, command.no_progress, "iteration", "tuning") as report:
        found = tune(tuning, folder, report, _text(command.traffic), command.traffic_column, _text(command.jobs))
    _print(json.dumps(found.parameters, indent=1))
    _print(str(folder / "priority.json"))


def _forecast(command: Forecast) -> None:
    from psgym.agents.forecasting import load_series, run_backtest, save_fitted, write_forecast_report

    series = load_series(command.series, command.column, command.slot_seconds)
    season = _periods(command.period)
    folder = make_folder(command.out, f"forecast-{command.series.name.split('.')[0]}", command.seed)
    with _Bar(None, command.no_progress, "forecaster", "backtest") as report:
        result, hybrid = run_backtest(series, command.horizon, season, command.seed, lambda name, _: report(name))
    _print(write_forecast_report(result, hybrid, series, folder))
    if command.save is not None:
        save_fitted(hybrid, command.save)
    _print(str(folder))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _describe(command: Describe) -> None:
    from psgym.agents.describe import describe_file

    if command.slot_seconds < 1:
        raise ValueError(f"--slot-seconds must be at least 1, not {command.slot_seconds}")
    folder = make_folder(command.out, f"describe-{command.file.name.split('.')[0]}", 0)
    _print(describe_file(command.file, command.column, command.slot_seconds, folder))


def _periods(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    bad = [part for part in parts if not part.isdecimal()]
    if bad:
        raise ValueError(f"--period must be whole numbers of slots, joined by commas, not {bad[0]!r}")
    return [int(part) for part in parts]


class _Bar:
    """A progress bar, or nothing."""

    def __init__(self, total: int | None, hidden: bool, unit: str = "policy", title: str = "test days") -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, disable=hidden, unit=unit, desc=title)

    def __enter__(self) -> Callable[[str], None]:
        return self._advance

    def _advance(self, name: str) -> None:
        self._bar.set_postfix_str(name)
        self._bar.update()

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
