"""Python source: constants and functions as text, and text as functions.

Text that comes from outside enters source as an `Identifier` or by `constant`, and in no other way: a name is an
identifier or is renamed, a key or an attribute is spelled out as a string, and what cannot be spelled out is refused.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinMethodType, CodeType
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import implementations
from minigrad.hints import full_name
from minigrad.text import Identifier, is_identifier, printable

MAX_LITERAL_SIZE = 1000  # elements of an array that source spells out


class Code(str):
    """Text that is source already."""


def constant(x: Any) -> str:
    """A constant as Python writes it.

    Raises:
        TypeError: for an object that has no literal form, or one that is not the same again when it is read.
    """
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple | list):
        inside = ", ".join(map(constant, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
    if isinstance(x, slice):
        return f"slice({constant(x.start)}, {constant(x.stop)}, {constant(x.step)})"
    if isinstance(x, np.dtype):
        return dtype_constant(x)
    if isinstance(x, np.longdouble | np.clongdouble):
        return unspeakable(x)
    if isinstance(x, np.generic):
        return f"{dtype_constant(x.dtype)}({constant(x.item())})" if x.dtype.kind in "biufc" else unspeakable(x)
    if isinstance(x, np.ndarray):
        return array_constant(x)
    if isinstance(x, float) and not np.isfinite(x):
        return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    if isinstance(x, complex) and (not np.isfinite(x) or repr(ast.literal_eval(repr(x))) != repr(x)):  # -0j
        return f"complex({constant(x.real)}, {constant(x.imag)})"
    for kind in LITERAL:
        if isinstance(x, kind):  # a subclass may have a repr of its own
            return kind.__repr__(x)
    if x is ...:
        return "..."
    if isinstance(x, type):
        return x.__name__ if x in NUMBERS else f"np.{x.__name__}" if is_found(x, ["np", x.__name__]) else unspeakable(x)
    return called(x) if callable(x) else unspeakable(x)


NUMBERS = bool, int, float, complex
LITERAL: tuple[Any, ...] = (*NUMBERS, str, bytes, type(None))


def unspeakable(x: Any) -> Any:
    raise TypeError(
        f"a derived function would have to spell out {printable(repr(x))[:80]}, of type {printable(type(x).__name__)}, "
        "which has no literal form; pass it as an argument, or compute with arrays of numbers"
    )


def dtype_constant(dtype: Any) -> str:
    """A dtype as NumPy's name for it, or as a call that makes it."""
    dtype = np.dtype(dtype)
    if dtype.isnative and dtype.kind in "biufc" and getattr(np, str(dtype), None) is dtype.type:
        return f"np.{dtype}"
    if dtype.names is not None or dtype.subdtype is not None or np.dtype(dtype.str) != dtype:
        unspeakable(dtype)
    return f"np.dtype({dtype.str!r})"


def has_literal(x: Any) -> bool:
    """Is an object, read again from its literal form, the same key of a dict and of the same type?"""
    if type(x) is tuple:
        return all(map(has_literal, x))
    if isinstance(x, np.generic):
        return x.dtype.kind in "biuf" and bool(np.isfinite(x))
    return type(x) in LITERAL and not (isinstance(x, float | complex) and not np.isfinite(x))


def array_constant(x: np.ndarray) -> str:
    """An array that is not computed from the arguments, as a call that makes it."""
    flat = x.reshape(-1)
    if x.size > 2 and x.dtype == int and np.array_equal(flat, np.arange(flat[0], flat[0] + x.size)):
        made = f"np.arange({x.size})" if flat[0] == 0 else f"np.arange({flat[0]}, {flat[0] + x.size})"
        return made if x.ndim == 1 else f"{made}.reshape({', '.join(map(str, x.shape))})"
    if x.size > 2 and x.dtype == float and not np.signbit(flat[0]):
        first, last = float(flat[0]), float(flat[0]) + x.size
        if x.ndim == 1 and first < 2**50 and np.array_equal(x, np.arange(first, last)):
            return f"np.arange({last})" if first == 0 else f"np.arange({first}, {last})"
        if x.ndim == 2 and identical(x, np.eye(*x.shape)):
            return f"np.eye({x.shape[0]})" if x.shape[0] == x.shape[1] else f"np.eye({x.shape[0]}, {x.shape[1]})"
    if not x.size:
        return f"np.zeros({x.shape}, dtype={dtype_constant(x.dtype)})"
    if x.size > MAX_LITERAL_SIZE:
        raise TypeError(
            f"a derived function would have to spell out an array of shape {x.shape} that is not computed from its "
            "arguments; pass it as an argument"
        )
    if x.dtype.kind not in "biufc":
        unspeakable(x)
    dtype = "" if x.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)) else f", dtype={dtype_constant(x.dtype)}"
    elements = repr(x.tolist()) if x.dtype.char in "gG" else constant(x.tolist())  # a long double is read as it was
    return f"np.array({elements}{dtype})"


def identical(x: Any, y: Any) -> bool:
    """Are two arrays equal to the last bit?"""
    return x.shape == y.shape and x.dtype == y.dtype and bits(x) == bits(y)


