"""A policy network over sets of rows: equivariant to their order, and with parameters that know no number of rows.

Every row of a kind goes through the same encoder (Zaheer et al., "Deep Sets", NeurIPS 2017). Rows are pooled to a
context, and each job, dataset, and pair of dataset and server gets its logits from its own embedding and the context,
as the kernel network of RLScheduler does (Zhang et al., SC 2020). Which server holds which dataset, and
stands on which rack, is a relation between rows and no feature, so that the number of either does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from psgym.agents.networks.layout import Layout
from psgym.envs.cluster.features import HOLDER, RACK

Observations: TypeAlias = Tensor | Mapping[str, Tensor]

COMMIT_BIAS = 3.0
"""Logit of COMMIT at the start. Among 30 legal actions an untrained policy would commit after 30 decisions, most of
them harmful; with it, after two or three, so that a rollout holds ten times as many slots."""


def _encoder(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


class Heads(nn.Module):
    """The last layers: from embeddings to logits in the order of the action space."""

    def __init__(self, layout: Layout, width: int) -> None:
        """Makes the heads of the parts that the agent decides."""
        super().__init__()
        self.commit = nn.Linear(width, 1)
        if "capacity" in layout.parts:
            self.capacity = nn.Linear(width, 2)
        if "allocation" in layout.parts:
            self.replan = nn.Linear(width, 1)
            self.jobs = nn.Linear(width, 3)
        if "replicas" in layout.parts:
            self.replicas = nn.Linear(width, 2)

    def forward(self, hidden: Mapping[str, Tensor]) -> Tensor:
        """Return logits, shape ``(batch, actions)``, for what `EntityNetwork.embed` returns."""
        context = hidden["context"]
        logits = [self.commit(context)]
        if "capacity" in self._modules:
            logits.append(self.capacity(context))
        if "jobs" in self._modules:
            logits += [self.replan(context), self.jobs(hidden["jobs"]).flatten(1)]
        if "replicas" in self._modules:
            pairs = self.replicas(hidden["replicas"])  # batch, datasets, places, add or drop
            logits.append(pairs.transpose(2, 3).flatten(1))
        return torch.cat(logits, dim=1)


class EntityNetwork(nn.Module):
    """Embeds a cluster's rows; its `heads` turn the embeddings into logits."""

    def __init__(self, layout: Layout, width: int = 64) -> None:
        """Makes the network for an environment.

        Args:
            layout: The environment's observation and actions.
            width: Size of an embedding of a job and of the context; those of other rows are half as wide.
        """
        super().__init__()
        self.layout, self.width = layout, width
        half = width // 2
        jobs, datasets, servers = layout["jobs"], layout["datasets"], layout["servers"]
        self._own = sum(not name.startswith(HOLDER) for name in datasets.features)
        self._server_own = sum(not name.startswith(RACK) for name in servers.features)
        self._present = jobs.features.index("present")
        self.encode_job = _encoder(jobs.width, width)
        self.encode_server = _encoder(self._server_own, half)
        self.encode_node = _encoder(layout["nodes"].width, half)
        self.encode_dataset = _encoder(self._own + half, half)
        singles = layout["forecast"].width + layout["global"].width
        self.pooled = 2 * width + 3 * half + singles
        self.encode_context = _encoder(self.pooled, width)
        self.job_in_context = nn.Linear(width, width)
        self.context_of_job = nn.Linear(width, width, bias=False)
        if "replicas" in layout.parts:
            self.dataset_in_context = nn.Linear(half, width)
            self.context_of_dataset = nn.Linear(width, width, bias=False)
            if layout.places > 1:
                self.server_of_dataset = nn.Linear(half + 2, width, bias=False)
        self.heads = Heads(layout, width)
        self._initialise()

    def _initialise(self) -> None:
        """Orthogonal weights; logits start near zero, that of COMMIT at its bias."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                last = any(module is head for head in self.heads.children())
                nn.init.orthogonal_(module.weight, 0.01 if last else 2.0**0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.heads.commit.bias.add_(COMMIT_BIAS)

    def split(self, observations: Observations) -> dict[str, Tensor]:
        """Return the rows of each group, shape ``(batch, rows, features)``."""
        if isinstance(observations, Mapping):
            return dict(observations)
        return {
            group.name: observations[:, group.first : group.first + group.rows * group.width].reshape(
                len(observations), group.rows, group.width
            )
            for group in self.layout.groups
        }

    def embed(self, observations: Observations) -> dict[str, Tensor]:
        """Return what the heads and the critic need: ``pooled``, ``context``, and the rows that actions address."""
        rows = self.split(observations)
        jobs, servers = self.encode_job(rows["jobs"]), self.encode_server(rows["servers"][..., : self._server_own])
        holds = rows["datasets"][..., self._own :]
        by_servers = holds @ servers / holds.sum(2, keepdim=True).clamp(min=1.0)
        datasets = self.encode_dataset(torch.cat([rows["datasets"][..., : self._own], by_servers], 2))
        present = rows["jobs"][..., self._present, None]
        pooled = torch.cat(
            [
                (jobs * present).sum(1) / present.sum(1).clamp(min=1.0),
                (jobs * present).amax(1),
                datasets.mean(1),
                servers.mean(1),
                self.encode_node(rows["nodes"]).mean(1),
                rows["forecast"][:, 0],
                rows["global"][:, 0],
            ],
            1,
        )
        context = self.encode_context(pooled)
        found = {"pooled": pooled, "context": context}
        if "allocation" in self.layout.parts:
            found["jobs"] = functional.relu(self.job_in_context(jobs) + self.context_of_job(context)[:, None])
        if "replicas" in self.layout.parts:
            pairs = (self.dataset_in_context(datasets) + self.context_of_dataset(context)[:, None])[:, :, None]
            if self.layout.places > 1:
                each = servers[:, None].expand(-1, holds.shape[1], -1, -1)
                racks = rows["servers"][..., self._server_own :]
                beside = holds @ (racks @ racks.transpose(1, 2))  # copies on the rack of each server
                pairs = pairs + self.server_of_dataset(torch.cat([each, holds[..., None], beside[..., None]], 3))
            found["replicas"] = functional.relu(pairs)
        return found

    def forward(self, observations: Observations) -> Tensor:
        """Return logits, shape ``(batch, actions)``."""
        return self.heads(self.embed(observations))


class Critic(nn.Module):
    """Estimates returns from the policy's pooled embeddings, which it reads and does not shape.

    Its output is scaled by the mean and the spread of returns, which are measured before it is trained: returns of
    hundreds, learned by unit steps, would drown the policy's gradient.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, inputs: int, width: int) -> None:
        """Makes the critic for a network's pooled embeddings."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 1))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def scale_to(self, returns: Tensor) -> None:
        """Take mean and spread of the output from returns."""
        self.mean.copy_(returns.mean())
        self.spread.copy_(returns.std().clamp(min=1e-6))

    def forward(self, pooled: Tensor) -> Tensor:
        """Return estimated returns, shape ``(batch, 1)``."""
        return self.layers(pooled.detach()) * self.spread + self.mean
