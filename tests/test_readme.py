"""The README's code runs, its links lead somewhere, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from psgym.agents.policies import PARTS
from psgym.envs import PRESETS, VIEWS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    code = compile("\n".join(blocks), "README.md", "exec")
    exec(code, {})  # noqa: S102 - our own code
    finished, completion, cost = map(float, capsys.readouterr().out.split())
    assert finished >= 0
    assert completion > 0
    assert cost > 0


def test_the_first_example_is_short() -> None:
    first = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert len([line for line in first.group(1).splitlines() if line]) == 10


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:docs|benchmarks)/[\w./]+\w|[A-Z]+\.(?:md|cff)", README))))
def test_files_exist(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_id_preset_and_rule_is_named() -> None:
    names = set(re.findall(r"`([^`\n]+)`", README))
    assert set(VIEWS) <= names
    assert set(PRESETS) <= names
    for part, rules in PARTS.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| {part} |"))
        assert set(rules) <= set(re.findall(r"`([^`]+)`", row))
