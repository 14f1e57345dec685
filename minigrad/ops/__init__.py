"""Every op: its forward and its pullbacks together, by kind."""

from __future__ import annotations

import numpy as np

from minigrad.engine import constants
from minigrad.ops.elementwise import (
    abs,
    add,
    cos,
    divide,
    exp,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from minigrad.ops.linalg import matmul
from minigrad.ops.reduce import cross_entropy, log_softmax, logsumexp, max, mean, min, softmax, sum
from minigrad.ops.shape import (
    broadcast_to,
    concatenate,
    embedding,
    expand_dims,
    getitem,
    place,
    reshape,
    rows_of,
    squeeze,
    stack,
    swapaxes,
    take,
    take_along_axis,
    transpose,
)

constants(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)
constants(np.isfinite, np.isnan, np.isinf, np.signbit, np.logical_and, np.logical_or, np.logical_not)
constants(np.sign, np.floor, np.ceil, np.rint, np.trunc)
constants(np.argmax, np.argmin, np.argsort, np.any, np.all, np.count_nonzero, np.nonzero, np.flatnonzero)
constants(np.zeros_like, np.ones_like, np.full_like, np.shape, np.ndim, np.size, np.result_type)
constants(np.allclose, np.isclose, np.array_equal, np.iscomplexobj, np.isrealobj)
del constants  # not an op
