"""What a function reaches by rarer ways, and what Python asks about it: followed, or refused."""

import collections
import contextlib
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from derived import compile_follows as follows
from derived import same_bits

import minigrad as mg
from minigrad.compiler.tracer import Refused

X = np.array([1.0, 2.0, 3.0])


class Parameter(mg.Tensor):
    """A subclass with attributes, as for freezing."""

    decay = 0.5

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.trainable, self.momentum = True, 0 * X

    def scaled(self, x: Any) -> Any:
        return self * x * FACTOR


FACTOR = 2.0


def test_subclasses_of_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    p = Parameter(X.copy())
    follows(lambda x: mg.sum(p * x) if p.trainable else mg.sum(x * 1.0), lambda: setattr(p, "trainable", False), X)
    follows(lambda x: p.data * x * p.decay, lambda: monkeypatch.setattr(Parameter, "decay", 3.0), X)
    follows(lambda x: p.scaled(x), lambda: monkeypatch.setitem(globals(), "FACTOR", 5.0), X)

    def step(x: Any) -> Any:
        p.momentum = p.momentum + x
        return x * 1.0

    compiled = mg.compile(step)
    compiled(X), compiled(X)
    assert type(p.momentum) is np.ndarray and same_bits(p.momentum, 2 * X) and type(p) is Parameter


