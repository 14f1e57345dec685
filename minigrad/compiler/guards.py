"""Guards: the conditions under which a specialization is valid, as data from which the checks are generated."""

from __future__ import annotations

import array
import copy
import enum
import re
import types
import weakref
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.layout import is_contiguous
from minigrad.compiler.program import Value, root
from minigrad.compiler.record import Arguments, Recorded, TypeAndLength, is_array
from minigrad.compiler.source import identical
from minigrad.compiler.tracer import Tracer
from minigrad.engine import Node
from minigrad.engine import stop_gradient as plain
from minigrad.origin import is_users
from minigrad.reach import Slot, has_attributes
from minigrad.text import Identifier, is_identifier, printable
from minigrad.trees import children

#: The condition of each kind of guard, on the content x of a place. Of the expected value, e is the value itself, and
#: type, length, shape and dtype are its own.
CONDITIONS = {
    "none": "{x} is None",
    "identity": "{x} is {e}",
    "type": "type({x}) is {type}",
    "type and length": "type({x}) is {type} and len({x}) == {length}",
    "constant": "({x} is {e} or type({x}) is {type} and {x} == {e})",
    "number": "({x} is {e} or type({x}) is {type} and repr({x}) == repr({e}))",  # nan, and the sign of 0
    "contents": "type({x}) is {type} and identical({x}, {e})",
    "array": "type({x}) is {type} and {x}.shape == {shape} and {x}.dtype == {dtype}",
    "array argument": "type({x}) is {type} and {x}.shape == {shape} and {x}.dtype is {dtype}",
    "shape and dtype": "{x}.shape == {shape} and {x}.dtype == {dtype}",
    "length": "len({x}) == {length}",
    "members": "{x} == {e}",
    "keys": "[*{x}] == {e}",
    "attributes": "[*vars({x})] == {e}",
    "same place": "{x} is {e}",
    "layout": "{x}.strides == {e}",
    "contiguous": "contiguous({x})",
    "distinct": "distinct({x})",
    "vacant": "vacant({x})",
    "class": "len(vars({x})) == {length}",
    "apart": "apart({x})",
}


class ArrayKind(NamedTuple):
    """The expected type, shape and dtype of an array."""

    type: type
    shape: tuple[int, ...]
    dtype: Any


class Separate(NamedTuple):
    """Places whose arrays share no memory: those of the one group neither with one another nor with the other group."""

    one: list[Slot]
    other: list[Slot]

    @property
    def all(self) -> list[Slot]:
        return self.one + self.other


class Guard(NamedTuple):
    """One condition: the content of a place is as expected.

    >>> import minigrad as mg
    >>> n = 2
    >>> d = mg.derive(lambda x: mg.sum(x**n), np.ones(3))
    >>> d.guards[0].place, d.guards[0].kind
    ('x', 'array argument')
    >>> print(d.guards)
    type(x) is ndarray and x.shape == (3,) and x.dtype is float64
    (n is 2 or type(n) is int and n == 2)
    """

    place: str  # as the user would write it: optimizer.lr
    kind: str  # of CONDITIONS
    expected: Any
    slot: Slot | None = None  # the place; None for an argument

    def __str__(self) -> str:
        e = self.expected
        condition = CONDITIONS[self.kind].format(
            x=self.place,
            e=e.place if isinstance(e, Guard) else brief(e, self.kind == "identity"),
            type=type_of(e).__name__,
            length=length_of(e),
            shape=getattr(e, "shape", ()),
            dtype=getattr(e, "dtype", ""),
        )
        return printable(condition)

    def __repr__(self) -> str:
        return f"<{self}>"


class Guards(tuple[Guard, ...]):
    """The guards of a specialization: one condition a line where they are printed."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__


def type_of(expected: Any) -> type:
    """The expected type; some guards keep only the type in place of the value."""
    if isinstance(expected, type):
        return expected
    if isinstance(expected, ArrayKind):
        return expected.type
    return expected.kind if isinstance(expected, TypeAndLength) else type(expected)


def length_of(expected: Any) -> int:
    if isinstance(expected, TypeAndLength):
        return expected.length
    return expected if isinstance(expected, int) else 0


def brief(x: Any, by_identity: bool = False) -> str:
    """A value in a short line: a number, a string or keys as they are, the name of a function, else the type."""
    of_keys = isinstance(x, list | set) and all(isinstance(e, int | float | str) for e in x)
    if x is None or isinstance(x, int | float | complex | str) or (of_keys and not by_identity):
        text = repr(x)
    else:
        name = getattr(x, "__qualname__", None)
        text = name if isinstance(name, str) else f"<{type(x).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


# The guards of a recorded run


def argument_guards(arguments: Arguments, enter: bool) -> list[Guard]:
    """The guards of the arguments: an array's shape and dtype, the form of a container whose arrays are inputs."""
    return [guard for name, x in arguments.all for guard in guards_of_argument(name, x, enter)]


