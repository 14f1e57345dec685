"""The layout of the replay page: where Graphviz puts boxes, frames and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from minigrad.viz.graph import Box, Graph
from minigrad.viz.names import Scope

if TYPE_CHECKING:
    import graphviz

BODY = 72  # the height of a box
PILL = 24  # the height of an op's sign, half of which is above its result's box


class Layout(NamedTuple):
    """Positions and sizes in points, the origin at the top left."""

    width: float
    height: float
    places: dict[str, list[float]]  # x, y, width and height of each box, by its key
    frames: list[dict[str, Any]]  # of scopes: their names, and x, y, width and height
    curves: dict[tuple[str, int], str]  # SVG paths of the edges, by the key of the result and the operand's number


def layout(graph: Graph) -> Layout:
    """Lay a graph out from top to bottom.

    Raises:
        RuntimeError: where Graphviz is missing.
    """
    import json  # here, as importing minigrad should cost little more than importing numpy

    from minigrad.viz.command import NoGraphviz
    from minigrad.viz.dot import Picture

    digraph = Picture()
    digraph.attr("graph", rankdir="TB", nodesep="0.3", ranksep="0.42", margin="0.12")
    digraph.attr("node", shape="box", fixedsize="true", label="")
    names: list[str] = []
    _add_boxes(digraph, graph, (), names)
    for box in graph.boxes:
        for i, o in enumerate(box.op.operands if box.op else ()):
            if o.box:
                digraph.edge(f"{o.box.key}:s", f"{box.key}:n", comment=f"{box.key} {i}")
    try:
        laid_out = json.loads(digraph.pipe(format="json", encoding="utf-8"))
    except NoGraphviz as missing:
        raise RuntimeError(f"replay lays the graph out with Graphviz: {missing}") from None
    _, _, width, height = map(float, laid_out["bb"].split(","))
    places, frames, curves = {}, [], {}
    for item in laid_out["objects"]:
        if "bb" in item:
            x1, y1, x2, y2 = map(float, item["bb"].split(","))
            frames.append({"label": names[int(item["comment"])], "box": [x1, height - y2, x2 - x1, y2 - y1]})
        elif "pos" in item:
            x, y = map(float, item["pos"].split(","))
            w, h = float(item["width"]) * 72, float(item["height"]) * 72
            places[item["name"]] = [round(v, 1) for v in (x - w / 2, height - y - h / 2, w, h)]
    for edge in laid_out.get("edges", ()):
        key, i = edge["comment"].split()
        curves[key, int(i)] = _curve(edge["pos"], height)
    return Layout(width, height, places, frames, curves)


def _add_boxes(digraph: graphviz.Digraph, graph: Graph, scopes: tuple[Scope, ...], names: list[str]) -> None:
    """Add the boxes inside these scopes, and a frame for every scope within; its name goes on the list."""
    depth = len(scopes)
    inner: list[Scope] = []
    for box in graph.boxes:
        if box.scopes[:depth] != scopes:
            continue
        if len(box.scopes) == depth:
            width, height = _size(box)
            digraph.node(box.key, width=f"{width / 72:.3f}", height=f"{height / 72:.3f}")
        elif box.scopes[depth] not in inner:
            inner.append(box.scopes[depth])
    for i, scope in enumerate(inner):
        outer = digraph.name or "cluster"
        with digraph.subgraph(name=f"{outer}_{i}") as cluster:
            # a label as long as the name reserves the space for it, whatever the name's characters mean to dot
            cluster.attr(label="x" * len(scope.name), comment=f"{len(names)}", margin="14", fontsize="13")
            names.append(scope.name)
            _add_boxes(cluster, graph, (*scopes, scope), names)


def _size(box: Box) -> tuple[float, float]:
    """The width and the height of a box, from the length of its texts."""
    shape = len(str(box.data.shape)) if box.data.shape else 0
    text = 8.4 * len(box.label) + 6.4 * shape + 30
    width = max(84 if box.data.size == 1 else 132, text, 8 * len(box.op.sign) + 28 if box.op else 0)
    return width, BODY + (PILL / 2 if box.op else 0)


def _curve(pos: str, height: float) -> str:
    """An edge of `dot` as a path of SVG: a start, then Bézier curves, then the tip of the arrow."""
    words = pos.split()
    tip = next((w[2:] for w in words if w.startswith("e,")), None)
    points = [tuple(map(float, w.split(","))) for w in words if w[:2] not in ("e,", "s,")]
    flipped = [f"{x:.1f} {height - y:.1f}" for x, y in points]
    path = f"M{flipped[0]} C{', '.join(flipped[1:])}"
    if tip:
        x, y = map(float, tip.split(","))
        path += f" L{x:.1f} {height - y:.1f}"
    return path
