"""How a graph is written: a label and a symbol for each value, an expression for each op, a formula for each gradient.

A gradient is a product of two. The error signals of a scalar s, as a score, are derivatives of s: δ = ∂s/∂z as on the
slides. What J has of them is the factor ∂J/∂s beside it: ∂J/∂W = ∂J/∂s δ xᵀ. So each value has a *head*, the nearest
scalar with a name that all of its gradient comes through, and J itself where there is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.engine import Node
from minigrad.sparse import RowSparse
from minigrad.text import printable
from minigrad.viz.formulas import (
    CODE,
    SUPERSCRIPTS,
    Fenced,
    Formula,
    Fraction,
    Name,
    Row,
    Script,
    Word,
    name,
    plain,
)
from minigrad.viz.graph import Box, Graph, Op, Operand, has_box
from minigrad.viz.mathematics import (
    Term,
    added,
    elementwise,
    ends,
    formula_of,
    is_one,
    ones,
    product,
    sign,
    symbol,
    term,
    unbroadcast,
)
from minigrad.viz.patterns import Pullback, constant, in_words, pattern
from minigrad.viz.zeros import is_zero, reason
from minigrad.walk import NONLINEARITIES, arguments


def annotate(graph: Graph) -> Graph:
    """Write a graph: the labels of its boxes, the signs and expressions of its ops, the formulas of its gradients."""
    _Symbols(graph).write()
    if graph.backward:
        _Gradients(graph).write()
    return graph


# the forward pass


class _Symbols:
    """Labels as the code has them, and symbols in formulas, another one for each value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.heads = Heads(graph)
        self.names = {box.name for box in graph.boxes}
        # results that go from one step of a rolled loop to the next
        self.carried = {o.box for _, op in graph.ops() for o in op.operands if o.step}
        self.taken: dict[str, Any] = {}  # the value that has a symbol
        self.count = 0  # of the results without a name

    def write(self) -> None:
        graph = self.graph
        leaves = Counter(_leaf_label(box) for box in graph.boxes if not (box.name or box.op))
        numbers: Counter[str] = Counter()
        for box in reversed(graph.boxes):
            if not (box.name or box.op):
                word = _leaf_label(box)
                numbers[word] += 1
                box.label = word if leaves[word] == 1 else f"{word}{numbers[word]}"
            else:
                box.label = box.name
        if graph.backward and not graph.root.label:
            graph.root.label = self.unused("J", "L")
        by_label: dict[str, list[Box]] = {}
        for box in reversed(graph.boxes):  # the oldest first
            if box.label:
                by_label.setdefault(box.label, []).append(box)
        for label, boxes in by_label.items():
            data = all(not box.op for box in boxes)  # a number at a result would be read as the step of a loop
            for box, formula in zip(boxes, self.distinct(label, boxes), strict=True):
                box.term = symbol(formula, np.shape(box.data))
                if isinstance(formula, Name):
                    box.label = formula.text
                elif data and formula != label_formula(label):
                    box.label = plain(formula, CODE)
        for box in reversed(graph.boxes):
            if box in self.carried and not box.label:  # an op of the next step, which is older, is written in it
                self.number(box)
        for box in reversed(graph.boxes):  # an expression is written in the labels of its arguments
            if not box.op:
                continue
            _write_op(box, box.op)
            if box.label:
                continue
            if self.is_short(box, box.op):
                self.taken[box.op.expression] = _identity(box)
                box.label, box.term = box.op.expression, box.op.term
                box.term = box.term or self.new(label_formula(box.label), box)
            else:
                self.number(box)

    def number(self, box: Box) -> None:
        """A label for a result that has no name: v1, v2, ..."""
        while not box.label or box.label in self.names:
            self.count += 1
            box.label = f"v{self.count}"
        box.term = self.new(label_formula(box.label), box)

    def is_short(self, box: Box, op: Op) -> bool:
        """Is a result without a name written by its expression? Not a function of another expression: σ(W x + b)."""
        new = len(op.expression) <= 14 and op.expression not in self.taken
        new = new and op.scope is None and box not in self.carried
        new = new and not (op.term and op.term.sign == "symbol")  # 1.0 * x is another value than x
        args = [o.box for o in op.operands if o.box]
        return new and not (len(args) == 1 and len(op.operands) == 1 and is_inlined(args[0]) and "(" in op.expression)

    def unused(self, *letters: str) -> str:
        many = (f"{letters[0]}{i}" for i in range(len(self.names) + 1))
        return next(letter for letter in (*letters, *many) if letter not in self.names)

    def new(self, formula: Formula, box: Box) -> Term:
        self.taken.setdefault(plain(formula), _identity(box))
        return symbol(formula, np.shape(box.data))

    def distinct(self, label: str, boxes: list[Box]) -> Iterator[Formula]:
        """A symbol for each of several values of one name.

        The index of the scalar that a value leads to tells them apart, as z_c does that leads to s_c; else its number.
        """
        base = label_formula(label)
        values = {v: i for i, v in enumerate(dict.fromkeys(map(_identity, boxes)), 1)}
        suffixes: dict[int, str] = {}
        for box in boxes:
            suffixes.setdefault(_identity(box), _index(self.heads.scalar_above(box)))
        with_index = {v: label_formula(label + suffixes[v]) for v in values}
        texts = {plain(f) for f in with_index.values()}
        free = all(self.taken.get(plain(f), v) == v for v, f in with_index.items())
        clear = len(values) > 1 and len(texts) == len(values) and free and label.isidentifier()
        clear = clear and not any(label + s in self.names for s in suffixes.values() if s)
        for box in boxes:
            v = _identity(box)
            formula = with_index[v] if clear else base
            if not clear and (len(values) > 1 or self.taken.get(plain(base), v) != v):
                formula = _numbered(base, values[v])
            self.taken.setdefault(plain(formula), v)
            yield formula