def guards_of_argument(place: str, x: Any, enter: bool) -> Iterator[Guard]:
    below = children(x) if enter else None
    if type(x) is np.ndarray:
        yield Guard(place, "array argument", ArrayKind(np.ndarray, x.shape, x.dtype))
    elif isinstance(x, float | complex) or type(x) is int:
        yield Guard(place, "type", type(x))
    elif is_array(x) and (enter or not isinstance(x, Node)):
        yield Guard(place, "shape and dtype", ArrayKind(type(x), np.shape(plain(x)), x.dtype))
    elif below is not None:
        yield Guard(place, "type and length", TypeAndLength(type(x), len(below)))
        for key, subtree in below:
            item = isinstance(x, dict | list | tuple)
            yield from guards_of_argument(f"{place}[{key!r}]" if item else f"{place}.{key}", subtree, enter)


def reach_guards(recorded: Recorded, contiguous: Collection[Value]) -> list[Guard]:
    """The guards of what is reached: inputs keep their type, shape and dtype, all else its value.

    Args:
        contiguous: the inputs that the program takes to be contiguous.
    """
    known: dict[int, str] = {}  # by id: the place of each object that is guarded

    def place(slot: Slot) -> str:
        return readable(slot, known)

    guards = []
    for slot, held in recorded.guards:
        for kind, expected in kinds_of(slot, held):
            guards.append(Guard(place(slot), kind, expected, slot))
        known.setdefault(id(held), place(slot))
    for slot, first in recorded.same:
        guards.append(Guard(place(slot), "same place", Guard(place(first), "", None, first), slot))
    for slot, value in recorded.captured:
        if slot.rooted or not slot.of_tensor or slot.key == "_grad":
            x = value.example
            if hasattr(x, "dtype"):
                guards.append(Guard(place(slot), "array", ArrayKind(type(x), x.shape, x.dtype), slot))
            else:
                guards.append(Guard(place(slot), "type", type(x), slot))
        if value in contiguous:
            guards.append(Guard(place(slot), "contiguous", None, slot))
    written = {first for _, first, _ in recorded.written}
    reshaped = [v for v in recorded.values if v.call in (np.reshape, np.ravel)]  # views or copies, by the layout
    for slot, value in recorded.captured:
        of_it = [v for v in reshaped if root(v) is value and isinstance(value.example, np.ndarray)]
        if of_it and (value in written or not all(np.may_share_memory(v.example, value.example) for v in of_it)):
            guards.append(Guard(place(slot), "layout", value.example.strides, slot))
    held = {value: slot for slot, value in recorded.captured}
    for slot, now in recorded.rebound:
        other = held.get(now.value) if isinstance(now, Tracer) else None
        if other is not None and other is not slot:  # the places hold the same from now on
            guards.append(Guard(f"{place(slot)}, {place(other)}", "distinct", [slot, other], slot))
    for slot in recorded.vacant:
        guards.append(Guard(place(slot), "vacant", slot, slot))
    for reached in recorded.classes:  # a new attribute may be found before one of its bases'
        name = reached.__name__
        guards.append(Guard(name, "class", len(vars(reached)), Slot(name, [reached], 0)))
    if len(recorded.distinct) > 1:
        names = ", ".join(map(place, recorded.distinct))
        guards.append(Guard(names, "distinct", recorded.distinct, recorded.distinct[0]))
    return guards


def separation_guards(recorded: Recorded, arguments: list[Slot]) -> list[Guard]:
    """The guards that no array which is written into shares memory with another input."""
    firsts = {first for _, first, _ in recorded.written}
    written = [slot for slot, value in recorded.captured if value in firsts]
    others = [slot for slot, x in recorded.captured if isinstance(x.example, np.ndarray) and x not in firsts]
    if not written or len(written) + len(others) + len(arguments) == 1:
        return []
    groups = [Separate(written, others), *(Separate([argument], written) for argument in arguments)]
    known: dict[int, str] = {}
    return [
        Guard(", ".join(readable(slot, known) for slot in group.all), "apart", group, group.all[0]) for group in groups
    ]


