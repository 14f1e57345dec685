"""Importing minigrad against importing NumPy, each time in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.harness import Benchmark, Goal, Measure


def fresh(statement: str) -> Measure:
    def measure() -> float:
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return (time.perf_counter() - before) * 1e3

    measure()  # the first writes the bytecode
    return measure


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    yield Benchmark(
        "import: a fresh process",
        "ms",
        Goal("minigrad at most 1.3x numpy", 1.3, lambda rows: rows["import minigrad"]["ratio"]),
        {statement: fresh(statement) for statement in ("import numpy", "import minigrad")},
        rounds=3 if quick else 30,
    )
