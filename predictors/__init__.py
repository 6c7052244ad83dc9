"""Time-series forecasters and resource-demand estimators."""

from psgym.predictors.arima import ARIMA
from psgym.predictors.base import Forecast, Forecaster, NotFittedError
from psgym.predictors.gru import GRU
from psgym.predictors.hybrid import Hybrid
from psgym.predictors.naive import EWMA, SeasonalNaive
from psgym.predictors.residual_gru import ResidualGRU
from psgym.predictors.seasonal_ewma import SeasonalEWMA, seasonal_ewma_table
from psgym.predictors.series import Series, fill_gaps, read_series
from psgym.predictors.storage import load_forecaster, save_forecaster

__all__ = [
    "ARIMA",
    "EWMA",
    "GRU",
    "Forecast",
    "Forecaster",
    "Hybrid",
    "NotFittedError",
    "ResidualGRU",
    "SeasonalEWMA",
    "SeasonalNaive",
    "Series",
    "fill_gaps",
    "load_forecaster",
    "read_series",
    "save_forecaster",
    "seasonal_ewma_table",
]
