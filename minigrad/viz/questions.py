"""Questions that a page asks before a step back: the sign, the shape or the formula of the gradient about to flow.

The wrong answers are mistakes made in the true formula or array. Each of them is computed, and `compare` itself says
which mistake it is; what it finds equal is not offered.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.check.compare import DIFFERS, equality, is_multiple, misfit, mistake, term_verdict
from minigrad.check.terms import FlowTerms, Found
from minigrad.engine import Array
from minigrad.operands import is_foreign
from minigrad.sparse import RowSparse
from minigrad.text import op_name
from minigrad.viz.formulas import plain
from minigrad.viz.graph import Box, Graph, Op
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


class Flow(NamedTuple):
    """The gradient that flows back to an operand of an op."""

    key: tuple[int, int]  # the stamp of the op's result and the place of the operand
    box: Box
    array: Array
    term: Term | None


def flows(op: Op) -> list[Flow]:
    """The gradients that flow back through an op."""
    found = [o for o in op.operands if o.flow is not None]
    return [Flow((op.node._stamp, o.place), o.box, o.flow, o.term) for o in found if o.box is not None]


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
        self.numbers = {flow.key: k for k, flow in enumerate(f for _, op in graph.ops() for f in flows(op))}
        self.terms = terms_of(graph)

    @np.errstate(all="ignore")
    def question(self, box: Box, op: Op) -> Question | None:
        """The question before the step back through an op; None where there is nothing to ask."""
        name, shapes = op_name(op.node._op), [flow.array.shape for flow in flows(op)]
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
        near = [(b.label, b.node) for b in [box, *(flow.box for flow in flows(op))] if b.node is not None]
        return mistake(self.terms, self.numbers[flows(op)[i].key], hand, near)

    def formula(self, box: Box, op: Op, i: int) -> Question | None:
        """Which of a few formulas is it?"""
        key, _, array, right = flows(op)[i]
        found = None if right is None else value(right, self.known)
        if right is None or found is None or self.terms is None:
            return None
        is_right = equality(self.terms, self.numbers[key])
        if not is_right(np.asarray(found)):
            return None  # a formula for another case
        choices: list[tuple[Term, str]] = []
        last: list[tuple[Term, str]] = []  # those of another shape
        texts, verdicts = {plain(formula_of(right))}, {DIFFERS}
        for x in mistaken(right, [flow.term for flow in flows(op) if flow.term is not None and flow.key != key]):
            hand, text = value(x, self.known), plain(formula_of(x))
            if hand is None or text in texts or not np.all(np.isfinite(hand)):
                continue
            hand = np.asarray(hand)
            said = self.verdict(box, op, i, hand)
            if said not in verdicts and not is_right(hand):
                texts.add(text)
                verdicts.add(said)
                if said == misfit(array.shape, hand.shape):
                    last.append((x, f"this formula {said}"))
                else:
                    choices.append((x, said))
        choices += last
        simple = all(is_multiple(said) for _, said in choices)  # there is little to derive
        return None if simple or len(choices) < 2 else self.among("formula", i, right, choices)

    def among(self, kind: str, i: int, right: Any, wrong: list[tuple[Any, str]]) -> Question:
        """A question with a few choices, in an order that differs from question to question."""
        choices = [(right, ""), *wrong[:WRONG]]
        random.Random(self.asked.total()).shuffle(choices)
        return Question(kind, i, tuple(choices), [x is right for x, _ in choices].index(True))

    def shape(self, box: Box, op: Op, i: int) -> Question | None:
        """Which of a few shapes has it? Those of its transpose, of what is not summed yet, and of the arrays around."""
        (_, place), _, array, _ = flows(op)[i]
        hands = []
        if self.terms is not None:
            pullback = next(edge.pullback for edge in edges(op.node) if edge.place == place)
            hands = [np.asarray(array).T, np.asarray(pullback(np.asarray(box.grad)))]
        hands += [np.asarray(box.grad)] if not isinstance(box.grad, RowSparse) else []
        hands += [flow.box.data for flow in flows(op)]
        shapes = {array.shape: ""}
        for hand in hands:
            if hand.shape not in shapes and np.all(np.isfinite(hand)):
                subject = f"the array of shape {hand.shape}" if hand.shape else "the scalar"
                shapes[hand.shape] = self.verdict(box, op, i, hand).replace("equals", f"{subject} equals", 1)
        right, *wrong = [(shape, said) for shape, said in shapes.items() if said != misfit(array.shape, shape)]
        return self.among("shape", i, right[0], wrong) if wrong else None

    def sign(self, box: Box, op: Op, i: int) -> Question | None:
        """Which sign have its elements, or has the largest of them where they differ?"""
        array = flows(op)[i].array
        if isinstance(array, RowSparse) or not 0 < array.size <= self.most_signs:
            return None
        if np.iscomplexobj(array) or not np.all(np.isfinite(array)):
            return None
        signs = np.sign(array)
        at = None if np.all(signs == signs.flat[0]) else int(np.argmax(np.abs(array)))
        return Question("sign", i, at=at, zero=term_verdict(op_name(op.node._op), -1))


def terms_of(graph: Graph) -> FlowTerms | None:
    """The gradients as `compare` reads them; None where they are too large, or no real numbers of NumPy."""
    nodes = [(box.node, box.grad) for box in graph.boxes if box.node is not None and box.grad is not None]
    if sum(node._data.size for node, _ in nodes) > MOST:
        return None
    if any(node._data.dtype.kind == "c" or is_foreign(node._data) for node, _ in nodes):
        return None
    found: Found = {node._stamp: np.asarray(g) for node, g in nodes}
    found |= {flow.key: np.asarray(flow.array) for _, op in graph.ops() for flow in flows(op)}
    uses = [(op.node, place) for _, op in graph.ops() for (_, place), *_ in flows(op)]
    assert graph.root.node is not None
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
