"""The tracer: an array that remembers the NumPy calls that made it. Run on it, a function becomes a program.

A `Traced` speaks NEP 13 and NEP 18 as any other array does, so the bodies of the ops and their pullbacks run on it as
they are. It holds an example of its value, from which shapes and dtypes are read; the value itself nobody may read,
because what is decided on it would be frozen in the program.
"""

from __future__ import annotations

import linecache
import operator
import os.path
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Array, Node
from minigrad.mode import observing_passes
from minigrad.origin import is_library, is_minigrad, is_op, users_frame
from minigrad.sparse import RowSparse
from minigrad.walk import arguments


class Name(NamedTuple):
    """What to call a value, and who says so: the lower the rank, the more it counts."""

    rank: int
    word: str


ARGUMENT, USERS, GRADIENT, OPS_OWN, NOBODY = range(5)
UNNAMED = Name(NOBODY, "")


class Value:
    """One value of a program: an input (its call is None), or what a call gives for arguments.

    Arguments are Values and constants, in tuples, lists, dicts and slices. Calls are NumPy's functions and those below,
    none of which writes into an array that exists: `call(*args)` on arrays is what a Value means.
    """

    __slots__ = (
        "activated",
        "args",
        "call",
        "dynamic",
        "example",
        "gradient_of",
        "kwargs",
        "layout_counts",
        "line",
        "name",
        "written",
    )

    def __init__(
        self, call: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any], example: Any
    ) -> None:
        self.call, self.args, self.kwargs, self.example = call, args, kwargs, example
        self.name = UNNAMED
        self.gradient_of: list[tuple[Value, Value]] = []  # pairs (y, x): it is dy/dx
        self.dynamic = False  # does its shape depend on values?
        self.line = ""  # of the user's code that made it, for errors
        self.activated = False  # does an activation take it? then its gradient is the slides' error signal
        self.written = False  # is the array that holds it written into afterwards?
        self.layout_counts = False  # does anything add its elements up, in an order that depends on where they lie?

    @property
    def shape(self) -> tuple[int, ...]:
        return getattr(self.example, "shape", ())  # of Python's numbers, and of several arrays in a tuple: ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return getattr(self.example, "dtype", np.dtype(object))

    def adopt(self, name: Name) -> None:
        """Be called that, if nobody who counts more has said otherwise."""
        if name.rank < self.name.rank:
            self.name = name

    def __repr__(self) -> str:
        return f"<{self.name.word or getattr(self.call, '__name__', 'input')} {self.shape}>"


# the calls that are not NumPy's: each gives a new array


def assigned(x: Array, index: Any, v: Array) -> Array:
    """x with x[index] = v."""
    x = np.copy(x)
    x[index] = v
    return x


def accumulated(ufunc: np.ufunc, x: Array, index: Any, v: Array) -> Array:
    """x after ufunc.at(x, index, v)."""
    x = np.copy(x)
    ufunc.at(x, index, v)
    return x


def astype(x: Array, dtype: Any) -> Array:
    """x in another dtype."""
    return np.asarray(x).astype(dtype)[()]


UPDATES = assigned, accumulated


def array_under(update: Value) -> Value:
    """The array that an update writes into."""
    return update.args[1 if update.call is accumulated else 0]


# asked of an array's shape or dtype, not of its values
METADATA = {np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj, np.can_cast}

# the shape of what they give depends on values
DYNAMIC = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress}

# what Python writes with a sign, and how strongly it binds
OPERATORS = {
    np.greater: (">", 1),
    np.greater_equal: (">=", 1),
    np.less: ("<", 1),
    np.less_equal: ("<=", 1),
    np.equal: ("==", 1),
    np.not_equal: ("!=", 1),
    np.bitwise_or: ("|", 2),
    np.bitwise_xor: ("^", 3),
    np.bitwise_and: ("&", 4),
    np.left_shift: ("<<", 5),
    np.right_shift: (">>", 5),
    np.add: ("+", 6),
    np.subtract: ("-", 6),
    np.multiply: ("*", 7),
    np.divide: ("/", 7),
    np.matmul: ("@", 7),
    np.floor_divide: ("//", 7),
    np.remainder: ("%", 7),
    np.negative: ("-", 8),
    np.invert: ("~", 8),
    np.power: ("**", 9),
}