def _identity(box: Box) -> int:
    """The value that a box shows: several may show one."""
    return id(box.node if box.node is not None else box.data)


def _numbered(x: Formula, i: int) -> Formula:
    """A symbol with a number above it: h^(2)."""
    number = Fenced(Word(str(i), "number"))
    return Script(x.base, x.below, number) if isinstance(x, Script) else Script(x, above=number)


def _index(head: Box) -> str:
    """The index in a name: _c of s_c, 2 of s2."""
    return re.sub(r"^[^\W\d_]+", "", head.name) if isinstance(name(head.name), Script) else ""


def label_formula(label: str) -> Formula:
    """A label as a symbol, with its last digits and what follows an underscore as an index."""
    return Fenced(Word(label, "upright")) if " " in label else name(label)


def equation(box: Box) -> str:
    """A result in terms of its arguments: "z = W @ x", or the expression alone where that is its label."""
    assert box.op is not None
    if is_inlined(box) or box.term is None:
        return box.op.expression
    return f"{plain(formula_of(box.term), CODE)} = {box.op.expression}"


def is_inlined(box: Box) -> bool:
    """Is a result written by its expression, inside that of another?"""
    return box.op is not None and box.label == box.op.expression


def _leaf_label(box: Box) -> str:
    """The label of a leaf without a name."""
    return "constant" if box.node is None else "variable" if box.kind == "parameter" else "input"


def _labels(op: Op) -> dict[int, str]:
    """The labels of an op's operands by their places."""
    return {o.place: operand_label(o) if o.box else "…" for o in op.operands}


def operand_label(o: Operand) -> str:
    """The label of an operand that has a box, with its step where that is not the one shown: "v1⁽⁴⁹⁾"."""
    assert o.box is not None
    return f"{o.box.label}⁽{str(o.step).translate(SUPERSCRIPTS)}⁾" if o.step else o.box.label


def operand_term(o: Operand) -> Term:
    """The symbol of an operand that has a box."""
    assert o.box is not None and o.box.term is not None
    return symbol(Word(operand_label(o), "upright"), np.shape(o.box.data)) if o.step else o.box.term


def _arguments(op: Op) -> list[str]:
    """The arguments of an op as words name them: labels, and constants that have no box."""
    labels = _labels(op)
    return [labels[i] if i in labels else constant(x) for i, x in enumerate(arguments(op.node))]


def _terms(op: Op) -> list[Term]:
    """The arguments of an op as formulas name them."""
    found = {o.place: operand_term(o) for o in op.operands if o.box}
    return [found[i] if i in found else _constant_term(x) for i, x in enumerate(arguments(op.node))]


