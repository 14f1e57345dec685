"""The Tensor: a variable with NumPy's operators and methods, and `backward`."""

from __future__ import annotations

import functools
import opcode
import sys
import warnings
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Never

import numpy as np

from minigrad import ops
from minigrad.engine import Array, Node, backward_pass, implementations, leaf, unrecorded
from minigrad.errors import describe, foreign, library, not_recorded, reads_a_value
from minigrad.hints import ATTRIBUTES, UNNEEDED, full_name, missing_attribute, unknown_keyword, without_gradient
from minigrad.mode import mode, vmaps
from minigrad.node import touch
from minigrad.operands import copied, in_library_of, to_numpy
from minigrad.origin import from_users_line, is_minigrad
from minigrad.text import named, op_name, printable
from minigrad.walk import depends

REAL = np.dtype(float)


#: Python's instructions for `array[index] = value`.
_STORES = {opcode.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in opcode.opmap}


def _plainly(function: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self._data, *args, **kwargs)

    method.__name__, method.__doc__ = function.__name__, f"{full_name(function)} of the data, as a plain array."
    return method


class Tensor(Node):
    """A variable: an array whose uses are recorded.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], name="x")
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])

    Args:
        data: floating-point or complex numbers: an array, a number, nested lists. It is copied.
        name: its name in errors and pictures.

    Attributes:
        grad: the gradient of the value that `backward` was called on; None before. Calls accumulate.

    Raises:
        TypeError: for data that has no derivative (integers, booleans, objects).
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None, **unknown: Never) -> None:
        for keyword in unknown:
            raise unknown_keyword(keyword)
        if isinstance(data, Node):
            raise TypeError(f"Tensor needs data, got a Tensor; use {named(data, 't')}.detach() for a new variable")
        if hasattr(data, "filled"):
            raise foreign(type(data))  # a copy would forget the mask
        is_array = hasattr(data, "__array_function__")
        data = data if is_array else np.array(data)
        kind = data.dtype.kind
        if kind not in "fc":
            remedy = "data.astype(float), or write 1.0 for 1" if kind in "iub" else "numbers"
            raise TypeError(f"Tensor needs floating-point data, got {data.dtype}; use {remedy}")
        data = copied(data) if is_array else data
        if not data.dtype.isnative:
            data = np.positive(data, dtype=data.dtype.type)[...]  # a 0-d array, not a scalar
        leaf(self, data, name)

    # data

    @property
    def data(self) -> Array:
        """The array itself. Assigning to it (`p.data -= lr * p.grad`) is seen by graphs that used the old value.

        Of a result that shares memory with another Tensor, such as x[0] or x.T, it is a copy from then on: writing into
        it leaves the other as it is.
        """
        if (self._op is not None or self._kwargs is unrecorded) and _is_shared(self):
            self._data = copied(self._data)
        if self._entry is not None:
            self._entry.read_by_the_user(self._data)
        return self._data

    @data.setter
    def data(self, new: Array) -> None:
        if vmaps:
            mode.refuse_inside_vmap(f"the data of {named(self)} was assigned")
        if new is not self._data:
            if type(new) is not type(self._data):
                new = in_library_of(self._data, new, f"data of {named(self)}")
            if np.shape(new) != self._data.shape:
                raise ValueError(
                    f"data of {named(self)} has shape {self._data.shape}, got {np.shape(new)}; "
                    "make a new Tensor for another shape"
                )
            new = np.positive(new, dtype=self._data.dtype)
            self._data = new if new.shape else copied(new)  # a 0-d array, not a scalar: it can be updated in place
        touch(self)

    shape = property(lambda self: self._data.shape, doc="The length of each axis.")
    dtype = property(lambda self: self._data.dtype, doc="The type of the elements.")
    ndim = property(lambda self: self._data.ndim, doc="The number of axes.")
    size = property(lambda self: self._data.size, doc="The number of elements.")
    is_leaf = property(lambda self: self._op is None, doc="Is it a variable? A result, which an op computed, is not.")
    T = property(lambda self: ops.transpose(self), doc="The axes reversed.")
    mT = property(lambda self: ops.matrix_transpose(self), doc="The last two axes exchanged.")
    real = property(lambda self: ops.real(self), doc="The real part.")
    imag = property(lambda self: ops.imag(self), doc="The imaginary part.")
    at = property(lambda self: ops.At(self), doc=ops.At.__doc__)

    def item(self) -> Any:
        """The value of a Tensor of one element, as a Python number."""
        return _item(self._read())

    def _read(self) -> Array:
        """The data, as something that is no op wants it: refused where a gradient would be lost."""
        in_transform = mode.transforms and mode.recording and not mode.tracing  # a tracer refuses by itself
        if mode.replaying or (in_transform and depends(self, mode.transforms)):
            raise reads_a_value(self)
        return self._data

    def _number(self) -> Any:
        """The value as a Python number, for Python's protocols."""
        if self._data.size != 1:
            raise TypeError(f"needed one element for a Python number, got {describe(self)}; use t.data for the array")
        caller = sys._getframe(2)
        if mode.recording and caller.f_code.co_code[caller.f_lasti] in _STORES:  # NumPy asks, to store it
            raise TypeError(
                f"{describe(self)} was assigned to an element of an array, and its gradient would be lost: use "
                f"np.stack of the elements, or t.at[index].set(value); to log it, array[i] = float(t)"
                f"{from_users_line()}"
            )
        return _item(self._read())

    def detach(self) -> Tensor:
        """A new variable with a copy of the data: gradients stop at it.

        >>> import minigrad as mg
        >>> x = mg.Tensor(3.0)
        >>> (x * x.detach()).backward()
        >>> x.grad
        np.float64(3.0)
        """
        return type(self)(self._data, self.name)

    # the gradient

    @property
    def grad(self) -> Any:
        """The gradient of the value that `backward` was called on; None before, and for results."""
        if self._grad is None and self._edges and not self._retains:
            caller = sys._getframe(1)
            if not is_minigrad(caller.f_code.co_filename):
                warnings.warn(
                    f"{describe(self)} is a result, not a variable, and keeps no gradient: .grad is None. To move "
                    "a variable w write w.data -= lr * w.grad (w -= lr * w.grad makes w a result); for the gradient of "
                    "a result call retain_grad() on it before backward",
                    stacklevel=2,
                )
        return self._grad

    @grad.setter
    def grad(self, gradient: Any) -> None:
        self._grad = gradient

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this value to `.grad` of every variable it depends on.

        >>> import minigrad as mg
        >>> x = mg.Tensor([1.0, 2.0])
        >>> (x * x).backward(np.array([1.0, 10.0]))
        >>> x.grad
        array([ 2., 40.])

        Args:
            gradient: the gradient of the outermost value with respect to this one, in its shape; 1 for a scalar (or
                an array of one element).

        The gradient of a real value with respect to a complex variable a + bi is dL/da + i dL/db, as in PyTorch: to
        step against it is to go down.

        Raises:
            ValueError: without a gradient for a value that is not a scalar, or for one of another shape.
            RuntimeError: where data was changed since the forward pass, or where the value was computed under no_grad.

        After an error, and where Ctrl-C ends the pass, every `.grad` is as it was before.
        """
        if gradient is None:
            if self._data.size != 1:
                raise ValueError(
                    f"backward needs a scalar, got {named(self)} of shape {self._data.shape}; "
                    "sum it, or pass backward(gradient) with a gradient of that shape"
                )
            gradient = unit_seed(self)
        else:
            gradient = conjugated(checked_seed(gradient, self))
        if vmaps:
            mode.refuse_inside_vmap(f"backward was called on {named(self)}", self._data)
        reached: list[Any] = []
        sums: list[Array] = []
        for x, g in backward_pass([self], [gradient]) if self._kwargs is not unrecorded else ():
            g = conjugated(g)
            reached.append(x)
            sums.append(g if x._grad is None else x._grad + g)
        for x in reached:
            if x._kwargs is not unrecorded:
                break
        else:  # no variable
            raise not_recorded(self)
        any(map(setattr, reached, repeat("_grad"), sums))  # all or nothing: no signal is handled inside a loop in C

    def retain_grad(self) -> Tensor:
        """Let a result keep its gradient too, as variables do; returns the Tensor.

        >>> import minigrad as mg
        >>> x = mg.Tensor(3.0)
        >>> z = (2 * x).retain_grad()
        >>> (z * z).backward()
        >>> z.grad
        np.float64(12.0)
        """
        self._retains = True
        return self

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    # operators

    __add__ = ops.add
    __sub__ = ops.subtract
    __mul__ = ops.multiply
    __truediv__ = ops.divide
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __mod__ = ops.remainder
    __neg__ = ops.negative
    __pos__ = ops.positive
    __abs__ = ops.abs
    __getitem__ = ops.getitem

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    def __floordiv__(self, other: Any) -> Array:
        return np.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Array:
        return np.floor_divide(other, self)

    def __divmod__(self, other: Any) -> tuple[Array, Tensor]:
        return ops.divmod(self, other)

    def __rdivmod__(self, other: Any) -> tuple[Array, Tensor]:
        return ops.divmod(other, self)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __gt__(self, other: Any) -> Array:
        return np.greater(self, other)

    def __ge__(self, other: Any) -> Array:
        return np.greater_equal(self, other)

    def __lt__(self, other: Any) -> Array:
        return np.less(self, other)

    def __le__(self, other: Any) -> Array:
        return np.less_equal(self, other)

    def __eq__(self, other: Any) -> Array:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Array:
        return np.not_equal(self, other)

    __hash__ = object.__hash__

    # methods, as ndarray has them

    sum = ops.sum
    mean = ops.mean
    max = ops.max
    min = ops.min
    prod = ops.prod
    var = ops.var
    std = ops.std
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    clip = ops.clip
    dot = ops.dot
    trace = ops.trace
    diagonal = ops.diagonal
    take = ops.take
    repeat = ops.repeat
    swapaxes = ops.swapaxes
    squeeze = ops.squeeze
    ravel = flatten = ops.ravel
    conj = conjugate = ops.conjugate
    astype = ops.astype
    copy = ops.copy

    # without a derivative: these return plain arrays
    argmax, argmin, argsort, any, all, nonzero, round = map(
        _plainly, (np.argmax, np.argmin, np.argsort, np.any, np.all, np.nonzero, np.round)
    )

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        data = self._read()
        return (data if hasattr(data, "tolist") else to_numpy(data)).tolist()

    def reshape(self, *shape: Any, order: Any = "C") -> Tensor:
        """The same elements in another shape: reshape(2, 3) or reshape((2, 3))."""
        shape = shape[0] if len(shape) == 1 else shape
        return ops.reshape(self, shape) if order == "C" else ops.reshape(self, shape, order)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order: transpose(), transpose(1, 0) or transpose((1, 0))."""
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    # Python's protocols

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self._data)))

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __complex__(self) -> complex:
        return complex(self._number())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._number(), digits)

    def __format__(self, spec: str) -> str:
        if spec and self._data.size != 1:
            raise TypeError(
                f"the format {spec!r} needs one element, got {describe(self)}; use np.array2string(t.data, precision=4)"
            )
        return format(_item(self._data), spec) if spec else str(self)

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"the truth of {describe(self)} is ambiguous: needed one element; use t.any() or t.all(), or "
                f"mg.where(condition, x, y) for a choice element by element{from_users_line()}"
            )
        return bool(self._data)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            f"elements of {named(self)} cannot be assigned: results computed from them would not change; "
            "use mg.where(mask, value, t) for a new Tensor; for a parameter t.data[index] = value, then t.data = t.data"
        )

    def __repr__(self) -> str:
        kind, data = printable(type(self).__name__), getattr(self, "_data", None)
        if data is None:  # before __init__
            return f"<{kind} without data>"
        name, op = getattr(self, "_name", None), getattr(self, "_op", None)
        if library(data) == "numpy":
            body = np.array2string(data, separator=", ", prefix=f"{kind}(")
        else:  # another library may have yet to compute it
            body = "\n".join(map(printable, repr(data).split("\n")))
        dtype = "" if data.dtype in (float, complex) else f", dtype={data.dtype}"
        named = f", name={printable(repr(name))}" if name else ""
        made = f", op={op_name(op)}" if op is not None else ""
        return f"{kind}({body}{dtype}{named}{made})"

    def __str__(self) -> str:
        data = getattr(self, "_data", None)
        if library(data) == "minigrad":
            str(data)  # a tracer refuses: the text would be printed once, and never again
        return repr(self)

    def _repr_html_(self) -> str | None:
        """For notebooks: the value and the gradient side by side, large arrays as a strip of colours.

        None where values are yet to be computed: there a notebook shows the repr.
        """
        from minigrad.viz import formats  # here, as only notebooks need it

        data: Any = getattr(self, "_data", None)
        g: Any = getattr(self, "_grad", None)
        rows = [x for look_up in g.look_ups for x in look_up] if hasattr(g, "look_ups") else [g]
        if data is None or any(library(x) == "minigrad" for x in (data, *rows)):
            return None
        return formats.card(self.name, data, self.grad)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, pickled or not, is a new variable with its own data, gradient and, in a subclass, attributes."""
        if not self.is_leaf or depends(self, mode.transforms):
            raise TypeError(
                f"{describe(self)} is a result, and its copy would be none: copy the variables that it was computed "
                f"from, or {named(self, 't')}.detach() for a new variable{from_users_line()}"
            )
        gradient = None if self._grad is None else +self._grad
        made_of = type(self), self._data, self.name, self._kwargs is unrecorded, gradient
        return (_copied, made_of) if (state := self.__getstate__()) is None else (_copied, made_of, state)

    def __getstate__(self) -> Any:
        """A subclass's attributes, as Python copies them: a dict; with slots, that or None, and a dict of the slots."""
        found: Any = object.__getstate__(self)
        attributes, slots = found[0], {key: value for key, value in found[1].items() if key not in Node.__slots__}
        return (attributes, slots) if slots else attributes

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.pop("out", None) is not None:
            raise TypeError(
                f"np.{ufunc.__name__} cannot write a Tensor into an array (out=, or an in-place operator such as "
                "array += tensor); write array = array + tensor"
            )
        if ufunc not in implementations and "scipy.special" in sys.modules:
            import minigrad.ops.special  # noqa: F401  # registers its ufuncs, of which this may be one
        if method == "__call__" and ufunc in implementations:
            return implementations[ufunc](*inputs, **_known(ufunc, kwargs))
        called = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise without_gradient(f"np.{called}")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in implementations:
            return implementations[function](*args, **_known(function, kwargs))
        raise without_gradient(full_name(function))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError(
            "a Tensor is not converted to an array implicitly, as its gradient would be lost: use np.stack([a, b]) for "
            "np.array([a, b]) and np.sum([a, b]), np.concatenate for np.r_, mg.full for np.full, mg's functions for "
            f"those of other libraries (SciPy, pandas, PyTorch); where no gradient is wanted, t.data{from_users_line()}"
        )

    @property
    def _mask(self) -> Never:
        """What np.ma asks for, after it has read `_data`."""
        raise TypeError(
            f"np.ma has no gradient in minigrad; use NumPy's function on t, and np.where{from_users_line()}"
        )

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if hasattr(type(self), name)]


