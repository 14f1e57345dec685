"""The computation graph as a picture, in Graphviz's language."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, Node
from minigrad.sparse import RowSparse
from minigrad.text import Markup, joined, markup
from minigrad.viz.dot import Picture, quoted
from minigrad.viz.formats import BAD, FULL, brief, colour, elements, ink, number, rows, scale, span
from minigrad.viz.graph import Box, Graph, Op, Operand, build, is_zero
from minigrad.viz.names import Scope, around
from minigrad.viz.notation import annotate, derivative

LINE = "#46525c"
BACK = "#b23a00"  # gradients
QUIET = "#5b6770"
DEAD = "#b8bec4"

#: Kinds differ in form as well as in colour: for grey print, and for the colour-blind.
LOOKS = {
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#dcebf9", "color": "#1f5f99", "penwidth": "2.4"},
    "input": {"shape": "note", "style": "filled", "fillcolor": "#fdf1cf", "color": "#8a6a12", "penwidth": "1.2"},
    "result": {"shape": "box", "style": "rounded,filled", "fillcolor": "#ffffff", "color": LINE},
}


def draw(
    root: Node,
    *,
    inputs: Sequence[Node] = (),
    values: bool = True,
    backward: bool | None = None,
    collapse: bool = False,
    limit: int = 100,
    rankdir: str = "LR",
) -> Picture:
    """Draw the computation graph of a value, from the variables to the value.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], name="x")
    >>> picture = mg.draw(mg.sum(x))
    >>> picture.save("picture.svg")  # doctest: +SKIP
    'picture.svg'

    A parameter is a blue box with a thick border, an input a yellow sheet with a folded corner, a result a white box
    with round corners, an op a circle with its sign. Notebooks show the picture; `.source` is its DOT text. Drawing
    does not change the graph.

    Args:
        inputs: Tensors that are data, as distinct from parameters; arrays always are.
        values: show numbers: small arrays in full, larger ones as a strip of colours and their range.
        backward: show gradients, and on every edge the contribution that flows back along it; None: if `backward()`
            has been called.
        collapse: draw repeated structure once, with the number of times it occurs.
        limit: the largest number of Tensors drawn, those nearest to the root; the picture says how many are left out.
        rankdir: "LR" from left to right, "TB" from top to bottom.

    Raises:
        ValueError: for gradients of a value that is not a scalar.
        RuntimeError: for backward=True after data has changed.
    """
    names = around(sys._getframe(1))
    graph = build(root, inputs=inputs, backward=backward, collapse=collapse, limit=limit, around=names)
    return _Drawing(annotate(graph), values, backward).picture(rankdir)


class _Drawing:
    """A graph, and how much of it is drawn."""

    def __init__(self, graph: Graph, values: bool, backward: bool | None) -> None:
        self.graph, self.values, self.backward = graph, values, backward

    def picture(self, rankdir: str) -> Picture:
        picture = Picture()
        picture.attr("graph", rankdir=rankdir, bgcolor="white", fontname="Helvetica", fontsize="11", nodesep="0.22")
        picture.attr("graph", ranksep="0.32")
        picture.attr("node", fontname="Helvetica", fontsize="12", margin="0.08,0.04")
        picture.attr("edge", fontname="Helvetica", fontsize="10", color=LINE, arrowsize="0.6")
        self.boxes(picture, ())
        for box in self.graph.boxes:
            picture.titles |= {box.key: box.label} | ({_op_key(box): box.op.sign} if box.op else {})
        for box in self.graph.boxes:
            if box.op:
                self.edges(picture, box, box.op)
        if self.graph.more:
            picture.node("more", **quoted(label=f"… {self.graph.more:,} more", shape="plaintext", fontcolor=QUIET))
        return picture

    def boxes(self, picture: Any, scopes: tuple[Scope, ...]) -> None:
        """Draw the boxes inside these scopes, and a frame for every scope within."""
        depth = len(scopes)
        inner: list[Scope] = []
        for box in self.graph.boxes:
            if box.scopes[:depth] != scopes:
                continue
            if len(box.scopes) == depth:
                self.box(picture, box)
            elif box.scopes[depth] not in inner:
                inner.append(box.scopes[depth])
        for i, scope in enumerate(inner):
            outer = picture.name or "cluster"
            with picture.subgraph(name=f"{outer}_{i}") as cluster:
                label = markup("<<b>{}</b>>", _short(scope.name)) if scope.name else ""
                cluster.attr(**quoted(label=label, color="#9aa5ad", style="rounded", fontcolor=QUIET))
                self.boxes(cluster, (*scopes, scope))

    def box(self, picture: Any, box: Box) -> None:
        """Draw a value, and the op that computed it."""
        off = is_zero(box.grad)
        look = LOOKS[box.kind] | ({"fontcolor": QUIET, "color": DEAD, "style": "dashed"} if off else {})
        if box is self.graph.root:
            look |= {"penwidth": "2.4"}
        note = f" (nothing flows back: {box.why})" if off else ""
        tooltip = f"{box.label} {box.data.shape} {box.data.dtype}{note}"
        picture.node(box.key, **quoted(label=markup("<{}>", self.label(box)), tooltip=tooltip, **look))
        if box.op:
            _draw_op(picture, box, box.op, off)

    def edges(self, picture: Any, box: Box, op: Op) -> None:
        """Draw the edges from the operands to an op."""
        several = len(op.operands) > 1 and op.ordered
        for i, o in enumerate(op.operands, 1):
            look: dict[str, str] = {}
            if several:
                look = {"headlabel": f"{i}", "labelfontcolor": QUIET, "labelfontsize": "9"}
            if o.times > 1:
                look["label"] = f"×{o.times:,}"
            if o.flow is not None:
                if is_zero(o.flow):
                    look |= {"color": DEAD, "style": "dashed", "label": markup('<<font color="{}">0</font>>', QUIET)}
                else:
                    flow = markup("<{}>", self.flow(o, o.flow, op))
                    look |= {"label": flow, "color": f"{LINE}:{BACK}", "dir": "both"}
            picture.edge(o.box.key if o.box else "more", _op_key(box), **quoted(**look))

    def label(self, box: Box) -> Markup:
        """The inside of a box: name, shape and dtype, the value, the gradient."""
        shape = f"{box.data.shape} " if box.data.shape else ""
        head = '<b>{}</b>  <font point-size="8" color="{}">{}{}</font>'
        lines = [markup(head, _short(box.label), QUIET, shape, box.data.dtype)]
        if box.times > 1:
            lines[0] = markup("{}  <b>×{}</b>", lines[0], f"{box.times:,}")
        else:
            lines += (_array(box.data) if self.values else []) + self.gradient(box)
        return _table(lines)

    def gradient(self, box: Box) -> list[Markup]:
        """The gradient of a box, or that there is none yet."""
        grad = box.grad if self.graph.backward else box.node.grad if box.node is not None else None
        if grad is not None and self.backward is not False:
            above, below = map(_short, derivative(self.graph, box))
            title = f"∂{above}/∂{below}" if self.graph.backward else "grad"
            delta = markup(" = <b>{}</b>", _short(box.symbol)) if box.delta else ""
            times = f"  (sum of {box.arrivals})" if box.arrivals > 1 else ""
            return [
                markup('<font color="{}" point-size="10">{}{}{}</font>', BACK, title, delta, times),
                *_array(grad, BACK),
            ]
        if box.kind == "parameter" and self.values and self.backward is None and not self.graph.backward:
            return [markup('<font color="{}" point-size="9"><i>no gradient yet</i></font>', QUIET)]
        return []

    def flow(self, operand: Operand, flow: Array, op: Op) -> Markup:
        """The label of an edge: the contribution, and its formula where the op does not show the local derivative."""
        lines = _array(flow, BACK, small=True) if self.values else []
        if operand.formula and not (op.local and self.values):
            lines.insert(0, markup('<font color="{}">{}</font>', BACK, _short(operand.formula)))
        return _table(lines, "")


def _draw_op(picture: Any, box: Box, op: Op, off: bool) -> None:
    label = markup("<b>{}</b>", _short(op.sign))
    is_circle = len(label) == len("<b>+</b>")
    if box.grad is not None and op.local and not off:
        label = markup('{}<br/><font color="{}" point-size="10">{}</font>', label, BACK, _short(op.local))
        is_circle = False
    form = {"shape": "circle", "margin": "0.02", "width": "0.34"} if is_circle else {"shape": "box"}
    form["style"] = "filled" if is_circle else "rounded,filled"
    line = DEAD if off else LINE
    form |= {"fillcolor": "#eceff1", "color": line, "tooltip": op.expression}
    picture.node(_op_key(box), **quoted(label=markup("<{}>", label), **form))
    times = {"label": f"×{box.times:,}"} if box.times > 1 else {}
    picture.edge(_op_key(box), box.key, **quoted(color=line, **times))


def _op_key(box: Box) -> str:
    return f"op{box.key[1:]}"


def _table(lines: list[Markup], cellborder: str = ' cellborder="0"') -> Markup:
    """Lines of Graphviz's HTML one below the other."""
    body = joined(markup("<tr><td>{}</td></tr>", line) for line in lines)
    return markup('<table border="0"{} cellspacing="0" cellpadding="1">{}</table>', Markup(cellborder), body)


