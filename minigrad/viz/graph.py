"""The content of a picture: the boxes, ops and operands of a computation, and the gradients that flow back.

Reading a graph leaves it as it is. How its boxes and ops are written is the business of `notation`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad._tensor import unit_seed
from minigrad.batched import levels_of
from minigrad.engine import Array, Node, backward_pass
from minigrad.mode import observing_passes
from minigrad.origin import from_users_line
from minigrad.text import op_name
from minigrad.viz.mathematics import Term
from minigrad.viz.names import Scope, name_of, scopes_around
from minigrad.walk import ancestors, arguments, contribution, edges


@dataclass(eq=False, repr=False)
class Box:
    """A value in a picture."""

    key: str
    kind: str  # "parameter", "input" or "result"
    name: str  # "" where it has none
    data: Array
    node: Node | None = None  # None for a constant
    times: int = 1  # the number of values it stands for, where repeated structure is collapsed
    scopes: tuple[Scope, ...] = ()
    grad: Array | None = None  # the gradient of the root with respect to it
    op: Op | None = None  # the op that computed it
    arrivals: int = 0  # the number of contributions that its gradient is the sum of
    # written by `notation.annotate`
    label: str = ""  # its name, or a short expression
    term: Term | None = None  # its label in formulas
    delta: str = ""  # δ, where its gradient is an error signal
    symbol: str = ""  # its gradient in the formulas of its op: δ, 1 or g

    @property
    def op_name(self) -> str:
        """The name of the op that computed it, "" for a leaf."""
        return self.op.name if self.op else ""


@dataclass(eq=False, repr=False)
class Operand:
    """An argument of an op that has a box, and the gradient that flows back to it."""

    box: Box | None  # None: beyond the picture's limit
    place: int
    flow: Array | None = None
    times: int = 1
    # written by `notation.annotate`
    formula: str = ""  # of the flow
    term: Term | None = None  # the same as mathematics, None where it is in words


@dataclass(eq=False, repr=False)
class Op:
    """An op in a picture."""

    node: Node  # the value it computed
    operands: list[Operand]
    # written by `notation.annotate`
    sign: str = ""
    expression: str = ""
    term: Term | None = None  # the expression as mathematics, None where it is in words
    local: str = ""  # the derivative of an elementwise op of one argument
    why: str = ""  # its pullbacks in a sentence
    ordered: bool = False  # does the order of its operands matter?

    @property
    def name(self) -> str:
        assert self.node._op is not None
        return op_name(self.node._op)


@dataclass(eq=False, repr=False)
class Graph:
    """A picture's boxes, the newest first: the first one is the root. Constants come last."""

    boxes: list[Box]
    more: int  # the number of Tensors left out
    backward: bool  # does it have gradients?

    @property
    def root(self) -> Box:
        return self.boxes[0]

    def users(self, box: Box) -> list[Box]:
        """The boxes that are computed from a box, the newest first."""
        return [b for b in self.boxes if b.op and any(o.box is box for o in b.op.operands)]


def reachable(root: Node) -> list[Node]:
    """Every Tensor that a value was computed from, the newest first."""
    if not isinstance(root, Node):
        raise TypeError(f"a picture needs a Tensor, got {type(root).__name__}")
    return ancestors(root)


def is_zero(gradient: Array | None) -> bool:
    """Is it a gradient that is zero in every element, so that nothing flows back here?"""
    return gradient is not None and not np.any(getattr(gradient, "rows", gradient))


def build(
    root: Node,
    *,
    inputs: Sequence[Node] = (),
    backward: bool | None = None,
    collapse: bool = False,
    limit: int | None = None,
    around: Sequence[tuple[str, Any]] = (),
) -> Graph:
    """The graph of a picture.

    Args:
        root: the value whose computation is shown.
        inputs: variables that are data, not parameters.
        backward: add the gradients; None: if `backward()` has been called.
        collapse: show similar values as one.
        limit: the largest number of Tensors, those nearest to the root.
        around: the variables around, as (name, value): they name values that have no name of their own.
    """
    builder = _Builder(root, collapse, limit)
    builder.differentiate(backward)
    return builder.graph({id(x) for x in inputs}, {id(value): key for key, value in reversed(around)})


