"""`debug`: what cannot be seen at full speed. Arrays written into, values and gradients that are not finite."""

from __future__ import annotations

import dis
import functools
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.batched import bare
from minigrad.engine import Array, Node
from minigrad.engine import stop_gradient as plain
from minigrad.errors import describe, library
from minigrad.mode import Block, mode
from minigrad.operands import is_lazy, read
from minigrad.origin import at_users_line, from_users_line, holds_users_state
from minigrad.reach import cell_content
from minigrad.sparse import RowSparse
from minigrad.text import named, op_name
from minigrad.walk import arguments, pullbacks

#: Elements: of an array that an op reaches and was not called with, it may be that only so many are looked at.
LOOKED_AT = 4096


def debug() -> Block:
    """Check everything that is computed inside, forward and backward.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 0.0], name="x")
    >>> try:
    ...     with np.errstate(divide="ignore"), mg.debug():
    ...         y = np.log(x)
    ... except FloatingPointError as error:
    ...     print(str(error).splitlines()[0])
    log made the first value that is not finite: -inf at index 1 of shape (2,), where x is 0.0

    Inside, for this thread or asyncio task (as with `no_grad`):

    - the first op whose value is not finite, and the first whose pullback returns a gradient that is not, are named,
      with the line of your code that called the op. An infinity in is an infinity out: a mask of -inf is no error.
    - an array that a backward pass needs must be as it was in the forward pass. `t.data = ...` is seen without `debug`;
      `t.data[...] = ...`, a buffer that is filled again and np.copyto are seen with it.
    - a pullback must return a gradient of the argument's (or the value's) precision, and in an op of your own shape;
      `backward` otherwise sums and converts what can be summed and converted.

    Both passes have to run inside. Functions from `mg.derive` and `mg.compile`, which call no ops, are not looked at.
    Of another library's arrays the values are looked at, copied from the GPU, but no change in place is seen. Outside
    the block there is no cost.

    It reads every array a few times: with large arrays a pass takes some twice as long, with arrays of a few elements
    some fifteen times. Looking up a few rows of a large table costs more inside a transform (`mg.grad`), which may need
    the table again. Of an array that a pullback reaches, such as a global, and that is larger than all that the op was
    called with, some 4,096 elements are looked at, and a change of a few others is not seen.

    Raises:
        FloatingPointError: for a value or a gradient that is not finite.
        RuntimeError: for an array that was changed.
        ValueError, TypeError: for a pullback's shape, its dtype; for lazy arrays (Dask's), which have no values.
    """
    return Block(observer=_check_value, pass_observer=lambda: _check_pass, pull=_checked_pull)


class NotFinite(FloatingPointError):
    """Raised by an op; `replayed` where that op is part of a pullback that is itself recorded."""

    replayed = False


class _Kept(NamedTuple):
    """An array that a backward pass needs."""

    words: str
    array: Array
    fingerprint: int
    enough: int  # elements


class _Call(NamedTuple):
    """An op that was called: the user's line, and the arrays that its backward pass needs."""

    line: str
    kept: list[_Kept]
    node: weakref.ref[Any]


_calls: dict[int, _Call] = {}  # by the stamp of the value, as long as that lives


# forward


def _check_value(node: Any) -> None:
    data = _readable(bare(node._data))
    if mode.tracing or data is None:
        return
    bad = _not_finite(data)
    # an infinity in is an infinity out, and that of a variable is data
    if bad is not None and (
        np.any(np.isnan(data)) or (node._op is not None and not any(map(_has_infinity, _operands(node))))
    ):
        made = (
            f"{op_name(node._op)} made the first value that is"
            if node._op
            else f"{describe(node)} is made of data that is"
        )
        error = NotFinite(f"{made} not finite: {_shown(data, bad)}{_beside(node, bad)}{from_users_line()}")
        error.replayed = mode.replaying
        raise error
    if node._op is not None:
        stamp = node._stamp
        forget = weakref.ref(node, lambda _: _calls.pop(stamp, None))
        _calls[stamp] = _Call(at_users_line(), list(_arrays_kept(node)), forget)


