"""The tracer: an array that records the NumPy calls that made it. Run on it, a function becomes a program.

A `Tracer` speaks NEP 13 and NEP 18 as any other array does, so the bodies of the ops and their pullbacks run on it
unchanged. It holds an example of its value, for shapes and dtypes. The value itself may not be read: a decision based
on it would be frozen in the program.

Nothing of the user's is written while a function is recorded. A write makes a new Value, which the array's storage
holds from then on; a view is a storage and the calls that make the view from its content.
"""

from __future__ import annotations

import functools
import inspect
import math
import opcode
import operator
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin as Operators

from minigrad.batched import DYNAMIC, METADATA, WRITING, Batched
from minigrad.compiler.examples import layout, owner
from minigrad.compiler.layout import depends_on_content
from minigrad.compiler.program import (
    ARGUMENT,
    OPERATORS,
    UPDATES,
    Name,
    Value,
    array_under,
    arrays_of,
    assigned,
    astype,
    changed,
    examples,
    filled,
    is_elementwise,
    made_from,
    mapped,
    operands,
    values_in,
)
from minigrad.compiler.views import Step
from minigrad.engine import Node
from minigrad.origin import at_users_line
from minigrad.sparse import RowSparse
from minigrad.text import printable

#: What has arrays inside, a tracer among them.
AROUND = Node, RowSparse, Batched

#: The arguments that determine the shape of a result, by their positions; Python needs their values.
STATIC_POSITIONS = {
    **dict.fromkeys((np.reshape, np.broadcast_to, np.tile, np.repeat, np.resize, np.pad, np.insert, np.delete), (1,)),
    **dict.fromkeys((np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit), (1,)),
    **dict.fromkeys((np.linspace, np.logspace, np.geomspace), (2,)),
    **dict.fromkeys((np.expand_dims, np.squeeze, np.rot90, np.partition, np.argpartition), (1,)),
    **dict.fromkeys((np.diag, np.triu, np.tril), (1,)),
    **dict.fromkeys((np.moveaxis, np.swapaxes, np.rollaxis), (1, 2)),
    np.bincount: (2,),
}
#: The same by keyword, of any function.
STATIC_KEYWORDS = {"axis", "axes", "shape", "newshape", "reps", "repeats", "indices_or_sections", "pad_width", "num"}
STATIC_KEYWORDS |= {"k", "n", "obj", "kth", "offset", "axis1", "axis2", "source", "destination", "minlength", "bins"}
STATIC_KEYWORDS |= {"ddof"}

#: The methods of ndarray that a Tracer forwards to the NumPy function of that name: not those that it defines itself.
ARRAY_METHODS = {name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(np, name, None))}
ARRAY_METHODS -= {"astype", "compress", "copy", "partition", "sort", "resize", "size", "shape", "real", "imag"}

#: Functions made of ufuncs, which read their arguments as if nothing was written into them meanwhile.
BY_UFUNC = {
    np.copyto,
    np.clip,
    np.round,
    np.sum,
    np.prod,
    np.mean,
    np.max,
    np.min,
    np.any,
    np.all,
    np.cumsum,
    np.cumprod,
}


class Storage:
    """The memory of an array: what it held at first, and what it holds now."""

    def __init__(self, value: Value) -> None:
        self.first = self.value = value
        self.writes = 0

    def write(self, value: Value) -> None:
        self.value = value
        self.writes += 1
        if self.first.call is None:
            value.versions_of[self.first] = None


def _of_arrays(in_place: Any) -> Any:
    """An operator in place. A number has none: n += x is n = n + x, also where x is a Tensor or a list."""
    return lambda self, x: in_place(self, x) if isinstance(self._value.example, np.ndarray) else NotImplemented


def _of_the_value(function: Any) -> Any:
    """A method that calls a function on the value that Python reads."""
    return lambda self, *args: function(self.python_value(), *args)


