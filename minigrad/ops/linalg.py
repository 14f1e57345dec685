"""np.linalg: inverses, decompositions, norms, of a matrix or of a stack of them.

The rules are those of Giles, An extended collection of matrix derivative results, 2008, unless another source is named.
"""

import functools
from collections import namedtuple
from typing import Any

import numpy as np

from minigrad.engine import Array, implements, op, stop_gradient
from minigrad.ops import products, reduce, shape
from minigrad.ops.elementwise import abs, power, real
from minigrad.ops.products import matmul, outer, tensordot, vecdot
from minigrad.ops.reduce import max, min, sum
from minigrad.ops.shape import expand_dims, matrix_transpose, moveaxis, reshape
from minigrad.shorthand import M, V, composed


def _t(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _h(x: Array) -> Array:
    return np.conj(np.swapaxes(x, -1, -2))


trace = composed(np.linalg.trace, lambda x, /, *, offset=0: reduce.trace(x, offset, -2, -1), M)


diagonal = composed(np.linalg.diagonal, lambda x, /, *, offset=0: shape.diagonal(x, offset, -2, -1), M)


cross = composed(np.linalg.cross, lambda x, y, /, *, axis=-1: products.cross(x, y, axis=axis), V, [1.0, 0.0, 0.0])


@op(np.linalg.inv)
def inv(x: Array) -> Array:
    """The inverse of a matrix.

    >>> inv(np.array([[2.0]]))
    array([[0.5]])
    """
    y = np.linalg.inv(x)
    return y, lambda g: -_t(y) @ g @ _t(y)


@op(np.linalg.solve)
def solve(a: Array, b: Array) -> Array:
    """The x for which a @ x = b; b is a vector, or has a column for each x.

    >>> solve(np.array([[2.0]]), np.array([4.0]))
    array([2.])
    """
    x = np.linalg.solve(a, b)
    if b.ndim == 1:
        return x, lambda g: -np.linalg.solve(_t(a), g[..., None]) * x[..., None, :], lambda g: _solved(a, g)
    return x, lambda g: -np.linalg.solve(_t(a), g) @ _t(x), lambda g: np.linalg.solve(_t(a), g)


def _solved(a: Array, g: Array) -> Array:
    return np.linalg.solve(_t(a), g[..., None])[..., 0]


@op(np.linalg.det)
def det(x: Array) -> Array:
    """The determinant.

    >>> float(det(np.array([[2.0]])))
    2.0
    """
    return np.linalg.det(x), lambda g: g[..., None, None] * _cofactors(x)


@op()
def _cofactors(x: Array) -> Array:
    """The derivative of the determinant: det(x) times the inverse transposed, and right for a singular x too."""
    u, s, vh = np.linalg.svd(stop_gradient(x))
    others = np.stack([np.prod(np.delete(s, k, -1), -1) for k in range(s.shape[-1])], -1) if s.shape[-1] else s
    sign = np.linalg.det(u) * np.linalg.det(vh)
    value = np.conj((u * (np.conj(sign)[..., None] * others)[..., None, :]) @ vh)

    def pullback(g: Array) -> Array:
        b = _t(np.linalg.inv(x))
        c = np.linalg.det(x)[..., None, None] * b
        return np.sum(g * c, axis=(-1, -2), keepdims=True) * b - c @ _t(g) @ b

    return value, pullback


SlogdetResult = namedtuple("SlogdetResult", "sign logabsdet")


@op()
def _logabsdet(x: Array) -> Array:
    return np.linalg.slogdet(x)[1], lambda g: g[..., None, None] * _t(np.linalg.inv(x))


@implements(np.linalg.slogdet)
def slogdet(x: Array) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value, without overflow.

    >>> [float(part) for part in slogdet(np.array([[-1.0]]))]
    [-1.0, 0.0]
    """
    if np.iscomplexobj(x):
        raise TypeError("slogdet of a complex matrix has a sign that varies; use d = mg.linalg.det(x), log(abs(d))")
    return SlogdetResult(np.linalg.slogdet(stop_gradient(x))[0], _logabsdet(x))


@op(np.linalg.cholesky)
def cholesky(x: Array) -> Array:
    """The lower triangular L with L @ L^H = x, for a symmetric (Hermitian) positive definite x.

    >>> cholesky(np.array([[4.0]]))
    array([[2.]])

    The gradient is symmetric, as x is (Murray, Differentiation of the Cholesky decomposition, 2016).
    """
    L = np.linalg.cholesky(x)

    def pullback(g: Array) -> Array:
        p = np.tril(_h(L) @ np.conj(g))
        p = p - _diagonal_only(p) / 2
        s = np.linalg.solve(_h(L), _h(np.linalg.solve(_h(L), _h(p))))
        return np.conj(s + _h(s)) / 2

    return L, pullback


def _diagonal_only(x: Array) -> Array:
    return np.tril(np.triu(x))


def _eye(x: Array) -> Array:
    """The unit matrix of the columns of x."""
    n, dtype = x.shape[-1], np.real(x).dtype
    return np.tri(n, dtype=dtype) - np.tri(n, k=-1, dtype=dtype)


EighResult = namedtuple("EighResult", "eigenvalues eigenvectors")


@op()
def _eigh(x: Array, uplo: str) -> Array:
    """The eigenvalues as the first column, then the eigenvectors: one value, for one decomposition."""
    w, v = np.linalg.eigh(x, uplo)  # type: ignore[call-overload]

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gw, gv = g[..., 0], g[..., 1:]
        gaps = w[..., None, :] - w[..., :, None]
        f = _h(v) @ gv * (gaps != 0) / (gaps + (gaps == 0))
        s = v @ (f + _eye(v) * gw[..., None, :]) @ _h(v)
        return np.conj(s + _h(s)) / 2

    return np.concatenate([w[..., None], v], axis=-1), pullback


@implements(np.linalg.eigh)
def eigh(x: Array, UPLO: str = "L") -> EighResult:
    """The eigenvalues, ascending, and the eigenvectors, as columns, of a symmetric (Hermitian) matrix.

    >>> eigh(np.array([[2.0]])).eigenvalues
    array([2.])

    The gradient is symmetric, as x is. That of the eigenvectors is finite where the eigenvalues differ.
    """
    packed = _eigh(x, UPLO)
    return EighResult(real(packed[..., 0]), packed[..., 1:])


eigvalsh = composed(np.linalg.eigvalsh, lambda x, UPLO="L": eigh(x, UPLO).eigenvalues, [[4.0]])


SVDResult = namedtuple("SVDResult", "U S Vh")


@op()
def _svd(x: Array) -> Array:
    """The singular values as the first column, then U transposed, then Vh (Townsend, Differentiating the SVD, 2016)."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    m, k = u.shape[-2:]

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gs, gu, gv = np.real(g[..., 0]), _t(g[..., 1 : m + 1]), _h(g[..., m + 1 :])
        eye, t = _eye(u), (s + (s == 0))[..., None, :]
        gaps = (t - _t(t)) * (t + _t(t))
        gaps = gaps + (gaps == 0)
        utu, vtv = _h(u) @ gu, vh @ gv
        middle = (utu - _h(utu)) / gaps * t + _t(t) * ((vtv - _h(vtv)) / gaps) + eye * gs[..., None, :]
        if np.iscomplexobj(x):  # the phase that U and Vh share
            middle = middle * (1 - eye) + eye * (gs[..., None, :] + 1j * np.imag(utu) / t)
        h = u @ middle @ vh
        if m > k:
            h = h + (gu - u @ utu) / t @ vh
        if vh.shape[-1] > k:
            h = h + u @ _h((gv - _h(vh) @ vtv) / t)
        return np.conj(h)

    return np.concatenate([s[..., None], _t(u), vh], axis=-1), pullback


@implements(np.linalg.svd)
def svd(x: Array, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The thin decomposition x = U * S @ Vh: orthonormal columns, singular values, orthonormal rows.

    >>> svd(np.array([[3.0], [4.0]]), full_matrices=False).S
    array([5.])

    The gradient is finite where the singular values differ and are not 0.
    """
    m, n = np.shape(x)[-2:]
    if full_matrices and compute_uv and m != n:
        raise TypeError("svd of a matrix that is not square needs full_matrices=False: full ones have no derivative")
    packed = _svd(x)
    s = real(packed[..., 0])
    if not compute_uv:
        return s
    return SVDResult(matrix_transpose(packed[..., 1 : m + 1]), s, packed[..., m + 1 :])


svdvals = composed(np.linalg.svdvals, lambda x: svd(x, compute_uv=False), [[4.0]])


@op(np.linalg.pinv)
def pinv(x: Array) -> Array:
    """The pseudo-inverse, of a matrix whose rank does not change nearby.

    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])

    Golub and Pereyra, SIAM Journal on Numerical Analysis 10, 1973.
    """
    p = np.linalg.pinv(x)

    def pullback(g: Array) -> Array:
        g, px, xp = np.conj(g), p @ x, x @ p
        h = -_h(p) @ g @ _h(p)
        h = h + (_h(g) - xp @ _h(g)) @ p @ _h(p) + _h(p) @ p @ (_h(g) - _h(g) @ px)
        return np.conj(h)

    return p, pullback


@implements(np.linalg.matrix_power)
def matrix_power(x: Array, n: int) -> Array:
    """A square matrix multiplied by itself, n times; its inverse where n is negative.

    >>> matrix_power(np.array([[2.0]]), 3)
    array([[8.]])
    """
    if n < 0:
        return matrix_power(inv(x), -n)
    if n < 2:
        return x if n else x * 0 + _eye(x)
    half = matrix_power(matmul(x, x), n // 2)
    return matmul(half, x) if n % 2 else half


multi_dot = composed(np.linalg.multi_dot, lambda arrays: functools.reduce(matmul, arrays), [[[4.0]], [[2.0]], [[3.0]]])


@op()
def _length(x: Array) -> Array:
    """The Euclidean norm of the vectors along the last axis, its gradient 0 at 0."""
    r = np.linalg.norm(x, axis=-1)
    return r, lambda g: (g / (r + (r == 0)))[..., None] * np.conj(x)


@implements(np.linalg.norm)
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors (ord None, 2, 1, inf, -inf, 0, p) or matrices (None, 'fro', 'nuc', 2, -2, 1, -1, inf, -inf).

    >>> float(norm(np.array([3.0, 4.0])))
    5.0

    At 0 the gradient is 0, a subgradient.
    """
    axes = tuple(range(np.ndim(x))) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if axis is None and ord is None:
        y = _length(reshape(x, -1))
    elif len(axes) == 1:
        y = _vector_norm(moveaxis(x, axes[0], -1), ord)
    elif len(axes) == 2:
        y = _matrix_norm(moveaxis(x, axes, (-2, -1)), ord)
    else:
        raise ValueError(f"norm needs one axis or two, got {axes} of shape {np.shape(x)}")
    return expand_dims(y, axes) if keepdims else y


