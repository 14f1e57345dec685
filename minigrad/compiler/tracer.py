"""The tracer: an array that records the NumPy calls that made it. Run on it, a function becomes a program.

A `Tracer` speaks NEP 13 and NEP 18 as any other array does, so the bodies of the ops and their pullbacks run on it
unchanged. It holds an example of its value, for shapes and dtypes. The value itself may not be read: a decision based
on it would be frozen in the program.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.compiler.program import (
    ARGUMENT,
    OPERATORS,
    UPDATES,
    Name,
    Value,
    accumulated,
    assigned,
    astype,
    examples,
    mapped,
    values_in,
)
from minigrad.engine import Node
from minigrad.origin import at_users_line
from minigrad.sparse import RowSparse
from minigrad.text import printable

#: Functions of an array's shape or dtype, not of its values.
METADATA = {np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj, np.can_cast}

#: Functions whose result has a shape that depends on values.
DYNAMIC = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.bincount}

#: The methods of ndarray that a Tracer forwards to the NumPy function of that name: not those that work in place, and
#: not those that it defines itself.
ARRAY_METHODS = {name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(np, name, None))}
ARRAY_METHODS -= {"astype", "compress", "partition", "sort", "resize", "put", "size", "shape", "real", "imag"}


class _Memory:
    """Shared by an array and its views: the number of writes into it."""

    writes = 0


class Tracer(np.lib.mixins.NDArrayOperatorsMixin):
    """A stand-in for an array while a function is traced: each NumPy call on it becomes a Value of the trace."""

    __slots__ = ("_memory", "_part_of", "_seen", "_value", "trace")

    def __init__(self, trace: Trace, value: Value, memory: _Memory | None = None) -> None:
        self.trace, self._value = trace, value
        self._memory = memory or _Memory()
        self._seen = self._memory.writes
        self._part_of: tuple[Tracer, Any] | None = None  # the array this is a view of, and the index

    @property
    def value(self) -> Value:
        """The current value; an error for a view of an array that was written into since."""
        if self._seen != self._memory.writes:
            raise Refused(
                f"a view of an array was used after the array was written into{at_users_line()}; take the view again"
            )
        return self._value

    def write(self, value: Value) -> None:
        """Hold another value from now on, like an array that was written into."""
        if value.shape != self._value.shape:
            raise ValueError(f"an array of shape {self._value.shape} cannot hold one of shape {value.shape}")
        if self._part_of is not None:  # a write into a view is a write into the array
            whole, index = self._part_of
            whole.write(self.trace.record(assigned, (whole, index, Tracer(self.trace, value)), {}))
        else:
            self._memory.writes += 1
        self._seen = self._memory.writes
        self._value = value

    # metadata, which may be read

    @property
    def shape(self) -> tuple[int, ...]:
        if self._value.dynamic:
            raise Refused(
                f"the shape of {describe_value(self._value)}, made{self._value.line}, depends on values, and was "
                "needed: a derived function is for one shape; write mg.where(mask, x, 0) in place of x[mask]"
            )
        return self._value.shape

    dtype = property(lambda self: np.result_type(self._value.example))
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: int(np.prod(self.shape, dtype=int)))
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return np.copy(self)

    def __copy__(self) -> Any:
        return np.copy(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # values, which may not

    def _refuse(self, *_: Any, **__: Any) -> Any:
        self.trace.asked_for.append(self._value)
        raise Refused(
            f"the value of {describe_value(self._value)} was read{at_users_line()}, and a decision on it "
            "would be frozen in the derived function; write mg.where(condition, x, y) for an if, and pass values for "
            "Python itself (a number of layers, a flag) as an int, a bool or a str"
        )

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = __contains__ = item = tolist = _refuse

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", ())
        if any(isinstance(x, Node | RowSparse) for x in (*inputs, *out)):
            return NotImplemented
        if method == "at":
            x, *rest = inputs
            writable(x).write(self.trace.record(accumulated, (ufunc, x, *rest), {}))
            return None
        result = self.trace.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)
        if out:
            (target,) = out
            if not isinstance(target.value.example if isinstance(target, Tracer) else target, np.ndarray):
                return result  # numbers are immutable: x += 1 makes a new one
            result = result if result.dtype == target.dtype else self.trace.call(astype, (result, target.dtype), {})
            writable(target).write(result.value)
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

    # the methods of ndarray

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self) -> Any:
        return np.reshape(self, -1)

    def astype(self, dtype: Any) -> Any:
        return self.trace.call(astype, (self, np.dtype(dtype)), {})

    def __getattr__(self, name: str) -> Any:
        if name in ARRAY_METHODS:
            return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)
        raise AttributeError(f"a traced array has no {name}; use the function of NumPy or minigrad")

    def __repr__(self) -> str:
        return f"Tracer({describe_value(self._value)})"


class Refused(TypeError):
    """A function does something that a program of NumPy calls cannot express."""


def writable(x: Any) -> Tracer:
    """The array that a computed value is written into: it has to be traced."""
    if not isinstance(x, Tracer):
        raise Refused(
            f"a computed value was written into an array{at_users_line()} that is not an argument; make it with "
            "np.zeros_like(x, shape=...) from an argument"
        )
    return x


def describe_value(value: Value) -> str:
    """A value in an error message: its call, its name, its shape."""
    made = f"{getattr(value.call, '__name__', value.call)}" if value.call else "the argument"
    return printable(" ".join(filter(None, [made, value.name.word, str(value.shape)])))


class Trace:
    """The record of one run of a function on tracers."""

    def __init__(self) -> None:
        self.values: list[Value] = []  # in the order in which they were made
        self.asked_for: list[Value] = []  # those that Python tried to read
        self.captured_at: dict[Value, int] = {}  # of each captured input: the number of its place
        self.inputs: list[tuple[Tracer, Value]] = []  # each with the Value that it held at first

    def input(self, example: Any, name: str) -> Tracer:
        value = Value(None, (), {}, example)
        value.name = Name(ARGUMENT, name)
        self.values.append(value)
        traced = Tracer(self, value)
        self.inputs.append((traced, value))
        return traced

    def first(self, traced: Tracer) -> Value:
        """The Value that an input held at first."""
        return next(value for t, value in self.inputs if t is traced)

    def record(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """Compute the example, and record the call."""
        inside: Any = untraced((args, kwargs))
        plain = examples(inside)
        with np.errstate(all="ignore"):
            result = call(*plain[0], **plain[1])
        if call in OPERATORS and not any(hasattr(x, "dtype") for x in plain[0]):
            result = result.item()  # on Python's numbers as in Python: a NumPy scalar could change the dtype of arrays
        value = Value(call, inside[0], inside[1], result)
        parts = list(values_in(inside))
        explicit = "shape" in kwargs or call in UPDATES or value.shape == ()
        by_mask = call is operator.getitem and any(v.dtype.kind == "b" for v in parts[1:])
        value.dynamic = call in DYNAMIC or by_mask or (not explicit and any(v.dynamic for v in parts))
        value.line = at_users_line()
        self.values.append(value)
        return value

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a NumPy function; the result is traced, unless it is metadata."""
        if function in METADATA:
            if function in (np.shape, np.size) and isinstance(args[0], Tracer):
                args[0].shape  # noqa: B018 - raises where it depends on values
            return function(*examples(untraced(args)), **examples(untraced(kwargs)))
        value = self.record(function, args, kwargs)
        return self.wrapped(value, value.example, args)

    def wrapped(self, value: Value, example: Any, args: tuple[Any, ...] = ()) -> Any:
        """A result as tracers: one for an array, a container of them for several."""
        if isinstance(example, np.ndarray | np.generic) or value.call in OPERATORS:
            return Tracer(self, value, memory_shared(example, args))
        if isinstance(example, tuple | list):
            parts = [self.wrapped(self.record(operator.getitem, (value, i), {}), e) for i, e in enumerate(example)]
            return type(example)(*parts) if hasattr(example, "_fields") else type(example)(parts)
        raise Refused(
            f"{describe_value(value)} gives Python's {example!r}{at_users_line()}, which would be frozen in the "
            "derived function; compute with arrays"
        )


def memory_shared(example: Any, args: tuple[Any, ...]) -> _Memory | None:
    """The memory of the array that a result is a view of."""
    if isinstance(example, np.ndarray) and example.base is not None:
        for x in args:
            if isinstance(x, Tracer) and np.may_share_memory(example, x._value.example):
                return x._memory
    return None


def untraced(x: Any) -> Any:
    """Arguments with the Value of each tracer in its place."""
    return mapped(lambda t: t.value, Tracer, x)