#: what ndarray has as methods, beside those that Traced defines
METHODS = {name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(np, name, None))}
METHODS -= {
    "astype",
    "compress",
    "partition",
    "sort",
    "resize",
    "put",
    "size",
    "shape",
    "real",
    "imag",
}  # in place, or no methods


class _Memory:
    """What an array and its views share: how often it was written into."""

    writes = 0


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in a program that is being traced."""

    __slots__ = ("_memory", "_part_of", "_seen", "_value", "trace")

    def __init__(self, trace: Trace, value: Value, memory: _Memory | None = None) -> None:
        self.trace, self._value = trace, value
        self._memory = memory or _Memory()
        self._seen = self._memory.writes
        self._part_of: tuple[Traced, Any] | None = None  # the array that this is a view of, and the index it is at

    @property
    def value(self) -> Value:
        """The value now; an error where this is a view of an array that was written into since."""
        if self._seen != self._memory.writes:
            raise Refused(
                f"a view of an array was used after the array was written into{at_users_line()}; take the view again"
            )
        return self._value

    def write(self, value: Value) -> None:
        """Hold another value from now on, as an array does that was written into."""
        if value.shape != self._value.shape:
            raise ValueError(f"an array of shape {self._value.shape} cannot hold one of shape {value.shape}")
        if self._part_of is not None:  # what is written into a part, is written into the whole
            whole, index = self._part_of
            whole.write(self.trace.record(assigned, (whole, index, Traced(self.trace, value)), {}))
        else:
            self._memory.writes += 1
        self._seen = self._memory.writes
        self._value = value

    # what may be read

    @property
    def shape(self) -> tuple[int, ...]:
        if self._value.dynamic:
            raise Refused(
                f"the shape of {described(self._value)}, made{self._value.line}, depends on values, and was needed: a "
                "derived function is for one shape; write mg.where(mask, x, 0) in place of x[mask]"
            )
        return self._value.shape

    dtype = property(lambda self: np.result_type(self._value.example))
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: int(np.prod(self.shape, dtype=int)))
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # what may not

    def _refuse(self, *_: Any, **__: Any) -> Any:
        self.trace.asked_for.append(self._value)
        raise Refused(
            f"the value of {described(self._value)} was asked for{at_users_line()}, and what is decided on it would be "
            "frozen in the derived function; write mg.where(condition, x, y) for an if, and pass what steers Python "
            "itself (a number of layers, a flag) as an int, a bool or a str"
        )

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = __contains__ = item = tolist = _refuse

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", ())
        if any(isinstance(x, Node | RowSparse) for x in (*inputs, *out)):
            return NotImplemented
        if method == "at":
            x, *rest = inputs
            written(x).write(self.trace.record(accumulated, (ufunc, x, *rest), {}))
            return None
        result = self.trace.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)
        if out:
            (target,) = out
            if not isinstance(target.value.example if isinstance(target, Traced) else target, np.ndarray):
                return result  # a number is not written into: x += 1 gives another one
            result = result if result.dtype == target.dtype else self.trace.call(astype, (result, target.dtype), {})
            written(target).write(result.value)
            return target
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, Node | RowSparse) for t in types):
            return NotImplemented
        return self.trace.call(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        part = self.trace.call(operator.getitem, (self, index), {})
        if part._memory is self._memory:
            part._part_of = self, index
        return part

    def __setitem__(self, index: Any, v: Any) -> None:
        self.write(self.trace.record(assigned, (self, index, v), {}))

    # methods, as ndarray has them

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self) -> Any:
        return np.reshape(self, -1)

    def astype(self, dtype: Any) -> Any:
        return self.trace.call(astype, (self, np.dtype(dtype)), {})

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)
        raise AttributeError(f"a traced array has no {name}; use the function of NumPy or minigrad")

    def __repr__(self) -> str:
        return f"Traced({described(self._value)})"


class Refused(TypeError):
    """A function does what a program of NumPy calls cannot say."""


def written(x: Any) -> Traced:
    if not isinstance(x, Traced):
        raise Refused(
            f"a computed value was written into an array{at_users_line()} that is not an argument; make it with "
            "np.zeros_like(x, shape=...) from an argument"
        )
    return x


def described(value: Value) -> str:
    """A value in an error message: what gave it, its name, its shape."""
    made = f"{getattr(value.call, '__name__', value.call)}" if value.call else "the argument"
    return " ".join(filter(None, [made, value.name.word, str(value.shape)]))


class Trace:
    """What is recorded while a function runs on Traced arrays."""

    def __init__(self) -> None:
        self.values: list[Value] = []  # in the order of their making
        self.asked_for: list[Value] = []  # whose values Python wanted to know
        self.numbers: dict[Value, int] = {}  # of inputs that are not arguments
        self.inputs: list[tuple[Traced, Value]] = []  # and the Value that each held at first

    def input(self, example: Any, name: str) -> Traced:
        value = Value(None, (), {}, example)
        value.name = Name(ARGUMENT, name)
        self.values.append(value)
        traced = Traced(self, value)
        self.inputs.append((traced, value))
        return traced

    def first(self, traced: Traced) -> Value:
        """The Value that an input held at first."""
        return next(value for t, value in self.inputs if t is traced)

    def record(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """Compute the example, and remember the call."""
        inside: Any = untraced((args, kwargs))
        plain = examples(inside)
        with np.errstate(all="ignore"):
            result = call(*plain[0], **plain[1])
        if call in OPERATORS and not any(hasattr(x, "dtype") for x in plain[0]):
            result = result.item()  # Python's numbers give Python's: they leave the dtype of arrays as it is
        value = Value(call, inside[0], inside[1], result)
        parts = list(values_in(inside))
        explicit = "shape" in kwargs or call in UPDATES or value.shape == ()
        by_mask = call is operator.getitem and any(v.dtype.kind == "b" for v in parts[1:])
        value.dynamic = call in DYNAMIC or by_mask or (not explicit and any(v.dynamic for v in parts))
        value.line = at_users_line()
        self.values.append(value)
        return value

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function gives, traced."""
        if function in METADATA:
            if function in (np.shape, np.size) and isinstance(args[0], Traced):
                args[0].shape  # noqa: B018 - raises where it depends on values
            return function(*examples(untraced(args)), **examples(untraced(kwargs)))
        value = self.record(function, args, kwargs)
        return self.wrapped(value, value.example, args)

    def wrapped(self, value: Value, example: Any, args: tuple[Any, ...] = ()) -> Any:
        if isinstance(example, np.ndarray | np.generic) or value.call in OPERATORS:
            return Traced(self, value, memory_shared(example, args))
        if isinstance(example, tuple | list):
            parts = [self.wrapped(self.record(operator.getitem, (value, i), {}), e) for i, e in enumerate(example)]
            return type(example)(*parts) if hasattr(example, "_fields") else type(example)(parts)
        raise Refused(
            f"{described(value)} gives Python's {example!r}{at_users_line()}, which would be frozen in the derived "
            "function; compute with arrays"
        )


