"""The numba backend: the same results, and a warning where a call has no form for it."""

import importlib.util
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from derived import expected, same_bits
from derived_models import ALL, CORRUPT, IDS, MODELS, W
from steps import FEW, MANY, Model, loss, losses_of, model, windows

import minigrad as mg
from minigrad.trees import leaves
from models.window import Windows, objective

WITHOUT_CASES = replace(ALL, W=W, C=None), Windows(IDS), Windows(CORRUPT)  # half the program to compile


@pytest.mark.parametrize(("f", "args"), [(objective, WITHOUT_CASES), MODELS["softmax"]], ids=["objective", "softmax"])
def test_a_model_by_numba(f: Any, args: Any) -> None:
    """All of it, or there would be a warning."""
    d = mg.derive(f, *args, backend="numba")
    for got, wanted in zip(leaves(d(*args)), leaves(expected(f, args)), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [FEW, MANY])
def test_rows_that_an_optimizer_wants_merged_by_numba(shape: tuple[int, int]) -> None:
    tables = []
    for backend in (None, "numba"):
        L = model().L
        optimizer = mg.optim.Adagrad([L], lr=0.01)

        def step(ids: Any, L: Any = L, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            mg.sum(mg.embedding(L, ids) ** 2).backward()
            optimizer.step()

        run = mg.compile(step, backend=backend) if backend else step
        for seed in range(3):
            run(windows(shape, seed).ravel())
        tables.append(L.data)
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-12, atol=1e-15)


def test_what_numba_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install -e "\.\[fast\]"'):
        mg.compile(lambda x: x, backend="numba")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_axes_by_keyword(backend: str) -> None:
    x, W = np.arange(3.0), np.arange(9.0).reshape(3, 3)
    f = lambda x, W: x @ np.transpose(W, axes=(0, 1)) + np.transpose(W, (1, 0))[0] * W.T[1]  # noqa: E731
    np.testing.assert_allclose(mg.compile(f, backend=backend)(x, W), f(x, W), rtol=1e-12)


@pytest.mark.parametrize(("shape", "whole"), [(FEW, True), ((3000, 10), False)])
def test_numba_leaves_large_exponentials_to_numpy(shape: tuple[int, int], whole: bool) -> None:
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
    ((specialization,),) = steps[1].cache.values()
    assert isinstance(specialization.run, numba.core.dispatcher.Dispatcher) == whole
    assert "_subtract_rows" in getattr(specialization.run, "py_func", specialization.run).__code__.co_names


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numba_takes_long_formulas_in_one_pass(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minigrad.compiler.dialects.loops.LARGE_ARRAY", 10_000)
    rng = np.random.default_rng(0)
    x, u, y = (rng.normal(size=shape).astype(dtype) for shape in [(200, 100), 200, 100])

    def f(x: Any, u: Any, y: Any) -> Any:
        return mg.sum(mg.sigmoid(x) * np.outer(u, y))

    d = mg.derive(f, x, u, y, backend="numba")
    names = d.latest.run.__code__.co_names
    assert ("_loop0" in names) == (dtype != np.float16), "numba has no half precision"
    for ours, wanted in zip(leaves(d(x, u, y)), leaves(mg.value_and_grad(f, (0, 1, 2))(x, u, y)), strict=True):
        assert same_bits(ours, wanted)


WITHOUT_NUMBA = """
import sys
import numpy as np
import minigrad as mg
from models import conll
from models.training import Recipe, train

for optimizer in "sgd", "adagrad":
    recipes = [Recipe(epochs=2, optimizer=optimizer, compile=backend) for backend in ("numpy", "numba")]
    ours, other = [train(conll.embedded("train"), recipe=recipe).params for recipe in recipes]
    assert "numba" not in sys.modules
    assert all(np.array_equal(a, b) for a, b in zip(vars(ours).values(), vars(other).values()))
"""


def test_numba_takes_no_time_where_it_would_save_less() -> None:
    """A short training runs as NumPy, and numba is not even imported."""
    subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], check=True, cwd=Path(__file__).parents[2])


