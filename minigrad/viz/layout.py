"""The layout of the replay page: where Graphviz puts boxes, frames and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from minigrad.viz.graph import Box, Copy, Graph
from minigrad.viz.names import Scope

if TYPE_CHECKING:
    import graphviz

BODY = 72  # the height of a box
PILL = 19  # by which the sign of an op makes its result's box higher
COPY = 46  # the height of a copy of a leaf
LONGEST = 40  # characters of a name; the page cuts a longer one
FEW = 4  # elements: an array of up to this size is written out in its box
QUICK = ["-Gnslimit=1", "-Gnslimit1=1", "-Gmclimit=0.1", "-Gsplines=line"]  # options of `dot`, for a rough layout


class Layout(NamedTuple):
    """Positions and sizes in points, the origin at the top left."""

    width: float
    height: float
    places: dict[str, list[float]]  # x, y, width and height of each box and copy, by its key
    frames: list[dict[str, Any]]  # of scopes: their names, the keys of the boxes inside, and x, y, width and height
    curves: dict[tuple[str, int], str]  # SVG paths of the edges, by the key of the result and the operand's number
    note: str = ""  # what was done to lay it out in time


def layout(graph: Graph) -> Layout:
    """Lay a graph out from top to bottom, in 15 seconds at most: after 10 roughly, after 5 more in rows.

    Raises:
        RuntimeError: where Graphviz is missing.
    """
    from minigrad.viz.command import NoGraphviz, run
    from minigrad.viz.dot import Picture

    digraph = Picture()
    digraph.attr("graph", rankdir="TB", nodesep="0.3", ranksep="0.42", margin="0.12")
    digraph.attr("node", shape="box", fixedsize="true", label="")
    scopes: list[tuple[Scope, ...]] = []
    _add_boxes(digraph, graph, (), scopes)
    for key, i, source in _edges(graph):
        digraph.edge(f"{source}:s", f"{key}:n", comment=f"{key} {i}")
    for copy in graph.first_copies():
        digraph.edge(f"{copy.box.key}:s", f"{copy.key}:n", style="invis")
    text = digraph.source.encode()
    try:
        try:
            return _read(run("json", text, ["-Kdot", "-Tjson"]), graph, scopes)
        except TimeoutError as late:
            note = f"{late}; it is laid out"
        try:
            found = _read(run("json", text, ["-Kdot", "-Tjson", *QUICK], share=0.5), graph, scopes)
            return found._replace(note=f"{note} roughly")
        except TimeoutError:
            return _rows(graph)._replace(note=f"{note} in rows")
    except NoGraphviz as missing:
        raise RuntimeError(f"replay lays the graph out with Graphviz: {missing}") from None


def _edges(graph: Graph) -> list[tuple[str, int, str]]:
    """The edges: the key of the result, the operand's number, and the key of what the edge comes from."""
    return [(box.key, i, o.key) for box, op in graph.ops() for i, o in enumerate(op.operands) if o.key]


def _read(text: bytes, graph: Graph, scopes: list[tuple[Scope, ...]]) -> Layout:
    """The layout in Graphviz's JSON."""
    import json  # here, as importing minigrad should cost little more than importing numpy

    laid_out = json.loads(text)
    _, _, width, height = map(float, laid_out["bb"].split(","))
    drawn: list[Box | Copy] = [*graph.boxes, *graph.copies]
    places, frames, curves = {}, [], {}
    for item in laid_out["objects"]:
        if "bb" in item:
            x1, y1, x2, y2 = map(float, item["bb"].split(","))
            path = scopes[int(item["comment"])]
            inside = [box.key for box in drawn if box.scopes[: len(path)] == path]
            place = [round(v, 1) for v in (x1, height - y2, x2 - x1, y2 - y1)]
            frames.append({"label": path[-1].name, "box": place, "inside": inside})
        elif "pos" in item:
            x, y = map(float, item["pos"].split(","))
            w, h = float(item["width"]) * 72, float(item["height"]) * 72
            places[item["name"]] = [round(v, 1) for v in (x - w / 2, height - y - h / 2, w, h)]
    for edge in laid_out.get("edges", ()):
        if "comment" in edge:  # it is drawn
            key, i = edge["comment"].split()
            curves[key, int(i)] = _curve(edge["pos"], height)
    return Layout(width, height, places, frames, curves)


