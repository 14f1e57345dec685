"""Pictures taken apart: DOT text in nodes and edges. And the slides' two windows, with numbers exact in binary."""

import re

import minigrad as mg
from minigrad.viz.graph import build
from minigrad.viz.notation import annotate
from models.picture import pair


def slide():
    """The slides' two windows with numbers that are exact in binary."""
    U = mg.Tensor([0.5, -1.0], "U")
    W = mg.Tensor([[0.5, -1.0, 0.0], [0.25, 0.0, 1.0]], "W")
    b, x, x_c = mg.Tensor([0.0, 0.5], "b"), mg.Tensor([1.0, 0.5, -0.5], "x"), mg.Tensor([0.0, 1.0, 2.0], "x_c")
    return pair(U, W, b, x, x_c), (U, W, b, x, x_c)


def drawn(root, **options):
    return mg.draw(root, **options).source


def nodes(source):
    """The label of each node of a DOT text."""
    return dict(re.findall(r"^\s*(\w+) \[label=<(.*?)> \w+=", source, re.M))


def edges(source):
    """The keys at both ends of each edge; a copy of a leaf, c3_1, is the leaf, t3."""
    source = re.sub(r"^.*style=invis.*$", "", source, flags=re.M)
    source = re.sub(r"^(\s*)c(\d+)_\d+ -> ", r"\1t\2 -> ", source, flags=re.M)
    return re.findall(r"^\s*(\w+) -> (\w+)", source, re.M)


def box(source, name):
    """The key and the label of the box of a name."""
    return next((k, v) for k, v in nodes(source).items() if f"<b>{name}</b>" in v and k.startswith("t"))


def written(root, **options):
    """The graph of a picture, with its labels and formulas."""
    return annotate(build(root, **options))
