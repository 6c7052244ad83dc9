"""Networks over sets of rows: equivariant, of no size, masked, and saved as nothing but arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from psgym.agents.networks.entities import Critic, EntityNetwork
from psgym.agents.networks.layout import Layout, layout_of
from psgym.agents.networks.player import NetworkPolicy
from psgym.agents.networks.weights import WeightsError, about, load_network, read_weights, save_weights
from psgym.envs import VIEWS
from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.features import HOLDER, layout_hash, rows_hash
from psgym.envs.presets import preset

ALLOCATION, CLUSTER = "psgym/Allocation-v0", "psgym/Cluster-v0"


def network(layout: Layout, seed: int = 0) -> EntityNetwork:
    torch.manual_seed(seed)
    made = EntityNetwork(layout, 16)
    with torch.no_grad():  # logits start at almost nothing, which would hide a difference
        for parameter in made.heads.parameters():
            parameter.normal_()
    return made


def observations(layout: Layout, batch: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    rows = {
        group.name: torch.from_numpy(rng.random((batch, group.rows, group.width), dtype=np.float32))
        for group in layout.groups
    }
    rows["jobs"][..., 0] = torch.from_numpy((rng.random((batch, layout["jobs"].rows)) < 0.7).astype(np.float32))
    return rows


def flat(rows: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([group.flatten(1) for group in rows.values()], 1)


def split_logits(logits: torch.Tensor, config: ClusterConfig) -> dict[str, torch.Tensor]:
    """Logits of `Cluster-v0` by part, in the order that the action space is documented with."""
    places = config.data_servers if config.placement == "agent" else 1
    sizes = [1, 2, 1, 3 * config.window, 2 * config.candidates * places]
    commit, capacity, replan, jobs, replicas = logits.split(sizes, 1)
    return {
        "context": torch.cat([commit, capacity, replan], 1),
        "jobs": jobs.unflatten(1, (config.window, 3)),
        "replicas": replicas.unflatten(1, (config.candidates, 2, places)),
    }


@pytest.mark.parametrize("placement", ["heuristic", "agent"])
def test_permuted_rows_permute_logits(placement: str) -> None:
    config = preset("small", placement=placement)
    layout = layout_of(config, CLUSTER)
    made, rows = network(layout), observations(layout)
    before = split_logits(made(flat(rows)), config)
    rng = np.random.default_rng(1)
    orders = {name: torch.from_numpy(rng.permutation(layout[name].rows)) for name in ("jobs", "datasets", "servers")}
    moved = {name: rows[name][:, orders[name]] if name in orders else rows[name] for name in rows}
    moved["nodes"] = rows["nodes"].flip(1)
    own = sum(not name.startswith(HOLDER) for name in layout["datasets"].features)
    moved["datasets"] = torch.cat(
        [moved["datasets"][..., :own], moved["datasets"][..., own:][..., orders["servers"]]], 2
    )
    after = split_logits(made(flat(moved)), config)
    torch.testing.assert_close(after["context"], before["context"])
    torch.testing.assert_close(after["jobs"], before["jobs"][:, orders["jobs"]])
    expected = before["replicas"][:, orders["datasets"]]
    if placement == "agent":
        expected = expected[..., orders["servers"]]
    torch.testing.assert_close(after["replicas"], expected)
    assert (before["jobs"].std(1) > 0.01).all()
    assert (before["replicas"].std(1) > 0.01).all()


def test_an_empty_row_changes_nothing() -> None:
    config = preset("small")
    layout, larger = layout_of(config, ALLOCATION), layout_of(preset("small", window=24), ALLOCATION)
    made, wider = network(layout), network(larger)
    rows = observations(layout)
    rows["jobs"] *= rows["jobs"][..., :1]
    padded = {**rows, "jobs": torch.cat([rows["jobs"], torch.zeros(3, 8, layout["jobs"].width)], 1)}
    logits, padded_logits = made(flat(rows)), wider(flat(padded))
    torch.testing.assert_close(padded_logits[:, : logits.shape[1]], logits)


@pytest.mark.parametrize("view_id", tuple(VIEWS))
def test_parameters_know_no_size(view_id: str, tmp_path: Path) -> None:
    small, large = (layout_of(preset(name), view_id) for name in ("small", "large"))
    made = network(small)
    save_weights(tmp_path / "weights.npz", made, about(made, view_id, {}, {}))
    loaded, _ = load_network(tmp_path / "weights.npz", large)
    assert loaded(flat(observations(large))).shape == (3, large.actions)
    again, _ = load_network(tmp_path / "weights.npz", small)
    rows = flat(observations(small))
    torch.testing.assert_close(again(rows), made(rows), rtol=0, atol=0)


def test_structured_and_flat_observations_are_the_same() -> None:
    layout = layout_of(preset("small"), CLUSTER)
    made, rows = network(layout), observations(layout)
    torch.testing.assert_close(made(rows), made(flat(rows)), rtol=0, atol=0)


def test_hash_of_rows_knows_features_and_not_sizes() -> None:
    small, large = preset("small"), preset("large")
    assert layout_hash(small) != layout_hash(large)
    assert rows_hash(small) == rows_hash(large)


def test_other_features_are_refused(tmp_path: Path) -> None:
    layout = layout_of(preset("small"), ALLOCATION)
    made, path = network(layout), tmp_path / "weights.npz"
    description = about(made, ALLOCATION, {}, {})
    save_weights(path, made, type(description)(**{**vars(description), "rows_hash": "0" * 16}))
    with pytest.raises(WeightsError, match="features of the rows"):
        load_network(path, layout)
    save_weights(path, made, description)
    with pytest.raises(WeightsError, match="trained with decisions 'allocation', but here"):
        load_network(path, layout_of(preset("small"), CLUSTER))


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(path)
    path.write_bytes(b"no zip")
    with pytest.raises(WeightsError, match="not weights"):
        read_weights(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(WeightsError, match="not weights"):
        read_weights(path)
    layout = layout_of(preset("small"), ALLOCATION)
    made = network(layout)
    save_weights(path, made, about(made, ALLOCATION, {}, {}))
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "heads.commit.bias"})
    with pytest.raises(WeightsError, match="not those of a network"):
        load_network(path, layout)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str, str]]:
            return (Path.write_text, (tmp_path / "sprung", "code ran"))  # type: ignore[return-value]

    np.savez(tmp_path / "trap.npz", about=np.array([Trap()], dtype=object))
    with pytest.raises(WeightsError):
        read_weights(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_masks_are_honoured() -> None:
    layout = layout_of(preset("small"), CLUSTER)
    policy, rows = NetworkPolicy(network(layout), seed=3), flat(observations(layout, 64)).numpy()
    rng = np.random.default_rng(0)
    masks = rng.random((64, layout.actions)) < 0.1
    masks[:, 0] = True
    for deterministic in (True, False):
        actions, _ = policy.predict(rows, deterministic=deterministic, action_masks=masks)
        assert masks[np.arange(64), actions].all()
    one, _ = policy.predict(rows[0], action_masks=masks[0])
    assert one.shape == ()


def test_a_critic_is_scaled_and_shapes_no_embedding() -> None:
    critic = Critic(5, 8)
    critic.scale_to(torch.tensor([-110.0, -90.0, -100.0]))
    pooled = torch.zeros(4, 5, requires_grad=True)
    values = critic(pooled)
    assert ((values + 100).abs() < 30).all()
    values.sum().backward()
    assert pooled.grad is None
