"""Guards: the conditions under which a specialization is valid, as data from which the checks are generated."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiler.captures import Slot, has_attributes
from minigrad.compiler.record import Arguments, Recorded, TypeAndLength, is_array, plain
from minigrad.compiler.source import identical
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
    "contents": "type({x}) is {type} and identical({x}, {e})",
    "array": "type({x}) is {type} and {x}.shape == {shape} and {x}.dtype == {dtype}",
    "array argument": "type({x}) is {type} and {x}.shape == {shape} and {x}.dtype is {dtype}",
    "shape and dtype": "{x}.shape == {shape} and {x}.dtype == {dtype}",
    "length": "len({x}) == {length}",
    "members": "{x} == {e}",
    "keys": "[*{x}] == {e}",
    "attributes": "[*vars({x})] == {e}",
    "same place": "{x} is {e}",
}


class ArrayKind(NamedTuple):
    """The expected type, shape and dtype of an array."""

    type: type
    shape: tuple[int, ...]
    dtype: Any


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
            e=e.place if self.kind == "same place" else brief(e, self.kind == "identity"),
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


def argument_guards(arguments: Arguments) -> list[Guard]:
    """The guards of the arguments: an array's shape and dtype, the form of a container, else the value."""
    return [guard for name, x in arguments.all for guard in guards_of_argument(name, x)]


def guards_of_argument(place: str, x: Any) -> Iterator[Guard]:
    below = children(x)
    if type(x) is np.ndarray:
        yield Guard(place, "array argument", ArrayKind(np.ndarray, x.shape, x.dtype))
    elif isinstance(x, float | complex):
        yield Guard(place, "type", type(x))
    elif is_array(x):
        yield Guard(place, "shape and dtype", ArrayKind(type(x), np.shape(plain(x)), x.dtype))
    elif below is None:
        by_value = x.__hash__ and not (x is None or isinstance(x, bool) or callable(x))
        yield Guard(place, "constant" if by_value else "identity", x)
    else:
        yield Guard(place, "type and length", TypeAndLength(type(x), len(below)))
        for key, subtree in below:
            item = isinstance(x, dict | list | tuple)
            yield from guards_of_argument(f"{place}[{key!r}]" if item else f"{place}.{key}", subtree)


def capture_guards(recorded: Recorded) -> list[Guard]:
    """The guards of the captures: inputs keep their type, shape and dtype, all others their value."""
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
        if slot.owner is None or slot.key == "_grad":
            x = value.example
            if hasattr(x, "dtype"):
                guards.append(Guard(place(slot), "array", ArrayKind(type(x), x.shape, x.dtype), slot))
            else:
                guards.append(Guard(place(slot), "type", type(x), slot))
    return guards


def kinds_of(slot: Slot, held: Any) -> Iterator[tuple[str, Any]]:
    """The kinds of guards on a capture that is no input, each with the expected value."""
    if held is None:
        yield "none", None
    elif slot.key == "_grad" and slot.owner is not None:
        yield "type", type(held)
    elif isinstance(held, np.ndarray):  # Python decides on its values
        yield "contents", held.copy()
    elif isinstance(held, TypeAndLength):
        yield "type and length", held
    elif isinstance(held, int | float | str) and not isinstance(held, bool):
        yield "constant", held
    else:
        yield "identity", held
        if isinstance(held, set):
            yield "members", set(held)
        elif isinstance(held, list | deque):
            yield "length", len(held)
        elif isinstance(held, dict):
            yield "keys", [*held]
        elif has_attributes(held):
            yield "attributes", [*vars(held)]


def readable(slot: Slot, known: dict[int, str]) -> str:
    """A place as the user would write it, as far as its holder is known."""
    if isinstance(slot.holder, Slot):
        return f"{readable(slot.holder, known)}[{slot.key!r}]"
    holder = known.get(id(slot.holder))
    if slot.owner is not None:
        name = slot.name if slot.key == "_data" else slot.name.removeprefix("d")
        return f"{holder or name or 'tensor'}.{slot.key.strip('_')}"
    if holder is not None and slot.is_attribute:
        return f"{holder}.{slot.key}"
    if holder is not None and isinstance(slot.holder, dict):
        return f"{holder}[{slot.key!r}]"
    return slot.name or brief(slot.get())


# Guards as source


class GuardSource:
    """Writes guards as source that is quick to run: objects and expected values are bound to global names."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {"identical": identical}
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
        if isinstance(slot.holder, Slot):
            holder = self.place(slot.holder)
        else:
            holder = self.bind(slot.holder, f"holder of {slot.name}")
        if not slot.is_attribute:
            return f"{holder}[{slot.key if type(slot.key) is int else self.bind(slot.key, 'key')}]"
        if slot.key.isascii() and is_identifier(slot.key):
            return f"{holder}.{slot.key}"
        return f"getattr({holder}, {self.bind(slot.key, 'key')})"

    def condition(self, guard: Guard) -> str:
        """The condition of a guard on a capture."""
        assert guard.slot is not None
        x = self.place(guard.slot)
        if guard.kind == "attributes":  # x is the object that the guard before this one has found
            return self.filled_in("keys", self.bind(vars(self.scope[x]), f"vars {guard.place}"), guard)
        if guard.kind == "identity":
            self.checked[id(guard.slot)] = self.bind(guard.expected, guard.place)
            return CONDITIONS["identity"].format(x=x, e=self.checked[id(guard.slot)])
        return self.filled_in(guard.kind, x, guard)

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
        return [self.condition(guard) for guard in guards]
