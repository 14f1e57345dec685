"""Names, scopes and source lines of Tensors, remembered outside the engine.

They are kept by weak references and by the stamps of Tensors: no Tensor is kept alive by its name, and recording costs
nothing where none was asked for.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Node
from minigrad.mode import Block
from minigrad.operands import is_foreign
from minigrad.origin import is_library, is_minigrad, is_users, users_frame
from minigrad.text import printable

# names

_names: dict[int, tuple[weakref.ref[Any], str]] = {}  # by id, as long as the object lives


def name(**values: Any) -> None:
    """Name Tensors and arrays for pictures and error messages.

    >>> import minigrad as mg
    >>> z = mg.Tensor([1.0, 2.0]) * 2
    >>> mg.name(z=z)
    >>> z
    Tensor([2., 4.], name='z', op=multiply)
    """
    for key, value in values.items():
        if isinstance(value, Node):
            value.name = key
        else:
            _remember(key, value)


def _remember(key: str, value: Any) -> None:
    me = id(value)
    if me not in _names:
        _names[me] = weakref.ref(value, lambda _: _names.pop(me, None)), key


def name_of(value: Any, around: Mapping[int, str]) -> str:
    """The name of a Tensor or an array: its own, one that was recorded, or by its id one of those around; or ""."""
    if isinstance(value, Node) and value.name:
        return printable(value.name)
    known = _names.get(id(value))
    return printable(known[1] if known else around.get(id(value), ""))


def is_value(x: Any) -> bool:
    """Is it a Tensor or an array, which a picture shows?"""
    return isinstance(x, Node | np.ndarray) or is_foreign(x)


def variables(frame: FrameType) -> list[tuple[str, Any]]:
    """The local variables of a function that hold Tensors and arrays."""
    return [(key, x) for key, x in held(frame).items() if is_name(key) and is_value(x)]


def is_name(key: Any) -> bool:
    """Is a variable's name the user's? Not one with an underscore, nor a tool's such as pytest's @py_assert1."""
    return isinstance(key, str) and key[:1] != "_" and key.isidentifier()


def around(*frames: FrameType) -> list[tuple[str, Any]]:
    """The names that running code has for Tensors and arrays, as (name, value), the best name of a value first.

    These are the variables of the functions that are running, those of the outermost first, as `trace_source` has them:
    what a function calls its argument is less than the name that its caller has. Then the globals of their modules, and
    what is inside of objects and containers there: `self.W`, `params[0]`, `params["W"]`. A library's code, and names
    that begin with an underscore, do not count. Of several frames, as that of a generator and its user's, the first is
    the innermost.
    """
    scopes: list[dict[str, Any]] = []
    modules: dict[int, dict[str, Any]] = {}
    for frame in frames:
        walked: FrameType | None = frame
        while walked is not None:
            file = walked.f_code.co_filename
            if not is_minigrad(file) and not is_library(file):
                scopes.insert(0, held(walked))
                modules.setdefault(id(walked.f_globals), walked.f_globals)
            walked = walked.f_back
    scopes += modules.values()
    visible = [(key, value) for scope in scopes for key, value in list(scope.items()) if is_name(key)]
    found = [(key, value) for key, value in visible if is_value(value)]
    seen: set[int] = set()
    level = [(key, value) for key, value in visible if not is_value(value)]
    for _ in range(DEPTH):
        inside = [pair for key, value in level for pair in _inside(key, value, seen)]
        found += [(key, value) for key, value in inside if is_value(value)]
        level = [(key, value) for key, value in inside if not is_value(value)][:MOST_INSIDE]
    return found


DEPTH = 3  # levels of objects and containers that are looked into: model.layers[0].W
MOST_INSIDE = 200  # elements of one, and objects of a level


def _inside(key: str, value: Any, seen: set[int]) -> list[tuple[str, Any]]:
    """The elements of a list, a tuple or a dict, and the attributes of an object of the user's class."""
    kind = type(value)
    if id(value) in seen:
        return []
    if kind is dict:
        found = [(f"{key}[{k!r}]", v) for k, v in list(value.items())[:MOST_INSIDE] if type(k) in (str, int)]
    elif kind in (list, tuple):
        found = [(f"{key}[{i}]", v) for i, v in enumerate(value[:MOST_INSIDE])]
    elif issubclass(kind, tuple) and isinstance(fields := getattr(kind, "_fields", None), tuple):
        found = [(f"{key}.{field}", v) for field, v in zip(fields, value)]
    elif is_users(kind):
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return []
        found = [(f"{key}.{k}", v) for k, v in list(attributes.items())[:MOST_INSIDE] if k[:1] != "_"]
    else:
        return []
    seen.add(id(value))
    return found


