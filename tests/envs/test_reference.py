"""The compiled kernels and the same source without numba live the same trajectories, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.envs import trajectories


def test_compiled_and_interpreted_kernels_agree_on_a_hundred_trajectories() -> None:
    command = [sys.executable, trajectories.__file__, "reference"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as interpreted:
        compiled = list(trajectories.reference())
        output, _ = interpreted.communicate()
    assert interpreted.returncode == 0
    assert len(compiled) == 100
    assert [line.split() for line in output.splitlines()] == compiled
    assert len({step for prints in compiled for step in prints}) > 800, "trajectories should differ"


def test_an_interpreted_environment_pickles() -> None:
    program = (
        "import copy, pickle, psgym.envs.env as e; env = e.CapacityEnv(); env.reset(seed=0); env.step(0);"
        "twins = pickle.loads(pickle.dumps(env)), copy.deepcopy(env);"
        "print(len({one.step(0)[0].tobytes() for one in (env, *twins)}))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore:overflow"}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, cwd=Path(__file__).parent, check=True, capture_output=True)
    assert result.stdout.split() == [b"1"]
