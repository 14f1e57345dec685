"""Python source: constants and functions as text, and text as functions."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import linecache
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any

import numpy as np

from minigrad.hints import full_name

MAX_LITERAL_SIZE = 1000  # elements of an array that source spells out


class Code(str):
    """Text that is source already."""


def constant(x: Any) -> str:
    """A constant as Python writes it."""
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple | list):
        inside = ", ".join(map(constant, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
    if isinstance(x, slice):
        return f"slice({constant(x.start)}, {constant(x.stop)}, {constant(x.step)})"
    if isinstance(x, np.dtype):
        return f"np.{x}"
    if isinstance(x, type) and issubclass(x, np.generic):
        return f"np.{x.__name__}"
    if isinstance(x, np.generic):
        return f"np.{x.dtype}({constant(x.item())})"
    if isinstance(x, np.ndarray):
        return array_constant(x)
    if isinstance(x, float) and not np.isfinite(x):
        return "np.nan" if np.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    if isinstance(x, type):
        return x.__name__
    if callable(x):
        return called(x)
    return "..." if x is ... else repr(x)


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
        return f"np.zeros({x.shape}, dtype=np.{x.dtype})"
    if x.size > MAX_LITERAL_SIZE:
        raise TypeError(
            f"a derived function would have to spell out an array of shape {x.shape} that is not computed from its "
            "arguments; pass it as an argument"
        )
    dtype = "" if x.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)) else f", dtype=np.{x.dtype}"
    elements = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(x.tolist()))
    return f"np.array({elements}{dtype})"


def identical(x: Any, y: Any) -> bool:
    """Are two arrays equal to the last bit?"""
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def literal(x: Any) -> str:
    """Containers of source as source; a dataclass as a dict."""
    if isinstance(x, tuple):
        return "(" + ", ".join(map(literal, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, list):
        return "[" + ", ".join(map(literal, x)) + "]"
    if dataclasses.is_dataclass(x):
        x = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {literal(e)}" for key, e in x.items()) + "}"
    return x


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
    """The full name of a NumPy function, the bare name of one of minigrad's."""
    name, owner = function.__name__, getattr(function, "__self__", None)
    if is_helper(function):
        return name.strip("_")
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{name}"
    return full_name(function)


def is_helper(function: Any) -> bool:
    """Is it a function of minigrad, whose definition the source includes?"""
    return (getattr(function, "__module__", None) or "").startswith("minigrad.")


def definition(function: Any) -> str:
    """The source of a function of minigrad, without annotations and docstring."""
    (tree,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(tree, ast.FunctionDef)
    tree.name, tree.returns, tree.body = called(function), None, tree.body[1:]
    for argument in tree.args.args:
        argument.annotation = None
    return ast.unparse(tree)


def executable(source: str, name: str, scope: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """The function of a name that source defines, with np and a scope as its globals."""
    return executed(source, name, scope)[name]


def executed(source: str, name: str, scope: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The globals after source has run with np and a scope.

    All generated source runs here: tracebacks, debuggers and `inspect.getsource` find its lines.
    """
    variables: dict[str, Any] = {"np": np, **(scope or {})}
    exec(_code(source, name), variables)
    return variables


_numbers = itertools.count()


@functools.lru_cache(64)
def _code(source: str, name: str) -> CodeType:
    """Compiled source, its lines kept for tracebacks; the same source is compiled once."""
    file = f"<derived {name} {next(_numbers)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    return compile(source, file, "exec")
