"""What a prompt shows: help, the version, the reprs of objects, half-built ones and those of other libraries too."""

import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from duck import Duck
from hostile import assert_shown

import minigrad as mg
from minigrad import nn
from minigrad.compiler.api import Derived
from minigrad.trees import summary

ROOT = Path(__file__).parent.parent
rng = np.random.default_rng(0)


def squares(x: Any) -> Any:
    return mg.sum(x * x)


def test_help_starts_with_a_page_that_fits_a_screen() -> None:
    page = pydoc.plain(pydoc.render_doc(mg)).partition("PACKAGE CONTENTS")[0].rstrip().splitlines()
    assert len(page) <= 24 and max(map(len, page)) <= 80
    assert "dir(mg) has all names" in page[-1]


def test_the_version_is_there_without_an_installation() -> None:
    code = "import minigrad; print(minigrad.__version__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip() == mg.__version__ and mg.__version__.count(".") == 2
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


SHOWN: list[tuple[Callable[[], Any], str]] = [
    (lambda: mg.Tensor([[1.0, 2.0]], name="x"), "Tensor([[1., 2.]], name='x')"),
    (lambda: nn.Linear.init(rng, 64, 32), "Linear(W=<Tensor (32, 64)>, b=<Tensor (32,)>)"),
    (lambda: nn.Linear(np.ones((2, 3), np.float32)), "Linear(W=<ndarray (2, 3) float32>, b=None)"),
    (lambda: nn.Dropout(0.1), "Dropout(rate=0.1)"),
    (lambda: nn.Sequential([mg.relu, nn.Dropout(0.5)]), "Sequential(layers=[relu, Dropout(rate=0.5)])"),
    (
        lambda: mg.optim.SGD({"W": mg.Tensor([1.0, 2.0])}, lr=0.1),
        "<SGD(lr=0.1, steps=0, momentum=0.0, nesterov=False, weight_decay=0.0) of 1 parameter, 2 numbers>",
    ),
    (lambda: mg.compile(squares), "<squares, to be compiled when it is called>"),
    (lambda: mg.derive(squares, np.ones(2)), "<squares, derived for 1 kind of arguments>"),
    (lambda: mg.gradcheck(squares, np.ones(2)), str(mg.gradcheck(squares, np.ones(2)))),
]


@pytest.mark.parametrize("make, text", SHOWN, ids=[text.split("(")[0] for _, text in SHOWN])
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


def test_a_model_is_indented_and_one_within_itself_ends() -> None:
    model = nn.Sequential([nn.Linear.init(rng, 64, 32), mg.relu, nn.Linear.init(rng, 32, 10)])
    model.layers.append(model)
    assert repr(model).splitlines() == [
        "Sequential(",
        "    layers=[",
        "        Linear(W=<Tensor (32, 64)>, b=<Tensor (32,)>),",
        "        relu,",
        "        Linear(W=<Tensor (10, 32)>, b=<Tensor (10,)>),",
        "        ...,",
        "    ],",
        ")",
    ]


def test_functions_of_functions_are_named_after_both() -> None:
    for transform in (mg.grad, mg.value_and_grad, mg.elementwise_grad, mg.jacobian, mg.hvp, mg.vmap, mg.checkpoint):
        assert f"<function {transform.__name__}_squares at" in repr(transform(squares))


def test_large_tensors_are_summarized() -> None:
    assert "..." in repr(mg.Tensor(np.ones((100, 100)))) and len(repr(mg.Tensor(np.ones((100, 100))))) < 1000


@pytest.mark.parametrize("kind", [mg.Tensor, mg.optim.RowSparse, mg.optim.Adam, nn.Linear, nn.Sequential, Derived])
def test_half_built_objects_have_a_repr(kind: Any) -> None:
    half_built = kind.__new__(kind)
    assert repr(half_built) and getattr(half_built, "_repr_html_", lambda: None)() is None


class Lazy(Duck):
    """An array of a library that has yet to compute it, by Dask's protocol."""

    __dask_graph__ = None

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("computed")

    def __repr__(self) -> str:
        return f"lazy{self.shape}\n\x1b[31m"


def test_arrays_of_other_libraries_are_not_computed_and_print_no_control_characters() -> None:
    x = mg.Tensor(Lazy(np.ones((2, 3))), name="x")
    for text in (repr(x), repr(nn.Linear(x)), summary({"x": x.data})):
        assert_shown(text.replace("\n", " "))
    assert "lazy(2, 3)" in repr(x) and "<Lazy (2, 3)>" in summary([x.data])
    x.grad = x.data
    assert "\x1b" not in x._repr_html_() and mg.Tensor([1.0])._repr_html_() is not None


def test_a_repr_inside_a_transform_reads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def step(w: Any) -> Any:
        table = mg.Tensor(np.ones((3, 2)))
        mg.sum(mg.embedding(table, [1, 1]) * w).backward()
        print(repr(table.grad), table._repr_html_())
        return example(w)

    def example(w: Any) -> Any:
        print(repr(w), repr(nn.Linear(w)), repr(mg.Tensor(w)), mg.Tensor(w)._repr_html_())
        return mg.sum(w * w)

    assert mg.compile(step)(np.ones(2)) == 2.0
    assert mg.vmap(example)(np.ones((4, 2))).tolist() == [2.0] * 4
    rows, traced, mapped = capsys.readouterr().out.splitlines()
    assert rows == "RowSparse(some of 3 rows, shape=(3, 2), dtype=float64) None"
    assert traced == "Tracer(the argument w (2,)) Linear(W=<Tracer (2,)>, b=None) Tensor(Tracer(copy (2,))) None"
    assert mapped.count("for each of 4 examples") == 2 and mapped.endswith("None")


@pytest.mark.parametrize("name", ["\x1b[31mred\x07", "a\nb\r\u2028", "\u202egnp.exe"])
def test_names_from_outside_are_printable(name: str) -> None:
    def f(x: Any) -> Any:
        return x

    f.__name__ = name
    x, layer, optimizer = (type(name, (kind,), {}) for kind in (mg.Tensor, nn.Dropout, mg.optim.SGD))
    t = x([1.0], name=name)
    made = t, layer(0.5), optimizer([t], lr=0.1), mg.compile(f)
    for text in (*map(repr, made), mg.vmap(f).__qualname__, summary({name: f}), summary([object.__new__(x)])):
        assert "\n" not in text
        assert_shown(text)
