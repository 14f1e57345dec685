"""Reach: every place that a function can read or write through its closure, globals, objects and arguments.

One walk finds them for `compile` and `derive`, which make inputs and guards of them, and for `checkpoint`, which looks
for generators of random numbers.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from minigrad.engine import Node
from minigrad.origin import holds_users_state, is_library, is_minigrad, is_users
from minigrad.text import printable


class Slot(NamedTuple):
    """A place that holds something: an attribute or an item of a holder.

    The holder is an object, or the place of the holder where another object may stand there at another call: the
    elements of a list or tuple, and everything within an argument. Those begin at a root: its holder is None and its
    key the number of the argument.
    """

    name: str
    holder: Any
    key: Any
    is_attribute: bool = False
    of_tensor: bool = False  # is it the data or the gradient of a Tensor?

    @property
    def rooted(self) -> bool:
        """Does the place lie within an argument?"""
        return self.holder is None or (isinstance(self.holder, Slot) and self.holder.rooted)

    @property
    def detached(self) -> bool:
        """Is it a copy of a place that cannot be written: the object that a method belongs to?"""
        return self.name == "self" and type(self.holder) is list

    def title(self, otherwise: str) -> str:
        """The name of the variable in a message."""
        return printable(self.name) if self.name else otherwise

    def holder_now(self, roots: Any = ()) -> Any:
        """The object that holds the place, in a call with these arguments."""
        if self.holder is None:
            return roots
        return self.holder.get(roots) if isinstance(self.holder, Slot) else self.holder

    def get(self, roots: Any = ()) -> Any:
        holder = self.holder_now(roots)
        if isinstance(holder, type):
            return vars(holder)[self.key]  # getattr would call a descriptor
        return getattr(holder, self.key) if self.is_attribute else holder[self.key]

    def set(self, v: Any, roots: Any = ()) -> None:
        holder = self.holder_now(roots)
        if isinstance(holder, type):
            type.__setattr__(holder, self.key, v)
        elif self.is_attribute:
            object.__setattr__(holder, self.key, v)
        elif isinstance(holder, tuple):  # to replace an element is to replace the tuple where that is held
            elements = [v if i == self.key else e for i, e in enumerate(holder)]
            self.holder.set(type(holder)(*elements) if hasattr(holder, "_fields") else type(holder)(elements), roots)
        else:  # not by a method of the user's
            kind = next((kind for kind in (OrderedDict, dict, list, deque) if isinstance(holder, kind)), type(holder))
            kind.__setitem__(holder, self.key, v)


class Found(NamedTuple):
    """A place, its content, and the number of the place that holds its holder."""

    slot: Slot
    held: Any
    within: int


class Reached(NamedTuple):
    """The places that a function reaches: containers come before their elements."""

    places: list[Found]
    vacant: list[Slot]  # places without a value: an empty cell, a global that a function assigns


def reach(
    f: Any, starts: Iterable[tuple[Slot, Any]] = (), roots: Sequence[Any] = (), skip: tuple[type, ...] = ()
) -> Reached:
    """Every place that a function reaches by itself, and then those that it reaches through arguments.

    Modules, classes and functions of libraries are not entered.

    Args:
        starts: objects in the arguments, and their places.
        roots: the arguments.
        skip: types of no interest: their places are left out.
    """
    found: list[Found] = []
    vacant: list[Slot] = []
    entered: set[int] = set()
    known: set[Any] = set()  # functions may share their variables
    for start in [(Slot("", [f], 0), f), *starts]:
        begin = len(found)
        found.append(Found(*start, -1))
        for i, (at, x, _) in enumerate(_growing(found, begin), begin):  # the shortest way to a thing names it
            for slot in _places(x, at) if id(x) not in entered else ():
                place = id(slot.holder), slot.key, slot.is_attribute
                if place in known:
                    continue
                try:
                    held = slot.get(roots)
                except (ValueError, AttributeError, KeyError):
                    vacant.append(slot)
                    continue
                if type(held) in skip:
                    continue
                known.add(place)
                found.append(Found(slot, held, i - 1))
            if not isinstance(x, tuple):  # one tuple in two places is two: its elements are replaced where it is held
                entered.add(id(x))
    return Reached(found[1:], vacant)


def _growing(found: list[Found], begin: int) -> Iterator[Found]:
    """The elements of a list from one on, with those that are added meanwhile."""
    while begin < len(found):
        yield found[begin]
        begin += 1


def _below(at: Slot, x: Any, name: str, key: Any, is_attribute: bool = False, of_tensor: bool = False) -> Slot:
    """A place in an object that is itself held at a place."""
    return Slot(name, at if at.rooted else x, key, is_attribute, of_tensor)


def _places(x: Any, at: Slot) -> Iterator[Slot]:
    """The places directly in an object."""
    if isinstance(x, Node):
        name = str(x.name or at.name)
        yield _below(at, x, name, "_data", True, True)
        yield _below(at, x, f"d{name}", "_grad", True, True)
        if hasattr(x, "__dict__"):  # of a subclass
            yield from _places_of_attributes(x, at)
        yield from _places_of_class(type(x))
    elif isinstance(x, types.FunctionType):
        yield from _places_of_function(x)
    elif isinstance(x, functools.partial):
        yield from (_below(at, x, key, key, True) for key in ("func", "args", "keywords"))
    elif isinstance(x, type):
        yield from _places_of_class(x)
        yield from _places_of_class(type(x))
    elif callable(x) and hasattr(type(x), "__self__"):  # a method, of C's objects too
        keys = [key for key in ("__self__", "__func__") if hasattr(x, key)]
        for key in keys:
            yield _below(at, x, key.strip("_"), key, True) if at.rooted else Slot("self", [getattr(x, key)], 0)
    elif not isinstance(x, types.ModuleType):
        if hasattr(x, "__wrapped__"):  # a compiled function, a cache
            yield Slot("", [x.__wrapped__], 0)
        if isinstance(x, dict):
            yield from (_below(at, x, str(key), key) for key in list(x))
        elif isinstance(x, tuple | list | deque):
            yield from (Slot(f"{at.name}{i}", at, i) for i in range(len(x)))
        elif isinstance(x, set | frozenset):  # guarded by equality, their elements by identity
            yield from (Slot("", [e], 0) for e in x if has_attributes(e) or callable(e))
        if has_attributes(x):
            yield from _places_of_attributes(x, at)
        for kind in filter(is_users, type(x).__mro__):
            if "__slots__" in vars(kind):
                slots = (key for key, e in vars(kind).items() if isinstance(e, types.MemberDescriptorType))
                yield from (_below(at, x, key, key, True) for key in slots)
        yield from _places_of_class(type(x))


def _places_of_attributes(x: Any, at: Slot) -> Iterator[Slot]:
    """The attributes of an object, whose keys need not be strings."""
    for key in vars(x):
        if isinstance(key, str):
            yield _below(at, x, key, key, True)
        else:
            yield Slot(str(key), _below(at, x, "__dict__", "__dict__", True) if at.rooted else vars(x), key)


def _places_of_class(kind: type) -> Iterator[Slot]:
    """The data and the functions of a class and of those it inherits from."""
    for base in filter(is_users, kind.__mro__):
        for key, x in vars(base).items():
            if isinstance(x, property | functools.cached_property | staticmethod | classmethod):
                yield Slot(key, base, key, True)
                functions = (getattr(x, name, None) for name in ("fget", "fset", "func", "__func__"))
                yield from (Slot(key, [function], 0) for function in functions if function is not None)
            elif isinstance(x, types.FunctionType | functools.partial) or (  # a descriptor from Python 3.14 on
                not key.startswith("__") and (has_attributes(x) or not hasattr(type(x), "__get__"))
            ):
                yield Slot(key, base, key, True)


def _places_of_function(f: types.FunctionType) -> Iterator[Slot]:
    """Its closure; and, of functions that are not of a library, the globals and defaults it uses."""
    file = f.__code__.co_filename
    if is_library(file) and not hasattr(f, "__wrapped__"):
        return
    names = names_in(f.__code__)
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        if name == "__classdict__":  # from Python 3.14 on: the namespace of a class, which its annotations are read in
            continue
        yield Slot(name, cell, "cell_contents", True)
        yield from _places_of_module(cell_content(cell), names)
    if not is_minigrad(file) and not is_library(file):
        yield from (Slot("default", f, key, True) for key in ("__defaults__", "__kwdefaults__") if getattr(f, key))
        yield from (Slot(str(key), vars(f), key) for key in vars(f))
        for name in sorted(names.globals & f.__globals__.keys()):
            yield from _places_of_variable(f.__globals__, name, names)
        known = f.__globals__.keys() | vars(builtins).keys()
        for name in sorted((names.assigned | names.globals) - known - {"__class__"}):
            yield Slot(name, f.__globals__, name)
        for module in map(sys.modules.get, sorted(names.modules)):
            yield from _places_of_module(module, names)


def _places_of_variable(
    scope: dict[str, Any], name: str, names: Names, above: tuple[types.ModuleType, ...] = ()
) -> Iterator[Slot]:
    """A variable of a module; of a module that it holds, the variables that the function names too."""
    x = scope[name]
    if isinstance(x, types.ModuleType):
        yield from _places_of_module(x, names, above)
    else:
        yield Slot(name, scope, name)


def _places_of_module(module: Any, names: Names, above: tuple[types.ModuleType, ...] = ()) -> Iterator[Slot]:
    """The variables of a module of the user's that a function names as attributes."""
    if isinstance(module, types.ModuleType) and is_users(module) and module not in above:
        for name in sorted(names.attributes & vars(module).keys()):
            yield from _places_of_variable(vars(module), name, names, (*above, module))