def _array(data: Array, tone: str = "#111111", small: bool = False) -> list[Markup]:
    """An array as lines of Graphviz's HTML: a number, a table of numbers on colours, or a strip and its range."""
    if isinstance(data, RowSparse):
        rows_of = f"{len(data.indices)} of {data.shape[0]:,} rows"
        return [markup('<font point-size="8">{}</font>', rows_of), *_array(data.rows, tone)]
    data = np.asarray(data)
    if data.shape == ():
        text = number(data.item())
        return [markup('<font color="{}">{}</font>', tone if np.isfinite(data) else BAD, text)]
    if data.size == 0:
        return [markup('<font color="{}" point-size="9">empty</font>', QUIET)]
    full = data.size <= FULL and not small
    lines = rows(data) if full else [elements(data, 16)]
    largest = scale([v for line in lines for v in line])

    def cell(v: Any) -> Markup:
        fill = colour(v, largest)
        if not full:
            return markup('<td bgcolor="{}" width="6" height="9" fixedsize="true"></td>', fill)
        text = markup('<font color="{}" point-size="8">{}</font>', ink(fill), brief(v))
        return markup('<td bgcolor="{}" width="30">{}</td>', fill, text)

    body = joined(markup("<tr>{}</tr>", joined(map(cell, line))) for line in lines)
    table = '<table border="0" cellborder="0" cellspacing="0" cellpadding="{}"{}>{}</table>'
    width = markup(' fixedsize="true" width="{}" height="9"', 6 * len(lines[0]))  # else it would fill the box
    out = [markup(table, 1 if full else 0, "" if full else width, body)]
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        out.append(markup('<font color="{}" point-size="9"><b>{} not finite</b></font>', BAD, bad))
    elif not full and not small:
        out.append(markup('<font point-size="8" color="{}">{}</font>', QUIET, span(data)))
    return out


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
