"""Seasonal exponential smoothing: the environments' default forecaster."""

from psgym.predictors.seasonal_ewma_kernel import seasonal_ewma_table

__all__ = ["seasonal_ewma_table"]
