"""psgym: Gymnasium environments of a distributed machine-learning cluster."""

__version__ = "0.1.0"
