"""The content of a picture: the boxes, ops and operands of a computation, and the gradients that flow back.

Reading a graph leaves it as it is. How its boxes and ops are written is the business of `notation`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minigrad._tensor import unit_seed
from minigrad.batched import levels_of
from minigrad.engine import Array, Node, backward_pass
from minigrad.engine import stop_gradient as plain
from minigrad.errors import describe
from minigrad.mode import observing_passes
from minigrad.operands import is_foreign, is_lazy, read, to_numpy
from minigrad.origin import from_users_line
from minigrad.sparse import RowSparse
from minigrad.text import op_name, printable
from minigrad.viz.folding import FEW, Folding, Loop, close, loops, roll, users_of
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
    constant: Array | None = None  # the constant itself, of which `data` has NumPy's values
    scopes: tuple[Scope, ...] = ()
    grad: Array | None = None  # the gradient of the root with respect to it
    op: Op | None = None  # the op that computed it
    arrivals: int = 0  # the number of contributions that its gradient is the sum of
    # written by `notation.annotate`
    label: str = ""  # its name, or a short expression
    term: Term | None = None  # its label in formulas
    delta: str = ""  # δ, where its gradient is an error signal
    head: str = ""  # the key of the scalar that all of its gradient comes through
    derivative: Term | None = None  # of its head with respect to it, as other formulas write it
    parts: list[Term | str] = field(default_factory=list)  # the terms of that derivative, some of them in words
    symbol: str = ""  # its gradient, as text
    why: str = ""  # it is zero, where it is

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
    step: int = 0  # where it belongs to a step of a loop that is not shown: which one, from 1
    copy: Copy | None = None  # the copy of its box that it is drawn from
    # written by `notation.annotate`
    formula: str = ""  # of the flow
    term: Term | None = None  # the same as mathematics, None where it is in words
    why: str = ""  # it is zero, where it is

    @property
    def key(self) -> str | None:
        """The key of what its edge is drawn from."""
        at = self.copy or self.box
        return at.key if at else None


class Copy(NamedTuple):
    """A leaf drawn once more, beside an op that uses it: many edges to one box could be neither laid out nor read."""

    key: str
    box: Box
    scopes: tuple[Scope, ...]


@dataclass(eq=False, repr=False)
class Op:
    """An op in a picture, or a closed scope."""

    node: Node  # the value it computed
    operands: list[Operand]
    elsewhere: list[Operand] = field(default_factory=list)  # of the op in steps of its loop that are not shown
    scope: Scope | None = None  # a closed scope, which computes all that is used outside of it
    inside: int = 1  # the number of ops
    # written by `notation.annotate`
    sign: str = ""
    expression: str = ""
    term: Term | None = None  # the expression as mathematics, None where it is in words
    local: str = ""  # the derivative of an elementwise op of one argument
    local_term: Term | None = None  # the same as mathematics
    why: str = ""  # its pullbacks in a sentence
    ordered: bool = False  # does the order of its operands matter?

    @property
    def name(self) -> str:
        assert self.node._op is not None
        return "" if self.scope else op_name(self.node._op)


@dataclass(eq=False, repr=False)
class Graph:
    """A picture's boxes, the newest first: the first one is the root. Constants come last, the latest used first."""

    boxes: list[Box]
    more: int  # the number of Tensors left out
    backward: bool  # does it have gradients?
    notes: list[str]  # how it is folded, to be said in the picture
    copies: list[Copy] = field(default_factory=list)
    changed: list[Box] = field(default_factory=list)  # whose data is newer than what was computed from it

    @property
    def root(self) -> Box:
        return self.boxes[0]

    @property
    def convention(self) -> str:
        """What distinguishes its gradients from `.grad`, where something does."""
        complex_valued = any(box.grad is not None and box.grad.dtype.kind == "c" for box in self.boxes)
        return "∂ is the complex conjugate of .grad" if complex_valued else ""

    def users(self, box: Box) -> list[Box]:
        """The boxes that are computed from a box, the newest first."""
        return [b for b in self.boxes if b.op and any(o.box is box for o in b.op.operands)]

    def first_copies(self) -> list[Copy]:
        """The copy of each leaf at the first op that uses it."""
        return list({id(copy.box): copy for copy in self.copies}.values())

    def ops(self) -> list[tuple[Box, Op]]:
        """Every op once, with its result, the newest first."""
        return list({id(box.op): (box, box.op) for box in reversed(self.boxes) if box.op}.values())[::-1]