def module(name: str, **values: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(values)
    return made


def test_a_module_in_a_closure() -> None:
    config = module("config", lr=1.0, calls=0, ema=0 * X)

    def step(x: Any) -> Any:
        config.calls += 1  # type: ignore[attr-defined]
        config.ema = config.ema + x  # type: ignore[attr-defined]
        return x * getattr(config, "lr")  # noqa: B009

    compiled = mg.compile(step)
    compiled(X), compiled(X)
    config.lr = 5.0  # type: ignore[attr-defined]
    assert same_bits(compiled(X), 5 * X) and config.calls == 3 and same_bits(config.ema, 3 * X)


class Base:
    k = property(lambda self: 2.0)
    s = staticmethod(lambda: 2.0)
    __slots__ = ("late",)

    def f(self, x: Any) -> Any:
        return x * getattr(self, "late", 1.0)


class Derived(Base):
    __slots__ = ()


def test_what_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Derived()
    follows(lambda x: b.f(x), lambda: setattr(b, "late", 4.0), X)
    follows(lambda x: x * getattr(b, "new", 1.0), lambda: monkeypatch.setattr(Derived, "new", 3.0, raising=False), X)
    follows(lambda x: b.f(x) * b.k * b.s(), lambda: monkeypatch.setattr(Base, "k", property(lambda self: 7.0)), X)
    follows(lambda x: b.s() * x, lambda: monkeypatch.setattr(Base, "s", staticmethod(lambda: 9.0)), X)
    follows(lambda x: b.f(x), lambda: monkeypatch.setattr(Derived, "f", lambda self, x: x * 7.0, raising=False), X)

    def absent(x: Any) -> Any:
        try:
            return x * LATER  # type: ignore[name-defined]
        except NameError:
            return x

    follows(absent, lambda: monkeypatch.setitem(globals(), "LATER", 8.0), X)


class Pair(collections.namedtuple("Pair", "a b")):
    @classmethod
    def made(cls, x: Any) -> Any:
        return cls(x, x * 2)


def test_what_stays_is_no_reason_to_compile_again() -> None:
    b = Derived()
    f = mg.compile(lambda x: mg.sum(Pair.made(x).b) * b.k * b.s())
    for _ in range(4):
        f(X)
    assert sum(map(len, f.cache.values())) == 1


counts = {"n": 0}


@contextlib.contextmanager
def counted() -> Any:
    counts["n"] += 1
    yield


def test_a_context_manager_of_the_users() -> None:
    def step(x: Any) -> Any:
        with counted():
            return x * 2

    counts["n"] = 0
    compiled = mg.compile(step)
    for _ in range(3):
        compiled(X)
    assert counts["n"] == 3


def test_what_python_asks_by_type_and_attribute() -> None:
    t, held = mg.Tensor(X.copy()), types.SimpleNamespace(a=X.copy(), b=X.copy())
    f = mg.compile(
        lambda x, n: (type(x) is np.ndarray, type(n) is int, type(t) is mg.Tensor, type("K", (), {}).__name__)
    )
    assert f(X, 3) == (True, True, True, "K")
    follows(lambda x: x * x.itemsize * (x.nbytes if hasattr(x, "nbytes") else 1), lambda: None, X)
    follows(lambda x: x * 2 if held.a is held.b else x * 3, lambda: setattr(held, "b", held.a), X)
    with pytest.raises(Refused, match="a traced array has no strides"):
        mg.compile(lambda x: x * 2 if getattr(x, "strides", None) else x)(X)


def test_constants_in_single_precision_keep_their_digits() -> None:
    f = lambda x: x * np.float32(0.1) + x // np.float32(0.3)  # noqa: E731
    for x in (X, X.astype(np.float32)):
        assert same_bits(mg.compile(f)(x), f(x))
        value, g = mg.derive(lambda x: mg.sum(x * np.float32(0.1)), x)(x)
        expected = mg.value_and_grad(lambda x: mg.sum(x * np.float32(0.1)))(x)
        assert same_bits(value, expected[0]) and same_bits(g, expected[1])


def caught(x: Any) -> Any:
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return x * 0


def with_errors(x: Any) -> Any:
    with np.errstate(all="raise"):
        return np.log(x)


ordered, weak, proxy = collections.OrderedDict(a=1.0, b=2.0), weakref.ref(Base), types.MappingProxyType({"k": 2.0})


def reordered(x: Any) -> Any:
    ordered.move_to_end("a")
    return x


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (caught, "LinAlgError .* was caught"),
        (with_errors, "np.errstate was entered"),
        (reordered, "the order of a dict was changed"),
        (lambda x: ordered.pop("a") * x, "removed from"),
        (lambda x: weak() and x, "weak, a .*, was used"),
        (lambda x: x * proxy["k"], "proxy, a mappingproxy, was used"),
        (lambda x: np.asarray(x), "was converted by np.array or np.asarray"),
        (lambda x: x.astype(np.float32, order="F"), "astype with order='F'"),
        (lambda x: x * np.longdouble(0.1), "which has no literal form"),
    ],
)
def test_what_is_refused(f: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        mg.compile(f)(-np.eye(2))
    assert list(ordered) == ["a", "b"] and len(ordered) == 2 and ordered["a"] == 1.0


def test_state_that_only_is_read_is_not_written_by_methods_of_the_users() -> None:
    class Frozen(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            raise TypeError("frozen")

    class Meta(type):
        def __setattr__(cls, key: str, value: Any) -> None:
            raise AttributeError("constant")

    class Constants(metaclass=Meta):
        lr = 2.0

    config, local = Frozen(lr=2.0), threading.local()
    local.k = 2.0
    f = mg.compile(lambda x: x * config["lr"] * Constants.lr * local.k)
    for _ in range(3):
        assert same_bits(f(X), 8 * X)


def test_gradients_through_a_function_with_effects_are_an_error() -> None:
    p, state = mg.Tensor(X.copy()), {"n": 0}

    @mg.compile
    def forward(x: Any) -> Any:
        state["n"] += 1
        return p * x

    for _ in range(3):
        with pytest.raises(RuntimeError, match="a compiled function that changes state; call backward inside"):
            (mg.sum(forward(X) ** 2) + mg.sum(p * p)).backward()
    assert state["n"] == 3 and same_bits(forward(X).data, X * X)


@dataclass(frozen=True, slots=True)
class Batch:
    x: Any
    k: float


@dataclass(eq=False)
class Tree:
    w: Any
    parent: Any = None
    late: Any = field(init=False)


@dataclass
class Computed:
    w: Any
    size: Any = field(init=False)

    def __post_init__(self) -> None:
        self.size = int(np.size(self.w))


def test_dataclasses_of_all_kinds() -> None:
    f = mg.compile(lambda b: b.x * b.k)
    for k in (1.0, 2.0, 3.0):
        assert same_bits(f(Batch(X * k, k)), X * k * k)
    assert len(f.cache) == 1
    tree = Tree(X)
    tree.parent = Tree(X, tree)
    assert same_bits(mg.compile(lambda t, x: t.w * t.parent.w * x)(tree, X), X**3)
    made = mg.compile(lambda x: (Computed(x * 2), collections.OrderedDict(a=x)))
    for _ in range(2):
        computed, order = made(X)
        assert same_bits(computed.w, 2 * X) and computed.size == 3 and type(order) is collections.OrderedDict


def test_random_numbers_of_another_thread_are_its_own() -> None:
    drawn: list[float] = []
    stop = threading.Event()

    def loader() -> None:
        while not stop.is_set():
            drawn.append(np.random.rand())

    thread = threading.Thread(target=loader)
    thread.start()
    try:
        for _ in range(10):
            f = mg.compile(lambda x: x * 2.0)
            f(X), f(X)
    finally:
        stop.set()
        thread.join()
    assert len(set(drawn)) == len(drawn)


def test_large_models_and_long_programs_compile_in_seconds() -> None:
    """What is reached, and the length of the program, count linearly."""
    model = types.SimpleNamespace(w=X, vocabulary={f"w{i}": i for i in range(3000)})
    assert same_bits(mg.compile(lambda x: x * model.w)(X), X * X)

    def long(x: Any) -> Any:
        for i in range(600):
            x = np.tanh(x) + i
        return x

    assert same_bits(mg.compile(long)(X), long(X))