def _operands(node: Any) -> Iterator[Array]:
    """The arrays and numbers that an op was called with."""
    return _arrays_in((arguments(node), node._kwargs))


def _arrays_kept(node: Any) -> Iterator[_Kept]:
    words = {id(plain(x)): describe(x) for x in arguments(node) if isinstance(x, Node | np.ndarray)}
    words.setdefault(id(node._data), "its value")
    called_with = {id(a): a for a in _operands(node) if isinstance(a, np.ndarray)}
    kept = {id(a): a for a in _arrays_in(pullbacks(node)) if isinstance(a, np.ndarray)}
    if mode.transforms:  # which may run the op's body again
        kept = called_with | kept
    enough = max([LOOKED_AT, node._data.size, *(a.size for a in called_with.values())])
    for me, array in kept.items():
        yield _Kept(words.get(me, f"an array {array.shape}"), array, _fingerprint(array, enough), enough)


def _arrays_in(x: Any) -> Iterator[Array]:
    """The arrays and numbers in containers, in Tensors, in objects and in what functions hold on to."""
    seen: set[int] = set()
    waiting = [x]
    while waiting:
        x = waiting.pop()
        if isinstance(x, np.ndarray | np.generic | float | complex):
            yield x
        elif id(x) in seen:
            continue
        elif isinstance(x, Node):
            yield x._data
        elif isinstance(x, list | tuple | set | frozenset | deque):
            waiting += x
        elif isinstance(x, dict):
            waiting += x.values()
        elif isinstance(x, functools.partial):
            waiting += [x.func, *x.args, *x.keywords.values()]
        elif isinstance(x, types.MethodType):
            waiting += [x.__self__, x.__func__]
        elif isinstance(x, types.FunctionType):
            waiting += _values_read(x)
        elif holds_users_state(type(x)):
            slots = [name for kind in type(x).__mro__ for name in getattr(kind, "__slots__", ())]
            waiting += getattr(x, "__dict__", {}).values()
            waiting += [getattr(x, name) for name in slots if hasattr(x, name)]
        seen.add(id(x))


def _values_read(function: types.FunctionType) -> Iterator[Any]:
    """What a function reads of its closure, its defaults and, if they are arrays, its globals."""
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or ())
    yield from (cell_content(cell) for name, cell in cells if name in _names_read(code))
    yield from function.__defaults__ or ()
    named = (function.__globals__.get(name) for name in code.co_names)
    yield from (value for value in named if isinstance(value, np.ndarray))


@functools.cache
def _names_read(code: types.CodeType) -> frozenset[str]:
    """The free variables of which a function reads more than the shape or the dtype, which no write changes."""
    steps = list(dis.get_instructions(code))
    return frozenset(
        step.argval
        for step, then in zip(steps, [*steps[1:], None])
        if step.argval in code.co_freevars
        and step.opname != "COPY_FREE_VARS"
        and not (then and then.opname == "LOAD_ATTR" and then.argval in ("shape", "dtype", "ndim", "size"))
    )


