"""The losses beside `cross_entropy`: means over all elements."""

from typing import Any

import numpy as np

from minigrad.engine import Array
from minigrad.ops.activations import softplus
from minigrad.ops.elementwise import clip, divide, multiply, square, subtract
from minigrad.ops.reduce import mean


def mse(y: Array, target: Array) -> Array:
    """The mean of (y - target)**2.

    >>> float(mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    return mean(square(_error(y, target)))


def huber(y: Array, target: Array, delta: Any = 1.0) -> Array:
    """The mean of r**2 / 2 for errors r up to delta, and of delta (abs(r) - delta / 2) beyond.

    >>> float(huber(np.array([0.5, 3.0]), np.zeros(2)))
    1.3125

    Huber, Annals of Mathematical Statistics 35, 1964.
    """
    r = _error(y, target)
    inside = clip(r, -delta, delta)
    return mean(multiply(inside, subtract(r, divide(inside, 2.0))))


def binary_cross_entropy(z: Array, target: Array) -> Array:
    """The mean of -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), from logits: exact for large ones.

    >>> float(binary_cross_entropy(np.array([0.0, 800.0]), np.array([1.0, 1.0]))) == float(np.log(2.0) / 2)
    True

    Args:
        z: logits, of any shape.
        target: probabilities from 0 to 1, of the same shape.
    """
    _check(z, target)
    return mean(subtract(softplus(z), multiply(z, target)))


def _error(y: Array, target: Array) -> Array:
    _check(y, target)
    return subtract(y, target)


def _check(y: Array, target: Array) -> None:
    if np.shape(y) != np.shape(target):  # (5, 1) and (5,) would broadcast to (5, 5)
        raise ValueError(f"needed a target of the shape {np.shape(y)}, got {np.shape(target)}")
