"""What a picture of a computation shows: its boxes, their names and groups, and what flows back.

Everything here reads a graph and leaves it as it is. Names, scopes and source lines are remembered by the stamps of
Tensors and by weak references, so that nothing is kept alive, and nothing is paid where none was asked for.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from minigrad import engine
from minigrad._tensor import unit_seed
from minigrad.engine import Array, Node, backward_pass
from minigrad.mode import observing_passes
from minigrad.notation import Notation, filled, notation
from minigrad.origin import users_frame
from minigrad.show import number
from minigrad.walk import ancestors, arguments, contribution, edges

# names, groups and source lines, remembered from outside the engine

_names: dict[int, tuple[weakref.ref[Any], str]] = {}  # by id, while the object lives


@dataclass(eq=False, repr=False)
class _Scope:
    name: str
    first: int
    last: int | None = None  # while it is open


_scopes: deque[_Scope] = deque(maxlen=10_000)  # a training loop may open one in every step


def name(**values: Any) -> None:
    """Give Tensors and arrays the names that pictures and errors call them by.

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


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Group what is computed inside: pictures draw a frame around it.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> with mg.scope("square"):
    ...     y = x * x
    >>> "cluster" in mg.draw(y).source
    True

    The last 10,000 scopes are remembered, for whatever thread they ran in.
    """
    here = _Scope(name, engine.tick())
    _scopes.append(here)
    try:
        yield
    finally:
        here.last = engine.tick()


class Line(NamedTuple):
    """Where in the user's code a Tensor was made."""

    code: CodeType
    number: int


_lines: dict[int, Line] = {}  # by stamp
LINES = 100_000  # as many are remembered, the newest


class trace_source:
    """Remember the line of your code that makes each Tensor, and the variables' names, for `draw` and `replay`.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0)
    >>> with mg.trace_source():
    ...     y = x * x
    >>> "<b>y</b>" in mg.draw(y).source
    True

    Outside of it nothing is recorded, and nothing is paid.
    """

    def __enter__(self) -> None:
        self.frame, self.thread = sys._getframe(1), threading.get_ident()
        engine.observe_stamps(self.record, True)

    def record(self, stamp: int) -> None:
        """Remember the user's line that makes the Tensor of a stamp, and what the variables around it name."""
        if threading.get_ident() != self.thread or (frame := users_frame()) is None:
            return
        _lines[stamp] = Line(frame.f_code, frame.f_lineno)
        if len(_lines) > LINES:
            del _lines[next(iter(_lines))]
        frames = [frame]
        while frame is not self.frame and (frame := frame.f_back) is not None:
            frames.append(frame)
        for outer in reversed(frames):
            _remember_all(outer)

    def __exit__(self, *problem: Any) -> None:
        engine.observe_stamps(self.record, False)
        _remember_all(self.frame)
        del self.frame  # it would hold the Tensors of that function


def _remember_all(frame: FrameType) -> None:
    for key, value in variables(frame):
        _remember(key, value)


def variables(frame: FrameType) -> list[tuple[str, Any]]:
    """The Tensors and arrays that a function's variables name."""
    found = frame.f_locals
    pairs = [(key, value) for key, value in found.items() if key[0] != "_" and isinstance(value, Node | np.ndarray)]
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and type(found) is dict and sys.getrefcount(found) <= 3:
        found.clear()  # a snapshot that Python 3.11 and 3.12 keep with the frame, and in it what it names
    return pairs


def line_of(node: Node) -> Line | None:
    """The line that made a Tensor, where it was traced."""
    return _lines.get(node._stamp)


# the graph


@dataclass(eq=False, repr=False)
class Box:
    """A value in a picture."""

    key: str
    kind: str  # "parameter", "input" or "result"
    label: str
    data: Array
    node: Node | None = None
    times: int = 1  # how many it stands for, where repeated structure is collapsed
    op: Op | None = None
    grad: Array | None = None  # the gradient of the root with respect to it
    arrivals: int = 0  # contributions that its gradient is the sum of
    delta: str = ""  # its symbol, where the gradient is the slides' error signal
    scopes: tuple[_Scope, ...] = ()


@dataclass(eq=False, repr=False)
class Operand:
    """An argument of an op, and what flows back to it."""

    box: Box | None  # None: left out of the picture
    place: int
    flow: Array | None = None
    formula: str = ""
    times: int = 1


@dataclass(eq=False, repr=False)
class Op:
    sign: str
    notation: Notation
    operands: list[Operand]
    local: str = ""  # the derivative of an op of one argument
    expression: str = ""


