"""The contract of compile and derive: what is an input, a guard, refused; a step does what the step does."""

import collections
import contextvars
import copy
import functools
import itertools
import pickle
import queue
import types
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
from derived import compile_follows as follows
from derived import same_bits

import minigrad as mg
from minigrad.compiler.tracer import Refused

X = np.array([1.0, 2.0, 3.0])
RATE = 1.0


# arguments are looked into


class Model:
    factor = 2.0

    def __init__(self) -> None:
        self.w, self.s, self.n = mg.Tensor(np.ones(3), name="w"), 1.0, 2
        self.layers = [mg.Tensor(np.ones(3)), mg.Tensor(np.ones(3))]

    def __call__(self, x: Any) -> Any:
        return mg.sum(self.w * x * self.layers[0] * self.layers[1]) * self.s * self.n * self.factor * RATE


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "s", 5.0),
        lambda m: setattr(m, "n", 7),
        lambda m: setattr(m, "factor", 3.0),
        lambda m: setattr(m.w, "data", np.arange(3.0)),
        lambda m: m.w.data.__setitem__(0, 9.0),
        lambda m: m.layers.__setitem__(0, mg.Tensor(np.arange(3.0))),
        lambda m: setattr(m, "w", mg.Tensor(np.arange(3.0))),
    ],
)
def test_an_object_as_an_argument(change: Callable[[Model], Any]) -> None:
    model = Model()
    follows(lambda m, x: m(x), lambda: change(model), model, X)


def test_fresh_objects_are_no_reason_to_compile_again() -> None:
    @mg.compile
    def step(m: Any, x: Any) -> Any:
        return mg.sum(m.w * x) * m.s

    for k in range(20):
        m = types.SimpleNamespace(w=np.full(3, float(k)), s=float(k))
        assert step(m, X) == 6.0 * k * k
    assert len(step.cache) == 1 and sum(map(len, step.cache.values())) == 1


@dataclass
class Net:
    W: Any

    def __call__(self, x: Any) -> Any:
        return self.W @ x * RATE


class Pair(NamedTuple):
    W: Any

    def __call__(self, x: Any) -> Any:
        return self.W @ x * RATE


@pytest.mark.parametrize("kind", [Net, Pair])
def test_a_method_of_an_argument_reads_a_global(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = kind(np.ones((2, 3)))
    derived = mg.derive(lambda n, x: mg.sum(n(x)), net, X, wrt=1)
    assert derived(net, X)[0] == 12.0
    follows(lambda n, x: n(x), lambda: monkeypatch.setitem(globals(), "RATE", 5.0), net, X)
    assert derived(net, X)[0] == 60.0


def test_a_function_and_a_set_as_arguments() -> None:
    factor, chosen = [1.0], {1}
    follows(lambda g, x: g(x), lambda: factor.__setitem__(0, 9.0), lambda x: x * factor[0], X)
    follows(lambda c, x: x * (2 if 2 in c else 1), lambda: chosen.add(2), chosen, X)


def test_state_of_arguments_is_updated() -> None:
    """The model, the optimizer and the counters that a step changes are those it was called with."""
    both = []
    for wrap in (lambda f: f, mg.compile):
        m = Model()
        o = mg.optim.Adam([m.w, *m.layers], lr=0.1)
        m.calls, m.mean = 0, np.zeros(3)

        def step(m, o, x):
            o.zero_grad()
            J = (m(x) - 1.0) ** 2
            J.backward()
            o.step()
            m.calls += 1
            m.mean = 0.9 * m.mean + 0.1 * m.w.data
            return J

        run = wrap(step)
        losses = [float(run(m, o, X)) for _ in range(5)]
        both.append((losses, m.w.data, m.layers[0].data, m.calls, m.mean, o.steps, o.counts))
    for a, b in zip(*both):
        assert same_bits(a, b)


def test_two_arguments_that_become_one() -> None:
    def step(a: Any, b: Any) -> Any:
        a.data -= 0.5
        b.data -= b.data * 0.25
        return b.data * 1.0

    compiled = mg.compile(step)
    p, q = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(2))
    r, s = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(2))
    for (a, b), (c, d) in zip([(p, q), (p, p), (q, p)], [(r, s), (r, r), (s, r)]):
        assert same_bits(compiled(a, b), step(c, d)) and same_bits(a.data, c.data) and same_bits(b.data, d.data)