def memory_shared(example: Any, args: tuple[Any, ...]) -> _Memory | None:
    """The memory of the array that a result is a view of."""
    if isinstance(example, np.ndarray) and example.base is not None:
        for x in args:
            if isinstance(x, Traced) and np.may_share_memory(example, x._value.example):
                return x._memory
    return None


def mapped(function: Callable[[Any], Any], kind: type, x: Any) -> Any:
    """A function on everything of a kind in tuples, lists, dicts and slices."""
    if isinstance(x, kind):
        return function(x)
    if type(x) in (tuple, list):
        return type(x)([mapped(function, kind, e) for e in x])
    if type(x) is dict:
        return {key: mapped(function, kind, e) for key, e in x.items()}
    if type(x) is slice:
        return slice(*(mapped(function, kind, e) for e in (x.start, x.stop, x.step)))
    return x


def untraced(x: Any) -> Any:
    return mapped(lambda t: t.value, Traced, x)


def examples(x: Any) -> Any:
    return mapped(lambda v: v.example, Value, x)


def values_in(x: Any) -> Iterator[Value]:
    """Every Value in arguments, in order."""
    found: list[Value] = []
    mapped(found.append, Value, x)
    return iter(found)


def made_from(values: list[Value]) -> set[Value]:
    """Values, and all they are computed from."""
    found, waiting = set(values), list(values)
    while waiting:
        v = waiting.pop()
        fresh = set(values_in((v.args, v.kwargs))) - found
        found |= fresh
        waiting += fresh
    return found


