"""Searches hyperparameters of MaskablePPO with Optuna, scored on validation days.

python examples/optuna_sweep.py --trials 20 --steps 300000

Every trial is scored on the same validation days, drained until every job is done. Test days are never looked at:
they are for the one configuration that is chosen in the end (``train.py evaluate``).
"""

from __future__ import annotations

from typing import Any

import optuna
import tyro

from psgym.agents.evaluation import make_days, run_policy
from psgym.agents.models import LearnedPolicy
from psgym.agents.training import Training, train
from psgym.envs import VIEWS


def main(
    env_id: str = "psgym/Allocation-v0",
    trials: int = 20,
    steps: int = 300_000,
    num_envs: int = 128,
    days: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Runs the sweep; returns the best arguments."""
    primary = VIEWS[env_id].primary
    validation = make_days(env_id, "validation", seed, days)

    def objective(trial: optuna.Trial) -> float:
        arguments = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 2e-3, log=True),
            "ent_coef": trial.suggest_float("ent_coef", 1e-4, 3e-2, log=True),
            "gamma": trial.suggest_float("gamma", 0.9, 0.995),
            "n_steps": trial.suggest_categorical("n_steps", [16, 64]),
        }
        training = Training(env_id, "maskable-ppo", steps=steps, num_envs=num_envs, seed=seed, algorithm=arguments)
        model = train(training)
        run = run_policy(validation, lambda env: LearnedPolicy(model, env))
        return float(run.metrics[primary].mean())

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    print(f"best {primary} {study.best_value:.1f} with {study.best_params}")
    return study.best_params


if __name__ == "__main__":
    tyro.cli(main)
