"""The slides' two windows as a graph, for `python -m models draw`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from models import text
from models.tagger import Settings, Tagger
from models.window import Parameters, hinge, inputs, score

if TYPE_CHECKING:
    from minigrad.viz.graph import Box, Graph

SENTENCE = ["Not", "all", "museums", "in", "Paris", "are", "amazing"]
TRUE, CORRUPT = 4, 2  # the centres of the slides' windows: Paris, museums


def fresh() -> Tagger:
    """A model of the slides' sizes before any training: five words of four numbers, eight hidden units.

    >>> fresh().params.W.shape
    (8, 20)
    """
    rng = np.random.default_rng(0)
    vocabulary = text.Vocabulary.of(SENTENCE, 1)
    L = rng.normal(size=(len(vocabulary), 4))
    params = Parameters(rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8), L)
    return Tagger(Settings(dim=4, hidden=8, case_feature=False), vocabulary, params)


def variables(tagger: Tagger) -> tuple[mg.Tensor, ...]:
    """U, W and b of a model, and the inputs x and x_c of the slides' two windows.

    >>> [t.shape for t in variables(fresh())]
    [(8,), (8, 20), (8,), (20,), (20,)]
    """
    params = tagger.params
    X = inputs(params, tagger.windows([SENTENCE]))
    values = {"U": params.U, "W": params.W, "b": params.b, "x": X[TRUE], "x_c": X[CORRUPT]}
    return tuple(mg.Tensor(value, name) for name, value in values.items())


def pair(U: mg.Tensor, W: mg.Tensor, b: mg.Tensor, x: mg.Tensor, x_c: mg.Tensor) -> mg.Tensor:
    """J of a true and a corrupt window, recorded as a picture of it needs: with names, frames and lines.

    >>> J = pair(*variables(fresh()))
    >>> J.name, J.shape
    ('J', ())
    """
    with mg.trace_source():
        with mg.scope("true window"):
            s = score(U, W, b, x)
        with mg.scope("corrupt window"):
            s_c = score(U, W, b, x_c)
        J = hinge(s, s_c)
    mg.name(s=s, s_c=s_c, J=J)
    return J


def trained(tensors: Sequence[mg.Tensor], steps: int) -> Iterator[mg.Tensor]:
    """J at each step of gradient descent on the two windows: for `mg.replay`, which reads it when it is yielded.

    >>> [round(float(J.item()), 2) for J in trained(variables(fresh()), 3)]
    [1.4, 1.32, 1.23]
    """
    U, W, b, x, x_c = tensors
    optimizer = mg.optim.SGD([U, W, b], lr=0.02)
    for _ in range(steps):
        J = pair(U, W, b, x, x_c)
        yield J
        optimizer.zero_grad()
        J.backward()
        optimizer.step()


def remark(graph: Graph, box: Box) -> str:
    """The slides' words on a step back through s = U · f(W x + b): for `mg.replay`."""
    assert box.op is not None
    args = [o.box for o in box.op.operands if o.box is not None]
    sign = box.op.sign
    if sign == "·" and len(args) == 2 and args[1].op and args[1].op.sign == "σ":
        U, a = (arg.label for arg in args)
        return f"On the slides: ∂{box.label}/∂{U} = {a}."
    if sign == "σ" and args[0].delta:
        for s in graph.users(box)[:1]:
            if s.op and s.op.sign == "·" and s.op.operands[0].box:
                U, z, above = s.op.operands[0].box.label, box.op.expression[1:], f"∂{graph.root.label}/∂{s.label}"
                times = "" if s is graph.root else f"; here times {above}"
                return f"On the slides: {args[0].delta} = {U} ∘ f′{z}, the error signal{times}."
    if sign == "+" and box.delta and args[-1].op is None:
        return f"On the slides: the gradient of {args[-1].label} is {box.delta} (the heading there says a, a slip)."
    if sign == "@" and box.delta and args[1].data.ndim == 1:
        W, x = (arg.label for arg in args)
        d = box.delta
        return f"On the slides: the gradient of {W} is {d} {x}ᵀ, error signal times input; that of {x} is {W}ᵀ {d}."
    return ""


def save(J: mg.Tensor | Iterator[mg.Tensor], data: Sequence[mg.Tensor], path: Path) -> Any:
    """Write a picture in the format of the suffix; .html is the page that steps through it. Returns the path.

    Of the steps of a training there is a page alone.

    Raises:
        ValueError: for a page, where no Graphviz is installed that lays it out.
    """
    if isinstance(J, mg.Tensor) and path.suffix != ".html":
        return mg.draw(J, inputs=data, rankdir="TB").save(path)
    try:
        return mg.replay(J, path, inputs=data, remarks=remark)
    except RuntimeError as missing:
        raise ValueError(f"{missing}") from missing
