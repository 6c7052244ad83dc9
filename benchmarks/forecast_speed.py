"""Times the forecasters against the libraries that they stand in for.

All in one run, on one thread, in seconds of processor time.

    python benchmarks/forecast_speed.py --out benchmarks/results/forecast_speed.json

Only ratios are comparable between machines. Needs psgym[train].
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from forecasting import generate_sarima
from statsmodels.tsa.statespace.sarimax import SARIMAX

from psgym.predictors import ARIMA, EWMA, GRU, Hybrid, SeasonalEWMA, seasonal_ewma_table
from psgym.predictors.gru_kernels import N_FEATURES
from psgym.predictors.gru_training import Network

ORDER, SEASONAL = (2, 0, 1), (0, 1, 1, 24)
HORIZON = 48
ROUNDS = 20


def seconds(*actions: tuple[Callable[[], object], int]) -> list[float]:
    """Seconds of one call of each action, the least of `ROUNDS` rounds.

    What else the machine does can only lengthen a round. The actions, each with its calls per round, take turns, so
    that all of them meet the same quiet moments.
    """
    rounds = []
    for _ in range(ROUNDS):
        times = []
        for action, repeats in actions:
            started = time.process_time()
            for _ in range(repeats):
                action()
            times.append((time.process_time() - started) / repeats)
        rounds.append(times)
    return np.min(rounds, axis=0).tolist()


def once(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.process_time()
    action()
    return time.process_time() - started


def arima(y: np.ndarray) -> dict[str, float]:
    """Fit, and update with a 48-step forecast, against statsmodels at equal order."""
    ours = ARIMA(ORDER, [SEASONAL], season=(24,), transform="identity")
    ours.fit(y)  # compiles
    fit = once(lambda: ours.fit(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SARIMAX(y, order=ORDER, seasonal_order=SEASONAL)
        started = time.process_time()
        result = model.fit(disp=False)
        exact = time.process_time() - started
    values = iter(np.tile(y, 20))
    update, extend = seconds(
        (lambda: ours.update(next(values)).predict().mean, 1000), (lambda: result.extend(y[:1]).forecast(HORIZON), 5)
    )
    return {
        "fit": fit,
        "fit statsmodels": exact,
        "fit ratio": exact / fit,
        "update": update,
        "update statsmodels": extend,
        "update ratio": extend / update,
    }


def gru(y: np.ndarray) -> dict[str, float]:
    """One step of the exported network against the same network in torch, state kept."""
    ours = GRU(epochs=1, season=(24, 168)).fit(y)
    state, out, z = ours._new_state(), np.empty((1, HORIZON)), np.zeros(1)
    torch.set_num_threads(1)
    network = Network(N_FEATURES, 5, ours.hidden, HORIZON, residual=False)
    x, hidden = torch.zeros(1, 1, N_FEATURES), torch.zeros(1, 1, ours.hidden)
    simple = torch.zeros(1, 1, HORIZON, 5)

    def torch_step() -> None:
        with torch.no_grad():
            output, _ = network.cell(x, hidden)
            network.out(output) + network.direct(x) + torch.einsum("blhs,sh->blh", simple, network.skip)

    step, theirs = seconds((lambda: ours._advance(state, z, z, out), 500), (torch_step, 200))
    return {"gru step": step, "gru step torch": theirs, "gru ratio": theirs / step}


def rest(y: np.ndarray) -> dict[str, float]:
    """Updates of the other forecasters, tables, and the environments' kernel."""
    short = {"hidden": 24, "epochs": 1, "season": (24, 168)}
    base = ARIMA(ORDER, [SEASONAL])
    hybrid = Hybrid({"arima": base, "gru": GRU(**short), "ewma": SeasonalEWMA(), "level": EWMA()}).fit(y)
    values = iter(np.tile(y, 20))
    found = {"hybrid update": seconds((lambda: hybrid.update(next(values)), 300))[0]}
    table = hybrid.table(y)
    rows = iter(np.tile(np.arange(len(y)), 20))
    found["table of the hybrid, per row"] = once(lambda: hybrid.table(y)) / len(y)
    series, out = np.abs(y[:900]), np.empty((900, 3, 3))
    horizons = np.array([1, 3, 12])
    seasonal_ewma_table(series, 0, 288, horizons, 0.8, out)

    def fill() -> None:
        seasonal_ewma_table(series, 0, 288, horizons, 0.8, out)

    found["row lookup"], found["seasonal_ewma_table, 900 slots"] = seconds(
        (lambda: table[next(rows)], 1000), (fill, 50)
    )
    return found


def main() -> None:
    """Measures, prints and keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/forecast_speed.json"))
    arguments = parser.parse_args()
    y = generate_sarima(np.random.default_rng(0), 2606)
    found = arima(y) | gru(y) | rest(y)
    for name, value in found.items():
        print(f"{name:35s} {value:.1f}" if "ratio" in name else f"{name:35s} {1e6 * value:.2f} us")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({name: float(f"{value:.4g}") for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