class _Builder:
    """The Tensors of a graph in classes of similar ones, their gradients, and a box for each class."""

    def __init__(self, root: Node, collapse: bool, limit: int | None) -> None:
        self.root = root
        self.nodes = reachable(root)
        if any(map(levels_of, self.nodes)):
            raise TypeError(
                "a graph through vmap has no picture yet: draw the graph of one example, or print mg.derive(f, ...), "
                f"which shows the calls on the whole batch{from_users_line()}"
            )
        self.scopes = scopes_around(self.nodes)
        if collapse:
            self.classes = refined_classes(root, self.nodes, self.scopes)
        else:
            self.classes = {id(node): i for i, node in enumerate(self.nodes)}
        self.members: dict[int, list[Node]] = {}  # of each class, the newest first
        for node in self.nodes:
            self.members.setdefault(self.classes[id(node)], []).append(node)
        self.shown = self.nearest(limit)
        self.drawn = [node for node in self.nodes if self.is_drawn(node)]
        self.gradients: dict[int, Array] = {}
        self.contributions: dict[tuple[int, int], Array] = {}
        self.backward = False
        self.boxes: dict[int, Box] = {}  # by class
        self.constants: dict[int, Box] = {}  # by id: constants that are arrays

    def is_drawn(self, node: Node) -> bool:
        """Does a box of the picture stand for it, or for its class through it?"""
        c = self.classes[id(node)]
        return c in self.shown and self.members[c][0] is node

    def nearest(self, limit: int | None) -> set[int]:
        """The classes nearest to the root, breadth first."""
        start = self.classes[id(self.root)]
        shown, waiting = {start}, deque([start])
        while waiting:
            for node in self.members[waiting.popleft()]:
                for x in arguments(node):
                    if isinstance(x, Node) and self.classes[id(x)] not in shown:
                        if limit is not None and len(shown) >= limit:
                            return shown
                        shown.add(self.classes[id(x)])
                        waiting.append(self.classes[id(x)])
        return shown

    def differentiate(self, backward: bool | None) -> None:
        """Compute the gradients and contributions, where they are asked for."""
        automatic = backward is None
        if automatic:
            backward = self.root._data.size == 1 and any(node.grad is not None for node in self.nodes)
        if not backward:
            return
        if self.root._data.size != 1:
            raise ValueError(f"gradients need a scalar, got shape {self.root._data.shape}; draw the graph of its sum")
        try:
            self.gradients, self.contributions = flows(self.root, [n for c in self.shown for n in self.members[c]])
            self.backward = True
        except RuntimeError:  # data has changed since the forward pass: these values have no gradient any more
            if not automatic:
                raise

    def graph(self, inputs: set[int], around: dict[int, str]) -> Graph:
        """The boxes and their ops; inputs and names of variables around by id."""
        for node in self.drawn:
            self.add_box(node, inputs, around)
        for node in reversed(self.drawn):  # the oldest first: the order in which constants are met
            if node._op is not None:
                self.boxes[self.classes[id(node)]].op = self.op(node, around)
        boxes = list(self.boxes.values())
        used = Counter(id(o.box) for box in boxes if box.op for o in box.op.operands if o.flow is not None)
        for box in boxes:
            box.arrivals = used[id(box)]
        more = len(self.nodes) - sum(len(self.members[c]) for c in self.shown)
        return Graph([*boxes, *self.constants.values()], more, self.backward)

    def add_box(self, node: Node, inputs: set[int], around: dict[int, str]) -> None:
        c = self.classes[id(node)]
        kind = "result" if node._op is not None else "input" if id(node) in inputs else "parameter"
        self.boxes[c] = Box(
            key=f"t{len(self.boxes)}",
            kind=kind,
            name=name_of(node, around),
            data=node._data,
            node=node,
            times=len(self.members[c]),
            scopes=self.scopes.get(id(node), ()),
            grad=self.gradients.get(node._stamp),
        )

    def op(self, node: Node, around: dict[int, str]) -> Op:
        """The op of a result: an operand for each argument but the numbers, which are part of the op's sign."""
        operands = []
        for place, x in enumerate(arguments(node)):
            if isinstance(x, Node):
                box = self.boxes.get(self.classes[id(x)])
                operands.append(Operand(box, place, self.contributions.get((node._stamp, place))))
            elif has_box(x):
                operands.append(Operand(self.constant(x, around), place))
        members = self.members[self.classes[id(node)]]
        return Op(node, operands if len(members) == 1 else self.merged(operands, members))

    def constant(self, x: Array, around: dict[int, str]) -> Box:
        """The box of an array that is no variable: one, however often it is used."""
        if id(x) not in self.constants:
            key = f"t{len(self.boxes) + len(self.constants)}"
            self.constants[id(x)] = Box(key, "input", name_of(x, around), x)
        return self.constants[id(x)]

    def merged(self, operands: list[Operand], members: list[Node]) -> list[Operand]:
        """The operands of a whole class: one for each class of arguments and place, with how often it occurs.

        What flows back along it is the sum of all that flows to a single Tensor, such as shared weights.
        """
        counts: Counter[tuple[int, int]] = Counter()
        sums: dict[tuple[int, int], Array] = {}
        for member in members:
            for place, x in enumerate(arguments(member)):
                if isinstance(x, Node):
                    end = self.classes[id(x)], place
                    counts[end] += 1
                    flow = self.contributions.get((member._stamp, place))
                    if flow is not None and len(self.members[end[0]]) == 1:
                        sums[end] = sums[end] + flow if end in sums else flow
        constants = [o for o in operands if o.box is not None and o.box.node is None]
        merged = [Operand(self.boxes.get(c), i, sums.get((c, i)), n) for (c, i), n in sorted(counts.items())]
        return merged + constants


