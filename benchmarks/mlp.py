"""A multilayer perceptron on made-up images: matrix products dominate, and whatever is added to them shows.

Layers are `x @ W + b`, in every library that does not have a layer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks import training
from benchmarks.harness import Benchmark, Run, agree, at_most, timed
from benchmarks.training import Loss, Problem, contestants

Array = Any

SIZES, BATCH = (784, 512, 512, 10), 128
ABOUT = f"{'-'.join(map(str, SIZES))}, batch {BATCH}, relu, cross entropy, float32, SGD"


def problem(sizes: tuple[int, ...] = SIZES, batch: int = BATCH, batches: int = 20) -> Problem:
    """A prototype for each class, seen through noise, so that there is something to learn."""
    rng = np.random.default_rng(0)
    parameters = []
    for n, m in pairwise(sizes):
        parameters += [rng.normal(0, np.sqrt(2 / n), (n, m)).astype(np.float32), np.zeros(m, np.float32)]
    prototypes = rng.random((sizes[-1], sizes[0]))
    made = []
    for _ in range(batches):
        classes = rng.integers(0, len(prototypes), batch)
        images = (prototypes[classes] + rng.normal(0, 0.5, (batch, sizes[0]))).astype(np.float32)
        made.append((images, classes))
    return Problem(parameters, made, 0.1)


def layers(parameters: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(parameters[::2], parameters[1::2]))


def forward(relu: Callable[..., Any], parameters: list[Any], x: Any) -> Any:
    *hidden, (W, b) = layers(parameters)
    for V, c in hidden:
        x = relu(x @ V + c)
    return x @ W + b


def by_hand(problem: Problem) -> Run:
    parameters = problem.start()
    *hidden, (W, b) = layers(parameters)
    rows = np.arange(BATCH)
    lr = problem.learning_rate

    def step(i: int) -> None:
        x, classes = problem.batch(i)
        inputs = [x]
        for V, c in hidden:
            inputs.append(np.maximum(inputs[-1] @ V + c, 0))
        z = inputs[-1] @ W + b
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[rows, classes] -= 1
        delta = p / BATCH
        for (V, c), a in zip(reversed(layers(parameters)), reversed(inputs)):
            below = None if a is x else (delta @ V.T) * (a > 0)
            V -= lr * (a.T @ delta)
            c -= lr * delta.sum(axis=0)
            delta = below

    return step, lambda: parameters


def loss(problem: Problem) -> Loss:
    return lambda parameters, x, classes: mg.cross_entropy(forward(mg.relu, parameters, x), classes)


def torch(problem: Problem, device: str = "cpu") -> Run:
    import torch
    from torch.nn import Linear, ReLU, Sequential

    linears = []
    with torch.no_grad():
        for W, b in layers(problem.start()):
            linears.append(Linear(*W.shape))
            linears[-1].weight.copy_(torch.from_numpy(W.T))
            linears[-1].bias.copy_(torch.from_numpy(b))
    model = Sequential(*[part for linear in linears for part in (linear, ReLU())][:-1]).to(device)
    batches = [tuple(torch.from_numpy(x).to(device) for x in batch) for batch in problem.batches]
    optimizer = torch.optim.SGD(model.parameters(), lr=problem.learning_rate)

    def step(i: int) -> None:
        x, classes = batches[i % len(batches)]
        J = torch.nn.functional.cross_entropy(model(x), classes)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()

    return step, lambda: [p.detach().cpu().numpy().T for p in model.parameters()]


def jax(problem: Problem, device: str = "cpu") -> Run:
    import jax

    parameters, batches = jax.device_put((problem.start(), problem.batches), jax.devices(device)[0])
    update = _jitted(problem.learning_rate)

    def step(i: int) -> None:
        nonlocal parameters
        J, parameters = update(parameters, *batches[i % len(batches)])
        J.block_until_ready()

    return step, lambda: parameters


@cache
def _jitted(lr: float) -> Any:
    import jax

    def objective(parameters: Any, x: Any, classes: Any) -> Any:
        log_p = jax.nn.log_softmax(forward(jax.nn.relu, parameters, x))
        return -jax.numpy.take_along_axis(log_p, classes[:, None], axis=1).mean()

    def update(parameters: Any, x: Any, classes: Any) -> Any:
        J, gradients = jax.value_and_grad(objective)(parameters, x, classes)
        return J, [p - lr * g for p, g in zip(parameters, gradients, strict=True)]

    return jax.jit(update, donate_argnums=0)


def autograd(problem: Problem) -> Run:
    import autograd
    from autograd import numpy as anp
    from autograd.scipy.special import logsumexp

    parameters = problem.start()
    rows = np.arange(BATCH)

    def objective(parameters: list[Array], x: Array, classes: Array) -> Any:
        z = forward(lambda z: anp.maximum(z, 0), parameters, x)
        return anp.mean(logsumexp(z, axis=1) - z[rows, classes])

    gradient = autograd.grad(objective)

    def step(i: int) -> None:
        for p, g in zip(parameters, gradient(parameters, *problem.batch(i)), strict=True):
            p -= problem.learning_rate * g

    return step, lambda: parameters


def mygrad(problem: Problem) -> Run:
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    parameters: list[Any] = list(map(mygrad.tensor, problem.start()))

    def step(i: int) -> None:
        x, classes = problem.batch(i)
        J = softmax_crossentropy(forward(relu, parameters, x), classes)
        J.backward()
        for p in parameters:
            p.data -= problem.learning_rate * p.grad
            p.null_grad()

    return step, lambda: [p.data for p in parameters]


LIBRARIES: dict[str, Callable[[Problem], Run]] = {
    "NumPy by hand": by_hand,
    "minigrad": partial(training.minigrad, loss, None),
    "minigrad, compiled": partial(training.minigrad, loss, "numpy"),
    "torch": torch,
    "jax.jit": jax,
    "autograd": autograd,
    "mygrad": mygrad,
}


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    everybody = contestants(problem(), LIBRARIES)
    yield Benchmark(
        f"mlp: {ABOUT}, two threads",
        "ms a step",
        [at_most(1.15, "minigrad", "NumPy by hand"), at_most(1.05, "minigrad, compiled", "NumPy by hand")],
        {name: timed(start, 2 if quick else 10, 1e3) for name, start in agree(everybody, 3, tolerance=1e-3).items()},
        rounds=3 if quick else 40,
    )