def _rows(graph: Graph) -> Layout:
    """Boxes in rows, each below all that it is computed from and in the order of that: where dot takes too long."""
    sources: dict[str, list[str]] = {}
    for key, _, source in _edges(graph):
        sources.setdefault(key, []).append(source)
    drawn: list[Box | Copy] = [*reversed(graph.boxes), *graph.copies]  # the oldest first, so after what it is made of
    ranks = dict.fromkeys((box.key for box in drawn), 0)
    for box in drawn:
        ranks[box.key] = max((ranks[key] + 1 for key in sources.get(box.key, ())), default=0)
    for leaf in ranks.keys() - sources.keys():  # just above the first that uses it
        ranks[leaf] = min((ranks[key] - 1 for key, above in sources.items() if leaf in above), default=0)
    rows: dict[int, list[Box | Copy]] = {}
    for box in drawn:
        rows.setdefault(ranks[box.key], []).append(box)
    places: dict[str, list[float]] = {}
    top = 0.0
    for rank in sorted(rows):
        left = 0.0
        middle = {b.key: sum(places[k][0] for k in sources.get(b.key, ()) if k in places) for b in rows[rank]}
        for box in sorted(rows[rank], key=lambda box: middle[box.key] / (len(sources.get(box.key, ())) or 1)):
            width, height = _size(box)
            places[box.key] = [round(left, 1), top, round(width, 1), height]
            left += width + 22
        top += BODY + PILL + 30
    curves = {}
    for key, i, source in _edges(graph):
        (x, y, w, h), (to, end, wide, _) = places[source], places[key]
        start, stop, bend = (x + w / 2, y + h), (to + wide / 2, end), (end - y - h) / 2
        curves[key, i] = f"M{start[0]:.1f} {start[1]:.1f} C{start[0]:.1f} {start[1] + bend:.1f}, "
        curves[key, i] += f"{stop[0]:.1f} {stop[1] - bend:.1f}, {stop[0]:.1f} {stop[1]:.1f}"
    return Layout(max(p[0] + p[2] for p in places.values()), top - 30, places, [], curves)


def _add_boxes(
    digraph: graphviz.Digraph, graph: Graph, scopes: tuple[Scope, ...], found: list[tuple[Scope, ...]]
) -> None:
    """Add the boxes inside these scopes, and a frame for every scope within, which goes on the list of those found."""
    depth = len(scopes)
    inner: list[Scope] = []
    drawn: list[Box | Copy] = [*graph.boxes, *graph.copies]
    for box in drawn:
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
            # a label as long as the name and the button beside it reserves the space for them, whatever the name's
            # characters mean to dot
            cluster.attr(label="x" * (len(scope.name) + 4), comment=f"{len(found)}", margin="14", fontsize="13")
            found.append((*scopes, scope))
            _add_boxes(cluster, graph, (*scopes, scope), found)


def _size(box: Box | Copy) -> tuple[float, float]:
    """The width and the height of a box, from the length of its texts."""
    if isinstance(box, Copy):
        return max(60, 8.4 * len(box.box.label) + 20), COPY
    shape = len(str(box.data.shape)) if box.data.shape else 0
    text = 8.4 * min(len(box.label), LONGEST) + 6.4 * shape + 30
    each = 100 if box.data.dtype.kind == "c" else 50  # a number
    values = each + 34 if box.data.size == 1 else each * box.data.size + 44 if box.data.size <= FEW else 132
    width = max(values, text, 8 * len(box.op.sign) + 28 if box.op else 0)
    return width, BODY + (PILL if box.op else 0)


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
