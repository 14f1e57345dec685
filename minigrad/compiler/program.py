"""The intermediate representation: a program is a list of Values, each the result of a NumPy call on earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.examples import shape_only, stand_in
from minigrad.engine import Array
from minigrad.sparse import RowSparse
from minigrad.trees import map_leaves


class Name(NamedTuple):
    """A proposed name for a value. The lower the rank of whoever proposes it, the more it counts."""

    rank: int
    word: str


ARGUMENT, USERS, OPS_OWN, NOBODY = range(4)
UNNAMED = Name(NOBODY, "")


class Value:
    """One value of a program: an input (its call is None), or the result of a call.

    Arguments are Values and constants, in tuples, lists, dicts and slices. A call is a function of NumPy or one of
    those below. None writes into an existing array: `call(*args)` on arrays is the meaning of a Value.
    """

    __slots__ = (
        "activated",
        "args",
        "call",
        "dynamic",
        "example",
        "gradient_of",
        "hollow",
        "kwargs",
        "layout_sensitive",
        "line",
        "name",
        "versions_of",
    )

    def __init__(
        self, call: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any], example: Any
    ) -> None:
        self.call, self.args, self.kwargs, self.example = call, args, kwargs, example
        self.name = UNNAMED
        self.gradient_of: list[Derivative] = []
        self.dynamic = False  # does its shape depend on values?
        self.line = ""  # of the user's code that made it, for errors
        self.activated = False  # is it the input of an activation? then its gradient is the slides' error signal
        self.versions_of: dict[Value, None] = {}  # the inputs that held it after a write, in order
        self.layout_sensitive = False  # are its elements summed in an order that depends on its memory layout?
        self.hollow: bool = any(x.hollow for x in operands(self))  # is the content of its example not its own?

    @property
    def shape(self) -> tuple[int, ...]:
        return getattr(self.example, "shape", ())  # () for Python's numbers, and for several arrays in a tuple

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return getattr(self.example, "dtype", np.dtype(object))

    @property
    def size_in_memory(self) -> int:
        """In bytes; of a view, what it would take alone."""
        return getattr(self.example, "nbytes", 0)

    def adopt(self, name: Name) -> None:
        """Take this name unless the present one counts as much."""
        if name.rank < self.name.rank:
            self.name = name

    def hollow_out(self) -> None:
        """Let go of the content of a large example that can be computed again."""
        if self.call is not np.full and next(operands(self), None) is not None:
            example = stand_in(self.example)
            self.hollow |= example is not self.example
            self.example = example

    def __repr__(self) -> str:
        return f"<{self.name.word or getattr(self.call, '__name__', 'input')} {self.shape}>"


def new_value(call: Any, *args: Any, **kwargs: Any) -> Value:
    """A Value for a call, its example computed."""
    with np.errstate(all="ignore"):
        value = Value(call, args, kwargs, call(*examples(args), **examples(kwargs)))
    value.hollow_out()
    return value


def forget_examples(values: Iterable[Value]) -> None:
    """Free the memory of examples, all but their shapes and dtypes."""
    for v in values:
        v.example = shape_only(v.example)


class Derivative(NamedTuple):
    """What a gradient is the derivative of, and by which variable: dy/dx, or v dy/dx for a seed v."""

    of: Value
    by: Value
    seed: Value | None  # None: 1


class Program(NamedTuple):
    """A function without side effects, save the writes it lists.

    Values are pure. Only a `stored` Value changes an array of the user's: an input takes the content it has at the end.
    """

    name: str  # as are those of the parameters, one from outside: `identifiers` makes names for source of them
    parameters: list[str]
    inputs: list[
        tuple[str, tuple[Any, ...], Value]
    ]  # of each array in the arguments: its parameter, its path, its Value
    captured: list[Value]  # further inputs
    values: list[Value]  # in the order in which they are computed
    writes: list[Value]  # for each input that is written into: its `stored` Value
    output: Any  # a tree of Values, constants, and RowSparse of them


# The calls that are not NumPy's. Each returns a new array.


def assigned(x: Array, index: Any, v: Array) -> Array:
    """x with x[index] = v."""
    x = np.copy(x)
    x[index] = v
    return x


def changed(function: Any, x: Array, *args: Any, **kwargs: Any) -> Array:
    """x after function(x, ...), for a function that writes into its first argument: np.add.at, np.putmask."""
    x = np.copy(x)
    function(x, *args, **kwargs)
    return x


def filled(function: Any, x: Array, *args: Any, **kwargs: Any) -> Array:
    """x after function(..., out=x)."""
    x = np.copy(x)
    function(*args, out=x, **kwargs)
    return x


def stored(x: Array, v: Array) -> Array:
    """x with x[...] = v, in the array that the caller holds."""
    return assigned(x, ..., v)


def astype(x: Array, dtype: Any) -> Array:
    """x in another dtype."""
    return x.astype(dtype) if isinstance(x, np.ndarray) else np.asarray(x).astype(dtype)[()]


#: The calls that make an array from another one by writing into it.
UPDATES = assigned, changed, filled, stored


def array_under(update: Value) -> Value:
    """The array that an update writes into."""
    return update.args[1 if update.call in (changed, filled) else 0]


def is_scatter(v: Value) -> bool:
    """Does it add elements to an array one by one, as ufunc.at does?"""
    return v.call is changed and isinstance(getattr(v.args[0], "__self__", None), np.ufunc)


def scattered(v: Value) -> tuple[Any, Any]:
    """The index at which such an update adds, and what."""
    index, new = v.args[2:]
    is_single = type(index) is tuple and len(index) == 1 and not isinstance(index[0], tuple | list)
    return index[0] if is_single else index, new


#: The calls that Python writes as operators, with their precedence.
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


# Arguments, looked through


def mapped(function: Callable[[Any], Any], kind: type, x: Any) -> Any:
    """Apply a function to everything of one kind in tuples, lists, dicts and slices."""
    if isinstance(x, kind):
        return function(x)
    if type(x) in (tuple, list):
        return type(x)([mapped(function, kind, e) for e in x])
    if type(x) is dict:
        return {key: mapped(function, kind, e) for key, e in x.items()}
    if type(x) is slice:
        return slice(*(mapped(function, kind, e) for e in (x.start, x.stop, x.step)))
    return x


def examples(x: Any) -> Any:
    """Arguments with the example of each Value in its place."""
    return mapped(lambda v: v.example, Value, x)


def values_in(x: Any) -> Iterator[Value]:
    """Every Value in arguments, in order."""
    found: list[Value] = []
    mapped(found.append, Value, x)
    return iter(found)


def operands(value: Value) -> Iterator[Value]:
    """The Values among the arguments of a Value, in order."""
    return values_in((value.args, value.kwargs))


def made_from(values: list[Value]) -> set[Value]:
    """Values, and all that they are computed from."""
    found, waiting = set(values), list(values)
    while waiting:
        fresh = set(operands(waiting.pop())) - found
        found |= fresh
        waiting += fresh
    return found


def leaves_of(tree: Any) -> list[Any]:
    """The leaves of a program's output: Values and constants, those of a RowSparse one by one."""
    found: list[Any] = []

    def leaf(x: Any) -> None:
        found.extend(e for part in x._parts for e in part) if isinstance(x, RowSparse) else found.append(x)

    map_leaves(leaf, tree)
    return found


