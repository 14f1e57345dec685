"""Starting Python on the ranks of MPI."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@contextmanager
def mpiexec(*each, cwd):
    """Python on one rank for each tuple of words. Whatever happens, no rank is left behind."""
    pytest.importorskip("mpi4py", reason='needs mpi4py and an mpiexec: pip install -e ".[mpi]"')
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "10"}  # who waits, sleeps
    command = [Path(sys.executable).with_name("mpiexec")]
    for words in each:
        command += ["-n", "1", sys.executable, *map(str, words), ":"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command[:-1], cwd=cwd, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()  # its proxy ends the ranks then


def outcome(*each, cwd):
    """The exit code, what the ranks print, and their errors."""
    with mpiexec(*each, cwd=cwd) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err
