"""Frames as text and as images: for every id, for clusters of every size and in every state."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import psgym
from psgym.agents.policies import RulePolicy
from psgym.envs import FullClusterEnv
from psgym.envs.cluster.records import LIVE_COPY
from psgym.envs.render import Frame, ImageRenderer, draw_text, take_frame
from psgym.envs.render.frame import clock
from psgym.envs.render.text import WIDTH, bar, sparkline
from psgym.envs.views import VIEWS

assert psgym.__version__


def played(view_id: str, decisions: int = 60, **arguments: Any) -> Any:
    env = gym.make(view_id, **arguments)
    observation, _ = env.reset(seed=3)
    policy = RulePolicy(env, 1, 2, 7)
    for _ in range(decisions):
        action, _ = policy.predict(observation)
        observation, *_ = env.step(int(action))
    return env


def pristine(**arguments: Any) -> Any:
    """A cluster with sound servers and no power, without compiling kernels for its shape."""
    env = gym.make("psgym/Cluster-v0", **arguments).unwrapped
    servers = env.public["servers"]
    servers["up"], servers["capacity"] = 1, 1.0
    return env


@pytest.mark.parametrize("view_id", VIEWS)
def test_every_id_has_both_modes(view_id: str) -> None:
    text = played(view_id, render_mode="ansi").render()
    assert view_id in text
    assert "data servers" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    image = played(view_id, render_mode="rgb_array").render()
    assert image.shape == (720, 1280, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_no_mode_draws_nothing_and_an_unknown_one_is_an_error() -> None:
    env = played("psgym/Cluster-v0", 1).unwrapped
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert env.render() is None
    with pytest.raises(ValueError, match="human"):
        FullClusterEnv(render_mode="film")


def test_a_window_shows_an_image_pixel_for_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    from psgym.envs.render import Window

    monkeypatch.setenv("MPLBACKEND", "agg")
    plt.switch_backend("agg")
    window = Window("pixels", 1e9)
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (72, 128, 3), np.uint8)
        window.show(pixels)
        canvas: Any = plt.figure("pixels").canvas
        canvas.draw()
        np.testing.assert_array_equal(np.asarray(canvas.buffer_rgba())[..., :3], pixels)
    plt.figure("pixels").set_dpi(200)  # a screen with dots half as large
    canvas.draw()
    np.testing.assert_array_equal(np.asarray(canvas.buffer_rgba())[..., :3], pixels.repeat(2, 0).repeat(2, 1))
    window.close()


def test_a_window_shows_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    from psgym.envs.render import Window

    shown: list[int] = []
    show = Window.show
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(Window, "show", lambda self, pixels: (shown.append(int(pixels.sum())), show(self, pixels)))
    plt.switch_backend("agg")
    env = played("psgym/Cluster-v0", 0, render_mode="human").unwrapped
    assert len(shown) == 1
    slots = sum(env.step(0)[4]["slots_elapsed"] for _ in range(3))
    assert slots == 3
    assert len(set(shown)) == 4
    (number,) = plt.get_fignums()
    plt.close(number)  # the user has closed it
    env.step(0)
    env.close()
    assert plt.get_fignums() == []


def test_without_a_display_a_window_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    from psgym.envs.render import Window

    monkeypatch.delenv("MPLBACKEND", raising=False)
    plt.switch_backend("agg")
    window = Window("test", 10)
    with pytest.warns(UserWarning, match="no display was found"):
        window.show(np.zeros((72, 128, 3), np.uint8))
    window.close()


def test_nothing_is_drawn_before_the_first_reset() -> None:
    with pytest.raises(ResetNeeded):
        gym.make("psgym/Cluster-v0", render_mode="ansi").unwrapped.render()


def test_drawing_changes_nothing_and_repeats_itself() -> None:
    env = played("psgym/Cluster-v0", render_mode="rgb_array").unwrapped
    records = env.simulation.states.view(np.uint8)
    before = records.copy()
    image = env.render()
    np.testing.assert_array_equal(records, before)
    kept = image.copy()
    np.testing.assert_array_equal(env.render(), image)
    np.testing.assert_array_equal(ImageRenderer(env.config).draw(take_frame(env)), image)
    env.step(0)
    assert (env.render() != image).any()
    np.testing.assert_array_equal(image, kept)


def test_the_figure_stays_out_of_pickles_and_copies() -> None:
    env = played("psgym/Cluster-v0", render_mode="rgb_array").unwrapped
    size = len(pickle.dumps(env))
    image = env.render()
    assert len(pickle.dumps(env)) == size
    twins = pickle.loads(pickle.dumps(env)), copy.deepcopy(env)  # noqa: S301 - our own bytes
    for twin in twins:
        np.testing.assert_array_equal(twin.render(), image)
    env.close()
    np.testing.assert_array_equal(env.render(), image)


def test_the_style_of_the_program_is_neither_used_nor_changed() -> None:
    import matplotlib

    env = played("psgym/Cluster-v0").unwrapped
    frame = take_frame(env)
    image = ImageRenderer(env.config).draw(frame)
    with matplotlib.rc_context({"font.size": 20, "axes.edgecolor": "red", "hatch.linewidth": 3}):
        before = dict(matplotlib.rcParams)
        np.testing.assert_array_equal(ImageRenderer(env.config).draw(frame), image)
        assert dict(matplotlib.rcParams) == before


def test_matplotlib_waits_for_the_first_image() -> None:
    code = (
        "import sys, gymnasium as gym, psgym\n"
        "env = gym.make('psgym/Cluster-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0)\n"
        "from psgym.envs.render import draw_text, take_frame\n"
        "draw_text(take_frame(env.unwrapped))\n"
        "assert 'matplotlib' not in sys.modules\n"
        "env.render()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("preset", ["small", "storage", "large", "dl2"])
def test_a_cluster_without_power_or_jobs(preset: str) -> None:
    env = pristine(preset=preset)
    frame = take_frame(env)
    assert {node.state for node in frame.nodes} == {"off"}
    assert max(map(len, draw_text(frame).splitlines())) <= WIDTH
    assert ImageRenderer(env.config).draw(frame).shape == (720, 1280, 3)


def test_a_day_without_arrivals() -> None:
    env = gym.make("psgym/Cluster-v0", render_mode="ansi")
    env.reset(seed=0, options={"traffic": np.zeros(288)})
    env.step(0)
    assert "traffic  0.00" in env.render()


def test_states_of_nodes_and_servers_show() -> None:
    env = pristine()
    nodes = env.public["nodes"]
    nodes["on"][0, :4] = 1
    nodes["draining"][0, 1] = 1
    nodes["ready_seconds"][0, 2] = 120.0
    nodes["failed"][0, 3] = 1
    env.public["servers"]["up"][0, 5] = 0
    frame = take_frame(env)
    assert [node.state for node in frame.nodes[:5]] == ["on", "drains", "boots", "failed", "off"]
    text = draw_text(frame)
    assert "5 down" in text
    assert "7/8 up" in text


def test_the_frame_is_what_the_records_say() -> None:
    env = played("psgym/Cluster-v0").unwrapped
    frame, public = take_frame(env), env.public[0]
    assert isinstance(frame, Frame)
    for node, free, tasks in zip(frame.nodes, public["nodes"]["cpu_free"], public["nodes"]["tasks"], strict=True):
        assert len(node.tasks) == tasks
        assert sum(task.cpu for task in node.tasks) == env.config.node_cpu - free
    jobs = public["jobs"][public["window"][: public["window_count"]]]
    assert sorted((job.workers, job.servers) for job in frame.window) == sorted(
        zip(jobs["workers"].tolist(), jobs["servers"].tolist(), strict=True)
    )
    assert (frame.placed == LIVE_COPY).sum() == public["datasets"]["copies"].sum()
    assert frame.traffic[-1] == public["traffic"]


def test_bars_and_times() -> None:
    assert bar(0.0, 4) == "····"
    assert bar(0.5, 4) == "██··"
    assert bar(2.0, 4) == "████"
    assert bar(0.28, 4) == "█▏··"
    assert sparkline(np.array([0.0, 1.0, 2.0]), 2.0) == "▁▅█"
    assert clock(23.999) == "00:00"
    assert clock(9.5) == "09:30"
