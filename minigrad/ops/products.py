"""Products of arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, implements, op
from minigrad.ops.elementwise import conjugate, multiply
from minigrad.ops.reduce import sum
from minigrad.ops.shape import diagonal, expand_dims, moveaxis, reshape, roll, transpose
from minigrad.shorthand import V, composed

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@op(np.matmul, np.linalg.matmul)
def matmul(x: Array, y: Array) -> Array:
    """The matrix product x @ y, with all of np.matmul's cases.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([3.0, 4.0]))
    array([11.])

    Shapes: (n) @ (n) is a number; (..., m, n) @ (n) is (..., m); (n) @ (..., n, p) is (..., p);
    (..., m, n) @ (..., n, p) gives (..., m, p), the leading axes broadcast.
    """
    z, n, m = x @ y, x.ndim, y.ndim
    if n == m == 1:
        return z, y, x
    if m == 1:
        if n == 2:
            return z, lambda g: g[:, None] * y, lambda g: +g @ x  # BLAS wants no number that is only repeated
        return z, lambda g: g[..., None] * y, lambda g: np.sum(g[..., None] * x, axis=-2)
    if n == 1:
        if m == 2:
            return z, lambda g: y @ +g, lambda g: x[:, None] * g
        return z, lambda g: np.sum(y * g[..., None, :], axis=-1), lambda g: x[:, None] * g[..., None, :]
    return z, lambda g: g @ np.swapaxes(y, -1, -2), lambda g: np.swapaxes(x, -1, -2) @ g


@implements(np.tensordot)
def tensordot(x: Array, y: Array, axes: Any = 2) -> Array:
    """The sum of products over axes of both: the last of x with the first of y, or the pairs given.

    >>> tensordot(np.ones((2, 3)), np.ones((3, 4)), 1).shape
    (2, 4)
    """
    n, m = np.ndim(x), np.ndim(y)
    ours, theirs = (range(n - axes, n), range(axes)) if isinstance(axes, int | np.integer) else axes
    ours, theirs = (
        [k % r for k in ([ks] if isinstance(ks, int | np.integer) else ks)] for ks, r in ((ours, n), (theirs, m))
    )
    if [np.shape(x)[k] for k in ours] != [np.shape(y)[k] for k in theirs]:
        raise ValueError(f"tensordot of {np.shape(x)} and {np.shape(y)} over axes {axes}: their lengths differ")
    left, right = ([k for k in range(r) if k not in ks] for r, ks in ((n, ours), (m, theirs)))
    before, after = [np.shape(x)[k] for k in left], [np.shape(y)[k] for k in right]
    inside = int(np.prod([np.shape(x)[k] for k in ours]))
    rows = reshape(transpose(x, (*left, *ours)), (int(np.prod(before)), inside))
    columns = reshape(transpose(y, (*theirs, *right)), (inside, int(np.prod(after))))
    return reshape(matmul(rows, columns), (*before, *after))


implements(np.linalg.tensordot)(tensordot)


@implements(np.dot)
def dot(x: Array, y: Array) -> Array:
    """The product over the last axis of x and the last but one of y (the only one of a vector).

    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    n, m = np.ndim(x), np.ndim(y)
    if n == 0 or m == 0:
        return multiply(x, y)
    return matmul(x, y) if m <= 2 else tensordot(x, y, (n - 1, m - 2))


inner = composed(
    np.inner, lambda x, y: tensordot(x, y, (-1, -1)) if np.ndim(x) and np.ndim(y) else multiply(x, y), V, V
)


vdot = composed(np.vdot, lambda x, y: matmul(conjugate(reshape(x, -1)), reshape(y, -1)), V, V)


vecdot = composed(np.vecdot, lambda x, y, axis=-1: sum(multiply(conjugate(x), y), axis=axis), V, V)


implements(np.linalg.vecdot)(vecdot)


