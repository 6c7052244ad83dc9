"""Trains every policy of docs/benchmark.md from six seeds, and compares them with the rules; goes on where it stopped.

    python benchmarks/learning.py --data TRACES
    python benchmarks/learning.py --only allocation --part train

A study is one configuration of `agents/configs/train`, trained once for each seed, and the comparisons that its models
take part in, each on test days that nothing was trained or chosen on. Models lie in ``runs/learning``. What a
comparison found is kept in ``benchmarks/results/learning``, with the primary metric of every day and training seed, and
is not measured again: delete a file to have it measured anew. Every step is a command of `train.py` in a process of its
own, and is printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psgym.agents.scorer import read_scorer, write_scorer
from psgym.agents.search import SCORER
from psgym.agents.statistics import paired_difference

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "learning"
SEEDS = range(6)
TEST_SEED = 1
"""Seed that test and validation days follow from."""
TRACES = {
    "wikipedia": ("wikipedia_1h_2018_2019.csv.gz", "value"),
    "wc98": ("wc98_1min_1998.csv.gz", "value"),
    "venus": ("helios_venus_10min_2020AprJul.csv.gz", "submit_gpu_job"),
}
"""File and column of each trace."""


@dataclass(frozen=True)
class Comparison:
    """A table: models of a study and rules on the same days."""

    policies: str
    """Rules, as `train.py compare` takes them."""
    preset: str = ""
    """Configuration of the cluster; the id's own if empty."""
    days: int = 100
    trace: str = ""
    """One of `TRACES`; synthetic traffic if empty."""
    seeds: int = len(SEEDS)
    """Models that take part; fewer where a day takes long."""
    validation_days: int = 10
    tune: bool = False
    """Whether validation days also choose settings of rules."""
    cost: bool = False
    """Whether to compare in total cost too, which is what the reward counts but not the primary metric."""
    besides: tuple[str, ...] = ()
    """Further rules beside the scorers, each of which makes another policy of the same weights."""
    others: tuple[str, ...] = ()
    """Further studies whose models take part."""


@dataclass(frozen=True)
class Study:
    """A configuration that is trained from every seed, and the tables about it."""

    env: str
    config: str
    algo: str
    comparisons: dict[str, Comparison]
    seeds: int = len(SEEDS)
    """Seeds that it is trained from; fewer where no claim rests on them."""


_RULES = "drf,drf-stop,optimus,srpt-optimus,srpt-optimus-sticky,priority"
_CAPACITY = ("static", "reactive", "forecast")
_COMPOSITIONS = ",".join(["static+hot-cold+srpt-optimus", *(f"{one}+hot-cold+priority" for one in _CAPACITY)])
STUDIES = {
    "allocation": Study(
        "psgym/Allocation-v0",
        "allocation",
        "cem-scorer",
        {
            "allocation-contended": Comparison(_RULES, "contended"),
            "allocation-small": Comparison(_RULES, "small"),
            "allocation-uncontended": Comparison(_RULES, "uncontended"),
            "allocation-dl2": Comparison(_RULES, "dl2"),
            "allocation-large": Comparison("srpt-optimus,priority", "large", 10, validation_days=1),
            **{f"allocation-{name}": Comparison("srpt-optimus,priority", "contended", 30, name) for name in TRACES},
        },
    ),
    "dl2": Study(
        "psgym/Allocation-v0",
        "allocation-dl2",
        "cem-scorer",
        {"dl2": Comparison(_RULES, "dl2")},
    ),
    "large": Study(
        "psgym/Allocation-v0",
        "allocation-large",
        "cem-scorer",
        {"large": Comparison("srpt-optimus,priority", "large", 10, validation_days=1)},
    ),
    "cluster": Study(
        "psgym/Cluster-v0",
        "cluster",
        "cem-scorer",
        {
            "cluster-small": Comparison(f"best,{_COMPOSITIONS}", "small", validation_days=20),
            "cluster-ablation": Comparison(
                "forecast+hot-cold+priority",
                "small",
                50,
                besides=("reactive+hot-cold", "static+hot-cold", "forecast+static", "forecast+no-op"),
            ),
            **{f"cluster-{name}": Comparison(_COMPOSITIONS, "small", 30, name) for name in TRACES},
        },
    ),
    "replicas": Study(
        "psgym/Replicas-v0",
        "replicas",
        "cem-scorer",
        {
            "replicas-storage": Comparison("hot-cold,load-aware,forecast,oracle", "storage", cost=True),
            "replicas-rule": Comparison("load-aware", "storage", cost=True, others=("replicas-numbers",)),
        },
    ),
    "replicas-numbers": Study("psgym/Replicas-v0", "replicas-numbers", "cem-scorer", {}, seeds=3),
    "capacity": Study(
        "psgym/Capacity-v0",
        "capacity",
        "cem-scorer",
        {"capacity-small": Comparison("static,reactive,forecast,oracle", "small", tune=True)},
    ),
}


