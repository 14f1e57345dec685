"""Questions that a page asks before a step back: the sign, the shape or the formula of the gradient about to flow.

The wrong answers are mistakes made in the true formula or array. Each of them is computed, and `compare` itself says
which mistake it is; what it finds equal is not offered.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.check.compare import DIFFERS, equality, is_multiple, misfit, mistake, term_verdict
from minigrad.check.terms import FlowTerms, Found
from minigrad.engine import Array, Node
from minigrad.operands import is_foreign
from minigrad.sparse import RowSparse
from minigrad.text import op_name
from minigrad.viz.formulas import plain
from minigrad.viz.graph import Box, Graph, Op, Operand
from minigrad.viz.mathematics import Term, formula_of, outer, term
from minigrad.viz.notation import known_values
from minigrad.viz.zeros import FACTORS, value
from minigrad.walk import edges

MOST = 1_000_000  # elements of all gradients of a graph in which mistakes are computed
WRONG = 3  # answers beside the true one
TWICE = 2  # times that the formula of an op is asked for


class Question(NamedTuple):
    """A question about the gradient that flows to an operand of an op."""

    kind: str  # "formula", "shape" or "sign"
    flow: int  # to which of the operands that get a gradient
    choices: tuple[tuple[Any, str], ...] = ()  # Terms or shapes, with the verdicts on them
    right: int = 0  # the choice that is true
    at: int | None = None  # the element whose sign is asked for; None: that of all
    zero: str = ""  # the verdict on the answer that it is zero


def flows(op: Op) -> list[Operand]:
    """The operands to which a gradient flows back."""
    return [o for o in op.operands if o.flow is not None and o.box is not None]


class Questions:
    """The questions about a graph, at most one before each step back, of each kind in turn."""

    def __init__(self, graph: Graph, most_signs: int) -> None:
        """
        Args:
            most_signs: the elements of an array whose signs the page knows.
        """
        self.most_signs = most_signs
        self.asked: Counter[tuple[str, str]] = Counter()  # by the kind and the op, "" for all of them
        self.known = known_values(graph, graph) | signals(graph)
        uses = [(box.op.node, o.place) for box in graph.boxes if box.op for o in flows(box.op)]
        self.numbers = {(node._stamp, place): k for k, (node, place) in enumerate(uses)}
        self.terms = terms_of(graph, uses)

    @np.errstate(all="ignore")
    def question(self, box: Box, op: Op) -> Question | None:
        """The question before the step back through an op; None where there is nothing to ask."""
        name, shapes = op_name(op.node._op), [np.shape(o.flow) for o in flows(op)]
        places = sorted(range(len(shapes)), key=lambda i: shapes[i] == np.shape(box.data))  # what was broadcast first
        kinds = {"formula": self.formula, "shape": self.shape, "sign": self.sign}
        for kind in sorted(kinds, key=lambda kind: (self.asked[kind, name], self.asked[kind, ""])):
            if kind == "formula" and self.asked[kind, name] == TWICE:
                continue
            found = (kinds[kind](box, op, i) for i in places)
            if question := next(filter(None, found), None):
                self.asked.update([(kind, name), (kind, "")])
                return question
        return None

    def verdict(self, box: Box, op: Op, i: int, hand: Array) -> str:
        """compare's verdict on an array for the gradient; "" where the graph is too large for one."""
        if self.terms is None:
            return ""
        near = [(b.label, b.node) for b in [box, *(o.box for o in flows(op) if o.box)] if b.node is not None]
        return mistake(self.terms, self.number(op, i), hand, near)

    def number(self, op: Op, i: int) -> int:
        """The number of what flows to an operand among the variables of the terms."""
        return self.numbers[op.node._stamp, flows(op)[i].place]

    def formula(self, box: Box, op: Op, i: int) -> Question | None:
        """Which of a few formulas is it?"""
        o = flows(op)[i]
        found = None if o.term is None else value(o.term, self.known)
        if o.term is None or found is None or self.terms is None:
            return None
        is_right = equality(self.terms, self.number(op, i))
        if not is_right(np.asarray(found)):
            return None  # a formula for another case
        choices: list[tuple[Term, str]] = []
        last: list[tuple[Term, str]] = []  # those of another shape
        texts, verdicts = {plain(formula_of(o.term))}, {DIFFERS}
        for x in mistaken(o.term, [other.term for other in flows(op) if other.term is not None and other is not o]):
            hand, text = value(x, self.known), plain(formula_of(x))
            if hand is None or text in texts or not np.all(np.isfinite(hand)):
                continue
            hand = np.asarray(hand)
            said = self.verdict(box, op, i, hand)
            if said not in verdicts and not is_right(hand):
                texts.add(text)
                verdicts.add(said)
                (last if said == misfit(np.shape(o.flow), hand.shape) else choices).append((x, said))
        choices += last
        simple = all(is_multiple(said) for _, said in choices)  # there is little to derive
        return None if simple or len(choices) < 2 else self.among("formula", i, o.term, choices)

    def among(self, kind: str, i: int, right: Any, wrong: list[tuple[Any, str]]) -> Question:
        """A question with a few choices, in an order that differs from question to question."""
        choices = [(right, ""), *wrong[:WRONG]]
        random.Random(self.asked.total()).shuffle(choices)
        return Question(kind, i, tuple(choices), [x is right for x, _ in choices].index(True))

    def shape(self, box: Box, op: Op, i: int) -> Question | None:
        """Which of a few shapes has it? Those of its transpose, of what is not summed yet, and of the arrays around."""
        flow = flows(op)[i].flow
        hands = []
        if self.terms is not None:
            edge = next(e for e in edges(op.node) if e.place == flows(op)[i].place)
            hands = [np.asarray(flow).T, np.asarray(edge.pullback(np.asarray(box.grad)))]
        hands += [np.asarray(box.grad)] if not isinstance(box.grad, RowSparse) else []
        hands += [o.box.data for o in flows(op) if o.box]
        shapes = {np.shape(flow): ""}
        for hand in hands:
            if hand.shape not in shapes and np.all(np.isfinite(hand)):
                shapes[hand.shape] = self.verdict(box, op, i, hand)
        right, *wrong = [(shape, said) for shape, said in shapes.items() if said != misfit(np.shape(flow), shape)]
        return self.among("shape", i, right[0], wrong) if wrong else None

    def sign(self, box: Box, op: Op, i: int) -> Question | None:
        """Which sign have its elements, or has the largest of them where they differ?"""
        flow = flows(op)[i].flow
        if isinstance(flow, RowSparse) or not 0 < np.size(flow) <= self.most_signs:
            return None
        if np.iscomplexobj(flow) or not np.all(np.isfinite(flow)):
            return None
        signs = np.sign(flow)
        at = None if np.all(signs == signs.flat[0]) else int(np.argmax(np.abs(flow)))
        return Question("sign", i, at=at, zero=term_verdict(op_name(op.node._op), -1))


