"""The compiled kernels return the same bits as their Python source."""

import os
import subprocess
import sys
from pathlib import Path


def printed(disable_jit: str) -> list[str]:
    """What ``every_kernel.py`` prints."""
    script = Path(__file__).with_name("every_kernel.py")
    environment = os.environ | {"NUMBA_DISABLE_JIT": disable_jit}
    result = subprocess.run([sys.executable, script], env=environment, check=True, capture_output=True, text=True)
    return result.stdout.splitlines()


def test_compiled_and_interpreted_kernels_agree_to_the_last_bit() -> None:
    compiled, interpreted = printed("0"), printed("1")
    assert len(compiled) > 1000
    assert compiled == interpreted