def _is_shared(result: Node) -> bool:
    """Is an op's value a view, or the array of one of its arguments?"""
    data, arguments = result._data, (result._edges or ())[::2]
    return getattr(data, "base", None) is not None or any(data is getattr(x, "_data", x) for x in arguments)


def _item(data: Array) -> Any:
    """The element of an array of one, as a Python number."""
    return (data if hasattr(data, "item") else to_numpy(data)).item()


def _copied(kind: type[Tensor], data: Array, name: str | None, is_unrecorded: bool, gradient: Any) -> Tensor:
    """A copy of a variable. A subclass may take other arguments than Tensor, so it is not called."""
    copy: Tensor = leaf(kind.__new__(kind), copied(data), name)
    copy._grad = gradient
    if is_unrecorded:
        copy._kwargs = unrecorded
    return copy


class Absent:
    """An attribute that PyTorch's tensors have: an error that says what to write here.

    Not `__getattr__`, with which Python looks up every attribute of a Tensor more slowly.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tensor: Any, owner: type) -> Never:
        raise missing_attribute(tensor, self.name, self.name in ops.names)


for _name in {*ATTRIBUTES, *UNNEEDED, *ops.names} - {*dir(Tensor)}:
    setattr(Tensor, _name, Absent(_name))


def checked_seed(gradient: Any, output: Tensor) -> Array:
    """The seed of a backward pass that a user passes in, checked against its value."""
    if isinstance(gradient, Node):
        gradient = gradient._data
    gradient = in_library_of(output._data, gradient, f"the gradient of {named(output)}")
    if gradient.shape != output.shape:
        raise ValueError(f"the gradient of {named(output)} must have its shape {output.shape}, got {gradient.shape}")
    unsafe: dict[str, Any] = {} if np.can_cast(gradient.dtype, output.dtype, "same_kind") else {"casting": "unsafe"}
    return np.positive(gradient, dtype=output.dtype, **unsafe)


def unit_seed(value: Node) -> Array:
    """The seed of a scalar, or of an array of one element: its gradient with respect to itself."""
    data = value._data
    is_numpys = type(data) is np.ndarray or not hasattr(data, "__array_function__")
    return data.dtype.type(1) if is_numpys and not (mode.tracing or data.shape) else np.ones_like(data)


def conjugated(g: Array) -> Array:
    """Convert between the convention of the ops (see ops/elementwise.py) and that of `.grad`: they are conjugates."""
    return np.conj(g) if getattr(g, "dtype", REAL).kind == "c" else g


@functools.cache
def _accepted(function: Any) -> frozenset[str] | None:
    """The keywords that a function takes, None for any."""
    import inspect  # slow to import where NumPy has not done so, and seldom needed

    parameters = inspect.signature(function).parameters.values()
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else frozenset(p.name for p in parameters)


def _known(function: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """NumPy's keywords without those that are None; an error for those that are not supported here."""
    if kwargs and (accepted := _accepted(implementations[function])) is not None:
        for key in kwargs.keys() - accepted:
            if kwargs[key] is not None:
                remedy = {"dtype": "t.astype(dtype) first", "out": "the result", "where": "np.where(mask, y, t)"}
                instead = remedy.get(key, "it on t.data")
                raise TypeError(f"{full_name(function)} of a Tensor does not take {printable(key)}=; use {instead}")
        kwargs = {key: value for key, value in kwargs.items() if key in accepted}
    return kwargs


#: Other modules and variables hold it: it outlives a reload of this module.
Tensor = globals().setdefault("_Tensor", Tensor)  # type: ignore[misc]
