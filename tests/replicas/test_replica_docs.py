"""The examples of ``docs/replicas.md`` run, and what the page says of them and of the package is so."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import psgym.replicas

PAGE = Path(__file__).parents[2] / "docs" / "replicas.md"


@pytest.fixture(scope="module")
def page() -> str:
    """The text of the page."""
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names(page: str) -> dict[str, Any]:
    """What the page's Python blocks, run in order, leave behind."""
    left: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), left)  # noqa: S102 - the page is part of this repository
    return left


def test_the_day_goes_as_the_page_says(page: str, names: dict[str, Any]) -> None:
    plan, text = names["plan"], " ".join(page.split())
    figures = f"{len(plan.changes)} changes, {plan.moved_bytes / 1e12:.1f} TB copied, {plan.flaps()} flaps"
    assert figures in text
    assert f"from {names['static']:.1%} to {names['planned']:.1%}".replace("%", " %") in text
    assert (names["size"] @ plan.final <= names["servers"].capacity).all()
    assert (plan.live_at(names["day"] + 3600.0) == plan.final).all()
    assert (plan.live_at(0.0) == plan.initial).all()


def test_a_csv_log_becomes_arrays(page: str) -> None:
    left: dict[str, Any] = {}
    first = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert first is not None
    exec(first.group(1), left)  # noqa: S102 - the page is part of this repository
    assert left["names"].tolist() == ["cats", "dogs"]
    assert left["dataset"].tolist() == [0, 1, 0]
    assert left["bytes_read"].tolist() == [64e6] * 3


def test_every_function_in_the_tables_exists(page: str) -> None:
    modules = [
        importlib.import_module(f"psgym.replicas.{m.name}") for m in pkgutil.iter_modules(psgym.replicas.__path__)
    ]
    known = {name for module in modules for name in vars(module)}
    tables = re.findall(r"^\| (?:function|measure) .*\n(?:\|.*\n)+", page, flags=re.MULTILINE)
    rows = "\n".join(line.split("|")[1] for table in tables for line in table.splitlines())
    mentioned = set(re.findall(r"`(\w+)`", rows))
    assert len(mentioned) > 20
    assert mentioned <= known