def _fingerprint(array: Array, enough: int) -> int:
    """A hash of an array; of a larger one than enough, of so many elements that are evenly spread."""
    if array.size > enough:
        array = array.flat[:: array.size // enough | 1]
    return hash(array.tobytes())


# backward


def _check_pass(node: Any, g: Any) -> None:
    """Called with every Tensor of a backward pass and its whole gradient."""
    value = _readable(bare(plain(g)))
    if value is None:
        return
    bad = _not_finite(value)
    if bad is not None:
        raise NotFinite(
            f"the gradient of {describe(node)} is the first that is not finite, as the sum of finite ones or as the "
            f"seed of the pass: {_shown(value, bad)}{_called(node)}"
        )
    for kept in _calls[node._stamp].kept if node._stamp in _calls else ():
        if kept.fingerprint != _fingerprint(kept.array, kept.enough):
            raise RuntimeError(
                f"backward needs the values of the forward pass, but {kept.words}, used by {op_name(node._op)}, was "
                f"changed since: call backward before changing it, or use a copy of it{_called(node)}"
            )


def _checked_pull(node: Any, x: Any, pullback: Callable[[Any], Any], g: Any) -> Any:
    """Called in place of a pullback."""
    try:
        h = pullback(g)
    except NotFinite as error:
        if not error.replayed:
            raise
        raise NotFinite(f"in the backward pass of {op_name(node._op)}, {error}{_called(node)}") from error
    value, of_value = plain(h), plain(g)
    if _readable(bare(value)) is None and not isinstance(value, RowSparse):
        return h
    name = f"the pullback of {op_name(node._op)} with respect to {describe(x)}"
    if not _fits(value.shape, x._data.shape, of_value.shape) and not node._op.body.__module__.startswith("minigrad."):
        raise ValueError(
            f"{name} returned a gradient of shape {value.shape}; needed the argument's shape {x._data.shape}, or the "
            f"value's, {of_value.shape}, which is summed over the axes that were broadcast{_called(node)}"
        )
    if not _has_precision(value.dtype, x._data.dtype, of_value.dtype):
        raise TypeError(
            f"{name} returned a gradient of dtype {value.dtype}; needed the argument's dtype, {x._data.dtype}: a "
            f"number or an array inside it has another{_called(node)}"
        )
    for part in [rows for _, rows in value._parts] if isinstance(value, RowSparse) else [value]:
        part = _readable(bare(part))  # of a vmap, its examples along the first axes
        bad = _not_finite(part)
        if bad is not None:
            raise NotFinite(
                f"{name} returned the first gradient that is not finite: {_shown(part, bad)}"
                f"{_beside(node, bad)}{_called(node)}"
            )
    return h


def _fits(shape: tuple[int, ...], argument: tuple[int, ...], value: tuple[int, ...]) -> bool:
    """May a pullback return a gradient of this shape? The first axes may be the value's, as of a batch of products."""
    more = len(shape) - len(argument)
    return shape in (argument, value) or (more > 0 and shape[:more] == value[:more])


def _has_precision(dtype: np.dtype[Any], argument: np.dtype[Any], value: np.dtype[Any]) -> bool:
    """May a pullback return a gradient of this dtype? Complex or real: of a complex one `backward` takes the part."""
    got, *needed = (np.empty(0, d).real.dtype for d in (dtype, argument, value))
    return got in needed or (got == np.float32 and np.float16 in needed)  # ops compute in float32 for float16


# words


def _readable(x: Any) -> Any:
    """NumPy's values of an array; None of a tracer."""
    if is_lazy(x):
        raise TypeError("debug reads every value, and lazy arrays have none yet: debug a small part, computed")
    value = read(x)
    return value if library(value) == "numpy" else None


def _not_finite(x: Array) -> tuple[int, ...] | None:
    """The index of the first element that is not finite, None where all are."""
    if x.dtype.kind not in "fc" or np.all(np.isfinite(x)):
        return None
    return tuple(map(int, np.argwhere(~np.isfinite(x))[0])) if x.ndim else ()


def _has_infinity(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(float)).kind in "fc" and bool(np.any(np.isinf(bare(x))))


def _shown(x: Array, index: tuple[int, ...]) -> str:
    count = np.size(x) - np.count_nonzero(np.isfinite(x))
    where = f" at index {', '.join(map(str, index))} of shape {x.shape}" if index else ""
    return f"{x[index]}{where}" + f" and {count - 1} more" * bool(count > 1)


def _beside(node: Any, index: tuple[int, ...]) -> str:
    """The arguments at the place where something is not finite."""
    arrays = [x for x in arguments(node) if isinstance(x, Node | np.ndarray)]
    there = [
        (x, _readable(plain(x))[index])
        for x in arrays
        if plain(x).shape == node._data.shape and len(index) == plain(x).ndim
    ]
    words = [f"{named(x, 'an argument') if isinstance(x, Node) else 'an argument'} is {value}" for x, value in there]
    return f", where {' and '.join(words)}" * (words != [])


def _called(node: Any) -> str:
    """The line that called an op."""
    if node._op is None:
        return ""
    call = _calls.get(node._stamp)
    if call is None:
        return f"\n  {op_name(node._op)} was called outside of debug: run the forward pass inside for its line"
    return f"\n  {op_name(node._op)} was called{call.line}" if call.line else ""
