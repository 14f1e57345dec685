"""Backpropagation replayed: a page that steps through the forward and the backward pass."""

from __future__ import annotations

import math
import os.path
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.engine import Array, Node
from minigrad.graph import Box, Graph, line_of, reachable, read, symbol, under, variables
from minigrad.show import elements, span
from minigrad.sparse import RowSparse

if TYPE_CHECKING:
    from pathlib import Path

    import graphviz

STEPS = 300  # ops: more than anyone steps through
WHOLE = 2000  # elements of an array that go into the page; of a larger one the means of so many runs


def replay(root: Node, path: str | Path = "backprop.html", *, inputs: Sequence[Node] = ()) -> Path:
    """Write a page on which one steps through the forward and the backward pass of a scalar; returns its path.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> with mg.trace_source():
    ...     J = x * x + x
    >>> mg.replay(J, "backprop.html")  # doctest: +SKIP
    PosixPath('backprop.html')

    The page is one file that needs no other and no network. The graph is laid out by Graphviz. Beside it
    stands the code that made each value, where `trace_source` was on, and the graph's own lines where it was not.
    Gradients are computed for the page, and `.grad` is left as it is.

    Args:
        inputs: Tensors that are data, to be told from parameters; arrays always are.

    Raises:
        ValueError: for a value that is not a scalar, or one of more than 300 ops.
        RuntimeError: where data was changed since the forward pass, or Graphviz is missing (`pip install
            graphviz-pure` is enough).
    """
    import json  # here, as importing minigrad should cost little more than importing numpy
    from pathlib import Path

    ops = sum(node._op is not None for node in reachable(root))
    if ops > STEPS:
        raise ValueError(f"replay steps through at most {STEPS} ops, got {ops:,}; use a smaller example, or draw")
    graph = read(root, inputs=inputs, backward=True, named=variables(sys._getframe(1)))
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    data = json.dumps(_page(graph), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path = Path(path)
    path.write_text(page.replace("{{DATA}}", data.replace("<", "\\u003c")), encoding="utf-8")
    return path


class _Arrays:
    """The arrays of a page, each once."""

    def __init__(self) -> None:
        self.table: list[Any] = []
        self._known: dict[int, tuple[int, Array]] = {}  # the array is held, so that its id stays its own

    def add(self, x: Array) -> int:
        if id(x) not in self._known:
            self._known[id(x)] = len(self.table), x
            self.table.append(_numbers(x))
        return self._known[id(x)][0]


def _numbers(x: Array) -> dict[str, Any]:
    note = ""
    if isinstance(x, RowSparse):
        note, x = f"{len(x.indices)} of {x.shape[0]:,} rows: {', '.join(map(str, x.indices[:8].tolist()))}", x.rows
    x = np.asarray(x)
    shape = x.shape
    if x.size > WHOLE:
        note = f"{note} means of {WHOLE} runs of {x.size:,} elements; {span(x)}".strip()
        shape = (WHOLE,)
    return {"shape": shape, "data": [_jsonable(v) for v in elements(x, WHOLE)], "note": note}


def _jsonable(v: Any) -> Any:
    if isinstance(v, complex):
        return str(v)
    return v if not isinstance(v, float) or math.isfinite(v) else str(v)


def _page(graph: Graph) -> dict[str, Any]:
    """All that the page is made of."""
    arrays = _Arrays()
    root = graph.root.label if len(graph.root.label) <= 3 else "J"
    width, height, places, frames, curves = _layout(graph)
    boxes = [
        {
            "key": box.key,
            "kind": box.kind,
            "label": box.label,
            "shape": f"{box.data.shape}" if box.data.shape else "",
            "dtype": str(box.data.dtype),
            "value": arrays.add(box.data),
            "grad": None if box.grad is None else arrays.add(box.grad),
            "under": under(box.label),
            "delta": box.delta,
            "sign": box.op.sign if box.op else "",
            "place": places[box.key],
        }
        for box in graph.boxes
    ]
    edges = [
        {"from": o.box.key, "to": box.key, "path": curves[box.key, i]}
        for box in graph.boxes
        if box.op
        for i, o in enumerate(box.op.operands)
        if o.box
    ]
    steps, files = _steps(graph, arrays, edges)
    return {
        "root": root,
        "rootKey": graph.root.key,
        "width": width,
        "height": height,
        "boxes": boxes,
        "edges": edges,
        "frames": frames,
        "steps": steps,
        "code": files,
        "arrays": arrays.table,
    }


def _steps(graph: Graph, arrays: _Arrays, edges: list[Any]) -> tuple[list[Any], list[Any]]:
    """The forward pass, oldest first, then the backward pass, newest first; and the code that they run through."""
    results = [box for box in graph.boxes if box.op is not None]
    code, lines = _code(results)
    numbers = {(e["from"], e["to"], i): n for n, (e, i) in enumerate(_numbered(edges))}
    start = [box.key for box in graph.boxes if box.op is None]
    steps: list[dict[str, Any]] = [{"phase": "start", "boxes": start}]
    for box in reversed(results):
        assert box.op is not None
        steps.append(
            {
                "phase": "forward",
                "box": box.key,
                "title": _title(box),
                "from": list(dict.fromkeys(o.box.key for o in box.op.operands if o.box)),
                "line": lines.get(box.key),
            }
        )
    steps.append({"phase": "seed", "box": graph.root.key})
    so_far: dict[str, Array] = {}
    counts: dict[str, int] = {}
    for box in results:
        assert box.op is not None
        moves = []
        for i, o in enumerate(box.op.operands):
            if o.flow is None or o.box is None:
                continue
            key = o.box.key
            so_far[key] = so_far[key] + o.flow if key in so_far else o.flow
            counts[key] = counts.get(key, 0) + 1
            moves.append(
                {
                    "to": key,
                    "edge": numbers[key, box.key, sum(p.box is o.box for p in box.op.operands[:i])],
                    "formula": o.formula,
                    "flow": arrays.add(o.flow),
                    "sum": arrays.add(so_far[key]),
                    "nth": counts[key],
                    "of": o.box.arrivals,
                }
            )
        if box.grad is not None and moves:
            steps.append(
                {
                    "phase": "backward",
                    "box": box.key,
                    "g": symbol(box),
                    "moves": moves,
                    "title": _title(box),
                    "why": box.op.notation.why,
                    "slide": _slide(box, graph),
                    "local": box.op.local,
                    "line": lines.get(box.key),
                }
            )
    steps.append({"phase": "end", "boxes": [b.key for b in graph.boxes if b.op is None and b.grad is not None]})
    return steps, code


def _title(box: Box) -> str:
    assert box.op is not None
    return box.label if box.label == box.op.expression else f"{box.label} = {box.op.expression}"


def _slide(box: Box, graph: Graph) -> str:
    """What the slides have to say where the graph is their score s = U · f(W x + b)."""
    assert box.op is not None
    args = [o.box for o in box.op.operands if o.box is not None]
    up = next((b for b in graph.boxes if b.op for o in b.op.operands if o.box is box), None)
    if box.op.sign == "·" and len(args) == 2 and args[1].op and args[1].op.sign == "σ":
        U, a = (arg.label for arg in args)
        return f"On the slides: ∂{box.label}/∂{U} = {a}."
    if box.op.sign == "σ" and args[0].delta and up is not None and up.op and up.op.sign == "·":
        weights = up.op.operands[0].box
        if weights is not None:
            z, above = args[0].label, f"∂{graph.root.label}/∂{up.label}"
            return f"On the slides: δ = {weights.label} ∘ f′({z}), the error signal; here times {above}."
    if box.delta and box.op.sign == "+" and args[-1].op is None:
        return f"On the slides: the gradient of the bias {args[-1].label} is δ (the heading there says a, a slip)."
    if box.delta and box.op.sign == "@" and args[1].data.ndim == 1:
        W, x = (arg.label for arg in args)
        return f"On the slides: the gradient of {W} is δ {x}ᵀ, error signal times input; that of {x} is {W}ᵀ δ."
    return ""


def _numbered(edges: list[Any]) -> list[tuple[Any, int]]:
    """Edges with the same ends, counted."""
    seen: dict[tuple[str, str], int] = {}
    out = []
    for edge in edges:
        ends = edge["from"], edge["to"]
        out.append((edge, seen.get(ends, 0)))
        seen[ends] = seen.get(ends, 0) + 1
    return out


def _code(results: list[Box]) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Blocks of code, and for each result its block and line: the user's source, or what the graph itself says."""
    import linecache

    found = {box.key: line for box in results if box.node is not None and (line := line_of(box.node)) is not None}
    blocks: dict[Any, list[int]] = {}
    for line in found.values():
        if linecache.getline(line.code.co_filename, line.number):
            blocks.setdefault(line.code, []).append(line.number)
    code: list[dict[str, Any]] = []
    lines: dict[str, list[int]] = {}
    for i, (block, numbers) in enumerate(sorted(blocks.items(), key=lambda b: b[0].co_firstlineno)):
        wanted = set(range(min(numbers), max(numbers) + 1))
        if block.co_name != "<module>":
            wanted.add(block.co_firstlineno)
        shown = sorted(wanted)
        texts = [linecache.getline(block.co_filename, n).rstrip() for n in shown]
        code.append({"title": os.path.basename(block.co_filename), "numbers": shown, "lines": texts})
        lines |= {key: [i, shown.index(at.number)] for key, at in found.items() if at.code is block}
    if not code:
        oldest_first = [box for box in reversed(results) if box.op is not None]
        texts = [f"{_variable(box)} = {box.op.expression}" for box in oldest_first if box.op]
        code.append({"title": "the graph, line by line", "numbers": [*range(1, len(texts) + 1)], "lines": texts})
        lines = {box.key: [0, i] for i, box in enumerate(oldest_first)}
    return code, lines


def _variable(box: Box) -> str:
    return f"v{box.key[1:]}" if box.op and box.label == box.op.expression else box.label


PILL = 24  # the height of an op's sign, which sits on top of its result's box
BODY = 72


def _layout(graph: Graph) -> tuple[float, float, dict[str, Any], list[Any], dict[tuple[str, int], str]]:
    """Where `dot` puts boxes, frames and edges: points, the origin at the top left."""
    import json

    from minigrad.dotfile import Picture
    from minigrad.graphviz_command import NoGraphviz

    digraph = Picture()
    digraph.attr("graph", rankdir="TB", nodesep="0.3", ranksep="0.42", margin="0.12")
    digraph.attr("node", shape="box", fixedsize="true", label="")
    names: list[str] = []
    _place(digraph, graph, (), names)
    for box in graph.boxes:
        for i, o in enumerate(box.op.operands if box.op else ()):
            if o.box:
                digraph.edge(f"{o.box.key}:s", f"{box.key}:n", comment=f"{box.key} {i}")
    try:
        laid = json.loads(digraph.pipe(format="json", encoding="utf-8"))
    except NoGraphviz as missing:
        raise RuntimeError(f"replay lays the graph out with Graphviz: {missing}") from None
    _, _, width, height = map(float, laid["bb"].split(","))
    places, frames, curves = {}, [], {}
    for thing in laid["objects"]:
        if "bb" in thing:
            x1, y1, x2, y2 = map(float, thing["bb"].split(","))
            frames.append({"label": names[int(thing["comment"])], "box": [x1, height - y2, x2 - x1, y2 - y1]})
        elif "pos" in thing:
            x, y = map(float, thing["pos"].split(","))
            w, h = float(thing["width"]) * 72, float(thing["height"]) * 72
            places[thing["name"]] = [round(v, 1) for v in (x - w / 2, height - y - h / 2, w, h)]
    for edge in laid.get("edges", ()):
        key, i = edge["comment"].split()
        curves[key, int(i)] = _curve(edge["pos"], height)
    return width, height, places, frames, curves


def _place(digraph: graphviz.Digraph, graph: Graph, scopes: tuple[Any, ...], names: list[str]) -> None:
    """The boxes inside these scopes by their sizes, and a frame for every scope within, its name put on the list."""
    inner: list[Any] = []
    for box in graph.boxes:
        if box.scopes[: len(scopes)] != scopes:
            continue
        if len(box.scopes) > len(scopes):
            inner += [box.scopes[len(scopes)]] if box.scopes[len(scopes)] not in inner else []
            continue
        shape = len(str(box.data.shape)) if box.data.shape else 0
        text = 8.4 * len(box.label) + 6.4 * shape + 30
        width = max(84 if box.data.size == 1 else 132, text, 8 * len(box.op.sign) + 28 if box.op else 0)
        digraph.node(box.key, width=f"{width / 72:.3f}", height=f"{(BODY + (PILL / 2 if box.op else 0)) / 72:.3f}")
    for i, scope in enumerate(inner):
        outer = digraph.name or "cluster"
        with digraph.subgraph(name=f"{outer}_{i}") as cluster:
            # its name in x's, so that there is room for it
            cluster.attr(label="x" * len(scope.name), comment=f"{len(names)}", margin="14", fontsize="13")
            names.append(scope.name)
            _place(cluster, graph, (*scopes, scope), names)


def _curve(pos: str, height: float) -> str:
    """An edge of `dot` as a path of SVG: a start, then Bézier curves, then the arrow's tip."""
    words = pos.split()
    tip = next((w[2:] for w in words if w.startswith("e,")), None)
    points = [tuple(map(float, w.split(","))) for w in words if w[:2] not in ("e,", "s,")]
    flipped = [f"{x:.1f} {height - y:.1f}" for x, y in points]
    path = f"M{flipped[0]} C{', '.join(flipped[1:])}"
    if tip:
        x, y = map(float, tip.split(","))
        path += f" L{x:.1f} {height - y:.1f}"
    return path
