"""The cluster simulator and its Gymnasium faces."""
