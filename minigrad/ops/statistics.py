"""Covariances, and polynomials through samples."""

from typing import Any

import numpy as np

from minigrad.engine import Array, implements
from minigrad.ops.elementwise import astype, clip, conjugate, power, real, sqrt
from minigrad.ops.linalg import lstsq
from minigrad.ops.products import matmul
from minigrad.ops.reduce import average, sum
from minigrad.ops.shape import concatenate, diagonal, expand_dims, reshape, squeeze, transpose
from minigrad.shorthand import made_like


@implements(np.cov)
def cov(
    m: Array,
    y: Array = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Array = None,
    aweights: Array = None,
    *,
    dtype: Any = None,
) -> Array:
    """The covariances of variables, from a row of samples for each.

    >>> cov(np.array([[1.0, 3.0], [2.0, 6.0]]))
    array([[2., 4.],
           [4., 8.]])

    Args:
        m: the samples, shape (variables, samples), or a vector for one variable.
        y: further variables.
        rowvar: False for a column for each variable.
        bias: divide by the number of samples, not by one less; the same as ddof=0.
        ddof: divide by the number of samples less this.
        fweights: how often each sample counts.
        aweights: the weight of each sample.
        dtype: the type to compute in.
    """
    rows = [r if rowvar or np.ndim(r) < 2 else transpose(r) for r in (m, y) if r is not None]
    rows = [reshape(r, (-1, np.shape(r)[-1])) for r in rows]
    x = rows[0] if y is None else concatenate(rows)
    x = x if dtype is None else astype(x, dtype)
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    mean, rest = average(x, 1, weights), np.shape(x)[1] if weights is None else sum(weights)
    ddof = (0 if bias else 1) if ddof is None else ddof
    if ddof and aweights is not None:
        ddof = ddof * sum(weights * aweights) / rest
    d = x - expand_dims(mean, 1)
    c = matmul(d, conjugate(transpose(d if weights is None else d * weights)))
    return squeeze(c / np.maximum(rest - ddof, 0))


@implements(np.corrcoef)
def corrcoef(x: Array, y: Array = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    """The correlations of variables: their covariances, divided by the standard deviations of both.

    >>> corrcoef(np.array([[1.0, 3.0], [2.0, 6.0]])).round(9)
    array([[1., 1.],
           [1., 1.]])
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if np.ndim(c) == 0:
        return c / c
    s = sqrt(real(diagonal(c)))
    c = c / expand_dims(s, 1) / s
    return c if np.iscomplexobj(c) else clip(c, -1, 1)


@implements(np.vander)
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """The powers of each element of a vector, in rows: from x**(N - 1) to x**0, or increasing.

    >>> vander(np.array([2.0, 3.0]), 3)
    array([[4., 2., 1.],
           [9., 3., 1.]])
    """
    n = made_like(x, np.arange, np.shape(x)[0] if N is None else N)
    return power(expand_dims(x, 1), n if increasing else n[::-1])


@implements(np.polyval)
def polyval(p: Array, x: Array) -> Array:
    """The value at x of the polynomial with coefficients p, the highest power first.

    >>> polyval(np.array([1.0, 0.0, 1.0]), np.array([2.0, 3.0]))
    array([ 5., 10.])
    """
    y: Array = np.zeros_like(x)
    for k in range(np.shape(p)[0]):  # Horner's scheme
        y = y * x + p[k]
    return y


@implements(np.polyfit)
def polyfit(x: Array, y: Array, deg: int, rcond: float | None = None, *, w: Array = None) -> Array:
    """The coefficients, the highest power first, of the polynomial of least squares through the points (x, y).

    >>> polyfit(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 5.0]), 2).round(9) + 0
    array([1., 0., 1.])

    Args:
        x: the places, a vector.
        y: the values; a column for each of several fits.
        deg: the degree, an integer.
        rcond: singular values below this part of the largest count as 0.
        w: weights of the residuals, not of their squares.
    """
    columns = vander(x, deg + 1)
    if w is not None:
        columns, y = columns * expand_dims(w, 1), y * (w if np.ndim(y) == 1 else expand_dims(w, 1))
    scale = sqrt(sum(columns * columns, 0))
    rcond = np.shape(x)[0] * np.finfo(columns.dtype).eps if rcond is None else rcond
    c = lstsq(columns / scale, y, rcond)[0]
    return c / (scale if np.ndim(c) == 1 else expand_dims(scale, 1))
