"""A node of the graph, and the entry that stands in the graph for a large one: its array is freed when nobody has it.

A graph refers to the arguments of its ops, of which a backward pass needs little: an order, a shape, the pullbacks. So
where a result is large the graph refers to its entry, and not to the Tensor. The array then lives as long as the user's
Tensor, or a pullback that captures it. What needs the value of an argument (pictures, a pass that is itself recorded)
asks `node_of`, which computes it again by the same op where it is gone.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.errors import changed_since, not_the_same
from minigrad.mode import mode

Array = Any

#: Bytes: an array of fewer is kept as long as the graph.
LARGE = 1 << 20

#: A clock that counts down: arguments are older than results and have larger stamps; a heap returns the newest first.
tick = itertools.count(0, -1).__next__


class Node:
    """A value and the op that computed it."""

    __slots__ = (
        "__weakref__", "_data", "_edges", "_entry", "_grad", "_kwargs", "_name", "_op", "_retains", "_stamp",
    )  # fmt: skip

    _data: Array
    _op: Callable[..., Any] | None  # None for a leaf
    _edges: tuple[Any, ...] | None  # the op's arguments, each followed by its pullback: one tuple is cheaper than two
    _kwargs: dict[str, Any]
    _stamp: int
    _retains: bool  # does backward leave its gradient in .grad?
    _grad: Array | None
    _name: str | None
    _entry: Entry | None  # what other nodes refer to in its place
    grad: Any  # a property of Tensor

    @property
    def name(self) -> str | None:
        """Its name in errors and pictures."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        if self._entry is not None:
            self._entry._name = name


class Entry(Node):
    """A node as a backward pass needs it: without its value, which another op's edges keep from being freed."""

    __slots__ = ("_again", "_checksum", "_live", "_read", "dtype", "shape")

    def __init__(self, node: Node, value: Array) -> None:
        self._op, self._edges, self._kwargs, self._stamp = node._op, node._edges, node._kwargs, node._stamp
        self._retains, self._grad, self._name, self._entry = False, None, node._name, None
        self.shape, self.dtype = value.shape, value.dtype
        self._checksum = checksum(changeable(self, value))
        self._read: int | None = None  # the checksum of the value when the user first saw it, and could write into it
        self._live: Callable[[], Any] = weakref.ref(node)
        self._again: Node | None = None  # with the value computed again

    def live(self) -> Any:
        """The Tensor with the value, None where it is gone."""
        return self._again if (node := self._live()) is None else node

    def read_by_the_user(self, value: Array) -> None:
        if self._read is None:
            self._read = checksum([value])


def entered(node: Node, args: tuple[Any, ...]) -> None:
    """Give a node of a large value an entry. A user's op, which may draw random numbers, is not asked for it again."""
    value = node._data
    if any(value is getattr(a, "_data", None) for a in args):
        node._data = value[...]  # a view: an entry cannot tell later whether they share their array
    if is_repeatable(node):
        node._entry = Entry(node, value)


def is_repeatable(node: Node) -> bool:
    """Is a value computed by one of the library's ops, and not by the user's, which may draw random numbers?"""
    return node._op is not None and node._op.body.__module__.startswith("minigrad.ops.")  # type: ignore[attr-defined]


#: What an argument of an op may be that nobody can change.
UNCHANGING = (bool, int, float, complex, str, slice, type, type(None), type(...), np.generic, np.dtype)


def changeable(entry: Entry, value: Array) -> list[Array]:
    """The arrays that decide whether a value computed again is the same: arguments, or the value where it is smaller.

    Not those of large results: users can change them only after they have read `.data`, and then `_read` decides.
    """
    arrays, waiting = [], [*entry._edges[::2], *entry._kwargs.values()]  # type: ignore[index]
    for x in waiting:
        x = x._data if isinstance(x, Node) and type(x) is not Entry else x
        if type(x) is np.ndarray:
            arrays.append(x)
        elif type(x) is tuple:
            waiting += x
        elif type(x) is not Entry and not isinstance(x, UNCHANGING):
            return [value]
    return arrays if sum(x.nbytes for x in arrays) < value.nbytes else [value]


#: In words of 8 bytes, a prime: elements that are exchanged are seldom a multiple of it apart.
_WIDTH = 1021


def checksum(arrays: list[Array]) -> int:
    """A hash of all elements and, all but always, of their order.

    Of the sums of columns of a width that no array has: one changed element changes one. Elements that changed places
    within a column are found by a sample of up to 16,000, where that are enough of one of each row.
    """
    parts: list[Any] = []
    for x in arrays:
        flat = np.ascontiguousarray(x).reshape(-1)
        memory = flat.view(np.uint8)
        whole = memory.size // (8 * _WIDTH) * (8 * _WIDTH)
        if whole:
            words = memory[:whole].view(np.uint64).reshape(-1, _WIDTH)
            step = max(min(x.shape[-1] + 1, x.size >> 10), x.size >> 14) | 1
            parts += np.add.reduce(words, axis=0).tobytes(), flat[::step].tobytes()
        parts += x.shape, memory[whole:].tobytes()
    return hash(tuple(parts))


def function_of(pullback: Any) -> Any:
    """A pullback as a function, also where it is an array; None for a constant's."""
    return pullback if pullback is None or callable(pullback) else functools.partial(_times, pullback)


def _times(factor: Array, g: Array) -> Array:
    return g * factor


def touch(node: Node) -> None:
    """Stamp a node whose data was changed: younger now than every result of the old value, which the pass sees."""
    node._stamp = tick()
    if node._edges:
        node._edges = None  # the recorded op no longer computes this value
    if node._entry is not None and not mode.tracing:
        node._entry._stamp, node._entry._edges = node._stamp, node._edges


def node_of(x: Any) -> Any:
    """An argument of an op: of an entry the Tensor, with its value computed again where it is gone.

    Raises:
        RuntimeError: where something that it was computed from has changed since.
    """
    if type(x) is not Entry:
        return x
    found: dict[int, Node] = {}
    waiting = [x]
    while waiting:
        entry = waiting[-1]
        if (node := entry.live()) is None:
            if entry._edges is None:
                raise changed_since(entry, entry)
            args = entry._edges[::2]
            if gone := [a for a in args if type(a) is Entry and id(a) not in found]:
                waiting += gone
                continue
            node = entry._again = computed_again(entry, [found.get(id(a), a) for a in args])
        found[id(entry)] = node
        waiting.pop()
    return found[id(x)]


def computed_again(entry: Entry, args: list[Any]) -> Node:
    """A node with the value of an entry, for these arguments."""
    for edge, a in zip(entry._edges[::2], args):  # type: ignore[index]
        if isinstance(a, Node) and a._stamp < entry._stamp:
            raise changed_since(a, entry)
        if type(edge) is Entry and edge._read is not None and checksum([a._data]) != edge._read:
            raise not_the_same(entry)
    with np.errstate(all="ignore"):  # the first time it was told
        node = entry._op(*args, **entry._kwargs)  # type: ignore[misc]
    value = node._data
    if value.shape != entry.shape or value.dtype != entry.dtype:
        raise not_the_same(entry)
    if checksum(changeable(entry, value)) != entry._checksum:
        raise not_the_same(entry)
    entry.read_by_the_user(value)
    node._op, node._edges, node._kwargs, node._stamp = entry._op, entry._edges, entry._kwargs, entry._stamp
    node._retains, node._name, node._entry = False, entry._name, None
    return node


#: Tensors and other modules hold these: they outlive a reload of this module.
_lasting = globals().setdefault("_lasting", (tick, Node, Entry))
tick, Node, Entry = _lasting  # type: ignore[misc]
