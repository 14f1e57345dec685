"""Every part of the engine on the arrays of other libraries: of their kind, right, and lazy as long as they are."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from duck import Duck
from foreign import CuPys, chunked, dask, dense, needs_cupy, needs_dask

import minigrad as mg
from minigrad import nn
from minigrad.sparse import RowSparse
from minigrad.trees import leaves, map_leaves

A = np.random.default_rng(0).normal(size=(4, 6))
W = np.random.default_rng(1).normal(size=(3, 6))
IDS = np.array([1, 2, 1, -1])
Kind = Callable[[Any], Any]


def not_now(*_: Any, **__: Any) -> Never:
    raise AssertionError("an array was computed")


KINDS = [
    Duck,
    pytest.param(CuPys, marks=needs_cupy),
    pytest.param(chunked, marks=needs_dask, id="Dask"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """What makes an array of another library; of a lazy one, nothing is computed in the test."""
    if dask is None:
        yield request.param
        return
    with dask.config.set(scheduler=not_now):
        yield request.param


def numbers(x: Any) -> Any:
    """The numbers of an array of any kind."""
    if hasattr(x, "get"):
        return x.get()
    return x.compute(scheduler="sync") if hasattr(x, "compute") else np.asarray(x)


def same(run: Callable[[Kind], Any], kind: Kind) -> None:
    """What a program makes of arrays of a kind is of that kind, and what it makes of NumPy's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Dask warns where it computes
        found = [dense(x) for x in leaves(run(kind))]
    expected = [dense(x) for x in leaves(run(np.asarray))]
    assert len(found) == len(expected) > 0
    a_kind = type(kind(A))
    for x, y in zip(found, expected):
        assert type(x) is a_kind, f"{type(x)} for {a_kind}"
        assert x.dtype == y.dtype
        np.testing.assert_allclose(numbers(x), y, rtol=1e-12, atol=1e-12)


def variable(kind: Kind, x: Any, name: str | None = None) -> mg.Tensor:
    return mg.Tensor(kind(np.asarray(x)), name=name)


def moved(model: Any, kind: Kind) -> Any:
    """A model whose variables are arrays of a kind."""
    return map_leaves(lambda x: variable(kind, x.data) if isinstance(x, mg.Tensor) else x, model)


def the_tensor(kind: Kind) -> Any:
    x, b = variable(kind, A), variable(kind, 0.5)
    (np.sum(x * x) * b).backward()
    x.data -= 0.1 * x.grad
    b.data = b.data * 2.0
    (x[1:3] * [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).backward(kind(np.ones((2, 6))))
    y = (2.0 * x).retain_grad()
    np.mean(y, axis=0).backward([1.0] * 6)
    return x.data, x.grad, b.data, b.grad, y.grad, x > 0.0, x.T.data, copy.deepcopy(x).data, x.detach().data


def the_transforms(kind: Kind) -> Any:
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x)

    x = kind(A)
    loss, g = mg.value_and_grad(f)(x)
    derivatives = mg.jacobian(np.sin)(x[0]), mg.hessian(f)(x[0]), mg.elementwise_grad(np.tanh)(x)
    again = mg.grad(lambda x: mg.sum(mg.checkpoint(np.sin)(x) * mg.stop_gradient(x)))(x)
    return loss, g, mg.jvp(f, (x,), (x,)), mg.vjp(f, x)[0], mg.hvp(f)(x, x), derivatives, again


def the_vmap(kind: Kind) -> Any:
    def score(w: Any, x: Any) -> Any:
        return np.sum(np.where(w @ x > 0, w @ x, 0.0))

    w = variable(kind, W)
    mg.sum(mg.vmap(lambda x: score(w, x))(kind(A))).backward()
    return w.grad, mg.vmap(mg.grad(score), in_axes=(None, 0))(kind(W), kind(A))


def the_context(kind: Kind) -> Any:
    x = variable(kind, A)
    with mg.no_grad():
        y = np.sum(x * x)
    return y.data


def clipping(kind: Kind) -> Any:
    x = variable(kind, A)
    np.sum(x * x).backward()
    return mg.optim.clip_grad_norm([x], 1.0), x.grad


def a_model(kind: Kind) -> Any:
    rng = np.random.default_rng(0)
    model = nn.Sequential([nn.Linear.init(rng, 6, 8), nn.LayerNorm.init(8), mg.relu, nn.Dropout(0.5)])
    model = moved(model, kind)
    mg.cross_entropy(model(kind(A), rng), kind(np.array([0, 1, 7, 0]))).backward()
    return [x.grad for x in leaves(model) if isinstance(x, mg.Tensor)]


def larger_layers(kind: Kind) -> Any:
    rng = np.random.default_rng(0)
    attention, convolution = nn.Attention.init(rng, 6, heads=2), nn.Conv2d.init(rng, 1, 2, 3)
    layers = attention, convolution = moved((attention, convolution), kind)
    images = convolution(mg.reshape(attention(kind(A)), (1, 1, 4, 6)))
    mg.sum(nn.max_pool2d(images, 2) ** 2).backward()
    return [x.grad for x in leaves(layers) if isinstance(x, mg.Tensor)]


