"""Where the rows of an observation lie, and in what order actions follow: what a network takes from an environment."""

from __future__ import annotations

from dataclasses import dataclass

from psgym.envs.cluster.config import ClusterConfig
from psgym.envs.cluster.features import groups, rows_hash
from psgym.envs.cluster.settings_record import action_counts
from psgym.envs.views import VIEWS


class WeightsError(ValueError):
    """A file that holds no weights, or weights of a network for other observations or decisions."""


PARTS = ("capacity", "allocation", "replicas")
"""What an agent can decide, in the order of their actions after COMMIT."""


@dataclass(frozen=True)
class Rows:
    """A group of equal rows in a flat observation."""

    name: str
    first: int
    """Place of its first number."""
    rows: int
    features: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return len(self.features)


@dataclass(frozen=True)
class Layout:
    """An observation and an action space as a network needs them."""

    groups: tuple[Rows, ...]
    parts: tuple[str, ...]
    """What the agent decides, of `PARTS`."""
    places: int
    """Data servers that an action on replicas names; 1 where a heuristic picks them, or the agent has no say."""
    actions: int
    rows_hash: str
    """Hash of the features of every kind of row; clusters of other sizes have the same."""

    def __getitem__(self, name: str) -> Rows:
        """Return the group of a name."""
        return next(group for group in self.groups if group.name == name)


def layout_of(config: ClusterConfig, view_id: str) -> Layout:
    """Return the layout of an environment."""
    found, first = [], 0
    for group in groups(config):
        found.append(Rows(group.name, first, group.rows, tuple(feature.name for feature in group.features)))
        first += found[-1].rows * found[-1].width
    parts = tuple(part for part in PARTS if part in VIEWS[view_id].decides)
    counts = action_counts(config)
    places = counts["replicas"] // (2 * config.candidates) if "replicas" in parts else 1
    return Layout(tuple(found), parts, places, 1 + sum(counts[part] for part in parts), rows_hash(config))
