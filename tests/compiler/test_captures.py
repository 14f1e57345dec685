"""Captures: what a function reaches beside its arguments counts at every call."""

import functools
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from derived import assert_same, by_source, expected, same_bits
from derived_models import X

import minigrad as mg
from minigrad.compiler.tracer import Refused

# what it reaches beside its arguments

scale = 2.0  # a global of the functions below


def test_numbers_and_arrays_of_the_closure_count_when_they_change() -> None:
    weights, factor = np.ones(3), 3.0

    def f(x):
        return np.sum(x * weights) * factor * scale

    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    weights[1] = 5.0  # in place
    assert_same(d(X), expected(f, (X,)))
    weights, factor = np.array([3.0, 1.0, -1.0]), -1.5  # and others
    assert_same(d(X), expected(f, (X,)))
    assert len(d.cache) == 1 and "weights" in d.source and "factor" in d.source


def test_globals_count_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x):
        return np.sum(x) * scale

    d = mg.derive(f, X)
    before = d(X)[0]
    monkeypatch.setitem(globals(), "scale", 5.0)
    assert d(X)[0] == 2.5 * before == f(X)


def test_flags_numbers_and_lists_count_when_they_change() -> None:
    squared, times, parts, kind = True, 2, [np.ones(3)], "sin"

    def f(x):
        y = x * x if squared else x
        for _ in range(times):
            y = np.sin(y) if kind == "sin" else np.cos(y)
        for part in parts:
            y = y + part * x
        return np.sum(y)

    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    squared = False
    assert_same(d(X), expected(f, (X,)))
    times = 4
    assert_same(d(X), expected(f, (X,)))
    kind = "cos"
    assert_same(d(X), expected(f, (X,)))
    parts.append(np.array([0.0, 1.0, 2.0]))
    assert_same(d(X), expected(f, (X,)))
    parts[0] = np.full(3, 7.0)
    assert_same(d(X), expected(f, (X,)))
    del parts[0]
    assert_same(d(X), expected(f, (X,)))


def test_arrays_of_another_shape_or_dtype_count() -> None:
    weights = np.ones(3)

    def f(x):
        return np.sum(x * weights)

    d = mg.derive(f, X)
    for weights in (np.ones((2, 3)), np.ones(3, np.float32), np.arange(3), np.ones(3)):  # noqa: B007
        assert_same(d(X), expected(f, (X,)))


def exchange(x: Any, key: Any, new: Any, at: Any) -> None:
    del x[key]
    x[at] = new


