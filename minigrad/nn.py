"""Layers, and their initial values.

A layer is a dataclass of arrays or Tensors that is called like a function. It is a tree, as dicts and lists are:
optimizers, `grad`, `derive` and the others take a model as it is. A field that is no parameter (a rate, a number of
heads) is static (see `minigrad.trees`). `init` makes Tensors; `mg.stop_gradient(model)` is the same model of arrays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.trees import Summarized

Array = Any
Generator = np.random.Generator

__all__ = [
    *("Linear", "Embedding", "LayerNorm", "Conv2d", "Dropout", "Attention", "Sequential"),
    *("max_pool2d", "glorot", "he", "orthogonal"),
]


def _static(default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"static": True})


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """The number of inputs that an output has, and of outputs that an input has."""
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area


def glorot(rng: Generator, shape: Sequence[int], dtype: Any = float) -> Array:
    """Weights uniform in +-sqrt(6 / (fan in + fan out)), for tanh and sigmoid.

    >>> glorot(np.random.default_rng(0), (8, 20)).shape
    (8, 20)

    Glorot and Bengio, AISTATS 2010.

    Args:
        rng: the generator to draw from.
        shape: (out, in), or (out, in, height, width) of a convolution.
    """
    return (rng.uniform(-1, 1, shape) * math.sqrt(6 / sum(_fans(shape)))).astype(dtype)


def he(rng: Generator, shape: Sequence[int], dtype: Any = float) -> Array:
    """Weights normal with variance 2 / fan in, for relu.

    >>> he(np.random.default_rng(0), (8, 20)).shape
    (8, 20)

    He, Zhang, Ren and Sun, ICCV 2015. The arguments are those of `glorot`.
    """
    return (rng.standard_normal(shape) * math.sqrt(2 / _fans(shape)[0])).astype(dtype)


def orthogonal(rng: Generator, shape: Sequence[int], dtype: Any = float) -> Array:
    """Weights with orthonormal rows, or columns where these are fewer: a deep linear network keeps its norms.

    >>> W = orthogonal(np.random.default_rng(0), (2, 3))
    >>> bool(np.allclose(W @ W.T, np.eye(2)))
    True

    Saxe, McClelland and Ganguli, ICLR 2014. The arguments are those of `glorot`.
    """
    m, n = shape[0], math.prod(shape[1:])
    Q, R = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))
    Q = Q * np.sign(np.diagonal(R))  # uniform over all of them (Mezzadri, Notices of the AMS 54, 2007)
    return (Q if m >= n else Q.T).reshape(shape).astype(dtype)


@dataclasses.dataclass(repr=False)
class Linear(Summarized):
    """W x + b, for every vector x along the last axis.

    >>> layer = Linear.init(np.random.default_rng(0), 20, 8)
    >>> layer.W.shape, layer(np.ones((5, 20))).shape
    ((8, 20), (5, 8))
    """

    W: Any  # (m, n)
    b: Any = None  # (m,)

    @classmethod
    def init(
        cls, rng: Generator, n: int, m: int, bias: bool = True, dtype: Any = float, weights: Any = glorot
    ) -> Linear:
        """From n numbers to m: weights drawn by an initialiser, biases of zero."""
        W = mg.Tensor(weights(rng, (m, n), dtype), name="W")
        return cls(W, mg.Tensor(np.zeros(m, dtype), name="b") if bias else None)

    def __call__(self, x: Array) -> Array:
        """Shapes: x (..., n); the result is (..., m)."""
        *before, n = x.shape
        z = (mg.reshape(x, (math.prod(before), n)) if before[1:] else x) @ self.W.T  # one large product is quickest
        z = z if self.b is None else z + self.b
        return mg.reshape(z, (*before, z.shape[-1])) if before[1:] else z


@dataclasses.dataclass(repr=False)
class Embedding(Summarized):
    """Rows of a table by their numbers; the gradient is row-sparse.

    >>> Embedding.init(np.random.default_rng(0), 1000, 50)(np.array([3, 1, 3])).shape
    (3, 50)
    """

    table: Any  # (number of rows, length of a vector)

    @classmethod
    def init(cls, rng: Generator, rows: int, length: int, dtype: Any = float, std: float = 1.0) -> Embedding:
        """Numbers drawn from a normal distribution of a standard deviation."""
        return cls(mg.Tensor((std * rng.standard_normal((rows, length))).astype(dtype), name="table"))

    def __call__(self, ids: Array) -> Array:
        """Shapes: ids (...), integers; the result is (..., length of a vector)."""
        return mg.embedding(self.table, ids)


@dataclasses.dataclass(repr=False)
class LayerNorm(Summarized):
    """(x - mean) / sqrt(variance + eps) along the last axis, times a scale, plus a shift.

    >>> np.round(LayerNorm.init(2)(np.array([1.0, 3.0])).data, 4)
    array([-1.,  1.])

    Ba, Kiros and Hinton, 2016.
    """

    scale: Any  # (n,)
    shift: Any  # (n,)
    eps: float = _static(1e-5)

    @classmethod
    def init(cls, n: int, eps: float = 1e-5, dtype: Any = float) -> LayerNorm:
        """A scale of ones and a shift of zeros."""
        return cls(mg.Tensor(np.ones(n, dtype), name="scale"), mg.Tensor(np.zeros(n, dtype), name="shift"), eps)

    def __call__(self, x: Array) -> Array:
        """Shapes: x (..., n), and so is the result."""
        centred = x - mg.mean(x, axis=-1, keepdims=True)
        variance = mg.mean(mg.square(centred), axis=-1, keepdims=True)
        return centred / mg.sqrt(variance + self.eps) * self.scale + self.shift


@dataclasses.dataclass(repr=False)
class Conv2d(Summarized):
    """The products of a kernel with every window of an image.

    >>> layer = Conv2d.init(np.random.default_rng(0), 3, 16, 5, padding=2)
    >>> layer(np.ones((10, 3, 8, 8))).shape
    (10, 16, 8, 8)

    As everywhere in the field, the kernel is not turned around: it is a cross-correlation.
    """

    W: Any  # (channels out, channels in, height, width)
    b: Any = None  # (channels out,)
    stride: int = _static(1)  # the distance from window to window
    padding: int = _static(0)  # zeros at each side

    @classmethod
    def init(
        cls, rng: Generator, channels: int, out: int, size: int, *, stride: int = 1, padding: int = 0,
        bias: bool = True, dtype: Any = float, weights: Any = he,
    ) -> Conv2d:  # fmt: skip
        """A square kernel drawn by an initialiser, biases of zero."""
        W = mg.Tensor(weights(rng, (out, channels, size, size), dtype), name="W")
        return cls(W, mg.Tensor(np.zeros(out, dtype), name="b") if bias else None, stride, padding)

    def __call__(self, x: Array) -> Array:
        """Shapes: x (batch, channels in, height, width); the result is (batch, channels out, ...)."""
        out, *window = self.W.shape
        if len(x.shape) != 4 or x.shape[1] != window[0]:
            raise ValueError(f"needed images (batch, {window[0]}, height, width), got {x.shape}")
        if self.padding:
            x = mg.pad(x, ((0, 0), (0, 0), (self.padding,) * 2, (self.padding,) * 2))
        windows = mg.transpose(_windows(x, window[1:], self.stride), (1, 4, 5, 0, 2, 3))  # long rows are copied fast
        z = mg.reshape(self.W, (out, -1)) @ mg.reshape(windows, (math.prod(window), -1))
        z = z if self.b is None else z + self.b[:, None]
        return mg.swapaxes(mg.reshape(z, (out, *windows.shape[3:])), 0, 1)


def _windows(x: Array, shape: Sequence[int], stride: int) -> Array:
    """Windows of images, (..., rows, columns, height, width)."""
    windows = mg.sliding_window_view(x, tuple(shape), axis=(-2, -1))
    return windows if stride == 1 else windows[..., ::stride, ::stride, :, :]


def max_pool2d(x: Array, size: int, stride: int | None = None) -> Array:
    """The largest number of each square window of an image.

    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])

    Args:
        x: (..., height, width).
        size: of a window; what is left over at the right and at the bottom has none.
        stride: the distance from window to window; None: its size.
    """
    *before, height, width = x.shape
    if height < size or width < size:
        raise ValueError(f"a window of {size} does not fit into images {x.shape}")
    if stride in (None, size):
        rows, columns = height // size, width // size
        x = x if (rows * size, columns * size) == (height, width) else x[..., : rows * size, : columns * size]
        windows = mg.moveaxis(mg.reshape(x, (*before, rows, size, columns, size)), (-3, -1), (0, 1))
    else:
        windows = mg.moveaxis(_windows(x, (size, size), stride), (-2, -1), (0, 1))
    return mg.max(mg.reshape(windows, (size * size, *windows.shape[2:])), axis=0)  # quick: its axis is the first


@dataclasses.dataclass(repr=False)
class Dropout(Summarized):
    """In training, numbers are set to 0 at a rate, and the others divided by 1 - rate.

    >>> layer, x = Dropout(0.5), np.ones(4)
    >>> sorted(set(layer(x, np.random.default_rng(0)).tolist())), layer(x).tolist()
    ([0.0, 2.0], [1.0, 1.0, 1.0, 1.0])

    Srivastava and others, JMLR 15, 2014.
    """

    rate: float = _static()

    def mask(self, rng: Generator, x: Array) -> Array:
        """What to multiply x by."""
        if not 0 <= self.rate < 1:
            raise ValueError(f"needed a rate of at least 0 and below 1, got {self.rate}")
        kept = np.asarray(rng.random(x.shape) >= self.rate, like=np.empty_like(x, shape=()))
        return kept * (x.dtype.type(1) / x.dtype.type(1 - self.rate))

    def __call__(self, x: Array, noise: Any = None) -> Array:
        """noise: a generator to draw the mask from, or the mask (under `compile`), or None in evaluation."""
        if noise is None:
            return x
        return x * (self.mask(noise, x) if isinstance(noise, Generator) else noise)


@dataclasses.dataclass(repr=False)
class Attention(Summarized):
    """Self-attention of several heads: softmax(Q K^T / sqrt(d)) V, for every sequence of vectors.

    >>> layer = Attention.init(np.random.default_rng(0), 8, heads=2)
    >>> layer(np.ones((5, 3, 8)), mask=np.tri(3, dtype=bool)).shape
    (5, 3, 8)

    Vaswani and others, NeurIPS 2017.
    """

    project: Linear  # to queries, keys and values, side by side
    output: Linear  # of the heads, side by side
    heads: int = _static(1)

    @classmethod
    def init(cls, rng: Generator, n: int, heads: int = 1, dtype: Any = float) -> Attention:
        """For vectors of n numbers, which the heads divide among them."""
        if n % heads:
            raise ValueError(f"needed a number of heads that divides {n}, got {heads}")
        return cls(Linear.init(rng, n, 3 * n, dtype=dtype), Linear.init(rng, n, n, dtype=dtype), heads)

    def __call__(self, x: Array, mask: Array = None) -> Array:
        """Shapes: x (..., T, n), and so is the result; mask (T, T), true where a row may see a column."""
        *batch, T, n = x.shape
        heads = mg.reshape(self.project(x), (*batch, T, 3, self.heads, n // self.heads))
        Q, K, V = mg.moveaxis(heads, (-3, -2), (0, -3))  # each (..., heads, T, n / heads)
        scores = Q / math.sqrt(n // self.heads) @ mg.swapaxes(K, -1, -2)
        if mask is not None:
            scores = mg.where(mask, scores, -np.inf)
        return self.output(mg.reshape(mg.swapaxes(mg.softmax(scores, axis=-1) @ V, -2, -3), (*batch, T, n)))


@dataclasses.dataclass(repr=False)
class Sequential(Summarized):
    """Layers one after the other; a function such as `mg.relu` is one too.

    >>> rng = np.random.default_rng(0)
    >>> model = Sequential([Linear.init(rng, 64, 32), mg.relu, Dropout(0.1), Linear.init(rng, 32, 10)])
    >>> model(np.ones((5, 64)), rng).shape
    (5, 10)
    """

    layers: list[Any]

    def __call__(self, x: Array, noise: Generator | None = None) -> Array:
        """noise is for the layers that drop, see `Dropout`."""
        for layer in self.layers:
            x = layer(x, noise) if isinstance(layer, Dropout | Sequential) else layer(x)
        return x
