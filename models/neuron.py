"""A neuron is a binary logistic regression: h = f(w . x + b)."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

Array = Any


def neuron(w: Array, b: Array, x: Array) -> Array:
    """The class probability h = f(w . x + b), for one input or for a batch with the example first.

    >>> float(neuron(np.array([1.0, -1.0]), 0.5, np.array([2.0, 2.5])))
    0.5

    Shapes: w (n,), b a number, x (n,) or (N, n); h is a number or (N,).
    """
    return mg.sigmoid(x @ w + b)


def always_on(x: Array) -> Array:
    """The inputs with a feature more that is always 1: its weight is the bias.

    >>> always_on(np.array([2.0, 2.5]))
    array([2. , 2.5, 1. ])
    """
    return mg.concatenate([x, np.ones_like(x[..., :1])], axis=-1)


def log_loss(h: Array, y: Array) -> Array:
    """The cross entropy of labels y in {0, 1} under probabilities h, summed over the examples.

    >>> float(log_loss(np.array([0.5]), np.array([1.0]))) == float(np.log(2.0))
    True
    """
    return -mg.sum(y * mg.log(h) + (1 - y) * mg.log1p(-h))


def neuron_by_hand(w: Array, b: Array, x: Array) -> dict[str, Array]:
    """The gradients of h for one input: with delta = h (1 - h), dh/dw = delta x, dh/db = delta, dh/dx = delta w.

    >>> neuron_by_hand(np.array([1.0, -1.0]), 0.5, np.array([2.0, 2.5]))["w"]
    array([0.5  , 0.625])
    """
    h = mg.sigmoid(x @ w + b)
    delta = h * (1 - h)
    return {"w": delta * x, "b": delta, "x": delta * w}


def log_loss_by_hand(w: Array, b: Array, x: Array, y: Array) -> dict[str, Array]:
    """The gradients of the log loss of a batch: the error h - y, times the input.

    >>> log_loss_by_hand(np.zeros(1), 0.0, np.array([[2.0]]), np.array([1.0]))
    {'w': array([-1.]), 'b': np.float64(-0.5)}

    Shapes: w (n,), b a number, x (N, n), y (N,).
    """
    error = mg.sigmoid(x @ w + b) - y
    return {"w": error @ x, "b": np.sum(error)}
