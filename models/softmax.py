"""A probability for each class from the activations: p(y|x) = softmax(W a)."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

Array = Any


def probabilities(W: Array, a: Array) -> Array:
    """softmax(W a), for one vector of activations or for a batch.

    >>> probabilities(np.zeros((2, 3)), np.ones(3))
    array([0.5, 0.5])

    Shapes: W (k, m), a (m,) or (N, m); the result is (k,) or (N, k).
    """
    return mg.softmax(a @ W.T)


def loss(W: Array, a: Array, y: Array) -> Array:
    """The cross entropy of the classes y, the mean over the examples.

    >>> float(loss(np.zeros((2, 3)), np.ones((1, 3)), np.array([1]))) == float(np.log(2.0))
    True

    Shapes: W (k, m), a (m,) or (N, m), y a class number or (N,) of them.
    """
    return mg.cross_entropy(a @ W.T, y)


def loss_by_hand(W: Array, a: Array, y: Array) -> dict[str, Array]:
    """The gradients of the loss of a batch: with delta = (p - y) / N, dJ/dW = delta^T a, dJ/da = delta W.

    >>> loss_by_hand(np.zeros((2, 1)), np.ones((1, 1)), np.array([1]))["W"]
    array([[ 0.5],
           [-0.5]])

    Shapes: W (k, m), a (N, m), y (N,).
    """
    p = probabilities(W, a)
    delta = (p - np.eye(W.shape[0])[y]) / len(y)
    return {"W": delta.T @ a, "a": delta @ W}
