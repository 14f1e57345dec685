"""The table: every op on every kind of argument it takes, beside the NumPy function it must agree with.

What reads it: the forward comparison, the numeric check of first and second order, the check of float32, the planted
faults, and the run on a foreign array type. An op is covered by adding one line here.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special

import minigrad as mg
from minigrad import ops
from minigrad.ops import special
from minigrad.ops.calculus import _convolved
from minigrad.ops.elementwise import _chosen
from minigrad.ops.linalg import _by_gaps, _cofactors, _eig, _eigh, _length, _logabsdet, _qr, _second_cofactors, _svd
from minigrad.ops.products import _einsum
from minigrad.ops.reduce import _evenly, _part
from minigrad.ops.shape import _concatenate, _pad
from minigrad.shorthand import made_like
from minigrad.trees import leaves

rng = np.random.default_rng(1847)
ALL, L, M, NOTHING = slice(None), [0, 2, 2], np.array([[True, False, True], [False, True, True]]), slice(0, 0)


class Case(NamedTuple):
    """What is called on what; `like` takes the same arguments and gives the same value by other means."""

    op: Callable[..., Any]
    like: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    via: Callable[..., Any] | None = None  # what makes of the first argument one that the op is defined on
    analytic: bool = True  # is its value on complex numbers the continuation of that on real ones?

    def __call__(self, *args: Any) -> Any:
        return self.op(*self.prepared(args), **self.kwargs)

    def prepared(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self.via is None else (self.via(args[0]), *args[1:])

    def expected(self) -> Any:
        return self.like(*self.prepared(self.args), **self.kwargs)

    def of_parts(self, f: Callable[..., Any]) -> tuple[Callable[..., Any], list[Any]]:
        """f of these arguments as a function of real arrays, with real values: complex ones in their two parts."""
        if self.analytic:
            return f, list(self.args)

        def of_real(*parts: Any) -> Any:
            if any(getattr(x, "dtype", np.dtype(int)).kind == "c" for x in leaves(parts)):
                raise TypeError("not analytic: its derivative is not that of its value on complex numbers")
            y = f(*(x if type(x) is not dict else x["re"] + 1j * x["im"] for x in parts))
            return (np.real(y), np.imag(y)) if np.iscomplexobj(y) else y

        return of_real, [
            {"re": x.real.copy(), "im": x.imag.copy()} if getattr(x, "dtype", None) in (complex,) else x
            for x in self.args
        ]

    def __str__(self) -> str:
        shapes = [str(getattr(x, "shape", x)).replace(" ", "") for x in leaves(self.args)]
        return "-".join([self.op.__name__, *shapes, *(f"{key}={value}" for key, value in self.kwargs.items())])


def case(op: Callable[..., Any], like: Callable[..., Any], *args: Any, **kwargs: Any) -> Case:
    return Case(op, like, args, kwargs)


def flat(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of several values, with all of them in one vector."""

    @functools.wraps(f)
    def vector(*args: Any, **kwargs: Any) -> Any:
        return np.concatenate([np.ravel(y) for y in leaves(f(*args, **kwargs))])

    return vector


def named(name: str, *args: Any, **kwargs: Any) -> Case:
    """The op that has NumPy's name, beside NumPy's; with a star, one of several values."""
    ours, theirs = (operator.attrgetter(name.strip("*"))(module) for module in (mg, np))
    special = {"via": kwargs.pop("via", None), "analytic": kwargs.pop("analytic", True)}
    if "*" in name:
        ours, theirs = flat(ours), flat(theirs)
    if name.startswith(("fft", "linalg")) or any(getattr(x, "dtype", None) in (complex,) for x in args):
        special["analytic"] = False
    return Case(ours, theirs, args, kwargs, **special)


# arguments: of any sign, positive, and with neither ties nor zeros nor equal magnitudes


def a(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(-2, 2, shape))


def pos(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 2, shape))


