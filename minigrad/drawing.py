"""The computation graph as a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.engine import Array, Node
from minigrad.graph import Box, Graph, Op, Operand, dead, read, under, variables
from minigrad.show import BAD, FULL, brief, colour, elements, ink, number, rows, scale, span
from minigrad.sparse import RowSparse

if TYPE_CHECKING:
    from minigrad.dotfile import Picture

BACK = "#b23a00"  # what flows back
QUIET = "#5b6770"
DEAD = "#b8bec4"

#: Kinds are told apart by form as well as by colour: in grey print, and for the colour-blind.
LOOKS = {
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "#dcebf9", "color": "#1f5f99", "penwidth": "2.4"},
    "input": {"shape": "note", "style": "filled", "fillcolor": "#fdf1cf", "color": "#8a6a12", "penwidth": "1.2"},
    "result": {"shape": "box", "style": "rounded,filled", "fillcolor": "#ffffff", "color": "#46525c"},
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
    """The graph that a value was computed by, from the variables to the value.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], name="x")
    >>> picture = mg.draw(mg.sum(x))
    >>> picture.save("picture.svg")  # doctest: +SKIP
    'picture.svg'

    A parameter is a blue box with a thick border, an input a yellow sheet with a corner turned down, a result a white
    box with round corners, an op a circle with its sign. Notebooks show the picture; `.source` is its DOT text.
    Drawing reads the graph and leaves it as it is.

    Args:
        inputs: Tensors that are data, to be told from parameters; arrays always are.
        values: show numbers: small arrays in full, larger ones by a strip of colours and their range.
        backward: show gradients, and on every edge what flows back along it; None: if `backward()` has been called.
        collapse: draw repeated structure once, with how often it occurs.
        limit: draw at most so many Tensors, those nearest to the root, and say how many more there are.
        rankdir: "LR" from left to right, "TB" from top to bottom.

    Raises:
        ValueError: for gradients of what is not a scalar.
        RuntimeError: for backward=True after data has changed.
    """
    from minigrad.dotfile import Picture  # here, so that importing minigrad does not import graphviz

    named = variables(sys._getframe(1))
    graph = read(root, inputs=inputs, backward=backward, collapse=collapse, limit=limit, named=named)
    picture = Picture()
    picture.attr("graph", rankdir=rankdir, bgcolor="white", fontname="Helvetica", fontsize="11", nodesep="0.22")
    picture.attr("graph", ranksep="0.32")
    picture.attr("node", fontname="Helvetica", fontsize="12", margin="0.08,0.04")
    picture.attr("edge", fontname="Helvetica", fontsize="10", color="#46525c", arrowsize="0.6")
    name = graph.root.label if len(graph.root.label) <= 3 else "J"
    _draw_boxes(picture, graph, (), values, name, backward)
    for box in graph.boxes:
        if box.op:
            _draw_edges(picture, graph, box, box.op, values)
    if graph.more:
        picture.node("more", f"… {graph.more:,} more", shape="plaintext", fontcolor=QUIET)
    return picture


def _draw_boxes(
    picture: Any, graph: Graph, scopes: tuple[Any, ...], values: bool, name: str, backward: bool | None
) -> None:
    """The boxes inside these scopes, and a frame for every scope within."""
    depth, inner = len(scopes), []
    for box in graph.boxes:
        if box.scopes[:depth] != scopes:
            continue
        if len(box.scopes) > depth:
            if box.scopes[depth] not in inner:
                inner.append(box.scopes[depth])
            continue
        off = " (nothing flows back)" if dead(box.grad) else ""
        look = LOOKS[box.kind] | ({"fontcolor": QUIET, "color": DEAD, "style": "dashed"} if off else {})
        if box is graph.root:
            look |= {"penwidth": "2.4"}
        label = f"<{_label(box, graph, values, name, backward)}>"
        picture.node(box.key, label, tooltip=_plain(f"{box.label} {box.data.shape} {box.data.dtype}{off}"), **look)
        if box.op:
            _draw_op(picture, box, box.op, bool(off))
    for i, scope in enumerate(inner):
        outer = picture.name or "cluster"
        with picture.subgraph(name=f"{outer}_{i}") as cluster:
            cluster.attr(label=f"<<b>{_html(scope.name)}</b>>", color="#9aa5ad", style="rounded", fontcolor=QUIET)
            _draw_boxes(cluster, graph, (*scopes, scope), values, name, backward)


def _draw_op(picture: Any, box: Box, op: Op, off: bool) -> None:
    label = f"<b>{_html(op.sign)}</b>"
    if box.grad is not None and op.local and not off:
        label += f'<br/><font color="{BACK}" point-size="10">{_html(op.local)}</font>'
    form = {"shape": "circle", "margin": "0.02", "width": "0.34"} if len(label) == 8 else {"shape": "box"}
    form["style"] = "filled" if form["shape"] == "circle" else "rounded,filled"
    ink = DEAD if off else "#46525c"
    picture.node(_op_key(box), f"<{label}>", fillcolor="#eceff1", color=ink, tooltip=_plain(op.expression), **form)
    times = {"label": f"×{box.times:,}"} if box.times > 1 else {}
    picture.edge(_op_key(box), box.key, color=ink, **times)


def _draw_edges(picture: Any, graph: Graph, box: Box, op: Op, values: bool) -> None:
    several = len(op.operands) > 1 and op.notation.ordered
    for i, o in enumerate(op.operands, 1):
        look = {"headlabel": f"{i}", "labelfontcolor": QUIET, "labelfontsize": "9"} if several else {}
        if o.times > 1:
            look["label"] = f"×{o.times:,}"
        if o.flow is not None:
            if dead(o.flow):
                look |= {"color": DEAD, "style": "dashed", "label": f'<<font color="{QUIET}">0</font>>'}
            else:
                look |= {"label": f"<{_flow(o, op, values)}>", "color": f"#46525c:{BACK}", "dir": "both"}
        picture.edge(o.box.key if o.box else "more", _op_key(box), **look)


def _op_key(box: Box) -> str:
    return f"op{box.key[1:]}"


def _label(box: Box, graph: Graph, values: bool, name: str, backward: bool | None) -> str:
    """The inside of a box: name, shape and dtype, the value, the gradient."""
    shape = f"{box.data.shape} " if box.data.shape else ""
    lines = [f'<b>{_html(box.label)}</b>  <font point-size="8" color="{QUIET}">{shape}{box.data.dtype}</font>']
    if box.times > 1:
        lines[0] += f"  <b>×{box.times:,}</b>"
    else:
        if values:
            lines += _array(box.data)
        grad = box.grad if graph.backward else box.node.grad if box.node is not None else None
        if grad is not None and backward is not False:
            title = f"∂{_html(name)}/∂{_html(under(box.label))}" if graph.backward else "grad"
            title += f" = <b>{box.delta}</b>" if box.delta else ""
            title += f"  (sum of {box.arrivals})" if box.arrivals > 1 else ""
            lines.append(f'<font color="{BACK}" point-size="10">{title}</font>')
            lines += _array(grad, BACK)
        elif box.kind == "parameter" and values and backward is None and not graph.backward:
            lines.append(f'<font color="{QUIET}" point-size="9"><i>no gradient yet</i></font>')
    table = "".join(f"<tr><td>{line}</td></tr>" for line in lines)
    return f'<table border="0" cellborder="0" cellspacing="0" cellpadding="1">{table}</table>'


def _flow(o: Operand, op: Op, values: bool) -> str:
    """What stands on an edge: the contribution, and how it comes about."""
    assert o.flow is not None
    lines = _array(o.flow, BACK, small=True) if values else []
    if o.formula and not (op.local and values):
        lines.insert(0, f'<font color="{BACK}">{_html(o.formula)}</font>')
    return (
        f'<table border="0" cellspacing="0" cellpadding="1">{"".join(f"<tr><td>{x}</td></tr>" for x in lines)}</table>'
    )


def _array(data: Array, tone: str = "#111111", small: bool = False) -> list[str]:
    """An array in lines of Graphviz's HTML: a number, a table of numbers on colours, or a strip and its range."""
    if isinstance(data, RowSparse):
        return [f'<font point-size="8">{len(data.indices)} of {data.shape[0]:,} rows</font>', *_array(data.rows, tone)]
    data = np.asarray(data)
    if data.shape == ():
        text = number(data.item())
        return [f'<font color="{tone if np.isfinite(data) else BAD}">{text}</font>']
    if data.size == 0:
        return [f'<font color="{QUIET}" point-size="9">empty</font>']
    full = data.size <= FULL and not small
    lines = rows(data) if full else [elements(data, 16)]
    largest = scale([v for line in lines for v in line])
    body = ""
    for line in lines:
        cells = ""
        for v in line:
            fill = colour(v, largest)
            text = f'<font color="{ink(fill)}" point-size="8">{brief(v)}</font>' if full else ""
            size = ' width="30"' if full else ' width="6" height="9" fixedsize="true"'
            cells += f'<td bgcolor="{fill}"{size}>{text}</td>'
        body += f"<tr>{cells}</tr>"
    size = "" if full else f' fixedsize="true" width="{6 * len(lines[0])}" height="9"'  # else it would fill the box
    out = [f'<table border="0" cellborder="0" cellspacing="0" cellpadding="{1 if full else 0}"{size}>{body}</table>']
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        out.append(f'<font color="{BAD}" point-size="9"><b>{bad} not finite</b></font>')
    elif not full and not small:
        out.append(f'<font point-size="8" color="{QUIET}">{span(data)}</font>')
    return out


def _plain(text: str) -> str:
    """Text for DOT's quotes: no backslash means anything."""
    return _printable(text).replace("\\", "\\\\")


def _html(text: str) -> str:
    from html import escape

    return escape(_printable(text if len(text) <= 40 else text[:39] + "…"), quote=False)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
