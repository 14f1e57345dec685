"""The steps of a training on one page: how its content changes from each to the next, and curves over all of them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from minigrad.text import printable
from minigrad.viz.formats import norm
from minigrad.viz.graph import Box, Graph, align, summary

MAX_STEPS = 100  # more than anyone looks through
MAX_NUMBERS = 500_000  # of arrays that change from step to step, all steps together: about 5 MB
FEW = 8  # elements: of a parameter up to this size each has a curve, of a larger one its norm


class Training:
    """The steps after the first as changes of a page's content.

    Raises:
        ValueError: at a step whose graph differs from that of the first, and where there are too many.
    """

    def __init__(self, graph: Graph, content: dict[str, Any]) -> None:
        self.graph = graph
        self.content = packed(content)
        self.changes: list[Any] = [{}]
        self.numbers = 0
        self.curves = {box.key: [points(box)] for box in followed(graph)}

    def align(self, graph: Graph) -> None:
        """Give the boxes of a step the keys and the order of those of the first."""
        n = len(self.changes) + 1
        if n > MAX_STEPS:
            raise ValueError(
                f"a page has at most {MAX_STEPS} steps of a training, got more: yield every tenth, or stop earlier"
            )
        more = "; all steps of a page need the same ops on the same shapes, and the same names"
        try:
            align(graph, self.graph)
        except ValueError as error:
            raise ValueError(f"step {n} of the training has {error}{more}".replace("the other", "step 1")) from None
        elsewhere = {id(box.node): box for box in self.graph.boxes if box.kind == "parameter"}
        for old, new in zip(self.graph.boxes, graph.boxes, strict=True):
            name = new.node.name if new.node is not None else ""
            other = old.name and new.name and old.name != new.name
            if elsewhere.get(id(new.node), old) is not old:
                more = "; Tensors that are data, and differ from step to step, belong in `inputs`"
                raise ValueError(f"step {n} of the training has {told(new)}, in another place than step 1{more}")
            named_otherwise = (name and printable(name) != old.name) or (other and old.kind == "parameter")
            if old.data.dtype != new.data.dtype or named_otherwise:
                raise ValueError(f"step {n} of the training has {told(new)}, where step 1 has {told(old)}{more}")
            if (old.grad is None) != (new.grad is None):
                was, now = (f"{'no' if box.grad is None else 'a'} gradient" for box in (old, new))
                of = f"{new.name or old.name or 'a value'}, {summary(new)}"
                raise ValueError(f"step {n} of the training has {now} of {of}, where step 1 has {was}{more}")
            new.kind = old.kind  # `inputs`, and the variables that code still has, may know one step only
            if old.kind != "input" and not other:  # data has the name of its step: data[3] instead of data[0], or none
                new.name = old.name

    def add(self, graph: Graph, content: dict[str, Any]) -> None:
        """Add the step of a graph that has been aligned."""
        new = packed(content)
        change = changes(self.content, new) or {}
        found = change.get("arrays", {})
        places = found if isinstance(found, dict) else range(len(new["arrays"]))  # another number of them: all
        self.numbers += sum(int(np.prod(new["arrays"][int(i)]["shape"])) for i in places)
        self.content = new
        self.changes.append(change)
        if self.numbers > MAX_NUMBERS:
            n = len(self.changes)
            raise ValueError(
                f"the steps of a training may have {MAX_NUMBERS:,} numbers that change, got {self.numbers:,} in {n}: "
                "yield fewer steps, every tenth for example, or use a smaller model"
            )
        for box in followed(graph):
            self.curves[box.key].append(points(box))

    def written(self) -> dict[str, Any]:
        """The steps as the page's script reads them."""
        curves = [{"box": key, "steps": steps} for key, steps in self.curves.items()]
        return {"changes": self.changes, "curves": curves}


def told(box: Box) -> str:
    """A value in a message: its name, its type, and what computes it."""
    return f"{box.name or 'a value'} of {box.data.dtype}, {summary(box)}"


def followed(graph: Graph) -> list[Box]:
    """The values that have a curve: the root, and the parameters."""
    return [box for box in graph.boxes if box is graph.root or box.kind == "parameter"]


def points(box: Box) -> list[float | str]:
    """The elements of a small array, of a larger one its norm, to six digits."""
    found = np.ravel(box.data).tolist() if box.data.size <= FEW and box.data.dtype.kind != "c" else [norm(box.data)]
    return [float(f"{v:.6g}") if np.isfinite(v) else str(float(v)) for v in found]


def packed(content: dict[str, Any]) -> dict[str, Any]:
    """Content whose arrays of numbers are text: exact, and half as long as in decimals."""
    return content | {"arrays": [array | {"data": text(array["data"])} for array in content["arrays"]]}


def text(data: list[Any]) -> str | list[Any]:
    """Numbers in base 64, each in 4 bytes after an f, or in 8 after a d where some need them; pairs as they are."""
    if any(isinstance(v, list) for v in data):
        return data
    exact = np.array([float(v) for v in data], "<f8")
    with np.errstate(over="ignore"):
        single = exact.astype("<f4")
    small = np.array_equal(single, exact, equal_nan=True)
    return "df"[small] + base64.b64encode((single if small else exact).tobytes()).decode()


def changes(old: Any, new: Any) -> Any:
    """How one value of JSON becomes another: None, [the other], or by its keys or places the changes of its parts.

    >>> changes({"a": [1, 2], "b": "x"}, {"a": [1, 3], "b": "x"})
    {'a': {'1': [3]}}
    """
    if type(old) is type(new) is dict and old.keys() == new.keys():
        parts = [(key, changes(old[key], new[key])) for key in new]
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        parts = [(str(i), changes(*pair)) for i, pair in enumerate(zip(old, new))]
    else:
        return None if old == new and type(old) is type(new) else [new]
    return {key: change for key, change in parts if change is not None} or None
