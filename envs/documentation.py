"""Completes the docstrings of the environments with tables made from the code, so that they cannot disagree with it."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.features import groups
from psgym.envs.cluster.records import TERMS
from psgym.envs.cluster.settings_record import action_counts
from psgym.envs.presets import PRESETS
from psgym.envs.views import View

T = TypeVar("T", bound=type[Any])

_MEANINGS = {
    "unfinished": "unfinished jobs, in job-hours, times `unfinished_price`",
    "nodes": "powered nodes (booting and draining included), in hours, times `node_price`",
    "copies": "terabytes copied, times `copy_price`",
    "unavailable": "hours of readers whose dataset has no live copy, times `unavailable_price`",
    "stall": "share of the demanded bytes not served, times the slot's hours, times `stall_price`",
    "hot_traffic": "share of the bytes served by servers above 90 %, times the slot's hours, times `hot_traffic_price`",
    "storage": "hours x `storage_price` x (bytes stored over bytes of all datasets - `storage_target`), where above 0",
}


def documented(cls: T) -> T:
    """Fills the sections of a view's docstring."""
    view, config = cls.view, PRESETS[cls.view.preset]
    sections = {
        "actions": _actions(view, config),
        "observations": _observations(config),
        "rewards": _rewards(view),
        "start": _START,
        "end": _END,
        "arguments": _arguments(view),
        "versions": "## Version History\n\n* v0: initial version (0.1.0)",
    }
    text = inspect.cleandoc(cls.__doc__ or "")
    for name, section in sections.items():
        text = text.replace("{" + name + "}", section)
    cls.__doc__ = text
    return cls


def _actions(view: View, config: ClusterConfig) -> str:
    counts = action_counts(config)
    rows, at = [("0", "COMMIT: the plan stands, and one slot passes")], 1
    for part, count in counts.items():
        if part not in view.decides:
            continue
        if part == "capacity":
            rows += [
                (str(at), "one node up (the first that is off)"),
                (str(at + 1), "one node down (the emptiest drains)"),
            ]
        elif part == "allocation":
            rows.append((str(at), "REPLAN: in a quiet slot, plan the allocation anew"))
            rows.append((f"{at + 1} + 3 k + (0, 1, 2)", "window job k: one more worker, parameter server, or both"))
        else:
            rows.append((f"{at} + 2 c + (0, 1)", 'candidate dataset c: add or drop a copy (`placement="heuristic"`)'))
            places = config.data_servers
            rows.append((f"{at} + {places} (2 c + (0, 1)) + s", 'the same on data server s (`placement="agent"`)'))
        at += count
    table = "\n".join(f"| {number} | {meaning} |" for number, meaning in rows)
    return (
        f"## Action Space\n\nThe action is one of `Discrete({at})` (preset `{view.preset}`): one small decision at a time.\n\n"
        f"| Num | Action |\n|---|---|\n{table}\n\n"
        '`info["action_mask"]` and `env.unwrapped.action_masks()` tell which actions are legal; COMMIT always is. Every action is '
        "accepted: a masked-out one changes nothing and is counted, and the third in a slot commits it, as does the last "
        'decision that a slot may have. `info["slots_elapsed"]` is 1 where a slot has passed, else 0. After an event (an '
        "arrival, a completion, a failure, a change of capacity) the allocation is planned anew from `initial`; in a quiet "
        "slot it stays as it is."
    )


def _observations(config: ClusterConfig) -> str:
    rows, at = [], 0
    for group in groups(config):
        width = len(group.features)
        step = f" + {width} i" if group.rows > 1 else ""
        for offset, feature in enumerate(group.features):
            if feature.name.startswith("holder_") and feature.name != "holder_0":
                continue
            name = "holder_s" if feature.name == "holder_0" else feature.name
            meaning = feature.meaning.replace("server 0", "server s")
            number = f"{at + offset}{' + s' if name == 'holder_s' else ''}{step}"
            rows.append(f"| {number} | {group.name}.{name} | {feature.low:g} | {feature.high:g} | {meaning} |")
        at += group.rows * width
    shapes = ", ".join(f"{group.name} {(group.rows, len(group.features))}" for group in groups(config))
    return (
        f"## Observation Space\n\nA `Box` of {at} float32 numbers (this preset), without units, scaled to the ranges below; i counts the "
        f'rows of a group. With `observation="structured"` it is a `Dict` of the groups: {shapes}.\n\n'
        "| Num | Observation | Min | Max | Meaning |\n|---|---|---|---|---|\n" + "\n".join(rows)
    )


def _rewards(view: View) -> str:
    terms = "\n".join(f"| `{term}` | {_MEANINGS[term]} |" for term in TERMS if term in view.rewarded)
    return (
        "## Rewards\n\nOn a commit, minus the cost of the slot over `reward_scale`; on every other decision 0. "
        '`info["reward_terms"]` holds the terms, whose sum is the reward.\n\n'
        f"| Term | Cost |\n|---|---|\n{terms}"
    )


_START = (
    "## Starting State\n\nNo job has arrived, all nodes are on, every dataset has `initial_copies` copies. Everything that "
    "a policy cannot influence (traffic, arrivals, true coefficients, readers, failures and repairs, noise) is a function "
    "of the seed."
)

_END = (
    "## Episode End\n\n1. Truncation: `slots` slots have passed (with `drain=True`: four times as many).\n"
    "2. Termination: a finite list of jobs (`job_list`) is done; with `drain=True`, every job that arrived is done after "
    "the last slot.\n\nThe observation holds the time of day, never the time to the end."
)


def _arguments(view: View) -> str:
    return (
        "## Arguments\n\n"
        "```python\n>>> import gymnasium as gym\n>>> import psgym\n"
        f'>>> env = gym.make("{view.id}", preset="{view.preset}")\n'
        f">>> env\n<OrderEnforcing<PassiveEnvChecker<{_CLASS[view.id]}<{view.id}>>>>\n\n```\n\n"
        "| Parameter | Type | Default | Description |\n|---|---|---|---|\n"
        f"| `preset` | str | `{view.preset!r}` | {', '.join(f'`{name}`' for name in PRESETS)} |\n"
        "| `config` | ClusterConfig or mapping | None | a configuration instead of a preset |\n"
        "| `traffic` | CSV file, array or Traffic | None | the traffic that drives arrivals; synthetic if None |\n"
        "| `traffic_column` | str | None | column of the CSV file |\n"
        "| `jobs` | CSV file or JobTrace | None | a trace whose jobs arrive; their submissions are the traffic |\n"
        '| `part` | str | `"train"` | part of the trace that days are drawn from: `train`, `validation`, `test` |\n'
        '| `forecaster` | file or Forecaster | None | a fitted forecaster (npz), `"oracle"`, or None for a seasonal EWMA |\n'
        "| `accesses` | CSV file or AccessLog | None | a log of accesses that drives the popularity of datasets |\n"
        "| `accesses_column` | str | None | column of the objects in it; `object` if None |\n"
        "| `render_mode` | str | None | `ansi`, `rgb_array` or `human` |\n"
        "| any field of `ClusterConfig` | | | changes that field of the preset |"
    )


_CLASS = {
    "psgym/Capacity-v0": "CapacityEnv",
    "psgym/Replicas-v0": "ReplicasEnv",
    "psgym/Allocation-v0": "AllocationEnv",
    "psgym/Cluster-v0": "FullClusterEnv",
}
