"""Folders of runs, and the configuration that each keeps so that it can be run again."""

from __future__ import annotations

import difflib
import json
import platform
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psgym.agents.files import write_atomically

if TYPE_CHECKING:
    from psgym.agents.training import Training

LIBRARIES = ("psgym", "gymnasium", "numpy", "numba", "torch", "stable-baselines3", "sb3-contrib")


def make_folder(out: Path | None, name: str, seed: int) -> Path:
    """Make the folder of a run: the given one, or the first of ``runs/<name>-<seed>[-<n>]`` that does not exist.

    Raises:
        OSError: If it cannot be made.
    """
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        return out
    for attempt in range(1, 1_000_000):
        folder = Path("runs") / (f"{name}-{seed}" if attempt == 1 else f"{name}-{seed}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"runs/{name}-{seed}: too many runs of this name")


def write_config(path: Path, training: Training) -> None:
    """Write everything that a training depends on, and the versions that it ran with."""
    found = {**asdict(training), "versions": {name: version(name) for name in LIBRARIES}}
    found["versions"]["python"] = platform.python_version()
    text = json.dumps(found, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


CONFIGS = Path(__file__).parent / "configs" / "train"
"""Configurations of trainings that come with the package."""


def find_config(path: Path) -> Path:
    """Return a configuration file, or the shipped one of that name if there is no such file (a folder is none)."""
    shipped = CONFIGS / f"{path.name.removesuffix('.json')}.json"
    return shipped if not path.is_file() and path.name == str(path) and shipped.exists() else path


def read_config(path: Path) -> dict[str, Any]:
    """Read a file of settings of a training, such as ``config.json`` of a run.

    Raises:
        ValueError: If the file is not JSON of that form.
        OSError: If it cannot be read.
    """
    from psgym.agents.training import Training

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    known = {item.name: item for item in fields(Training)}
    if not isinstance(found, dict) or not known.keys() & found.keys():
        raise ValueError(f"{path}: must be an object with settings of a training: {', '.join(known)}")
    found.pop("versions", None)
    for name, value in found.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{path}: unknown setting {name!r}{hint}")
        if name in ("cluster", "algorithm", "recipe") and not isinstance(value, dict):
            raise ValueError(f"{path}: {name!r} must be an object, not {value!r}")
    return found
