"""The slides' training step: one true window, one corrupt, everything small. The engine's own cost shows here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks import training
from benchmarks.harness import Benchmark, Run, agree, at_most, faster, timed
from benchmarks.training import contestants
from benchmarks.windows import LIBRARIES, Windows, loss

WORDS, DIMENSIONS, HIDDEN, WINDOW = 1000, 4, 8, 5


def objective(relu: Callable[..., Any], sigmoid: Callable[..., Any], U: Any, W: Any, b: Any, x: Any, x_c: Any) -> Any:
    s = U @ sigmoid(W @ x + b)
    s_c = U @ sigmoid(W @ x_c + b)
    return relu(1 - s + s_c)


def problem() -> Windows:
    rng = np.random.default_rng(0)
    shapes = (HIDDEN,), (HIDDEN, WINDOW * DIMENSIONS), (HIDDEN,), (WORDS, DIMENSIONS)
    windows = []
    for true in rng.integers(0, WORDS, (1000, WINDOW)):
        corrupt = true.copy()
        corrupt[WINDOW // 2] = rng.integers(WORDS)
        windows.append((true, corrupt))
    return Windows([rng.normal(0, 0.3, shape) for shape in shapes], windows, 0.05, objective, -1)


def by_hand(problem: Windows) -> Run:
    U, W, b, L = problem.start()
    lr = problem.learning_rate

    def step(i: int) -> None:
        nonlocal U, W, b, L
        true, corrupt = problem.batch(i)
        x, x_c = L[true].reshape(-1), L[corrupt].reshape(-1)
        a = 1 / (1 + np.exp(-(W @ x + b)))
        a_c = 1 / (1 + np.exp(-(W @ x_c + b)))
        J = 1 - U @ a + U @ a_c
        if J > 0:
            delta = -U * a * (1 - a)
            delta_c = U * a_c * (1 - a_c)
            np.subtract.at(L, true, lr * (delta @ W).reshape(WINDOW, -1))
            np.subtract.at(L, corrupt, lr * (delta_c @ W).reshape(WINDOW, -1))
            W -= lr * (delta[:, None] * x + delta_c[:, None] * x_c)
            b -= lr * (delta + delta_c)
            U -= lr * (a_c - a)

    return step, lambda: [U, W, b, L]


def loops(U: Any, W: Any, b: Any, L: Any, true: Any, corrupt: Any, lr: float) -> None:
    """The step in explicit loops, for numba: two passes over W, and no array but the few that are needed."""
    H, n = W.shape
    d = L.shape[1]
    x, x_c = np.empty(n), np.empty(n)
    for k in range(len(true)):
        for j in range(d):
            x[k * d + j] = L[true[k], j]
            x_c[k * d + j] = L[corrupt[k], j]
    a, a_c = np.empty(H), np.empty(H)
    J = 1.0
    for i in range(H):
        z = z_c = b[i]
        for j in range(n):
            z += W[i, j] * x[j]
            z_c += W[i, j] * x_c[j]
        a[i] = 1 / (1 + math.exp(-z))
        a_c[i] = 1 / (1 + math.exp(-z_c))
        J += U[i] * (a_c[i] - a[i])
    if J > 0:
        g, g_c = np.zeros(n), np.zeros(n)
        for i in range(H):
            delta = -U[i] * a[i] * (1 - a[i])
            delta_c = U[i] * a_c[i] * (1 - a_c[i])
            for j in range(n):
                g[j] += delta * W[i, j]
                g_c[j] += delta_c * W[i, j]
                W[i, j] -= lr * (delta * x[j] + delta_c * x_c[j])
            b[i] -= lr * (delta + delta_c)
            U[i] -= lr * (a_c[i] - a[i])
        for k in range(len(true)):
            for j in range(d):
                L[true[k], j] -= lr * g[k * d + j]
                L[corrupt[k], j] -= lr * g_c[k * d + j]


@cache
def _njit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once, not in every round."""
    import numba

    return numba.njit(function)


def numba_by_hand(problem: Windows) -> Run:
    parameters = problem.start()
    update = _njit(loops)

    def step(i: int) -> None:
        update(*parameters, *problem.batch(i), problem.learning_rate)

    return step, lambda: parameters


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    hands = {"NumPy by hand": by_hand, "numba loops by hand": numba_by_hand}
    everybody = contestants(problem(), hands | LIBRARIES)
    yield Benchmark(
        "step: one true and one corrupt window, 1000 x 4 words, W (8, 20), float64, SGD, one thread",
        "µs a step",
        [
            at_most(2.6, "minigrad", "NumPy by hand"),
            faster(4, "minigrad", "torch"),
            at_most(1.05, "minigrad, compiled", "NumPy by hand"),
            at_most(3, "minigrad, compiled, numba", "numba loops by hand"),
            faster(5, "minigrad, compiled, numba", "jax.jit"),
        ],
        {name: timed(start, 20 if quick else 300, 1e6) for name, start in agree(everybody, 20, tolerance=1e-9).items()},
        rounds=3 if quick else 100,
    )
    makers = {"SGD": mg.optim.SGD, "Adagrad": mg.optim.Adagrad, "Adam": mg.optim.Adam}
    shared = problem()
    starts = {name: partial(training.minigrad, loss, None, shared, make) for name, make in makers.items()}
    yield Benchmark(
        "step, optimizers: the same step of minigrad with each of them",
        "µs a step",
        [at_most(1.3, name, "SGD") for name in ("Adagrad", "Adam")],
        {name: timed(start, 20 if quick else 300, 1e6) for name, start in starts.items()},
        rounds=3 if quick else 100,
    )
