"""Training the GRU forecaster: the only module here that imports torch, and only `fit` imports it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BURN = 16  # first slots of a window, during which the hidden state forgets its zero start
WINDOW = 64
HELD_OUT = 0.15  # last part of the series, on which the best epoch is chosen
RIDGE = 30.0  # penalty of the linear start, in observations of unit variance


@dataclass(frozen=True)
class Budget:
    """How much is trained; counted in epochs and never in seconds, so that a fit is reproducible.

    Attributes:
        epochs: passes of validation; each is `updates` steps of Adam.
        updates: batches per epoch.
        batch: windows per batch.
        learning_rate: the highest of a one-cycle schedule.
        weight_decay: of AdamW.
    """

    epochs: int = 30
    updates: int = 15
    batch: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3


class Network(nn.Module):
    """A GRU with a head for all horizons, a direct linear path and learned weights on simple forecasts."""

    def __init__(self, features: int, simple: int, hidden: int, horizon: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.cell = nn.GRU(features, hidden, batch_first=True)
        self.out = nn.Linear(hidden, horizon)
        self.direct = nn.Linear(features, horizon, bias=False)
        # A network that corrects a base starts at that base; one that stands alone starts at the mean of the skips.
        self.skip = nn.Parameter(torch.full((simple, horizon), 0.0 if residual else 1.0 / simple))
        for layer in (self.out, self.direct):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, simple: Tensor, rows: slice) -> Tensor:
        """Forecasts at some slots of each window, [B, R, H], from features [B, L, F] and skips there [B, R, H, S]."""
        hidden, _ = self.cell(x)
        return self.out(hidden[:, rows]) + self.direct(x[:, rows]) + torch.einsum("blhs,sh->blh", simple, self.skip)


def train(
    x: NDArray[np.float64],
    simple: NDArray[np.float64],
    target: NDArray[np.float64],
    hidden: int,
    seed: int,
    budget: Budget,
    residual: bool,
) -> dict[str, NDArray[np.float64]]:
    """Minimises the mean absolute error over all horizons; keeps the epoch that was best on the held-out end.

    Args:
        x: features, shape [T, F].
        simple: skips, shape [T, H, S].
        target: what is to be forecast, shape [T, H]; NaN beyond the end of the series.
        hidden: units.
        seed: of the initial weights and of the windows; torch's global generator is left as it was.
        budget: how long.
        residual: whether the target is the error of a base forecast.

    Returns:
        The weights as arrays under the names of `psgym.predictors.gru_kernels.advance_gru`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a network this small only loses by more
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = Network(x.shape[1], simple.shape[2], hidden, target.shape[1], residual)
            _optimise(network, x, simple, target, np.random.default_rng(seed), budget)
    finally:
        torch.set_num_threads(threads)
    return _export(network)


def _optimise(
    network: Network, x: NDArray, simple: NDArray, target: NDArray, rng: np.random.Generator, budget: Budget
) -> None:
    features, skipped, wanted = (torch.from_numpy(a.astype(np.float32)) for a in (x, simple, target))
    length = len(x)
    split = length - max(int(HELD_OUT * length), 1)
    window = min(WINDOW, split)
    # Neighbouring slots share most of their targets, so every second one is scored.
    rows = slice(min(BURN, window // 4), None, 2)
    # Targets that reach into the held-out end would teach what the choice of the epoch is judged by.
    train_target = wanted.clone()
    for h in range(1, target.shape[1] + 1):
        train_target[max(split - h, 0) :, h - 1] = torch.nan
    optimiser = torch.optim.AdamW(network.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, budget.learning_rate, total_steps=budget.epochs * budget.updates, pct_start=0.2
    )
    if not network.residual:
        _start_at_ridge(network, x[:split], simple[:split], train_target[:split].numpy())
    best, best_weights = _held_out_error(network, features, skipped, wanted, split), _copy_weights(network)
    for _ in range(budget.epochs):
        for _ in range(budget.updates):
            index = rng.integers(0, split - window + 1, budget.batch)[:, None] + np.arange(window)
            scored = index[:, rows]
            forecast = network(features[index], skipped[scored], rows)
            loss = _absolute_error(forecast, train_target[scored])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        error = _held_out_error(network, features, skipped, wanted, split)
        if error < best:
            best, best_weights = error, _copy_weights(network)
    network.load_state_dict(best_weights)


def _start_at_ridge(network: Network, x: NDArray, simple: NDArray, target: NDArray) -> None:
    """Sets the linear paths to a ridge regression per horizon around the mean of the skips.

    The recurrent part then learns only what is not linear, which takes far fewer updates than learning both.
    """
    with torch.no_grad():
        for h in range(target.shape[1]):
            known = ~np.isnan(target[:, h])
            regressors = np.column_stack([x[known], simple[known, h], np.ones(known.sum())])
            prior = np.concatenate([np.zeros(x.shape[1]), np.full(simple.shape[2], 1.0 / simple.shape[2]), [0.0]])
            gram = regressors.T @ regressors + RIDGE * np.eye(len(prior))
            weights = prior + np.linalg.solve(gram, regressors.T @ (target[known, h] - regressors @ prior))
            network.direct.weight[h] = torch.from_numpy(weights[: x.shape[1]])
            network.skip[:, h] = torch.from_numpy(weights[x.shape[1] : -1])
            network.out.bias[h] = float(weights[-1])


def _absolute_error(forecast: Tensor, wanted: Tensor) -> Tensor:
    known = ~torch.isnan(wanted)
    error = torch.where(known, forecast - torch.nan_to_num(wanted), 0.0).abs()
    return error.sum() / known.sum().clamp(min=1)


def _held_out_error(network: Network, x: Tensor, simple: Tensor, target: Tensor, split: int) -> float:
    with torch.no_grad():
        start = max(0, split - WINDOW)
        forecast = network(x[None, start:], simple[None, split:], slice(split - start, None))[0]
        return float(_absolute_error(forecast, target[split:]))


def _copy_weights(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _export(network: Network) -> dict[str, NDArray[np.float64]]:
    weights = network.state_dict()

    def array(name: str) -> NDArray[np.float64]:
        # Torch keeps [outputs, inputs]; the kernels run over inputs outside and outputs inside.
        return np.ascontiguousarray(weights[name].numpy().T.astype(np.float64))

    return {
        "w_input": array("cell.weight_ih_l0"),
        "b_input": array("cell.bias_ih_l0"),
        "w_hidden": array("cell.weight_hh_l0"),
        "b_hidden": array("cell.bias_hh_l0"),
        "w_out": array("out.weight"),
        "w_direct": array("direct.weight"),
        "b_out": array("out.bias"),
        "w_skip": np.ascontiguousarray(array("skip").T),
    }