@dataclass(eq=False, repr=False)
class Graph:
    """What is drawn, the newest first: the first box is the root."""

    boxes: list[Box] = field(default_factory=list)
    more: int = 0  # Tensors left out
    backward: bool = False

    @property
    def root(self) -> Box:
        return self.boxes[0]


def reachable(root: Node) -> list[Node]:
    """Every Tensor that a value was computed from, the newest first."""
    if not isinstance(root, Node):
        raise TypeError(f"a picture needs a Tensor, got {type(root).__name__}")
    return ancestors(root)


def flows(root: Node, keep: list[Node]) -> tuple[dict[int, Array], dict[tuple[int, int], Array]]:
    """The backward pass, observed: gradients by stamp, contributions by the op's stamp and the argument's place."""
    kept = {node._stamp for node in keep}
    gradients: dict[int, Array] = {}

    def visit(node: Node, g: Array) -> None:
        if node._stamp in kept:
            gradients[node._stamp] = g

    with observing_passes(lambda: visit):
        deque(backward_pass([root], [unit_seed(root)]), maxlen=0)
    contributions = {
        (node._stamp, edge.place): contribution(node, edge, gradients[node._stamp])
        for node in keep
        if node._stamp in gradients
        for edge in edges(node)
    }
    return gradients, contributions


def alike(root: Node, nodes: list[Node], scopes: dict[int, tuple[_Scope, ...]]) -> dict[int, int]:
    """A class for each Tensor, by id: the same op and shape, made of the same by the same, three levels deep."""
    users: dict[int, set[Any]] = {}
    for node in nodes:
        for place, x in enumerate(arguments(node)):
            if isinstance(x, Node) and x._op is None:
                users.setdefault(id(x), set()).add((node._op, place))
    numbers: dict[Any, int] = {}

    def own(node: Node) -> Any:
        if node is root:
            return root
        if node._op is not None:
            return node._op, node._data.shape, tuple(s.name for s in scopes.get(id(node), ()))
        stem = (node.name or "").rstrip("0123456789")
        return stem, node._data.shape, frozenset(users.get(id(node), ()))

    classes = {id(node): numbers.setdefault(own(node), len(numbers)) for node in nodes}
    for _ in range(3):
        finer: dict[Any, int] = {}
        classes = {
            id(node): finer.setdefault(
                (classes[id(node)], *(classes[id(x)] for x in arguments(node) if isinstance(x, Node))), len(finer)
            )
            for node in nodes
        }
    return classes


def _scopes_of(nodes: list[Node]) -> dict[int, tuple[_Scope, ...]]:
    """The scopes around each Tensor, the outermost first."""
    newest, oldest = nodes[0]._stamp, nodes[-1]._stamp
    over = [s for s in _scopes if s.first >= newest and (s.last is None or s.last <= oldest)]
    events = sorted(
        [(-s.first, 1, s) for s in over] + [(-s.last, -1, s) for s in over if s.last is not None], key=lambda e: e[0]
    )
    inside: list[_Scope] = []
    found, at = {}, 0
    for node in reversed(nodes):  # the oldest first
        while at < len(events) and events[at][0] < -node._stamp:
            _, way, s = events[at]
            inside.append(s) if way > 0 else inside.remove(s)
            at += 1
        if inside:
            found[id(node)] = tuple(inside)
    return found


ACTIVATIONS = {"sigmoid", "tanh", "relu"}


