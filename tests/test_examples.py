"""The examples run as they stand, on tiny budgets; one whose package is missing is skipped."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from psgym.envs import VIEWS

FOLDER = Path(__file__).parents[1] / "examples"


def example(name: str, *packages: str) -> ModuleType:
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested_and_listed() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")}
    tested = set(re.findall(r'example\("(\w+)"', Path(__file__).read_text(encoding="utf-8")))
    listed = set(re.findall(r"`(\w+)\.py`", (FOLDER / "README.md").read_text(encoding="utf-8")))
    assert names == tested == listed


@pytest.mark.parametrize("algo", ["ppo", "maskable-ppo", "dqn"])
def test_stable_baselines3(algo: Any) -> None:
    metrics = example("sb3_training").main(algo, steps=2048, num_envs=16)
    assert metrics["total_cost"] > 0
    if algo == "maskable-ppo":
        assert metrics["refusals"] == 0


def test_cleanrl() -> None:
    module = example("cleanrl_ppo")
    history = module.main(module.Args(total_timesteps=2048, num_envs=16, num_steps=64))
    assert len(history) == 2
    assert all(-math.inf < reward < 0 for reward in history)


def test_optuna() -> None:
    best = example("optuna_sweep", "optuna").main(trials=2, steps=512, num_envs=8, days=1)
    assert set(best) == {"learning_rate", "ent_coef", "gamma", "n_steps"}


def test_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("minari_dataset", "minari", "h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    name = module.main(days=2, folder=tmp_path)
    import minari

    dataset = minari.load_dataset(name)
    episodes = list(dataset.iterate_episodes())
    assert len(episodes) == 2
    assert all(episode.truncations[-1] for episode in episodes)
    assert dataset.recover_environment().spec.id == "psgym/Allocation-v0"


def test_wrappers(tmp_path: Path) -> None:
    episode = example("wrappers", "moviepy").main(frames=12, folder=tmp_path / "video")
    assert episode["l"] == 288
    assert (tmp_path / "video" / "static+hot-cold+srpt-optimus-episode-0.mp4").stat().st_size > 1000


def test_pettingzoo() -> None:
    assert example("pettingzoo_agents", "pettingzoo").main() < 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")  # Ray's
def test_rllib_takes_legal_actions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("rllib_ppo", "ray", "tree")
    from psgym.agents.rllib import MaskedObservation

    infos: list[Any] = []
    step = MaskedObservation.step
    monkeypatch.setattr(MaskedObservation, "step", lambda env, action: infos.append((it := step(env, action))[4]) or it)
    found = module.main(iterations=1, batch=256)
    assert found["num_env_steps_sampled_lifetime"] == 256
    assert len(infos) >= 256
    assert not any(info["refused"] for info in infos)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("env_id", VIEWS)
def test_rl_zoo(algo: str, env_id: str) -> None:
    """RL Zoo itself cannot be installed beside our pins; its files hold arguments that SB3's constructors take."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    from stable_baselines3 import DQN, PPO

    settings = yaml.safe_load((FOLDER / "rl_zoo" / f"{algo}.yml").read_text(encoding="utf-8"))[env_id]
    assert settings.pop("n_timesteps") > 0
    assert settings.pop("n_envs") > 0
    arguments = {name: value for name, value in settings.items() if name != "policy_kwargs"}
    assert settings["policy_kwargs"] == "dict(net_arch=[128, 128])"
    if isinstance(arguments["learning_rate"], str):  # a schedule in RL Zoo's spelling
        arguments["learning_rate"] = float(arguments["learning_rate"].removeprefix("lin_"))
    model = {"ppo": PPO, "dqn": DQN}[algo](env=env_id, policy_kwargs={"net_arch": [128, 128]}, **arguments)
    assert model.gamma == 1.0