# the user's code: where something happened, and what its variables name


def at_users_line() -> str:
    """Where the user's code is now, and what it says there."""
    frame = users_frame()
    if frame is None:
        return ""
    said = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    where = f" in {frame.f_code.co_name}, line {frame.f_lineno} of {os.path.basename(frame.f_code.co_filename)}"
    return where + (f" (`{said if len(said) < 80 else said[:80] + ' ...'}`)" if said else "")


def traced_in(x: Any) -> Traced | None:
    x = x._data if isinstance(x, Node) else x
    return x if isinstance(x, Traced) else None


# what anything is called
SAYS_NOTHING = {"g", "self"}
OPS_SAY_NOTHING = SAYS_NOTHING | {"x", "y", "z", "h", "p", "i", "r", "value", "first", "result", "out"}


def name_variables(frame: FrameType, rank: int) -> None:
    for key, x in frame.f_locals.items():
        says = key[0] not in "_." and key not in (SAYS_NOTHING if rank == USERS else OPS_SAY_NOTHING)
        if says and (t := traced_in(x)) is not None:
            t._value.adopt(Name(rank, key))


ACTIVATIONS = {"sigmoid", "tanh", "relu"}


@contextmanager
def names_watched() -> Iterator[None]:
    """While a function runs: name values by the variables that hold them, and gradients by what they belong to.

    Python's own tracing of lines tells; whoever traces already (a debugger, a coverage tool) goes on afterwards.
    """

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        rank = rank_of(frame.f_code)
        if rank is None:
            return None

        def lines(frame: FrameType, event: str, _: Any) -> Any:
            name_variables(frame, rank)
            return lines

        return lines

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        with observing_passes(name_gradients):
            yield
    finally:
        sys.settrace(before)


def rank_of(code: CodeType) -> int | None:
    """How much the names of a function's variables count, None for not at all."""
    file = code.co_filename
    if is_op(file):
        return OPS_OWN
    if code.co_name in ("__init__", "__new__"):  # what a container calls its parts
        return None
    return None if is_minigrad(file) or is_library(file) or file.startswith("<__array_function__") else USERS


def name_gradients() -> Callable[[Any, Any], None]:
    """The observer of one backward pass: each gradient belongs to what it is the gradient of."""
    root: Value | None = None  # what the pass differentiates

    def visit(node: Any, g: Any) -> None:
        nonlocal root
        y, dy = traced_in(node), traced_in(g)
        if y is None:
            return
        if node._op is not None and node._op.__name__ in ACTIVATIONS:
            x = traced_in(arguments(node)[0])
            if x is not None and x.ndim:
                x._value.activated = True
        root = root or y._value
        pair = root, y._value
        if dy is not None and root is not y._value and pair not in dy._value.gradient_of:
            dy._value.gradient_of.append(pair)

    return visit
