"""The slides' two windows as a graph: drawn by `python -m models draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from models import text
from models.tagger import Settings, Tagger
from models.window import Parameters, hinge, inputs, score

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


def pair(tagger: Tagger) -> tuple[mg.Tensor, list[mg.Tensor]]:
    """J of the slides' two windows after its backward pass, and their inputs x and x_c.

    >>> J, (x, x_c) = pair(fresh())
    >>> J.shape, x.grad.shape
    ((), (20,))
    """
    X = inputs(tagger.params, tagger.windows([SENTENCE]))
    U, W, b = (mg.Tensor(getattr(tagger.params, name), name) for name in "UWb")
    x, x_c = mg.Tensor(X[TRUE], "x"), mg.Tensor(X[CORRUPT], "x_c")
    with mg.trace_source():
        with mg.scope("true window"):
            s = score(U, W, b, x)
        with mg.scope("corrupt window"):
            s_c = score(U, W, b, x_c)
        J = hinge(s, s_c)
    mg.name(s=s, s_c=s_c, J=J)
    J.backward()
    return J, [x, x_c]


def save(J: mg.Tensor, data: list[mg.Tensor], path: Path) -> Any:
    """A picture in the format of the suffix; an .html is the page that steps through it. The path that was written."""
    if path.suffix == ".html":
        return mg.replay(J, path, inputs=data)
    return mg.draw(J, inputs=data, rankdir="TB").save(path)
