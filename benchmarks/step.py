"""The slides' training step: one true window, one corrupt, everything small. The engine's own cost shows here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, Goal, Run, agree, timed
from benchmarks.windows import Problem, contestants

WORDS, DIMENSIONS, HIDDEN, WINDOW = 1000, 4, 8, 5


def objective(relu: Callable[..., Any], sigmoid: Callable[..., Any], U: Any, W: Any, b: Any, x: Any, x_c: Any) -> Any:
    s = U @ sigmoid(W @ x + b)
    s_c = U @ sigmoid(W @ x_c + b)
    return relu(1 - s + s_c)


def problem() -> Problem:
    rng = np.random.default_rng(0)
    shapes = (HIDDEN,), (HIDDEN, WINDOW * DIMENSIONS), (HIDDEN,), (WORDS, DIMENSIONS)
    windows = []
    for true in rng.integers(0, WORDS, (1000, WINDOW)):
        corrupt = true.copy()
        corrupt[WINDOW // 2] = rng.integers(WORDS)
        windows.append((true, corrupt))
    return Problem(objective, [rng.normal(0, 0.3, shape) for shape in shapes], windows, -1, 0.05)


def by_hand(problem: Problem) -> Run:
    U, W, b, L = problem.start()
    lr = problem.learning_rate

    def step(i: int) -> None:
        nonlocal U, W, b, L
        true, corrupt = problem.windows[i % len(problem.windows)]
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


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    present = agree(contestants(problem(), by_hand), steps=20, tolerance=1e-9)
    yield Benchmark(
        "step: one true and one corrupt window, 1000 x 4 words, W (8, 20), float64, SGD, one thread",
        "µs a step",
        Goal("minigrad at most 2.6x by hand", 2.6, lambda rows: rows["minigrad"]["ratio"]),
        {name: timed(start, 20 if quick else 300, 1e6) for name, start in present.items()},
        rounds=3 if quick else 60,
    )
