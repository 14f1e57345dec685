"""The command line; see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness import PEERS, race, show
from benchmarks.results import count, markdown
from benchmarks.scaling import draw

HERE = Path(__file__).parent

# the benchmark's module, and its number of threads
BENCHMARKS = {
    "step": ("step", 1),
    "minibatch": ("minibatch", 2),
    "mlp": ("mlp", 2),
    "text": ("text", 1),
    "chain": ("chain", 1),
    "memory": ("memory", 1),
    "import": ("imports", 1),
    "vmap": ("vmap", 1),
    "words": ("words", 1),
    "scale": ("scale", 1),
    "mpi": ("mpi", 1),
    "gpu": ("gpu", 2),
}
SCALING = {"scaling": ("scaling", 2)}  # for the plot

# jax is not asked: it can be told a number only by way of NPROC, and with NPROC=1 its small steps take thrice as long
THREADS = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"


def apart(name: str, quick: bool) -> list[dict[str, Any]]:
    """Run a benchmark in a process of its own, with its number of threads."""
    environment = os.environ | dict.fromkeys(THREADS, str((BENCHMARKS | SCALING)[name][1]))
    command = [sys.executable, "-m", "benchmarks", "--one", name, *["--quick"] * quick]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        raise SystemExit(f"the benchmark {name} failed, see above")
    return list(map(json.loads, run.stdout.splitlines()))


def here(name: str, quick: bool) -> None:
    """Run a benchmark in this process; one line of JSON for each of its tables."""
    for benchmark in importlib.import_module(f"benchmarks.{(BENCHMARKS | SCALING)[name][0]}").benchmarks(quick):
        print(json.dumps(race(benchmark)), flush=True)


def surroundings() -> dict[str, Any]:
    """The machine, versions and date that the figures belong to."""
    versions = {"python": platform.python_version()}
    for package in ("numpy", *PEERS):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    processor = models[0].partition(":")[2].strip() if models else platform.processor()
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else "unknown"
    machine = {"system": platform.platform(), "processor": processor, "cores": os.cpu_count(), "load": load}
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "versions": versions}


def plot(file: Path, quick: bool) -> None:
    """Measure how the time of a step grows, and draw it."""
    try:
        import matplotlib.pyplot  # noqa: F401 - before the minutes of measuring
    except ModuleNotFoundError:
        raise SystemExit('--plot needs matplotlib: python -m pip install -e ".[bench]"') from None
    draw(apart("scaling", quick), quick, file)
    print(f"written: {file}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="How fast minigrad is, and how much memory it takes."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here too")
    parser.add_argument(
        "--results",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=HERE / "RESULTS.md",
        help="write the tables and the goals here too, by default to benchmarks/RESULTS.md",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=HERE / "scaling.svg",
        help="only draw how the time of a step grows, by default to benchmarks/scaling.svg (or a .png)",
    )
    parser.add_argument("--one", choices=BENCHMARKS | SCALING, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return here(options.one, options.quick)
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark is called {name}; there are {', '.join(BENCHMARKS)}")
    if options.plot:
        if options.names or options.results or options.json:
            parser.error("--plot comes alone, but for its file and --quick")
        return plot(options.plot, options.quick)
    if str(options.results) in BENCHMARKS:
        parser.error("names come before --results, which takes a file")
    figures = surroundings() | {"quick": options.quick, "benchmarks": {}}
    print(", ".join(f"{package} {number}" for package, number in figures["versions"].items()))
    print("{processor}, {cores} cores, load {load}".format(**figures["machine"]), figures["date"], sep=", ", flush=True)
    for name in options.names or BENCHMARKS:
        figures["benchmarks"][name] = apart(name, options.quick)
        for result in figures["benchmarks"][name]:
            show(result)
    print(f"\n{count(figures)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.results:
        options.results.write_text(markdown(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
