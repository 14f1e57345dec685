"""Shared by the benchmarks that train a model: the problem, and minigrad's step, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.harness import Run, Start

Array = Any
Loss = Callable[[list[Any], Array, Array], Any]  # of the parameters and a batch


@dataclass(frozen=True, eq=False)
class Problem:
    """Initial parameters, minibatches, the learning rate."""

    parameters: list[Array]
    batches: list[tuple[Array, Array]]  # one for each step, then from the first again
    learning_rate: float

    def start(self) -> list[Array]:
        return [p.copy() for p in self.parameters]

    def batch(self, i: int) -> tuple[Array, Array]:
        return self.batches[i % len(self.batches)]


def contestants(problem: Problem, runs: Mapping[str, Callable[[Any], Run]]) -> dict[str, Start]:
    """Everybody, by name; a result is how far each parameter has moved."""

    def start(run: Callable[[Any], Run]) -> Run:
        step, parameters = run(problem)
        return step, lambda: [np.array(p) - q for p, q in zip(parameters(), problem.parameters, strict=True)]

    return {name: partial(start, run) for name, run in runs.items()}


def minigrad(loss: Callable[[Any], Loss], backend: str | None, problem: Any, optimizer: Any = mg.optim.SGD) -> Run:
    """Train by the loss of a problem; with a backend, compiled."""
    parameters, update = _minigrad(loss, backend, problem, optimizer)
    for p, q in zip(parameters, problem.start(), strict=True):
        p.data = q
    return lambda i: update(*problem.batch(i)), lambda: [p.data for p in parameters]


@cache  # compiled once, not in every round
def _minigrad(loss: Callable[[Any], Loss], backend: str | None, problem: Any, make: Any) -> Any:
    parameters: list[Any] = list(map(mg.Tensor, problem.start()))
    objective, optimizer = loss(problem), make(parameters, lr=problem.learning_rate)

    def update(x: Array, y: Array) -> None:
        J = objective(parameters, x, y)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()

    if backend is None:
        return parameters, update
    import_module(backend)  # numba may be missing
    return parameters, mg.compile(update, backend=backend)
