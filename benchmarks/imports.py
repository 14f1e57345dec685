"""Importing minigrad against importing NumPy, each time in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.harness import Benchmark, Measure, at_most


def fresh(statement: str) -> Measure:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def measure() -> float:
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
        return (time.perf_counter() - before) * 1e3

    measure()  # the first writes the bytecode
    return measure


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    yield Benchmark(
        "import: a fresh process",
        "ms",
        [at_most(1.15, "import minigrad", "import numpy")],
        {statement: fresh(statement) for statement in ("import numpy", "import minigrad")},
        rounds=3 if quick else 30,
    )
