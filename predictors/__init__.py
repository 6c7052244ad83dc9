"""Time-series forecasters and resource-demand estimators."""
