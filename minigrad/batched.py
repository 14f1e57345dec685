"""vmap: a function of one example, run on a whole batch, by one more reader of the bodies of the ops.

A `Batched` array is an array with a hidden first axis, the batch. It speaks NEP 13 and NEP 18 as any other array does,
so that whatever calls NumPy runs on it unchanged: each call becomes one call on the whole batch. What the user's
function sees is the shape of one example.

Arrays nest in one order: a Tensor outside, then Batched arrays, those of the innermost vmap first, then the array
itself (NumPy's, another library's, a tracer). Entering and leaving a vmap are ops, so that gradients pass.
"""

from __future__ import annotations

import functools
import math
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Never

import numpy as np

from minigrad._tensor import Tensor
from minigrad.engine import Array, Node, backward_pass, implementations, op, tick
from minigrad.engine import stop_gradient as plain
from minigrad.hints import full_name
from minigrad.mode import Block, mode, vmaps
from minigrad.node import Entry
from minigrad.origin import at_users_line
from minigrad.shorthand import indexable, made_like
from minigrad.sparse import RowSparse

Function = Callable[..., Any]


class Level:
    """One run of a vmap: of those that are nested, the inner one began later.

    Attributes:
        size: the number of examples.
        began: the stamp of its beginning; variables that are older have a larger one.
        running: is its function running? Afterwards only backward passes use its arrays.
    """

    __slots__ = ("__weakref__", "began", "running", "size")

    def __init__(self, size: int) -> None:
        self.size, self.began, self.running = size, tick(), True
        vmaps.add(weakref.ref(self, vmaps.discard))


@contextmanager
def batching(size: int) -> Iterator[Level]:
    """A vmap's level while its function runs."""
    level = Level(size)
    try:
        with Block(levels=(*mode.levels, level)):
            yield level
    finally:
        level.running = False


def refused(what: str, instead: str) -> TypeError:
    return TypeError(f"vmap: {what}{at_users_line()}; {instead}")


def _of_a_value(what: str) -> Any:
    def refuse(self: Batched, *_: Any, **__: Any) -> Never:
        raise refused(
            f"the value of {self!r} was read ({what}), which is another for each example",
            "write np.where(condition, x, y) for an if, NumPy's function for Python's (np.sin for math.sin), and pass "
            "what decides for all examples with the axis None",
        )

    return refuse


class Batched(np.lib.mixins.NDArrayOperatorsMixin):
    """The arrays of all examples as one, whose first axis nobody sees.

    Args:
        array: the examples along the first axis, or, if it is not mapped, one array for all of them.

    Attributes:
        factors: in a backward pass, two stacks of matrices: the array is their product, computed when it is read. Its
            sum over the batch does not read it: that is one product of matrices.
    """

    __slots__ = ("array", "factors", "level", "mapped")

    factors: tuple[Array, Array]

    def __init__(self, array: Array, level: Level, mapped: bool = True) -> None:
        self.array, self.level, self.mapped = array, level, mapped

    # metadata, which may be read

    shape = property(lambda self: self.array.shape[1:] if self.mapped else self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    base = property(lambda self: getattr(self.array, "base", self))
    strides = property(lambda self: self.array.strides[1 if self.mapped else 0 :])
    flags = property(lambda self: (self.array[:1] if self.mapped else self.array).flags)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.dtype} {self.shape} for each of {self.level.size} examples>"

    # values, which Python may not read

    __bool__, __int__, __float__ = map(_of_a_value, ("if, and, or, not", "int()", "float()"))
    __complex__, __index__, __format__ = map(_of_a_value, ("complex()", "as an index or a length", "a format"))
    __round__, __trunc__, __floor__, __ceil__ = map(_of_a_value, ("round()", "trunc()", "floor()", "ceil()"))
    __contains__, item, tolist, tobytes = map(_of_a_value, ("in", "item()", "tolist()", "tobytes()"))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Never:
        raise refused(
            f"{self!r} was converted to an array of NumPy's, stored in one, or the index of one",
            "write np.stack([x, y]) for np.array([x, y]), mg.take(table, i, 0) for table[i], and make an array to write"
            " to with np.zeros_like(x, shape=...)",
        )

    def __reduce__(self) -> Never:
        raise refused(f"{self!r} was to be copied or pickled", "return it, and copy the result")

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", ())
        if any(isinstance(x, Node | RowSparse) for x in (*inputs, *out)):
            return NotImplemented
        if out:
            return _written(out, ufunc, method, inputs, kwargs)
        if ufunc in (np.multiply, np.matmul) and method == "__call__" and _is_product(ufunc, *inputs):
            return _product(*inputs)
        if method == "__call__" and ufunc.signature is None:
            return _together(_newest((inputs, kwargs)), ufunc, inputs, kwargs)
        if method == "at":
            return _added_at(ufunc, *inputs)
        return called(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs, self)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, Node | RowSparse) for t in types):
            return NotImplemented
        return called(function, args, kwargs, self)

    def __getitem__(self, index: Any) -> Any:
        return picked(_newest((self, index)), self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        level = _newest((self, index, value))
        where, v = _place(level, self, index, value)
        self.array[where] = v

    # what `indexable` asks an index for

    def same_for_all(self, x: Array) -> Array:
        """An array to be read at this index."""
        return x if type(x) is Batched and x.level.began <= self.level.began else Batched(x, self.level, mapped=False)

    def for_each(self, x: Array) -> Array:
        """An array to be written at this index."""
        return x if self.level in levels_of(x) else spread(x, self.level)

    # the methods of ndarray

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **({} if order == "C" else {"order": order}))

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self, order: Any = "C") -> Any:
        return np.copy(np.ravel(self, order))

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        return Batched(_in_use(self).array.astype(dtype, *args, **kwargs), self.level)

    def __copy__(self) -> Any:
        return np.copy(self)

    def __deepcopy__(self, _: Any) -> Any:
        return np.copy(self)

    def __getattr__(self, name: str) -> Any:
        if name == "array":
            x, y = self.factors
            self.array = x * y if x.shape[-1] == 1 else np.matmul(x, y)
            del self.factors
            return self.array
        if name in ARRAY_METHODS:
            return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)
        raise AttributeError(f"an array inside vmap has no {name}; use the function of NumPy or minigrad")