def has_box(x: Any) -> bool:
    """Has an argument a box of its own? Variables have, and constants of several elements."""
    return isinstance(x, Node) or (hasattr(x, "shape") and getattr(x, "size", 1) > 1)


def flows(root: Node, drawn: list[Node]) -> tuple[dict[int, Array], dict[tuple[int, int], Array]]:
    """The backward pass, observed: gradients by stamp, contributions by the op's stamp and the argument's place."""
    stamps = {node._stamp for node in drawn}
    gradients: dict[int, Array] = {}

    def visit(node: Node, g: Array) -> None:
        if node._stamp in stamps:
            gradients[node._stamp] = g

    with observing_passes(lambda: visit):
        deque(backward_pass([root], [unit_seed(root)]), maxlen=0)
    contributions = {
        (node._stamp, edge.place): contribution(node, edge, gradients[node._stamp])
        for node in drawn
        if node._stamp in gradients
        for edge in edges(node)
    }
    return gradients, contributions


def refined_classes(root: Node, nodes: list[Node], scopes: dict[int, tuple[Scope, ...]]) -> dict[int, int]:
    """A class for each Tensor, by id, by colour refinement (Weisfeiler-Leman) in three rounds.

    The first colour of a result is its op, shape and scopes; that of a leaf its shape, its name without a number, and
    the ops that use it. Each round refines it by the colours of the arguments. The root has a colour of its own.
    """
    users: dict[int, set[Any]] = {}
    for node in nodes:
        for place, x in enumerate(arguments(node)):
            if isinstance(x, Node) and x._op is None:
                users.setdefault(id(x), set()).add((node._op, place))

    def first_colour(node: Node) -> Any:
        if node is root:
            return root
        if node._op is not None:
            return node._op, node._data.shape, tuple(s.name for s in scopes.get(id(node), ()))
        stem = str(node.name or "").rstrip("0123456789")
        return stem, node._data.shape, frozenset(users.get(id(node), ()))

    colours = _numbered({id(node): first_colour(node) for node in nodes})
    for _ in range(3):
        colours = _numbered(
            {
                id(node): (colours[id(node)], *(colours[id(x)] for x in arguments(node) if isinstance(x, Node)))
                for node in nodes
            }
        )
    return colours


def _numbered(colours: dict[int, Any]) -> dict[int, int]:
    """Colours as numbers, in the order of their first appearance."""
    numbers: dict[Any, int] = {}
    return {key: numbers.setdefault(colour, len(numbers)) for key, colour in colours.items()}