def test_an_argument_that_is_captured_too() -> None:
    w, v = mg.Tensor(np.ones(2)), mg.Tensor(np.ones(2))
    step = mg.compile(lambda t, x: w * x + t * x)
    assert same_bits(step(w, X[:2]).data, 2 * X[:2])
    v.data = np.full(2, 5.0)
    assert same_bits(step(v, X[:2]).data, 6 * X[:2])
    w.data = np.full(2, 2.0)
    assert same_bits(step(w, X[:2]).data, 4 * X[:2])


# what is reached by other ways


class Box:
    def __init__(self, v: Any) -> None:
        self.v = v

    def __call__(self) -> Any:
        return self.v


class Descriptor:
    def __init__(self) -> None:
        self.v = 1.0

    def __get__(self, _: Any, __: Any) -> Any:
        return self.v


class Meta(type):
    level = 1.0


class Many(metaclass=Meta):
    box = Box(1.0)
    described = Descriptor()
    none: Any = None
    part = functools.partial(lambda *_, k: k, k=1.0)  # from Python 3.14 on called with the object

    class Hyper:
        s = 1.0


class Named(dict[str, Any]):
    pass


def test_what_classes_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    o = Many()
    follows(lambda x: x * o.box(), lambda: setattr(Many.box, "v", 3.0), X)
    follows(lambda x: x * o.described, lambda: setattr(vars(Many)["described"], "v", 3.0), X)
    follows(lambda x: x * o.Hyper.s, lambda: monkeypatch.setattr(Many.Hyper, "s", 3.0), X)
    follows(lambda x: x * Many.level, lambda: monkeypatch.setattr(Meta, "level", 3.0), X)
    follows(lambda x: x if o.none is None else x * o.none, lambda: monkeypatch.setattr(Many, "none", 3.0), X)
    new = functools.partial(lambda *_, k: k, k=3.0)
    follows(lambda x: x * o.part(), lambda: monkeypatch.setattr(Many, "part", new), X)


def test_what_other_places_hold() -> None:
    named = Named(a=1.0)
    named.s = 1.0
    follows(lambda x: x * named.s * named["a"], lambda: setattr(named, "s", 4.0), X)
    numbers = array("d", [1.0, 2.0])
    follows(lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 5.0), X)
    inner = mg.compile(lambda x: x * named.s)
    follows(lambda x: inner(x) * 2, lambda: setattr(named, "s", 7.0), X)


def test_what_cannot_be_followed_is_refused() -> None:
    variable = contextvars.ContextVar("variable", default=1.0)
    for f, message in [
        (lambda x: x * globals()["RATE"], r"globals\(\) was called in <lambda>"),
        (lambda x: x * eval("RATE"), r"eval\(\) was called"),
        (lambda x: x * variable.get(), "the context variable variable was read"),
    ]:
        with pytest.raises(Refused, match=message):
            mg.compile(f)(X)


class Counter:
    def __init__(self) -> None:
        self.batches = iter([1.0, 2.0])


@pytest.mark.parametrize(
    "kind", [iter, enumerate, zip, lambda x: (e for e in x), itertools.cycle, lambda x: map(abs, x)]
)
def test_an_iterator_is_refused_and_not_advanced(kind: Callable[[Any], Any]) -> None:
    held, unused = kind([1.0, 2.0]), Counter()
    for f in (lambda x: x * np.asarray(next(held)), lambda x: [x * np.asarray(e) for e in held]):
        with pytest.raises(Refused, match=r"the iterator held was used.*call next\(\) outside"):
            mg.compile(f)(X)
    with pytest.raises(Refused, match="the iterator batch"):
        mg.compile(lambda batch, x: x * np.asarray(next(batch)))(held, X)
    assert next(held) == next(kind([1.0, 2.0]))
    assert same_bits(mg.compile(lambda c, x: x * 2)(unused, X), 2 * X)  # it may be there


def test_a_generator_of_random_numbers_as_an_argument_is_refused() -> None:
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.derive(lambda x, rng: mg.sum(x * rng.random(3)), X, rng)
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.compile(lambda x: x * np.random.rand(3))(X)
    assert rng.random() == again.random()


def test_a_queue_is_refused_and_not_emptied() -> None:
    batches: queue.Queue[Any] = queue.Queue()
    batches.put(2.0)
    with pytest.raises(Refused, match="the queue batches was used"):
        mg.compile(lambda x: x * batches.get())(X)
    assert batches.qsize() == 1


def test_files_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "numbers"
    path.write_text("1\n2\n")
    with path.open() as file:
        with pytest.raises(Refused, match="the file file was used"):
            mg.compile(lambda x: x * float(file.readline()))(X)
        assert file.readline() == "1\n"


# integers


