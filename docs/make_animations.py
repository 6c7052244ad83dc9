"""Draws the animations of the documentation: ``python docs/make_animations.py [NAME ...]``.

Each shows one day, a picture every few slots, as an animated WebP of less than a megabyte. ``--left`` and ``--right``
put any two policies side by side on the same day: names of rules, ``shipped``, or files of trained models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import psgym
from psgym.agents.policies import make_policy
from psgym.envs import VIEWS, preset
from psgym.envs.cluster.decide import COMMIT

FOLDER = Path(__file__).parent / "images"
MAX_BYTES = 1_000_000
COLOURS = 256
TITLE_HEIGHT = 32
"""Of the strip above the pictures that says whose they are (pixels)."""
assert psgym.__version__


@dataclass(frozen=True)
class Film:
    """One animation."""

    view_id: str
    preset: str
    policies: tuple[str, ...]
    """One or two, side by side."""
    size: tuple[int, int] = (800, 450)
    """Of each of them."""
    every: int = 6
    """Slots from picture to picture."""
    slots: int = 288
    seed: int = 1
    milliseconds: int = 150
    titles: tuple[str, ...] = ()
    """Of each of the policies; none is written without."""


FILMS = {
    "capacity": Film("psgym/Capacity-v0", "small", ("shipped",)),
    "replicas": Film("psgym/Replicas-v0", "storage", ("shipped",), every=15, slots=720),
    "allocation": Film("psgym/Allocation-v0", "contended", ("shipped",)),
    "cluster": Film("psgym/Cluster-v0", "small", ("shipped",)),
    "comparison": Film(
        "psgym/Allocation-v0",
        "contended",
        ("srpt-optimus", "shipped"),
        size=(640, 360),
        titles=("SRPT-Optimus, a rule", "The shipped policy, learned"),
    ),
}


def frames(film: Film, policy: str) -> Iterator[NDArray[np.uint8]]:
    """Lets a policy live through a day, and yields a picture every few slots."""
    config, changes, make = preset(film.preset), {}, None
    if policy == "shipped":
        from psgym.agents.learned import shipped_candidate

        candidate = shipped_candidate(film.view_id)
        changes, make = dict(candidate.changes), candidate.make
    elif Path(policy).is_file():
        from psgym.agents.learned import learned_candidate

        candidate, own = learned_candidate(Path(policy), film.view_id, film.preset)
        config, changes, make = own or config, dict(candidate.changes), candidate.make
    env: Any = gym.make(film.view_id, config=config, render_mode="rgb_array", **changes)
    decider = make(env.unwrapped) if make else make_policy(policy, env, film.view_id)
    observation, _ = env.reset(seed=film.seed)
    passed, over = 0, False
    while not over and passed < film.slots:
        action = int(np.ravel(decider.predict(observation)[0])[0])
        if action == COMMIT and passed % film.every == 0:  # of the finished plan: the next may start from nothing
            yield env.render()
        observation, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
        passed += info["slots_elapsed"]
    primary = VIEWS[film.view_id].primary
    sys.stdout.write(f"{policy}: {primary} {info[primary]:.4g}, {info['jobs_finished']:.0f} jobs finished\n")


def shoot(film: Film, path: Path) -> None:
    """Writes an animation."""
    sides = [[Image.fromarray(one).resize(film.size, Image.Resampling.LANCZOS) for one in frames(film, policy)]
             for policy in film.policies]  # fmt: skip
    head = TITLE_HEIGHT if film.titles else 0
    font = ImageFont.load_default(TITLE_HEIGHT / 2)
    pictures = []
    for parts in zip(*sides, strict=True):
        picture = Image.new("RGB", (len(parts) * film.size[0], film.size[1] + head), "white")
        for k, part in enumerate(parts):
            picture.paste(part, (k * film.size[0], head))
        for k, title in enumerate(film.titles):
            ImageDraw.Draw(picture).text(((k + 0.5) * film.size[0], head / 2), title, "black", font, "mm")
        pictures.append(picture)
    reduced = [
        picture.quantize(palette=_palette(pictures), dither=Image.Dither.NONE).convert("RGB") for picture in pictures
    ]
    options = {"duration": film.milliseconds, "loop": 0, "lossless": True, "method": 4}
    reduced[0].save(path, save_all=True, append_images=reduced[1:], **options)
    size = path.stat().st_size
    sys.stdout.write(f"{path}: {len(pictures)} pictures, {size / 1e3:.0f} kB\n")
    if size > MAX_BYTES:
        raise SystemExit(f"{path} is larger than {MAX_BYTES} bytes: take fewer or smaller pictures")


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """The colours of a few pictures. Charts have few, and without loss they take less room than with it.

    Chosen to cover all that occur: by the median cut, rare ones (an overloaded server's red) would be taken for others.
    """
    few = pictures[:: max(1, len(pictures) // 6)]
    sheet = Image.new("RGB", (few[0].width, few[0].height * len(few)))
    for k, picture in enumerate(few):
        sheet.paste(picture, (0, k * picture.height))
    return sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=5, dither=Image.Dither.NONE)


def main(
    names: tyro.conf.Positional[tuple[str, ...]] = tuple(FILMS),
    left: str = FILMS["comparison"].policies[0],
    right: str = FILMS["comparison"].policies[1],
) -> None:
    """Draws the named animations, or all.

    Args:
        names: Of capacity, replicas, allocation, cluster, comparison.
        left: Policy on the left of ``comparison``: a rule of psgym/Allocation-v0, ``shipped``, or a model's file.
        right: Policy on the right.
    """
    for name in names:
        film = FILMS[name]
        if name == "comparison":
            titles = film.titles if film.policies == (left, right) else (left, right)
            film = replace(film, policies=(left, right), titles=titles)
        shoot(film, FOLDER / f"{name}.webp")


if __name__ == "__main__":
    tyro.cli(main)
