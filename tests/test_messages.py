"""What a beginner reads who comes from PyTorch, JAX, pandas or SciPy: what was needed, what came, what to write."""

import operator
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hostile import assert_shown

import minigrad as mg
from minigrad.hints import _ELSEWHERE, ATTRIBUTES, HINTS, UNNEEDED

W = mg.Tensor(np.ones((8, 3)), name="W")
x = mg.Tensor([1.0, 2.0], name="x")
scores = mg.Tensor(np.ones((3, 2)), name="scores")


class Series:
    """An array for NumPy alone: it has __array__ and its own operators, as pandas, xarray and PyTorch have."""

    dtype, shape = np.dtype(float), (2,)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([3.0, 4.0])

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, mg.Tensor) else Series()


class Sparse:
    """A sparse matrix: no array, and * is the matrix product."""

    __array_priority__ = 10.1
    __module__ = "scipy.sparse"


MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: W @ x, ValueError, "matmul of W (8, 3) and x (2,): W has 3 columns, x has 2 elements"),
    (lambda: W @ W, ValueError, "W has 3 columns, W has 8 rows"),
    (lambda: np.ones(3) @ W, ValueError, "the first argument has 3 elements, W has 8 rows"),
    (lambda: W.dot(np.ones(2)), ValueError, "W has 3 columns, the second argument has 2 elements"),
    (lambda: mg.min(x, x), TypeError, "for the minimum of two write mg.minimum(x, y)"),
    (lambda: mg.max(x, 0.0), TypeError, "for the maximum of two write mg.maximum(x, y)"),
    (lambda: x.max(x), TypeError, "for the maximum of two write mg.maximum(x, y)"),
    (lambda: bool(x), ValueError, "use t.any() or t.all(), or mg.where(condition, x, y)"),
    (lambda: float(x), TypeError, "needed one element for a Python number, got x (2,); use t.data"),
    (lambda: f"{x:.3f}", TypeError, "the format '.3f' needs one element, got x (2,)"),
    (lambda: x.sum(dim=0), TypeError, "there is no dim=, as in PyTorch; write axis=, as in NumPy"),
    (lambda: mg.softmax(x, dim=0), TypeError, "write axis=, as in NumPy"),
    (lambda: x.mean(axis=0, keepdim=True), TypeError, "there is no keepdim=, as in PyTorch; write keepdims="),
    (lambda: mg.Tensor([1.0], requires_grad=True), TypeError, "got requires_grad=; leave it out: every Tensor is a"),
    (lambda: mg.Tensor([1.0], dtype=np.float32), TypeError, "got dtype=; write mg.Tensor(np.array(data, dtype))"),
    (lambda: mg.Tensor([1.0], device="cpu"), TypeError, "got device=; leave it out"),
    (lambda: mg.Tensor([1.0], names="x"), TypeError, "Tensor takes data and name, got names=; leave it out"),
    (lambda: x.numpy(), AttributeError, "no attribute 'numpy'; write t.data, the array"),
    (lambda: x.cuda(), AttributeError, "no attribute 'cuda': minigrad computes with NumPy, on the CPU"),
    (lambda: x.requires_grad, AttributeError, "every Tensor is a variable"),
    (lambda: x.exp(), AttributeError, "no attribute 'exp'; write mg.exp(t)"),
    (lambda: x.nonsense, AttributeError, "'Tensor' object has no attribute 'nonsense'"),
    (lambda: mg.expit(x), AttributeError, "has no attribute 'expit'; write mg.sigmoid"),
    (lambda: mg.tensor([1.0]), AttributeError, "has no attribute 'tensor'; write mg.Tensor(data)"),
    (lambda: mg.zeros(3), AttributeError, "has no attribute 'zeros'; use np.zeros"),
    (lambda: mg.SGD([x], lr=0.1), AttributeError, "has no attribute 'SGD'; write mg.optim.SGD"),
    (lambda: mg.Linear(3, 2), AttributeError, "has no attribute 'Linear'; write mg.nn.Linear"),
    (lambda: mg.svd(x), AttributeError, "has no attribute 'svd'; write mg.linalg.svd"),
    (lambda: mg.randn(3), AttributeError, "has no attribute 'randn'; write np.random.default_rng().normal(size=shape)"),
    (lambda: mg.np, AttributeError, "module 'minigrad' has no attribute 'np'"),
    (lambda: mg.cross_entropy(scores, np.eye(2)[[0, 1, 1]]), IndexError, "write np.argmax(classes, axis=-1)"),
    (lambda: mg.cross_entropy(scores, [0, 1]), IndexError, "a class for each example, shape (3,), got shape (2,)"),
    (lambda: mg.cross_entropy(scores, np.ones(3)), IndexError, "the classes must be integers"),
    (lambda: mg.grad(mg.sum(x)), TypeError, "needed a function to differentiate, got a Tensor; .* call J.backward()"),
    (lambda: mg.jacobian(None), TypeError, "needed a function to differentiate, got None"),
    (lambda: mg.jvp(lambda x: x, 1.0, 1.0), TypeError, "write jvp(f, (x,), (v,)) for one argument"),
    (lambda: mg.gradcheck(lambda x: None, 1.0), TypeError, "gradcheck needs a function that returns numbers"),
    (lambda: mg.compare(lambda x: None, lambda x: x, 1.0), TypeError, "compare needs a function that returns numbers"),
    (lambda: mg.compare(lambda x: x, lambda x: x, 1), TypeError, "compare needs a floating-point argument"),
    (lambda: mg.compare(lambda x: x, lambda x: None, 1.0), TypeError, "by_hand needs to return gradients, got None"),
    (lambda: mg.derive(lambda x: None, 1.0), TypeError, "derive needs a function that returns numbers"),
    (lambda: np.array([x, x]), TypeError, "use np.stack([a, b]) for np.array([a, b])"),
    (lambda: np.r_[x, x], TypeError, "np.concatenate for np.r_"),
    (lambda: np.sum([x, x]), TypeError, "np.stack"),
    (lambda: x * np.ma.array([1.0, 2.0]), TypeError, "got numpy's MaskedArray x; use x.filled(value)"),
    (lambda: np.ma.array([1.0, 2.0]) * x, TypeError, "np.ma has no gradient in minigrad"),
    (lambda: np.ma.exp(x), TypeError, "np.ma has no gradient in minigrad"),
    (lambda: mg.Tensor(np.ma.array([1.0, 2.0], mask=[0, 1])), TypeError, "got numpy's MaskedArray x; use x.filled"),
    (lambda: mg.grad(mg.sum)(np.ma.array([1.0])), TypeError, "got numpy's MaskedArray"),
    (lambda: x * np.matrix([[1.0, 2.0]]), TypeError, "got numpy's matrix x; use np.asarray(x)"),
    (lambda: x @ Sparse(), TypeError, "got scipy's Sparse x; use x.toarray()"),
    (lambda: mg.where([True, False], x, Sparse()), TypeError, "use x.toarray()"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "kind", "message"), MESSAGES, ids=[m[2][:40] for m in MESSAGES])