#: The methods of ndarray that are functions of NumPy of the same name.
ARRAY_METHODS = {name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(np, name, None))}
ARRAY_METHODS -= {"astype", "compress", "partition", "sort", "resize", "size", "shape", "real", "imag"}


# Levels


def found_in(x: Any, found: list[Batched]) -> list[Batched]:
    """The Batched arrays in arguments."""
    if type(x) is Batched:
        found.append(x)
    elif type(x) in (tuple, list):
        for e in x:
            found_in(e, found)
    elif type(x) is dict:
        for e in x.values():
            found_in(e, found)
    elif type(x) is slice:
        found_in((x.start, x.stop, x.step), found)
    elif isinstance(x, RowSparse):
        found_in([list(part) for part in x._parts], found)
    return found


def _newest(args: Any) -> Level:
    """The level of the innermost vmap among arguments: the one whose axis is outermost."""
    return min((_in_use(x).level for x in found_in(args, [])), key=lambda level: level.began)


def _in_use(x: Batched) -> Batched:
    """The same array: an error where its vmap is over, and no backward pass uses it."""
    if not x.level.running and not _in_a_pass():
        raise refused(
            f"{x!r} was used, but its vmap has returned: it was kept in a variable from outside", "return it from there"
        )
    return x


#: A pass, and the method that keeps what it finds.
_PASSES = backward_pass.__code__, Tensor.backward.__code__


def _in_a_pass() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code not in _PASSES:
        frame = frame.f_back
    return frame is not None


def levels_of(x: Any) -> list[Level]:
    """The levels of an array, the innermost vmap's first."""
    found: list[Level] = []
    waiting = found_in(plain(x), [])
    while waiting:
        part = waiting.pop()
        if part.level not in found:
            found.append(part.level)
        waiting += found_in(part.factors if hasattr(part, "factors") else part.array, [])
    return sorted(found, key=lambda level: level.began)


def bare(x: Any) -> Any:
    """The array of all examples of all vmaps, its batch axes first."""
    while type(x) is Batched:
        x = x.array
    return x


# Entering and leaving


def _entered(x: Array, axis: int, level: Level) -> Array:
    if type(x) is Batched and x.level.began < level.began:  # of a vmap further in, whose axis stays outermost
        return Batched(_entered(x.array, axis + 1, level), x.level)
    x = x.dense() if isinstance(x, RowSparse) else x
    x = np.moveaxis(x, axis, 0) if axis else x
    if type(x) is np.ndarray:
        x = x.view()
        x.flags.writeable = False  # an argument: the function may not write into it
    return Batched(x, level)


