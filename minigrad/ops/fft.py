"""np.fft: the Fourier transforms.

A transform is a symmetric matrix F times x, so its pullback is the same transform of g; where n pads or cuts x, that
pads or cuts the gradient back. The transforms of more axes are those of one, an axis after the other, as in NumPy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, op
from minigrad.ops.shape import roll
from minigrad.shorthand import M, V, composed


def _resized(g: Array, n: int, axis: int) -> Array:
    """Cut, or filled up with zeros, to the length n along an axis."""
    length = g.shape[axis]
    if length > n:
        return g[(slice(None),) * (axis % g.ndim) + (slice(n),)]
    return np.pad(g, [(0, n - length if k == axis % g.ndim else 0) for k in range(g.ndim)])


@op(np.fft.fft)
def fft(x: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    """The discrete Fourier transform along an axis.

    >>> fft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    return np.fft.fft(x, n, axis, norm), lambda g: _resized(np.fft.fft(g, n, axis, norm), x.shape[axis], axis)


@op(np.fft.ifft)
def ifft(x: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    """The inverse of `fft`.

    >>> ifft(np.array([2.0, 0.0]))
    array([1.+0.j, 1.+0.j])
    """
    return np.fft.ifft(x, n, axis, norm), lambda g: _resized(np.fft.ifft(g, n, axis, norm), x.shape[axis], axis)


@op(np.fft.rfft)
def rfft(x: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    """The first half of the transform of a real array; the other half is its conjugate.

    >>> rfft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    length = n or x.shape[axis]
    y = np.fft.rfft(x, n, axis, norm)
    return y, lambda g: _resized(np.real(np.fft.fft(g, length, axis, norm)), x.shape[axis], axis)


@op(np.fft.irfft)
def irfft(x: Array, n: int | None = None, axis: int = -1, norm: Any = None) -> Array:
    """The inverse of `rfft`, of n elements; an even number by default.

    >>> irfft(np.array([2.0, 0.0]))
    array([1., 1.])
    """
    length = n or 2 * (x.shape[axis] - 1)
    y = np.fft.irfft(x, length, axis, norm)

    def pullback(g: Array) -> Array:
        half = np.moveaxis(_resized(np.fft.ifft(g, length, axis, norm), length // 2 + 1, axis), axis, 0)
        # each of these represents its conjugate too, except for the first and, where n is even, the last
        last = (length + 1) // 2
        half = np.concatenate([half[:1], 2 * half[1:last], half[last:]])
        return _resized(np.moveaxis(half, 0, axis), m, axis)

    m = x.shape[axis]
    return y, pullback


def _sizes(x: Array, s: Any, axes: Any) -> list[tuple[int | None, int]]:
    """(length, axis) of each transform: all axes by default, the last ones for as many lengths."""
    if axes is None:
        axes = range(-(np.ndim(x) if s is None else len(s)), 0)
    return [(n, axis) for n, axis in zip([None] * len(axes) if s is None else s, axes)]


def _in_turn(function: Any, x: Array, sizes: Sequence[tuple[int | None, int]], norm: Any) -> Array:
    for n, axis in reversed(sizes):
        x = function(x, n, axis, norm)
    return x


def _half(x: Array, *sizes: tuple[int | None, int], norm: Any) -> Array:
    return _in_turn(fft, rfft(x, *sizes[-1], norm), sizes[:-1], norm)


def _whole(x: Array, *sizes: tuple[int | None, int], norm: Any) -> Array:
    return irfft(_in_turn(ifft, x, sizes[-2::-1], norm), *sizes[-1], norm)


fftn = composed(np.fft.fftn, lambda x, s=None, axes=None, norm=None: _in_turn(fft, x, _sizes(x, s, axes), norm), M)
ifftn = composed(np.fft.ifftn, lambda x, s=None, axes=None, norm=None: _in_turn(ifft, x, _sizes(x, s, axes), norm), M)
rfftn = composed(np.fft.rfftn, lambda x, s=None, axes=None, norm=None: _half(x, *_sizes(x, s, axes), norm=norm), M)
irfftn = composed(np.fft.irfftn, lambda x, s=None, axes=None, norm=None: _whole(x, *_sizes(x, s, axes), norm=norm), M)
fft2 = composed(np.fft.fft2, lambda x, s=None, axes=(-2, -1), norm=None: fftn(x, s, axes, norm), M)
ifft2 = composed(np.fft.ifft2, lambda x, s=None, axes=(-2, -1), norm=None: ifftn(x, s, axes, norm), M)
rfft2 = composed(np.fft.rfft2, lambda x, s=None, axes=(-2, -1), norm=None: rfftn(x, s, axes, norm), M)
irfft2 = composed(np.fft.irfft2, lambda x, s=None, axes=(-2, -1), norm=None: irfftn(x, s, axes, norm), M)


def _halves(x: Array, axes: Any, sign: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = tuple(range(np.ndim(x))) if axes is None else (axes,) if isinstance(axes, int | np.integer) else tuple(axes)
    return tuple(sign * (np.shape(x)[k] // 2) for k in axes), axes


fftshift = composed(np.fft.fftshift, lambda x, axes=None: roll(x, *_halves(x, axes, 1)), V)
ifftshift = composed(np.fft.ifftshift, lambda x, axes=None: roll(x, *_halves(x, axes, -1)), V)
