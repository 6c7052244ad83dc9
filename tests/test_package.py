"""What the package promises about itself: layers, light imports, no unsafe calls, an exact wheel."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import psgym

ROOT = Path(__file__).parents[1]
LAYERS = {
    "predictors": {"predictors"},
    "replicas": {"replicas"},
    "envs": {"envs", "predictors", "replicas"},
    "agents": {"agents", "envs", "predictors", "replicas"},
}
CORE = ("predictors", "replicas", "envs")
HEAVY = {"torch", "stable_baselines3", "sb3_contrib", "pandas", "matplotlib", "statsmodels", "tensorboard", "tyro"}
HEAVY |= {"pettingzoo", "ray"}
LAZY = ("predictors/*_training.py", "envs/render/*.py", "envs/pettingzoo.py")
"""Modules that need more than the core, and are imported only in the functions that fit or draw, or by the user."""
PROGRAMS = [
    *(path for folder in (*LAYERS, "benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "train.py",
    ROOT / "src/psgym/__init__.py",
]


def modules_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def is_lazy(path: Path) -> bool:
    return any(path.relative_to(ROOT).match(pattern) for pattern in LAZY)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that is imported anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_when_loaded(body: list[ast.stmt]) -> Iterator[str]:
    """Yield what a module imports when it is loaded: outside of functions and of ``if TYPE_CHECKING``."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imported_when_loaded(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            blocks = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
            yield from (name for block in blocks for name in imported_when_loaded(block))
            for handler in getattr(node, "handlers", []):
                yield from imported_when_loaded(handler.body)


def forbidden_calls(tree: ast.AST) -> Iterator[str]:
    """Yield every call that runs or unpickles what a file or a string says, or that draws from a global generator."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        unsafe = (
            name in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "os.system"}
            or (name == "torch.load" and arguments.get("weights_only") != "True")
            or arguments.get("allow_pickle") == "True"
            or arguments.get("shell") == "True"
            or re.fullmatch(r"(np|numpy)\.random\.(?!default_rng)[a-z_]+", name)
        )
        if unsafe:
            yield f"line {call.lineno}: {ast.unparse(call)}"


def run_python(code: str, folder: Path) -> str:
    """Run code in a process of its own, with a folder as the working directory and first on the path."""
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_point_one_way(folder: str) -> None:
    paths = modules_of(folder)
    assert paths
    for path in paths:
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top, _, rest = name.partition(".")
            assert top not in {*LAYERS, "train"}, f"{path}: import psgym.{name} instead of {name}"
            if top == "psgym" and (layer := rest.split(".")[0]) in LAYERS:
                assert layer in LAYERS[folder], f"{path}: {folder} must not import {name}"


@pytest.mark.parametrize("folder", ["predictors", "replicas"])
def test_forecasts_and_replicas_know_no_gymnasium(folder: str) -> None:
    for path in modules_of(folder):
        names = {name.split(".")[0] for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
        assert "gymnasium" not in names, path


@pytest.mark.parametrize("folder", CORE)
def test_core_modules_load_nothing_heavy(folder: str) -> None:
    for path in (path for path in modules_of(folder) if not is_lazy(path)):
        names = {name.split(".")[0] for name in imported_when_loaded(ast.parse(path.read_text(encoding="utf-8")).body)}
        assert not names & HEAVY, path


def test_what_counts_as_loaded() -> None:
    code = "try:\n import torch\nexcept ImportError:\n import tensorboard\n"
    code += "def f():\n import pandas\nclass A:\n import tyro\n"
    code += "if TYPE_CHECKING:\n import matplotlib\nelse:\n import statsmodels.api\n"
    assert set(imported_when_loaded(ast.parse(code).body)) == {"torch", "tensorboard", "tyro", "statsmodels.api"}


def test_the_environments_run_without_the_training_stack() -> None:
    modules = [
        ".".join(("psgym", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for folder in CORE
        for path in modules_of(folder)
        if not is_lazy(path)
    ]
    code = f"""
import importlib, sys
import gymnasium, psgym
for name in {modules}:
    importlib.import_module(name)
for name in [name for name in gymnasium.registry if name.startswith("psgym/")]:
    env = gymnasium.make(name)
    env.reset(seed=0)
    env.step(env.action_space.sample())
print(sorted({HEAVY} & set(sys.modules)))
"""
    assert run_python(code, ROOT) == "[]"


def test_the_short_names_are_never_imported() -> None:
    # From the root of the repository they would be importable, and be a second copy of every module.
    code = f"""
import importlib, pkgutil, sys
import psgym
for module in pkgutil.walk_packages(psgym.__path__, "psgym."):
    importlib.import_module(module.name)
print(sorted({set(LAYERS)} & set(sys.modules)))
"""
    assert run_python(code, ROOT) == "[]"
    assert not {*LAYERS} & set(sys.modules)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unsafe_call(path: Path) -> None:
    assert list(forbidden_calls(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "pickle.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "np.random.seed(0)",
        "np.random.normal()",
    ],
)
def test_unsafe_calls_are_found(code: str) -> None:
    assert len(list(forbidden_calls(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ["torch.load(path, weights_only=True)", "model.eval()", "np.random.default_rng(0).normal()"]
)
def test_safe_calls_are_let_through(code: str) -> None:
    assert list(forbidden_calls(ast.parse(code))) == []


def test_no_path_of_one_machine() -> None:
    absolute = re.compile(r"""(?<![\w.:/~$}])/(?:home|root|tmp|work|Users|opt|mnt)/""")
    folders = [ROOT / name for name in (*LAYERS, "benchmarks", "docs", "examples", "tests", ".ci", "src")]
    files = [ROOT / ".gitignore", *ROOT.glob("[!.]*"), *(path for folder in folders for path in folder.rglob("*"))]
    texts = [path for path in files if path.suffix in {"", ".py", ".md", ".toml", ".txt", ".cff"} and path.is_file()]
    assert {ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / ".ci/run"} <= set(texts)
    found = [path for path in texts if path != Path(__file__) and absolute.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_the_version_is_that_of_the_installed_package() -> None:
    assert psgym.__version__ == version("psgym")
    assert f"## {psgym.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {psgym.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_constraints_pin_every_direct_dependency() -> None:
    names = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = {name.lower() for name in re.findall(r'"([\w-]+)>=', project)}
    assert required >= {"gymnasium", "numpy", "numba", "torch", "pytest", "hatchling"}
    assert required <= names


def test_the_wheel_holds_the_package_alone(tmp_path: Path) -> None:
    build = (
        f"from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder({str(ROOT)!r}).build(directory='.'))"
    )
    with zipfile.ZipFile(tmp_path / run_python(build, tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {f"psgym/{path.relative_to(ROOT)}" for folder in LAYERS for path in modules_of(folder)}
    assert {name for name in names if name.endswith(".py")} == expected | {"psgym/__init__.py"}
    assert "psgym/py.typed" in names
    assert all(name.startswith("psgym/") for name in names)