def indices(kind: Kind) -> Any:
    x = variable(kind, A)
    mg.sum(x[[0, 0, 1]] * x[2]).backward()
    return x.grad


PROGRAMS = [the_tensor, the_transforms, the_vmap, the_context, clipping, a_model, indices]


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda run: run.__name__)
def test_runs_on_arrays_of_every_kind(run: Callable[[Kind], Any], kind: Kind) -> None:
    same(run, kind)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_runs_on_layers_of_many_ops(kind: Kind) -> None:  # with Dask's they take seconds
    same(larger_layers, kind)


OPTIMIZERS = {
    "SGD": lambda p: mg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adagrad": lambda p: mg.optim.Adagrad(p, lr=0.1),
    "RMSprop": lambda p: mg.optim.RMSprop(p, lr=0.1),
    "Adam": lambda p: mg.optim.Adam(p, lr=0.1),
    "AdamW": lambda p: mg.optim.AdamW(p, lr=0.1),
}


@pytest.mark.parametrize("made", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_move_arrays_of_every_kind(made: Callable[[Any], mg.optim.Optimizer], kind: Kind) -> None:
    def run(kind: Kind) -> Any:
        params = [variable(kind, A), variable(kind, 1.0)]
        optimizer = made(params)
        for _ in range(2):
            optimizer.zero_grad()
            np.sum(params[0] * params[0] * params[1]).backward()
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        return [p.data for p in params]

    same(run, kind)


def looked_up(kind: Kind) -> tuple[mg.Tensor, Any]:
    table = variable(kind, A, name="table")
    y = mg.embedding(table, kind(IDS))
    np.sum(y * y).backward()
    return table, table.grad


def test_rows_stay_sparse_and_are_added_up_by_the_librarys_functions(kind: Kind) -> None:
    def run(kind: Kind) -> Any:
        table, g = looked_up(kind)
        assert isinstance(g, RowSparse) and isinstance(2 * g + g, RowSparse)
        assert repr(g).startswith("RowSparse(")
        table.data = table.data - 0.1 * g
        return g.dense(), 2 * g + g, np.sum(g), g * kind(A), table.data

    same(run, kind)


@pytest.mark.parametrize("made", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS[:2])
def test_optimizers_move_the_rows_that_were_looked_up(made: Any, kind: Kind) -> None:
    def run(kind: Kind) -> Any:
        table = variable(kind, A)
        optimizer = made([table])
        for _ in range(2):
            optimizer.zero_grad()
            mg.sum(mg.embedding(table, kind(IDS)) ** 2).backward()
            optimizer.step()
        return table.data

    same(run, kind)


@needs_dask
def test_the_number_of_lazy_rows_is_not_asked_for() -> None:
    _, g = looked_up(chunked)
    assert repr(g) == "RowSparse(some of 4 rows, shape=(4, 6), dtype=float64)"
    with pytest.raises(TypeError, match=r"how many of the 4 rows .* compute the numbers of the rows first"):
        g.indices  # noqa: B018


# NumPy's arrays beside them


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x * A,
        lambda x: A - x,
        lambda x: np.where(x > 0, A, x),
        lambda x: np.concatenate([x, A]),
        lambda x: x @ np.ones(6),
        lambda x: x >= A,
        lambda x: mg.embedding(x, IDS),
    ],
)
def test_an_array_of_numpys_beside_them_is_named_and_what_to_write(mixed: Callable[[Any], Any], kind: Kind) -> None:
    x = variable(kind, A, name="x")
    library = type(x.data).__module__
    words = (
        rf"(?s)x \(4, 6\).*an array \([46,\s]*\) is NumPy's, beside an array of {library}'s; write {library}\.asarray"
    )
    with pytest.raises(TypeError, match=words) as error:
        mixed(x)
    assert "test_foreign_engine.py" in str(error.value)


@needs_cupy
def test_what_to_write_for_cupy() -> None:
    from minigrad.errors import explained

    class ndarray(Duck):
        __module__ = "cupy"

    error = TypeError("Unsupported type <class 'numpy.ndarray'>")  # as CuPy says it
    words = str(explained(error, mg.multiply, (mg.Tensor(ndarray(A), name="x"), A)))
    assert "an array (4, 6) is NumPy's, beside an array of cupy's; write cupy.asarray(x)" in words


def test_data_a_seed_and_a_gradient_of_another_library_are_refused(kind: Kind) -> None:
    x = variable(kind, A, name="x")
    with pytest.raises(
        TypeError, match=r"data of x needed an array of (duck|foreign|dask)'s, got one of numpy's; use "
    ):
        x.data = A
    with pytest.raises(
        TypeError, match=r"gradient of a result needed an array|the gradient of a Tensor needed an array"
    ):
        (x * 2.0).backward(A)
    optimizer, x.grad = mg.optim.SGD([x], lr=0.1), A
    with pytest.raises(TypeError, match="the gradient of x needed an array of"):
        optimizer.step()
    assert optimizer.steps == 0 and type(x.data) is type(kind(A))