def read(
    root: Node,
    *,
    inputs: Sequence[Node] = (),
    backward: bool | None = None,
    collapse: bool = False,
    limit: int | None = None,
    named: Sequence[tuple[str, Any]] = (),
) -> Graph:
    """The boxes of a picture, their names, and what flows back.

    Args:
        root: the value whose computation is read.
        inputs: variables that are data, not parameters.
        backward: read gradients too; None: if `backward()` has been called.
        collapse: read alike values as one.
        limit: so many Tensors at most, those nearest to the root.
        named: names of variables around.
    """
    nodes = reachable(root)
    scopes = _scopes_of(nodes) if _scopes else {}
    classes = alike(root, nodes, scopes) if collapse else {id(node): i for i, node in enumerate(nodes)}
    members: dict[int, list[Node]] = {}
    for node in nodes:
        members.setdefault(classes[id(node)], []).append(node)

    shown = _nearest(root, members, classes, limit)
    drawn = [node for node in nodes if classes[id(node)] in shown and members[classes[id(node)]][0] is node]
    graph = Graph(more=len(nodes) - sum(len(members[c]) for c in shown))
    gradients: dict[int, Array] = {}
    contributions: dict[tuple[int, int], Array] = {}
    auto = backward is None
    if auto:
        backward = root._data.size == 1 and any(node.grad is not None for node in nodes)
    if backward:
        if root._data.size != 1:
            raise ValueError(f"gradients need a scalar, got shape {root._data.shape}; draw the graph of its sum")
        try:
            gradients, contributions = flows(root, drawn)
            graph.backward = True
        except RuntimeError:  # data has changed since: there is no gradient of these values any more
            if not auto:
                raise

    outside = {id(value): key for key, value in reversed(named)}
    data = {id(x) for x in inputs}
    boxes: dict[int, Box] = {}  # by class
    arrays: dict[int, Box] = {}  # constants, by id: those that are data rather than numbers
    for i, node in enumerate(drawn):
        me = classes[id(node)]
        kind = "result" if node._op is not None else "input" if id(node) in data else "parameter"
        boxes[me] = Box(f"t{i}", kind, _named(node, outside), node._data, node, len(members[me]))
        boxes[me].grad = gradients.get(node._stamp)
        boxes[me].scopes = scopes.get(id(node), ())
        graph.boxes.append(boxes[me])

    used: Counter[int] = Counter()
    for node in reversed(drawn):  # the oldest first: an expression is made of its arguments'
        box = boxes[classes[id(node)]]
        if node._op is not None:
            box.op = _op(node, box, members, boxes, classes, arrays, outside, contributions, len(drawn))
            box.label = box.label or _short(box)
        box.label = box.label or ("variable" if box.kind == "parameter" else "input")
        used.update(id(o.box) for o in box.op.operands if o.flow is not None) if box.op else None
    for box in graph.boxes:
        box.arrivals = used[id(box)]
    graph.boxes += arrays.values()
    _mark_deltas(graph)
    for box in graph.boxes:
        if box.op:
            _formulas(box, box.op)
    return graph


def _nearest(root: Node, members: dict[int, list[Node]], classes: dict[int, int], limit: int | None) -> set[int]:
    start = classes[id(root)]
    shown, waiting = {start}, deque([start])
    while waiting:
        for node in members[waiting.popleft()]:
            for x in arguments(node):
                if isinstance(x, Node) and classes[id(x)] not in shown:
                    if limit is not None and len(shown) >= limit:
                        return shown
                    shown.add(classes[id(x)])
                    waiting.append(classes[id(x)])
    return shown


def _named(value: Any, outside: dict[int, str]) -> str:
    if isinstance(value, Node) and value.name:
        return value.name
    known = _names.get(id(value))
    return known[1] if known else outside.get(id(value), "")


def _op(
    node: Node,
    box: Box,
    members: dict[int, list[Node]],
    boxes: dict[int, Box],
    classes: dict[int, int],
    arrays: dict[int, Box],
    outside: dict[int, str],
    contributions: dict[tuple[int, int], Array],
    count: int,
) -> Op:
    """The op of a result, its operands in order; numbers stand in its sign, data in boxes of its own."""
    how = notation(node)
    operands, texts, inline = [], [], False
    for place, x in enumerate(arguments(node)):
        if isinstance(x, Node):
            arg = boxes.get(classes[id(x)])
            operands.append(Operand(arg, place, contributions.get((node._stamp, place))))
            texts.append("·")
        elif hasattr(x, "shape") and getattr(x, "size", 1) > 1:
            if id(x) not in arrays:
                arrays[id(x)] = Box(f"t{count + len(arrays)}", "input", _named(x, outside) or "constant", x)
            operands.append(Operand(arrays[id(x)], place))
            texts.append("·")
        else:
            texts.append(_constant(x))
            inline = True
    if box.times > 1:  # one edge for all those it stands for, and every other class that some of them come from
        kinds: Counter[tuple[int, int]] = Counter()
        for member in members[classes[id(node)]]:
            kinds.update((classes[id(x)], place) for place, x in enumerate(arguments(member)) if isinstance(x, Node))
        data = [o for o in operands if o.box is not None and o.box.node is None]
        operands = [Operand(boxes.get(c), place, times=n) for (c, place), n in sorted(kinds.items())] + data
    sign = how.sign
    if inline:
        if how.expression.count("{") > 1 and "{1}" in how.expression:
            sign = filled(how.expression, texts, "", "")
        else:
            sign = f"{sign} {', '.join(t for t in texts if t != '·')}"
    if node._kwargs:
        sign += " " + ", ".join(f"{key}={_constant(value)}" for key, value in node._kwargs.items())
    op = Op(sign, how, operands)
    op.expression = _written(op, {o.place: o.box.label if o.box else "…" for o in operands}, texts, how.expression, box)
    op.local = how.pullbacks[0] if len(operands) == 1 and how.pullbacks else ""
    return op


