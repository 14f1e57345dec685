"""Training on two ranks of MPI, each with one thread, against one process: time and bytes.

The ranks are started once and measure all contestants in turns; while one process computes alone, the other one sleeps.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minigrad as mg
from benchmarks import minibatch
from benchmarks.harness import Benchmark, Run, agree, at_most, faster, timed
from benchmarks.windows import Array, Windows, loss

RANKS = 2
ALONE, HALF_ALONE, ONE = "one process", "one process, half of it", "1 rank"
SHARED, EACH, DENSE = "2 ranks, half of it each", "2 ranks, a minibatch each", "2 ranks, half each, dense"


class Counted:
    """A communicator that counts the bytes handed to it."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.sent = comm, 0

    def allgather(self, x: Any) -> Any:
        self.sent += len(pickle.dumps(x))
        return self.comm.allgather(x)

    def Allreduce(self, sent: Array, received: Array) -> None:
        self.sent += sent.nbytes
        self.comm.Allreduce(sent, received)

    def Allgatherv(self, sent: Array, received: Any) -> None:
        self.sent += sent.nbytes
        self.comm.Allgatherv(sent, received)


def run(
    problem: Windows, comm: Any, part: tuple[int, int], every: tuple[int, int] = (0, 1), dense: bool = False
) -> Run:
    """Train on a part of each minibatch: number r of n parts, of minibatches first, first + stride, ..."""
    parameters: list[Any] = list(map(mg.Tensor, problem.start()))
    table = parameters[-1]
    optimizer = mg.optim.SGD(parameters, problem.learning_rate, comm=comm)
    J, (r, n), (first, stride) = loss(problem), part, every

    def step(i: int) -> None:
        optimizer.zero_grad()
        J(
            parameters, *(x[len(x) * r // n : len(x) * (r + 1) // n] for x in problem.batch(first + stride * i))
        ).backward()
        if dense:
            table.grad = table.grad.dense()
        optimizer.step()

    return step, lambda: [p.data - q for p, q in zip(parameters, problem.parameters)]


def measure(quick: bool) -> None:
    """The figures of all contestants, printed by the first rank."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    problem = minibatch.problem(32, 2_000) if quick else minibatch.problem()
    share, whole = (comm.rank, RANKS), (0, 1)
    starts = {
        ALONE: partial(run, problem, None, whole),
        ONE: partial(run, problem, MPI.COMM_SELF, whole),
        SHARED: partial(run, problem, comm, share),
        DENSE: partial(run, problem, comm, share, dense=True),
    }
    agree(starts, 3, tolerance=1e-4)
    starts[EACH] = partial(run, problem, comm, whole, share)
    starts[HALF_ALONE] = partial(run, problem, None, (0, RANKS))
    figures: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(2 if quick else 10):
        for name in list(starts)[:: -1 if turn % 2 else 1]:
            if comm.rank == 0 or name not in (ALONE, HALF_ALONE, ONE):
                figure = timed(starts[name], 2 if quick else 10, 1e3)
                assert figure is not None
                figures[name].append(figure())
            waiting = comm.Ibarrier()
            while not waiting.Test():  # a rank that waits in Barrier takes a whole core
                time.sleep(0.001)
    sent = {}
    for name, dense in (SHARED, False), (DENSE, True):
        counted = Counted(comm)
        step, _ = run(problem, counted, share, dense=dense)
        step(0)  # which compares the ranks
        counted.sent = 0
        for i in range(len(problem.batches)):
            step(i)
        sent[name] = counted.sent / len(problem.batches) / 1e3
    if comm.rank == 0:
        print(json.dumps([figures, sent]))


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None or find_spec("mpi4py") is None:
        print('mpi is not measured: it needs mpi4py and an mpiexec, pip install -e ".[mpi]"', file=sys.stderr)
        return
    command = [mpiexec, "-n", str(RANKS), sys.executable, "-m", "benchmarks.mpi", *["--quick"] * quick]
    figures, sent = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    yield Benchmark(
        f"mpi: {minibatch.ABOUT}, one thread a rank",
        "ms a step",
        [at_most(1.1, ONE, ALONE), faster(1.4, SHARED, ALONE), at_most(1.3, EACH, ALONE)],
        {name: iter(figures[name]).__next__ for name in (ALONE, HALF_ALONE, ONE, SHARED, EACH, DENSE)},
        rounds=len(figures[ALONE]),
    )
    yield Benchmark(
        "mpi, bytes: that each of two ranks hands to MPI",
        "kB a step",
        [at_most(0.05, SHARED, DENSE)],
        {name: partial(float, sent[name]) for name in (DENSE, SHARED)},
        rounds=1,
    )


if __name__ == "__main__":
    measure("--quick" in sys.argv)