def test_an_int_is_an_input_in_arithmetic_and_a_guard_where_python_needs_it() -> None:
    n, steps = 3, 0

    @mg.compile
    def step(x: Any, k: Any) -> Any:
        nonlocal steps
        steps += 1
        return x * k * n / steps

    for n, k in ((3, 2), (4, 5), (2**70, 2**65)):
        assert same_bits(step(X, k), X * k * n / steps)
    assert steps == 3 and sum(map(len, step.cache.values())) == 1

    @mg.compile
    def repeated(x: Any, k: Any) -> Any:
        for _ in range(k):
            x = x * 2
        return x.reshape(-1, n) * [0.5] * 2 if n > 1 else x**k

    for n, k in ((3, 2), (3, 3), (1, 3), (3, 2)):
        assert same_bits(repeated(X, k), X * 2**k if n > 1 else (X * 2**k) ** k) or n > 1
    assert sum(map(len, repeated.cache.values())) == 3


class Numbers:
    n, f = 7, 2.5


@pytest.mark.parametrize(
    "f",
    [
        lambda x, c: x * (c.n // 2) + c.n % 4,
        lambda x, c: x * (c.n / 2) - (-c.n) ** 3,
        lambda x, c: x * f"{c.n}".count("7") + len([0] * c.n),
        lambda x, c: x * {7: 2.0, 8: 3.0}[c.n] + (c.n << 3),
        lambda x, c: x * max(c.n, 3) + round(c.f) + abs(-c.n) + int(c.f),
        lambda x, c: x * (3.0 if isinstance(c.n, int) and isinstance(c.f, float) else 1.0),
        lambda x, c: x * c.n.bit_length() + c.f.is_integer(),
        lambda x, c: x.reshape((1, -1))[:, : c.n // 3] + np.zeros(c.n // 3),
    ],
)
def test_python_s_own_arithmetic(f: Callable[[Any, Any], Any]) -> None:
    numbers = Numbers()
    follows(lambda x: f(x, numbers), lambda: vars(numbers).update(n=8, f=3.0), X)
    follows(f, lambda: vars(numbers).update(n=7, f=2.5), X, numbers)


def test_counters_that_python_reads_are_refused() -> None:
    """The step would be compiled at every call."""
    state = types.SimpleNamespace(n=0)

    def step(x: Any) -> Any:
        state.n += 1
        return x * 2 if state.n % 2 else x

    with pytest.raises(Refused, match="n changes at every call, and Python reads its value"):
        mg.compile(step)(X)
    assert state.n == 0


def test_integers_have_no_gradient() -> None:
    with pytest.raises(TypeError, match="needs a floating-point argument, got integers"):
        mg.derive(lambda w: w**2, 3)
    d = mg.derive(lambda x, a: mg.sum(a * x), X, 2.0)
    _, (dx, da) = d(X, 3)
    assert same_bits(dx, np.full(3, 3.0)) and da == 6.0


# flags, classes and types


class Phase(IntEnum):
    A = 1
    B = 2


def test_a_flag_that_a_step_flips() -> None:
    m = types.SimpleNamespace(first=True, cache=None, phase=Phase.A)

    @mg.compile
    def step(x: Any) -> Any:
        if m.first:
            m.first = False
            return x * 5
        m.cache = x * 1.0 if m.cache is None else m.cache + x
        return x * m.phase

    found = [step(X) for _ in range(4)]
    assert same_bits(found[0], X * 5) and same_bits(found[3], X) and m.first is False
    assert same_bits(m.cache, 3 * X)
    m.phase = Phase.B
    assert same_bits(step(X), 2 * X)


@pytest.mark.parametrize("how", ["array", "float", "scalar", "number", "type"])
def test_what_python_asks_about_a_value(how: str) -> None:
    s, m = 3.0, np.array([0.0, 1.0, 2.0])
    ask: dict[str, Callable[[], bool]] = {
        "array": lambda: isinstance(m, np.ndarray),
        "float": lambda: isinstance(s, float) and not isinstance(s, int),
        "scalar": lambda: bool(np.isscalar(s)),
        "number": lambda: not hasattr(s, "dtype") and hasattr(m, "dtype"),
        "type": lambda: not isinstance(m, list | float),
    }
    f = lambda x: x * s + m if ask[how]() else x  # noqa: E731
    assert same_bits(mg.compile(f)(X), f(X))


def test_a_refusal_cannot_be_caught() -> None:
    def f(x):
        try:
            if x.sum() > 0:
                return mg.sum(x * 2)
        except Exception:
            pass
        return mg.sum(x)

    with pytest.raises(Refused, match="the value of greater"):
        mg.derive(f, X, wrt=())


def test_no_grad_is_a_guard() -> None:
    w = mg.Tensor(X.copy())
    f = mg.compile(lambda x: mg.sum(w * x))
    with mg.no_grad():
        assert isinstance(f(X), np.floating)
    f(X).backward()
    assert same_bits(w.grad, X)
    with mg.no_grad():
        assert isinstance(f(X), np.floating)


# shapes that depend on values


@pytest.mark.parametrize(
    "f",
    [
        lambda x, n: x[:n],
        lambda x, n: np.split(x, [n]),
        lambda x, n: np.pad(x, n),
        lambda x, n: np.tile(x, n),
        lambda x, n: np.repeat(x, n),
        lambda x, n: x.reshape(n, -1),
        lambda x, n: np.broadcast_to(x[0], (n,)),
    ],
)
@pytest.mark.parametrize("kind", [int, np.int64])
def test_shapes_that_depend_on_a_number(f: Callable[[Any, Any], Any], kind: Any) -> None:
    n = kind(1)
    compiled = mg.compile(lambda x: f(x, n))
    for n in (kind(1), kind(3), kind(1)):
        for y, z in zip(compiled(X), f(X, n)):
            assert same_bits(y, z)
    if kind is int:
        passed = mg.compile(f)
        for n in (1, 3, 1):
            for y, z in zip(passed(X, n), f(X, n)):
                assert same_bits(y, z)
    else:
        with pytest.raises(Refused, match="the value of the argument n"):
            mg.compile(f)(X, np.int64(1))


@pytest.mark.parametrize(
    "f",
    [
        lambda x, ids: np.bincount(ids).size * x,
        lambda x, ids: x[: len(np.unique(ids))],
        lambda x, ids: np.repeat(x, ids),
        lambda x, ids: np.zeros_like(x, shape=np.union1d(ids, ids).shape),
        lambda x, ids: np.split(x, ids),
        lambda x, ids: x * np.nonzero(ids)[0].size,
        lambda x, ids: x * np.where(ids)[0].size,
        lambda x, ids: x * x[np.ix_(ids > 0)].size,
    ],
)
def test_shapes_that_depend_on_an_array_are_refused(f: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(Refused, match=r"depends on values|was read"):
        mg.compile(f)(X, np.array([1, 0, 2]))


# the world is put back


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.items.pop(),
        lambda s: s.table.pop("a"),
        lambda s: s.recent.popleft(),
        lambda s: delattr(s, "w"),
        lambda s: s.items.append(1.0),
        lambda s: s.table.clear(),
        lambda s: s.chosen.discard(1),
        lambda s: setattr(Many, "new", 1.0),
        lambda s: setattr(test_integers_have_no_gradient, "new", 1.0),
        lambda s: setattr(s.t, "name", "other"),
        lambda s: setattr(s, "w", [1.0]),
        lambda s: setattr(s, "w", s),
        lambda s: globals().__setitem__("NEW", 1.0),
    ],
)
def test_a_refusal_changes_nothing(damage: Callable[[Any], Any]) -> None:
    state = types.SimpleNamespace(
        items=[np.ones(3), 2.0, np.zeros(3)],
        table={"a": np.ones(3), "b": 1.0},
        recent=collections.deque([np.ones(3), 1.0]),
        chosen={1, 2},
        w=np.ones(3),
        t=mg.Tensor(np.ones(3), name="t"),
    )
    before = {key: copy.copy(value) for key, value in vars(state).items() if key != "t"}
    stamp, graph = state.t._stamp, mg.sum(state.t * 2)

    def step(x):
        state.t.data -= x
        state.w[0] = 7.0
        state.items[0] += 1
        damage(state)
        Many, test_integers_have_no_gradient  # noqa: B018
        return x

    with pytest.raises((Refused, TypeError)):
        mg.compile(step)(X)
    for key, value in before.items():
        now = getattr(state, key)
        assert type(now) is type(value) and (key == "w" or list(now) == list(value) or key in ("items", "recent"))
        if key in ("items", "recent"):
            assert len(now) == len(value) and all(x is y for x, y in zip(now, value))
    assert same_bits(state.w, np.ones(3)) and same_bits(state.t.data, np.ones(3))
    assert state.t._stamp == stamp and state.t.name == "t" and type(state.t) is mg.Tensor
    graph.backward()
    assert same_bits(state.t.grad, np.full(3, 2.0))
    assert not hasattr(Many, "new") and not hasattr(test_integers_have_no_gradient, "new") and "NEW" not in globals()


def test_what_may_not_be_returned_or_stored() -> None:
    held: dict[str, Any] = {"t": None, "w": np.ones(3)}
    with pytest.raises(Refused, match="a Box was returned"):
        mg.compile(lambda x: Box(x))(X)
    with pytest.raises(Refused, match="t was given 'Tensor'"):
        mg.compile(lambda x: held.update(t=mg.Tensor(x)))(X)
    assert held["t"] is None


def test_a_cache_that_keeps_tracers() -> None:
    w = np.ones(3)

    @functools.lru_cache
    def doubled() -> Any:
        return w * 2

    f = mg.compile(lambda x: x * doubled())
    f(X)
    with pytest.raises(Refused, match="an array of an earlier recording was used"):
        f(X)


# functions of functions


def test_compiled_functions_are_differentiated() -> None:
    w, s = mg.Tensor(np.array([1.0, 2.0, 3.0]), name="w"), 2.0
    f = lambda x: mg.sum((w * x) ** 2) * s  # noqa: E731
    c = mg.compile(f)
    for _ in range(3):
        y, z = c(X), f(X)
        assert isinstance(y, mg.Tensor) and same_bits(y.data, z.data)
        for value in (y + mg.sum(w), z + mg.sum(w)):
            w.grad = None
            value.backward()
            grad, expected = w.grad, 2 * w.data * X * X * s + 1
            assert same_bits(grad, expected)
        assert same_bits(mg.grad(c)(X), mg.grad(f)(X))
        assert same_bits(mg.hessian(c)(X), mg.hessian(f)(X))
        assert same_bits(mg.jvp(c, (X,), (X,))[1], mg.jvp(f, (X,), (X,))[1])
    y = c(X)
    s = 3.0
    with pytest.raises(RuntimeError, match="something that it depends on has changed since"):
        y.backward()
    w.data = np.ones(3)
    with pytest.raises(RuntimeError, match="run the forward pass again"):
        y.backward()


def test_compiled_functions_of_results() -> None:
    v = mg.Tensor(X.copy())
    c = mg.compile(lambda t, x: mg.sum(t * t * x))
    for _ in range(3):
        v.grad = None
        (c(v * 2, X) * 3).backward()
        assert same_bits(v.grad, 3 * 4 * 2 * X * X)
        v.grad = None
        (c(v, X) * 3).backward()
        assert same_bits(v.grad, 3 * 2 * X * X)


def test_derived_functions_are_differentiated() -> None:
    d = mg.derive(lambda x: mg.sum(x**3), X)
    assert same_bits(mg.grad(lambda x: mg.sum(d(x)[1]))(X), 6 * X)
    v = mg.Tensor(X.copy())
    mg.sum(d(v)[1]).backward()
    assert same_bits(v.grad, 6 * X)


def test_compiled_functions_within_others() -> None:
    w = mg.Tensor(np.ones(3), name="w")
    inner = mg.compile(lambda x: x * w)
    inner(X)

    @mg.compile
    def step(x: Any) -> Any:
        J = mg.sum(inner(x) ** 2)
        J.backward()
        w.data -= 0.1 * w.grad
        w.grad = None
        return J

    assert step(X) == 14.0 and "inner" not in step.source
    np.testing.assert_allclose(w.data, 1 - 0.2 * X * X, rtol=1e-14)
    np.testing.assert_allclose(step(X), np.sum((X * (1 - 0.2 * X * X)) ** 2), rtol=1e-14)
    d = mg.derive(lambda x: mg.sum(inner(x)), X)
    assert same_bits(d(X)[1], w.data)


class Decorated:
    def __init__(self) -> None:
        self.w = mg.Tensor([1.0, 2.0, 3.0])

    @mg.compile
    def step(self, x: Any) -> Any:
        return mg.sum(self.w * x)


@mg.compile
def at_the_top(x: Any) -> Any:
    return x * 2


def plainly(x: Any) -> Any:
    return x * 3


def test_methods_and_pickles() -> None:
    one, other = Decorated(), Decorated()
    other.w.data = np.zeros(3)
    for _ in range(3):
        assert one.step(X).item() == 14.0 and other.step(X).item() == 0.0
    assert pickle.loads(pickle.dumps(at_the_top)) is at_the_top
    assert same_bits(pickle.loads(pickle.dumps(mg.compile(plainly, exact=False)))(X), 3 * X)
    with pytest.raises(TypeError, match="a derived function cannot be pickled; derive plainly where it is needed"):
        pickle.dumps(mg.derive(plainly, X, wrt=()))


def test_functions_that_do_not_return_are_refused() -> None:
    def generates(x):
        yield x

    async def waits(x):
        return x

    for f in (generates, waits):
        with pytest.raises(TypeError, match="needed a function that returns, got the generator or coroutine"):
            mg.compile(f)