class Tracer(Operators):
    """A stand-in for an array while a function is traced: each NumPy call on it becomes a Value of the trace."""

    __slots__ = ("_seen", "_value", "steps", "storage", "trace")

    def __init__(
        self, trace: Trace, value: Value, storage: Storage | None = None, steps: tuple[Step, ...] = ()
    ) -> None:
        self.trace, self._value = trace, value
        self.storage, self.steps = storage or Storage(value), steps
        self._seen = self.storage.writes

    @property
    def value(self) -> Value:
        """The current value: of a view, what the current content of its storage makes of it."""
        if self._seen != self.storage.writes:
            self._value = self.path()[-1]
            self._seen = self.storage.writes
        return self._value

    def path(self) -> list[Value]:
        """The content of the storage, and what each step makes of it."""
        path = [self.storage.value]
        for step in self.steps:
            path.append(step.on(path[-1], self.trace.record))
        return path

    def write(self, new: Value) -> None:
        """Take new content, of the same shape and dtype; a write into a view is a write into its storage."""
        *wholes, _ = path = self.path()
        for step, whole in reversed(list(zip(self.steps, wholes))):
            written = step.written_through(whole, new, self.trace.record)
            if written is None:
                named = [s.call.__name__ for s in self.steps if s.call is not operator.getitem] or ["an index"]
                raise Refused(
                    f"the result of {named[-1]} was written into{at_users_line()}, which a derived function cannot do; "
                    "write into the array itself: x[index] = v"
                )
            new = written
        if self.steps and layout(new.example) != layout(path[0].example):
            new = self.trace.record(assigned, (path[0], ..., new), {})
        self.storage.write(new)

    # metadata, which may be read

    @property
    def shape(self) -> tuple[int, ...]:
        if self._value.dynamic:
            raise Refused(
                f"the shape of {describe_value(self._value)}, made{self._value.line}, depends on values, and was "
                "needed: a derived function is for one shape; write mg.where(mask, x, 0) in place of x[mask]"
            )
        return self._value.shape

    @property
    def dtype(self) -> Any:
        if self.is_number:
            raise AttributeError(f"{type(self._value.example).__name__!r} object has no attribute 'dtype'")
        return self._value.dtype

    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: int(np.prod(self.shape, dtype=int)))
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self), lambda self, v: operator.setitem(np.real(self), ..., v))
    imag = property(lambda self: np.imag(self), lambda self, v: operator.setitem(np.imag(self), ..., v))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # values, which Python may read where a guard can hold them: numbers, and captured arrays

    def python_value(self) -> Any:
        """The value for Python itself, from now on guarded."""
        value = self.value
        if not self.trace.guarded(value):
            raise Refused(
                f"the value of {describe_value(value)} was read{at_users_line()}, and a decision on it "
                "would be frozen in the derived function; write mg.where(condition, x, y) for an if, and pass values "
                "for Python itself (a number of layers, a flag) as an int, a bool or a str"
            )
        self.trace.fill([value])
        return value.example

    @property
    def is_number(self) -> bool:
        """Is it one of Python's numbers?"""
        return type(self._value.example) in (int, float, complex, bool)

    @property
    def __class__(self) -> Any:  # isinstance answers as for the value
        return type(self._value.example)

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        raise TypeError(f"a traced array cannot become a {kind.__name__}")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.trace.guarded(self.value):
            raise Refused(
                f"{describe_value(self.value)} was converted by np.array or np.asarray, or stored in an array of "
                f"NumPy's{at_users_line()}, which would freeze its value; leave the conversion out, write x.copy() or "
                "np.stack([x, y]), or make the array with np.zeros_like(x, shape=...)"
            )
        held = self.python_value()
        x = np.array(held, dtype)
        if isinstance(held, np.ndarray) and not copy and x.dtype == held.dtype:
            x.flags.writeable = False  # np.asarray returns the array itself: a write has to reach it
        return x

    def __hash__(self) -> int:
        if not self.is_number and self._value.ndim:
            raise TypeError(f"unhashable type: {type(self._value.example).__name__!r}")
        return hash(self.python_value())

    __bool__, __int__, __float__, __complex__ = map(_of_the_value, (bool, int, float, complex))
    __index__, __format__, __str__ = map(_of_the_value, (operator.index, format, str))
    __round__, __trunc__, __floor__, __ceil__ = map(_of_the_value, (round, math.trunc, math.floor, math.ceil))
    __contains__ = _of_the_value(operator.contains)
    item, tolist = map(_of_the_value, (lambda x, *at: x.item(*at), lambda x: x.tolist()))

    def __mul__(self, other: Any) -> Any:
        repeats = self.is_number and isinstance(other, list | tuple | str | bytes)
        return NotImplemented if repeats else super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        repeats = self.is_number and isinstance(other, list | tuple | str | bytes)
        return NotImplemented if repeats else super().__rmul__(other)

    def __abs__(self) -> Any:
        return abs(self.python_value()) if self.is_number else np.abs(self)

    def __pos__(self) -> Any:
        return (0 + self if isinstance(self, bool) else self) if self.is_number else np.positive(self)

    def __divmod__(self, other: Any) -> Any:
        return (self // other, self % other) if self.is_number else np.divmod(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return (other // self, other % self) if self.is_number else np.divmod(other, self)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        return super().__pow__(other) if modulo is None else pow(self.python_value(), other, modulo)

    __iadd__, __isub__, __imul__ = map(_of_arrays, (Operators.__iadd__, Operators.__isub__, Operators.__imul__))
    __itruediv__, __ifloordiv__ = map(_of_arrays, (Operators.__itruediv__, Operators.__ifloordiv__))
    __imod__, __ipow__, __imatmul__ = map(_of_arrays, (Operators.__imod__, Operators.__ipow__, Operators.__imatmul__))
    __iand__, __ior__, __ixor__ = map(_of_arrays, (Operators.__iand__, Operators.__ior__, Operators.__ixor__))
    __ilshift__, __irshift__ = map(_of_arrays, (Operators.__ilshift__, Operators.__irshift__))

    def __copy__(self) -> Any:
        return self if self.is_number else np.copy(self)

    def __deepcopy__(self, _: Any) -> Any:
        return self.__copy__()

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", ())
        if any(isinstance(x, AROUND) for x in (*inputs, *out)):
            return NotImplemented
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            self.trace.write(changed, function, inputs, {})
            return None
        if not out:
            if ufunc in IN_PYTHON and differs_from_operator(ufunc, inputs) and not is_operator(sys._getframe(1)):
                given = [x.value.example if isinstance(x, Tracer) else x for x in inputs]
                dtype = (np.result_type(*given),) if any(isinstance(x, np.generic) for x in given) else ()
                inputs = tuple(
                    self.trace.call(np.asarray, (x, *dtype), {}) if isinstance(x, Tracer) else x for x in inputs
                )
            return self.trace.call(function, inputs, kwargs)
        if len(out) > 1:
            return self.trace.written_to_several(function, inputs, kwargs, out)
        (target,) = out
        if not isinstance(target.value.example if isinstance(target, Tracer) else target, np.ndarray):
            raise TypeError("return arrays must be of ArrayType")
        if is_elementwise(function) and not kwargs:
            result = self.trace.record(function, inputs, {})
            if result.ndim > writable(target).ndim:  # an assignment would drop leading axes of length 1
                raise ValueError(f"an array of shape {target.shape} cannot hold one of shape {result.shape}")
            self.trace.assign(target, result, "same_kind")
        else:
            self.trace.write(filled, function, (target, *inputs), kwargs)
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, AROUND) for t in types):
            return NotImplemented
        if function in WRITING:
            if WRITING[function] in kwargs:
                args, kwargs = (kwargs[WRITING[function]], *args), {**kwargs}
                del kwargs[WRITING[function]]
            if function is np.copyto and len(args) == 2 and kwargs.get("where", True) is True:
                self.trace.assign(args[0], args[1], kwargs.get("casting", "same_kind"))
            else:
                self.trace.write(changed, function, args, kwargs)
            return None
        target, args, kwargs = without_out(function, args, kwargs)
        if target is None:
            return self.trace.call(function, args, kwargs)
        self.trace.write(filled, function, (target, *args), kwargs)
        return target

    def __getitem__(self, index: Any) -> Any:
        return self.trace.call(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, v: Any) -> None:
        self.write(self.trace.record(assigned, (self, index, v), {}))

    # the methods of ndarray

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self, order: Any = "C") -> Any:
        return np.copy(np.ravel(self, order))

    def copy(self, order: Any = "C") -> Any:
        return self if isinstance(self._value.example, np.generic) else np.copy(self, order=order)

    def astype(self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: Any = True, copy: Any = True) -> Any:
        if order != "K" or not np.can_cast(self.dtype, dtype, casting):
            raise Refused(f"astype with order={order!r}, casting={casting!r}{at_users_line()}; use astype(dtype)")
        if not copy and self.dtype == dtype:
            return self
        return self.trace.call(astype, (self, np.dtype(dtype)), {})

    def fill(self, v: Any) -> None:
        self[...] = v

    def sort(self, axis: Any = -1, kind: Any = None) -> None:
        self[...] = np.sort(self, axis, kind)

    def partition(self, kth: Any, axis: Any = -1, kind: Any = "introselect") -> None:
        self[...] = np.partition(self, kth, axis, kind)

    def resize(self, *_: Any, **__: Any) -> None:
        raise Refused(f"an array was resized in place{at_users_line()}; use np.resize, which makes a new one")

    def __getattr__(self, name: str) -> Any:
        if name in ("itemsize", "nbytes") and not self.is_number:
            return self.dtype.itemsize * (self.size if name == "nbytes" else 1)
        if self.is_number and name[0] != "_" and hasattr(self._value.example, name):
            return getattr(self.python_value(), name)
        if name in ("conj", "conjugate") and not self.is_number and self.dtype.kind in "fiub":
            return lambda: self
        if name in ARRAY_METHODS and not self.is_number:
            return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)
        message = f"a traced array has no {name}; use the function of NumPy or minigrad"
        if name[0] != "_" and name not in ("base", "flags") and hasattr(self._value.example, name):
            raise Refused(f"{message}{at_users_line()}")  # a default in its place would be frozen
        raise AttributeError(message)

    def __repr__(self) -> str:
        return f"Tracer({describe_value(self._value)})"


