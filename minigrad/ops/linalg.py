"""Ops of linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine import op

Array = Any


@op(np.matmul)
def matmul(x: Array, y: Array) -> Array:
    """The matrix product x @ y, with all of np.matmul's cases.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array([11.])

    Shapes: (n) @ (n) a number; (..., m, n) @ (n) gives (..., m); (n) @ (..., n, p) gives (..., p);
    (..., m, n) @ (..., n, p) gives (..., m, p), the leading axes broadcast.
    """
    z = x @ y
    if x.ndim == y.ndim == 1:
        return z, lambda g: g * y, lambda g: g * x
    if y.ndim == 1:
        if x.ndim == 2:
            return z, lambda g: g[:, None] * y, lambda g: g @ x
        return z, lambda g: g[..., None] * y, lambda g: np.sum(g[..., None] * x, axis=-2)
    if x.ndim == 1:
        if y.ndim == 2:
            return z, lambda g: y @ g, lambda g: x[:, None] * g
        return z, lambda g: np.sum(y * g[..., None, :], axis=-1), lambda g: x[:, None] * g[..., None, :]
    return z, lambda g: g @ np.swapaxes(y, -1, -2), lambda g: np.swapaxes(x, -1, -2) @ g
