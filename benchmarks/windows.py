"""Training on word windows as each library's users write it; `step` and `minibatch` say how large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import minigrad as mg
from benchmarks import training
from benchmarks.harness import Run
from benchmarks.training import Loss, Problem

Array = Any


@dataclass(frozen=True, eq=False)
class Windows(Problem):
    """U, W, b and the word vectors L are learnt from word numbers, of true windows and corrupt ones."""

    objective: Callable[..., Any]  # relu, sigmoid, U, W, b, x, x_c -> J: the same expression in every library
    shape: int | tuple[int, int]  # of x, the words' vectors side by side


def loss(problem: Windows) -> Loss:
    objective, shape = problem.objective, problem.shape

    def J(parameters: list[Any], true: Array, corrupt: Array) -> Any:
        U, W, b, L = parameters
        x = mg.embedding(L, true).reshape(shape)
        x_c = mg.embedding(L, corrupt).reshape(shape)
        return objective(mg.relu, mg.sigmoid, U, W, b, x, x_c)

    return J


def torch(problem: Windows, device: str = "cpu") -> Run:
    import torch
    from torch.nn.functional import embedding

    U, W, b, L = parameters = [torch.from_numpy(p).to(device).requires_grad_() for p in problem.start()]
    windows = [tuple(torch.from_numpy(x).to(device) for x in batch) for batch in problem.batches]
    optimizer = torch.optim.SGD(parameters, lr=problem.learning_rate)

    def step(i: int) -> None:
        true, corrupt = windows[i % len(windows)]
        x = embedding(true, L, sparse=True).reshape(problem.shape)
        x_c = embedding(corrupt, L, sparse=True).reshape(problem.shape)
        J = problem.objective(torch.relu, torch.sigmoid, U, W, b, x, x_c)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()

    return step, lambda: [p.detach().cpu().numpy() for p in parameters]


def jax(problem: Windows, device: str = "cpu") -> Run:
    import jax

    jax.config.update("jax_enable_x64", True)
    parameters, windows = jax.device_put((problem.start(), problem.batches), jax.devices(device)[0])
    update = _jitted(problem.objective, problem.shape, problem.learning_rate)

    def step(i: int) -> None:
        nonlocal parameters
        J, parameters = update(parameters, *windows[i % len(windows)])
        J.block_until_ready()

    return step, lambda: parameters


@cache
def _jitted(objective: Callable[..., Any], shape: int | tuple[int, int], lr: float) -> Any:
    """The whole step, compiled once; the looked-up rows are the variables, so that the table's gradient is sparse."""
    import jax

    def update(parameters: Any, true: Any, corrupt: Any) -> Any:
        def J(U: Any, W: Any, b: Any, rows: Any, rows_c: Any) -> Any:
            return objective(jax.nn.relu, jax.nn.sigmoid, U, W, b, rows.reshape(shape), rows_c.reshape(shape))

        *small, L = parameters
        value, (*grads, g, g_c) = jax.value_and_grad(J, argnums=range(5))(*small, L[true], L[corrupt])
        small = [p - lr * grad for p, grad in zip(small, grads, strict=True)]
        return value, [*small, L.at[true].add(-lr * g).at[corrupt].add(-lr * g_c)]

    return jax.jit(update, donate_argnums=0)


def autograd(problem: Windows) -> Run:
    import autograd
    from autograd import numpy as anp

    parameters = problem.start()
    lr = problem.learning_rate

    def objective(parameters: list[Array], true: Array, corrupt: Array) -> Any:
        U, W, b, L = parameters
        x, x_c = L[true].reshape(problem.shape), L[corrupt].reshape(problem.shape)
        return problem.objective(lambda m: anp.maximum(0, m), lambda z: 1 / (1 + anp.exp(-z)), U, W, b, x, x_c)

    gradient = autograd.grad(objective)

    def step(i: int) -> None:
        for p, g in zip(parameters, gradient(parameters, *problem.batch(i)), strict=True):
            p -= lr * g

    return step, lambda: parameters


def mygrad(problem: Windows) -> Run:
    import mygrad
    from mygrad.nnet.activations import relu, sigmoid

    U, W, b, L = parameters = list(map(mygrad.tensor, problem.start()))
    lr = problem.learning_rate

    def step(i: int) -> None:
        true, corrupt = problem.batch(i)
        x, x_c = L[true].reshape(problem.shape), L[corrupt].reshape(problem.shape)
        J = problem.objective(relu, sigmoid, U, W, b, x, x_c)
        J.backward()
        for p in parameters:
            p.data -= lr * p.grad
            p.null_grad()

    return step, lambda: [p.data for p in parameters]


LIBRARIES: dict[str, Callable[[Windows], Run]] = {
    "minigrad": partial(training.minigrad, loss, None),
    "minigrad, compiled": partial(training.minigrad, loss, "numpy"),
    "minigrad, compiled, numba": partial(training.minigrad, loss, "numba"),
    "torch": torch,
    "jax.jit": jax,
    "autograd": autograd,
    "mygrad": mygrad,
}