@pytest.mark.parametrize(
    ("held", "f", "change"),
    [
        ([[np.ones(2)], [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[1].append(np.ones(2))),
        ([[np.ones(2)] * 2, [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[0].pop()),
        ([[], [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[0].append(np.ones(2))),
        ([(np.ones(2),)], lambda x, h: x if h[0] is None else x + h[0][0], lambda h: h.__setitem__(0, None)),
        ({"a": 1.0, "b": 2.0}, lambda x, h: x * list(h.values())[1], lambda h: exchange(h, "a", 3.0, "a")),
        ({"a": 1.0, "b": 2.0}, lambda x, h: x * list(h.values())[1], lambda h: exchange(h, "b", 3.0, "c")),
        ([np.float64(2.0)], lambda x, h: x if h[0] is None else x * h[0], lambda h: h.__setitem__(0, None)),
        ([np.ones(2)], lambda x, h: x * h[0], lambda h: h.__setitem__(0, [2.0, 3.0])),
        ([np.ones(2)], lambda x, h: x * h[0], lambda h: h.__setitem__(0, mg.Tensor([2.0, 3.0]))),
        ([np.ones(2)], lambda x, h: x / len(h[0]), lambda h: h.__setitem__(0, np.ones(3))),
        ([2.5], lambda x, h: x * (2 if h[0] is None else 3), lambda h: h.__setitem__(0, None)),
        ([2], lambda x, h: x * h[0], lambda h: h.__setitem__(0, np.arange(2.0))),
        ([np.arange(2)], lambda x, h: x * 2 if h[0] is None or h[0][1] else x, lambda h: h.__setitem__(0, None)),
    ],
)
def test_what_stands_in_containers_may_become_anything(held: Any, f: Any, change: Any) -> None:
    d = mg.derive(lambda x: f(x, held), np.ones(2), wrt=())
    change(held)
    assert same_bits(d(np.arange(2.0)), mg.stop_gradient(f(np.arange(2.0), held)))
    assert same_bits(d(np.ones(2)), mg.stop_gradient(f(np.ones(2), held)))


def test_attributes_that_come_and_go_count() -> None:
    model = types.SimpleNamespace(a=np.ones(2))
    f = lambda x: x * (model.a if hasattr(model, "a") else model.b)  # noqa: E731
    d = mg.derive(f, np.ones(2), wrt=())
    del model.a
    model.b = np.arange(2.0)
    assert same_bits(d(np.ones(2)), np.arange(2.0))


def test_objects_and_functions_that_are_called_count() -> None:
    class Scaled:
        def __init__(self) -> None:
            self.by, self.power, self.w = 2.0, 2, np.ones(3)

        def __call__(self, x: Any) -> Any:
            return inner(x, self) * self.by

    def inner(x: Any, model: Any) -> Any:
        return np.sum(x**model.power * model.w)

    model = Scaled()
    d = mg.derive(model, X)
    assert_same(d(X), expected(model, (X,)))
    model.by, model.w = 3.0, X + 1
    assert_same(d(X), expected(model, (X,)))
    model.power = 3
    assert_same(d(X), expected(model, (X,)))
    bound = mg.derive(model.__call__, X)
    model.by = -1.0
    assert_same(bound(X), expected(model, (X,)))


def test_defaults_count() -> None:
    def f(x, k=3.0, *, shift=np.ones(3)):
        return np.sum(x * k + shift)

    assert_same(mg.derive(f, X)(X), expected(f, (X,)))
    assert_same(by_source(mg.derive(f, X), X), expected(f, (X,)))


def test_tensors_of_the_closure_are_constants_here() -> None:
    t = mg.Tensor(X, name="t")

    def f(x):
        return np.sum(x * t)

    value, g = mg.derive(f, X)(X)
    assert value == 14.0 and same_bits(g, X) and t.grad is None


SCALE = 2.0


class Scaled:
    rate = np.array([1.0, 2.0, 3.0])

    def __init__(self) -> None:
        self.rows = [[np.ones(3)], [np.ones(3)]]
        self.power: Any = 2

    def __call__(self, x: Any) -> Any:
        return np.sum(SCALE * self.rate * self.rows[0][0] * x**self.power)


def test_what_an_object_its_class_and_its_methods_reach_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Scaled(), np.array([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return model(x)

    d = mg.derive(f, x)

    def follows() -> None:
        assert_same(d(x), mg.value_and_grad(f)(x))

    follows()
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    follows()
    monkeypatch.setattr(Scaled, "rate", np.array([3.0, 2.0, 1.0]))
    follows()
    model.rows[0] = [np.array([7.0, 8.0, 9.0])]
    follows()
    model.power = 3
    follows()
    model.power = True
    follows()


# what is reached, and how


def follows(f: Callable[..., Any], *changes: Callable[[], Any]) -> Any:
    """derive gives what the engine gives, also after each of some changes outside of f."""
    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    for change in changes:
        change()
        assert_same(d(X), expected(f, (X,)))
    return d


def test_functions_that_share_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.ones(3)

    def inner(x):
        return x * w * scale

    def f(x):
        return np.sum(inner(x) * w) * scale

    d = follows(f, lambda: w.__setitem__(0, 5.0), lambda: monkeypatch.setitem(globals(), "scale", 3.0))
    assert d.latest.program.name == "f" and "def f(x, w, scale):" in d.source and len(d.cache) == 1


def test_what_stands_in_a_module_of_the_users_counts() -> None:
    config, inner = types.ModuleType("config"), types.ModuleType("inner")
    exec("rate, n = 2.0, 2\ndef scaled(x): return x * rate * offset\noffset = 1.5", vars(config))
    config.inner, inner.config, inner.w = inner, config, np.ones(3)  # type: ignore[attr-defined]
    scope = {"config": config, "np": np}
    exec("def f(x): return np.sum(config.scaled(x) ** config.n * config.inner.w)", scope)
    d = follows(
        scope["f"],  # type: ignore[arg-type]
        lambda: setattr(config, "rate", 5.0),
        lambda: setattr(config, "offset", 2.5),
        lambda: setattr(inner, "w", X),
        lambda: setattr(config, "n", 3),
    )
    assert "def f(x, w, offset, rate):" in d.source


class Config:
    rate, times, w, widths = 0.5, 2, np.ones(3), (1, 2)
    t = mg.Tensor([1.0, 2.0, 3.0])

    @property
    def doubled(self) -> Any:
        return 2 * self.rate * SCALE

    @staticmethod
    def shifted(x: Any) -> Any:
        return x + SCALE

    @classmethod
    def scaled(cls, x: Any) -> Any:
        return cls.rate * x * SCALE


def test_what_stands_in_a_class_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x):
        return np.sum(x * Config.rate * Config.w**Config.times * Config.t.data) * sum(Config.widths)

    def change(name: str, v: Any) -> Callable[[], None]:
        return lambda: monkeypatch.setattr(Config, name, v)

    follows(f, change("rate", 3.0), change("times", 3), change("w", X), change("widths", (4,)))
    config = Config()

    def g(x):
        return np.sum(config.shifted(config.scaled(x))) * config.doubled

    follows(g, lambda: monkeypatch.setitem(globals(), "SCALE", 5.0), lambda: setattr(config, "rate", 7.0))


def test_attributes_of_functions_and_in_slots_count() -> None:
    @dataclass(slots=True)
    class Model:
        w: Any
        n: int

    model = Model(np.ones(3), 2)

    def f(x):
        return np.sum(model.w * x**model.n) * f.rate

    f.rate = 2.0
    follows(f, lambda: setattr(f, "rate", 3.0), lambda: setattr(model, "w", X), lambda: setattr(model, "n", 3))


def test_what_a_deque_a_set_and_a_partial_hold_counts() -> None:
    recent, chosen, model = deque([np.ones(3), 2.0], maxlen=2), {1, 2}, types.SimpleNamespace(scale=2.0)

    def f(model, x, k):
        y = np.sum(x * recent[0] * recent[1]) * model.scale * k
        return y * x[0] if 3 in chosen else y

    follows(
        part := functools.partial(f, model, k=2.0),
        lambda: recent.append(3.0) or recent.appendleft(X),  # type: ignore[func-returns-value]
        lambda: chosen.add(3),
        lambda: setattr(model, "scale", -1.0),
        lambda: part.keywords.update(k=3.0),
    )
    with pytest.raises(Refused, match="an array in a functools"):
        mg.derive(functools.partial(f, 1.0), X)


def test_an_array_that_python_decides_on_counts() -> None:
    flags = np.array([1.0, -1.0, np.nan])

    def f(x):
        y = x
        for flag in flags:
            y = y * x if flag > 0 else y
        return np.sum(y)

    d = follows(f, lambda: flags.__setitem__(0, -1.0), lambda: flags.__setitem__(1, 1.0))
    count = sum(map(len, d.cache.values()))
    assert d(X)[0] == f(X) and sum(map(len, d.cache.values())) == count == 3


def test_a_tuple_that_stands_in_two_places() -> None:
    pair = (np.ones(3), 2.0)
    a, b = [pair], [pair]

    def f(x):
        return np.sum(x * a[0][0] * b[0][0]) * b[0][1]

    follows(
        f,
        lambda: pair[0].__setitem__(0, 7.0),
        lambda: b.__setitem__(0, (X.copy(), 1.0)),
        lambda: b[0][0].__setitem__(0, 9.0),
    )


@pytest.mark.parametrize("start", [np.array([1.0]), np.array(1.0)])
def test_a_tensor_that_python_decides_on_counts(start: np.ndarray) -> None:
    s = mg.Tensor(start)
    for decide in (lambda: s.item() > 0, lambda: float(s) > 0, lambda: s > 0, lambda: np.any(s.data > 0)):
        s.data = start

        def f(x: Any, decide: Any = decide) -> Any:
            return mg.sum(x * 2) if decide() else mg.sum(x * 5)

        d, step = mg.derive(f, np.ones(3)), mg.compile(f)
        assert d(np.ones(3))[0] == step(np.ones(3)) == 6
        s.data = -start
        assert d(np.ones(3))[0] == step(np.ones(3)) == 15
        s.data = start
        assert d(np.ones(3))[0] == step(np.ones(3)) == 6


def test_a_method_of_a_tensors_class_is_not_called_for_its_new_state() -> None:
    """What the method made of it is recorded: called again, it would make it twice."""

    class Doubled(mg.Tensor):
        def __setattr__(self, key: str, x: Any) -> None:
            super().__setattr__(key, 2 * x if key == "_data" else x)

    results = []
    for how in (lambda f: f, mg.compile):
        w = Doubled(np.ones(2))

        def step(x: Any, w: mg.Tensor = w) -> Any:
            w.data = w.data + x
            return w.data + 1

        run = how(step)
        results.append([*(run(np.ones(2)) for _ in range(3)), w.data])
    assert all(map(same_bits, *results))
