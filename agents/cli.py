"""The command line: ``python train.py`` (or ``psgym``) with train, evaluate, compare, tune, forecast and describe."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from psgym.agents.files import write_atomically
from psgym.agents.flags import FILES, Command, Compare, Describe, Evaluate, Forecast, Train, Tune
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
    split = [word for one in given for word in (one.split("=", 1) if one.startswith("--config=") else [one])]
    if split[0] != "train" or "--config" not in split[:-1]:
        return Command
    try:
        found = read_config(find_config(Path(split[split.index("--config") + 1])))
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
    with _Bar(100, command.no_progress, "%", "backtest") as bar:
        result, hybrid = run_backtest(series, command.horizon, season, command.seed, bar.reach)
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

    def __init__(self, total: int, hidden: bool, unit: str = "policy", title: str = "test days") -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, disable=hidden, unit=unit, desc=title)

    def __enter__(self) -> _Bar:
        return self

    def __call__(self, name: str) -> None:
        """Advances by one, which is done."""
        self._bar.set_postfix_str(name)
        self._bar.update()

    def reach(self, name: str, share: float) -> None:
        """Moves to a share of the total, and names what is under way."""
        self._bar.set_postfix_str(name)
        self._bar.update(round(share * self._bar.total) - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