def _constant(x: Any) -> str:
    if isinstance(x, slice):
        parts = [x.start, x.stop] + ([x.step] if x.step is not None else [])
        return ":".join("" if p is None else str(p) for p in parts)
    if isinstance(x, tuple):
        return f"({', '.join(map(_constant, x))}{',' if len(x) == 1 else ''})"
    if isinstance(x, float | complex | np.inexact):
        return number(x, 6)
    if hasattr(x, "item") and getattr(x, "size", 0) == 1:
        return _constant(x.item())
    text = "…" if x is Ellipsis else str(x)
    return text if len(text) <= 16 else text[:15] + "…"


def _written(op: Op, labels: dict[int, str], texts: list[str], pattern: str, box: Box) -> str:
    if op.notation.sign == "join":
        return f"join({', '.join(labels.values())})"
    names = [labels.get(i, text) for i, text in enumerate(texts)]
    return filled(pattern, names, box.label or "y", "g", scalar=box.data.shape == ())


def _short(box: Box) -> str:
    """What an unnamed result is called: its expression, while that is short."""
    assert box.op is not None
    return box.op.expression if len(box.op.expression) <= 14 else f"v{box.key[1:]}"


def _mark_deltas(graph: Graph) -> None:
    """δ stands at z = W x + b, where a = f(z)."""
    found = []
    for box in reversed(graph.boxes):
        z = box.op.operands[0].box if box.op and _name_of(box.node) in ACTIVATIONS else None
        if z is not None and z.grad is not None and _affine(z) and z not in found:
            found.append(z)
    names: dict[Any, list[Box]] = {}
    for z in found:
        suffix = z.label.removeprefix("z") if z.label.startswith("z_") else ""
        names.setdefault((suffix, z.scopes), []).append(z)
    for (suffix, _), same in names.items():
        for i, z in enumerate(same, 1):
            z.delta = f"δ{suffix}" + (str(i).translate(SUBSCRIPTS) if len(same) > 1 else "")


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _name_of(node: Node | None) -> str:
    return node._op.__name__ if node is not None and node._op is not None else ""


def _affine(z: Box) -> bool:
    if _name_of(z.node) == "matmul":
        return True
    if _name_of(z.node) != "add" or not z.op:
        return False
    args = [o.box for o in z.op.operands]
    return any(_name_of(a.node) == "matmul" for a in args if a) and any(a.op is None for a in args if a)


def _formulas(box: Box, op: Op) -> None:
    """The pullbacks of an op in the names at hand: δ for the gradient where that is what it is."""
    scalar = box.data.shape == ()
    names = {o.place: o.box.label if o.box else "…" for o in op.operands}
    constants = [_constant(x) for x in arguments(box.node)] if box.node is not None else []
    texts = [names.get(i, c) for i, c in enumerate(constants)]
    g = symbol(box)
    for o in op.operands:
        if o.place < len(op.notation.pullbacks):
            o.formula = filled(op.notation.pullbacks[o.place], texts, box.label, g, scalar)
        elif o.box is not None and o.box.node is not None:
            o.formula = f"{g} pulled back"
        passed = o.box is not None and o.box.arrivals == 1 and o.box.op is not None and o.formula == box.delta
        if passed and box.delta and o.box is not None and o.box.data.shape == box.data.shape:
            o.box.delta = box.delta  # a sum hands δ on as it is
    if op.local.startswith("{g} ∘ "):
        op.local = filled(op.local.removeprefix("{g} ∘ "), texts, box.label, g, scalar)
    else:
        op.local = ""


def symbol(box: Box) -> str:
    """How the gradient that arrives at a value is written in formulas."""
    return box.delta or ("1" if box.key == "t0" else "g")


def under(label: str) -> str:
    """A name below the bar of a derivative."""
    return f"({label})" if " " in label else label


def dead(x: Array | None) -> bool:
    """Does nothing flow here? Every element of the gradient is zero."""
    return x is not None and not np.any(getattr(x, "rows", x))
