"""A sheet of the whole derivation: what is given, the equations of the forward pass, and those of each gradient.

It is made of the same formulas as the steps of a page, each of which is in the page once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minigrad.engine import Array
from minigrad.text import Markup, joined, markup
from minigrad.viz.formats import number
from minigrad.viz.formulas import Equations, Formula, Row, Script, Word, elements, plain
from minigrad.viz.graph import Box, Graph
from minigrad.viz.mathematics import Term, added, formula_of, sign
from minigrad.viz.notation import derivative_formula, factor_of, gradient_formula, is_inlined, times

ROOM = 3  # the terms of a sum on one line


class Formulas:
    """The formulas of a page, each once: in its sheet, or else in a template."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._elements: list[Markup] = []
        self._known: dict[Markup, int] = {}
        self._printed: set[int] = set()

    def add(self, x: Formula) -> int:
        """The number of a formula."""
        inside = elements(x)
        if inside not in self._known:
            self._known[inside] = len(self.texts)
            self.texts.append(plain(x).replace("\n", "; "))
            self._elements.append(inside)
        return self._known[inside]

    def printed(self, x: Formula) -> Markup:
        """A formula as it is printed in the sheet, with its number where it is the first of this number."""
        i = self.add(x)
        new = i not in self._printed
        self._printed.add(i)
        return self._math(i) if new else markup("<math>{}</math>", self._elements[i])

    def others(self) -> Markup:
        """The formulas that are not in the sheet."""
        return joined(self._math(i) for i in range(len(self.texts)) if i not in self._printed)

    def _math(self, i: int) -> Markup:
        text = Markup(markup("{}", self.texts[i]).replace('"', "&quot;"))
        return markup('<math id="f{}" alttext="{}">{}</math>', Markup(i), text, self._elements[i])


def equals(*parts: Formula) -> Formula:
    """A chain of equations."""
    row: list[Formula] = [parts[0]]
    for part in parts[1:]:
        row += [sign("="), part]
    return Row(tuple(row))


def value_equation(box: Box) -> Formula:
    """A result in terms of its arguments, z = W x + b; the expression alone where it is written inside others."""
    assert box.op is not None and box.term is not None
    expression = formula_of(box.op.term, shapes=True) if box.op.term else Word(box.op.expression, "text")
    return expression if is_inlined(box) else equals(formula_of(box.term), expression)


def gradient_equations(graph: Graph, box: Box, head: Box) -> Iterator[tuple[Formula, Array | None]]:
    """The equations of a gradient, and the value where it is the root's: of a leaf the whole of it, of an error signal
    the derivative that it is and what the root has of it, and of another value the derivative that others use."""
    assert box.derivative is not None
    root = derivative_formula(graph.root, box)
    factor = factor_of(head, graph.root)
    if box is graph.root:
        yield equals(root, Word("1", "number")), None
    elif is_signal(box):
        yield sum_of([formula_of(box.derivative), derivative_formula(head, box)], box.parts), None
        if head is not graph.root:
            yield equals(root, formula_of(factor * box.derivative, shapes=True)), box.grad
    elif not box.op:
        yield sum_of([root], [times(factor, part) for part in box.parts]), box.grad
    elif not is_inlined(box) or formula_of(box.derivative) == derivative_formula(head, box):
        yield sum_of([derivative_formula(head, box)], box.parts), box.grad if head is graph.root else None


def is_signal(box: Box) -> bool:
    """Is the derivative by a value called δ, and not that of a value computed from it?"""
    texts = [plain(formula_of(part)) for part in box.parts if isinstance(part, Term)]
    return bool(box.delta) and texts != [box.delta]


def sum_of(left: list[Formula], parts: list[Term | str]) -> Formula:
    """The equation of a sum: one line, or one for each term where there are many, or some are in words."""
    terms = [part for part in parts if isinstance(part, Term)]
    if len(parts) <= ROOM and len(terms) == len(parts) and parts:
        return equals(*left, formula_of(added(terms), shapes=True))
    if len(parts) < 2:
        return equals(*left, *map(gradient_formula, parts))
    first, *rest = parts
    lines = [(equals(*left), sign("="), gradient_formula(first))]
    for part in rest:
        minus = isinstance(part, Term) and part.sign == "negative"
        below = part.args[0] if minus and isinstance(part, Term) else part
        lines.append((Row(()), sign("−" if minus else "+"), gradient_formula(below)))
    return Equations(tuple(lines))


class Line(NamedTuple):
    """A line of the sheet: a formula, and the number that it is."""

    formula: Formula
    box: Box
    array: int | None = None  # the number of an array of one element among those of the page, which keeps the text true
    text: str = ""  # that element
    note: str = ""


def lines(graph: Graph, number_of: Callable[[Box, Array], int]) -> dict[str, list[Line]]:
    """The derivation, by the titles of its parts.

    Args:
        number_of: the number of a box's value or gradient among the arrays of the page.
    """
    heads = {box.key: box for box in graph.boxes}
    found: dict[str, list[Line]] = {"Given": [], "Values": [], "Gradients": []}

    def line(formula: Formula, box: Box, value: Array | None, note: str = "") -> Line:
        if value is None or (element := np.asarray(getattr(value, "rows", value))).size != 1:
            return Line(formula, box, note=note)
        return Line(formula, box, number_of(box, value), number(element.item(), 4), note)

    for box in reversed(graph.boxes):
        if not box.op:
            found["Given"].append(line(membership(box), box, box.data, box.kind))
        elif not is_inlined(box):
            found["Values"].append(line(value_equation(box), box, box.data))
    for box in graph.boxes:
        if box.grad is not None:
            for equation, value in gradient_equations(graph, box, heads[box.head]):
                found["Gradients"].append(line(equation, box, value))
    return found


def sheet(parts: dict[str, list[Line]], formulas: Formulas) -> Markup:
    """The derivation as lists of HTML, with the numbers of scalars."""

    def item(line: Line) -> Markup:
        text = markup('<span data-array="{}"> = {}</span>', line.array, line.text) if line.text else ""
        note = markup(" <small>{}</small>", line.note) if line.note else ""
        formula = formulas.printed(line.formula)
        return markup('<li data-box="{}">{}{}{}</li>\n', Markup(line.box.key), formula, text, note)

    return joined(
        markup('<h3>{}</h3>\n<ul id="{}">\n{}</ul>\n', title, title.lower(), joined(map(item, found)))
        for title, found in parts.items()
        if found
    )


def membership(box: Box) -> Formula:
    """What kind of array a leaf is: W ∈ ℝ^(8×20)."""
    assert box.term is not None
    if box.data.size == 1:
        return formula_of(box.term)
    space = Word("ℂ" if box.data.dtype.kind == "c" else "ℝ" if box.data.dtype.kind == "f" else "ℤ", "upright")
    size = Word("×".join(map(str, box.data.shape)), "number")
    return Row((formula_of(box.term), sign("∈"), Script(space, above=size)))
