"""np.linalg: inverses, decompositions, norms, of a matrix or of a stack of them.

The rules are those of Giles, An extended collection of matrix derivative results, 2008, unless another source is named.
"""

import functools
from collections import namedtuple
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, implements, op, stop_gradient
from minigrad.ops import products, reduce, shape
from minigrad.ops.elementwise import _chosen, abs, conjugate, multiply, power, real, where
from minigrad.ops.products import matmul, outer, tensordot, vecdot
from minigrad.ops.reduce import _largest, _magnitude, _others, max, min, sum
from minigrad.ops.shape import concatenate, expand_dims, matrix_transpose, moveaxis, reshape
from minigrad.shorthand import M, V, composed, in_float32, made_like


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


def _singular_parts(x: Array) -> tuple[Array, Array, Array, Array]:
    """U, the singular values, Vh and det(U) det(Vh); the values are NaN where x is not finite, as det(x) is."""
    x = stop_gradient(x)
    finite = np.all(np.isfinite(x), axis=(-1, -2), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(finite, x, 0))
    return u, np.where(finite[..., 0], s, np.nan), vh, (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


def _but_one(s: Array) -> Array:
    """For each element the product of the others along the last axis."""
    return np.moveaxis(_others(np.moveaxis(s, -1, 0)), 0, -1)


@op()
def _cofactors(x: Array) -> Array:
    """The derivative of the determinant: det(x) times the inverse transposed, and right for a singular x too."""
    u, s, vh, sign = _singular_parts(x)
    return sign * (np.conj(u) * _but_one(s)[..., None, :]) @ np.conj(vh), lambda g: _second_cofactors(x, g)


@op()
def _second_cofactors(x: Array, g: Array) -> Array:
    """The second derivative of the determinant along g, right for a singular x too.

    Of a diagonal x, along e and f: the sum over i != j of e_ii f_jj - e_ij f_ji times the other diagonal elements.
    """
    u, s, vh, sign = _singular_parts(x)
    eye = _eye(s)
    p = _but_one(np.where(eye > 0, 1, s[..., None, :])) * (1 - eye)
    h = _h(u) @ g @ _h(vh)
    h = eye * (p @ np.sum(eye * h, axis=-1, keepdims=True)) - p * _t(h)

    def pullback(f: Array) -> Array:
        b = _t(np.linalg.inv(x))
        bf, bg = b @ _t(f) @ b, b @ _t(g) @ b
        by_f, by_g = (np.sum(a * b, axis=(-1, -2), keepdims=True) for a in (f, g))
        both = by_f * by_g - np.sum(f * bg, axis=(-1, -2), keepdims=True)
        return np.linalg.det(x)[..., None, None] * (both * b - by_g * bf - by_f * bg + bg @ _t(f) @ b + bf @ _t(g) @ b)

    return sign * np.conj(u) @ h @ np.conj(vh), pullback, lambda f: _second_cofactors(x, f)


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
    return made_like(x, np.identity, x.shape[-1], dtype=np.real(x).dtype)


def _phases(v: Array) -> Array:
    """For each column of complex vectors the factor that makes its largest component real and positive."""
    first = np.argmax(np.abs(stop_gradient(v)), axis=-2, keepdims=True)
    numbers = np.reshape(made_like(v, np.arange, np.shape(v)[-2]), (-1, 1))
    top = sum(where(numbers == first, v, 0), axis=-2, keepdims=True)
    return conjugate(top) / abs(top)


@op()
def _by_gaps(m: Array, gaps: Array, size: Array) -> Array:
    """m / gaps, by which vectors turn: NaN where rounding hides the gap, unless m is 0 because no vector is read."""
    near = np.abs(stop_gradient(gaps)) <= 10 * gaps.shape[-1] * np.finfo(gaps.dtype).eps * size
    f = np.where(near, np.where(m == 0, m, np.nan), m / np.where(near, 1, gaps))
    return f, lambda g: _by_gaps(g, gaps, size), lambda g: -_by_gaps(g * f, gaps, size)


def _differences(w: Array) -> Array:
    """Of each element of w along a row and along a column; infinite on the diagonal, where nothing is divided."""
    return np.where(_eye(w) > 0, np.inf, w[..., None, :] - w[..., :, None])


EighResult = namedtuple("EighResult", "eigenvalues eigenvectors")


def _of_eigh(packed: Array) -> tuple[Array, Array]:
    return real(packed[..., 0]), packed[..., 1:]


@op()
def _eigh(x: Array, uplo: str) -> Array:
    """The eigenvalues as the first column, then the eigenvectors: one value, for one decomposition."""
    if isinstance(x, Node):  # not eigh, whose phases are others: both would have to move alike
        w, v = _of_eigh(_eigh(x, uplo))
    else:
        w, v = np.linalg.eigh(x, uplo)  # type: ignore[call-overload]

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gw, gv = g[..., 0], g[..., 1:]
        f = _by_gaps(_h(v) @ gv, _differences(w), _largest(np.abs(w), -1)[..., None])
        s = v @ (f + _eye(v) * gw[..., None, :]) @ _h(v)
        return np.conj(s + _h(s)) / 2

    return np.concatenate([w[..., None], v], axis=-1), pullback


@implements(np.linalg.eigh)
def eigh(x: Array, UPLO: str = "L") -> EighResult:
    """The eigenvalues, ascending, and the eigenvectors, as columns, of a symmetric (Hermitian) matrix.

    >>> eigh(np.array([[2.0]])).eigenvalues
    array([2.])

    The gradient is symmetric, as x is. Where eigenvalues are equal but for rounding, eigenvectors are not determined:
    a gradient through these is NaN, through eigenvalues alone it is one of the subgradients. The largest
    component of a complex eigenvector (the first of several) is real and positive: NumPy's has any phase.
    """
    w, v = _of_eigh(_eigh(x, UPLO))
    return EighResult(w, v * _phases(v) if np.iscomplexobj(v) else v)


eigvalsh = composed(np.linalg.eigvalsh, lambda x, UPLO="L": eigh(x, UPLO).eigenvalues, [[4.0]])


SVDResult = namedtuple("SVDResult", "U S Vh")


def _of_svd(packed: Array, x: Array) -> tuple[Array, Array, Array]:
    m = np.shape(x)[-2]
    return matrix_transpose(packed[..., 1 : m + 1]), real(packed[..., 0]), packed[..., m + 1 :]


@op()
def _svd(x: Array) -> Array:
    """The singular values as the first column, then U transposed, then Vh (Townsend, Differentiating the SVD, 2016)."""
    u, s, vh = _of_svd(_svd(x), x) if isinstance(x, Node) else np.linalg.svd(x, full_matrices=False)
    m, k = u.shape[-2:]

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gs, gu, gv = np.real(g[..., 0]), _t(g[..., 1 : m + 1]), _h(g[..., m + 1 :])
        eye, t, size = _eye(u), s[..., None, :], _largest(s, -1)[..., None]
        utu, vtv = _h(u) @ gu, vh @ gv
        plus = t + _t(t)
        turned = (utu - _h(utu)) * t + _t(t) * (vtv - _h(vtv))
        middle = _by_gaps(turned, _differences(s), size) / (plus + (plus == 0)) + eye * gs[..., None, :]
        if np.iscomplexobj(x):  # the phase that U and Vh share
            middle = middle + _by_gaps(1j * np.imag(utu) * eye, t, size)
        h = u @ middle @ vh
        if m > k:
            h = h + _by_gaps(gu - u @ utu, t, size) @ vh
        if vh.shape[-1] > k:
            h = h + u @ _h(_by_gaps(gv - _h(vh) @ vtv, t, size))
        return np.conj(h)

    return np.concatenate([s[..., None], _t(u), vh], axis=-1), pullback


@implements(np.linalg.svd)
def svd(x: Array, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The thin decomposition x = U * S @ Vh: orthonormal columns, singular values, orthonormal rows.

    >>> svd(np.array([[3.0], [4.0]]), full_matrices=False).S
    array([5.])

    Where singular values are equal but for rounding, or 0, U and Vh are not determined: a gradient through these is
    NaN, through S alone it is one of the subgradients. The largest component of a complex column of U
    (the first of several) is real and positive: NumPy's has any phase.
    """
    m, n = np.shape(x)[-2:]
    if full_matrices and compute_uv and m != n:
        raise TypeError(
            f"svd of a matrix of shape {(m, n)}: its full U or Vh has columns that x does not determine, and no "
            "derivative; write svd(x, full_matrices=False)"
        )
    packed = _svd(x)
    if not compute_uv:
        return real(packed[..., 0])
    u, s, vh = _of_svd(packed, x)
    if np.iscomplexobj(u):
        p = _phases(u)
        u, vh = u * p, conjugate(matrix_transpose(p)) * vh
    return SVDResult(u, s, vh)


svdvals = composed(np.linalg.svdvals, lambda x: svd(x, compute_uv=False), [[4.0]])


@op(np.linalg.pinv)
def pinv(x: Array, rcond: float | None = None) -> Array:
    """The pseudo-inverse, of a matrix whose rank does not change nearby.

    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])

    Singular values below rcond times the largest count as 0. Golub and Pereyra, SIAM Journal on Numerical Analysis 10,
    1973.
    """
    p = np.linalg.pinv(x) if rcond is None else np.linalg.pinv(x, rcond)

    def pullback(g: Array) -> Array:
        g, px, xp = np.conj(g), p @ x, x @ p
        h = -_h(p) @ g @ _h(p)
        h = h + (_h(g) - xp @ _h(g)) @ p @ _h(p) + _h(p) @ p @ (_h(g) - _h(g) @ px)
        return np.conj(h)

    return p, pullback


@implements(np.linalg.lstsq)
def lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Array, Array, Array, Array]:
    """The shortest x for which a @ x is nearest to b; the sums of squares that are left, the rank, the singular values.

    >>> lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]))[0]
    array([2.])

    Args:
        a: shape (m, n), of a rank that does not change nearby.
        b: shape (m,), or a column for each x.
        rcond: singular values below this part of the largest count as 0; by default max(m, n) times eps.

    For m > n the sums of squares are there where the rank is below n too, unlike NumPy's: a shape depends on no value.
    """
    m, n = np.shape(a)
    s = svdvals(a)
    rcond = np.maximum(m, n) * np.finfo(s.dtype).eps if rcond is None else rcond
    x = matmul(pinv(a, rcond), b)
    left = np.zeros_like(s[:0])
    if m > n:
        d = b - matmul(a, x)
        left = sum(real(d * conjugate(d)), axis=0, keepdims=np.ndim(d) == 1)
    return x, left, np.sum(stop_gradient(s) > rcond * stop_gradient(s)[:1]), s


QRResult = namedtuple("QRResult", "Q R")


@op()
def _qr(x: Array) -> Array:
    """Q above R, for a matrix that is not wide (Walter and Lehmann, arXiv 1001.1654, 2010)."""
    q, r = np.linalg.qr(x)
    m = q.shape[-2]

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gq, gr = g[..., :m, :], g[..., m:, :]
        size = np.abs(stop_gradient(np.diagonal(r, 0, -2, -1)))
        near = np.any(size <= 10 * m * np.finfo(size.dtype).eps * _largest(size, -1), axis=-1)[..., None, None]
        s = np.triu(gr @ _h(r) - _h(q) @ gq)
        s = s - _diagonal_only(s) / 2
        return np.conj(_h(np.linalg.solve(np.where(near, np.nan, r), _h(gq + q @ (s + _h(s))))))

    return np.concatenate([q, r], axis=-2), pullback


@implements(np.linalg.qr)
def qr(x: Array, mode: str = "reduced") -> Any:
    """The decomposition x = Q @ R: orthonormal columns, and an upper triangle; R alone in the mode r.

    >>> qr(np.array([[3.0], [4.0]])).R
    array([[-5.]])

    The gradient is NaN where the columns of x (of a wide x, the first ones) are dependent but for rounding: Q is not
    determined there. The mode complete is for matrices that are not tall.
    """
    m, n = np.shape(x)[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        why = "has columns that x does not determine, and no derivative" if mode == "complete" else "has no derivative"
        raise TypeError(f"qr of a matrix of shape {(m, n)}: the mode {mode!r} {why}; write qr(x), or qr(x, mode='r')")
    packed = _qr(x[..., : m if m < n else n])
    q, r = packed[..., :m, :], packed[..., m:, :]
    if m < n:
        r = concatenate([r, matmul(conjugate(matrix_transpose(q)), x[..., m:])], -1)
    return r if mode == "r" else QRResult(q, r)


EigResult = namedtuple("EigResult", "eigenvalues eigenvectors")


def _of_eig(packed: Array) -> tuple[Array, Array]:
    return packed[..., 0], packed[..., 1:]


@op()
def _eig(x: Array) -> Array:
    """The eigenvalues as the first column, then the eigenvectors, all complex.

    dV = V C with c_jk = (V^-1 dx V)_jk / (w_k - w_j) for j != k (Magnus, Econometric Theory 1, 1985), and a real c_kk
    that keeps the length of v_k; `eig` sees to its phase.
    """
    w, v = _of_eig(_eig(x)) if isinstance(x, Node) else np.linalg.eig(x)

    def pullback(g: Array) -> Array:
        g = np.conj(g)
        gw, gv = g[..., 0], g[..., 1:]
        gv = gv - v * np.real(np.sum(np.conj(v) * gv, axis=-2, keepdims=True))
        gaps, size = np.conj(_differences(w)), _largest(np.abs(w), -1)[..., None]
        f = _by_gaps(_h(v) @ gv, gaps, size) + _eye(v) * gw[..., None, :]
        return np.conj(np.linalg.solve(_h(_independent(v)), f) @ _h(v))

    return np.concatenate([w[..., None], v], axis=-1) + 0j, pullback


def _independent(v: Array) -> Array:
    """Vectors, NaN where they are so near to dependent that nothing is left of their inverse: at a defective matrix."""
    s = np.linalg.svd(stop_gradient(v), compute_uv=False)
    return np.where((s[..., -1:] <= 10 * np.finfo(s.dtype).eps ** 0.5 * s[..., :1])[..., None], np.nan, v)


@implements(np.linalg.eig)
def eig(x: Array) -> EigResult:
    """The eigenvalues and the eigenvectors, as columns, of a square matrix; complex, also where NumPy's are real.

    >>> eig(np.array([[2.0]])).eigenvalues
    array([2.+0.j])

    An eigenvector has length 1, and its largest component (the first of several) is real: NumPy's convention. The order
    of the eigenvalues is NumPy's, too. A gradient through eigenvectors is NaN where eigenvalues are equal but for
    rounding, and so is every gradient where the matrix is defective, or so near to it that few digits are left.
    """
    w, v = _of_eig(_eig(x))
    p = _phases(v)
    p = p * np.sign(np.real(stop_gradient(p)))  # NumPy's is negative as well
    return EigResult(w, v * p)


eigvals = composed(np.linalg.eigvals, lambda x: eig(x).eigenvalues, [[4.0]])


@implements(np.linalg.cond)
def cond(x: Array, p: Any = None) -> Array:
    """The condition number in the norm p, by default the largest singular value divided by the smallest.

    >>> float(cond(np.array([[2.0, 0.0], [0.0, 1.0]])))
    2.0
    """
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


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
@in_float32
def _length(x: Array) -> Array:
    """The Euclidean norm of the vectors along the last axis, its gradient 0 at 0."""
    scale = _magnitude(x, -1)
    r = np.linalg.norm(x / scale, axis=-1)[..., None] * scale
    return r[..., 0], lambda g: g[..., None] * _chosen(np.conj(x) / (r + (r == 0)), r)


@implements(np.linalg.norm)
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors (ord None, 2, 1, inf, -inf, 0, p) or matrices (None, 'fro', 'nuc', 2, -2, 1, -1, inf, -inf).

    >>> float(norm(np.array([3.0, 4.0])))
    5.0

    At 0 the gradient is 0, a subgradient, and a second derivative is NaN.
    """
    if getattr(x, "dtype", np.dtype(int)).kind not in "fc":
        x = multiply(x, 1.0)  # a norm of integers is a floating-point number
    axes = tuple(range(np.ndim(x))) if axis is None else (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
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
    if ord == 0:
        return np.sum(x != 0, axis=-1, dtype=np.real(stop_gradient(x)).dtype)
    if ord == 1:
        return sum(abs(x), -1)
    scale = _magnitude(x, -1)
    total = sum(power(abs(x / scale), ord), -1)
    return (power(total + (total == 0), 1 / ord) - (total == 0)) * scale[..., 0]


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