def _constant_term(x: Any) -> Term:
    """An argument that has no box."""
    x = x._data if isinstance(x, Node) else x
    shape = np.shape(x) if hasattr(x, "shape") else ()
    if isinstance(x, int | float | np.number | np.ndarray) and np.size(x) == 1 and np.asarray(x).dtype.kind in "iuf":
        return Term("number", (), shape, (np.asarray(x).item(),))
    if 0 in shape:
        return ones(shape)
    return symbol(Word("…" if getattr(x, "size", 1) > 1 else constant(x), "upright"), shape)


def _write_op(box: Box, op: Op) -> None:
    """The sign and the expression of an op; constants that have no box are part of its sign."""
    if op.scope:
        op.sign, op.expression = op.scope.name, f"{op.scope.name}({', '.join(_labels(op).values())})"
        return
    how, args = pattern(op.node), arguments(op.node)
    op.sign, op.why, op.ordered = how.sign, how.why, how.ordered
    inline = [constant(x) for x in args if not has_box(x)]
    if inline and len(args) == 2 and how.sign in SIGNED and callable(how.expression):
        one = (1,)  # a shape that makes ∘ of every product
        places = [
            symbol(PLACE, one)
            if has_box(x)
            else Term("number", (), one, (x,))
            if isinstance(x, int | float)
            else symbol(Word(constant(x), "upright"), one)
            for x in args
        ]
        op.sign = plain(formula_of(how.expression(*places)))
    elif inline:
        op.sign += f" {', '.join(inline)}"
    if op.node._kwargs:
        op.sign += " " + ", ".join(f"{printable(key)}={constant(value)}" for key, value in op.node._kwargs.items())
    if how.sign == "join":
        op.expression = f"join({', '.join(_labels(op).values())})"
    elif callable(how.expression):
        op.term = how.expression(*_terms(op))
        op.expression = plain(formula_of(op.term), CODE)
    else:
        labels = _labels(op)
        texts = [labels[i] if i in labels else plain(formula_of(t), CODE) for i, t in enumerate(_terms(op))]
        op.expression = in_words(how.expression, texts, box.name, "")
        if how.sign == "@" and min(len(t.shape) for t in _terms(op)) == 1:
            op.term = product(*_terms(op))  # x @ W is W^⊤ x, as a vector is a column


PLACE = Word("·", "upright")  # of the variable, in the sign of an op with a constant

#: Signs of two arguments that are shown with the constant one written in.
SIGNED = {"+", "−", "∘", "/", "^", "max", "min"}


# heads


MOST_WAYS = 100  # on which a gradient comes to a value


class Heads:
    """For each value the scalars with a name that all of its gradient comes through."""

    def __init__(self, graph: Graph) -> None:
        self.root = graph.root
        self.above: dict[Box, Box] = {}  # of each value, the nearest one that all of its gradient comes through
        self._nearest: dict[Box, Box] = {}
        self.merged: set[Box] = set()  # scalars of derivative 1, which need no factor
        users: dict[Box, list[Box]] = {}
        depth = {graph.root: 0}
        for user in graph.boxes:
            for o in user.op.operands if user.op else ():
                if o.box is not None:
                    users.setdefault(o.box, []).append(user)
        # in a part of a graph, or a folded one, gradients also come on ways that are not shown
        whole = not graph.more and not any(op.scope or op.elsewhere for _, op in graph.ops())
        whole = whole and not any(o.step for _, op in graph.ops() for o in op.operands)
        for box in graph.boxes:
            if box is graph.root:
                continue
            found = users.get(box, ()) if whole else ()
            found = found if len(found) <= MOST_WAYS else ()  # a weight of a loop: to look for another one takes long
            ways = [user if user in depth else graph.root for user in found]
            meeting = ways[0] if ways else graph.root
            for way in ways[1:]:
                while way is not meeting:
                    if depth[way] < depth[meeting]:
                        meeting = self.above[meeting]
                    else:
                        way = self.above[way]
            self.above[box], depth[box] = meeting, depth[meeting] + 1

    def scalar_above(self, box: Box) -> Box:
        """The nearest scalar with a name, the root where there is none."""
        passed = []
        while box is not self.root and box not in self._nearest:
            passed.append(box)
            box = self.above[box]
            if self.is_head(box):
                break
        else:
            box = self._nearest.get(box, box)
        self._nearest |= dict.fromkeys(passed, box)
        return box

    def is_head(self, box: Box) -> bool:
        return box is self.root or bool(
            box.name and box.op and box.data.size == 1 and box.op_name not in NONLINEARITIES and box not in self.merged
        )


