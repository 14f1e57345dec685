"""Captures: the Tensors, arrays and numbers that a function reaches through its closure, globals, objects and lists.

A derived function takes them as further inputs, so that nothing is frozen in it that may change.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.tracer import Refused, Tracer
from minigrad.engine import Node
from minigrad.generators import global_names
from minigrad.origin import holds_users_state, is_library, is_minigrad, is_users
from minigrad.sparse import RowSparse
from minigrad.text import printable
from minigrad.trees import leaves

DATA = (np.ndarray, np.generic, int, float, complex, str, tuple, list, dict, set, deque, Node)


class Slot(NamedTuple):
    """A place that holds something, an attribute or an item of a holder, and the name of the variable.

    The holder of an element of a list or tuple is the place of that container, which may be replaced meanwhile.
    """

    name: str
    holder: Any  # an object, or a Slot
    key: Any
    is_attribute: bool = False

    def get(self) -> Any:
        if self.is_attribute:
            return getattr(self.holder, self.key)
        return (self.holder.get() if isinstance(self.holder, Slot) else self.holder)[self.key]

    def set(self, v: Any) -> None:
        if isinstance(self.holder, type):
            setattr(self.holder, self.key, v)
        elif self.is_attribute:
            object.__setattr__(self.holder, self.key, v)
        else:
            whole = self.holder.get() if isinstance(self.holder, Slot) else self.holder
            if isinstance(whole, tuple):  # to replace an element is to replace the tuple where that is held
                elements = [v if i == self.key else e for i, e in enumerate(whole)]
                self.holder.set(type(whole)(*elements) if hasattr(whole, "_fields") else type(whole)(elements))
            else:
                whole[self.key] = v

    def title(self, otherwise: str) -> str:
        """The name of the variable in a message."""
        return printable(self.name) if self.name else otherwise

    @property
    def owner(self) -> Node | None:
        """The Tensor whose data or gradient is held here."""
        return self.holder if isinstance(self.holder, Node) else None


class Found(NamedTuple):
    """A place that a function can reach, its content, and the number of the place that holds its holder."""

    slot: Slot
    held: Any
    within: int


def find_captures(f: Callable[..., Any]) -> list[Found]:
    """Every place that a function can reach through its closure and its globals.

    Containers come before what is in them. Modules, classes and functions of libraries are not entered.
    """
    found = [Found(Slot("", [f], 0), f, -1)]
    entered: set[int] = set()
    known: set[Any] = set()  # places: functions may share their variables
    for i, (at, x, _) in enumerate(found):  # it grows; the shortest way to a thing names it
        for slot in places(x, at) if id(x) not in entered else ():
            place = id(slot.holder), slot.key
            if place in known:
                continue
            try:
                found.append(Found(slot, slot.get(), i - 1))
            except (ValueError, AttributeError):  # a variable that has no value yet
                continue
            known.add(place)
        if not isinstance(x, tuple):  # one tuple in two places is two: its elements are replaced where it is held
            entered.add(id(x))
    return found[1:]


def places(x: Any, at: Slot) -> Iterator[Slot]:
    """The places directly in an object, which is itself held at one."""
    if isinstance(x, Node):
        name = str(x.name or at.name)
        yield Slot(name, x, "_data", True)
        yield Slot(f"d{name}", x, "_grad", True)
    elif isinstance(x, types.FunctionType):
        yield from places_of_function(x)
    elif callable(x) and hasattr(type(x), "__self__"):  # a method, of C's objects too
        yield Slot("self", [x.__self__], 0)
        if hasattr(x, "__func__"):
            yield Slot("", [x.__func__], 0)
    elif isinstance(x, functools.partial):
        if any(isinstance(e, np.ndarray | np.generic | float | complex) for e in leaves(x.args)):
            raise Refused("an array in a functools.partial would be frozen; give it by keyword, or write a lambda")
        yield from (Slot(key, x, key, True) for key in ("func", "args", "keywords"))
    elif isinstance(x, dict):
        yield from (Slot(str(key), x, key) for key in list(x))
    elif isinstance(x, tuple | list | deque):
        yield from (Slot(f"{at.name}{i}", at, i) for i in range(len(x)))
    elif isinstance(x, type):
        yield from places_of_class(x)
    elif not isinstance(x, types.ModuleType | Tracer | RowSparse):
        if has_attributes(x):
            held: dict[Any, Any] = vars(x)  # whose keys need not be strings
            yield from (Slot(key, x, key, True) if isinstance(key, str) else Slot(str(key), held, key) for key in held)
        for kind in filter(is_users, type(x).__mro__):
            if "__slots__" in vars(kind):
                slots = (key for key, e in vars(kind).items() if isinstance(e, types.MemberDescriptorType))
                yield from (Slot(key, x, key, True) for key in slots)
        yield from places_of_class(type(x))


def places_of_class(kind: type) -> Iterator[Slot]:
    """The data and the functions of a class and of those it inherits from."""
    for base in filter(is_users, kind.__mro__):
        for key, x in vars(base).items():
            if isinstance(x, property | functools.cached_property | staticmethod | classmethod):
                functions = (getattr(x, name, None) for name in ("fget", "fset", "func", "__func__"))
                yield from (Slot(key, [function], 0) for function in functions if function is not None)
            elif isinstance(x, types.FunctionType) or (isinstance(x, DATA) and not key.startswith("__")):
                yield Slot(key, base, key, True)


def places_of_function(f: types.FunctionType) -> Iterator[Slot]:
    """Its closure; and, of functions that are not of a library, the globals and defaults it uses."""
    file = f.__code__.co_filename
    if is_library(file):
        return
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        yield Slot(name, cell, "cell_contents", True)
    if not is_minigrad(file):
        yield from (Slot("default", f, key, True) for key in ("__defaults__", "__kwdefaults__") if getattr(f, key))
        yield from (Slot(str(key), vars(f), key) for key in vars(f))
        yield from places_by_name(f.__globals__, global_names(f.__code__))


def places_by_name(scope: dict[str, Any], names: set[str], above: tuple[Any, ...] = ()) -> Iterator[Slot]:
    """Of the variables of a module, and of the user's modules that it names, those of these names."""
    for name in sorted(names & scope.keys()):
        x = scope[name]
        if not isinstance(x, types.ModuleType):
            yield Slot(name, scope, name)
        elif is_users(x) and x not in above:
            yield from places_by_name(vars(x), names, (*above, x))


def has_attributes(x: Any) -> bool:
    """Is it an object of the user's, or an optimizer?"""
    if isinstance(x, types.ModuleType | type | Tracer | RowSparse) or not hasattr(x, "__dict__"):
        return False
    return holds_users_state(type(x))