def _left(y: Array, axis: int, level: Level) -> Array:
    if type(y) is Batched and y.level is not level:
        return Batched(_left(y.array, axis + 1, level), y.level)
    return np.moveaxis(y.array, 0, axis) if axis else y.array


@op()
def enter(x: Array, axis: int, level: Level) -> Array:
    """An axis of x becomes the batch."""
    return x if isinstance(x, Node) else _entered(x, axis, level), lambda g: leave(g, axis, level)


@op()
def leave(y: Array, axis: int, level: Level) -> Array:
    """The batch becomes an axis."""
    return y if isinstance(y, Node) else _left(y, axis, level), lambda g: enter(g, axis, level)


@op()
def spread(x: Array, level: Level) -> Array:
    """The same array for each example."""
    if isinstance(x, Node):
        return x, lambda g: total(g, level)
    return _spread(x, level), lambda g: total(g, level)


def _spread(x: Array, level: Level) -> Array:
    if type(x) is Batched and x.level.began < level.began:
        return Batched(_spread(x.array, level), x.level)
    return Batched(np.broadcast_to(x, (level.size, *np.shape(x))), level)


@op()
def total(g: Array, level: Level) -> Array:
    """The sum over the batch."""
    return g if isinstance(g, Node) else _summed(g, level), lambda h: spread(h, level)


def _is_product(ufunc: np.ufunc, x: Any, y: Any) -> bool:
    """Is it the outer product of an array and a vector, or the product of two matrices, of each example?

    In a backward pass alone, which sums it at once or reads it: elsewhere an array may change before it is read.
    """
    if type(x) is not Batched or type(y) is not Batched or x.level is not y.level or not (x.mapped and y.mapped):
        return False
    n, m = x.shape, y.shape
    if ufunc is np.matmul:
        fits = len(n) == len(m) == 2 and n[1] == m[0]
    else:
        fits = len(n) >= 2 and n[-1] == 1 and len(n) >= len(m) > 0 and math.prod(m[:-1]) == 1
    return fits and _in_a_pass()


def _product(x: Any, y: Any) -> Batched:
    """A product as its factors."""
    product = Batched.__new__(Batched)
    product.level, product.mapped = x.level, True
    product.factors = x.array, widened(y, x.level, x.ndim)
    return product


def _summed(g: Array, level: Level) -> Array:
    if type(g) is Batched and g.level is level and hasattr(g, "factors"):
        x, y = g.factors
        size, *n, k = x.shape
        if k == 1:
            rows = np.transpose(np.reshape(x, (size, math.prod(n))))
        else:
            rows = np.reshape(np.moveaxis(x, 1, 0), (n[0], size * k))
        z = np.matmul(rows, np.reshape(y, (size * k, y.shape[-1])))
        return np.reshape(z, (*n, y.shape[-1]))
    if isinstance(g, RowSparse):
        return RowSparse([_rows_of_all(level, *part) for part in g._parts], g.shape)
    if type(g) is Batched and g.level is not level:
        return Batched(_summed(g.array, level), g.level)
    return np.sum(g.array, axis=0)


def _rows_of_all(level: Level, indices: Array, rows: Array) -> tuple[Array, Array]:
    """The rows that all examples look up, and their numbers, as one look-up."""
    shape = np.shape(indices)
    if level in levels_of(indices):
        indices = _left(indices, 0, level)
    else:
        indices = np.broadcast_to(indices, (level.size, *shape))
    return indices, _left(rows, 0, level)


@op()
def dense(g: Array) -> Array:
    """A row-sparse gradient of each example."""
    return g if isinstance(g, Node) else g.dense(), lambda h: h


def aligned(g: Array, x: Any) -> Array:
    """A gradient of a variable, batched as the variable is.

    That of a variable older than a vmap is the sum over the batch, once the vmap has returned; a pass inside, over a
    graph that was recorded before, is one of each example.
    """
    is_entry = type(x) is Entry  # of a plain array
    if type(g) is np.ndarray and (is_entry or type(x._data) is np.ndarray):
        return g
    levels = () if is_entry else levels_of(x)
    for level in levels_of(g):
        if level not in levels and x._stamp > level.began and not level.running:
            g = total(g, level)
    if set(levels) > set(levels_of(g)):
        g = g * np.ones_like(x._data)
    if isinstance(plain(g), RowSparse):
        return dense(g) if levels_of(g) else g
    bare(plain(g))  # products are computed before anything they are made of can change
    return g


