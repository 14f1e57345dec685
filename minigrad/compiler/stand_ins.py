"""Stand-ins for what a function reaches, in place while it is recorded.

A Tensor keeps its own state, which other threads go on seeing; for the recording thread an overlay holds tracers. What
cannot be recorded (an iterator, a file, a generator of random numbers) is replaced by an object that refuses any use.
"""

from __future__ import annotations

import contextvars
import functools
import io
import random
import types
import weakref
from threading import get_ident
from typing import Any

import numpy as np

from minigrad.compiler.tracer import Refused, Tracer
from minigrad.engine import Node
from minigrad.origin import at_users_line
from minigrad.reach import has_attributes
from minigrad.text import printable

RNG = np.random.Generator | np.random.RandomState | random.Random


class OwnSlots(dict[str, Any]):
    """The values of a Tensor's slots that the recording thread sees.

    Attributes:
        was_read: of each slot that was used: was it read before it was written?
    """

    def __init__(self) -> None:
        self.was_read: dict[str, bool] = {}


#: By the id of a Tensor that is overlaid.
_overlays: dict[int, OwnSlots] = {}
_recording_thread = 0
_overlaid_classes: set[type] = set()


class Overlay:
    """Tensors whose slots have values of their own for this thread, until `remove`."""

    def __init__(self) -> None:
        global _recording_thread
        _recording_thread = get_ident()
        self.tensors: list[Node] = []

    def cover(self, x: Node) -> OwnSlots:
        """Let this thread see and write other values in the slots of a Tensor."""
        if id(x) not in _overlays:
            self.tensors.append(x)
            _overlays[id(x)] = OwnSlots()
            kind: Any = type(x)
            x.__class__ = _overlaid(kind)
        return _overlays[id(x)]

    def hold(self, x: Node, key: str, value: Any) -> None:
        """Let a slot of a Tensor hold another value for this thread."""
        self.cover(x)[key] = value

    def is_overwritten(self, x: Node, key: str) -> bool:
        """Was a slot of a Tensor written before anybody read it, so that what it held is no matter?"""
        return id(x) in _overlays and _overlays[id(x)].was_read.get(key) is False

    def changed(self, x: Node) -> set[str]:
        """The slots of a Tensor that hold another value now than the Tensor itself."""
        return {key for key, value in _overlays[id(x)].items() if value is not getattr(Node, key).__get__(x)}

    def remove(self) -> None:
        for x in self.tensors:
            (x.__class__,) = type(x).__bases__
            del _overlays[id(x)]


@functools.cache
def _overlaid(kind: Any) -> Any:
    """A class of Tensors whose slots are looked up in the overlay first."""

    def own_class(x: Node) -> None:
        # a result computed from such a Tensor was made in its class
        x.__class__ = kind

    def overlaid_slot(key: str) -> property:
        slot = getattr(Node, key)

        def get(x: Node) -> Any:
            own = _overlays.get(id(x))
            if own is None:
                own_class(x)
            elif key in own and get_ident() == _recording_thread:
                own.was_read.setdefault(key, True)
                return own[key]
            return slot.__get__(x)

        def put(x: Node, value: Any) -> None:
            own = _overlays.get(id(x))
            if own is None:
                own_class(x)  # at once: of two classes Python compares the subclass first, and b > a is not a < b
            elif get_ident() == _recording_thread:
                own.was_read.setdefault(key, False)
                own[key] = value
                return
            slot.__set__(x, value)

        return property(get, put)

    slots = {key: overlaid_slot(key) for key in Node.__slots__ if key != "__weakref__"}
    overlaid = type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **slots})
    _overlaid_classes.add(overlaid)
    return overlaid


class _AsType(type):
    """The class of the stand-in for `type`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or kwargs:
            return type(*args, **kwargs)
        (x,) = args
        kind = type(x)
        return x.__class__ if kind is Tracer else kind.__base__ if kind in _overlaid_classes else kind

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, type)


class OwnType(metaclass=_AsType):
    """`type` as the function knows it: a traced array is an array, a Tensor with an overlay is a Tensor."""


class Unusable:
    """Stands for something whose use would be frozen in the program.

    Args:
        use: its use, in an error message.
        remedy: why it is refused, and what to write.
    """

    __slots__ = ("_remedy", "_use")

    def __init__(self, use: str, remedy: str) -> None:
        self._use, self._remedy = printable(use), remedy

    def refuse(self, *_: Any, **__: Any) -> Any:
        raise Refused(f"{self._use}{at_users_line()}, {self._remedy}")

    __getattr__ = __call__ = __next__ = __iter__ = __len__ = __getitem__ = __enter__ = __exit__ = refuse


RANDOM = "random numbers were drawn"
OUTSIDE = "and would be the same ever after; draw them outside and pass them as arguments"


def unusable(x: Any, name: str) -> Unusable | None:
    """The stand-in for an object whose use cannot be recorded, None for any other."""
    if isinstance(x, RNG):
        return Unusable(RANDOM, OUTSIDE)
    if isinstance(x, contextvars.ContextVar):
        remedy = "and its value would be frozen; read it outside and pass the value as an argument"
        return Unusable(f"the context variable {x.name} was read", remedy)
    if isinstance(x, io.IOBase):
        remedy = "which a compiled function would not do again; read it outside and pass an array"
        return Unusable(f"the file {name} was used", remedy)
    if type(x).__module__ in ("queue", "_queue", "multiprocessing.queues"):
        remedy = "and the item that it held would be frozen; get() it outside and pass it as an argument"
        return Unusable(f"the queue {name} was used", remedy)
    if isinstance(x, weakref.ReferenceType | weakref.ProxyType | types.MappingProxyType | memoryview):
        remedy = "and what it refers to cannot be followed; use the object itself"
        return Unusable(f"{name}, a {type(x).__name__}, was used", remedy)
    if hasattr(type(x), "__next__") and not has_attributes(x):
        remedy = "and its first item would be frozen; call next() outside and pass the item as an argument"
        return Unusable(f"the iterator {name} was used", remedy)
    return None