def returned(program: Program) -> list[Any]:
    """The leaves of the output that a run returns: no constant that nobody can change, and no array that is given."""
    given = given_arrays(program)
    return [x for x in leaves_of(program.output) if isinstance(x, np.ndarray | Value) and id(x) not in given]


def given_arrays(program: Program) -> dict[int, str]:
    """The names of the arguments that are arrays, by the id of their Value: the numbers of rows may be such a one."""
    return {id(v): name for name, path, v in program.inputs if not path and isinstance(v.example, np.ndarray)}


# Views

#: Views or copies, depending on the layout of the arrays at run time.
EITHER = {np.reshape, np.ravel, np.ascontiguousarray, np.asfortranarray, np.require}


def viewed(value: Value) -> Value | None:
    """The operand that a Value may be a view of, None where it owns its memory."""
    call = value.call
    if isinstance(call, np.ufunc) or call in UPDATES or call is astype:
        return None
    first = value.args[0] if value.args else None
    if isinstance(first, Value) and (call in EITHER or isinstance(first.example, tuple | list)):
        return first
    views = views_in(value)
    for x in operands(value) if views else ():
        if any(np.may_share_memory(e, o) for e in views for o in arrays_of(x.example)):
            return x
    return None


def views_in(value: Value) -> list[np.ndarray]:
    """The arrays in an example that are views, or an argument itself, as of np.atleast_1d and np.broadcast_arrays."""
    given = [x.example for x in operands(value)]
    return [e for e in arrays_of(value.example) if e.base is not None or any(e is x for x in given)]


def arrays_of(example: Any) -> list[np.ndarray]:
    """The arrays in an example: several in a tuple or list, such as np.split returns."""
    if isinstance(example, tuple | list):
        return [e for part in example for e in arrays_of(part)]
    return [example] if isinstance(example, np.ndarray) else []


def root(value: Value, known: Container[Value] = ()) -> Value:
    """The Value whose memory a Value is in: the one at the bottom of its views, or the first of those in `known`."""
    while value not in known and (under := viewed(value)) is not None:
        value = under
    return value


# Kinds of values


def is_elementwise(call: Any) -> bool:
    return isinstance(call, np.ufunc) and call.signature is None


def number(x: Any) -> Any:
    """The number that a constant is, or repeats to fill an array; None for anything else."""
    if isinstance(x, Value):
        return number(repeated(x)) if x.call in (np.broadcast_to, np.full) else None
    return x if isinstance(x, int | float | complex | np.number) and not isinstance(x, bool) else None


def repeated(x: Value) -> Any:
    """The argument that np.broadcast_to and np.full repeat."""
    return x.args[1 if x.call is np.full else 0]


def is_number_repeated(v: Value) -> bool:
    """Is it an array that repeats one number?"""
    return v.call in (np.broadcast_to, np.full) and np.ndim(examples(repeated(v))) == 0


def is_reversed(v: Value) -> bool:
    """Is it an array with its axes reversed, x.T?"""
    return v.call is np.transpose and len(v.args) == 1 and not v.kwargs
