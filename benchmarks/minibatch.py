"""A minibatch of realistic size: a big table of which few rows are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, Run, agree, at_most, timed
from benchmarks.training import contestants
from benchmarks.windows import LIBRARIES, Windows

WORDS, DIMENSIONS, HIDDEN, WINDOW, TRUE, CORRUPT = 100_000, 50, 100, 5, 256, 5
ABOUT = "256 true windows, 5 corrupt each, 100,000 x 50 words, W (100, 250), float32, SGD"


def objective(relu: Callable[..., Any], sigmoid: Callable[..., Any], U: Any, W: Any, b: Any, X: Any, X_c: Any) -> Any:
    s = sigmoid(X @ W.T + b) @ U
    s_c = (sigmoid(X_c @ W.T + b) @ U).reshape(-1, CORRUPT)
    return relu(1 - s[:, None] + s_c).sum()


def problem(true_windows: int = TRUE, words: int = WORDS, hidden: int = HIDDEN) -> Windows:
    rng = np.random.default_rng(0)
    zipf = 1 / np.arange(1, words + 1)
    zipf /= zipf.sum()
    shapes = (hidden,), (hidden, WINDOW * DIMENSIONS), (hidden,), (words, DIMENSIONS)
    windows = []
    for _ in range(20):
        true = rng.choice(words, (true_windows, WINDOW), p=zipf)
        corrupt = np.repeat(true[:, None], CORRUPT, axis=1)
        corrupt[:, :, WINDOW // 2] = rng.choice(words, (true_windows, CORRUPT), p=zipf)
        windows.append((true, corrupt))
    parameters = [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]
    return Windows(parameters, windows, 0.01, objective, (-1, WINDOW * DIMENSIONS))


def by_hand(problem: Windows) -> Run:
    U, W, b, L = problem.start()
    lr = problem.learning_rate

    def step(i: int) -> None:
        nonlocal U, W, b, L
        true, corrupt = problem.batch(i)
        X, X_c = L[true].reshape(problem.shape), L[corrupt].reshape(problem.shape)
        A = 1 / (1 + np.exp(-(X @ W.T + b)))
        A_c = 1 / (1 + np.exp(-(X_c @ W.T + b)))
        active = (1 - (A @ U)[:, None] + (A_c @ U).reshape(-1, CORRUPT) > 0).astype(U.dtype)
        g, g_c = active.sum(axis=1), active.reshape(-1)
        delta = -g[:, None] * U * A * (1 - A)
        delta_c = g_c[:, None] * U * A_c * (1 - A_c)
        np.subtract.at(L, true, lr * (delta @ W).reshape(*true.shape, -1))
        np.subtract.at(L, corrupt, lr * (delta_c @ W).reshape(*corrupt.shape, -1))
        W -= lr * (delta.T @ X + delta_c.T @ X_c)
        b -= lr * (delta.sum(axis=0) + delta_c.sum(axis=0))
        U -= lr * (g_c @ A_c - g @ A)

    return step, lambda: [U, W, b, L]


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    everybody = contestants(problem(), {"NumPy by hand": by_hand} | LIBRARIES)
    yield Benchmark(
        f"minibatch: {ABOUT}, two threads",
        "ms a step",
        [
            at_most(1.1, "minigrad", "jax.jit"),
            at_most(1.0, "minigrad, compiled", "jax.jit"),
            at_most(0.8, "minigrad, compiled, numba", "jax.jit"),
        ],
        {name: timed(start, 2 if quick else 20, 1e3) for name, start in agree(everybody, 3, tolerance=1e-4).items()},
        rounds=3 if quick else 30,
    )
