"""Ops that reduce along axes, and the softmax family made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine import op, stop_gradient

Array = Any
Axis = int | tuple[int, ...] | None


def _kept(g: Array, axis: Axis, keepdims: bool) -> Array:
    """A reduced array with its axes back, of size one."""
    return g if keepdims or axis is None else np.expand_dims(g, axis)


@op(np.sum)
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum along axes.

    >>> float(sum([1.0, 2.0]))
    3.0
    """
    y = np.sum(x, axis=axis, keepdims=keepdims)
    return y, lambda g: np.broadcast_to(_kept(g, axis, keepdims), x.shape)


@op(np.mean)
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean along axes.

    >>> float(mean([1.0, 2.0]))
    1.5
    """
    y = np.mean(x, axis=axis, keepdims=keepdims)
    return y, lambda g: np.broadcast_to(_kept(g, axis, keepdims) / (x.size // (y.size or 1)), x.shape)


def _extremum(y: Array, x: Array, axis: Axis, keepdims: bool) -> Any:
    """The value and the pullback of max or min, y the value with its axes kept: ties share evenly."""

    def pullback(g: Array) -> Array:
        chosen = x == y
        return chosen * (_kept(g, axis, keepdims) / np.sum(chosen, axis=axis, keepdims=True))

    return y if keepdims else np.squeeze(y, axis), pullback


@op(np.max)
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest along axes; ties share the gradient evenly.

    >>> float(max([1.0, 2.0]))
    2.0
    """
    return _extremum(np.max(x, axis=axis, keepdims=True), x, axis, keepdims)


@op(np.min)
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest along axes; ties share the gradient evenly.

    >>> float(min([1.0, 2.0]))
    1.0
    """
    return _extremum(np.min(x, axis=axis, keepdims=True), x, axis, keepdims)


@op()
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) along axes, without overflow: the largest element is taken out first.

    >>> float(logsumexp([1000.0, 1000.0])) - 1000 == float(np.log(2.0))
    False
    >>> round(float(logsumexp([1000.0, 1000.0])) - 1000, 6)
    0.693147
    """
    top = stop_gradient(np.max(x, axis=axis, keepdims=True))
    top = np.where(np.isfinite(top), top, 0)  # all -inf: the sum is 0, not nan
    e = np.exp(x - top)
    total = np.sum(e, axis=axis, keepdims=True)
    y = np.log(total) + top
    value = y if keepdims else np.squeeze(y, axis)
    return value, lambda g: _kept(g, axis, keepdims) * (e / total)


@op()
def softmax(x: Array, axis: Axis = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    e = np.exp(x - stop_gradient(np.max(x, axis=axis, keepdims=True)))
    p = e / np.sum(e, axis=axis, keepdims=True)

    def pullback(g: Array) -> Array:
        gp = g * p
        return gp - p * np.sum(gp, axis=axis, keepdims=True)

    return p, pullback


@op()
def log_softmax(x: Array, axis: Axis = -1) -> Array:
    """x - logsumexp(x) along an axis.

    >>> log_softmax(np.array([0.0, 0.0])) == -np.log(2.0)
    array([ True,  True])
    """
    y = x - logsumexp(x, axis=axis, keepdims=True)
    return y, lambda g: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)


@op()
def cross_entropy(z: Array, classes: Array) -> Array:
    """The mean of -log softmax(z)[class] over the examples, from logits and integer classes.

    >>> float(cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))) == float(np.log(2.0))
    True

    Args:
        z: logits, shape (..., number of classes).
        classes: integers, shape (...); as in NumPy's indexing, a negative one counts from the end.

    Its gradient with respect to z is (p - y) / n: the probabilities, less one at the class.
    """
    k = z.shape[-1]
    y = np.expand_dims(classes, -1)
    z = z - stop_gradient(np.max(z, axis=-1, keepdims=True))
    e = np.exp(z)
    total = np.sum(e, axis=-1, keepdims=True)
    loss = np.mean(np.log(total) - np.take_along_axis(z, y, axis=-1))
    hit = np.arange(k, like=y) == y % k
    return loss, lambda g: g / total.size * (e / total - hit)
