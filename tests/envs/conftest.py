"""Settings and helpers of the tests of the simulator."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# The first call of a jitted function compiles it: seconds, where hypothesis allows a fifth of one.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


@pytest.fixture(scope="session")
def situations() -> ModuleType:
    """The module ``situations.py`` beside this file, which is no package."""
    spec = importlib.util.spec_from_file_location("situations", Path(__file__).with_name("situations.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