mode.aligned = aligned


def refuse_writes(what: str, data: Any = None) -> None:
    """An error inside a vmap, or with data kept from one, for what would happen once, not for each example."""
    if mode.levels or levels_of(data):
        raise refused(what, "return it from the function that is mapped, and do that with the result outside")


mode.refuse_inside_vmap = refuse_writes


def left(y: Any, axis: int | None, level: Level, at: str = "") -> Any:
    """A part of the value outside, as an array of its own."""
    if y is None or isinstance(y, str | bytes):
        return y
    is_same = level not in levels_of(y)
    if axis is None:
        if not is_same:
            raise ValueError(f"vmap: out_axes=None needs the same value for all examples, the value{at} differs")
        return y
    is_array = isinstance(y, Node | RowSparse) or hasattr(y, "__array_function__")
    if not is_array and not isinstance(y, np.generic | int | float | complex):
        raise TypeError(f"vmap needs a function that returns arrays, got a {type(y).__name__}{at}")
    ndim = ndim_of(plain(y)) + 1
    if not -ndim <= axis < ndim:
        needed = axis if axis >= 0 else -axis - 1
        raise ValueError(f"vmap: out_axes={axis} needs a value of {needed} axes, the value{at} has {ndim - 1}")
    y = dense(y) if isinstance(plain(y), RowSparse) else y
    if is_same:
        y = spread(y, level)
    y = leave(y, axis % ndim, level)
    if isinstance(y, Node):
        return y
    return y if getattr(getattr(y, "flags", None), "writeable", True) else np.copy(y)


# Calls


#: Functions of an array's shape or dtype, not of its values.
METADATA = {np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj, np.can_cast}

#: Functions that make text of an array.
TEXT = {np.array_repr, np.array_str, np.array2string}

#: Functions whose result has a shape that depends on values.
DYNAMIC = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.bincount, np.trim_zeros}
DYNAMIC |= {np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values}
DYNAMIC |= {np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d}

#: The functions that write into their first argument, and its name.
WRITING = {np.copyto: "dst", np.put: "a", np.place: "arr", np.putmask: "a", np.fill_diagonal: "a"}
WRITING |= {np.put_along_axis: "arr"}

RULES: dict[Any, Callable[..., Any]] = {}


def rule(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the rule of NumPy functions: it takes the level, the function and its arguments.

    It returns the result for the whole batch, examples first, or NotImplemented for a call that it does not know.
    """

    def define(body: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return define


def is_mapped(x: Any, level: Level) -> bool:
    return type(x) is Batched and x.level is level and x.mapped


def under(x: Any, level: Level) -> Any:
    """An argument as the call on the whole batch takes it."""
    if type(x) is Batched and x.level is level:
        return x.array
    if type(x) in (tuple, list):
        return type(x)([under(e, level) for e in x])
    return x


def ndim_of(x: Any) -> int:
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


def widened(x: Any, level: Level, ndim: int) -> Any:
    """The array of an argument, with axes of length 1 behind the batch, up to a number of axes without it."""
    if not is_mapped(x, level):
        return under(x, level)
    missing = ndim - x.ndim
    return x.array[(slice(None), *(None,) * missing)] if missing > 0 else x.array


def repeated(x: Any, level: Level) -> Any:
    """The array of an argument, with the batch, repeated where it has none."""
    if is_mapped(x, level):
        return x.array
    x = under(x, level)
    return np.broadcast_to(x, (level.size, *np.shape(x)))


def _wrapped(y: Any, level: Level) -> Any:
    """A result as Batched arrays."""
    if isinstance(y, tuple | list):
        parts = [_wrapped(part, level) for part in y]
        return type(y)(*parts) if hasattr(y, "_fields") else type(y)(parts)
    return Batched(y, level)


def all_widened(level: Level, xs: Any, others: Any) -> Any:
    """Arguments, a tuple or a dict of them, widened to broadcast against each other and against others."""
    every = [x for part in (xs, others) for x in (part.values() if type(part) is dict else part)]
    ndim = max([ndim_of(x) for x in every if not isinstance(x, type)])
    if type(xs) is dict:
        return {key: widened(x, level, ndim) for key, x in xs.items()}
    return [widened(x, level, ndim) for x in xs]


def _together(level: Level, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function that broadcasts its arguments against each other."""
    return _wrapped(function(*all_widened(level, args, kwargs), **all_widened(level, kwargs, args)), level)


def called(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], like: Batched) -> Any:
    """A call of NumPy: by its rule, else as minigrad composes it of other calls, else example by example."""
    found = found_in((args, kwargs), [])
    if not found:  # np.arange(3, like=x)
        return function(*args, **kwargs, like=like.array)
    if function in METADATA:
        return function(*examples_of(args), **examples_of(kwargs))
    if function in TEXT:
        return repr(like)
    if function in DYNAMIC and type(args[0]) is Batched:
        raise refused(
            f"the shape of the result of {full_name(function)} depends on values, and examples would differ in it",
            "write np.where(mask, x, 0) in place of x[mask]",
        )
    level = _newest((args, kwargs))
    if function in WRITING:
        return _written_by(level, function, args, kwargs)
    if function in RULES:
        y = RULES[function](level, function, *args, **kwargs)
        if y is not NotImplemented:
            return _wrapped(y, level)
    ours = implementations.get(function)
    if ours is not None and not hasattr(ours, "body") and not isinstance(ours, functools.partial):
        before = mode.composing
        if function not in before:  # else it is composed of a call of itself
            mode.composing = (*before, function)
            try:
                return ours(*args, **kwargs)
            finally:
                mode.composing = before
    return one_by_one(level, function, args, kwargs)