@needs_dask
def test_lazy_gradients_of_numpys_variables_are_computed_together_by_the_user() -> None:
    w = mg.Tensor(np.ones(6), name="w")
    with dask.config.set(scheduler=not_now):
        np.sum(np.tanh(chunked(A) @ w)).backward()
        assert isinstance(w.grad, dask.array.Array)
        with pytest.raises(TypeError, match=r"numpy's, got one of dask's; use x\.compute\(\), or dask\.compute"):
            mg.optim.SGD([w], lr=0.1).step()
        with pytest.raises(TypeError, match="dask"):
            w.data = w.data - 0.1 * w.grad


# what shows values


def test_a_tensor_shows_what_it_holds(kind: Kind) -> None:
    x = variable(kind, A, name="x")
    assert repr(x).startswith("Tensor(") and repr(x.data) in repr(x) and "name='x'" in str(x)
    assert x._repr_html_()
    assert np.size(x) == 24 and np.shape(x) == (4, 6) and np.ndim(x) == 2 and not np.iscomplexobj(x) and len(x) == 4
    assert np.isrealobj(x) and np.can_cast(x, float)
    with pytest.raises(ValueError, match="x has 6 columns"):
        x @ x
    with pytest.raises(ValueError, match="backward needs a scalar"):
        x.backward()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_read_where_it_is_asked_for(kind: Kind) -> None:
    J = np.sum(variable(kind, A))
    expected = pytest.approx(A.sum())
    assert float(J) == expected and J.item() == expected and f"{J:.6f}" == f"{A.sum():.6f}" and J.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_checked(kind: Kind) -> None:
    def f(x: Any) -> Any:
        assert type(getattr(x, "data", x)) is type(kind(A)) or type(x) is type(kind(A))
        return np.tanh(x) * x

    assert mg.gradcheck(f, kind(A[0, :2])).method
    wrong = mg.op()(lambda x: (x * x, lambda g: g * x))
    with pytest.raises(AssertionError, match="WRONG"):
        mg.gradcheck(wrong, kind(A[0, :2]))
    assert mg.compare(mg.sum, lambda x: x * 0 + 1, kind(A[0])) and not mg.compare(mg.sum, lambda x: x, kind(A[0]))


@pytest.mark.parametrize("kind", KINDS[:2])
def test_pictures_and_debug_read_the_values(kind: Kind, tmp_path: Path) -> None:
    def picture(kind: Kind) -> str:
        x, c, ids = variable(kind, A, name="x"), kind(A), kind(IDS)
        J = np.sum(mg.embedding(np.tanh(x) * c, ids) ** 2)
        J.backward()
        mg.replay(J, tmp_path / f"{kind.__name__}.html")
        return mg.draw(J).source

    assert picture(kind) == picture(np.asarray)
    z = variable(kind, [1.0, 0.0], name="z")
    with np.errstate(divide="ignore"), mg.debug():
        with pytest.raises(FloatingPointError, match=r"log made .* -inf at index 1 .* where z is 0\.0"):
            np.log(z)
        J = np.sum(np.sqrt(z))
        with pytest.raises(FloatingPointError, match=r"sqrt .*first gradient that is not finite: inf at index 1"):
            J.backward()


@needs_dask
def test_what_needs_values_says_so_of_lazy_arrays() -> None:
    with dask.config.set(scheduler=not_now):
        x = variable(chunked, A, name="x")
        J = np.sum(x * x)
        J.backward()
        with pytest.raises(TypeError, match=r"a picture shows values, and those of .* are not computed"):
            mg.draw(J)
        with pytest.raises(TypeError, match="debug reads every value"), mg.debug():
            np.sum(x)
        with pytest.raises(TypeError, match="holomorphic=True compares values"):
            mg.grad(lambda z: mg.sum(z * z), holomorphic=True)(chunked(A + 1j))


def test_files_and_programs_are_numpys(kind: Kind, tmp_path: Path) -> None:
    x = variable(kind, A, name="x")
    with pytest.raises(TypeError, match=r"saving needs arrays of NumPy, got .*; use "):
        mg.save({"x": x}, tmp_path / "x.npz")
    for traced in (mg.derive(lambda x: np.sum(x * x), A), mg.compile(lambda x: np.sum(x * x))):
        with pytest.raises(TypeError, match="programs are recorded on NumPy's"):
            traced(kind(A))
    with pytest.raises(TypeError, match=r"array of \w+'s, and programs are recorded on NumPy's"):
        mg.compile(lambda: np.sum(x * x))()


@pytest.mark.parametrize("kind", KINDS)
def test_minibatches_of_arrays_of_every_kind(kind: Kind) -> None:
    parts = list(mg.batches(np.random.default_rng(0), 3, kind(A)))
    assert [type(x) for (x,) in parts] == [type(kind(A))] * 2
    np.testing.assert_array_equal(np.sort(np.concatenate([numbers(x) for (x,) in parts]), axis=0), np.sort(A, axis=0))
