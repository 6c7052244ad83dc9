"""Policies, training, evaluation and the benchmark."""
