"""The table: every op on every kind of argument it takes, beside the NumPy function it must agree with.

What reads it: the forward comparison, the numeric check of first and second order, the check of float32, the planted
faults, and the run on a foreign array type. An op is covered by adding one line here.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import ops
from minigrad.ops.shape import _concatenate
from minigrad.trees import leaves

rng = np.random.default_rng(1847)
ALL, L, M, NOTHING = slice(None), [0, 2, 2], np.array([[True, False, True], [False, True, True]]), slice(0, 0)


class Case(NamedTuple):
    """What is called on what; `like` takes the same arguments and gives the same value by other means."""

    op: Callable[..., Any]
    like: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, *args: Any) -> Any:
        return self.op(*args, **self.kwargs)

    def __str__(self) -> str:
        shapes = [str(getattr(x, "shape", x)).replace(" ", "") for x in leaves(self.args)]
        return "-".join([self.op.__name__, *shapes, *(f"{key}={value}" for key, value in self.kwargs.items())])


def case(op: Callable[..., Any], like: Callable[..., Any], *args: Any, **kwargs: Any) -> Case:
    return Case(op, like, args, kwargs)


# arguments: of any sign, positive, and with neither ties nor zeros nor equal magnitudes


def a(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(-2, 2, shape))


def pos(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 2, shape))


def apart(*shape: int) -> np.ndarray:
    n = int(np.prod(shape))
    return np.asarray((rng.permutation(n) - n // 2 + 0.3) / max(n, 1)).reshape(shape)


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


def place(g: Any, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.arange(int(np.prod(shape))).reshape(shape)[index]  # which element each part of g goes to
    return np.bincount(np.ravel(numbers), np.ravel(g), int(np.prod(shape))).reshape(shape)


def rows_of(g: Any, ids: Any, shape: tuple[int, ...]) -> np.ndarray:
    return place(g, np.asarray(ids), shape)


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
    *[case(ops.place, place, a(*indexed(s, index)), index, s) for s, index in INDICES],
    *[case(ops.take, np.take, a(3, 2), ids) for ids in IDS],
    *[case(ops.take, np.take, a(3, 2), ids, axis=0) for ids in IDS],
    *[case(mg.embedding, lambda table, ids: table[np.asarray(ids)], a(3, 2), ids) for ids in IDS],
    *[case(mg.embedding, operator.getitem, a(4, *s), np.array([1, 1])) for s in [(), (1,), (2, 3)]],
    *[case(ops.rows_of, rows_of, a(*np.shape(ids), 2), ids, (3, 2)) for ids in IDS],
    case(ops.take, np.take, a(2, 3, 2), np.array([1, 1]), axis=-2),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 0], [2, -1]]), 1),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 1, 1]]), axis=0),
    case(ops.take_along_axis, np.take_along_axis, a(2, 3), np.array([[0, 1]]), axis=1),
    case(ops.take_along_axis, np.take_along_axis, a(1, 3), np.array([[0, 1], [2, 2]]), axis=1),
]  # fmt: skip

#: Every op there is: all that `op` made, and the functions of arrays in a list.
OPS = [f for f in vars(ops).values() if hasattr(f, "body")] + [mg.concatenate, mg.stack, _concatenate]
