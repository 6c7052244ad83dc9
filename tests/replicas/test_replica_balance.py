"""The pressure on a server, by hand; what moves make of it is tested with the search, in ``tests/agents``."""

from __future__ import annotations

import pytest

from psgym.replicas.balance import pressure


def test_pressure_by_hand() -> None:
    assert pressure(0.5, 1.0, 0.6) == pytest.approx(0.00025)
    assert pressure(1.6, 2.0, 0.6) == pytest.approx(0.04 + 0.00064)  # utilisation .8
    assert pressure(1.6, 2.0, 0.6, 0.1) == pytest.approx(0.04 + 0.064)
