"""mg.compile: a whole step does what the step does, to the last bit, and leaves behind what it leaves behind."""

import importlib.util
import linecache
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.tracer import Refused
from minigrad.trees import leaves
from models import conll
from models.tagger import Settings
from models.training import OPTIMIZERS, Recipe, train

FEW, MANY = (3, 2), (300, 10)  # windows and words in each: rows are added one by one, or merged first


@dataclass
class Model:
    W: Any
    b: Any
    L: Any


def model() -> Model:
    rng = np.random.default_rng(5)
    return Model(*(mg.Tensor(rng.normal(size=shape)) for shape in [(4, 6), (4,), (50, 3)]))


def windows(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(-5, 50, shape)


def loss(m: Model, ids: Any) -> Any:
    x = mg.reshape(mg.embedding(m.L, ids[:, :2]), (-1, 6))
    return mg.sum(np.tanh(x @ m.W.T + m.b) ** 2)


SGD = {"momentum": lambda p: mg.optim.SGD(p, lr=0.01, momentum=0.9)}
MAKERS = SGD | {name: lambda p, make=make: make(p, lr=0.01) for name, (make, _) in OPTIMIZERS.items()}


def trained(make: Any, shape: tuple[int, int], backend: str | None) -> tuple[list[Any], Model, Any]:
    m = model()
    optimizer = make([m.W, m.b, m.L])

    def step(ids):
        J = loss(m, ids)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    run = mg.compile(step, backend=backend) if backend else step
    return [run(windows(shape, i)).item() for i in range(5)], m, optimizer


@pytest.mark.parametrize("shape", [FEW, MANY])
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_with_an_optimizer_to_the_last_bit(name: str, shape: tuple[int, int]) -> None:
    losses, m, optimizer = trained(MAKERS[name], shape, None)
    again, ours, other = trained(MAKERS[name], shape, "numpy")
    assert losses == again and len(set(losses)) == 5
    for p, q in ((m.W, ours.W), (m.b, ours.b), (m.L, ours.L)):
        assert same_bits(p.data, q.data) and same_bits(np.asarray(p.grad), np.asarray(q.grad))
    assert type(ours.L.grad) is type(m.L.grad)
    assert other.steps == optimizer.steps == 5


@pytest.mark.parametrize("shape", [FEW, MANY])
def test_rows_that_an_optimizer_wants_merged_by_numba(shape: tuple[int, int]) -> None:
    pytest.importorskip("numba")
    make = MAKERS["adam"]
    (losses, m, _), (again, ours, _) = (trained(make, shape, backend) for backend in (None, "numba"))
    np.testing.assert_allclose(again, losses, rtol=1e-12)
    np.testing.assert_allclose(ours.L.data, m.L.data, rtol=1e-12, atol=1e-15)


def test_an_update_written_by_hand() -> None:
    results = []
    for compiled in (False, True):
        w, v = mg.Tensor(np.arange(6.0)), np.zeros(6)

        def step(x, w=w, v=v):
            J = mg.sum((w * x) ** 2)
            J.backward()
            scale = np.minimum(1.0, 1 / np.sqrt(np.sum(w.grad**2)))  # clipped by its norm
            v[...] = 0.9 * v + scale * w.grad
            w.data[1:4] -= 0.1 * v[1:4]
            w.data = w.data
            w.grad = None
            return J

        run = mg.compile(step) if compiled else step
        losses = [float(run(np.ones(6) * k).item()) for k in range(1, 5)]
        results.append((losses, w.data.copy(), v.copy()))
    (losses, w, v), (ours, our_w, our_v) = results
    assert losses == ours and same_bits(w, our_w) and same_bits(v, our_v) and np.any(v)


def test_gradients_add_up_over_calls() -> None:
    both = []
    for compiled in (False, True):
        w = mg.Tensor(np.array([1.0, 2.0]))

        def step(x, w=w):
            mg.sum(w * w * x).backward()

        run = mg.compile(step) if compiled else step
        for k in range(3):
            run(np.array([1.0, k]))
        both.append(w.grad)
    assert same_bits(*both) and both[0][0] == 6.0


def test_what_changes_outside_counts_at_once() -> None:
    w, lr, state = mg.Tensor(np.ones(2)), 0.5, {"twice": False}

    @mg.compile
    def step(x):
        J = mg.sum(w * x) * (2 if state["twice"] else 1)
        J.backward()
        w.data -= lr * w.grad
        w.grad = None
        return J

    x, array = np.array([1.0, 2.0]), w.data
    step(x)
    assert same_bits(w.data, np.array([0.5, 0.0])) and w.data is array
    lr = 0.25
    step(x)
    assert same_bits(w.data, np.array([0.25, -0.5]))
    state["twice"] = True
    assert step(x) == 2 * (0.25 - 1.0)
    w.data = np.array([10.0, 10.0])
    assert step(x) == 60.0


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_gradient_that_is_there_or_not(shape: tuple[int, ...]) -> None:
    w = mg.Tensor(np.ones(shape))

    @mg.compile
    def step(x):
        mg.sum(w * x).backward()

    for before in (None, np.ones(shape), None, np.float64(2.0) * np.ones(shape)):
        w.grad = before
        step(np.ones(3))
        assert np.all(w.grad == (3 if shape == () else 1) + (0 if before is None else before))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_assigned_data_of_no_dimension_stays_an_array(backend: str) -> None:
    pytest.importorskip("numba")
    w = mg.Tensor(1.0)

    def step(x):
        (w * x).backward()
        w.data = w.data - 0.5 * w.grad
        w.grad = None

    step = mg.compile(step, backend=backend)
    step(np.ones(()))
    data = w.data
    data -= 1
    step(np.ones(()))
    assert type(w.data) is np.ndarray and w.data == -1 and len(step.cache) == 1


def test_a_graph_that_used_the_old_data_says_so() -> None:
    w = mg.Tensor(np.ones(2))
    J = mg.sum(w * w)

    @mg.compile
    def step(x):
        w.data -= x

    step(np.ones(2))
    with pytest.raises(RuntimeError, match="run the forward pass again"):
        J.backward()


def test_what_was_read_before_a_write_is_what_it_was() -> None:
    w = mg.Tensor(np.arange(3.0))

    @mg.compile
    def step(x):
        old, turned = w.data.copy(), w.data[::-1]
        total = turned + x
        w.data -= x
        return old * 2, total, w.data + 0.0

    old, total, new = step(np.ones(3))
    assert same_bits(old, np.array([0.0, 2.0, 4.0])) and same_bits(total, np.array([3.0, 2.0, 1.0]))
    assert same_bits(new, np.array([-1.0, 0.0, 1.0])) and same_bits(w.data, new)


def test_a_view_of_what_was_written_into_is_refused() -> None:
    w = mg.Tensor(np.arange(3.0))

    @mg.compile
    def step(x):
        turned = w.data[::-1]
        w.data -= x
        return turned * 2

    with pytest.raises(Refused, match="take the view again"):
        step(np.ones(3))
    assert same_bits(w.data, np.arange(3.0))


def test_an_array_by_two_names() -> None:
    """Written into by one name, it is seen by the other; where they hold two arrays later, it is compiled again."""
    both = []
    for compiled in (False, True):
        w = mg.Tensor(np.ones(3), name="w")
        held, results = {"v": w.data}, []

        def step(x, w=w, held=held):
            before = held["v"] * x
            w.data -= x
            return before, held["v"] * x

        run = mg.compile(step) if compiled else step
        results += [*run(np.arange(3.0)), *run(np.arange(3.0))]
        held["v"] = np.full(3, 7.0)
        results += [*run(np.arange(3.0)), w.data, held["v"]]
        both.append(results)
    assert all(map(same_bits, *both))


def test_a_view_from_outside_of_what_is_written_into_is_refused() -> None:
    table = np.ones((2, 3))
    row = table[0]

    @mg.compile
    def step(x):
        y = row * x
        table[...] = table + 1
        return y, row * x

    with pytest.raises(Refused, match="table was written into, and row shares its memory"):
        step(np.ones(3))
    assert same_bits(table, np.ones((2, 3))) and row.base is table


def test_what_cannot_be_found_again_is_refused() -> None:
    w, losses = mg.Tensor(np.ones(2)), []

    @mg.compile
    def step(x):
        losses.append(mg.sum(w * x))

    with pytest.raises(Refused, match="stored in a list"):
        step(np.ones(2))
    assert losses == [] and type(w.data) is np.ndarray


def test_the_source_is_there_after_the_first_call() -> None:
    step = mg.compile(lambda x: x + 1)
    with pytest.raises(ValueError, match="compiled when it is first called"):
        step.source  # noqa: B018
    step(np.ones(2))
    assert "return x + 1" in step.source


def test_backends_are_named() -> None:
    with pytest.raises(ValueError, match="backend needs to be one of numpy, numba, got 'cuda'"):
        mg.compile(lambda x: x, backend="cuda")


def test_what_numba_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install -e "\.\[fast\]"'):
        mg.compile(lambda x: x, backend="numba")


@pytest.mark.parametrize(("reused", "placed"), [(False, True), (True, False)])
def test_what_is_concatenated_is_computed_where_it_lies(reused: bool, placed: bool) -> None:
    rng = np.random.default_rng(0)
    x, W, b = (rng.normal(size=shape) for shape in [(4, 3), (3, 5), (3, 10)])

    def f(x: Any, W: Any, b: Any) -> Any:
        second = np.tanh(b) * 2
        first = x @ W
        both = np.concatenate([first.reshape(2, -1), second])
        return mg.sum(both * both, axis=0), first + 1 if reused else b

    d = mg.compile(f)
    for ours, wanted in zip(d(x, W, b), f(x, W, b), strict=True):
        assert same_bits(ours, wanted)
    lines = "".join(linecache.getlines(d.latest.run.__code__.co_filename))
    assert ("out=" in lines) == placed, lines
    assert "out=" not in d.source


@pytest.mark.parametrize(
    ("parts", "placed"),
    [
        (lambda x, y: (np.tanh(x), np.tanh(y)), False),
        (lambda x, y: (x @ y.T, np.tanh(y)), True),
    ],
)
def test_what_is_concatenated_lies_as_it_would(parts: Any, placed: bool) -> None:
    """Sums depend on the order: NumPy concatenates arrays in Fortran's order in that."""
    x, y = np.random.default_rng(0).normal(size=(2, 60, 60))

    def step(x: Any, y: Any) -> Any:
        first, second = parts(x, y)
        both = np.concatenate([first, second])
        return both, np.sum(both), both[:10].T @ both[:10]

    d = mg.compile(step)
    for given in ((x, y), map(np.asfortranarray, (x, y))):
        args = list(given)
        for ours, wanted in zip(d(*args), step(*args), strict=True):
            assert same_bits(ours, wanted)
    assert ("out=" in "".join(linecache.getlines(d.latest.run.__code__.co_filename))) == placed


def test_a_number_that_is_returned_stays_a_number() -> None:
    lr = 0.5
    step = mg.compile(lambda x, y: (x * lr, y * lr, lr))
    assert type(step(np.ones(3), np.ones(3))[2]) is float


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_axes_by_keyword(backend: str) -> None:
    pytest.importorskip("numba")
    x, W = np.arange(3.0), np.arange(9.0).reshape(3, 3)
    f = lambda x, W: x @ np.transpose(W, axes=(0, 1)) + np.transpose(W, (1, 0)) @ x + W.T @ x  # noqa: E731
    np.testing.assert_allclose(mg.compile(f, backend=backend)(x, W), f(x, W), rtol=1e-12)


@pytest.mark.parametrize(("shape", "whole"), [(FEW, True), ((3000, 10), False)])
def test_numba_leaves_large_exponentials_to_numpy(shape: tuple[int, int], whole: bool) -> None:
    numba = pytest.importorskip("numba")
    steps: list[Any] = []
    tables: list[Any] = []
    for backend in (None, "numba"):
        m = model()

        def step(ids: Any, m: Model = m) -> Any:
            J = loss(m, ids)
            J.backward()
            m.L.data -= 0.1 * m.L.grad
            for p in (m.W, m.b, m.L):
                p.grad = None
            return J

        steps.append(mg.compile(step, backend=backend) if backend else step)
        for seed in range(3):
            steps[-1](windows(shape, seed))
        tables.append(m.L.data)
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-12, atol=1e-12)
    ((plan,),) = steps[1].cache.values()
    assert isinstance(plan.run, numba.core.dispatcher.Dispatcher) == whole
    assert "_subtract_rows" in getattr(plan.run, "py_func", plan.run).__code__.co_names


