"""Training on the ranks of an MPI communicator, by the real `mpiexec`; the checks are in ranks_program.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.ranks import together

PROGRAM = Path(__file__).with_name("ranks_program.py")


def mpiexec(n, *words, cwd, **options):
    """Python on so many ranks, and the output. Whatever happens, no rank is left behind."""
    pytest.importorskip("mpi4py", reason='needs mpi4py and an mpiexec: pip install -e ".[mpi]"')
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [Path(sys.executable).with_name("mpiexec"), "-n", str(n), sys.executable, *map(str, words)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=cwd, env=environment, **streams) as process:
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # its proxy ends the ranks then
    return process.returncode, out, err


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_learn_as_one_process_with_the_whole_batch(ranks, tmp_path):
    code, out, err = mpiexec(ranks, "-m", "mpi4py", PROGRAM, cwd=tmp_path)
    assert (code, out.count("all is well")) == (0, ranks), err


def test_a_function_that_one_process_calls_together_with_itself():
    assert together(None, max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        together(None, lambda: 1 / 0)