def bits(x: Any) -> bytes:
    """The content of an array, without the padding of long doubles."""
    return repr(x.tolist()).encode() if x.dtype.char in "gG" else x.tobytes()


def literal(x: Any) -> str:
    """Containers of source as source; a dataclass as a dict, a dict whose keys have no literal form as a list."""
    if dataclasses.is_dataclass(x):
        x = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    elif isinstance(x, dict) and not all(map(has_literal, x)):
        x = list(x.values())
    if isinstance(x, tuple):
        return "(" + ", ".join(map(literal, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, list):
        return "[" + ", ".join(map(literal, x)) + "]"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{constant(key)}: {literal(e)}" for key, e in x.items()) + "}"
    return x


class Step(NamedTuple):
    """A step into a container: to a key, which has a place among the keys, or to an attribute."""

    key: Any
    place: int
    is_attribute: bool

    def source(self, container: str) -> str:
        """The expression for what is there."""
        if self.is_attribute:
            is_name = is_identifier(self.key)
            return f"{container}.{self.key}" if is_name else f"getattr({container}, {constant(self.key)})"
        if has_literal(self.key):
            return f"{container}[{constant(self.key)}]"
        return f"[*{container}.values()][{self.place}]"

    def __str__(self) -> str:
        return f".{self.key}" if self.is_attribute else f"[{self.key!r}]"


def flattened(x: Any) -> Iterator[Any]:
    """The elements of tuples, lists, dicts and slices."""
    if isinstance(x, tuple | list):
        for e in x:
            yield from flattened(e)
    elif isinstance(x, dict):
        yield from flattened(list(x.values()))
    elif isinstance(x, slice):
        yield from flattened((x.start, x.stop, x.step))
    elif x is not None:
        yield x


def called(function: Any) -> str:
    """The full name of a function of NumPy, or of one of SciPy's that are ops; the bare name of one of minigrad's.

    Raises:
        TypeError: for a function of neither.
    """
    name, owner = str(getattr(function, "__name__", "")), getattr(function, "__self__", None)
    if is_helper(function):
        return Identifier(name.strip("_"))
    if isinstance(owner, np.ufunc):
        path = ["np", owner.__name__, name]
    else:
        path = full_name(function).split(".") if name else []
    if not is_found(function, path):
        raise TypeError(
            f"a derived function calls functions of NumPy alone, got {printable(name or function)}; write it with "
            "NumPy's, or with those of minigrad"
        )
    return ".".join(path)


def is_found(x: Any, path: list[str]) -> bool:
    """Is it what this path leads to: from np, or from scipy to one of the functions that are ops here?"""
    root, *names = path or [""]
    found: Any = {"np": np, "scipy": sys.modules.get("scipy") if is_special(x) else None}.get(root)
    for name in names:
        found = getattr(found, name, None) if is_identifier(name) else None
    return callable(x) and (found is x or (isinstance(x, BuiltinMethodType) and found == x))  # np.add.at is made anew


def is_special(function: Any) -> bool:
    """Is it one of the functions of scipy.special that minigrad has an op for?"""
    if not isinstance(function, np.ufunc) or "scipy.special" not in sys.modules:
        return False
    if getattr(np, function.__name__, None) is not function:
        import minigrad.ops.special  # noqa: F401  # here, as it imports SciPy: registers its ufuncs
    ours = implementations.get(function)
    return getattr(ours, "__module__", "") == "minigrad.ops.special"


def is_helper(function: Any) -> bool:
    """Is it a function of minigrad, whose definition the source includes?"""
    module = str(getattr(function, "__module__", ""))
    return module.startswith("minigrad.") and getattr(sys.modules.get(module), function.__name__, None) is function


def definition(function: Any) -> str:
    """The source of a function of minigrad, without annotations and docstring."""
    (tree,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(tree, ast.FunctionDef)
    tree.name, tree.returns, tree.body = called(function), None, tree.body[1:]
    for argument in tree.args.args:
        argument.annotation = None
    return ast.unparse(tree)


def executable(
    source: str, name: str, scope: Mapping[str, Any] | None = None, file: str | None = None
) -> Callable[..., Any]:
    """The function of a name that source defines, with np and a scope as its globals."""
    return executed(source, name, scope, file)[name]


def executed(source: str, name: str, scope: Mapping[str, Any] | None = None, file: str | None = None) -> dict[str, Any]:
    """The globals after source has run with np and a scope.

    All generated source runs here: tracebacks, debuggers and `inspect.getsource` find its lines.

    Args:
        file: where the source is also written, if it is.
    """
    variables: dict[str, Any] = {"np": np, **(scope or {})}
    exec(_code(source, name, file), variables)
    return variables


_numbers = itertools.count()


@functools.lru_cache(64)
def _code(source: str, name: str, file: str | None) -> CodeType:
    """Compiled source, its lines kept for tracebacks; the same source is compiled once."""
    file = file or f"<derived {name} {next(_numbers)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    return compile(source, file, "exec")