# the backward pass


class _Gradients:
    """The gradients of a graph, from the root to the leaves, and the contributions of which each is the sum."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.heads = graph, Heads(graph)
        self.parts: dict[Box, list[tuple[Box, Term | str]]] = {}  # of each value: a head, and a derivative of it
        self.deltas = _error_signals(graph, self.heads)
        self.heads.merged |= {*self.deltas}

    def write(self) -> None:
        for box in self.graph.boxes:
            if box.grad is None:
                continue
            self.write_gradient(box)
            if box.op and not box.op.scope:
                self.write_flows(box, box.op)
        self.explain_zeros()

    def explain_zeros(self) -> None:
        """Say of each gradient that is zero where it became so, and why."""
        flows = (o.flow for box in self.graph.boxes if box.op for o in box.op.operands)
        if not any(is_zero(flow) for flow in flows):
            return
        known = known_values(self.graph, self.graph)
        users: dict[Box, list[str]] = {}
        for box in self.graph.boxes:
            if is_zero(box.grad):
                box.why = "; ".join(dict.fromkeys(users.get(box, ())))
            for o in box.op.operands if box.op else ():
                if o.flow is None or o.box is None or not is_zero(o.flow):
                    continue
                if box.op and box.op.scope:
                    o.why = f"nothing flows back through {box.op.scope.name}"
                elif is_zero(box.grad):
                    o.why = box.why or f"{plain(derivative_formula(self.graph.root, box))} is 0"
                else:
                    o.why = reason(o.term, known) if o.term else f"the pullback of {box.op_name} returns 0 here"
                if not o.step:
                    users.setdefault(o.box, []).append(o.why)

    def write_gradient(self, box: Box) -> None:
        """How the gradient of a value is written in the formulas of its op."""
        parts, heads = self.parts.get(box, []), self.heads
        head = heads.scalar_above(box)
        box.head = head.key
        terms = [times(factor_of(h, head), x) for h, x in parts]
        whole: Term | None = None
        if 0 < len(terms) <= MOST_TERMS and len(terms) == box.arrivals:
            known = [x for x in terms if isinstance(x, Term)]
            whole = added(known) if len(known) == len(terms) else None
        if box is self.graph.root:
            box.derivative = whole = term(1)
        elif box in self.deltas:
            box.derivative = symbol(self.deltas[box], np.shape(box.data))
            box.delta = plain(self.deltas[box])
        elif whole is not None and (is_simple(whole) or (is_inlined(box) and size(whole) <= MOST_INLINED)):
            box.derivative = whole
            if len(parts) == 1 and box.op and np.shape(box.data) == whole.shape and whole.sign == "symbol":
                box.delta = plain(formula_of(whole)) if whole.how[0] in self.deltas.values() else ""
        else:
            box.derivative = symbol(derivative_formula(head, box), np.shape(box.data))
        box.parts = terms if len(terms) == box.arrivals else []  # others are not shown
        if whole is not None and whole.sign == "number" and whole.how[0] == 1 and box is not self.graph.root:
            heads.merged.add(box)
        box.symbol = plain(formula_of(factor_of(head, self.graph.root) * box.derivative))

    def write_flows(self, box: Box, op: Op) -> None:
        """The pullbacks of an op as formulas, and its local derivative where it is elementwise in one argument."""
        how, terms = pattern(op.node), _terms(op)
        assert box.term is not None and box.derivative is not None
        head = box if self.heads.is_head(box) else self.heads.scalar_above(box)
        g = term(1) if head is box else box.derivative
        factor = factor_of(head, self.graph.root)
        for o in op.operands:
            x = o.box
            if x is None or x.node is None:
                continue
            found: Term | str
            pullback: Pullback = how.pullbacks[o.place] if o.place < len(how.pullbacks) else "{g} pulled back"
            if callable(pullback):
                found = pullback(g, box.term, *terms)
                found = unbroadcast(found, np.shape(x.data)) if found.shape else found
                if np.iscomplexobj(box.data) and not np.iscomplexobj(x.data):
                    found = elementwise("real", found)
                o.term = factor * found
                o.formula = plain(formula_of(o.term))
            else:
                found = in_words(pullback, _arguments(op), box.label, plain(formula_of(g)))
            if isinstance(found, str):
                o.formula = str(times(factor, found))
            if o.flow is not None and not o.step:
                self.parts.setdefault(x, []).append((head, found))
        if len(op.operands) == 1 and how.local:
            local = how.pullbacks[op.operands[0].place]
            assert callable(local)
            op.local_term = local(term(1), box.term, *terms)
            op.local = plain(formula_of(op.local_term))


def known_values(graph: Graph, source: Graph) -> dict[Formula, Any]:
    """The values and gradients of a graph by their symbols; taken from another graph of the same boxes."""
    known: dict[Formula, Any] = {}
    for box, other in zip(graph.boxes, source.boxes, strict=True):
        if box.term is not None and box.term.sign == "symbol":
            known[formula_of(box.term)] = other.data
        if other.grad is not None and not isinstance(other.grad, RowSparse):
            known[derivative_formula(graph.root, box)] = other.grad
    return known


def factor_of(head: Box, above: Box) -> Term:
    """The derivative of one head by another, 1 where they are the same."""
    return term(1) if head is above else symbol(derivative_formula(above, head), ())


def times(factor: Term, x: Term | str) -> Term | str:
    """A derivative times the factor beside it."""
    if isinstance(x, Term):
        return factor * x
    return x if is_one(factor) else f"{plain(formula_of(factor))} times {x}"


def gradient_formula(x: Term | str) -> Formula:
    """A gradient as a formula, with the shapes of its factors; or in words."""
    return formula_of(x, shapes=True) if isinstance(x, Term) else Word(x, "text")


MOST_TERMS = 3  # of a sum that may be written inside another formula
MOST_INLINED = 8  # signs of a gradient that is written inside another


def is_simple(x: Term) -> bool:
    """Is a derivative as short as a symbol for it?"""
    inside = x.args[0] if x.sign in ("negative", "transpose") else x
    return inside.sign == "symbol" or (
        size(x) <= 6 and all(e.sign in ("number", "ones") or not e.shape for e in ends(x))
    )


def size(x: Term) -> int:
    """The number of signs in a Term."""
    return 1 + sum(map(size, x.args))


def root_formula(box: Box) -> Formula:
    """A value above or below the bar of a derivative."""
    assert box.term is not None
    found = formula_of(box.term)
    return found if isinstance(found, Word | Script | Fenced) else Fenced(found)


def derivative_formula(above: Box, below: Box) -> Formula:
    """∂s/∂z."""
    return Fraction(Row((sign("∂"), root_formula(above))), Row((sign("∂"), root_formula(below))))


def derivative(graph: Graph, box: Box) -> tuple[str, str]:
    """The names above and below the bar of the derivative of the root with respect to a value."""
    root = graph.root.label
    return (f"({root})" if " " in root else root), f"({box.label})" if " " in box.label else box.label


# error signals


def _error_signals(graph: Graph, heads: Heads) -> dict[Box, Formula]:
    """δ for the derivative by z = W x + b, where a = f(z).

    It has the index of z_c, or of the s_c that it is the derivative of; and numbers where there are several.
    """
    found: list[Box] = []
    for box in reversed(graph.boxes):
        z = box.op.operands[0].box if box.op and box.op_name in NONLINEARITIES and not box.op.operands[0].step else None
        if z is not None and z.grad is not None and _is_affine(z) and z not in found:
            found.append(z)
    indices = {z: z.label.removeprefix("z") if z.label[:2] == "z_" else _index(heads.scalar_above(z)) for z in found}
    suffixes = {z: index if index[:1] == "_" else "" for z, index in indices.items()}
    names = {plain(formula_of(box.term)) for box in graph.boxes if box.term is not None}
    letter = next(x for x in ("delta", "epsilon", "eta", "zeta", "Delta") if plain(name(x)) not in names)
    same: dict[str, list[Box]] = {}
    for z in found:
        same.setdefault(suffixes[z], []).append(z)
    return {
        z: name(f"{letter}{i if len(boxes) > 1 else ''}{suffix}")
        for suffix, boxes in same.items()
        for i, z in enumerate(boxes, 1)
    }


def _is_affine(z: Box) -> bool:
    """Is it W x, or a sum of such products and of leaves?"""
    if z.op_name != "add" or not z.op:
        return z.op_name == "matmul"
    args = [o.box for o in z.op.operands if o.box]
    return any(map(_is_affine, args)) and all(a.op is None or _is_affine(a) for a in args)
