"""The gradient of a matrix that multiplies a vector, element by element as on the slides: W_ij, δ_i x_j, then δ x^⊤."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.viz.formulas import COMMA, SPACE, Equations, Fenced, Formula, Fraction, Name, Row, Script, Word
from minigrad.viz.graph import Box, Graph
from minigrad.viz.mathematics import formula_of, sign
from minigrad.walk import NONLINEARITIES


class Product(NamedTuple):
    """A product W x whose result goes through a nonlinearity and nowhere else."""

    W: Box
    x: Box
    rows: list[Box]  # the values whose element i is computed from row i of W: W x, z, a
    formula: Formula


def product_of(graph: Graph, box: Box, head: Box) -> Product | None:
    """The product that a box is the result of, if the head depends on W_ij through a_i alone."""
    operands = [o.box for o in box.op.operands if o.box and not o.step] if box.op else []
    if box.op_name != "matmul" or len(operands) != 2 or not box.delta or box.derivative is None:
        return None
    W, x = operands
    users = [user for user in graph.users(W) if user.head == box.head]
    if (W.data.ndim, x.data.ndim) != (2, 1) or users != [box] or W.op or box.derivative.sign != "symbol":
        return None
    rows = [box]
    while rows[-1].op_name not in NONLINEARITIES:
        found = graph.users(rows[-1])
        if len(found) != 1 or found[0].data.shape != box.data.shape or found[0].op_name not in {"add", *NONLINEARITIES}:
            return None
        rows += found
    return Product(W, x, rows, derivation(graph, W, x, rows, head, formula_of(box.derivative)))


def derivation(graph: Graph, W: Box, x: Box, rows: list[Box], head: Box, delta: Formula) -> Formula:
    """The lines from ∂s/∂W_ij to ∂s/∂W = δ x^⊤."""
    labels = {box.label for box in graph.boxes}
    i, j = [Word(letter) for letter in "ijklmnpq" if letter not in labels][:2]
    s, w, a, z, xj = (
        symbol(head),
        at(symbol(W), i, j),
        at(symbol(rows[-1]), i),
        at(symbol(rows[-2]), i),
        at(symbol(x), j),
    )
    weights = [o.box for user in graph.users(rows[-1]) if user is head and user.op for o in user.op.operands]
    others = [b for b in weights if b is not None and b is not rows[-1]]
    linear = head.op_name == "matmul" and len(others) == 1 and graph.users(rows[-1]) == [head]
    first = at(symbol(others[0]), i) if linear else ratio(s, a)
    slope = Row((Word("f′"), Fenced(z)))
    lines = [
        (ratio(s, w), sign("="), times(ratio(s, a), ratio(a, w))),
        (Row(()), sign("="), times(first, slope, ratio(z, w))),
        (Row(()), sign("="), times(first, slope, xj)),
        (Row(()), sign("="), times(at(delta, i), xj)),
        (ratio(s, symbol(W)), sign("="), times(delta, Script(symbol(x), above=Word("⊤", "sign")))),
    ]
    return Equations(tuple(lines))


def symbol(box: Box) -> Formula:
    assert box.term is not None
    found = formula_of(box.term)
    return found if isinstance(found, Word | Script) else Fenced(found)


def at(x: Formula, *indices: Formula) -> Formula:
    """An element: x_i; of a symbol with an index both, x_{c,i}."""
    if isinstance(x, Name) and x.below is not None:
        return Script(x.base, Row((x.below, COMMA, *indices)))
    return Script(x, Row(indices))


def ratio(above: Formula, below: Formula) -> Formula:
    return Fraction(Row((sign("∂"), above)), Row((sign("∂"), below)))


def times(*factors: Formula) -> Formula:
    row = [factors[0]]
    for factor in factors[1:]:
        row += [SPACE, factor]
    return Row(tuple(row))