def train(study: Study, seed: int, folder: Path) -> None:
    """Train from one seed, unless that is done; a training that was stopped goes on."""
    if model_of(study, folder).exists():
        return
    if any((folder / name).exists() for name in ("checkpoint.zip", "search.json")):
        arguments = ["--resume", folder]
    else:
        arguments = ["--config", study.config, "--algo", study.algo, "--seed", seed, "--out", folder]
    began, before = time.time(), _cpu_of_children()
    _command("train", *arguments, "--days", 0, "--no-progress")
    _write(folder / "seconds.json", {"cpu": _cpu_of_children() - before, "wall": time.time() - began})


def model_of(study: Study, folder: Path) -> Path:
    """Where a training leaves what it learned."""
    return folder / ("scorer.json" if study.algo == SCORER else "model.zip")


def folders_of(title: str, work: Path) -> list[Path]:
    """Where the trainings of a study lie, by seed."""
    return [work / f"{title}-{seed}" for seed in range(STUDIES[title].seeds)]


def with_besides(models: list[Path], besides: tuple[str, ...]) -> list[Path]:
    """Return the models, and scorers of the same weights beside other rules, which are written next to them."""
    found = list(models)
    for beside in besides:
        for path in models:
            scorer = read_scorer(path)
            trained = {**scorer.trained, "algo": f"{scorer.trained['algo']} beside {beside}"}
            found.append(path.with_name(f"scorer-{beside}.json"))
            write_scorer(found[-1], replace(scorer, beside=beside, trained=trained))
    return found


def compare(name: str, study: Study, one: Comparison, folders: list[Path], work: Path, data: Path | None) -> None:
    """Make one table, unless it is there; a trace needs the folder of traces, other studies their models."""
    path = RESULTS / f"{name}.json"
    if path.exists():
        return
    if one.trace and data is None:
        print(f"{name}: skipped; --data names the folder of traces")
        return
    models = with_besides([model_of(study, folder) for folder in folders[: one.seeds]], one.besides)
    for other in one.others:
        models += [model_of(STUDIES[other], folder) for folder in folders_of(other, work)[: one.seeds]]
    policies = ",".join([one.policies, *map(str, models)])
    arguments = ["--env", study.env, "--days", one.days, "--validation-days", one.validation_days, "--seed", TEST_SEED]
    arguments += ["--preset", one.preset] if one.preset else []
    arguments += ["--tune-baselines"] if one.tune else []
    if one.trace and data is not None:
        file, column = TRACES[one.trace]
        arguments += ["--traffic", data / file, "--traffic-column", column]
    out = work / f"compare-{name}"
    _command("compare", *arguments, "--policies", policies, "--out", out, "--no-progress")
    found = json.loads((out / "result.json").read_text(encoding="utf-8"))
    if found["traffic"]:
        found["traffic"]["source"] = Path(found["traffic"]["source"]).name
    for row in found["rows"]:
        del row["completion_percentiles_seconds"]
        if not one.cost:
            del row["cost_episodes"]
    found["training_cpu_seconds"] = [_seconds(folder) for folder in folders[: one.seeds]]
    found["learned"] = study.algo
    found["learned_against"] = learned_against(found, "episodes")
    if one.cost:
        found["learned_cost_against"] = learned_against(found, "cost_episodes")
    _write(path, _rounded(found))


