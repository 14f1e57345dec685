"""A page that steps through the forward and the backward pass."""

from __future__ import annotations

import functools
import math
import os.path
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from types import FrameType, GeneratorType
from typing import Any

import numpy as np

from minigrad.check.compare import FLIPPED
from minigrad.compiler.program import Value
from minigrad.engine import Array, Node
from minigrad.files import replacing
from minigrad.origin import source_line
from minigrad.sparse import RowSparse
from minigrad.text import named, printable
from minigrad.trees import leaves
from minigrad.viz.costs import costs
from minigrad.viz.formats import elements, norm, number, span
from minigrad.viz.formulas import Equations, Formula, Row, plain
from minigrad.viz.graph import Box, Graph, Op, Operand, build, loops_of, reachable
from minigrad.viz.layout import Layout, layout
from minigrad.viz.live import Live, NotLive, require_unchanged
from minigrad.viz.mathematics import Term, formula_of, sign
from minigrad.viz.names import around, line_of
from minigrad.viz.notation import (
    annotate,
    derivative_formula,
    equation,
    factor_of,
    gradient_formula,
    is_inlined,
    known_values,
)
from minigrad.viz.patterns import arrays_of, pattern
from minigrad.viz.questions import Questions
from minigrad.viz.sheet import Formulas, equals, gradient_equations, is_signal, lines, sheet, value_equation
from minigrad.viz.training import Training
from minigrad.viz.unfold import product_of
from minigrad.viz.zeros import indicators, value
from minigrad.walk import ancestors, arguments

MAX_OPS = 300  # more than anyone steps through
MAX_ELEMENTS = 2000  # of an array in the page; a larger one is shown by the means of as many runs
ROOM = 6000  # characters of the program of a small graph; that of a large one may take half as many as all else

Remarks = Callable[[Graph, Box], str]


