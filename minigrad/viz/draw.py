"""The computation graph as a picture, in Graphviz's language."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine import Array, Node
from minigrad.sparse import RowSparse
from minigrad.text import Markup, joined, markup
from minigrad.viz.dot import Picture, quoted
from minigrad.viz.formats import BAD, FULL, brief, colour, elements, ink, number, rows, scale, span
from minigrad.viz.graph import Box, Builder, Copy, Graph, Op, Operand
from minigrad.viz.names import Scope, around
from minigrad.viz.notation import annotate, derivative
from minigrad.viz.zeros import is_zero

LINE = "#46525c"
BACK = "#b23a00"  # gradients
QUIET = "#5b6770"
DEAD = "#b8bec4"
FEW = 4  # elements: an array of up to this size is shown in full on an edge too
SEVERAL = 6  # names that a note lists
SMALL = 25  # Tensors: of a picture that takes too long to lay out, these are drawn

RANKDIRS = "TB", "LR", "BT", "RL"

#: Kinds differ in form as well as in colour: for grey print, and for the colour-blind.
LOOKS = {
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#e4e8ec", "color": "#2b343b", "penwidth": "2.4"},
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
    depth: int | None = None,
    limit: int = 100,
    rankdir: str = "TB",
) -> Picture:
    """Draw the computation graph of a value, from the variables to the value.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], name="x")
    >>> picture = mg.draw(mg.sum(x))
    >>> picture.save("picture.svg")  # doctest: +SKIP
    'picture.svg'

    A parameter is a grey box with a thick border, an input a yellow sheet with a folded corner, a result a white box
    with round corners, an op a circle with its sign. Numbers are on colours, negative ones on violet and positive
    ones on green, each array on a scale of its own; gradients are orange. A leaf that more than three ops use is
    drawn beside each of them by its name, and once with its value and the sum of its gradient. Notebooks show the
    picture; `.source` is its DOT text. Drawing does not change the graph.

    Args:
        inputs: Tensors that are data, as distinct from parameters; arrays always are.
        values: show numbers: small arrays in full, larger ones as a strip of colours and their range.
        backward: show gradients, and on every edge the contribution that flows back along it; None: if `backward()`
            has been called.
        collapse: of a loop, ops that repeat more than three times, draw the last step alone, with the number of steps;
            edges from other steps are dashed, and say from which.
        depth: draw the scopes inside this many others as single ops, 0 for all; None: look into every scope.
        limit: the largest number of Tensors drawn. Of a larger graph the scopes are closed, from the innermost, then
            the loops are rolled as by `collapse`, then those nearest to the root are drawn; the picture says so.
            A picture that Graphviz does not lay out within 10 seconds is drawn with a limit of 25.
        rankdir: "TB" from top to bottom, "LR" from left to right; "BT" and "RL" the other way.

    Raises:
        TypeError: for a root or inputs that are no Tensors; for a graph through vmap.
        ValueError: for gradients of a value that is not a scalar; for a depth, a limit or a rankdir that is none.
        RuntimeError: for backward=True after data has changed.
    """
    if rankdir not in RANKDIRS:
        raise ValueError(f"rankdir needs to be one of {', '.join(RANKDIRS)}, got {rankdir!r}")
    builder = Builder(root, inputs, backward, around(sys._getframe(1)))

    def drawing(limit: int) -> _Drawing:
        return _Drawing(annotate(builder.graph(collapse, depth, limit)), values, backward)

    whole = drawing(limit)
    picture = whole.picture(rankdir)
    if len(whole.graph.boxes) > 2 * SMALL:
        picture.smaller = len(picture.body), drawing(SMALL).picture(rankdir)
    return picture


class _Drawing:
    """A graph, and how much of it is drawn."""

    def __init__(self, graph: Graph, values: bool, backward: bool | None) -> None:
        self.graph, self.values, self.backward = graph, values, backward
        self.keys = {id(op): _op_key(box) for box, op in graph.ops()}
        self.copies = Counter(id(copy.box) for copy in graph.copies)

    def picture(self, rankdir: str) -> Picture:
        graph, picture = self.graph, Picture()
        picture.attr("graph", rankdir=rankdir, bgcolor="white", fontname="Helvetica", fontsize="11", nodesep="0.22")
        picture.attr("graph", ranksep="0.32")
        picture.attr("node", fontname="Helvetica", fontsize="12", margin="0.08,0.04")
        picture.attr("edge", fontname="Helvetica", fontsize="10", color=LINE, arrowsize="0.6")
        self.boxes(picture, ())
        picture.titles |= {copy.key: copy.box.label for copy in graph.copies}
        for box in graph.boxes:
            picture.titles |= {box.key: box.label} | ({_op_key(box): box.op.sign} if box.op else {})
        for _, op in graph.ops():
            self.edges(picture, op)
        for copy in graph.first_copies():  # the box stands near to where it is used first
            picture.edge(copy.box.key, copy.key, style="invis")
        if graph.more:
            picture.node("more", **quoted(label=f"… {graph.more:,} more", shape="plaintext", fontcolor=QUIET))
        if lines := self.caption():
            label = markup("<{}>", _table(lines))
            picture.attr("graph", **quoted(label=label, labelloc="b", fontcolor=QUIET))
        return picture

    def caption(self) -> list[Markup]:
        """What is written below: how the picture is folded, what is not of its time, and the scale of the colours."""
        notes = self.graph.notes
        lines = [markup("too large to be drawn whole: {}", ", ".join(notes))] if notes else []
        if changed := self.graph.changed:
            names = ", ".join(_short(box.label) for box in changed[:SEVERAL]) + ", …" * (len(changed) > SEVERAL)
            text = '<font color="{}"><b>changed since the results were computed: {}</b></font>'
            lines.append(markup(text, BAD, names))
        if convention := self.graph.convention:
            lines.append(markup("{}", convention))
        if self.values and any(box.data.size > 1 for box in self.graph.boxes):
            cells = (markup('<td bgcolor="{}" width="14" height="9"></td>', colour(v, 2)) for v in range(-2, 3))
            bar = markup("<tr><td>−max</td>{}<td>max of each array</td></tr>", joined(cells))
            lines.append(markup('<table border="0" cellborder="0" cellspacing="0">{}</table>', bar))
        return lines

    def boxes(self, picture: Any, scopes: tuple[Scope, ...]) -> None:
        """Draw the boxes inside these scopes, and a frame for every scope within."""
        depth = len(scopes)
        inner: list[Scope] = []
        drawn: list[Box | Copy] = [*self.graph.boxes, *self.graph.copies]
        for box in drawn:
            if box.scopes[:depth] != scopes:
                continue
            if len(box.scopes) > depth:
                if box.scopes[depth] not in inner:
                    inner.append(box.scopes[depth])
            elif isinstance(box, Copy):
                _draw_copy(picture, box)
            else:
                self.box(picture, box)
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
            self.op(picture, box, box.op, off)

    def op(self, picture: Any, box: Box, op: Op, off: bool) -> None:
        """Draw the op that computed a value, once, and the edge between."""
        key, line = self.keys[id(op)], DEAD if off else LINE
        if key == _op_key(box):
            label = markup("<b>{}</b>", _short(op.sign))
            is_circle = len(label) == len("<b>+</b>")
            if box.grad is not None and op.local and not off:
                label = markup('{}<br/><font color="{}" point-size="10">{}</font>', label, BACK, _short(op.local))
                is_circle = False
            if op.scope:
                label = markup('{}<br/><font color="{}" point-size="9">{} ops</font>', label, QUIET, op.inside)
            form = {"shape": "circle", "margin": "0.02", "width": "0.34"} if is_circle else {"shape": "box"}
            form["style"] = "filled" if is_circle else "rounded,filled"
            form |= {"shape": "box3d", "style": "filled"} if op.scope else {}
            form |= {"fillcolor": "#eceff1", "color": line, "tooltip": op.expression}
            picture.node(key, **quoted(label=markup("<{}>", label), **form))
        picture.edge(key, box.key, **quoted(color=line))

    def edges(self, picture: Any, op: Op) -> None:
        """Draw the edges from the operands to an op; those from the same value in other steps of a loop are one."""
        several = len(op.operands) > 1 and op.ordered
        elsewhere = Counter(id(o.box) for o in [*op.operands, *op.elsewhere] if o.step)
        for i, o in enumerate([*op.operands, *op.elsewhere], 1):
            look: dict[str, str] = {}
            lines: list[Markup] = []
            if several and i <= len(op.operands):
                look = {"headlabel": f"{i}", "labelfontcolor": QUIET, "labelfontsize": "9"}
            if o.step:
                if not (times := elsewhere.pop(id(o.box), 0)):
                    continue
                lines = [
                    markup('<font color="{}">{}</font>', QUIET, f"step {o.step}" if times == 1 else f"{times} steps")
                ]
                look["style"] = "dashed"
                if o.box and o.box.node is not None and o.box.node._stamp <= op.node._stamp:
                    look["constraint"] = "false"  # back to where the next step begins
            if o.flow is not None:
                if is_zero(o.flow):
                    lines.append(markup('<font color="{}">0</font>', QUIET))
                    look |= {"color": DEAD, "style": "dashed"}
                else:
                    lines += self.flow(o, o.flow, op)
                    look |= {"color": f"{LINE}:{BACK}", "dir": "both"}
            if lines:
                look["label"] = markup("<{}>", _table(lines, "") if len(lines) > 1 else lines[0])
            picture.edge(o.key or "more", self.keys[id(op)], **quoted(**look))

    def label(self, box: Box) -> Markup:
        """The inside of a box: name, shape and dtype, the value, the gradient."""
        shape = f"{box.data.shape} " if box.data.shape else ""
        head = '<b>{}</b>  <font point-size="8" color="{}">{}{}</font>'
        lines = [markup(head, _short(box.label), QUIET, shape, box.data.dtype)]
        if box in self.graph.changed:
            lines.append(markup('<font point-size="9" color="{}"><b>changed since</b></font>', BAD))
        if self.copies[id(box)]:
            note = '<font point-size="9" color="{}">drawn beside each of {} ops</font>'
            lines.append(markup(note, QUIET, self.copies[id(box)]))
        return _table(lines + (_array(box.data) if self.values else []) + self.gradient(box))

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

    def flow(self, operand: Operand, flow: Array, op: Op) -> list[Markup]:
        """The label of an edge: the contribution, and its formula where the op does not show the local derivative."""
        lines = _array(flow, BACK, small=True) if self.values else []
        if operand.formula and not (op.local and self.values):
            lines.insert(0, markup('<font color="{}">{}</font>', BACK, _short(operand.formula)))
        return lines


def _draw_copy(picture: Any, copy: Copy) -> None:
    """Draw a leaf once more, by its name alone."""
    tooltip = f"{copy.box.label}, which is drawn beside each op that uses it"
    label = markup("<<b>{}</b>>", _short(copy.box.label))
    picture.node(copy.key, **quoted(label=label, tooltip=tooltip, height="0.2", **LOOKS[copy.box.kind]))


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
    full = data.size <= (FEW if small else FULL)
    lines = rows(data) if full else [elements(data, 12 if small else 16)]
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