def test_what_is_concatenated_counts_as_it_lies() -> None:
    """Ones that lie by columns stay what they are, or the whole would lie by rows, and add up in another order."""
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    f = lambda x: mg.sum(np.concatenate([x.T**0, x.T]), axis=0)  # noqa: E731
    assert same_bits(mg.compile(f)(x), f(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numba_takes_long_formulas_in_one_pass(dtype: Any) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    x, u, y = (rng.normal(size=shape).astype(dtype) for shape in [(200, 100), 200, 100])

    def f(x: Any, u: Any, y: Any) -> Any:
        return mg.sum(mg.sigmoid(x) * np.outer(u, y))

    d = mg.derive(f, x, u, y, backend="numba")
    names = d.latest.run.__code__.co_names
    assert ("_loop0" in names) == (dtype != np.float16), "numba has no half precision"
    for ours, wanted in zip(leaves(d(x, u, y)), leaves(mg.value_and_grad(f, (0, 1, 2))(x, u, y)), strict=True):
        assert same_bits(ours, wanted)


def test_a_long_formula_that_is_concatenated() -> None:
    pytest.importorskip("numba")
    x = np.random.default_rng(0).normal(size=(200, 100))

    def f(x: Any) -> Any:
        first, second = x.reshape(-1) * 2 + 1, x.reshape(-1) * x.reshape(-1) - 1
        return np.exp(np.concatenate([first, second]))

    assert same_bits(mg.compile(f, backend="numba")(x), f(x))


IDS = np.array([1, 3, 3, -1])
BOOLEAN = np.array([True, True, False, True, True])


@pytest.mark.parametrize(
    ("table", "ids", "rows", "alone"),
    [
        (np.ones((5, 2)), IDS, np.ones((4, 2)), True),
        (np.ones((5, 2)), IDS.astype(np.int32), np.ones((4, 2), np.float32), True),
        (np.ones((5, 2)), IDS, np.arange(2.0).reshape(1, 2), False),
        (np.ones((5, 2)), IDS, np.arange(4.0).reshape(4, 1), False),
        (np.ones((5, 2)), abs(IDS).astype(np.uint64), np.ones((4, 2)), False),
        (np.ones((5, 2)), BOOLEAN, np.ones((4, 2)), False),
        (np.ones((5, 2), np.float16), IDS, np.ones((4, 2), np.float16), False),
        (np.ones((5, 4, 3)), IDS, np.arange(12.0).reshape(4, 3), False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_numba_adds(
    table: Any, ids: Any, rows: Any, alone: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop is for as many rows of a matrix as there are indices; what else NumPy broadcasts is left to it."""
    pytest.importorskip("numba")
    monkeypatch.setattr("minigrad.fast.numpy_is_faster", lambda writer: not whole)

    def f(table: Any, ids: Any, rows: Any) -> Any:
        sums = table * 2
        np.add.at(sums, ids, rows)
        return sums

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ours = mg.compile(f, backend="numba")(table, ids, rows)
    assert same_bits(ours, f(table, ids, rows)) and bool(told) == (whole and not alone)


def test_numba_keeps_single_precision_where_numbers_are_chosen() -> None:
    pytest.importorskip("numba")
    x, lr = np.arange(-2, 2, dtype=np.float32), 0.1
    f = lambda x: (np.where(x > 0, np.float32(1), 0), np.where(x > 0, x, lr), np.where(x > 0, 2, x))  # noqa: E731
    for ours, wanted in zip(mg.compile(f, backend="numba")(x), f(x), strict=True):
        assert same_bits(ours, wanted)


def test_numba_concatenates_along_an_axis() -> None:
    pytest.importorskip("numba")
    x = np.arange(6.0).reshape(2, 3)
    f = lambda x: np.concatenate([x, x * 2], 1)  # noqa: E731
    assert same_bits(mg.compile(f, backend="numba")(x), f(x))
    for f in (lambda x: np.concatenate([x, x * 2], axis=None), lambda x: np.concatenate(x[None])):
        with pytest.warns(UserWarning, match="np.concatenate, but for arrays along an axis, has no form for numba"):
            assert same_bits(mg.compile(f, backend="numba")(x), f(x))


def test_numba_has_no_half_precision() -> None:
    pytest.importorskip("numba")
    x = np.ones(3, np.float16)
    with pytest.warns(UserWarning, match=r"the program \(float16\) has no form for numba"):
        assert same_bits(mg.compile(lambda x: x * 2, backend="numba")(x), x * 2)


@pytest.mark.parametrize(("n", "loops"), [(5, {"_inner", "_inner_rows", "_weighted_rows"}), (60, {"_inner"})])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_small_products_are_loops_for_numba(n: int, loops: set[str], dtype: Any) -> None:
    numba = pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    W, x, y = (rng.normal(size=shape).astype(dtype) for shape in [(n, n + 1), n, n + 1])

    def f(W: Any, x: Any, y: Any) -> Any:
        return np.real((W @ y) @ x + (x @ W) @ y + (W.T @ x) @ (y @ W.T @ W))

    d = mg.derive(f, W, x, y, backend="numba")
    for ours, wanted in zip(leaves(d(W, x, y)), leaves(mg.value_and_grad(f, (0, 1, 2))(W, x, y)), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4 if dtype == np.float32 else 1e-12)
        assert ours.dtype == wanted.dtype
    run = d.latest.run
    assert isinstance(run, numba.core.dispatcher.Dispatcher)
    assert loops == {name for name in run.py_func.__code__.co_names if name.startswith(("_inner", "_weighted"))}


def test_numba_falls_back_and_says_so() -> None:
    pytest.importorskip("numba")
    f = lambda x: mg.sum(x[None, :, None] @ x[None, None, :])  # noqa: E731 - a stack of matrices
    with pytest.warns(UserWarning, match="has no form for numba; f runs as NumPy"):
        d = mg.derive(f, np.ones(3), backend="numba")
    assert same_bits(d(np.arange(3.0))[1], mg.grad(f)(np.arange(3.0)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numba_goes_along_axes(dtype: Any) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape).astype(dtype) for shape in [(6, 5), 5])

    def layer_norm(x: Any, g: Any) -> Any:
        c = x - x.mean(axis=-1, keepdims=True)
        y = g * c / np.sqrt((c * c).mean(axis=1, keepdims=True) + 1e-5)
        return mg.sum(np.max(y, axis=0) + y.mean(axis=0)) + mg.sum(np.max(y * y, axis=1, keepdims=True))

    d = mg.derive(layer_norm, x, g, backend="numba")
    for ours, wanted in zip(leaves(d(x, g)), leaves(mg.value_and_grad(layer_norm, (0, 1))(x, g)), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(
            ours, wanted, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6 * (dtype == np.float32)
        )


def test_the_line_that_numba_does_not_take_is_named() -> None:
    pytest.importorskip("numba")

    def f(x: Any) -> Any:
        padded = np.pad(x, 1)
        return mg.sum(padded * padded)

    with pytest.warns(UserWarning, match=r"`padded = np.pad\(x, .*\)` has no form for numba; f runs as NumPy"):
        d = mg.derive(f, np.ones(3), backend="numba")
    assert same_bits(d(np.arange(3.0))[1], mg.grad(f)(np.arange(3.0)))


def test_numba_takes_arrays_of_any_layout() -> None:
    pytest.importorskip("numba")
    f = lambda x, y: mg.sum(np.reshape(x, (3, 2)) @ y)  # noqa: E731 - a program without large exponentials
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 4))
    d = mg.derive(f, x, y, backend="numba")
    d2 = mg.compile(lambda x: np.reshape(x * 2, 6), backend="numba")  # what is computed lies as the argument does
    for again in (x, np.array(x, order="F"), np.repeat(x, 2, axis=1)[:, ::2]):
        assert same_bits(d2(again), np.arange(6.0) * 2)
        for ours, wanted in zip(leaves(d(again, y)), leaves(d(x, y)), strict=True):
            assert same_bits(ours, wanted)


def test_numba_leaves_reductions_of_a_number() -> None:
    pytest.importorskip("numba")
    f = lambda x: np.sin(np.cumsum(x, axis=0))[0]  # noqa: E731 - numba itself fails at it
    with pytest.warns(UserWarning, match="np.cumsum of a number has no form for numba"):
        assert mg.derive(f, 0.5, backend="numba")(0.5) == mg.value_and_grad(f)(0.5)


def losses_of(compile: str | None) -> list[float]:
    found: list[float] = []
    recipe = Recipe(epochs=4, batch=1000, compile=compile)  # one batch an epoch: numba compiles once
    small = Settings(dim=8, hidden=6, case_dim=2)
    train(conll.embedded("train"), settings=small, recipe=recipe, report=lambda now: found.append(now.loss))
    return found


def test_compiled_training_has_the_losses_of_training() -> None:
    assert losses_of("numpy") == losses_of(None)


def test_training_compiled_by_numba_has_nearly_the_same_losses() -> None:
    pytest.importorskip("numba")
    np.testing.assert_allclose(losses_of("numba"), losses_of(None), rtol=1e-5)
