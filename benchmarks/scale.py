"""The window scorer's full objective over files: NumPy on all of them, and Dask's worker processes on chunks."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.harness import Benchmark, Goal, Run, Start, agree, faster, timed
from models.window import hinge, scores

Array = Any

WINDOWS, CORRUPT, CHUNK, GRAPH = 200_000, 5, 20_000, 1_000

#: NumPy's own error: it adds the million rows whose sum is db one after another, which costs 2e-12 of a sum that nearly
#: cancels. Dask adds the sums of chunks, and is ten times nearer to the exact sum.
TOLERANCE = 1e-11


def objective(U: Array, W: Array, b: Array, X: Array, X_c: Array) -> Array:
    return mg.sum(hinge(scores(U, W, b, X)[:, None], scores(U, W, b, X_c)))


differentiated = mg.value_and_grad(objective, argnums=(0, 1, 2))


def parameters() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8)


def files(folder: Path, windows: int) -> list[Path]:
    """The windows and the corrupt ones, as .npy files."""
    rng, paths = np.random.default_rng(1), [folder / "windows.npy", folder / "corrupt.npy"]
    for path, shape in zip(paths, [(windows, 20), (windows, CORRUPT, 20)]):
        np.save(path, rng.normal(size=shape))
    return paths


def with_numpy(paths: list[Path]) -> Run:
    found: list[Array] = []

    def step(i: int) -> None:
        value, gradients = differentiated(*parameters(), *(np.load(path, mmap_mode="r") for path in paths))
        found[:] = value, *gradients

    return step, lambda: found


def with_workers(workers: int, paths: list[Path]) -> Run:
    import dask
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit="2GB", dashboard_address=":0")
    client = Client(cluster)
    atexit.register(cluster.close)
    atexit.register(client.close)
    found: list[Array] = []

    def step(i: int) -> None:
        value, gradients = differentiated(*parameters(), *map(lazily, paths))
        found[:] = client.gather(client.compute([value, *gradients]))

    with dask.config.set(scheduler=client):
        step(0)  # the workers import what they need
    return step, lambda: found


def lazily(path: Path) -> Array:
    """A Dask array of a file, of which each task maps its own rows."""
    import dask.array as da

    file = np.load(path, mmap_mode="r")
    rows = tuple(min(CHUNK, len(file) - i) for i in range(0, len(file), CHUNK))

    def read(block_info: Any) -> Array:
        start, stop = block_info[None]["array-location"][0]
        return np.load(path, mmap_mode="r")[start:stop]

    chunks = (rows, *((n,) for n in file.shape[1:]))
    return da.map_blocks(read, chunks=chunks, dtype=file.dtype, meta=np.empty((0,) * file.ndim, file.dtype))


def ones(chunks: int) -> tuple[Array, Array]:
    """Windows and corrupt ones in so many chunks of ten."""
    import dask.array as da

    n = 10 * chunks
    return da.ones((n, 20), chunks=(10, 20)), da.ones((n, CORRUPT, 20), chunks=(10, CORRUPT, 20))


def graph(chunks: int) -> Run:
    """The lazy value and gradients, which nothing computes."""
    X, X_c = ones(chunks)
    return lambda i: differentiated(*parameters(), X, X_c), list


def kept(start: Start) -> Start:
    """The same, started once: a cluster takes seconds to start."""
    started: list[Run] = []

    def again() -> Run:
        if not started:
            started.append(start())
        return started[0]

    return again


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    with tempfile.TemporaryDirectory() as folder:
        paths = files(Path(folder), CHUNK if quick else WINDOWS)
        starts: dict[str, Start] = {
            "NumPy": partial(with_numpy, paths),
            "Dask, one worker": kept(partial(with_workers, 1, paths)),
            "Dask, two workers": kept(partial(with_workers, 2, paths)),
        }
        yield Benchmark(
            "scale: the objective of 200,000 windows, 5 corrupt each, in files of 192 MB, float64, one thread each",
            "s an evaluation",
            [faster(1.5, "Dask, two workers", "Dask, one worker")],
            {name: timed(start, 1, 1.0) for name, start in agree(starts, 1, tolerance=TOLERANCE).items()},
            rounds=2 if quick else 10,
        )
    large = f"{GRAPH:,} chunks"
    yield Benchmark(
        "scale, the graph: value and gradients of so many chunks, built and not computed",
        "s",
        [Goal(f"{large}: at most 1 s", 1.0, [large], lambda figures: median(figures[large]))],
        {f"{n:,} chunks": timed(partial(graph, n), 2, 1.0) for n in (GRAPH // 10, GRAPH)},
        rounds=2 if quick else 10,
    )