def kinds_of(slot: Slot, held: Any) -> Iterator[tuple[str, Any]]:
    """The kinds of guards on a place that is no input, each with the expected value."""
    if held is None:
        yield "none", None
    elif isinstance(held, np.ndarray):  # Python decides on its values
        yield "contents", held.copy()
    elif slot.of_tensor:
        yield "type", type(held)
    elif isinstance(held, TypeAndLength):
        yield "type and length", held
    elif isinstance(held, bool):
        yield "identity", held
    elif isinstance(held, float | complex | np.inexact):
        yield "number", held
    elif isinstance(held, int | str | np.generic | array.array | bytearray):
        yield "constant", copy.copy(held)
    elif slot.rooted and (type(held).__hash__ is None or isinstance(held, Node) or is_users_object(held)):
        yield "type", type(held)
    elif slot.rooted and not callable(held):
        yield "constant", held
    else:
        yield "identity", held
    if isinstance(held, set):
        yield "members", set(held)
    elif isinstance(held, list | deque):
        yield "length", len(held)
    elif isinstance(held, dict):
        yield "keys", [*held]
    if has_attributes(held) and not isinstance(held, int | float | complex | str | np.ndarray | np.generic):
        yield "attributes", [*vars(held)]


def readable(slot: Slot, known: dict[int, str]) -> str:
    """A place as the user would write it, as far as its holder is known."""
    if slot.holder is None:
        return slot.name
    key = slot.key.strip("_") if slot.of_tensor else slot.key
    if isinstance(slot.holder, Slot):
        return f"{readable(slot.holder, known)}{f'.{key}' if slot.is_attribute else f'[{key!r}]'}"
    holder = known.get(id(slot.holder))
    if slot.of_tensor:
        name = slot.name if slot.key == "_data" else slot.name.removeprefix("d")
        return f"{holder or name or 'tensor'}.{key}"
    if holder is not None and slot.is_attribute:
        return f"{holder}.{key}"
    if holder is not None and isinstance(slot.holder, dict):
        return f"{holder}[{key!r}]"
    return slot.name or brief(slot.get())


# Guards as source


