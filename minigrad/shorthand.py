"""Ops and functions defined in one line; their docstrings come from NumPy's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, implements, op, stop_gradient
from minigrad.hints import full_name
from minigrad.mode import mode
from minigrad.operands import is_lazy

# arguments of the examples
V, M = [1.0, 2.0, 3.0], [[1.0, 2.0], [3.0, 5.0]]


def _described(f: Any, function: Any, *args: Any) -> Any:
    """f with the name and summary of a NumPy function, and an example that shows that both return the same."""
    f.__name__ = f.__qualname__ = name = function.__name__
    theirs = full_name(function)
    lines = map(str.strip, (function.__doc__ or name).split("\n", 20))  # the summary is in the first lines
    summary = next(line for line in lines if line and not line.startswith(f"{name}("))
    shown = ", ".join(f"np.array({a})" if isinstance(a, list) else repr(a) for a in args)
    f.__doc__ = f"{summary}\n\n>>> np.array_equal({name}({shown}), {theirs}({shown}))\nTrue\n"
    return f


def unary(function: Any, derivative: Callable[[Array, Array], Array], at: float = 0.5) -> Any:
    """The op of a ufunc of one argument, from its derivative written in x and y = f(x)."""

    def body(x: Array) -> Array:
        y = function(x)
        return y, lambda g: g * derivative(x, y)

    body.__module__ = derivative.__module__
    return op(function)(_described(body, function, at))


def binary(function: Any, by_x: Callable[..., Array], by_y: Callable[..., Array]) -> Any:
    """The op of a ufunc of two arguments, from its derivatives written in x, y and z = f(x, y)."""

    def body(x: Array, y: Array) -> Array:
        z = function(x, y)
        return z, lambda g: g * by_x(x, y, z), lambda g: g * by_y(x, y, z)

    body.__module__ = by_x.__module__
    return op(function)(_described(body, function, 3.5, 2.0))


def composed(function: Any, how: Callable[..., Any], *args: Any) -> Any:
    """The implementation of a NumPy function as an expression of other ops. The arguments are those of its example."""
    return implements(function)(_described(how, function, *args))


def made_like(x: Array, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Array:
    """An array that a NumPy function makes of numbers alone (np.arange), in the library of x: others refuse to mix.

    In a traced program it is a constant.
    """
    x = stop_gradient(x)
    if not mode.tracing and hasattr(x, "__array_function__"):
        return function(*args, **kwargs, like=x)
    return function(*args, **kwargs)


def changed(default: Any, **keywords: Any) -> dict[str, Any]:
    """The keywords that differ from NumPy's default: other libraries lack some, and refuse to be told the default."""
    return {key: a for key, a in keywords.items() if type(a) is not type(default) or a != default}


def beside(x: Array, a: Any) -> Array:
    """A number or a list as an array of the library of x; an array as it is."""
    return a if hasattr(a, "__array_function__") else made_like(x, np.asarray, a)


def in_chunks(x: Array) -> Array | None:
    """A lazy array, in whose chunks its gradient will be; None for others, which a pullback need not keep."""
    return None if type(x) is np.ndarray or not is_lazy(stop_gradient(x)) else stop_gradient(x)


def spread(g: Array, shape: tuple[int, ...], like: Array | None) -> Array:
    """g broadcast to a shape, in the chunks of an array like it: of np.broadcast_to Dask makes a single one."""
    return np.broadcast_to(g, shape) if like is None else g * np.ones_like(like, dtype=g.dtype)


def indexable(x: Array, index: Any, written: bool = False) -> Array:
    """x as an array that an index can be applied to: NumPy's own takes none that differs between examples of a vmap.

    Args:
        written: it is to be written into there.
    """
    for part in index if type(index) is tuple else (index,):
        if hasattr(part, "same_for_all") and not isinstance(x, Node):
            return part.for_each(x) if written else part.same_for_all(x)
    return x


HALF = np.dtype(np.float16)


def in_float32(body: Callable[..., Any]) -> Callable[..., Any]:
    """An op's body that computes in float32 where its first argument is float16: sums of 65,520 overflow there.

    Not where the caller names a dtype.
    """

    @functools.wraps(body)
    def wide(x: Array, *args: Any, **kwargs: Any) -> Any:
        if getattr(x, "dtype", None) != HALF or kwargs.get("dtype") is not None:
            return body(x, *args, **kwargs)
        y, *pullbacks = body(np.positive(x, dtype=np.float32), *args, **kwargs)
        wider = [p and (lambda g, p=p: p(np.positive(g, dtype=np.float32))) for p in pullbacks]
        return np.positive(y, dtype=HALF), *wider

    return wide