def learned_against(found: dict[str, Any], key: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the paired difference in percent of every learned policy from every other one, with its interval.

    Args:
        found: What a comparison found.
        key: Where each row has the days: ``episodes`` (primary metric) or ``cost_episodes`` (total cost).
    """
    rows, day = [row for row in found["rows"] if row[key]], found["episode_days"]
    return {
        row["policy"]: {other["policy"]: _percent(row[key], other[key], day) for other in rows if other != row}
        for row in rows
        if row["kind"] == "learned"
    }


def table(found: dict[str, Any]) -> str:
    """Return a comparison as a Markdown table, with the difference of the first learned policy from every other."""
    primary = found["primary"]
    learned = found.get("learned") or next(row["policy"] for row in found["rows"] if row["kind"] == "learned")
    jobs = any(row["metrics"]["mean_completion_seconds"]["mean"] for row in found["rows"])
    more = [name for name in ("mean_completion_seconds", "p99_completion_seconds", "node_hours") if jobs]
    more = [name for name in more if name != primary]
    compared = {primary: found["learned_against"][learned]}
    compared |= {"total_cost": found["learned_cost_against"][learned]} if "learned_cost_against" in found else {}
    headings = [cell for name in compared for cell in (f"{name} [95 %]", f"{learned} against it [95 %]")]
    headings = ["policy", *headings, "interquartile mean", *more, "us/decision"]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for row in found["rows"]:
        cells = [_title(row, found)]
        for name, against in compared.items():
            cells += [_estimate(row["metrics"][name]), _difference(against.get(row["policy"]))]
        middle = row["interquartile_mean"].get(primary)
        cells.append(f"{middle['mean']:.4g}" if middle else "")
        cells += [f"{row['metrics'][name]['mean']:.5g}" if name in row["metrics"] else "" for name in more]
        cells.append(f"{1e6 * row['seconds_per_decision']:.0f}" if row["seconds_per_decision"] else "")
        lines.append(f"| {' | '.join(cells)} |")
    prices = [
        f"| {one['price']} x {one['factor']:g} | {one['reference']} | {_price(one, learned)} |"
        for one in found["sensitivity"]
    ]
    if prices:
        lines += ["", f"| price | best heuristic at it | {learned} against it [95 %] |", "|---|---|---|", *prices]
    return "\n".join(lines)


def _title(row: dict[str, Any], found: dict[str, Any]) -> str:
    notes = ["reference"] if row["policy"] == found["reference"] else []
    notes += [f"{row['training_seeds']} seeds"] if row["training_seeds"] else []
    notes += [row["choice"]] if row["choice"] else []
    marks = {"oracle": "ORACLE ", "bound": "BOUND "}
    return marks.get(row["kind"], "") + row["policy"] + (f" ({'; '.join(notes)})" if notes else "")


def _estimate(one: dict[str, float]) -> str:
    if abs(one["mean"]) < 0.1:  # a share
        return f"{one['mean']:.5f} [{one['low']:.5f}, {one['high']:.5f}]"
    digits = 0 if abs(one["mean"]) >= 1000 else 1 if abs(one["mean"]) >= 100 else 2
    return f"{one['mean']:.{digits}f} [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"


def _difference(pair: dict[str, float] | None) -> str:
    return "" if pair is None else f"{pair['percent']:+.1f} [{pair['low']:+.1f}, {pair['high']:+.1f}] %"


def _price(one: dict[str, Any], learned: str) -> str:
    found = one["differences"][learned]
    scale = found["percent"] / found["difference"] if found["difference"] else 0.0
    return f"{found['percent']:+.1f} [{scale * found['low']:+.1f}, {scale * found['high']:+.1f}] %"


def _percent(row: list[list[float]], other: list[list[float]], day: list[int]) -> dict[str, float]:
    found = paired_difference(row, other, day)
    scale = 100.0 * len(day) * len(other) / sum(map(sum, other))
    low, high = scale * found.low, scale * found.high
    return {"percent": scale * found.mean, "low": low, "high": high, "p_value": found.p_value}


def _command(*arguments: object) -> None:
    command = ["train.py", *map(str, arguments)]
    print("python " + " ".join(command), flush=True)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 our own


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(folder: Path) -> float | None:
    path = folder / "seconds.json"
    return json.loads(path.read_text(encoding="utf-8"))["cpu"] if path.exists() else None


def _rounded(value: Any) -> Any:
    """Floats to seven digits: what a file in the repository need not hold."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _write(path: Path, found: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found) + "\n", encoding="utf-8")


def main() -> None:
    """Train and compare what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="studies or comparisons, joined by commas; all if empty")
    parser.add_argument("--part", choices=("all", "train", "compare", "tables"), default="all")
    parser.add_argument("--data", type=Path, default=None, help="folder of the traces")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "learning", help="folder of models and reports")
    arguments = parser.parse_args()
    wanted = {name for name in arguments.only.split(",") if name}
    known = {*STUDIES, *(name for study in STUDIES.values() for name in study.comparisons)}
    if unknown := wanted - known:
        parser.error(f"--only: no {min(unknown)!r}; there are {', '.join(sorted(known))}")
    if arguments.part == "tables":
        for path in sorted(RESULTS.glob("*.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            if not wanted or path.stem in wanted:
                print(f"{path.stem}: {found['days']} test days, {found['distinct_days']} distinct\n\n{table(found)}\n")
        return
    for title, study in STUDIES.items():
        names = [name for name in study.comparisons if not wanted or {title, name} & wanted]
        folders = folders_of(title, arguments.work)
        if arguments.part != "compare" and (names or title in wanted):
            for needed in (title, *(other for name in names for other in study.comparisons[name].others)):
                for seed, folder in enumerate(folders_of(needed, arguments.work)):
                    train(STUDIES[needed], seed, folder)
        if arguments.part != "train":
            for name in names:
                compare(name, study, study.comparisons[name], folders, arguments.work, arguments.data)


if __name__ == "__main__":
    main()
