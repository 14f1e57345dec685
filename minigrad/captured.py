"""What a function reaches beside its arguments: Tensors, arrays and numbers in its closure, globals, objects and lists.

A derived function takes those as further inputs, so that nothing is frozen in it that may change.
"""

from __future__ import annotations

import functools
import os.path
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Node
from minigrad.sparse import RowSparse
from minigrad.trace import Refused, Traced

OURS = os.path.dirname(__file__)
LIBRARIES = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))


class Slot(NamedTuple):
    """A place that holds something: what it is called, how it is read and replaced, the Tensor it is part of."""

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], None]
    owner: Node | None = None


def slots(f: Callable[..., Any]) -> list[tuple[Slot, Any]]:
    """Every place that a function can reach through its closure and its globals, and what it holds now.

    Containers come before what is in them. Modules, classes and the functions of libraries are not entered.
    """
    found: list[tuple[Slot, Any]] = []
    seen: set[int] = set()

    def enter(x: Any, at: Slot) -> None:
        if id(x) in seen:
            return
        seen.add(id(x))
        for slot in places(x, at):
            try:
                held = slot.get()
            except ValueError:  # a variable that has no value yet
                continue
            found.append((slot, held))
            enter(held, slot)

    enter(f, Slot("", lambda: f, refuse))
    return found


def places(x: Any, at: Slot) -> Iterator[Slot]:
    """The places directly in an object, which is itself held at one."""
    if isinstance(x, Node):
        name = x.name or at.name
        yield attribute(x, "_data", name)._replace(owner=x)
        yield attribute(x, "grad", f"d{name}")._replace(owner=x)
    elif isinstance(x, types.FunctionType):
        yield from places_of_function(x)
    elif isinstance(x, types.MethodType):
        yield Slot("self", lambda: x.__self__, refuse)
        yield Slot("", lambda: x.__func__, refuse)
    elif isinstance(x, functools.partial):
        yield from (Slot("", functools.partial(getattr, x, key), refuse) for key in ("func", "args", "keywords"))
    elif type(x) is dict:
        yield from (item(x, key, str(key)) for key in x)
    elif type(x) is list:
        yield from (item(x, i, f"{at.name}{i}") for i in range(len(x)))
    elif isinstance(x, tuple):
        yield from (item_of_tuple(at, i) for i in range(len(x)))
    elif has_attributes(x):
        yield from (attribute(x, key, key) for key in vars(x))


def places_of_function(f: types.FunctionType) -> Iterator[Slot]:
    """Its closure; and, of functions that are not of a library, the globals and defaults it uses."""
    file = f.__code__.co_filename
    if file.startswith(LIBRARIES) and not file.startswith(OURS):
        return
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        yield attribute(cell, "cell_contents", name)
    if not file.startswith(OURS):
        yield from (attribute(f, key, "") for key in ("__defaults__", "__kwdefaults__") if getattr(f, key))
        for name in sorted(global_names(f.__code__) & f.__globals__.keys()):
            yield item(f.__globals__, name, name)


def global_names(code: types.CodeType) -> set[str]:
    """The names a function may look up in its globals, those of functions inside it too."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(global_names, inner))


def attribute(x: Any, key: str, name: str) -> Slot:
    return Slot(name, functools.partial(getattr, x, key), functools.partial(object.__setattr__, x, key))


def item(x: Any, key: Any, name: str) -> Slot:
    return Slot(name, functools.partial(x.__getitem__, key), functools.partial(x.__setitem__, key))


def item_of_tuple(at: Slot, i: int) -> Slot:
    """An element of a tuple: to replace it is to replace the tuple where that is held."""

    def put(v: Any) -> None:
        whole = [*at.get()]
        whole[i] = v
        kind = type(at.get())
        at.set(kind(*whole) if hasattr(kind, "_fields") else kind(whole))

    return Slot(f"{at.name}{i}", lambda: at.get()[i], put)


def refuse(_: Any) -> None:
    raise Refused("an array in a functools.partial or behind a method would be frozen; pass it as an argument")


def has_attributes(x: Any) -> bool:
    """Is it an object of the user's, or an optimizer?"""
    if isinstance(x, types.ModuleType | type | Traced | RowSparse) or not hasattr(x, "__dict__"):
        return False
    home = type(x).__module__
    return home == "minigrad.optim" or home.partition(".")[0] not in ("builtins", "numpy", "minigrad", "functools")