def reachable(root: Node) -> list[Node]:
    """Every Tensor that a value was computed from, the newest first."""
    if not isinstance(root, Node):
        hint = ": call it, and pass its result" if callable(root) else ""
        raise TypeError(f"a picture needs a Tensor, got {type(root).__name__}{hint}")
    return ancestors(root)


def build(
    root: Node,
    *,
    inputs: Sequence[Node] = (),
    backward: bool | None = None,
    collapse: bool = False,
    depth: int | None = None,
    limit: int | None = None,
    around: Sequence[tuple[str, Any]] = (),
) -> Graph:
    """The graph of a picture.

    Args:
        root: the value whose computation is shown.
        inputs: variables that are data, not parameters.
        backward: add the gradients; None: if `backward()` has been called.
        collapse: show one step of each loop.
        depth: close the scopes inside this many others.
        limit: the largest number of Tensors; more are folded.
        around: the variables around, as (name, value): they name values that have no name of their own.
    """
    return Builder(root, inputs, backward, around).graph(collapse, depth, limit)


class Builder:
    """The Tensors of a graph and their gradients, of which pictures of several sizes can be made."""

    def __init__(
        self,
        root: Node,
        inputs: Sequence[Node] = (),
        backward: bool | None = None,
        around: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.root = root
        self.nodes = reachable(root)
        if any(map(levels_of, self.nodes)):
            raise TypeError(
                "a graph through vmap has no picture yet: draw the graph of one example, or print mg.derive(f, ...), "
                f"which shows the calls on the whole batch{from_users_line()}"
            )
        lazy = next((x for node in self.nodes for x in (node, *arguments(node)) if is_lazy(plain(x))), None)
        if lazy is not None:
            raise TypeError(
                f"a picture shows values, and those of {describe(lazy)} are not computed: draw the graph of a small "
                "part, computed (x[:10].compute())"
            )
        self.scopes = scopes_around(self.nodes)
        self.users = users_of(self.nodes)
        for x in [inputs] if isinstance(inputs, Node) else [x for x in inputs if not hasattr(x, "shape")]:
            raise TypeError(f"inputs needs a list of Tensors, got {printable(type(x).__name__)}")
        self.inputs = {id(x) for x in inputs}
        self.names = {id(value): key for key, value in reversed(around)}
        self.backward = self.is_differentiated(backward)
        self.must = backward is True
        self.loops: list[Loop] | None = None  # not looked for yet

    def is_differentiated(self, backward: bool | None) -> bool:
        scalar = self.root._data.size == 1
        if backward is None:
            return scalar and any(node.grad is not None for node in self.nodes)
        if backward and not scalar:
            raise ValueError(f"gradients need a scalar, got shape {self.root._data.shape}; draw the graph of its sum")
        return backward

    def graph(self, collapse: bool = False, depth: int | None = None, limit: int | None = None) -> Graph:
        """The boxes and ops of a picture, folded as is asked for, and further as far as it takes to meet the limit."""
        asked = ("depth is the number of scopes to look into", depth, 0), ("limit is the number of Tensors", limit, 1)
        for meaning, n, least in asked:
            if n is not None and not (isinstance(n, int | np.integer) and n >= least):
                raise ValueError(f"{meaning}, {least} or more, got {n!r}")
        folding, shown, notes = self.folded(collapse, depth, limit)
        near = shown if limit is None else self.nearest(folding, shown, limit)
        return _Picture(self, folding, near, len(shown) - len(near), notes).graph()

    def folded(self, collapse: bool, depth: int | None, limit: int | None) -> tuple[Folding, list[Node], list[str]]:
        """The first folding that meets the limit, or the last; its Tensors that have a box; what to say about it."""
        deepest = max(map(len, self.scopes.values()), default=0)
        depth = deepest if depth is None else min(depth, deepest)
        ways = [(collapse, d) for d in range(depth, -1, -1)] + [(True, d) for d in range(depth, -1, -1)]
        for rolled, d in ways:
            folding = self.folding(rolled, d)
            shown = [node for node in self.nodes if folding.is_shown(node, self.users[id(node)])]
            if limit is None or len(shown) <= limit:
                break
        notes = ["scopes closed"] * (d < depth) + ["loops rolled"] * (
            rolled and not collapse and bool(folding.stand_ins)
        )
        return folding, shown, notes

    def folding(self, rolled: bool, depth: int) -> Folding:
        folding = Folding()
        if rolled:
            if self.loops is None:
                self.loops = loops(self.nodes, self.users, self.scopes)
            roll(folding, self.loops, self.users, self.scopes)
        close(folding, self.scopes, depth)
        return folding

    def nearest(self, folding: Folding, shown: list[Node], limit: int) -> list[Node]:
        """The Tensors nearest to the root, breadth first, as if what has no box were not on the way."""
        if len(shown) <= limit:
            return shown
        may, found = set(map(id, shown)), {id(self.root)}
        seen, waiting = {id(self.root)}, deque([self.root])
        while waiting and len(found) < limit:
            for x in arguments(waiting.popleft()):
                x = folding.stand_ins.get(id(x), x)
                if isinstance(x, Node) and id(x) not in seen:
                    seen.add(id(x))
                    waiting.append(x)
                    if id(x) in may and len(found) < limit:
                        found.add(id(x))
        return [node for node in shown if id(node) in found]


class _Picture:
    """A graph that is being made: a box for each Tensor that is shown, and for each constant that it uses."""

    def __init__(self, builder: Builder, folding: Folding, shown: list[Node], more: int, notes: list[str]) -> None:
        self.all, self.folding, self.shown, self.more, self.notes = builder, folding, shown, more, notes
        self.boxes: dict[int, Box] = {}  # by the id of the Tensor
        self.constants: dict[int, Box] = {}  # by the id of the array
        self.closed: dict[int, Op] = {}  # by the id of the scope
        self.members: dict[int, list[Node]] = {}  # the Tensors in each closed scope
        for node in builder.nodes:
            if (scope := folding.closed.get(id(node))) is not None and id(node) not in folding.stand_ins:
                self.members.setdefault(id(scope), []).append(node)
        wanted = {id(node): node for node in shown} | {id(m): m for members in self.members.values() for m in members}
        self.gradients: dict[int, Array] = {}
        self.arrivals: Counter[int] = Counter()
        self.backward = False
        if builder.backward:
            try:
                self.gradients, self.arrivals = gradients(builder.root, list(wanted.values()))
                self.backward = True
            except RuntimeError:  # data has changed since the forward pass: these values have no gradient any more
                if builder.must:
                    raise

    def graph(self) -> Graph:
        for node in self.shown:
            self.add_box(node)
        results = [node for node in reversed(self.shown) if node._op is not None]
        for node in results:  # the oldest first: the order in which constants are met
            self.boxes[id(node)].op = self.op(node)
        if self.folding.stand_ins:
            self.add_other_steps()
        boxes = [*self.boxes.values(), *reversed(self.constants.values())]
        graph = Graph(boxes, self.more, self.backward, self.notes)
        add_copies(graph)
        arcs = ((node, x) for node in self.all.nodes for x in arguments(node) if isinstance(x, Node))
        changed = {id(x) for node, x in arcs if x._stamp < node._stamp}
        graph.changed = [box for key, box in self.boxes.items() if key in changed]
        return graph

    def add_box(self, node: Node) -> None:
        key, kind = id(node), "result" if node._op is not None else "parameter"
        scopes = self.all.scopes.get(key, ())
        if (scope := self.folding.closed.get(key)) is not None:
            scopes = scopes[: scopes.index(scope)]
        if (frame := self.folding.frames.get(key)) is not None:
            scopes = (*scopes[: frame.outside], frame.scope, *scopes[frame.outside :])
        self.boxes[key] = Box(
            key=f"t{len(self.boxes)}",
            kind="input" if key in self.all.inputs and kind == "parameter" else kind,
            name=name_of(node, self.all.names),
            data=shown(node._data),
            node=node,
            scopes=scopes,
            grad=shown(self.gradients.get(node._stamp)),
            arrivals=self.arrivals[key],
        )

    def op(self, node: Node) -> Op:
        """The op of a result: an operand for each argument but the numbers, which are part of the op's sign."""
        if (scope := self.folding.closed.get(id(node))) is not None:
            if id(scope) not in self.closed:
                self.closed[id(scope)] = self.closed_scope(scope, node)
            return self.closed[id(scope)]
        flows = self.flows(node)
        operands = []
        for place, x in enumerate(arguments(node)):
            if isinstance(x, Node):
                shown, step = self.in_its_place(x)
                operands.append(Operand(self.boxes.get(id(shown)), place, flows.get(place), step))
            elif has_box(x):
                operands.append(Operand(self.constant(x), place))
        return Op(node, operands)

    def in_its_place(self, x: Node) -> tuple[Node, int]:
        """The Tensor that is shown in the place of an argument, and the step of the argument where that is another."""
        if id(x) not in self.folding.stand_ins:
            return x, 0
        return self.folding.stand_ins[id(x)], self.folding.steps[id(x)]

    def flows(self, node: Node) -> dict[int, Array]:
        """What flows back from an op to each argument, by its place."""
        g = self.gradients.get(node._stamp)
        return {} if g is None else {edge.place: shown(contribution(node, edge, g)) for edge in edges(node)}

    def closed_scope(self, scope: Scope, node: Node) -> Op:
        """A closed scope: an operand for each Tensor outside that it uses; what flows back to it is added up."""
        operands: dict[int, Operand] = {}
        members = [m for m in self.members[id(scope)] if m._op is not None]
        for member in members:
            flows = self.flows(member)
            for place, x in enumerate(arguments(member)):
                if not isinstance(x, Node) or self.folding.closed.get(id(x)) is scope:
                    continue
                shown, step = self.in_its_place(x)
                if self.folding.closed.get(id(shown)) is scope:
                    continue
                flow = flows.get(place)
                if (o := operands.get(id(shown))) is None:
                    operands[id(shown)] = Operand(self.boxes.get(id(shown)), len(operands), flow, step)
                elif flow is not None:
                    o.flow = flow if o.flow is None else o.flow + flow
        return Op(node, list(operands.values()), scope=scope, inside=len(members))

    def constant(self, x: Array) -> Box:
        """The box of an array that is no variable: one, however often it is used."""
        if id(x) not in self.constants:
            key = f"t{len(self.boxes) + len(self.constants)}"
            self.constants[id(x)] = Box(key, "input", name_of(x, self.all.names), shown(x), constant=x)
        return self.constants[id(x)]

    def add_other_steps(self) -> None:
        """Add to the ops of rolled loops what they take in steps that are not shown, such as a state at the start."""
        for node in reversed(self.all.nodes):
            box = self.boxes.get(id(self.folding.stand_ins.get(id(node))))
            if box is None or box.op is None or node._op is None:
                continue
            known = {(id(o.box), o.place) for o in [*box.op.operands, *box.op.elsewhere]}
            for place, x in enumerate(arguments(node)):
                source = self.boxes.get(id(self.in_its_place(x)[0])) if isinstance(x, Node) else None
                if source is not None and (id(source), place) not in known:
                    box.op.elsewhere.append(Operand(source, place, None, self.folding.steps[id(node)]))


def loops_of(graph: Graph) -> list[list[list[Box]]]:
    """The loops in a graph that shows every step: the boxes of each; a leaf belongs to the step that alone uses it."""
    nodes = [box.node for box in graph.boxes if box.node is not None]
    users, boxes = users_of(nodes), {id(box.constant if box.node is None else box.node): box for box in graph.boxes}
    found = []
    for steps in loops(nodes, users, scopes_around(nodes)):
        rows = []
        for step in steps:
            inside = {id(node) for node in step}
            own = dict.fromkeys(id(x) for node in step for x in arguments(node) if has_box(x))
            leaves = [boxes[key] for key in own if not boxes[key].op and all(id(user) in inside for user in users[key])]
            rows.append([boxes[id(node)] for node in step] + leaves)
        found.append(rows)
    return found


def align(graph: Graph, like: Graph) -> None:
    """Give the boxes of a graph the keys and the order of those of another, which computes alike.

    Variables are in the order in which they got their values, which is another at each step of a training.

    Raises:
        ValueError: where it computes something else.
    """
    found, partners = {id(like.root): graph.root}, {id(graph.root): like.root}
    waiting = [(like.root, graph.root)]
    while waiting:
        old, new = waiting.pop()
        pairs = list(zip(*([o.box for o in box.op.operands if o.box] if box.op else [] for box in (old, new))))
        for x, y in pairs:
            if id(x) not in found and id(y) not in partners:
                found[id(x)], partners[id(y)] = y, x
                waiting.append((x, y))
        if structure(old) != structure(new):
            raise ValueError(f"{summary(new)}, where the other has {summary(old)}")
        if any(found.get(id(x)) is not y for x, y in pairs):
            raise ValueError(f"{summary(new)}, and the other too, but computed from other values")
    for box in like.boxes:
        found[id(box)].key = box.key
    graph.boxes = [found[id(box)] for box in like.boxes]
    graph.copies = []
    add_copies(graph)


def structure(box: Box) -> tuple[Any, ...]:
    return box.op_name, box.data.shape, [o.place for o in box.op.operands] if box.op else []


def summary(box: Box) -> str:
    """A value in a few words: matmul(W (8, 20), x (20,)), of shape (8,)."""
    if box.op is None:
        return f"the {box.kind} {box.name}".rstrip() + f" of shape {box.data.shape}"
    args = ", ".join(f"{o.box.name} {o.box.data.shape}".lstrip() if o.box else "" for o in box.op.operands)
    return f"{box.op_name}({args}) of shape {box.data.shape}"


def add_copies(graph: Graph) -> None:
    """Draw the leaves that many ops use beside each of them."""
    uses: dict[int, list[tuple[Box, Op]]] = {}
    for box, op in graph.ops():
        for key in {id(o.box) for o in op.operands if o.box and not o.box.op}:
            uses.setdefault(key, []).append((box, op))
    for leaf in graph.boxes:
        found = uses.get(id(leaf), ())
        for number, (box, op) in enumerate(found if len(found) > FEW else (), 1):
            copy = Copy(f"c{leaf.key[1:]}_{number}", leaf, box.scopes)
            graph.copies.append(copy)
            for o in op.operands:
                if o.box is leaf:
                    o.copy = copy


def shown(x: Any) -> Any:
    """An array or a gradient as pictures read it: with NumPy's values, row-sparse or not."""
    if isinstance(x, RowSparse) and any(is_foreign(a) for look_up in x.look_ups for a in look_up):
        return RowSparse([(to_numpy(x.indices), to_numpy(x.rows))], x.shape, merged=True)
    return read(x)


def has_box(x: Any) -> bool:
    """Has an argument a box of its own? Variables have, and constants of several elements."""
    return isinstance(x, Node) or (hasattr(x, "shape") and getattr(x, "size", 1) > 1)


def gradients(root: Node, shown: list[Node]) -> tuple[dict[int, Array], Counter[int]]:
    """The backward pass, observed: the gradients of some Tensors by stamp, and by id the number of their parts."""
    stamps = {node._stamp for node in shown}
    found: dict[int, Array] = {}
    arrivals: Counter[int] = Counter()

    def visit(node: Node, g: Array) -> None:
        arrivals.update(id(edge.node) for edge in edges(node))
        if node._stamp in stamps:
            found[node._stamp] = g

    with observing_passes(lambda: visit):
        deque(backward_pass([root], [unit_seed(root)]), maxlen=0)
    return found, arrivals