def test_numba_is_not_imported_for_what_has_no_loops() -> None:
    """Products of matrices take most of the tagger's step: with rows that are merged it is nothing but NumPy."""
    code = WITHOUT_NUMBA.replace('"sgd", "adagrad"', '["adagrad"]').replace(
        "import numpy", "import minigrad.compiler.jit\nminigrad.compiler.jit.wins_back = lambda *_: True\nimport numpy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("calls", [None, "many", -1, np.nan])
def test_calls_is_a_number_of_calls(calls: Any) -> None:
    with pytest.raises(ValueError, match=r"calls needs to be the number of calls.*got"):
        mg.compile(np.sin, calls=calls)


def large_update(x: Any, y: Any) -> Any:
    z = x * y - x * 2 + y
    return np.tanh(z) * z


@pytest.mark.parametrize(
    ("what", "few", "many"), [(FEW, 1000, 10**6), ((3000, 10), 100, 10**5), (large_update, 1000, 10**6)]
)
def test_numba_compiles_where_so_many_calls_win_it_back(what: Any, few: int, many: int) -> None:
    """A whole program, the loops over rows, formulas over large arrays."""
    results = []
    for backend, calls in ("numpy", many), ("numba", few), ("numba", many):
        m = model()

        def step(x: Any, y: Any = None, m: Model = m) -> Any:
            if callable(what):
                return what(x, y)
            optimizer = mg.optim.SGD([m.L], lr=0.01)
            loss(m, x).backward()
            optimizer.step()
            optimizer.zero_grad()
            return m.L.data

        f = mg.compile(step, backend=backend, calls=calls)
        args = (np.ones((400, 400)), np.ones((400, 400))) if callable(what) else (windows(what, 0),)
        results.append([f(*args) for _ in range(3)][-1])
        assert f.backend == ("numba" if calls == many else "numpy") or backend == "numpy"
    assert same_bits(results[1], results[0])
    np.testing.assert_allclose(results[2], results[0], rtol=1e-12)


@pytest.mark.parametrize(("n", "whole"), [(8, True), (400, False)])
def test_work_on_elements_is_left_to_numpy(n: int, whole: bool) -> None:
    d = mg.compile(lambda W, x: np.maximum(W @ x, 0), backend="numba")
    d(np.ones((n, n)), np.ones((n, n)))
    ((specialization,),) = d.cache.values()
    assert isinstance(specialization.run, numba.core.dispatcher.Dispatcher) == whole


ROWS = np.array([1, 3, 3, -1])
BOOLEAN = np.array([True, True, False, True, True])


@pytest.mark.parametrize(
    ("table", "ids", "rows", "alone"),
    [
        (np.ones((5, 2)), ROWS, np.ones((4, 2)), True),
        (np.ones((5, 2)), ROWS.astype(np.int32), np.ones((4, 2), np.float32), True),
        (np.ones((5, 2)), ROWS, np.arange(2.0).reshape(1, 2), False),
        (np.ones((5, 2)), ROWS, np.arange(4.0).reshape(4, 1), False),
        (np.ones((5, 2)), abs(ROWS).astype(np.uint64), np.ones((4, 2)), False),
        (np.ones((5, 2)), BOOLEAN, np.ones((4, 2)), False),
        (np.ones((5, 2), np.float16), ROWS, np.ones((4, 2), np.float16), False),
        (np.ones((5, 4, 3)), ROWS, np.arange(12.0).reshape(4, 3), False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_numba_adds(
    table: Any, ids: Any, rows: Any, alone: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop is for as many rows of a matrix as there are indices; what else NumPy broadcasts is left to it."""
    monkeypatch.setattr("minigrad.compiler.jit.numpy_is_faster", lambda schedule: not whole)

    def f(table: Any, ids: Any, rows: Any) -> Any:
        sums = table * 2
        np.add.at(sums, ids, rows)
        return sums

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ours = mg.compile(f, backend="numba")(table, ids, rows)
    assert same_bits(ours, f(table, ids, rows)) and bool(told) == (whole and not alone)


def test_numba_keeps_single_precision_where_numbers_are_chosen() -> None:
    x, lr = np.arange(-2, 2, dtype=np.float32), 0.1
    f = lambda x: (np.where(x > 0, np.float32(1), 0), np.where(x > 0, x, lr), np.where(x > 0, 2, x))  # noqa: E731
    for ours, wanted in zip(mg.compile(f, backend="numba")(x), f(x), strict=True):
        assert same_bits(ours, wanted)


def test_numba_concatenates_along_an_axis() -> None:
    x = np.arange(6.0).reshape(2, 3)
    f = lambda x: np.concatenate([x, x * 2], 1)  # noqa: E731
    assert same_bits(mg.compile(f, backend="numba")(x), f(x))
    for f in (lambda x: np.concatenate([x, x * 2], axis=None), lambda x: np.concatenate(x[None])):
        with pytest.warns(UserWarning, match="np.concatenate, but for arrays along an axis, has no form for numba"):
            assert same_bits(mg.compile(f, backend="numba")(x), f(x))


def test_numba_has_no_half_precision() -> None:
    x = np.ones(3, np.float16)
    with pytest.warns(UserWarning, match=r"the program \(float16\) has no form for numba"):
        assert same_bits(mg.compile(lambda x: x * 2, backend="numba")(x), x * 2)


@pytest.mark.parametrize(
    ("n", "loops", "dtype"),
    [(5, {"_inner", "_inner_rows", "_weighted_rows"}, np.complex128), (60, {"_inner"}, np.float32)],
)
def test_small_products_are_loops_for_numba(n: int, loops: set[str], dtype: Any) -> None:
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
    f = lambda x: mg.sum(x[None, :, None] @ x[None, None, :])  # noqa: E731 - a stack of matrices
    with pytest.warns(UserWarning, match="has no form for numba; f runs as NumPy"):
        d = mg.derive(f, np.ones(3), backend="numba")
    assert same_bits(d(np.arange(3.0))[1], mg.grad(f)(np.arange(3.0)))


def test_numba_goes_along_axes() -> None:
    """In single precision, which sums and means could leave."""
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)

    def f(x: Any) -> Any:
        y = x - x.mean(axis=-1, keepdims=True)
        return y * np.max(y, axis=1, keepdims=True), np.max(y, axis=0) + y.mean(axis=0), y.sum(axis=1, keepdims=True)

    for ours, wanted in zip(mg.compile(f, backend="numba")(x), f(x), strict=True):
        assert ours.dtype == np.float32 and ours.shape == wanted.shape
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


def test_the_line_that_numba_does_not_take_is_named() -> None:

    def f(x: Any) -> Any:
        padded = np.pad(x, 1)
        return mg.sum(padded * padded)

    with pytest.warns(UserWarning, match=r"`padded = np.pad\(x, .*\)` has no form for numba; f runs as NumPy"):
        d = mg.derive(f, np.ones(3), backend="numba")
    assert same_bits(d(np.arange(3.0))[1], mg.grad(f)(np.arange(3.0)))


def test_numba_takes_arrays_of_any_layout() -> None:
    f = lambda x: (np.reshape(x, (3, 2)), np.reshape(x * 2, 6))  # noqa: E731 - what is computed lies as x does
    d, x = mg.compile(f, backend="numba"), np.arange(6.0).reshape(2, 3)
    for again in (x, np.array(x, order="F"), np.repeat(x, 2, axis=1)[:, ::2]):
        for ours, wanted in zip(d(again), f(x), strict=True):
            assert same_bits(ours, wanted)


def test_numba_leaves_reductions_of_a_number() -> None:
    f = lambda x: np.sin(np.cumsum(x, axis=0))[0]  # noqa: E731 - numba itself fails at it
    with pytest.warns(UserWarning, match="np.cumsum of a number has no form for numba"):
        assert mg.derive(f, 0.5, backend="numba")(0.5) == mg.value_and_grad(f)(0.5)


def test_training_compiled_by_numba_has_nearly_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"case_feature": False}  # half the program to compile
    monkeypatch.setattr("minigrad.compiler.jit.wins_back", lambda *_: True)
    np.testing.assert_allclose(losses_of("numba", **words), losses_of(None, **words), rtol=1e-5)
