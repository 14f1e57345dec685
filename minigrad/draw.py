"""The computation graph as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minigrad.engine import Array, Node

if TYPE_CHECKING:
    import graphviz


def draw(root: Node) -> graphviz.Digraph:
    """The graph that a value was computed by: Tensors as boxes, ops as circles, from the variables to the value.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], name="x")
    >>> print(draw(mg.sum(x)).source)  # doctest: +NORMALIZE_WHITESPACE
    digraph {
        graph [rankdir=LR]
        node [fontname=Helvetica fontsize=11]
        0 [label="sum\\n3." shape=box]
        1 [label=sum shape=circle]
        1 -> 0
        2 -> 1
        2 [label="x (2,)\\n[1. 2.]" fillcolor=lightblue shape=box style=filled]
    }

    Notebooks show it; `.source` is its text, `.render(...)` needs the program `dot` of Graphviz.
    """
    import graphviz  # here, so that importing minigrad costs little more than importing numpy

    graph = graphviz.Digraph()
    graph.attr("graph", rankdir="LR")
    graph.attr("node", fontname="Helvetica", fontsize="11")
    waiting, numbers = [root], {root._stamp: "0"}
    while waiting:
        node = waiting.pop()
        me = numbers[node._stamp]
        leaf = node._op is None
        look = {"shape": "box"} | ({"style": "filled", "fillcolor": "lightblue"} if leaf else {})
        graph.node(me, f"{_title(node)}\\n{_shown(node._data)}", **look)
        if node._op is None:
            continue
        sign = f"{me}.op"
        numbers[-node._stamp] = sign = str(len(numbers))
        graph.node(sign, node._op.__name__, shape="circle")
        graph.edge(sign, me)
        for x, pullback in zip((node._edges or ())[::2], (node._edges or ())[1::2]):
            if pullback is None:
                continue
            if x._stamp not in numbers:
                numbers[x._stamp] = str(len(numbers))
                waiting.append(x)
            graph.edge(numbers[x._stamp], sign)
    return graph


def _title(node: Node) -> str:
    name = node.name or (node._op.__name__ if node._op is not None else "variable")
    return f"{name} {node._data.shape}" if node._data.shape else name


def _shown(data: Array) -> str:
    if data.size <= 8:
        return np.array2string(data, precision=3, threshold=8)
    return f"{data.min():.3g} ... {data.max():.3g}"