def _vector_norm(x: Array, ord: Any) -> Array:
    if ord in (None, 2):
        return _length(x)
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(abs(x), -1)
    if ord in (0, 1):
        return sum(abs(x) if ord else x != 0, -1)
    total = sum(power(abs(x), ord), -1)
    return power(total + (total == 0), 1 / ord) - (total == 0)


def _matrix_norm(x: Array, ord: Any) -> Array:
    if ord in (None, "fro"):
        return _length(reshape(x, (*np.shape(x)[:-2], np.shape(x)[-2] * np.shape(x)[-1])))
    if ord in ("nuc", 2, -2):
        return {"nuc": sum, 2: max, -2: min}[ord](svdvals(x), axis=-1)
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(f"norm of a matrix has ord None, 'fro', 'nuc', 2, -2, 1, -1, inf or -inf, got {ord!r}")
    return (max if ord > 0 else min)(sum(abs(x), axis=-2 if ord in (1, -1) else -1), axis=-1)


@implements(np.linalg.vector_norm)
def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """The norm of x as one vector, or of the vectors along an axis.

    >>> float(vector_norm(np.array([[3.0, 4.0]])))
    5.0
    """
    y = norm(reshape(x, -1), ord) if axis is None else norm(x, ord, axis)
    return expand_dims(y, tuple(range(np.ndim(x))) if axis is None else axis) if keepdims else y


matrix_norm = composed(np.linalg.matrix_norm, lambda x, /, *, ord="fro", **how: norm(x, ord, (-2, -1), **how), [[4.0]])