def terms_of(graph: Graph, uses: Sequence[tuple[Any, int]]) -> FlowTerms | None:
    """The gradients as `compare` reads them; None where they are too large, or no real numbers of NumPy."""
    boxes = [box for box in graph.boxes if box.node is not None and box.grad is not None]
    size = sum(math.prod(np.shape(box.data)) for box in boxes)
    if size > MOST or any(
        np.iscomplexobj(box.data) or (box.node is not None and is_foreign(box.node._data)) for box in boxes
    ):
        return None
    found: Found = {box.node._stamp: np.asarray(box.grad) for box in boxes if box.node is not None}
    for box in boxes:
        for o in flows(box.op) if box.op and box.node is not None else ():
            found[box.node._stamp, o.place] = np.asarray(o.flow)
    assert isinstance(graph.root.node, Node)
    return FlowTerms(graph.root.node, found, uses)


def signals(graph: Graph) -> dict[Any, Array]:
    """The derivatives of inner scalars by their symbols: δ = ∂s/∂z is ∂J/∂z by ∂J/∂s."""
    heads = {box.key: box for box in graph.boxes}
    found: dict[Any, Array] = {}
    for box in graph.boxes:
        if box.derivative is None or box.derivative.sign != "symbol" or isinstance(box.grad, RowSparse | None):
            continue
        above = heads[box.head].grad
        if heads[box.head] is graph.root:
            found[formula_of(box.derivative)] = box.grad
        elif above is not None and np.all(above):
            found[formula_of(box.derivative)] = np.reshape(box.grad / np.ravel(above)[0], np.shape(box.grad))
    return found


def mistaken(x: Term, others: Sequence[Term]) -> Iterator[Term]:
    """A formula with the classic mistakes: something left out, transposed, that of another variable, sign, factor."""
    yield from shortened(x)
    yield from transposed(x)
    yield from others
    yield x.args[0] if x.sign == "negative" else -x
    yield term(2) * x


def shortened(x: Term) -> Iterator[Term]:
    """A formula without one of its factors, or without a sum."""
    factors = x.args[: FACTORS.get(x.sign, 0)]
    if x.sign in ("multiply", "divide", "sum"):
        yield from factors
    for i, factor in enumerate(factors):
        for less in shortened(factor):
            if less.shape == factor.shape:
                yield replace(x, args=(*x.args[:i], less, *x.args[i + 1 :]))


def transposed(x: Term) -> Iterator[Term]:
    """A matrix with its axes exchanged."""
    if x.sign == "multiply" and not x.args[0].shape:
        yield from (x.args[0] * y for y in transposed(x.args[1]))
    elif x.sign == "negative":
        yield from (-y for y in transposed(x.args[0]))
    elif x.sign == "outer" and len(x.shape) == 2:
        yield outer(*x.args[::-1])
    elif len(x.shape) == 2 and x.sign in ("symbol", "transpose", "matmul"):
        yield x.T