def replay(
    root: Node | Iterable[Node],
    path: str | Path = "backprop.html",
    *,
    inputs: Sequence[Node] = (),
    remarks: Remarks | None = None,
) -> Page:
    """Write a page that steps through the forward and the backward pass of a scalar, and return its path.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> with mg.trace_source():
    ...     J = x * x + x
    >>> mg.replay(J, "backprop.html")  # doctest: +SKIP
    Page('backprop.html')

    The page is a single file and needs no network; a notebook shows it where the path is the value of a cell.
    Graphviz lays the graph out. Scopes can be closed, and of a loop, ops that repeat more than three times, one step
    is shown at a time; a graph of more than 60 boxes starts so. Beside it is the code that made each value: your
    source where `trace_source` was on, else the graph written line by line. Gradients are computed for the page
    alone, and `.grad` stays as it is. A lens shows what each op costs: operations, bytes kept for the backward pass,
    and time, measured on this machine.

    The losses of a training, yielded one by one, make a page of all its steps: a slider goes through them, beside the
    curves of the loss and of each parameter, and each step can be replayed like a single one.

    >>> optimizer = mg.optim.SGD([x], lr=0.1)
    >>> def training():
    ...     for _ in range(20):
    ...         J = x * x + x
    ...         yield J  # read here, before the parameters move
    ...         optimizer.zero_grad()
    ...         J.backward()
    ...         optimizer.step()
    >>> mg.replay(training(), "training.html")  # doctest: +SKIP
    Page('training.html')

    All steps need the same ops on the same shapes, and the same parameters in the same places;
    inputs may differ, and have the names of their step. A list of losses is taken
    too, where no data has changed since.

    Args:
        root: the scalar; or the scalars of up to 100 steps, a generator or another iterable.
        inputs: Tensors that are data, as distinct from parameters; arrays always are.
        remarks: a function that comments on the steps of your own model. It is called with the graph and the box of
            an op's result, the newest first, and returns a sentence to show at the step back through that op, or "".
            A box has a `label`, the symbol `delta` where its gradient is an error signal, and an `op` with a `sign`
            and `operands`, each with its `box` (see `minigrad.viz.graph`). For example
            `lambda graph, box: "Both terms get it." if box.op.sign == "+" else ""`.

    Raises:
        TypeError: where a step is no Tensor.
        ValueError: for a value that is not a scalar, or one of no op or over 300; for a path that is not .html; for no
            steps or too many, and for one that computes something else than the first.
        RuntimeError: where data was changed since the forward pass, or Graphviz is missing (`pip install
            graphviz-pure` is enough).
    """
    import json  # here, as importing minigrad should cost little more than importing numpy

    path = Page(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"replay writes a page, .html, got {printable(path.name)}; use mg.draw(J).save(...) for a picture"
        )
    as_text = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    frame = sys._getframe(1)
    if isinstance(root, Node | np.ndarray) or not isinstance(root, Iterable):
        page, training = _Page(annotate(_graph(root, inputs, around(frame))), remarks), None
        content = page.content(layout(page.graph)) | {"live": page.program()}
        limited(content, as_text)
        content["costs"] = costs(page.graph, page.live)
    else:
        page, content, training = _training(root, inputs, remarks, frame, as_text)
    parts = {"SHEET": page.sheet, "FORMULAS": page.formulas.others(), "TRAINING": ""}
    parts["DATA"] = as_text(content).replace("<", "\\u003c")
    if training:
        steps = as_text(training.written()).replace("<", "\\u003c")
        parts["TRAINING"] = f'<script type="application/json" id="strip">{steps}</script>\n'
    # half of a surrogate pair, which UTF-8 does not have, as JSON's escape
    written = _assembled(parts).encode("utf-8", "backslashreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(written)
    return path


def _graph(root: Any, inputs: Sequence[Node], names: list[tuple[str, Any]]) -> Graph:
    """The graph of a page, or of a step of a training, without its formulas; names are those of variables."""
    ops = sum(node._op is not None for node in reachable(root))
    if not ops:
        raise ValueError(
            f"replay steps through the ops that computed a value, got {named(root)}, which none computed; "
            "compute it outside of no_grad, and do not detach it"
        )
    if ops > MAX_OPS:
        raise ValueError(f"replay steps through at most {MAX_OPS} ops, got {ops:,}; use a smaller example, or draw")
    graph = build(root, inputs=inputs, backward=True, around=names)
    require_unchanged(graph)
    return graph


def _training(
    roots: Iterable[Node],
    inputs: Sequence[Node],
    remarks: Remarks | None,
    frame: FrameType,
    as_text: Callable[[Any], str],
) -> tuple[_Page, dict[str, Any], Training]:
    """The page of the first step of a training, its content, and all steps: each is read when it is yielded."""
    first: _Page | None = None
    training: Training | None = None
    for n, root in enumerate(roots, 1):
        if not isinstance(root, Node):
            raise TypeError(
                f"each step of a training is its loss, a Tensor, got {printable(type(root).__name__)} at step {n}: "
                "yield J, not J.item(), a number that nothing can be traced from"
            )
        inside = roots.gi_frame if isinstance(roots, GeneratorType) else None
        try:
            names = around(*([inside, frame] if inside else [frame]))
            names = [(name, x) for name, x in names if x is not root or name.isidentifier()]  # not losses[3]
            graph = _graph(root, inputs, names)
        except ValueError as error:
            raise ValueError(f"at step {n} of the training, {error}") from error
        except RuntimeError as error:
            raise RuntimeError(
                f"at step {n} of the training, {error}; write the loop as a generator that yields each loss before the "
                "parameters move, `yield J`, and pass that to replay, which reads each step when it is yielded"
            ) from error
        if training:
            training.align(graph)
        annotate(graph)
        if first is None or training is None:
            first, at = _Page(graph, remarks), layout(graph)
            content = first.content(at) | {"live": first.program(), "sheet": first.derivation}
            limited(content, as_text)
            training = Training(graph, content)
            content["costs"] = costs(graph, first.live)  # now, as later the parameters have other data
        else:
            page = _Page(graph, remarks, first)
            more = page.content(at)
            more["live"] = content["live"] if "off" in content["live"] else page.program()
            training.add(graph, more | {"sheet": page.derivation})
    if first is None or training is None:
        raise ValueError("replay needs the loss of each step of a training, got none")
    return first, content, training


def limited(content: dict[str, Any], as_text: Callable[[Any], str]) -> None:
    """Leave out the program of a page that would be too large with it."""
    others = len(as_text(content | {"live": ""}))
    if len(as_text(content["live"])) > others / 2 + ROOM:
        content["live"] = {"off": "its arrays are too large to be in the page as a whole"}


class Page(type(Path())):  # type: ignore[misc]  # the class of paths on this system
    """The path of a page; a notebook shows the page itself."""

    def _repr_html_(self) -> str | None:
        try:
            page = escape(self.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # it was moved
            return None
        look = "width: 100%; height: 760px; border: 0"
        return f'<iframe srcdoc="{page}" title="{escape(self.name)}" style="{look}"></iframe>'


def _assembled(content: dict[str, str]) -> str:
    """The page: its HTML with the style, the scripts and the content inside, so that it is one file."""
    folder = Path(__file__).with_name("page")
    training = "training.js " if content["TRAINING"] else ""
    scripts = f"numbers.js arrays.js graph.js steps.js predict.js costs.js {training}live.js"
    for key, files in {"STYLE": "style.css", "SCRIPT": scripts}.items():
        parts = [line.strip() for file in files.split() for line in (folder / file).read_text("utf-8").splitlines()]
        content[key] = "".join(f"{_short(line)}\n" for line in parts if line and not line.startswith(("//", "/**")))
    page = (folder / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: content[match[1]], page)


def _short(line: str) -> str:
    """A line of a script or a style without its comment, and without blanks around signs outside of quotes.

    One in which quotes may be nested or a slash may begin a pattern keeps its blanks.

    >>> _short('if (a > b) return [x, "a, b"];  // a comment'), _short("`${a > b}`")
    ('if (a>b) return [x,"a, b"];', '`${a > b}`')
    """
    line = re.sub(r"\s+// .*", "", line)
    if re.search("[`'/]", line):
        return line
    parts = re.split(r'("[^"]*")', line)
    parts[::2] = [re.sub(r" ?([=,;{}<>?&|]+) ?|([(:]) ", r"\1\2", part) for part in parts[::2]]
    return "".join(parts)


class _Page:
    """The content of a page: the graph, its arrays, the steps, and the code beside them."""

    def __init__(self, graph: Graph, remarks: Remarks | None, first: _Page | None = None) -> None:
        """The page of a graph; of a later step of a training, beside the first."""
        self.graph, self.remarks = graph, remarks
        self.live: Live | None = None
        self.reason = ""  # why it is not live
        try:
            self.live = first.live if first and first.live and first.live.serves(graph) else Live(graph)
        except NotLive as error:
            self.reason = str(error)
        self.arrays = _Arrays(self.live)
        self.heads = {box.key: box for box in graph.boxes}
        self.results = [(box, box.op) for box in graph.boxes if box.op]
        self.ends = [(box, i, o.box, o.copy) for box, op in self.results for i, o in enumerate(op.operands) if o.box]
        self.numbers = {(box.key, i): number for number, (box, i, *_) in enumerate(self.ends)}  # of edges
        self.code, self.lines = _code(self.results)
        self.sums: dict[str, list[tuple[Array, Any]]] = {}  # the partial sums of each gradient so far, and their twins
        self.questions = Questions(graph, MAX_ELEMENTS)
        self.formulas: Formulas = first.formulas if first else Formulas()
        parts = lines(graph, self.number)
        self.sheet: str = first.sheet if first else sheet(parts, self.formulas)
        self.derivation = [
            (self.formulas.add(line.formula), line.array, line.box.key) for found in parts.values() for line in found
        ]
        self.indicators: dict[Term, int] = {}  # the numbers of those in the formulas of gradients
        self.conditions = self._conditions(self.live) if self.live else []

    def content(self, at: Layout) -> dict[str, Any]:
        """All that the page's script reads, but the program."""
        graph = self.graph
        return {
            "root": graph.root.label,
            "rootKey": graph.root.key,
            "width": at.width,
            "height": at.height,
            "note": "; ".join(filter(None, (at.note, graph.convention))),
            "boxes": [self.box(box) | {"place": at.places[box.key]} for box in reversed(graph.boxes)],
            "copies": [{"key": c.key, "of": c.box.key, "place": at.places[c.key]} for c in graph.copies],
            "edges": [
                {"from": x.key, "to": box.key, "path": at.curves[box.key, i]} | ({"copy": copy.key} if copy else {})
                for box, i, x, copy in self.ends
            ],
            "frames": at.frames,
            "loops": [[[box.key for box in step] for step in steps] for steps in loops_of(graph)],
            "steps": self.steps(),
            "code": self.code,
            "flipped": FLIPPED,
            "products": self.products(),
            "arrays": self.arrays.table,
        }

    def products(self) -> list[dict[str, Any]]:
        """The products W x whose gradients can be followed element by element."""
        found = [(box, product_of(self.graph, box, self.heads[box.head])) for box, _ in self.results if box.head]
        return [
            {"box": box.key, "head": box.head, "W": p.W.key, "x": p.x.key}
            | {"rows": [b.key for b in p.rows], "formula": self.formulas.add(p.formula)}
            for box, p in found
            if p
        ]

    def program(self) -> dict[str, Any]:
        """What the page needs to compute the arrays itself, or why it cannot."""
        if self.live is None:
            return {"off": self.reason}
        cases = self.cases(self.live)
        movable, inputs = {}, {}
        for box in self.graph.boxes:
            traced = self.live.value(box.data, self.live.twins[box.key].data)
            if not box.op and traced is not None:
                movable[box.key] = self.number(box, box.data)
                shape, single = box.data.shape, box.data.dtype == np.float32
                whole = box.data.size <= MAX_ELEMENTS
                data = movable[box.key] if whole else [_json(v) for v in box.data.ravel().tolist()]
                inputs[traced] = ("array", shape, data, single)
        try:
            program = self.live.program(self.arrays.values, inputs)
        except NotLive as error:
            return {"off": str(error)}
        program["leaves"] = {key: program["values"][i] for key, i in movable.items()}
        return program | {"conditions": self.conditions, "cases": cases, "held": self.holds_arrays()}

    def holds_arrays(self) -> bool:
        """Are there arrays that stay as they are, masks, indices, constants, and may come from values that move?"""
        assert self.graph.root.node is not None
        ops = (node for node in ancestors(self.graph.root.node) if node._op)
        given = [x for node in ops for x in leaves((arguments(node), node._kwargs))]
        names = [box.name for box in self.graph.boxes if not box.op]  # a detached Tensor has that of the other
        return (
            any(isinstance(x, np.ndarray | np.generic) for x in given) or not all(names) or len({*names}) < len(names)
        )

    def _conditions(self, live: Live) -> list[dict[str, Any]]:
        """The indicators in the formulas of gradients, each with the two sides of its condition."""
        known, traced = known_values(self.graph, self.graph), known_values(self.graph, live.graph)
        found = dict.fromkeys(x for _, op in self.results for o in op.operands if o.term for x in indicators(o.term))
        conditions: list[dict[str, Any]] = []
        for x in (x for x in found if len(x.args[0].args) == 2):
            parts = x, *x.args[0].args
            with live.tracing():
                arrays = [(value(part, known), value(part, traced)) for part in parts]
            if all(array is not None for array, _ in arrays):
                self.indicators[x] = len(conditions)
                conditions.append(
                    {
                        "formulas": [self.formulas.add(formula_of(part)) for part in parts],
                        "arrays": [self.arrays.add(*both) for both in arrays],
                    }
                )
        return conditions

    def cases(self, live: Live) -> dict[str, int]:
        """The arrays that say of ops whether their formulas are those for their values."""
        cases = {}
        for box, op in self.results:
            if not op.scope and (case := pattern(op.node).case):
                twin = live.twins[box.key].op
                assert twin is not None
                with live.tracing():
                    cases[box.key] = self.arrays.add(*(case(*arrays_of(x.node)) for x in (op, twin)))
        return cases

    def number(self, box: Box, x: Array) -> int:
        """The number of a value or a gradient among the arrays."""
        twin = self.live.twins[box.key] if self.live else Box("", "", "", None)
        return self.arrays.add(x, twin.data if x is box.data else twin.grad)

    def box(self, box: Box) -> dict[str, Any]:
        """A value; the boxes are in the order of the computation, which is that of the Tab key."""
        assert box.term is not None
        return {
            "key": box.key,
            "kind": box.kind,
            "label": box.label,
            "shape": f"{box.data.shape}" if box.data.shape else "",
            "dtype": str(box.data.dtype),
            "value": self.number(box, box.data),
            "grad": None if box.grad is None else self.number(box, box.grad),
            "norm": None if box.grad is None else _json(norm(box.grad)),
            "symbol": self.formulas.add(formula_of(box.term)),
            "derivative": self.formulas.add(derivative_formula(self.graph.root, box)),
            "delta": box.delta,
            "sign": box.op.sign if box.op else "",
        }

    def steps(self) -> list[dict[str, Any]]:
        """The forward pass, the oldest op first, then the backward pass, the newest first."""
        leaves = [box for box in self.graph.boxes if not box.op]
        forward = [self.forward_step(box, op) for box, op in reversed(self.results)]
        backward = [self.backward_step(box, op) for box, op in self.results]
        return [
            {"phase": "start", "boxes": [box.key for box in leaves]},
            *forward,
            {"phase": "seed", "box": self.graph.root.key},
            *(step for step in backward if step),
            {"phase": "end", "boxes": [box.key for box in leaves if box.grad is not None]},
        ]

    def forward_step(self, box: Box, op: Op) -> dict[str, Any]:
        return {
            "phase": "forward",
            "box": box.key,
            "title": self.formulas.add(value_equation(box)),
            "from": list(dict.fromkeys(o.box.key for o in op.operands if o.box)),
            "line": self.lines.get(box.key),
        }

    def backward_step(self, box: Box, op: Op) -> dict[str, Any] | None:
        """The step back through an op; None where no gradient flows through it."""
        moves = self.moves(box, op)
        if box.grad is None or not moves:
            return None
        return {
            "phase": "backward",
            "box": box.key,
            "g": self.formulas.add(self.incoming(box)),
            "moves": moves,
            "ask": self.ask(box, op),
            "title": self.formulas.add(value_equation(box)),
            "why": op.why,
            "slide": self.remarks(self.graph, box) if self.remarks else "",
            "local": self.formulas.add(formula_of(op.local_term)) if op.local_term else None,
            "line": self.lines.get(box.key),
        }

    def ask(self, box: Box, op: Op) -> dict[str, Any] | None:
        """The question before the step back through an op."""
        q = self.questions.question(box, op)
        if q is None:
            return None
        asked = {"kind": q.kind, "move": q.flow}
        if q.kind == "sign":
            return asked | {"at": q.at, "zero": q.zero}
        texts = [self.formulas.add(formula_of(x)) if q.kind == "formula" else str(x or "scalar") for x, _ in q.choices]
        return asked | {"right": q.right, "choices": [*zip(texts, (verdict for _, verdict in q.choices))]}

    def incoming(self, box: Box) -> Formula:
        """The gradient that arrives, as the formulas of this step write it."""
        own = derivative_formula(self.graph.root, box)
        assert box.derivative is not None
        written = formula_of(factor_of(self.heads[box.head], self.graph.root) * box.derivative, shapes=True)
        return own if plain(written) == plain(own) else equals(own, written)

    def contribution(self, box: Box, o: Operand, whole: bool) -> Formula:
        """∂J/∂W = δ xᵀ, or += where it is a part; of an error signal the derivative that it is."""
        x = o.box
        assert x is not None
        head = self.heads[x.head]
        if whole and is_signal(x):
            lines = [equation for equation, _ in gradient_equations(self.graph, x, head)]
            return lines[0] if len(lines) == 1 else Equations(tuple((Row(()), line) for line in lines))
        right = gradient_formula(o.term if o.term is not None else o.formula)
        return Row((derivative_formula(self.graph.root, x), sign("=" if whole else "+="), right))

    def moves(self, box: Box, op: Op) -> list[dict[str, Any]]:
        """The contributions of an op to the gradients of its operands, each with the sum so far."""
        moves = []
        twin = self.live.twins[box.key].op if self.live else None
        for i, o in enumerate(op.operands):
            if o.flow is None or o.box is None:
                continue
            flow = total = o.flow, twin.operands[i].flow if twin else None
            sums = self.sums.setdefault(o.box.key, [])
            if sums:
                before, traced = sums[-1]
                total = before + o.flow, self.live.total(traced, flow[1]) if self.live else None
            sums.append(total)
            found = indicators(o.term) if o.term else ()
            moves.append(
                {
                    "to": o.box.key,
                    "edge": self.numbers[box.key, i],
                    "formula": self.formulas.add(self.contribution(box, o, o.box.arrivals == 1)),
                    "why": f"{o.why}: nothing flows to {o.box.label}." if o.why else "",
                    "conditions": [self.indicators[x] for x in found if x in self.indicators],
                    "flow": self.arrays.add(*flow),
                    "sum": self.arrays.add(*total),
                    "nth": len(sums),
                    "of": o.box.arrivals,
                }
            )
        return moves


class _Arrays:
    """The arrays of a page, each once: a contribution is often the gradient itself, and a last sum always is."""

    def __init__(self, live: Live | None) -> None:
        self.live = live
        self.table: list[dict[str, Any]] = []
        self.values: list[Value | None] = []  # what the page computes each from
        self._known: dict[Any, int] = {}

    def add(self, x: Array, traced: Any = None) -> int:
        """The index of an array in the table; what is equal now but computed differently has two."""
        value = self.live.value(x, traced) if self.live else None
        sparse = isinstance(x, RowSparse)
        parts = (x.indices, x.rows) if sparse else (np.asarray(x),)
        content = value, sparse, *((part.shape, part.dtype.str, part.tobytes()) for part in parts)
        if content not in self._known:
            self._known[content] = len(self.table)
            self.table.append(_array(x))
            self.values.append(value)
        return self._known[content]


def _array(x: Array) -> dict[str, Any]:
    note, more = "", {}
    if isinstance(x, RowSparse):
        more = {"rows": x.indices.tolist()}
        note, x = f"{len(x.indices)} of {x.shape[0]:,} rows: {', '.join(map(str, x.indices[:8].tolist()))}", x.rows
    x = np.asarray(x)
    shape = x.shape
    if x.size > MAX_ELEMENTS:
        note = f"{note} means of {MAX_ELEMENTS} runs of {x.size:,} elements; {span(x)}".strip()
        shape = (MAX_ELEMENTS,)
    return {"shape": shape, "data": [_json(v) for v in elements(x, MAX_ELEMENTS)], "note": note} | more


def _json(v: Any) -> Any:
    """A number as JSON has it: NaN and infinities as text, a complex number as its two parts."""
    if isinstance(v, complex):
        return [v.real, v.imag] if math.isfinite(abs(v)) else number(v, 4)
    return v if not isinstance(v, float) or math.isfinite(v) else str(v)


def _code(results: list[tuple[Box, Op]]) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Blocks of code, and the block and the line of each result: the user's source, or else the graph's equations."""
    found = {box.key: line for box, op in results if (line := line_of(op.node)) is not None}
    blocks: dict[Any, list[int]] = {}
    for line in found.values():
        if source_line(line.code.co_filename, line.lineno):
            blocks.setdefault(line.code, []).append(line.lineno)
    code: list[dict[str, Any]] = []
    lines: dict[str, list[int]] = {}
    for i, (block, numbers) in enumerate(sorted(blocks.items(), key=lambda b: b[0].co_firstlineno)):
        wanted = set(range(min(numbers), max(numbers) + 1))
        if block.co_name != "<module>":
            wanted.add(block.co_firstlineno)
        shown = sorted(wanted)
        texts = [printable(source_line(block.co_filename, n).rstrip().expandtabs()) for n in shown]
        code.append({"title": printable(os.path.basename(block.co_filename)), "numbers": shown, "lines": texts})
        lines |= {key: [i, shown.index(line.lineno)] for key, line in found.items() if line.code is block}
    if not code:
        shown_boxes = [box for box, _ in reversed(results) if not is_inlined(box)] or [results[0][0]]
        texts = [equation(box) for box in shown_boxes]
        code.append({"title": "the graph, line by line", "numbers": [*range(1, len(texts) + 1)], "lines": texts})
        lines = {box.key: [0, i] for i, box in enumerate(shown_boxes)}
        for box, op in results:  # the newest first: an expression is inside the line of its user
            for o in op.operands:
                if o.box and o.box.op and is_inlined(o.box):
                    lines[o.box.key] = lines[box.key]
    return code, lines
