"""Hooks of MkDocs: pages that are made of the code, and those that lie at the root of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psgym.envs as envs

ROOT = Path(__file__).parents[1]
CLASSES = {
    "capacity": envs.CapacityEnv,
    "replicas": envs.ReplicasEnv,
    "allocation": envs.AllocationEnv,
    "cluster": envs.FullClusterEnv,
}
"""Environments by the name of their page."""
SHIPPED = "under the policy that comes with the package"
FILMED = {"allocation": f"of preset `contended` {SHIPPED}"}
"""What the animation of a page shows (`docs/make_animations.py`), where it is more than that."""


def environment_page(name: str) -> str:
    """The page of an environment, in the order of Farama's: title, picture, spaces, docstring."""
    cls = CLASSES[name]
    env = cls()
    title, _, rest = (cls.__doc__ or "").partition("\n")
    space = env.observation_space
    return (
        f"# {name.capitalize()}\n\n{title}\n\n"
        f"![An episode of {cls.view.id}](../images/{name}.webp)\n\n"
        f"*An episode {FILMED.get(name, SHIPPED)}; each picture shows a plan at its COMMIT.*\n\n"
        "| | |\n|---|---|\n"
        f"| Action Space | `Discrete({env.action_space.n})` |\n"
        f"| Observation Space | `Box({space.low.min():g}, {space.high.max():g}, {space.shape}, float32)` |\n"
        f'| import | `gymnasium.make("psgym:{cls.view.id}")` |\n'
        f"| preset | `{cls.view.preset}` |\n"
        f"| compared by | `{cls.view.primary}` |\n"
        f"{rest}\n"
    )


def root_page(name: str) -> str:
    """A page from the root of the repository, whose links lead out of the documentation."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"`docs/(\w+)\.md`", r"[\1](\1.md)", text)


def pages() -> dict[str, str]:
    """Every page that is made when the site is built, by its path."""
    made = {f"environments/{name}.md": environment_page(name) for name in CLASSES}
    return made | {"contributing.md": root_page("CONTRIBUTING.md"), "changelog.md": root_page("CHANGELOG.md")}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