class Refused(TypeError):
    """A function does something that a program of NumPy calls cannot express."""

    first: ClassVar[Refused | None] = None  # of the present recording: the function may have caught it

    def __init__(self, message: str) -> None:
        super().__init__(message)
        Refused.first = Refused.first or self


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
        self.guardable: set[Value] = set()  # inputs that may be guarded by their values
        self.read: set[Value] = set()  # those that have to be: Python has read them
        self.firsts: dict[int, tuple[Tracer, Value]] = {}  # by the id of an input: it, and the Value it held at first
        self.errors: list[Exception] = []  # of calls: f may have caught them
        self.error_state = np.geterr()

    def input(self, example: Any, name: str) -> Tracer:
        value = Value(None, (), {}, example)
        value.name = Name(ARGUMENT, name)
        self.values.append(value)
        traced = Tracer(self, value)
        self.firsts[id(traced)] = traced, value
        return traced

    def guarded(self, value: Value) -> bool:
        """Guard the inputs that a value was computed from, if all of them may be."""
        inputs = {v for v in made_from([value]) if v.call is None}
        if not inputs <= self.guardable:
            return False
        self.read |= inputs
        return True

    def first(self, traced: Tracer) -> Value:
        """The Value that an input held at first."""
        return self.firsts[id(traced)][1]

    def record(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """Compute the example, and record the call."""
        inside: Any = mapped(self.value_of, Tracer, with_static_values(call, args, kwargs))
        if np.geterr() != self.error_state:
            raise Refused(
                f"np.errstate was entered{at_users_line()}, and a compiled function would not enter it again; put it "
                "around the call"
            )
        if depends_on_content(call, inside[0]):
            self.fill(values_in(inside))
        try:
            result = computed(call, *inside)
        except Exception as error:
            if "read-only" not in str(error):
                self.errors.append(error)
                raise
            raise Refused(
                f"{getattr(call, '__name__', call)} writes into its argument{at_users_line()}, in a way that a derived "
                "function cannot; use a function that returns a new array, and x[...] = it"
            ) from error
        value = Value(call, inside[0], inside[1], result)
        parts = [array_under(value)] if call in UPDATES else list(values_in(inside))
        explicit = "shape" in kwargs or value.shape == ()
        masks = parts[1:] if call is operator.getitem else parts if call is np.ix_ else []
        by_mask = any(v.dtype.kind == "b" for v in masks)
        by_mask |= call is np.where and len(inside[0]) == 1  # np.nonzero by another name
        value.dynamic = call in DYNAMIC or by_mask or (not explicit and any(v.dynamic for v in parts))
        value.line = at_users_line()
        value.hollow_out()
        self.values.append(value)
        return value

    def fill(self, values: Iterable[Value]) -> None:
        """Compute the content of hollow examples, in the memory where they are: views of it are examples too."""
        needed: set[Value] = set()
        waiting = [v for v in values if v.hollow]
        while waiting:
            v = waiting.pop()
            needed.add(v)
            waiting += [x for x in operands(v) if x.hollow and x not in needed]
        for v in self.values if needed else ():
            if v in needed:
                result = computed(v.call, v.args, v.kwargs)
                old, new = arrays_of(v.example), arrays_of(result)
                for x, y in zip(old, new):
                    if owner(x) is not owner(y) and not any(is_view(x, z.example) for z in operands(v)):
                        np.copyto(owner(x), owner(y))
                v.example, v.hollow = v.example if old else result, False

    def value_of(self, traced: Tracer) -> Value:
        """The Value of a tracer of this trace."""
        if traced.trace is not self:
            raise Refused(
                f"an array of an earlier recording was used{at_users_line()}: a cache kept it; do not cache arrays "
                "that depend on arguments or captures"
            )
        return traced.value

    def write(self, update: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Write into the first argument by a function of NumPy."""
        target, *others = args
        read: list[Tracer] = []
        mapped(read.append, Tracer, (others, kwargs))
        by_ufunc = function in BY_UFUNC or isinstance(getattr(function, "__self__", function), np.ufunc)
        if not by_ufunc and any(x.storage is writable(target).storage for x in read):
            raise Refused(
                f"{function.__name__} writes into an array that it also reads{at_users_line()}: NumPy's result depends "
                "on the order of the elements; pass it a copy, x.copy()"
            )
        writable(target).write(self.record(update, (function, *args), kwargs))

    def assign(self, target: Any, v: Any, casting: Any) -> None:
        """Write v into all of an array, cast as in-place operators and np.copyto do; errors are NumPy's."""
        shaped = np.empty_like(writable(target).value.example)
        np.copyto(shaped, examples(untraced(v)), casting=casting)
        target.write(self.record(assigned, (target, ..., v), {}))

    def written_to_several(self, function: Any, inputs: Any, kwargs: dict[str, Any], out: tuple[Any, ...]) -> Any:
        """A ufunc with several results, some of which go into arrays."""
        if "where" in kwargs:
            raise Refused(f"{function.__name__} with where= and several arrays for out={at_users_line()}; use np.where")
        targets = [x if x is None else writable(x) for x in out]
        results = self.call(function, inputs, kwargs)
        for target, result in zip(targets, results):
            if target is not None:
                self.assign(target, result, kwargs.get("casting", "same_kind"))
        return tuple(result if target is None else target for target, result in zip(targets, results))

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a NumPy function; the result is traced, unless it is metadata."""
        if function in METADATA:
            if function in (np.shape, np.size) and isinstance(args[0], Tracer):
                args[0].shape  # noqa: B018 - raises where it depends on values
            return function(*examples(untraced(args)), **examples(untraced(kwargs)))
        value = self.record(function, args, kwargs)
        return self.wrapped(value, value.example, args)

    def wrapped(self, value: Value, example: Any, args: tuple[Any, ...] = (), outer: tuple[Step, ...] = ()) -> Any:
        """A result as tracers: one for an array, a container of them for several."""
        if isinstance(example, np.ndarray | np.generic) or value.call in OPERATORS:
            for at, x in enumerate(args):
                if isinstance(x, Tracer) and is_view(example, x._value.example):
                    first, *rest = *outer, Step(value.call, value.args, value.kwargs, 0)
                    return Tracer(self, value, x.storage, (*x.steps, first._replace(at=at), *rest))
            return Tracer(self, value)
        if isinstance(example, tuple | list):
            whole = (*outer, Step(value.call, value.args, value.kwargs, 0))
            parts = [
                self.wrapped(self.record(operator.getitem, (value, i), {}), e, args, whole)
                for i, e in enumerate(example)
            ]
            return type(example)(*parts) if hasattr(example, "_fields") else type(example)(parts)
        raise Refused(
            f"{describe_value(value)} gives Python's {example!r}{at_users_line()}, which would be frozen in the "
            "derived function; compute with arrays"
        )


def computed(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a call on examples; on numbers as in Python: 2**70 and 1j + np.float64(1) are no NumPy scalars."""
    plain = mapped(read_only, np.ndarray, examples((args, kwargs)))
    in_python = call in OPERATORS and not kwargs and not any(isinstance(x, np.ndarray) for x in plain[0])
    with np.errstate(all="ignore"):
        return (IN_PYTHON[call] if in_python else call)(*plain[0], **plain[1])


def is_view(x: Any, y: Any) -> bool:
    """Is an array a view of another one?"""
    return isinstance(x, np.ndarray) and x.base is not None and any(np.may_share_memory(x, e) for e in arrays_of(y))


def read_only(x: np.ndarray) -> np.ndarray:
    """A view through which nobody can write: not into an example, nor into what the user holds."""
    x = x.view()
    x.flags.writeable = False
    return x


@functools.cache
def position_of_out(function: Any) -> int:
    """The position of a function's parameter `out`; one that no call reaches where it has none, or no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return 1000
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return positional.index("out") if "out" in positional else 1000


def without_out(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The array that a call writes its result into, None without one; and the arguments without it, all by keyword."""
    at = position_of_out(function)
    if len(args) > at:
        names = list(inspect.signature(function).parameters)[at:]
        args, kwargs = args[:at], {**kwargs, **dict(zip(names, args[at:]))}
    out = kwargs.get("out")
    kwargs = {key: x for key, x in kwargs.items() if key != "out"}
    return out[0] if isinstance(out, tuple) else out, args, kwargs


def untraced(x: Any) -> Any:
    """Arguments with the Value of each tracer in its place."""
    return mapped(lambda t: t.value, Tracer, x)


#: Python's instructions for operators.
OPERATOR_CODES = {opcode.opmap[name] for name in ("BINARY_OP", "COMPARE_OP", "UNARY_NEGATIVE", "UNARY_INVERT")}

INHERITED = Tracer.__add__.__code__.co_filename

#: Python's operators for its own numbers.
IN_PYTHON: dict[Any, Any] = {
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.bitwise_or: operator.or_,
    np.bitwise_xor: operator.xor,
    np.bitwise_and: operator.and_,
    np.left_shift: operator.lshift,
    np.right_shift: operator.rshift,
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.matmul: operator.matmul,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.negative: operator.neg,
    np.invert: operator.invert,
    np.power: operator.pow,
}


def differs_from_operator(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> bool:
    """Is a ufunc of numbers something else than its operator? 1.0 / 0.0 is an error, np.power(-inf, 0.5) NaN."""
    if not all(isinstance(x, int | float | complex | np.generic) for x in inputs):
        return False
    in_python = not any(isinstance(x, np.generic) for x in inputs) or inputs[0].__class__ is complex
    return in_python or ufunc is np.power


def is_operator(caller: FrameType) -> bool:
    """Was the ufunc that a frame has called an operator there, or in the methods that Tracer inherits?"""
    code = caller.f_code
    return code.co_filename == INHERITED or code.co_code[caller.f_lasti] in OPERATOR_CODES


def with_static_values(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The arguments of a call with Python's values where they determine a shape, and for Python's own integers.

    Those are inputs only in arithmetic. An exponent of an array is not: x**2 is x * x to NumPy, and to the rules.
    """
    if call is np.power and isinstance(args[0], np.ndarray):
        return (args[0], python_integers(args[1])), kwargs
    if isinstance(call, np.ufunc):
        return args, kwargs
    static = STATIC_POSITIONS.get(call, ())
    args = tuple(python_values(x) if i in static else python_integers(x) for i, x in enumerate(args))
    return args, {key: python_values(x) if key in STATIC_KEYWORDS else python_integers(x) for key, x in kwargs.items()}


def python_values(x: Any) -> Any:
    """An argument with the value of each tracer in its place, which is guarded."""
    return mapped(Tracer.python_value, Tracer, x)


def python_integers(x: Any) -> Any:
    """The same for Python's integers, and for the bounds of slices."""
    if type(x) is slice:
        return python_values(x)
    if type(x) in (tuple, list):
        return type(x)([python_integers(e) for e in x])
    integer = isinstance(x, Tracer) and type(x._value.example) is int
    return x.python_value() if integer else x