def apart(*shape: int) -> np.ndarray:
    n = int(np.prod(shape))
    return np.asarray((rng.permutation(n) - n // 2 + 0.3) / max(n, 1)).reshape(shape)


def z(*shape: int) -> np.ndarray:
    return np.asarray(a(*shape) + 1j * a(*shape))


def sym(x: Any) -> Any:
    return (x + np.conj(np.swapaxes(x, -1, -2))) / 2


#: A matrix with a pair of complex eigenvalues and a real one.
ROTATING = np.array([[1.0, 2.0, 0.3], [-2.0, 1.5, 0.2], [0.1, 0.3, -1.0]])


def spd(x: Any) -> Any:
    return x @ np.conj(np.swapaxes(x, -1, -2)) + made_like(x, np.identity, x.shape[-1], dtype=x.dtype)


# the ops that NumPy does not have, by their textbook formulas in extended precision


def wide(x: Any) -> np.ndarray:
    return np.asarray(x, np.longdouble)


def sigmoid(x: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-wide(x)))


def softmax(x: Any, axis: int = -1) -> np.ndarray:
    e = np.exp(wide(x))
    return e / e.sum(axis=axis, keepdims=True)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    return np.log(np.exp(wide(x)).sum(axis=axis, keepdims=keepdims))


def log_softmax(x: Any, axis: int = -1) -> np.ndarray:
    return wide(x) - logsumexp(x, axis, keepdims=True)


def cross_entropy(z: Any, classes: Any) -> np.ndarray:
    rows = -log_softmax(z).reshape(-1, np.shape(z)[-1])
    return np.mean([row[c] for row, c in zip(rows, np.ravel(classes), strict=True)])


def without(mask: Any, x: Any) -> np.ndarray:
    return np.where(mask, x, -np.inf)


def gelu(x: Any, approximate: str = "none") -> np.ndarray:
    if approximate == "tanh":
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    return x * (1 + scipy.special.erf(x / np.sqrt(2))) / 2


@functools.wraps(mg.full_like)
def filled_like(value: Any, x: Any, **how: Any) -> Any:
    return mg.full_like(x, value, **how)


def scatter_add(g: Any, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.arange(int(np.prod(shape))).reshape(shape)[index]  # which element each part of g goes to
    return np.bincount(np.ravel(numbers), np.ravel(g), int(np.prod(shape))).reshape(shape)


def huber(y: Any, target: Any, delta: Any = 1.0) -> Any:
    r = np.abs(y - target)
    return np.mean(np.where(r < delta, r**2 / 2, delta * (r - delta / 2)))


def scatter_windows(g: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, np.asarray(g).dtype)
    numbers = np.lib.stride_tricks.sliding_window_view(np.arange(out.size).reshape(shape), g.shape[len(shape) :], axes)
    np.add.at(out.reshape(-1), numbers, g)
    return out


def scatter_rows(g: Any, ids: Any, shape: tuple[int, ...]) -> np.ndarray:
    return scatter_add(g, np.asarray(ids), shape)


def second_cofactors(x: Any, g: Any) -> np.ndarray:
    b = np.linalg.inv(x).T
    return np.asarray(np.linalg.det(x) * (np.sum(g * b) * b - b @ g.T @ b))


def at(how: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """t.at[index].set, .add or .multiply, and NumPy's way in place."""

    def ours(x: Any, v: Any, index: Any) -> Any:
        return getattr(ops.At(x)[index], how)(v)

    def theirs(x: Any, v: Any, index: Any) -> Any:
        x = np.copy(x)
        if how == "set":
            x[index] = v
        else:
            getattr(np, how).at(x, index, v)
        return x

    ours.__name__ = f"at.{how}"
    return ours, theirs


IDS = [1, -1, L, (1, 1), np.array([[0, 2], [2, -1]]), np.array([], int)]
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3)]
PAIRS = [
    ((), ()), ((3,), (3,)), ((2, 3), (3,)), ((), (2, 2)), ((2, 1), (1, 3)), ((1,), (1,)), ((3,), (1, 1)),
    ((2, 1, 3), (4, 1)), ((0,), (1,)), ((2, 0), (2, 1)), ((0, 3), ()),
]  # fmt: skip
REDUCTIONS = [
    ((), {}), ((3,), {}), ((2, 3), {}), ((2, 3), {"axis": 0}), ((2, 3), {"axis": -1}),
    ((2, 3), {"axis": 1, "keepdims": True}), ((2, 3), {"keepdims": True}), ((2, 3, 2), {"axis": (0, 2)}),
    ((2, 3, 2), {"axis": (-1, 0), "keepdims": True}), ((1, 3), {"axis": 0}), ((2, 1), {"axis": 1}), ((1,), {}),
    ((0, 3), {"axis": 1}), ((2, 3), {"axis": ()}),
]  # fmt: skip
ALONG = [((3,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), -2), ((2, 1), -1), ((0, 3), 1)]
PRODUCTS = [
    ((3,), (3,)), ((2, 3), (3,)), ((2,), (2, 3)), ((2, 3), (3, 4)), ((2, 2, 3), (3,)), ((2,), (2, 2, 3)),
    ((4, 2, 3), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((1, 2, 3), (4, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)), ((3, 1, 2, 2), (1, 2, 2, 2)), ((1, 1), (1, 1)), ((1,), (1,)), ((0,), (0,)),
    ((2, 0), (0, 3)), ((0, 3), (3,)), ((0, 2, 3), (3, 2)), ((1, 2, 3), (0, 3, 2)),
]  # fmt: skip
INDICES = [
    ((3,), 1), ((3,), -1), ((2, 3), 1), ((2, 3), (1, 2)), ((4,), slice(1, 3)), ((4,), slice(None, None, -1)),
    ((2, 5), (0, slice(4, 0, -2))), ((5,), slice(-2, None)), ((3,), NOTHING), ((0,), ALL), ((), ()), ((), None),
    ((), ...), ((3,), None), ((2, 3), (ALL, None, 1)), ((2, 3), ...), ((2, 3, 2), (..., 0)),
    ((2, 3, 2), (1, ..., None)), ((2, 3), M), ((2, 3), (M[:, 0], ALL)), ((3,), [True, False, True]),
    ((3,), np.zeros(3, bool)), ((2, 3, 2), M), ((2,), np.True_), ((3,), L), ((3,), np.array(L)),
    ((3,), np.array([-1, 2, 0])), ((3,), np.array([[0, 1], [1, 1]])), ((3,), np.array([], int)), ((3,), np.array(1)),
    ((3,), np.int64(2)), ((2, 3), (np.array([0, 1, 1]), np.array([2, 0, 0]))), ((2, 3), (np.array([[0], [1]]), L)),
    ((2, 3), (ALL, L)), ((2, 3), (ALL, (1, 1))), ((2, 3), (1, L)), ((4, 3), (slice(None, None, -1), np.array([0, 0]))),
    ((2, 3, 4), (L[:1], ALL, np.array([1, 1]))), ((2, 3, 2), (..., L[:1], 0)),
    ((2, 3), (None, np.array([1, 1]), slice(2))), ((2, 3), (np.array([True, True]), np.array([1, 1]))),
]  # fmt: skip
STRETCHED = [
    ((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((1, 1), (3, 1)), ((3,), 3), ((), ()), ((1,), (0,)), ((3,), (0, 3)),
]  # fmt: skip


def indexed(shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
    return np.zeros(shape)[index].shape


CASES = [
    *[case(mg.add, np.add, a(*x), a(*y)) for x, y in PAIRS],
    *[case(mg.subtract, np.subtract, a(*x), a(*y)) for x, y in PAIRS],
    *[case(mg.multiply, np.multiply, a(*x), a(*y)) for x, y in PAIRS],
    case(mg.multiply, np.multiply, a(2, 3), M),
    *[case(op, op, a(2, 2), [1, 2]) for op in (np.add, np.multiply, np.divide, np.power, np.maximum)],
    *[case(mg.divide, np.divide, a(*x), pos(*y)) for x, y in PAIRS],
    *[case(mg.power, np.power, pos(*x), a(*y)) for x, y in PAIRS],
    *[case(mg.power, np.power, np.array([0.0, 1.0, -2.0]), n) for n in (0, 1, 2, 3)],
    *[case(mg.power, np.power, np.array([-1.5, 2.0]), n) for n in (-2, -1, np.array([2, 3]), np.array([[-1], [4]]))],
    case(mg.power, np.power, np.array([0, 0, 1, 2]), np.array([1.5, 2.0, 0.5, -1.0])),
    case(mg.power, np.power, 2, a(2)),
    *[case(mg.maximum, np.maximum, apart(*x), apart(*y) - 0.11) for x, y in PAIRS],
    *[case(mg.minimum, np.minimum, apart(*x), apart(*y) - 0.11) for x, y in PAIRS],
    *[case(op, op, a(2, 3), 2) for op in (np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum)],
    *[case(op, op, 3, pos(2, 1)) for op in (np.add, np.subtract, np.multiply, np.divide, np.power, np.minimum)],
    *[case(mg.negative, np.negative, a(*s)) for s in SHAPES],
    *[case(mg.exp, np.exp, a(*s)) for s in SHAPES],
    *[case(mg.log, np.log, pos(*s)) for s in SHAPES],
    *[case(mg.log1p, np.log1p, pos(*s) - 1) for s in SHAPES],
    *[case(mg.tanh, np.tanh, a(*s)) for s in SHAPES],
    *[case(mg.sin, np.sin, a(*s)) for s in SHAPES],
    *[case(mg.cos, np.cos, a(*s)) for s in SHAPES],
    *[case(mg.sqrt, np.sqrt, pos(*s)) for s in SHAPES],
    *[case(mg.square, np.square, a(*s)) for s in SHAPES],
    *[case(mg.abs, np.abs, apart(*s)) for s in SHAPES],
    *[case(mg.sigmoid, sigmoid, a(*s)) for s in SHAPES],
    *[case(mg.relu, lambda m: np.where(m > 0, m, 0), apart(*s)) for s in SHAPES],
    case(mg.where, np.where, M, a(2, 3), a(2, 3)),
    case(mg.where, np.where, M, a(3), a(2, 1)),
    case(mg.where, np.where, M[0], a(), a(2, 1)),
    case(mg.where, np.where, True, a(2), a()),
    case(mg.where, np.where, [True, False], a(2), [1, 2]),
    case(mg.where, np.where, M, a(2, 3), 0),
    case(mg.where, np.where, M, 1, a(1, 3)),
    case(mg.where, np.where, np.zeros((0, 3), bool), a(3), a()),
    *[case(mg.matmul, np.matmul, a(*x), a(*y)) for x, y in PRODUCTS],
    *[case(mg.matmul, np.matmul, a(*x), y) for x, y in [((2,), [[1, 2], [3, 4]]), ((3, 2), [1, 2])]],
    case(mg.matmul, np.matmul, [[1, 2], [3, 4]], a(2, 1)),
    *[case(mg.sum, np.sum, a(*s), **how) for s, how in REDUCTIONS],
    *[case(mg.mean, np.mean, a(*s), **how) for s, how in REDUCTIONS],
    *[case(mg.max, np.max, apart(*s), **how) for s, how in REDUCTIONS],
    *[case(mg.min, np.min, apart(*s), **how) for s, how in REDUCTIONS],
    *[case(mg.logsumexp, logsumexp, a(*s), **how) for s, how in REDUCTIONS],
    *[case(mg.sum, np.sum, a(*s)) for s in [(0,), (2, 0)]],
    *[case(mg.sum, np.sum, a(2, 0), axis=axis) for axis in (0, 1)],
    *[case(mg.softmax, softmax, a(*s), axis=axis) for s, axis in ALONG],
    *[case(mg.log_softmax, log_softmax, a(*s), axis=axis) for s, axis in ALONG],
    case(mg.softmax, softmax, a(2, 3)),
    case(mg.log_softmax, log_softmax, a(2, 3)),
    case(mg.cross_entropy, cross_entropy, a(4, 3), np.array([0, 2, 2, -1])),
    case(mg.cross_entropy, cross_entropy, a(3), 1),
    case(mg.cross_entropy, cross_entropy, a(2, 2, 3), np.array([[0, 1], [2, 2]])),
    case(mg.cross_entropy, cross_entropy, a(1, 1), [0]),
    *[case(mg.mse, lambda y, t: np.mean((y - t) ** 2), a(*s), a(*s)) for s in SHAPES[:4]],
    *[case(mg.huber, huber, a(*s), a(*s), delta=d)._replace(analytic=False) for s, d in [((3,), 0.7), ((2, 3), 0.3), ((), 1.0)]],
    *[case(mg.binary_cross_entropy, lambda z, t: np.mean(np.log(1 + np.exp(wide(z))) - z * t), a(*s), pos(*s))._replace(analytic=False) for s in SHAPES[:4]],
    *[case(mg.reshape, np.reshape, a(2, 3), shape) for shape in [(3, 2), -1, (1, 6, 1), (2, -1)]],
    *[case(mg.reshape, np.reshape, a(*s), to) for s, to in [((), (1, 1)), ((1, 1), ()), ((0, 3), (2, 0))]],
    *[case(mg.transpose, np.transpose, a(*s)) for s in SHAPES],
    *[case(mg.transpose, np.transpose, a(2, 3, 4), axes) for axes in [(1, 2, 0), (-1, 0, 1), (0, 1, 2), None]],
    *[case(mg.swapaxes, np.swapaxes, a(2, 3, 4), *axes) for axes in [(0, 1), (0, -1), (1, 1)]],
    *[case(mg.expand_dims, np.expand_dims, a(*s), 0) for s in SHAPES],
    *[case(mg.expand_dims, np.expand_dims, a(2, 3), axis) for axis in (1, -1, (0, 2))],
    *[case(mg.squeeze, np.squeeze, a(1, 3, 1), axis) for axis in (None, 0, -1, (0, 2))],
    *[case(mg.squeeze, np.squeeze, a(*s)) for s in SHAPES],
    *[case(mg.broadcast_to, np.broadcast_to, a(*s), to) for s, to in STRETCHED],
    case(mg.concatenate, np.concatenate, [a(2), a(3)]),
    case(mg.concatenate, np.concatenate, [a(2, 3), a(1, 3), a(0, 3)]),
    case(mg.concatenate, np.concatenate, (a(2, 3), a(2, 1)), axis=1),
    case(mg.concatenate, np.concatenate, [a(2, 3, 1), a(2, 3, 2)], axis=-1),
    case(mg.concatenate, np.concatenate, [a(2, 3), a(2), a()], axis=None),
    case(mg.concatenate, np.concatenate, [a(2)]),
    case(mg.stack, np.stack, [a(2), a(2), a(2)]),
    case(mg.stack, np.stack, (a(2, 3), a(2, 3)), axis=1),
    case(mg.stack, np.stack, [a(2, 3), a(2, 3)], axis=-1),
    case(mg.stack, np.stack, [a(), a()]),
    case(mg.stack, np.stack, [a(0, 2), a(0, 2)], axis=1),
    case(_concatenate, lambda *arrays, axis: np.concatenate(arrays, axis), a(2, 1), a(2, 3), axis=1),
    *[case(mg.getitem, operator.getitem, a(*s), index) for s, index in INDICES],
    *[case(ops.scatter_add, scatter_add, a(*indexed(s, index)), index, s) for s, index in INDICES],
    *[case(ops.take, np.take, a(3, 2), ids) for ids in IDS],
    *[case(ops.take, np.take, a(3, 2), ids, axis=0) for ids in IDS],
    *[case(mg.embedding, lambda table, ids: table[np.asarray(ids)], a(3, 2), ids) for ids in IDS],
    *[case(mg.embedding, operator.getitem, a(4, *s), np.array([1, 1])) for s in [(), (1,), (2, 3)]],
    *[case(ops.scatter_rows, scatter_rows, a(*np.shape(ids), 2), ids, (3, 2)) for ids in IDS],
    case(ops.take, np.take, a(2, 3, 2), np.array([1, 1]), axis=-2),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 0], [2, -1]]), 1),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 1, 1]]), axis=0),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 1]]), axis=1),
    case(ops.take_along_axis, np.take_along_axis, a(1, 3), np.array([[0, 1], [2, 2]]), axis=1),
    # ufuncs
    *[named(f, x) for f in ["tan", "arcsinh", "arctan", "sinh", "cosh", "expm1", "exp2", "deg2rad", "rad2deg"] for x in (a(), a(2, 3))],
    *[named(f, pos(2, 2)) for f in ["log2", "log10", "cbrt", "reciprocal"]],
    *[named(f, apart(2, 2)) for f in ["arcsin", "arccos", "arctanh"]],
    named("arccosh", pos(2, 2) + 1),
    *[named(f, a(0)) for f in ["tan", "arcsin", "log2", "sinc", "nan_to_num"]],
    *[named("sinc", np.array(x)) for x in ([0.0, -0.0, 1e-3], [-0.1, 0.5, 1.0, -2.5, 0.39])],
    *[named(f, a(*x), a(*y)) for f in ("logaddexp", "logaddexp2") for x, y in PAIRS[1:5]],
    *[named(f, pos(*x), pos(*y), analytic=False) for f in ("hypot", "arctan2") for x, y in PAIRS[1:5]],
    named("arctan2", np.array([1.0, -1.0, -0.5]), np.array([-1.0, -2.0, 0.3]), analytic=False),
    *[named(f, a(2, 3) * 4, pos(3), analytic=False) for f in ("remainder", "mod", "fmod")],
    named("remainder", a(3) * 4, -pos(3), analytic=False),
    *[named(f, apart(2, 3), apart(3) - 0.11) for f in ("fmax", "fmin")],
    named("float_power", pos(2, 3), a(3)),
    named("positive", a(2, 3)), named("copy", a(2)), named("astype", a(2, 3), "float64", analytic=False),
    *[named("clip", apart(2, 3) * 3, low, high) for low, high in [(-0.9, 0.9), (None, 0.1), (pos(3) - 1, None)]],
    named("nan_to_num", a(2, 3)),
    Case(flat(mg.divmod), flat(np.divmod), (a(3) * 4, pos(3)), {}, None, False),
    # complex
    *[named(f, z(2, 3)) for f in ["abs", "real", "imag", "conj", "angle", "sign", "exp", "log", "sin", "tanh", "square", "reciprocal", "negative"]],
    *[named(f, a(3) + 3) for f in ["real", "conj"]],
    named("imag", a(2), analytic=False), named("angle", pos(2), analytic=False), named("angle", z(2), deg=True),
    *[named(f, z(2, 1), z(3)) for f in ("add", "multiply", "divide", "subtract")],
    named("power", z(2) + 3, z(2)), named("matmul", z(2, 3), z(3, 2)), named("matmul", a(2, 3), z(3, 2)),
    named("vdot", z(2, 2), z(2, 2)), named("vecdot", z(2, 3), z(3)), named("sum", z(2, 3), axis=0), named("mean", z(3)),
    named("var", z(2, 3), axis=1), named("std", z(3)), named("prod", z(2, 3)), named("cumsum", z(3)),
    # reductions
    *[named(f, a(*s), **how) for f in ("prod", "var", "std") for s, how in REDUCTIONS if f == "prod" or (np.prod(s) > 2 and how != {"axis": ()})],
    *[named(f, a(2, 3), **how, where=M) for f in ("sum", "mean", "prod", "var", "std") for how in ({}, {"axis": 1})],
    *[named(f, a(2, 3), axis=0, ddof=1) for f in ("var", "std")],
    *[named(f, apart(2, 3), axis=axis, where=M, initial=i) for f, i in (("max", -9.0), ("min", 9.0)) for axis in (0, None)],
    *[named(f, a(2, 3), initial=2.0) for f in ("sum", "prod")],
    *[named("prod", np.array(x)) for x in ([0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0], [])],
    *[named(f, a(*s), axis=k) for f in ("cumsum", "cumprod") for s, k in [((), None), ((2, 3), None), ((2, 5), 1),
      ((3, 2), 0), ((1, 2), -2), ((0, 2), 0)]],
    named("cumprod", np.array([1.0, 0.0, 2.0, 0.0])),
    *[named("ptp", apart(2, 3), axis=k) for k in (None, 1)],
    named("average", a(2, 3)), named("average", a(2, 3), axis=1, weights=pos(3)),
    named("average", a(2, 3), weights=pos(2, 3)), named("average", a(3, 2), axis=0, weights=pos(3)),
    *[named(f, apart(*s), axis=k, keepdims=keep) for f in ("median",) for s, k, keep in
      [((5,), None, False), ((2, 4), 1, True), ((2, 3, 2), (0, 2), False)]],
    named("quantile", apart(2, 4), q=np.array([0.1, 0.6, 1.0]), axis=1), named("quantile", apart(5), q=0.3, keepdims=True),
    named("percentile", apart(2, 4), q=30.0, axis=0),
    *[named(f, a(2, 3), axis=1) for f in ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]],
    *[named(f, apart(2, 3), axis=k) for f in ("sort",) for k in (-1, 0, None)], named("sort", apart(0, 2)),
    named("partition", apart(2, 5), 2), named("partition", apart(2, 3), 1, axis=0),
    named("trace", a(2, 3)), named("trace", a(3, 2, 4), 1, 2, 0), named("linalg.trace", a(2, 3, 3), offset=-1),
    # shapes
    named("reshape", a(2, 3), (3, 2), "F"), *[named("ravel", a(*s), *o) for s, *o in [((2, 3),), ((2, 3), "F"), ((),)]],
    *[named("moveaxis", a(2, 3, 4), *how) for how in [(0, -1), ((0, 1), (2, 0))]],
    *[named("rollaxis", a(2, 3, 4), *how) for how in [(2,), (0, 2), (-1, 1), (1, -1)]],
    named("matrix_transpose", a(2, 3, 1)), named("linalg.matrix_transpose", a(3, 1)),
    *[named("flip", a(2, 3), *k) for k in [(), (0,), ((0, 1),)]], named("flipud", a(2, 3)), named("fliplr", a(2, 3)),
    *[named("rot90", a(2, 3), *k) for k in [(), (2,), (-1, (1, 0))]],
    *[named("roll", a(2, 3), *how) for how in [(1,), (-2, 1), ((1, 2), (0, 1))]],
    named("broadcast_arrays*", a(2, 1), a(3)),
    *[named("repeat", a(2, 3), *how) for how in [(2,), (3, 1), (np.array([1, 0, 2]), 1), (0, 0)]],
    *[named("tile", a(*s), r) for s, r in [((2,), 3), ((2, 3), (2, 1)), ((2,), (2, 1, 2)), ((1, 2), 2), ((), 2), ((2,), 0)]],
    *[named("pad", a(2, 3), w, **how) for w, how in [(1, {}), ((0, 2), {"constant_values": 3.0}), (((1, 0), (0, 2)), {}),
      (1, {"mode": "edge"}), (3, {"mode": "reflect"}), (2, {"mode": "wrap"}), (2, {"mode": "symmetric"})]],
    *[named(f"atleast_{n}d", a(*s)) for n in (1, 2, 3) for s in [(), (2,), (2, 3), (0,)]],
    named("atleast_2d*", a(), a(2)),
    *[named(f, [a(2), a(2)]) for f in ("vstack", "hstack", "dstack", "column_stack")],
    *[named(f, [a(2, 3), a(2, 3)]) for f in ("vstack", "hstack", "dstack", "column_stack")],
    named("block", [[a(2, 2), a(2, 1)], [a(1, 3)]]), named("block", [a(2), a()]), named("block", [[a(2)], [a(2)]]),
    named("append", a(2), a(2, 2)), named("append", a(1, 2), a(2, 2), axis=0),
    *[named("array_split*", a(5, 2), k) for k in (2, [1, 3], [3, 9])], named("split*", a(4), 2),
    named("split*", a(2, 6), 3, axis=1), named("vsplit*", a(2, 3), 2), named("hsplit*", a(2, 3), [1]),
    named("hsplit*", a(4), 2), named("dsplit*", a(1, 2, 4), 2),
    *[named("diagonal", a(*s), *k) for s, *k in [((3, 3),), ((2, 4), 1), ((3, 2), -1), ((2, 3, 2), 0, 1, 2), ((2, 2), 5)]],
    named("linalg.diagonal", a(2, 3, 3), offset=1),
    *[named("diag", a(*s), k) for s in [(2,), (2, 3)] for k in (0, 1, -1)], named("diagflat", a(2, 2), 1),
    *[named(f, a(*s), k) for f in ("tril", "triu") for s, k in [((3, 3), 0), ((2, 2, 3), 1), ((3,), -1)]],
    Case(_pad, lambda x, widths, constant_values: np.pad(x, widths, constant_values=constant_values), (a(2, 3),),
         {"widths": [[1, 0], [0, 2]], "constant_values": 0}),
    # picking
    named("compress", [True, False, True], a(2, 3), axis=1), named("compress", np.array([True, False]), a(2, 3)),
    named("extract", M, a(2, 3)), 
    named("select", [M, ~M[0]], [a(2, 3), a(3)], 2.0), named("choose", np.array([1, 0, 2]), [a(3), a(3), a()]),
    *[case(*at(how), a(*s), a(*v), i) for how in ("set", "add", "multiply") for s, v, i in [((3,), (), 1), ((2, 3), (2,),
      (ALL, 1)), ((3,), (4,), np.array([0, 2, 0, 0])), ((2, 3), (4,), M), ((2, 3), (1,), ([0, 1], ALL)), ((2,), (0,), NOTHING)]],
    # products
    *[named("dot", a(*x), a(*y)) for x, y in [((), (3,)), ((3,), (3,)), ((2, 3), (3, 2)), ((2, 3), (4, 3, 2))]],
    *[named("inner", a(*x), a(*y)) for x, y in [((3,), (3,)), ((2, 3), (4, 3)), ((), (2,)), ((2, 2, 3), (3,))]],
    *[named("tensordot", a(*x), a(*y), axes) for x, y, axes in [((2, 3), (3, 4), 1), ((2, 3), (2, 3), 2), ((2,), (3,), 0),
      ((2, 3, 4), (4, 3), ([1, 2], [1, 0])), ((2, 3), (3,), (-1, 0)), ((0, 3), (3, 2), 1)]],
    named("vdot", a(2, 2), a(2, 2)), named("vecdot", a(2, 3), a(3)), named("vecdot", a(3, 2), a(3, 1), axis=0),
    named("outer", a(2), a(1, 3)), *[named("kron", a(*x), a(*y)) for x, y in [((2,), (3,)), ((2, 1), (2, 3)), ((2,), (2, 2))]],
    named("cross", a(3), a(2, 3)), named("cross", a(3, 2), a(3, 2), axis=0), named("linalg.cross", a(2, 3), a(3)),
    named("cross", a(3, 2), a(2, 3), axisa=0, axisc=0), named("linalg.matmul", a(2, 3), a(3)),
    *[named("einsum", f, *(a(*s) for s in shapes)) for f, *shapes in [("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)),
      ("ii", (3, 3)), ("ii->i", (3, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ba", (2, 3)), ("i,j", (2,), (3,)),
      ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)), ("...i->...", (2, 3)), ("i...,i...", (2, 3), (2, 3)),
      ("ij,ij->ij", (1, 3), (2, 3)), ("ij,j->i", (2, 1), (3,)), ("iij,jk->ik", (2, 2, 3), (3, 2)), ("i,i,i->i", (3,), (3,), (3,)),
      ("ij,kl->il", (2, 3), (2, 2)), ("aab,bb->a", (2, 2, 3), (3, 3)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), (",i->i", (), (3,)),
      ("iii->i", (2, 2, 2)), ("..., ...->...", (2, 1), (3,)), ("i,i->", (0,), (0,))]],
    named("einsum", a(2, 3), [0, 1], a(3, 2), [1, 2], [2, 0]), named("einsum", a(2, 3), [..., 1], a(3), [1]),
    named("einsum", "ij,jk,kl->il", a(2, 3), a(3, 2), a(2, 2), optimize=True),
    case(_einsum, lambda x, y, **_: x.sum(1)[:, None] * y, a(2, 3), a(2, 2), terms=("ij", "ik"), output="ik", optimize=False),
    # linear algebra
    *[named("linalg.inv", a(*s, 3, 3) + 3 * np.identity(3)) for s in [(), (2,), (0,)]], named("linalg.inv", z(2, 2)),
    *[named("linalg.det", a(*s, 3, 3)) for s in [(), (2,)]], named("linalg.det", np.ones((1, 1))), named("linalg.det", z(2, 2)),
    named("linalg.slogdet*", a(3, 3)), named("linalg.slogdet*", a(2, 2, 2)),
    *[named("linalg.solve", a(*x, 2, 2) + 3 * np.identity(2), a(*y)) for x, y in [((), (2,)), ((), (2, 3)), ((3,), (3, 2, 1)),
      ((3,), (2, 2)), ((), (3, 2, 1)), ((3,), (2,))]], named("linalg.solve", z(2, 2), z(2)),
    *[named("linalg.cholesky", a(*s, 3, 3), via=spd) for s in [(), (2,)]], named("linalg.cholesky", z(2, 2), via=spd),
    *[named(f"linalg.{f}", a(*s, 3, 3), via=sym) for f in ("eigh*", "eigvalsh") for s in [(), (2,)]],
    named("linalg.eigvalsh", z(3, 3), via=sym), named("linalg.eigh*", a(3, 3), UPLO="U", via=sym),
    *[named("linalg.svd*", a(*s), full_matrices=False) for s in [(3, 2), (2, 3), (2, 2, 2), (1, 1)]],
    *[named("linalg.svdvals", x) for x in (a(2, 3), z(3, 2))],
    *[named("linalg.pinv", x) for x in (a(3, 2), a(2, 3), a(2, 2, 3), z(3, 2))],
    *[named("linalg.matrix_power", a(2, 2), n) for n in (1, 2, 3, 5, -2)], named("linalg.matrix_power", a(2, 2, 2), 3),
    named("linalg.multi_dot", [a(2, 3), a(3, 2), a(2)]), named("linalg.tensordot", a(2, 3), a(3, 2), axes=1),
    named("linalg.outer", a(2), a(3)), named("linalg.vecdot", a(2, 3), a(3)),
    *[named("linalg.norm", a(*s), **dict(zip(("ord", "axis", "keepdims"), how))) for s, *how in [((3,),), ((2, 3),), ((2, 1, 2),), ((3,), 2), ((3,), 1), ((3,), np.inf),
      ((3,), -np.inf), ((3,), 3), ((2, 3), None, 0), ((2, 3), 1, 1, True), ((2, 3), "fro"), ((2, 3), "nuc"), ((2, 3), 2),
      ((2, 3), -2), ((2, 3), 1), ((2, 3), -1), ((2, 3), np.inf), ((2, 3, 2), "fro", (0, 2)), ((2, 3, 2), "nuc", (2, 0), True),
      ((2, 3), None, None, True), ((0,),)]], named("linalg.norm", z(2, 2)), named("linalg.norm", z(3), ord=1),
    named("linalg.vector_norm", a(2, 3)), named("linalg.vector_norm", a(2, 3), axis=1, ord=1, keepdims=True),
    named("linalg.matrix_norm", a(2, 2, 3)), named("linalg.matrix_norm", a(2, 2), ord=2, keepdims=True),
    # the Fourier transforms
    *[named(f"fft.{f}", x, *how) for f in ("fft", "ifft") for x, *how in [(a(4),), (z(3),), (a(2, 3), 5, 0), (a(4), 2),
      (z(2, 3), None, 0, "ortho")]],
    *[named("fft.rfft", a(*s), *how) for s, *how in [((4,),), ((3,),), ((2, 3), 4), ((5,), 3), ((4, 2), None, 0, "ortho")]],
    *[named("fft.irfft", z(*s), *how) for s, *how in [((3,),), ((3,), 5), ((2, 2), 6), ((4,), 4), ((3, 2), None, 0, "forward")]],
    *[named(f"fft.{f}", z(2, 3)) for f in ["fft2", "ifft2", "fftn", "ifftn", "irfft2", "irfftn", "fftshift", "ifftshift"]],
    *[named(f"fft.{f}", a(3, 2)) for f in ["rfft2", "rfftn"]], named("fft.irfft", a(3)),
    named("fft.fftn", a(2, 3, 2), (2, 2), (0, 2)), named("fft.irfftn", z(2, 2), (3, 4), (0, 1)),
    named("fft.fftshift", a(4, 3), 1), named("fft.ifftshift", a(5)),
    # samples
    *[named("diff", a(2, 4), **how) for how in [{}, {"n": 2}, {"axis": 0}, {"n": 0}, {"prepend": a(2, 1)}, {"append": 3.0}]],
    *[named("gradient", a(*s), *h, **how) for s, h, how in [((4,), (), {}), ((5,), (0.5,), {"edge_order": 2}), ((2, 3), (), {"axis": 1}),
      ((4,), (np.array([0.0, 1.0, 1.5, 3.0]),), {}), ((4,), (np.array([0.0, 1.0, 1.5, 3.0]),), {"edge_order": 2})]],
    named("gradient*", a(2, 3)), named("gradient*", a(3, 4), 2.0, np.array([0.0, 0.5, 2.0, 2.5])),
    named("trapezoid", a(2, 4)), named("trapezoid", a(4), np.array([0.0, 1.0, 1.5, 3.0])), named("trapezoid", a(3, 2), dx=0.5, axis=0),
    named("trapezoid", a(2, 3), a(2, 3), axis=0),
    named("interp", np.array([0.1, 1.2, 2.9, -1.0, 4.0]), np.array([0.0, 1.0, 2.0, 3.5]), a(4), analytic=False),
    named("interp", pos(2), np.array([0.0, 1.0, 2.5]), a(3), left=9.0, analytic=False),
    *[named(f, a(n), a(m), mode) for f in ("convolve",) for n, m in [(4, 2), (2, 3), (1, 1)] for mode in
      ("full", "same", "valid")],
    # the pieces that composed functions are made of
    case(_convolved, np.convolve, a(3), a(2)),
    case(_chosen, lambda slope, r: slope, a(3), np.arange(1, 4)),
    case(_length, lambda x: np.linalg.norm(x, axis=-1), a(2, 3)),
    case(_part, np.multiply, a(2, 3), pos(3)),
    case(_evenly, lambda y, axis: y, np.sort(apart(2, 3)), 1),
    case(_logabsdet, lambda x: np.linalg.slogdet(x)[1], a(3, 3))._replace(analytic=False),
    case(_cofactors, lambda x: np.linalg.det(x) * np.linalg.inv(x).T, a(3, 3))._replace(analytic=False),
    case(_second_cofactors, second_cofactors, a(3, 3), a(3, 3))._replace(analytic=False),
    case(_by_gaps, lambda m, gaps, size: m / gaps, a(2, 2), pos(2, 2), 1)._replace(analytic=False),
    Case(_eigh, lambda x, uplo: np.column_stack(np.linalg.eigh(x)), (a(3, 3), "L"), {}, sym, False),
    Case(_svd, lambda x: np.column_stack([(d := np.linalg.svd(x, full_matrices=False))[1], d[0].T, d[2]]), (a(3, 2),), {}, None, False),
    # activations, special functions
    *[case(mg.softplus, lambda x: np.log(1 + np.exp(wide(x))), a(*s))._replace(analytic=False) for s in SHAPES],
    *[case(mg.log_sigmoid, lambda x: -np.log(1 + np.exp(-wide(x))), a(*s))._replace(analytic=False) for s in SHAPES[:4]],
    *[case(mg.silu, lambda x: x * sigmoid(x), a(*s)) for s in SHAPES],
    *[case(mg.elu, lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)), apart(*s), **how) for s in SHAPES for how in ({}, {"alpha": 0.7})],
    *[case(mg.gelu, gelu, a(*s), **how) for s in SHAPES for how in ({}, {"approximate": "tanh"})],
    *[case(mg.erf, scipy.special.erf, a(*s)) for s in SHAPES], case(special.erf, scipy.special.erf, a(2)),
    *[case(f, f, a(2, 3)) for f in (scipy.special.erf, scipy.special.erfc)],
    *[case(f, f, a(2, 3)) for f in (scipy.special.i0, scipy.special.i1)], named("i0", a(2, 3)),
    *[case(special.iv, scipy.special.iv, v, pos(2, 3)) for v in (0, 1)], case(special._iv, lambda x, v: scipy.special.iv(v, x), pos(3), 2),
    # made of others
    named("amax", apart(2, 3), axis=1), named("amin", apart(2, 3), axis=0, keepdims=True),
    *[named("meshgrid*", a(2), a(3), a(), **how) for how in ({}, {"indexing": "ij"}, {"sparse": True})], named("meshgrid*", a(3)),
    *[named("linspace", a(*x), a(*y), n, **how) for x, y, n, how in [((), (), 4, {}), ((2,), (2, 1), 3, {"axis": -1}),
      ((2,), (), 5, {"endpoint": False}), ((), (), 1, {}), ((), (3,), 0, {})]], named("linspace", a(), a(), 3, dtype="float64", analytic=False),
    named("linspace", 1, a(2), 3), named("linspace*", a(), 2, 3, retstep=True),
    named("logspace", a(), a(2), 4), named("logspace", a(), 1.5, 3, base=pos(2), axis=0), named("logspace", 0.0, a(), 3, False, 2.0), named("power", np.array([2.0, 3.0]), np.zeros(2)),
    *[case(mg.full, np.full, to, a(*s)) for s, to in [((), (2, 3)), ((3,), (2, 3)), ((), ()), ((), 2)]],
    *[case(filled_like, lambda value, x, **how: np.full_like(x, value, **how), a(*s), x=np.ones((2, 3)), **how)._replace(analytic=False) for s, how in [((3,), {}), ((), {"shape": (3,)})]],
    *[named("insert", a(*s), i, a(*v), axis=k) for s, i, v, k in [((3,), 1, (), None), ((3,), 1, (2,), None), ((3,), [0, 3, 1], (3,), None),
      ((2, 3), 1, (), 1), ((2, 3), 1, (2,), 1), ((2, 3), [1], (2, 2), 1), ((2, 3), slice(1, 3), (2,), 1), ((2, 3), -1, (3,), 0),
      ((2, 3), [0, 2], (2, 1), 1), ((2, 2), 1, (2, 2), 0), ((3,), np.array([True, False, True]), (), 0)]],
    *[named("delete", a(2, 3), i, k) for i, k in [(1, None), (-1, 1), ([0, 2], 1), (slice(0, 2), 1), (np.array([True, False]), 0)]],
    *[named("piecewise", apart(*s), c, f) for s, c, f in [((2, 3), [M], [np.sin, np.square]), ((3,), [M[0], M[1]], [np.exp, 2.0]),
      ((3,), M[1], [np.negative]), ((), [True], [np.cos])]],
    *[named("bincount", np.array(i), a(len(i)), *n) for i, *n in [([0, 2, 2],), ([1, 0], 4), ([3],)]],
    *[case(ops.scatter_windows, scatter_windows, a(*s), axes, shape) for s, axes, shape in [((3, 2), (0,), (4,)),
      ((2, 2, 2, 3), (0, 1), (3, 4)), ((3, 3, 2), (-1,), (3, 4)), ((3, 2, 2), (0, 0), (5,))]],
    *[case(mg.sliding_window_view, np.lib.stride_tricks.sliding_window_view, a(*s), *how) for s, *how in [((4,), 2), ((3, 4), (2, 3)), ((3, 4), 2, 1), ((3, 4), 2, -2), ((5,), (2, 2), (0, 0))]],
    named("unwrap", apart(6) * 9, analytic=False), named("unwrap", apart(2, 4) * 11, axis=0, period=3.0, analytic=False),
    named("unwrap", apart(6) * 9, discont=4.0, analytic=False), named("real_if_close", a(2)),
    # keywords
    *[named(f, a(2, 3), axis=1, dtype="float64", analytic=False) for f in ("sum", "mean", "var", "std", "prod", "cumsum", "cumprod", "nansum", "nanmean")],
    named("sum", a(3), dtype="complex128", analytic=False), named("trace", a(3, 3), dtype="float64", analytic=False),
    *[named(f, [a(2, 2), a(2, 2)], dtype="float64", analytic=False) for f in ("concatenate", "stack", "vstack", "hstack")],
    *[named(f, a(2, 3), axis=1, correction=1) for f in ("var", "std", "nanvar", "nanstd")],
    *[named("sort", apart(2, 3), **how) for how in ({"kind": "stable"}, {"stable": True}, {"axis": 0, "kind": "heapsort"})],
    *[named("quantile", apart(7), q=q, method=how) for how in ("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "hazen",
      "interpolated_inverted_cdf", "weibull", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest") for q in (0.03, 0.52)],
    named("percentile", apart(2, 5), q=40.0, axis=1, method="hazen"), named("quantile", apart(1), q=1.0),
    *[named("take", a(3, 2), np.array([-4, 1, 5]), axis=k, mode=how) for how in ("wrap", "clip") for k in (0, None)],
    named("choose", np.array([1, -1, 4]), [a(3), a(3)], mode="wrap"),
    *[case(mg.logsumexp, lambda x, where, **how: logsumexp(without(where, x), **how), a(2, 3), where=M, **how) for how in ({}, {"axis": 1, "keepdims": True})],
    *[case(mg.softmax, lambda x, where, axis=-1: softmax(without(where, x), axis), a(2, 3), where=M, **how) for how in ({}, {"axis": 1})],
    case(mg.log_softmax, lambda x, where: log_softmax(without(where, x)), a(2, 3), where=np.array([True, True, True])),
    named("cumulative_sum", a(3)), named("cumulative_prod", a(2, 3), axis=1, include_initial=True),
    named("cumulative_sum", a(2, 3), axis=-1, include_initial=True), named("cumulative_sum", a(2, 3), axis=0, dtype="float64", analytic=False),
    # statistics, polynomials
    *[named("cov", a(2, 5), **how) for how in ({}, {"bias": True}, {"rowvar": False}, {"ddof": 2}, {"y": a(5)},
      {"fweights": np.array([1, 2, 1, 0, 3])}, {"aweights": pos(5)}, {"aweights": pos(5), "fweights": np.array([1, 2, 1, 1, 3])},
      {"aweights": pos(5), "ddof": 0})], named("cov", a(2, 3), dtype="float64", analytic=False), named("cov", a(4)), named("cov", z(2, 4)),
    named("corrcoef", a(3, 5), analytic=False), named("corrcoef", a(4), a(4), analytic=False), named("corrcoef", z(2, 4)),
    *[named("correlate", a(n), a(m), *mode) for n, m in [(4, 2), (2, 3), (1, 1)] for mode in ((), ("same",), ("full",))], named("correlate", z(3), z(2)),
    *[named("vander", a(3), *how) for how in ((), (2,), (4, True))],
    *[named("polyval", a(n), a(*s)) for n, s in [(3, (2, 2)), (1, (2,)), (2, ())]],
    named("polyfit", np.array([0.1, 0.8, 1.3, 2.2]), a(4), 2), named("polyfit", np.array([0.1, 0.8, 1.3]), a(3, 2), 1, w=pos(3)),
    # decompositions of any matrix
    *[named("linalg.qr*", a(*s)) for s in [(3, 2), (2, 2), (2, 4), (2, 3, 2)]], named("linalg.qr", a(3, 2), mode="r"),
    named("linalg.qr*", a(2, 3), mode="complete"), named("linalg.qr*", z(3, 2)),
    *[named("linalg.lstsq*", a(*s), a(*b)) for s, b in [((4, 2), (4,)), ((4, 2), (4, 3)), ((2, 2), (2,)), ((2, 4), (2, 3))]],
    named("linalg.lstsq*", z(3, 2), z(3)),
    *[named(f"linalg.{f}", x) for f in ("eig*", "eigvals") for x in (ROTATING, np.stack([ROTATING, -2 * ROTATING]), z(3, 3))],
    *[named("linalg.cond", a(*s), *p) for s, *p in [((3, 2),), ((2, 2, 2), 2), ((2, 2), -2), ((2, 2), 1), ((2, 2), "fro")]], named("linalg.cond", a(2, 2), p=np.inf),
    *[named("matvec", x, v) for x, v in [(a(2, 3), a(3)), (a(2, 2, 3), a(2, 3)), (z(2, 2), z(2))]],
    *[named("vecmat", v, x) for x, v in [(a(2, 3), a(2)), (a(2, 2, 3), a(2, 2)), (z(2, 2), z(2))]],
    named("linalg.pinv", a(3, 2), rcond=1e-3),
    case(_qr, lambda x: np.vstack(np.linalg.qr(x)), a(3, 2)),
    Case(_eig, lambda x: np.column_stack(np.linalg.eig(x)) + 0j, (a(3, 3) + np.diag([0.0, 5.0, 9.0]),), {}, None, False),
]  # fmt: skip

MODULES = [
    ops.activations,
    ops.calculus,
    ops.creation,
    ops.elementwise,
    ops.index,
    ops.products,
    ops.reduce,
    ops.shape,
    ops.special,
    ops.statistics,
    ops.linalg,
    ops.fft,
]


def is_op(name: str, f: Any, module: Any) -> bool:
    own = getattr(f, "__module__", "") == module.__name__ and not isinstance(f, type)
    return own and (hasattr(f, "body") or not name.startswith("_"))


#: Every op there is: all that `op` made, and the functions written with them.
OPS = [f for module in MODULES for name, f in vars(module).items() if is_op(name, f, module)]