def examples_of(x: Any) -> Any:
    """Arguments with an array without content for each Batched one."""
    if type(x) is Batched:
        return np.broadcast_to(np.empty((), x.dtype), x.shape)
    if type(x) in (tuple, list):
        return type(x)([examples_of(e) for e in x])
    return {key: examples_of(e) for key, e in x.items()} if type(x) is dict else x


def one_by_one(level: Level, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Example by example: for what NumPy has no call on a whole batch."""

    def at(i: int, x: Any) -> Any:
        if is_mapped(x, level):
            return x.array[i] if level.size else np.ones_like(x.array, shape=x.shape)
        if type(x) in (tuple, list):
            return type(x)([at(i, e) for e in x])
        return {key: at(i, e) for key, e in x.items()} if type(x) is dict else under(x, level)

    results = [function(*at(i, args), **at(i, kwargs)) for i in range(max(level.size, 1))]

    def stacked(parts: Sequence[Any]) -> Any:
        first = parts[0]
        if isinstance(first, tuple | list):
            columns = [stacked(column) for column in zip(*parts)]
            return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
        if len({np.shape(part) for part in parts}) > 1:
            raise refused(
                f"{full_name(function)} returned arrays of different shapes for different examples",
                "write np.where(mask, x, 0) in place of x[mask]",
            )
        return Batched(np.stack([x if hasattr(x, "dtype") else np.asarray(x) for x in parts])[: level.size], level)

    return stacked(results)


# Writing


def _written(out: tuple[Any, ...], ufunc: np.ufunc, method: str, inputs: Any, kwargs: Any) -> Any:
    """A ufunc that writes its result into an array: x += y."""
    (target,) = out
    if method == "__call__" and type(target) is Batched and kwargs.get("where", True) is not True:
        level = _newest((target, inputs, kwargs))  # elements that the mask leaves out stay as they are
        result = _together(level, ufunc, inputs, kwargs | {"out": np.copy(_writable(target, level))})
    else:
        result = getattr(ufunc, method)(*inputs, **kwargs)
    if type(target) is not Batched:
        raise refused(
            f"{result!r} was written into an array that is the same for all examples",
            "write x = x + y for x += y, and np.zeros_like(x, shape=...) for an array to write into",
        )
    if result.shape != target.shape or not np.can_cast(result.dtype, target.dtype, "same_kind"):
        raise ValueError(f"{result!r} does not fit into {target!r}")
    target[...] = result
    return target


def _writable(x: Any, level: Level) -> Batched:
    if not is_mapped(x, level):
        raise refused(
            "what differs between examples was written into an array that is the same for all of them",
            "make the array with np.zeros_like(x, shape=...) from one that differs, or use t.at[index].set(value)",
        )
    if not getattr(getattr(x.array, "flags", None), "writeable", True):
        raise refused(f"an argument, {x!r}, was written into", "write into a copy, x.copy()")
    return x


def _added_at(ufunc: np.ufunc, x: Any, index: Any, *value: Any) -> None:
    """np.add.at and its kin."""
    level = _newest((x, index, value))
    where, *v = _place(level, x, index, *value)
    ufunc.at(x.array, where, *v)


def _written_by(level: Level, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A function that writes into its first argument, example by example."""
    target, *others = args
    _writable(target, level)

    def at(i: int, x: Any) -> Any:
        return x.array[i] if is_mapped(x, level) else under(x, level)

    for i in range(level.size):
        function(target.array[i, ...], *[at(i, x) for x in others], **{key: at(i, x) for key, x in kwargs.items()})


# Indexing


def _is_array(part: Any) -> bool:
    return hasattr(part, "shape") or type(part) in (list, bool)


def _advanced(index: tuple[Any, ...], ndim: int) -> tuple[list[Any], list[int]]:
    """The parts of an index with arrays that differ between examples, and which of them are not slices."""
    parts: list[Any] = []
    for part in index:
        part = np.asarray(part, None if part else int) if type(part) is list else part
        if type(part) is bool or (hasattr(part, "shape") and part.dtype.kind == "b"):
            if type(part) is Batched or np.ndim(part) == 0:
                raise refused(
                    "x[mask] has a shape that depends on values, and examples would differ in it",
                    "write np.where(mask, x, 0)",
                )
            parts += np.nonzero(part)  # type: ignore[arg-type]
        else:
            parts.append(part)
    used = sum(part is not None and part is not Ellipsis for part in parts)
    at = next((k for k, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[at : at + 1] = [slice(None)] * (ndim - used)
    return parts, [k for k, part in enumerate(parts) if part is not None and type(part) is not slice]


def _is_plain(parts: tuple[Any, ...]) -> bool:
    """Does an index mean the same with one more axis in front: has it no arrays, or these beside each other?"""
    if any(type(part) is bool or (_is_array(part) and np.ndim(part) == 0 and part.dtype.kind == "b") for part in parts):
        return False
    if not any(_is_array(part) and np.ndim(part) for part in parts):
        return True
    places = [k for k, part in enumerate(parts) if not (part is None or part is Ellipsis or type(part) is slice)]
    return places[-1] - places[0] + 1 == len(places)


def _placed(level: Level, x: Any, index: Any) -> tuple[tuple[Any, ...], int, int]:
    """An index of the whole batch; the number of axes of its arrays, and the place where they belong.

    With 0 axes the index has them where they belong; with -1 it is one of an x that is the same for all examples.
    """
    parts: Any = index if type(index) is tuple else (index,)
    if not any(is_mapped(part, level) for part in found_in(parts, [])):
        parts = tuple(under(part, level) for part in parts)
        if _is_plain(parts):
            return (slice(None), *parts), 0, 0
        numbers = np.reshape(made_like(bare(x), np.arange, x.size), x.shape)[parts]
        apart: Any = np.unravel_index(numbers, x.shape) if x.shape else (np.newaxis, *[slice(0)] * (not numbers.size))
        return (slice(None), *apart), 0, 0
    parts, places = _advanced(parts, ndim_of(x))
    k = max(ndim_of(parts[p]) for p in places)
    beside = places[-1] - places[0] + 1 == len(places)
    front = places[0] if beside else 0  # NumPy puts the axes of arrays apart from each other first
    where = tuple(widened(part, level, k) if p in places else part for p, part in enumerate(parts))
    if not is_mapped(x, level):
        return where, -1, front
    numbers = made_like(bare(x), np.arange, level.size)
    return (np.reshape(numbers, (level.size, *(1,) * k)), *where), k, front


def picked(level: Level, x: Any, index: Any) -> Any:
    """x[index]."""
    where, k, front = _placed(level, x, index)
    array = under(x, level)
    y = indexable(array, where)[where]
    if k < 0:  # x is the same for all
        y = np.moveaxis(y, front, 0) if front else y
    elif k and front:
        y = np.moveaxis(y, tuple(range(1, 1 + k)), tuple(range(1 + front, 1 + front + k)))
    return Batched(y, level)


def _place(level: Level, x: Any, index: Any, *value: Any) -> tuple[Any, ...]:
    """An index to write to, in the whole batch, and the value as it goes there."""
    _writable(x, level)
    where, k, front = _placed(level, x, index)
    made = []
    for v in value:
        if is_mapped(v, level) or (k and front):
            v = v if is_mapped(v, level) else Batched(repeated(v, level), level)
            v = widened(v, level, picked(level, x, index).ndim)
        else:
            v = under(v, level)
        if k and front:
            v = np.moveaxis(v, tuple(range(1 + front, 1 + front + k)), tuple(range(1, 1 + k)))
        made.append(v)
    return where, *made
