"""vmap: a function of one example, mapped over a batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

import minigrad.batch_rules  # noqa: F401  # which fills the table of rules
from minigrad.batched import batching, enter, left, refused
from minigrad.generators import State, set_rng_state
from minigrad.mode import mode
from minigrad.text import printable
from minigrad.trees import children, leaves, map_leaves, paths

P = ParamSpec("P")
Function = Callable[..., Any]


def named_after(f: Function, transform: str, g: Function) -> Function:
    """g, which a transform made of f, under a name of both."""
    g.__name__ = g.__qualname__ = printable(f"{transform}_{getattr(f, '__name__', 'f')}")
    return g


def vmap(f: Callable[P, Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[P, Any]:
    """A function of one example, mapped over a batch: what a loop over the examples computes, in one call each.

    >>> import minigrad as mg
    >>> W, X, T = np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2))
    >>> def loss(W, x, t):
    ...     return np.sum((W @ x - t) ** 2)
    >>> mg.vmap(loss, in_axes=(None, 0, 0))(W, X, T)
    array([ 1., 13.])
    >>> mg.vmap(mg.grad(loss), in_axes=(None, 0, 0))(W, X, T).shape  # the gradient of each example
    (2, 2, 2)

    It nests to any depth, inside and outside of all other transforms.

    Args:
        f: a function of arrays, or of containers of arrays. It runs once, on arrays of the shapes of one example.
        in_axes: which axis of an argument counts the examples: an integer for all arguments, or a tuple with one entry
            for each: an integer, None for an argument that is the same for all examples, or a container of them for a
            container. Arguments by keyword have the examples along their axis 0.
        out_axes: the same for f's value: where the axis of the examples goes. None for a part of the value that does
            not depend on the example.

    Raises:
        ValueError: for arguments that disagree in the number of examples, or lack the axis. It names argument and axis.
        TypeError: where a value decides in Python (`if x > 0`, `float(x)`, `x[mask]`): write np.where(condition, x, y);
            where random numbers are drawn, which would be the same for all examples: draw them outside; for `.data =`
            and `backward()` on a variable from outside.
    """
    if not callable(f):
        raise TypeError(f"vmap needed a function, got {f!r}")

    @functools.wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        flat, axes = _flat(args, kwargs, in_axes)
        size = _batch_size(f, args, kwargs, flat, axes)
        random = None if mode.levels else State(f, args, kwargs)  # the outermost vmap looks for all
        with batching(size) as level:
            inside = iter([x if k is None else enter(x, k, level) for x, k in zip(flat, axes)])
            positional, named = map_leaves(lambda _: next(inside), (args, kwargs))
            value = f(*positional, **named)
            if random is not None:
                _check_random(random)
            places = _axes_of(value, out_axes, "out_axes", "the value")
            parts = iter([left(y, k, level, at) for y, k, at in zip(leaves(value), places, paths(value))])
            return map_leaves(lambda _: next(parts), value)

    return named_after(f, "vmap", mapped)


def _flat(args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Any) -> tuple[list[Any], list[int | None]]:
    """The leaves of the arguments, and the axis of each."""
    axes: list[int | None] = []
    if isinstance(in_axes, list | tuple):
        if len(in_axes) != len(args):
            raise ValueError(f"vmap: in_axes={in_axes!r} needs {len(in_axes)} arguments, got {len(args)}")
        for i, (x, k) in enumerate(zip(args, in_axes)):
            axes += _axes_of(x, k, f"in_axes[{i}]", f"argument {i}")
    else:
        axes += _axes_of(args, in_axes, "in_axes", "the arguments")
    axes += [0] * len(leaves(kwargs))
    flat = leaves((args, kwargs))
    return flat, [None if x is None or isinstance(x, str | bytes) or callable(x) else k for x, k in zip(flat, axes)]


def _axes_of(tree: Any, axes: Any, name: str, whose: str) -> list[int | None]:
    """The axis of each leaf of a tree: one for all below, or a container of the same form."""
    if axes is None or (isinstance(axes, int | np.integer) and not isinstance(axes, bool)):
        return [None if axes is None else int(axes)] * len(leaves(tree))
    below, others = children(tree), children(axes)
    if below is None or others is None or {*dict(below)} != {*dict(others)}:
        form = f"needs an integer, None, or a container of them of the form of {whose}"
        raise TypeError(f"vmap: {name} {form}, got {axes!r}")
    found = dict(others)
    return [k for key, sub in below for k in _axes_of(sub, found[key], f"{name}[{key!r}]", f"{whose}[{key!r}]")]


def _batch_size(
    f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], flat: list[Any], axes: list[int | None]
) -> int:
    """The number of examples, on which all arguments have to agree."""
    sizes: list[int | None] = []
    for i, (x, axis) in enumerate(zip(flat, axes)):
        shape = getattr(x, "shape", ())
        if axis is not None and not -len(shape) <= axis < len(shape):
            got = f"an array of shape {shape}" if hasattr(x, "shape") else repr(x)
            raise ValueError(
                f"vmap: {_name(f, args, kwargs, i)} needs an axis {axis}, along which the examples are, got "
                f"{printable(got)}; in_axes has None for an argument that is the same for all"
            )
        sizes.append(None if axis is None else shape[axis])
    there = [i for i, n in enumerate(sizes) if n is not None]
    if not there:
        raise ValueError("vmap needs an argument with an axis of examples, got none: in_axes is None for all")
    for i in there:
        if sizes[i] != sizes[there[0]]:
            first, other = (
                f"{sizes[j]} of {_name(f, args, kwargs, j)} (axis {axes[j]} of {flat[j].shape})" for j in (there[0], i)
            )
            raise ValueError(f"vmap needs as many examples in each argument, got {first} and {other}")
    size = sizes[there[0]]
    assert size is not None
    return size


def _name(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], number: int) -> str:
    """The name of a leaf of the arguments: x, params['W']."""
    try:
        given = inspect.signature(f).bind_partial(*args)
        names = [*given.arguments][: len(args)]
    except (TypeError, ValueError):
        names = []
    names += [f"argument {i}" for i in range(len(names), len(args))]
    every = [name + path for name, x in zip([*names, *kwargs], [*args, *kwargs.values()]) for path in paths(x)]
    return printable(every[number])


def _check_random(random: State) -> None:
    """Refuse random numbers, also where another thread may have drawn them: they would be the same for all examples."""
    random.forget_unused()
    if random.states:
        for x, state in random.states:
            set_rng_state(x, state)
        raise refused(
            "random numbers were drawn, which would be the same for all examples",
            "draw them outside, and pass them as an argument",
        )
