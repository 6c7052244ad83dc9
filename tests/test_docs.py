"""The documentation: its code runs, its commands parse, its pages are all there, and some are made of the code."""

from __future__ import annotations

import doctest
import gzip
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import psgym
from psgym.agents.flags import COMMANDS
from psgym.envs import VIEWS

assert psgym.__version__

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
TESTED_ELSEWHERE = {"replicas.md"}  # tests/replicas/test_replica_docs.py


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", DOCS / "mkdocs_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages read."""
    rng = np.random.default_rng(0)
    hours = np.arange(8 * 24)
    counts = rng.poisson(1000 + 600 * np.sin(2 * np.pi * hours / 24))
    stamps = np.datetime64("2024-01-01T00:00:00") + hours.astype("timedelta64[h]")
    text = "timestamp,value\n" + "".join(f"{stamp},{count}\n" for stamp, count in zip(stamps, counts, strict=True))
    (tmp_path / "traffic.csv").write_text(text)
    (tmp_path / "requests.csv.gz").write_bytes(gzip.compress(text.encode()))
    arrivals = np.sort(rng.uniform(0, 5 * 86_400, 4000))
    (tmp_path / "jobs.csv").write_text("arrival,duration\n" + "".join(f"{second:.1f},3000\n" for second in arrivals))
    (tmp_path / "log.csv").write_text("TIMESTAMP,tokens\n2023-11-16 18:15:46.68,374\n2023-11-16 18:17:01.00,396\n")
    (tmp_path / "accesses.csv").write_text("timestamp,base_model\n1.5,small\n3,large\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if blocks(path, "python") and path.name not in TESTED_ELSEWHERE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_code_of_a_page_runs(path: Path, folder: Path) -> None:
    names: dict[str, object] = {"__name__": path.stem}
    for block in blocks(path, "python"):
        exec(compile(block, str(path), "exec"), names)  # noqa: S102 - our own code


@pytest.mark.parametrize("path", [path for path in [*PAGES, ROOT / "README.md"] if blocks(path, "console")], ids=str)
def test_the_commands_of_a_page_exist(path: Path) -> None:
    import tyro

    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in "".join(blocks(path, "console")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "train.py"]:
            tyro.cli(COMMANDS[words[2]], args=words[3:])
        elif words[:1] == ["make"]:
            assert words[1] in targets, line
        elif words[:1] == ["python"] and words[1] != "-m":
            assert (ROOT / words[1]).is_file(), line


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_scripts_that_a_page_names_exist(path: Path) -> None:
    for name in re.findall(r"python ((?:benchmarks|docs|examples)/[a-z0-9_]+\.py)", path.read_text(encoding="utf-8")):
        assert (ROOT / name).is_file(), name


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed == written | set(hooks().pages())


def test_pictures_are_small_and_there() -> None:
    for path in [*PAGES, ROOT / "README.md"]:
        for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert 0 < (path.parent / name).stat().st_size < 1_000_000, name


@pytest.mark.parametrize("name", hooks().CLASSES)
def test_the_page_of_an_environment_is_made_of_its_docstring(name: str) -> None:
    module = hooks()
    page, cls = module.environment_page(name), module.CLASSES[name]
    assert cls.view.id in VIEWS
    assert (DOCS / "images" / f"{name}.webp").stat().st_size < 1_000_000
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    farama = ["Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End"]
    assert headings == [*farama, "Arguments", "Version History"]
    rows = re.findall(r"^\| \d+[^|]* \| (\w+\.\w+) \|", page, re.MULTILINE)
    assert len(rows) > 40
    code = "".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(code, {}, cls.__name__, None, 0)
    assert test.examples
    result = doctest.DocTestRunner().run(test, out=lambda text: sys.stdout.write(text) and None)
    assert result.failed == 0