def test_message(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix
        with pytest.raises(kind) as caught:
            act()
    first, _, rest = message.partition(" .* ")
    assert first in str(caught.value) and rest in str(caught.value)


@pytest.mark.parametrize("make", [lambda t, s: t * s, lambda t, s: s * t, lambda t, s: np.multiply(t, s)])
def test_arrays_of_other_libraries_become_numpys(make: Callable[[Any, Any], Any]) -> None:
    t = mg.Tensor([1.0, 2.0])
    y = make(t, Series())
    mg.sum(y).backward()
    assert type(y.data) is np.ndarray and y.data.tolist() == [3.0, 8.0]
    assert type(t.grad) is np.ndarray and t.grad.tolist() == [3.0, 4.0]
    assert mg.grad(lambda x: mg.sum(x * x))(Series()).tolist() == [6.0, 8.0]


def test_hints_name_what_tensors_lack() -> None:
    assert not [name for name in {**ATTRIBUTES, **UNNEEDED} if hasattr(mg.Tensor, name) or name in dir(x)]
    assert not [name for name in _ELSEWHERE if hasattr(mg, name)]


def test_hints_name_what_there_is() -> None:
    written = {
        *re.findall(
            r"\b(mg|minigrad|np)\.([\w.]*\w)", " ".join([*HINTS.values(), *ATTRIBUTES.values(), *_ELSEWHERE.values()])
        )
    }
    assert len(written) > 60
    for module, name in written:
        operator.attrgetter(name)({"mg": mg, "minigrad": mg, "np": np}[module])
    assert {"sum", "grad", "data"} <= {*dir(x)} and not hasattr(mg.Tensor, "__getattr__")


def test_a_shape_error_shows_the_users_line_and_few_of_ours(tmp_path: Any) -> None:
    program = tmp_path / "train.py"
    program.write_text(
        textwrap.dedent("""\
            import numpy as np, minigrad as mg
            def forward(W, x):
                return mg.tanh(W @ x)
            forward(mg.Tensor(np.ones((8, 3)), name="W"), mg.Tensor(np.ones(2), name="x"))
            """)
    )
    shown = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False).stderr
    assert shown.rstrip().endswith(
        "ValueError: matmul of W (8, 3) and x (2,): W has 3 columns, x has 2 elements; they must be equally many\n"
        "  in forward, line 3 of train.py: return mg.tanh(W @ x)"
    )
    assert len(shown.splitlines()) <= 16 and "ops" not in shown


def test_the_error_of_a_users_own_op_keeps_its_cause() -> None:
    @mg.op()
    def broken(x: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"broken of x \(2,\): mine") as caught:
        broken(x)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("call", [mg.sum, mg.exp, mg.softmax, mg.Tensor.sum, np.clip])
def test_an_unknown_keyword_is_shown_whatever_it_contains(call: Callable[..., Any]) -> None:
    """NumPy's ufuncs and most of its functions refuse it before minigrad is asked."""
    bounds = (0.0, 1.0) if call is np.clip else ()
    with pytest.raises(TypeError) as error:
        call(x, *bounds, **{"\x1b[31m": 1})
    assert_shown(str(error.value))
    assert r"\x1b[31m" in str(error.value)
