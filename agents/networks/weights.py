"""Weights of a policy network as plain arrays (npz, no pickle), for clusters of any size with the same features."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from psgym.agents.files import write_atomically
from psgym.agents.networks.entities import EntityNetwork
from psgym.agents.networks.layout import Layout, WeightsError

ABOUT = "about"
"""Name of the array that holds the description, as JSON."""


@dataclass(frozen=True)
class About:
    """What weights are of."""

    env: str
    width: int
    rows_hash: str
    """Features of the rows that the network was trained on."""
    parts: tuple[str, ...]
    """What it decides."""
    agent_places: bool
    """Whether it picks the data server of a copy itself."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration that the policy needs, such as ``initial``."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: recipe, preset, seed, and what it took."""


def about(network: EntityNetwork, env: str, changes: Mapping[str, Any], trained: Mapping[str, Any]) -> About:
    """Describe a network's weights."""
    layout = network.layout
    return About(env, network.width, layout.rows_hash, layout.parts, layout.places > 1, dict(changes), dict(trained))


def save_weights(path: Path, network: EntityNetwork, description: About) -> None:
    """Write a network's weights, at once or not at all."""
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    arrays[ABOUT] = np.array(json.dumps(vars(description)))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)


def read_weights(path: Path) -> tuple[About, dict[str, np.ndarray]]:
    """Read a file of weights; nothing in it is executed.

    Raises:
        WeightsError: If the file is none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = json.loads(str(arrays.pop(ABOUT)))
        return About(**{**found, "parts": tuple(found["parts"])}), arrays
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise WeightsError(f"{path}: not weights of a policy: {error}") from None


def check_layout(path: Path, description: About, layout: Layout) -> None:
    """Raise WeightsError if weights are of a network for other observations or decisions; sizes may differ."""
    for name, trained, here in (
        ("features of the rows (their hash)", description.rows_hash, layout.rows_hash),
        ("decisions", ", ".join(description.parts), ", ".join(layout.parts)),
        ("choice of data servers by the agent", description.agent_places, layout.places > 1),
    ):
        if trained != here:
            raise WeightsError(f"{path}: trained with {name} {trained!r}, but here it is {here!r}")


def load_network(path: Path, layout: Layout) -> tuple[EntityNetwork, About]:
    """Build a network for an environment, with the weights of a file.

    Raises:
        WeightsError: If the file holds no weights, or those of a network for other features or decisions.
    """
    description, arrays = read_weights(path)
    check_layout(path, description, layout)
    network = EntityNetwork(layout, description.width)
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"{path}: its arrays are not those of a network: {error}") from None
    return network, description
