"""A neural network: several logistic regressions at once, and their outputs into others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import minigrad as mg

Array = Any
Layer = tuple[Array, Array]  # W (m, n), b (m,)

#: The non-linearities f of the slides, and their derivatives written with a = f(z).
activations: dict[str, Callable[[Array], Array]] = {
    "sigmoid": mg.sigmoid,
    "tanh": mg.tanh,
    "relu": mg.relu,
    "linear": lambda z: z,  # no non-linearity at all
}
derivatives: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "relu": lambda a: 1.0 * (a > 0),
    "linear": np.ones_like,
}


def layer(W: Array, b: Array, x: Array, f: Callable[[Array], Array] = mg.sigmoid) -> Array:
    """a = f(z) with z = W x + b.

    >>> layer(np.eye(2), np.zeros(2), np.zeros(2))
    array([0.5, 0.5])

    Shapes: W (m, n), b (m,), x (n,); a is (m,). For a batch x (N, n), a is (N, m).
    """
    return f(x @ W.T + b)


def network(layers: Sequence[Layer], x: Array, f: str = "sigmoid") -> Array:
    """The layers one after the other, each a = f(W a + b); the last one stays linear, as a score does.

    >>> network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))], np.zeros(2))
    array([1.])

    Args:
        layers: (W, b) of each layer, the input's first.
        x: (n,), or (N, n) for a batch.
        f: "sigmoid", "tanh", "relu", or "linear" for none.
    """
    *hidden, (W, b) = layers
    a = x
    for V, c in hidden:
        a = layer(V, c, a, activations[f])
    return a @ W.T + b


def collapse(layers: Sequence[Layer]) -> Layer:
    """The one linear layer that a stack of layers without f amounts to: W1 W2 x = W x.

    >>> W, b = collapse([(2 * np.eye(2), np.ones(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> W, b
    (array([[2., 2.]]), array([2.]))
    """
    W, b = layers[0]
    for V, c in layers[1:]:
        W, b = V @ W, V @ b + c
    return W, b


def network_by_hand(layers: Sequence[Layer], x: Array, g: Array, f: str = "sigmoid") -> tuple[list[Layer], Array]:
    """The gradients for one input by backpropagation: delta at a layer is f'(z) times W^T delta of the layer above.

    >>> layers = [(np.ones((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    >>> gradients, dx = network_by_hand(layers, np.zeros(1), 1)
    >>> gradients[0], dx
    ((array([[0.]]), array([0.25])), array([0.25]))

    Args:
        g: the gradient of the outcome with respect to the network's output.

    Returns:
        (dW, db) of each layer, and dx.
    """
    inputs = [x]
    for W, b in layers[:-1]:
        z = W @ inputs[-1] + b
        inputs.append(activations[f](z))
    delta = g * np.ones_like(layers[-1][1])
    gradients = []
    for (W, _), a in zip(reversed(layers), reversed(inputs)):
        gradients.append((np.outer(delta, a), delta))
        delta = W.T @ delta
        if a is not x:
            delta = delta * derivatives[f](a)
    return gradients[::-1], delta


def initial(sizes: Sequence[int], rng: np.random.Generator) -> list[Layer]:
    """Layers of the given sizes, weights uniform in +-sqrt(6 / (fan in + fan out)), biases zero.

    >>> [W.shape for W, b in initial([1, 8, 1], np.random.default_rng(0))]
    [(8, 1), (1, 8)]

    Glorot and Bengio, AISTATS 2010.
    """
    return [(rng.uniform(-1, 1, (m, n)) * np.sqrt(6 / (m + n)), np.zeros(m)) for n, m in pairwise(sizes)]


def approximate(target: Callable[[Array], Array], f: str, hidden: Sequence[int] = (16, 16), seed: int = 0) -> float:
    """Train a network on a function over [-2, 2]; the root mean square error that is left.

    >>> approximate(np.sin, "tanh") < 0.02 < 0.3 < approximate(np.sin, "linear")
    True

    Without f, layers add nothing: the best that any stack can do is a straight line.
    """
    x = np.linspace(-2, 2, 81)[:, None]
    y = target(2 * x)
    layers = [(mg.Tensor(W), mg.Tensor(b)) for W, b in initial([1, *hidden, 1], np.random.default_rng(seed))]
    optimizer = mg.optim.Adam([p for pair in layers for p in pair], lr=0.02)
    for _ in range(1000):
        optimizer.zero_grad()
        mg.mean((network(layers, x, f) - y) ** 2).backward()
        optimizer.step()
    plain = [(W.data, b.data) for W, b in layers]
    return float(np.sqrt(np.mean((network(plain, x, f) - y) ** 2)))