def cell_content(cell: types.CellType) -> Any:
    """The content of a cell, None where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


class Names(NamedTuple):
    """The names that the code of a function uses, that of the functions inside it too."""

    globals: frozenset[str]
    assigned: frozenset[str]  # the globals that it assigns
    attributes: frozenset[str]
    modules: frozenset[str]  # that it imports


@functools.lru_cache(1000)
def names_in(code: types.CodeType) -> Names:
    """The names in code."""
    found: dict[str, set[str]] = {"globals": set(), "assigned": set(), "attributes": set(), "modules": set()}
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            found["globals"].add(step.argval)
        elif step.opname == "STORE_GLOBAL":
            found["assigned"].add(step.argval)
            found["globals"].add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
            found["attributes"].add(step.argval)
        elif step.opname == "IMPORT_NAME":
            found["modules"].add(step.argval)
    found["attributes"] |= {c for c in code.co_consts if isinstance(c, str) and c.isidentifier()}  # for getattr
    inner = [names_in(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return Names(*(frozenset(own.union(*parts)) for own, *parts in zip(found.values(), *inner)))


def has_attributes(x: Any) -> bool:
    """Is it an object of the user's, or an optimizer?"""
    if isinstance(x, types.ModuleType | type | types.FunctionType | Node) or not hasattr(x, "__dict__"):
        return False
    return holds_users_state(type(x))