matvec = composed(np.matvec, lambda x, v: matmul(x, expand_dims(v, -1))[..., 0], [[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0])


vecmat = composed(
    np.vecmat, lambda v, x: matmul(expand_dims(conjugate(v), -2), x)[..., 0, :], [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]
)


outer = composed(np.outer, lambda x, y: multiply(reshape(x, (-1, 1)), reshape(y, -1)), V, V)


implements(np.linalg.outer)(outer)


@implements(np.kron)
def kron(x: Array, y: Array) -> Array:
    """The Kronecker product: every element of x times the whole of y.

    >>> kron(np.array([1.0, 10.0]), np.array([1.0, 2.0]))
    array([ 1.,  2., 10., 20.])
    """
    n = max(np.ndim(x), np.ndim(y))
    left, right = ((1,) * (n - np.ndim(a)) + np.shape(a) for a in (x, y))
    x, y = reshape(x, tuple(k for n in left for k in (n, 1))), reshape(y, tuple(k for n in right for k in (1, n)))
    return reshape(multiply(x, y), tuple(n * m for n, m in zip(left, right)))


@implements(np.cross)
def cross(x: Array, y: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    """The cross product of vectors of three elements.

    >>> cross(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    array([0., 0., 1.])
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if np.shape(x)[-1:] != (3,) or np.shape(y)[-1:] != (3,):
        raise ValueError(f"cross needs vectors of three elements, got shapes {np.shape(x)} and {np.shape(y)}")
    z = roll(x, -1, -1) * roll(y, -2, -1) - roll(x, -2, -1) * roll(y, -1, -1)
    return moveaxis(z, -1, axisc)


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the output of an einsum, ellipses and an implied output written out."""
    inputs, arrow, output = subscripts.replace(" ", "").replace("...", ".").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum {subscripts!r} needs {len(terms)} operands, got {len(ndims)}")
    free = [c for c in LETTERS if c not in subscripts]
    rest = [free[: n - len(term) + 1][::-1] if "." in term else [] for term, n in zip(terms, ndims)]
    everywhere = "".join(free[: max(map(len, rest))][::-1])  # the axes under the ellipses, aligned on the right
    if not arrow:
        once = sorted(c for c in set(inputs) - {",", "."} if inputs.count(c) == 1)
        output = "." * ("." in inputs) + "".join(once)
    return [t.replace(".", "".join(r)) for t, r in zip(terms, rest)], output.replace(".", everywhere)


@implements(np.einsum)
def einsum(subscripts: Any, *operands: Any, optimize: Any = False) -> Array:
    """Einstein's sum over the letters that the output lacks, in each of np.einsum's forms.

    >>> einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    if not isinstance(subscripts, str):  # einsum(x, [0, 1], y, [1, 2], [0, 2])
        pairs = [subscripts, *operands]
        last = [pairs.pop()] if len(pairs) % 2 else []
        operands = tuple(pairs[::2])
        words = ["".join("..." if k is ... else LETTERS[k] for k in ks) for ks in pairs[1::2] + last]
        subscripts = "->".join([",".join(words[: len(operands)]), *words[len(operands) :]])
    terms, output = _explicit(subscripts, [np.ndim(x) for x in operands])
    arrays = list(operands)
    for i, term in enumerate(terms):
        while repeated := [c for c in term if term.count(c) > 1]:  # a diagonal, taken first
            j = term.index(repeated[0])
            k = term.index(repeated[0], j + 1)
            arrays[i] = diagonal(arrays[i], 0, j, k)
            term = term[:j] + term[j + 1 : k] + term[k + 1 :] + repeated[0]
        terms[i] = term
    return _einsum(*arrays, terms=tuple(terms), output=output, optimize=optimize)


@op()
def _einsum(*operands: Array, terms: tuple[str, ...], output: str, optimize: Any) -> Array:
    def pullback(i: int) -> Any:
        x, term = operands[i], terms[i]
        others = [k for k in range(len(terms)) if k != i]
        known = [c for c in term if c in output or any(c in terms[k] for k in others)]
        formula = ",".join([output, *(terms[k] for k in others)]) + "->" + "".join(known)

        def pulled(g: Array) -> Array:
            h = np.einsum(formula, g, *(operands[k] for k in others), optimize=optimize)
            h = expand_dims(h, tuple(k for k, c in enumerate(term) if c not in known))  # summed over in x alone
            return np.broadcast_to(h, np.broadcast_shapes(h.shape, x.shape))

        return pulled

    value = np.einsum(f"{','.join(terms)}->{output}", *operands, optimize=optimize)
    return value, *(pullback(i) for i in range(len(operands)))
