"""psgym: Gymnasium environments of a distributed machine-learning cluster."""

from psgym.envs.registration import register

__version__ = "0.1.0"

register()
