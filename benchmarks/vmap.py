"""Many derivatives at once: a Jacobian, a Hessian, the gradient of each example of a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from benchmarks.harness import Benchmark, Goal, Run, agree, at_most, timed

N, EXAMPLES = 200, 256


class Task(NamedTuple):
    """What is computed, by hand and by a library.

    Args:
        by_hand: on NumPy's arrays.
        derived: the same of a library: its tanh and sum, its transforms, and its arrays of W1 and W2.
    """

    title: str
    arguments: tuple[np.ndarray, ...]
    by_hand: Callable[..., Any]
    derived: Callable[[Library], Callable[..., Any]]


class Library(NamedTuple):
    """A library's names: its functions, its transforms, its arrays, how it waits for results."""

    tanh: Callable[..., Any]
    sum: Callable[..., Any]
    jacobian: Callable[..., Any]
    hessian: Callable[..., Any]
    grad: Callable[..., Any]
    vmap: Callable[..., Any]
    array: Callable[..., Any]
    wait: Callable[..., Any]


rng = np.random.default_rng(0)
W1, W2 = (rng.normal(size=(N, N)) / np.sqrt(N) for _ in range(2))
X = rng.normal(size=(EXAMPLES, N))


def network(lib: Library) -> Callable[..., Any]:
    return lambda W1, W2, x: lib.tanh(W2 @ lib.tanh(W1 @ x))


def jacobian_by_hand(W1: Any, W2: Any, x: Any) -> Any:
    h = np.tanh(W1 @ x)
    y = np.tanh(W2 @ h)
    return ((1 - y * y)[:, None] * W2 * (1 - h * h)) @ W1


def hessian_by_hand(W1: Any, W2: Any, x: Any) -> Any:
    h = np.tanh(W1 @ x)
    y = np.tanh(W2 @ h)
    slope = 1 - y * y
    by_h = W2.T @ (2 * y * slope)  # of the sum of squares
    J = (W2 * (1 - h * h)) @ W1
    return J.T @ ((2 * slope * (1 - 3 * y * y))[:, None] * J) + W1.T @ ((-2 * by_h * h * (1 - h * h))[:, None] * W1)


def examples_by_hand(W1: Any, W2: Any, X: Any) -> Any:
    H = np.tanh(X @ W1.T)
    Y = np.tanh(H @ W2.T)
    delta2 = 2 * Y * (1 - Y * Y)
    delta1 = delta2 @ W2 * (1 - H * H)
    return delta1[:, :, None] * X[:, None], delta2[:, :, None] * H[:, None]


def squares(lib: Library) -> Callable[..., Any]:
    f = network(lib)
    return lambda W1, W2, x: lib.sum(f(W1, W2, x) ** 2)


TASKS = [
    Task(
        f"jacobian: of tanh(W2 tanh(W1 x)), n = {N}, float64, one thread",
        (W1, W2, X[0]),
        jacobian_by_hand,
        lambda lib: lib.jacobian(network(lib), 2),
    ),
    Task(
        f"hessian: of the sum of its squares, n = {N}, float64, one thread",
        (W1, W2, X[0]),
        hessian_by_hand,
        lambda lib: lib.hessian(squares(lib), 2),
    ),
    Task(
        f"each example: the gradients of the sum of squares by W1 and W2, for {EXAMPLES} examples, float64, one thread",
        (W1, W2, X),
        examples_by_hand,
        lambda lib: lib.vmap(lib.grad(squares(lib), (0, 1)), (None, None, 0)),
    ),
]


def minigrad() -> Library:
    return Library(np.tanh, np.sum, mg.jacobian, mg.hessian, mg.grad, mg.vmap, np.asarray, lambda x: x)


def torch() -> Library:
    import torch
    from torch import func

    torch.set_num_threads(1)
    return Library(torch.tanh, torch.sum, func.jacrev, func.hessian, func.grad, func.vmap, torch.tensor, lambda x: x)


def jax() -> Library:
    # it asks for threads of its own accord
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    return Library(jnp.tanh, jnp.sum, jax.jacrev, jax.hessian, jax.grad, jax.vmap, jnp.asarray, jax.block_until_ready)


def jitted(f: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    return jax.jit(f)


def start(task: Task, library: Callable[[], Library], compiled: Callable[..., Any]) -> Callable[[], Run]:
    """A contestant; what it compiles it compiles once."""
    ready: list[Any] = []

    def begin() -> Run:
        if not ready:
            lib = library()
            ready.extend((compiled(task.derived(lib)), lib, [lib.array(a) for a in task.arguments]))
        return running(*ready)

    return begin


def running(f: Callable[..., Any], lib: Library, arguments: list[Any]) -> Run:
    found: list[Any] = []

    def step(i: int) -> None:
        found[:] = [lib.wait(f(*arguments))]

    def result() -> list[Any]:
        (value,) = found
        return [np.asarray(part) for part in (value if isinstance(value, tuple) else (value,))]

    return step, result


def as_it_is(f: Callable[..., Any]) -> Callable[..., Any]:
    return f


def contestants(task: Task) -> dict[str, Callable[[], Run]]:
    return {
        "NumPy by hand": lambda: running(task.by_hand, minigrad(), list(task.arguments)),
        "minigrad": start(task, minigrad, as_it_is),
        "minigrad, compiled": start(task, minigrad, mg.compile),
        "torch.func": start(task, torch, as_it_is),
        "jax": start(task, jax, as_it_is),
        "jax.jit": start(task, jax, jitted),
    }


def goals(task: Task) -> list[Goal]:
    of_each = task.by_hand is examples_by_hand
    eager = at_most(1.0, "minigrad", "jax.jit") if of_each else at_most(0.5, "minigrad", "torch.func")
    return [eager, at_most(1.2, "minigrad, compiled", "jax.jit")]


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    for task in TASKS:
        agreed = agree(contestants(task), 2, tolerance=1e-10)
        measures = {name: timed(begin, 1 if quick else 3, 1e3) for name, begin in agreed.items()}
        yield Benchmark(task.title, "ms", goals(task), measures, rounds=3 if quick else 20)