def held(frame: FrameType) -> dict[str, Any]:
    """The local variables of a function."""
    found = frame.f_locals
    copied = dict(found)
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and type(found) is dict and sys.getrefcount(found) <= 3:
        found.clear()  # Python 3.11 and 3.12 keep this snapshot with the frame, and with it all that it refers to
    return copied


# scopes


@dataclass(eq=False, repr=False)
class Scope:
    """A named part of a computation."""

    name: str


_scopes: dict[int, tuple[weakref.ref[Any], tuple[Scope, ...]]] = {}  # by the id of a Tensor, as long as it lives


class scope(Block):
    """Group the values computed inside: pictures draw a frame around them.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> with mg.scope("square"):
    ...     y = x * x
    >>> "cluster" in mg.draw(y).source
    True

    It holds where `no_grad` does: for this thread or asyncio task. Inside, every op takes a little longer.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __enter__(self) -> None:
        here = Scope(printable(self.name))
        self.enter(sys._getframe(1), observer=lambda node: _put_inside(node, here))


def _put_inside(node: Node, here: Scope) -> None:
    """Remember that a Tensor is made in a scope; the outer ones come first."""
    me = id(node)
    ref, around = _scopes.get(me) or (weakref.ref(node, lambda _: _scopes.pop(me, None)), ())
    _scopes[me] = ref, (*around, here)


def scopes_around(nodes: list[Node]) -> dict[int, tuple[Scope, ...]]:
    """The scopes around each Tensor, by its id, the outermost first."""
    return {id(node): _scopes[id(node)][1] for node in nodes if id(node) in _scopes}


# source lines


class Line(NamedTuple):
    """The line of the user's code that made a Tensor."""

    code: CodeType
    lineno: int


_lines: dict[int, Line] = {}  # by stamp
_shortening = threading.Lock()
MAX_LINES = 100_000  # the newest are kept


class trace_source(Block):
    """Record the line of your code that makes each Tensor, and the variables' names, for `draw` and `replay`.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0)
    >>> with mg.trace_source():
    ...     y = x * x
    >>> "<b>y</b>" in mg.draw(y).source
    True

    Outside the block nothing is recorded, at no cost. It holds where `no_grad` does: for this thread or asyncio task.
    """

    def __init__(self) -> None:
        super().__init__()

    def __enter__(self) -> None:
        frame = sys._getframe(1)
        self.enter(frame, observer=lambda node: _record(node, frame), outermost=frame)

    def __exit__(self, *problem: Any) -> None:
        _remember_variables(self.leave(sys._getframe(1)).values["outermost"])


def _record(node: Node, outermost: FrameType) -> None:
    """Remember the user's line that makes a Tensor, and the names of the variables around it."""
    if (frame := users_frame()) is None:
        return
    _lines[node._stamp] = Line(frame.f_code, frame.f_lineno)
    if len(_lines) > MAX_LINES:
        with _shortening:
            del _lines[next(iter(_lines))]
    frames = [frame]
    while frame is not outermost and (frame := frame.f_back) is not None:
        frames.append(frame)
    for outer in reversed(frames):
        _remember_variables(outer)


def _remember_variables(frame: FrameType) -> None:
    for key, value in variables(frame):
        _remember(key, value)


def line_of(node: Node) -> Line | None:
    """The line that made a Tensor, where it was recorded."""
    return _lines.get(node._stamp)
