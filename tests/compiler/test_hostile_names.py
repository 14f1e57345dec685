"""Names that are data, in every place where a name can stand: none becomes code, and the results are right."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import hostile
import numpy as np
import pytest
import scipy.special
from derived import by_source
from hostile import ATTACKS, KEYS, NAMES, TEXTS, assert_plain, assert_shown
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiler.identifiers import KERNELS, is_printers
from minigrad.compiler.source import Step, called, constant, has_literal
from minigrad.text import Identifier, identifier, is_identifier

OPTIONS = {"wrt", "backend", "pinned", "exact"}  # of derive itself
X = np.array([1.0, 2.0, -0.5])
CALL_KEY = ATTACKS[0]


def number(name: str) -> str:
    """A name in the id of a test."""
    return str(NAMES.index(name))


@pytest.fixture(autouse=True)
def nothing_is_executed():
    hostile.EXECUTED.clear()
    yield
    assert hostile.EXECUTED == []


def weighted(values):
    """A function in which each value has a part of its own."""
    return sum(np.sum(i * x * x) for i, x in enumerate(values, 1))


def arrays(n):
    return [X + i for i in range(n)]


def by_hand(values):
    return sum(np.sum(i * x * x) for i, x in enumerate(values, 1)), [2 * i * x for i, x in enumerate(values, 1)]


def assert_right(d: Any, got: Any, values: list[Any]) -> None:
    value, gradients = by_hand(values)
    np.testing.assert_allclose(got[0], value)
    for g, right in zip(got[1], gradients, strict=True):
        np.testing.assert_allclose(g, right)
    assert_plain(d.source)
    for text in (repr(d), str(d.guards), repr(d.guards), *map(repr, d.guards)):
        assert_shown(text)
    d.source.encode()  # no half of a surrogate pair


def check_keywords(names: list[str]) -> None:
    values = arrays(len(names))
    d = mg.derive(lambda **named: weighted(named.values()), **dict(zip(names, values)))
    got = d(**dict(zip(names, values)))
    assert_right(d, got if len(names) > 1 else (got[0], [got[1]]), values)
    got = by_source(d, *values)
    assert_right(d, got if len(names) > 1 else (got[0], [got[1]]), values)


def test_keywords() -> None:
    check_keywords(NAMES)


@pytest.mark.parametrize("name", NAMES, ids=number)
def test_one_keyword(name: str) -> None:
    check_keywords([name])


@settings(max_examples=50)
@given(st.lists(TEXTS.filter(lambda text: text not in OPTIONS), min_size=1, max_size=4, unique=True))
def test_any_keywords(names: list[str]) -> None:
    check_keywords(names)
    assert hostile.EXECUTED == []


def test_keywords_arrive_under_their_own_names() -> None:
    def f(**named):
        assert [*named] == ["learning-rate", "class"]
        return named["learning-rate"] * np.sum(named["class"])

    d = mg.derive(f, **{"learning-rate": 0.5, "class": X})
    assert d(**{"learning-rate": 2.0, "class": X})[0] == 2 * np.sum(X)
    assert "def f(learning_rate, class_):" in d.source
    by_name = mg.derive(f, wrt="class", **{"learning-rate": 0.5, "class": X})
    np.testing.assert_array_equal(by_name(**{"learning-rate": 2.0, "class": X})[1], [2.0, 2.0, 2.0])


def test_names_that_python_reads_as_one_stay_two() -> None:
    values = {"µ": X, "μ": X + 1, "ﬁ": X + 2, "fi": X + 3, "fi_": X + 4}  # the first is U+00B5, the second U+03BC
    d = mg.derive(lambda **k: weighted(k.values()), **values)
    assert_right(d, d(**values), [*values.values()])
    assert_right(d, by_source(d, *values.values()), [*values.values()])


def test_a_stored_array_called_gradient_is_an_argument() -> None:
    d = mg.derive(lambda **k: np.sum(k["gradient"] * k["x"]), x=X, gradient=X + 1)
    np.testing.assert_array_equal(d(x=X, gradient=X + 1)[1][0], X + 1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_compiled_steps(backend: str) -> None:
    names = NAMES[:: 9 if backend == "numba" else 3]
    tensors = [mg.Tensor(x, name) for x, name in zip(arrays(len(names)), names)]
    rates = SimpleNamespace(**dict.fromkeys(names, 0.0))

    @functools.partial(mg.compile, backend=backend)
    def step(**named):
        for t in tensors:
            t.grad = None
        J = weighted([t * named[n] + getattr(rates, n) for t, n in zip(tensors, names)])
        J.backward()
        for t in tensors:
            t.data -= 0.001 * t.grad
        return J

    data = [t.data.copy() for t in tensors]
    values = dict(zip(names, arrays(len(names))))
    for _ in range(2):
        J, gradients = by_hand([x * v for x, v in zip(data, values.values())])
        np.testing.assert_allclose(step(**values), J)
        data = [x - 0.001 * g * v for x, g, v in zip(data, gradients, values.values())]
        for t, x in zip(tensors, data):
            np.testing.assert_allclose(t.data, x)
    assert_plain(step.source)
    assert_shown(str(step.guards))


def test_loops() -> None:
    names = NAMES[:4]
    big = {n: np.linspace(0.1, 1.0, 20_000) + i for i, n in enumerate(names)}
    f = lambda **k: np.sum(np.exp(-(k[names[0]] * k[names[1]] + k[names[2]]))) + weighted(k.values())  # noqa: E731
    d = mg.derive(f, backend="numba", **big)
    np.testing.assert_allclose(d(**big)[0], f(**big))


# containers


def test_keys_of_an_argument() -> None:
    values = dict(zip(KEYS, arrays(len(KEYS))))
    d = mg.derive(lambda tree: weighted(tree.values()), values)
    value, gradient = d(values)
    assert [*gradient] == KEYS and all(a is b for a, b in zip(gradient, KEYS) if not isinstance(a, str | int | tuple))
    assert_right(d, (value, [*gradient.values()]), [*values.values()])
    value, parts = by_source(d, values)
    assert_right(d, (value, parts), [*values.values()])  # a list, as not every key has a literal form


@settings(max_examples=50)
@given(st.dictionaries(TEXTS, st.just(None), min_size=1, max_size=4))
def test_any_keys_of_an_argument(keys: dict[str, None]) -> None:
    values = dict(zip(keys, arrays(len(keys))))
    d = mg.derive(lambda tree: weighted(tree.values()), values)
    value, gradient = by_source(d, values)
    assert [*gradient] == [*keys]
    assert_right(d, (value, [*gradient.values()]), [*values.values()])
    assert hostile.EXECUTED == []


def test_keys_and_attributes_in_reach() -> None:
    tree = dict(zip(KEYS, arrays(len(KEYS))))
    holder = SimpleNamespace(**dict(zip(NAMES, arrays(len(NAMES)))))
    vars(holder).update({5: X + 100, "count": 3})  # type: ignore[dict-item]
    n = len(KEYS)

    def f(x):
        held = [x for key, x in vars(holder).items() if key != "count"]
        return weighted([x, *tree.values(), *held]) * holder.count

    d = mg.derive(f, X)

    def right(x):
        values = [x, *tree.values(), *(x for key, x in vars(holder).items() if key != "count")]
        return by_hand(values)[0] * holder.count

    np.testing.assert_allclose(d(X)[0], right(X))
    tree[CALL_KEY] = X + 50  # captured arrays are read at every call
    setattr(holder, ATTACKS[1], X - 7)
    np.testing.assert_allclose(d(X)[0], right(X))
    assert len(d.cache) == 1
    holder.count = 4
    np.testing.assert_allclose(d(X)[0], right(X))
    assert_plain(d.source)
    assert_shown(str(d.guards))
    assert len(tree) == n


def test_attributes_that_a_step_changes() -> None:
    holder = SimpleNamespace(**{name: 1.0 for name in ATTACKS})

    @mg.compile
    def step(x):
        for name in ATTACKS:
            setattr(holder, name, getattr(holder, name) * 2)
        return np.sum(x)

    step(X), step(X)
    assert {*vars(holder).values()} == {4.0}
    assert_plain(step.source)


def test_fields_of_a_dataclass() -> None:
    for name in NAMES:
        step = Step(name, 0, is_attribute=True)
        found = eval(step.source("x"), {"x": SimpleNamespace(**{name: X})})
        assert found is X

    Parts = dataclasses.make_dataclass("Parts", [("match", Any), ("_0", Any), ("np", Any)])
    d = mg.derive(lambda p: weighted([p.match, p._0, p.np]), Parts(*arrays(3)))
    value, g = d(Parts(*arrays(3)))
    assert_right(d, (value, [g.match, g._0, g.np]), arrays(3))


def test_fields_of_a_structured_array() -> None:
    for name in [n for n in NAMES[::3] if n]:
        table = np.zeros(3, [(name, float), ("other", float)])
        table[name] = X
        d = mg.derive(lambda x, t, name=name: np.sum(x * t[name]), X, table, wrt=0)
        np.testing.assert_array_equal(d(X, table)[1], X)
        np.testing.assert_array_equal(by_source(d, X, table)[1], X)
        assert_plain(d.source)
        captured = mg.derive(lambda x, t=table, name=name: np.sum(x * t[name]), X)
        np.testing.assert_array_equal(captured(X)[1], X)
        assert_shown(str(captured.guards))


# functions and variables


@pytest.mark.parametrize("name", NAMES, ids=number)
def test_functions(name: str) -> None:
    def f(x):
        return weighted([x])

    f.__name__ = f.__qualname__ = f.__module__ = name
    d = mg.derive(f, X)
    assert_right(d, (lambda value, g: (value, [g]))(*d(X)), [X])
    assert_right(d, (lambda value, g: (value, [g]))(*by_named(d, X)), [X])
    with pytest.raises(TypeError) as error:
        pickle.dumps(d)
    assert_shown(str(error.value))
    with pytest.raises(TypeError) as error:
        mg.derive(f, X, pinned=True)(X[:2])
    assert_shown(str(error.value))


def by_named(d: Any, *args: Any) -> Any:
    """The result of the shown source, whose function may have another name than f."""
    scope: dict[str, Any] = {"np": np}
    exec(d.source, scope)
    return next(x for x in scope.values() if isinstance(x, FunctionType))(*args)


@pytest.mark.parametrize("name", [None, 5, [], "f"])
def test_callables_without_a_name(name: Any) -> None:
    class Model:
        __name__ = name

        def __call__(self, x):
            return weighted([x])

    d = mg.derive(Model(), X)
    assert_right(d, (lambda value, g: (value, [g]))(*d(X)), [X])


def test_a_function_called_like_what_its_source_needs() -> None:
    def np_(x, k):
        return np.sum(mg.sort(x) * k)

    for name in ("np", "_0", "sorted", "len", "range", "float", "__builtins__"):
        np_.__name__ = name
        d = mg.derive(np_, X, X)
        np.testing.assert_array_equal(d(X, X)[0], np.sum(np.sort(X) * X))
        np.testing.assert_array_equal(by_named(d, X, X)[0], np.sum(np.sort(X) * X))


def test_parameters_called_like_what_a_dialect_makes() -> None:
    def f(_0, _1, _c0, _rows, _selected):
        return np.sum(2.5 * _0 * _1 + 3.5 * _c0 * _1) + np.sum(_rows) * np.sum(_selected)

    args = X, X + 1, X + 2, X + 3, X + 4
    for backend in ("numpy", "numba"):
        d = mg.derive(f, *args, backend=backend)
        np.testing.assert_allclose(d(*args)[0], f(*args))
    import ast

    from minigrad.compiler.dialects.fast import GLOBALS
    from minigrad.compiler.jit import KERNELS as source

    defined = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert defined | {*GLOBALS} == KERNELS
    assert all(map(is_printers, ("_0", "_12", "_c3", "_loop0"))) and not any(map(is_printers, ("_", "_x", "c0")))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "x"], ids=number)
def test_variables(name: str) -> None:
    """Local and global variables may be called anything, for those who make code objects and namespaces."""
    code = compile("y = x * x\nz = y * 3\n", "<made>", "exec")

    def f(x):
        local = {"x": x, name: 2 * x}
        exec(renamed(code, "z", name), {}, local)
        return np.sum(local["y"])

    d = mg.derive(f, X)
    assert_right(d, (lambda value, g: (value, [g]))(*d(X)), [X])

    outer = {"np": np, name: 2.0, "__name__": name}
    made = renamed((lambda x: np.sum(x * CALL_KEY)).__code__, "CALL_KEY", name)
    if name != "np":
        d = mg.derive(FunctionType(made, outer), X)
        assert d(X)[0] == 2 * np.sum(X)
        outer[name] = 3.0
        assert d(X)[0] == 3 * np.sum(X)
        assert_plain(d.source)
        assert_shown(str(d.guards))


def renamed(code: CodeType, old: str, new: str) -> CodeType:
    return code.replace(co_names=tuple(new if name == old else name for name in code.co_names))


@pytest.mark.parametrize("name", NAMES, ids=number)
def test_files(name: str) -> None:
    scope: dict[str, Any] = {"np": np}
    exec(compile("def f(x):\n    return np.sum(x * x)\n\ndef g(x):\n    return x[x > 0]\n", "made.py", "exec"), scope)
    for g in scope["f"], scope["g"]:
        g.__code__ = g.__code__.replace(co_filename=name, co_name=name)
    assert_right(d := mg.derive(scope["f"], X), (lambda value, g: (value, [g]))(*d(X)), [X])
    with pytest.raises(TypeError) as error:
        mg.derive(lambda x: np.sum(scope["g"](x).reshape(3)), X)
    assert_shown(str(error.value))


# calls and constants


def test_ops_of_ones_own() -> None:
    for name in ATTACKS:

        def body(x, /, **how):
            return x * x, lambda g: 2 * g * x

        body.__name__ = name
        square = mg.op()(body)
        d = mg.derive(lambda x: np.sum(square(x, **{name: 1})), X)  # noqa: B023 - called at once
        assert_right(d, (lambda value, g: (value, [g]))(*d(X)), [X])


def test_only_functions_of_numpy_are_called() -> None:
    def twice(x):
        return 2 * x

    for name in ("sum", *ATTACKS):
        twice.__name__, twice.__module__ = name, "numpy"
        with pytest.raises(TypeError, match="calls functions of NumPy alone") as error:
            called(twice)
        assert_shown(str(error.value))
        twice.__module__ = f"minigrad.{name}"
        with pytest.raises(TypeError, match="calls functions of NumPy alone"):
            called(twice)
    with pytest.raises(TypeError, match="functions of NumPy alone, got expit"):
        from scipy.special import expit

        mg.derive(lambda x: expit(x).sum(), X, wrt=())
    special = [scipy.special.erf, scipy.special.iv]
    for f in (scipy.special.gamma, np.frompyfunc(lambda x: x, 1, 1), None):
        with pytest.raises(TypeError, match="calls functions of NumPy alone"):
            called(f)
    twice.__name__, twice.__module__ = "erf", "scipy.special"
    with pytest.raises(TypeError, match="functions of NumPy alone, got erf"):
        called(twice)
    assert [*map(called, special)] == ["scipy.special.erf", "scipy.special.iv"]
    assert (called(np.linalg.norm), called(np.add.reduceat)) == ("np.linalg.norm", "np.add.reduceat")


def test_keywords_of_a_call() -> None:
    def f(x):
        return np.sum(np.apply_along_axis(np.sum, 0, x, keepdims=False))

    assert mg.derive(f, X, wrt=())(X) == np.sum(X)
    for order in map(hostile.Treacherous, ("C", "A")):
        d = mg.derive(lambda x, order=order: np.sum(np.reshape(x, (3, 1), order)), X)
        assert d(X)[0] == np.sum(X)


@pytest.mark.parametrize(
    "x", [hostile.Treacherous("C"), hostile.Level.HIGH, complex(np.nan, 1), np.dtype(">f8"), b"'", 1.5, True, "\ud800"]
)
def test_constants_are_what_they_were(x: Any) -> None:
    found = eval(constant(x), {"np": np})
    assert found == x or (str.__str__(x) == found if isinstance(x, str) else np.isnan(x) and np.isnan(found))


@pytest.mark.parametrize(
    "x", [object(), np.array([hostile.Treacherous("x")], object), np.dtype([("a'b", float)]), hostile.Colour]
)
def test_what_has_no_literal_form_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="has no literal form; pass it as an argument"):
        constant(x)
    assert not has_literal(x)


@given(st.recursive(TEXTS | st.integers() | st.floats() | st.binary() | st.none(), lambda x: st.tuples(x, x)))
def test_keys_are_read_as_they_were(key: Any) -> None:
    if has_literal(key):
        assert eval(constant(key), {"np": np}) == key
    assert eval(Step(key, 0, is_attribute=False).source("x"), {"x": {key: X}}) is X


# the gate itself


@given(TEXTS)
def test_an_identifier_is_read_as_it_is_written(text: str) -> None:
    word = identifier(text)
    scope: dict[str, Any] = {}
    exec(f"{word} = 1\ndef f({word}): return {word}", scope)
    assert word in scope and is_identifier(word)
    if is_identifier(text):
        assert word == text[:100]
    else:
        with pytest.raises(ValueError, match="must be an identifier"):
            Identifier(text)


def test_a_parameter_called_scipy() -> None:
    d = mg.derive(lambda scipy: mg.sum(mg.erf(scipy)), X)
    assert "scipy.special.erf(scipy_)" in d.source
    np.testing.assert_array_equal(d(X)[0], np.sum(scipy.special.erf(X)))
