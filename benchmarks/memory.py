"""Memory: how far a training step of a large batch drives the resident set of a fresh process above its start.

Every library takes the step as its users write it, with its own optimizer. The start is after the parameters and the
batch are made; the peak is that of the kernel, so this runs on Linux alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import minigrad as mg
from benchmarks import mlp
from benchmarks.harness import Benchmark, Measure, Run, at_most
from benchmarks.training import Problem

SIZES, BATCH = (784, *[1024] * 6, 10), 8192
QUICK_SIZES, QUICK_BATCH = (784, 256, 256, 10), 1024


def minigrad(compiled: bool, problem: Problem) -> Run:
    parameters = list(map(mg.Tensor, problem.start()))
    optimizer = mg.optim.SGD(parameters, lr=problem.learning_rate)
    loss = mlp.loss(problem)

    def update(x: mlp.Array, classes: mlp.Array) -> mlp.Array:
        J = loss(parameters, x, classes)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    train = mg.compile(update) if compiled else update
    return lambda i: train(*problem.batch(i)), lambda: [p.data for p in parameters]


LIBRARIES: dict[str, Callable[[Problem], Run]] = {
    "minigrad": partial(minigrad, False),
    "minigrad, compiled": partial(minigrad, True),
    "torch": mlp.torch,
    "jax.jit": mlp.jax,
}

#: The steps whose peaks count: the first two of a compiled function are recorded, the second for the audit.
RECORDED, STEADY = (0, 1), (2, 3)


def resident(field: str) -> float:
    """The resident set of this process in MB: now (VmRSS), or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def peaks(name: str, quick: bool) -> list[float]:
    """The peak of each step, in MB above the start."""
    problem = mlp.problem(*(QUICK_SIZES, QUICK_BATCH) if quick else (SIZES, BATCH), batches=1)
    step, _ = LIBRARIES[name](problem)
    start, found = resident("VmRSS"), []
    for i in range(max(STEADY) + 1):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        step(i)
        found.append(resident("VmHWM") - start)
    return found


@cache
def measured(name: str, quick: bool) -> list[float]:
    """The peaks, from a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", name, *["--quick"] * quick]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def highest(name: str, steps: tuple[int, ...], quick: bool) -> Measure:
    return lambda: max(measured(name, quick)[i] for i in steps)


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    if not Path("/proc/self/clear_refs").exists():
        raise SystemExit("the benchmark of memory needs Linux, which tells a process its peak")
    sizes, batch = (QUICK_SIZES, QUICK_BATCH) if quick else (SIZES, BATCH)
    contestants: dict[str, Measure | None] = {name: highest(name, STEADY, quick) for name in LIBRARIES}
    contestants["minigrad, compiled: calls that are recorded"] = highest("minigrad, compiled", RECORDED, quick)
    for name in ("torch", "jax.jit"):
        if find_spec(name.partition(".")[0]) is None:
            contestants[name] = None
    yield Benchmark(
        f"memory: a step's peak above the start, {'-'.join(map(str, sizes))}, batch {batch:,}, float32, SGD, 1 thread",
        "MB",
        [
            at_most(1.1, "minigrad", "torch"),
            at_most(1.0, "minigrad, compiled", "torch"),
            at_most(1.0, "minigrad, compiled: calls that are recorded", "minigrad"),
        ],
        contestants,
        rounds=1,
    )


if __name__ == "__main__":
    print(json.dumps(peaks(sys.argv[1], "--quick" in sys.argv)))
