"""A chain of n multiplications, forward and backward: the cost of a node, in time and in memory.

Every factor is e^(1/n), so the gradient is e, however long the chain.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache, partial
from statistics import median
from typing import Any

from benchmarks.harness import Benchmark, Figures, Goal, Measure, Run, agree, at_most, ratios, timed


def chain(x: Any, factor: Any, n: int) -> Any:
    y = x
    for _ in range(n):
        y = y * factor
    return y


def eager(library: Callable[[], Callable[[float], Any]], n: int, variable: bool) -> Run:
    """Libraries with a Tensor that has .backward() and .grad."""
    tensor, root = library(), math.exp(1 / n)
    x: Any = None
    w: Any = None

    def step(i: int) -> None:
        nonlocal x, w
        x, w = tensor(1.0), tensor(root)
        chain(x, w if variable else root, n).backward()

    return step, lambda: [float(x.grad), float(w.grad) * root / n if variable else math.e]


def transforming(library: Callable[[int, bool], Callable[..., Any]], n: int, variable: bool) -> Run:
    """Libraries with a `grad` that turns a function into its gradient."""
    gradient, root = library(n, variable), math.exp(1 / n)
    g: tuple[float, ...] = ()

    def step(i: int) -> None:
        nonlocal g
        g = tuple(map(float, gradient(1.0, root)))

    return step, lambda: [g[0], g[1] * root / n if variable else math.e]


def minigrad() -> Any:
    import minigrad

    return minigrad.Tensor


def torch() -> Any:
    import torch

    return partial(torch.tensor, dtype=torch.float64, requires_grad=True)


def mygrad() -> Any:
    import mygrad

    return mygrad.tensor


def autograd(n: int, variable: bool) -> Any:
    import autograd

    return autograd.grad(lambda x, w: chain(x, w if variable else float(w), n), (0, 1) if variable else (0,))


@cache  # compiled once, not in every round
def jax(n: int, variable: bool) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)

    def scan(x: Any, w: Any) -> Any:
        return jax.lax.scan(lambda y, _: (y * w, None), x, length=n)[0]

    return jax.jit(jax.grad(scan, (0, 1) if variable else (0,)))


def held(n: int, variable: bool) -> Measure:
    """The bytes a node holds until the backward pass, as Python's allocator counts them."""
    from minigrad import Tensor

    def measure() -> float:
        x, w = Tensor(1.0), Tensor(math.exp(1 / n))
        tracemalloc.start()
        y = chain(x, w if variable else w.item(), n)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del y
        return size / n

    return measure


def spread(figures: Figures) -> float:
    """The ratio of minigrad's costliest chain to its cheapest."""
    ours = [of_rounds for name, of_rounds in figures.items() if name.startswith("minigrad")]
    medians = [median(ratios(of_rounds, ours[0])) for of_rounds in ours]
    return max(medians) / min(medians)


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    lengths = [100, 1_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    longest_of_peers = lengths[:3][-1]
    for variable, kind, factor, of_torch in (False, "constants", "c", 0.4), (True, "variables", "w", 0.55):
        runs: list[tuple[str, Callable[..., Run], Any, int]] = [("minigrad", eager, minigrad, n) for n in lengths]
        runs += [(load.__name__, eager, load, longest_of_peers) for load in (torch, mygrad)]
        runs += [(load.__name__, transforming, load, longest_of_peers) for load in (autograd, jax)]
        starts = {f"{name}, n = {n:,}": partial(run, load, n, variable) for name, run, load, n in runs}
        size = dict(zip(starts, [n for *_, n in runs], strict=True))
        yield Benchmark(
            f"chain of {kind}: forward and backward of y = y * {factor}",
            "µs an op",
            [
                at_most(of_torch, f"minigrad, n = {longest_of_peers:,}", f"torch, n = {longest_of_peers:,}"),
                Goal("minigrad: the costliest op at most 2.5x the cheapest", 2.5, (), spread),
            ],
            {
                name: timed(start, max(1, (1_000 if quick else 100_000) // size[name]), 1e6 / size[name])
                for name, start in agree(starts, steps=1, tolerance=1e-8).items()
            },
            rounds=2 if quick else 5,
        )
    n = lengths[:3][-1]
    yield Benchmark(
        f"chain, memory held by a node, n = {n:,}",
        "bytes a node",
        [Goal("minigrad: at most 800 bytes", 800, (), lambda figures: max(map(max, figures.values())))],
        {"minigrad, y = y * c": held(n, False), "minigrad, y = y * w": held(n, True)},
        rounds=1,
    )