class GuardSource:
    """Writes guards as source that is quick to run: objects and expected values are bound to global names."""

    def __init__(self, count: int) -> None:
        self.count = count  # of the arguments
        self.scope: dict[str, Any] = {
            "identical": identical,
            "vacant": vacant,
            "contiguous": is_contiguous,
            "ndarray": np.ndarray,
        }
        self.bound: dict[int, Identifier] = {}  # by the id of an object in the scope: its name there
        self.checked: dict[int, str] = {}  # by the id of a slot: the name of the object that a guard before it found

    def bind(self, x: Any, word: str) -> Identifier:
        """A global name for an object. The word is for the reader: only ASCII of it enters the source."""
        if id(x) in self.bound:
            return self.bound[id(x)]
        name = f"{re.sub(r'[^A-Za-z0-9]+', '_', word)[:40].strip('_')}_{len(self.scope)}"
        name = name if name[0].isalpha() else f"x_{name.lstrip('_')}"
        self.scope[name], self.bound[id(x)] = x, Identifier(name)
        return self.bound[id(x)]

    def place(self, slot: Slot) -> str:
        """The expression that reads a place."""
        if id(slot) in self.checked:
            return self.checked[id(slot)]
        if slot.holder is None:
            return f"a{slot.key}"
        if isinstance(slot.holder, Slot):
            holder = self.place(slot.holder)
        else:
            holder = self.bind(slot.holder, f"holder of {slot.name}")
        if isinstance(slot.holder, type) and is_descriptor(vars(slot.holder).get(slot.key)):
            return f"vars({holder})[{self.bind(slot.key, 'key')}]"
        if not slot.is_attribute:
            return f"{holder}[{slot.key if type(slot.key) is int else self.bind(slot.key, 'key')}]"
        if slot.key.isascii() and is_identifier(slot.key):
            return f"{holder}.{slot.key}"
        return f"getattr({holder}, {self.bind(slot.key, 'key')})"

    def condition(self, guard: Guard) -> str:
        """The condition of a guard on a capture."""
        assert guard.slot is not None
        if guard.kind == "distinct":
            return f"len({ids([self.place(slot) for slot in guard.expected])}) == {len(guard.expected)}"
        if guard.kind == "vacant":
            arguments = ", ".join(f"a{i}" for i in range(self.count))
            return f"vacant({self.bind(guard.slot, 'place')}, ({arguments}{',' * (self.count == 1)}))"
        if guard.kind == "class":
            return self.filled_in("class", self.bind(guard.slot.holder[0], guard.place), guard)
        x = self.place(guard.slot)
        if (
            guard.kind == "attributes" and not guard.slot.rooted
        ):  # x is the object that the guard before this one has found
            return self.filled_in("keys", self.bind(vars(self.scope[x]), f"vars {guard.place}"), guard)
        if guard.kind == "identity":
            self.checked[id(guard.slot)] = self.bind(guard.expected, guard.place)
            return CONDITIONS["identity"].format(x=x, e=self.checked[id(guard.slot)])
        return self.filled_in(guard.kind, x, guard)

    def apart(self, groups: list[Separate]) -> str:
        """The condition that arrays share no memory: certain where each owns its own, otherwise it is looked up.

        The first group are the arrays that are written into, and the rest of the inputs; each further one, an argument.
        It is often a view, another one at every call, and its owner is asked.
        """
        written, others = ([self.place(slot) for slot in part] for part in groups[0])
        bases = " is ".join(f"{x}.base" for x in written + others)
        sure = [f"{bases} is None", f"len(owned := {ids(written)}) == {len(written)}"]
        if others:
            sure.append(f"owned.isdisjoint({ids(others)})")
        looked_up = []
        for group in groups:
            places = [self.place(slot) for slot in group.all]
            looked_up.append(f"{self.bind(Apart(len(group.one)), 'apart')}({', '.join(places)})")
            if group is not groups[0]:
                x = places[0]
                sure.append(f"type(owner := {x} if {x}.base is None else {x}.base) is ndarray")
                sure.append("owner.base is None and id(owner) not in owned")
        return f"({' and '.join(sure)} or {' and '.join(looked_up)})"

    def filled_in(self, kind: str, x: str, guard: Guard) -> str:
        """A condition with the names of bound objects in it."""
        template, e = CONDITIONS[kind], guard.expected
        names: dict[str, Any] = {"x": x, "length": length_of(e)}
        if "{e}" in template:
            names["e"] = self.place(e.slot) if kind == "same place" else self.bind(e, f"expected {guard.place}")
        if "{type}" in template:
            names["type"] = self.bind(type_of(e), type_of(e).__name__)
        if "{shape}" in template:
            names |= {"shape": self.bind(e.shape, "shape"), "dtype": self.bind(e.dtype, str(e.dtype))}
        return template.format(**names)

    def conditions(self, guards: Iterable[Guard]) -> list[str]:
        conditions, apart = [], []
        for guard in guards:
            if guard.kind == "apart":
                apart.append(guard.expected)
            else:
                conditions.append(self.condition(guard))
        return [*conditions, self.apart(apart)] if apart else conditions


def is_descriptor(x: Any) -> bool:
    """Does an attribute of a class have another value where it is asked for by its name?"""
    return hasattr(type(x), "__get__") and not isinstance(x, types.FunctionType)


def ids(places: list[str]) -> str:
    """The set of the identities of what they hold."""
    return f"{{{', '.join(f'id({x})' for x in places)}}}"


def vacant(slot: Slot, roots: tuple[Any, ...]) -> bool:
    """Does a place hold nothing?"""
    try:
        slot.get(roots)
    except (ValueError, AttributeError, KeyError):
        return True
    return False


def is_users_object(x: Any) -> bool:
    """Is it an object of a class of the user's, but for its members that are constants (an Enum's)?"""
    return has_attributes(x) or (is_users(type(x)) and not isinstance(x, enum.Enum))


class Apart:
    """Tells whether the first arrays share no memory with any other; for those of the last time it is known."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.last: tuple[weakref.ref[Any], ...] = ()  # kept alive by nobody here

    def __call__(self, *arrays: Any) -> bool:
        if len(self.last) == len(arrays) and all(known() is x for known, x in zip(self.last, arrays)):
            return True
        for i, x in enumerate(arrays[: self.first]):
            if any(np.may_share_memory(x, y) for y in arrays[i + 1 :]):
                return False
        self.last = tuple(map(weakref.ref, arrays))
        return True
