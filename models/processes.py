"""The processes that `mpiexec` starts for one training: each is a rank, and the first of them prints and writes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minigrad.ranks import RankFailed
from models import terminal

#: Where a process finds the number of all and its own: MPICH's and those of its kin, Open MPI's, those of Slurm's srun.
VARIABLES = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


def _number(which: int, otherwise: int) -> int:
    found = (os.environ.get(names[which], "") for names in VARIABLES)
    return next((int(x) for x in found if x.isdigit()), otherwise)


def count() -> int:
    """The number of processes that were started together."""
    return _number(0, 1)


def is_first() -> bool:
    """Is this process alone, or the first of several?"""
    return count() == 1 or _number(1, 0) == 0


def world() -> Any:
    """The communicator of all processes, None for a process alone.

    Raises:
        ValueError: without mpi4py, or where its MPI is not that of `mpiexec`: each would take itself to be alone.
    """
    if count() == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ValueError(f'mpiexec started {count()} processes, which need mpi4py: pip install -e ".[mpi]"') from error
    if MPI.COMM_WORLD.Get_size() != count():
        library = MPI.Get_library_version().partition("\n")[0].strip()
        raise ValueError(
            f"mpiexec started {count()} processes, but mpi4py sees {MPI.COMM_WORLD.Get_size()}: it uses {library}; "
            "start them with the mpiexec of that library"
        )
    return MPI.COMM_WORLD


def of_all(comm: Any, numbers: Sequence[int]) -> list[int]:
    """The numbers of all ranks."""
    return list(numbers) if comm is None else [number for own in comm.allgather(numbers) for number in own]


@contextmanager
def one_fate(comm: Any, *known: type[BaseException]) -> Iterator[None]:
    """End all processes where a block fails on one: the others would wait for it forever.

    Args:
        comm: the communicator, None for a process alone.
        known: errors that are raised on every rank alike; they end nothing.
    """
    try:
        yield
    except BaseException as error:
        if comm is None or isinstance(error, (RankFailed, *known)):
            raise
        if isinstance(error, SystemExit):  # a second Ctrl-C
            code = error.code if isinstance(error.code, int) else 1
        else:
            code = 130 if isinstance(error, KeyboardInterrupt) else 2
            traceback.print_exc()
            terminal.say(f"rank {comm.Get_rank()} failed, and ends all: {type(error).__name__}: {error}", sys.stderr)
            sys.stderr.flush()
        comm.Abort(code)
        os._exit(code)  # Abort may return, while the others are being ended
