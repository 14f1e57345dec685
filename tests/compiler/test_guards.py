"""Guards: shown as conditions, generated as source that has a listing, and each of them watched."""

import inspect
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.compiler.guards import CONDITIONS, Apart, Guard
from minigrad.compiler.layout import is_contiguous

X = np.array([1.0, 2.0, 3.0])


class Net:
    """An object of the user's with all that a guard can be about."""

    def __init__(self) -> None:
        self.training = True
        self.depth = 2
        self.scale = 0.5
        self.layers = [np.ones(3), np.ones(3)]
        self.rows = [(np.ones(3), np.ones(3))]
        self.mask = np.array([True, False, True])
        self.tags = {"a"}
        self.sizes = {"x": 1}
        self.recent = deque([1.0])
        self.bias = mg.Tensor(np.zeros(3), name="bias")


def derived() -> tuple[Net, Any]:
    net = Net()
    other = net.layers

    def f(x):
        y = x * net.scale + net.bias.data
        for layer in [*net.layers, *other, *net.rows[0], *net.recent]:
            y = y + layer
        if net.training and net.mask[0] and "a" in net.tags and net.sizes["x"] < net.depth:
            y = y * net.depth
        return mg.sum(y)

    return net, mg.derive(f, X)


def test_they_read_as_conditions() -> None:
    lines = str(derived()[1].guards).splitlines()
    assert "type(x) is ndarray and x.shape == (3,) and x.dtype is float64" in lines
    assert "net.training is True" in lines
    assert "(net.depth is 2 or type(net.depth) is int and net.depth == 2)" in lines
    assert "type(net.scale) is float" in lines
    assert "len(net.layers) == 2" in lines
    assert "type(other[1]) is ndarray and other[1].shape == (3,) and other[1].dtype == float64" in lines
    assert "type(net.mask) is ndarray and identical(net.mask, <ndarray>)" in lines
    assert "net.tags == {'a'}" in lines
    assert "[*net.sizes] == ['x']" in lines
    assert "net.bias.grad is None" in lines
    assert any(line.startswith("[*vars(net)] == ['training', 'depth'") for line in lines)


def test_they_are_records() -> None:
    guards = derived()[1].guards
    assert all(isinstance(guard, Guard) and guard.kind in CONDITIONS for guard in guards)
    assert {guard.kind for guard in guards} >= {"array argument", "identity", "constant", "contents", "array", "keys"}
    (depth,) = (guard for guard in guards if guard.place == "net.depth")
    assert (depth.kind, depth.expected, repr(depth)) == ("constant", 2, f"<{depth}>")


def test_the_checks_have_a_listing() -> None:
    latest = derived()[1].latest
    for function in latest.fits, latest.captured, latest.quick:
        assert inspect.getsource(function).startswith("def ")
    assert "_training" in inspect.getsource(latest.fits) and "raise GuardFailed" in inspect.getsource(latest.quick)


CHANGES = {
    "training": lambda net: setattr(net, "training", False),
    "depth": lambda net: setattr(net, "depth", 3),
    "mask": lambda net: net.mask.__setitem__(0, False),
    "tags": lambda net: net.tags.add("b"),
    "sizes": lambda net: net.sizes.__setitem__("y", 2),
    "recent": lambda net: net.recent.append(2.0),
    "rows": lambda net: net.rows.append((np.ones(3),)),
    "an attribute": lambda net: setattr(net, "new", 1),
    "a shape": lambda net: net.layers.__setitem__(0, np.ones(1)),
    "a gradient": lambda net: setattr(net.bias, "grad", np.ones(3)),
    "the type of a number": lambda net: setattr(net, "scale", np.float32(0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_of_them_is_watched(name: str) -> None:
    net, d = derived()
    first = d.latest
    assert first.fits(X) and d.quick is not None
    CHANGES[name](net)
    assert not first.fits(X)
    d(X)
    assert d.latest is not first


def test_names_that_are_no_identifiers_stay_out_of_the_source() -> None:
    """An attribute or key with any text in it is bound to a name; what it says is never run."""
    key = "k\n    raise SystemExit  # "
    held = {key: 2}
    holder = Net()
    setattr(holder, "a b", 3)
    d = mg.derive(lambda x: mg.sum(x * held[key] * getattr(holder, "a b")), X)
    assert d(X)[0] == 36.0
    held[key] = 3
    assert d(X)[0] == 54.0


def test_there_are_none_before_the_first_call() -> None:
    step = mg.compile(lambda x: mg.sum(x))
    with pytest.raises(ValueError, match="call it, then look at its guards"):
        step.guards  # noqa: B018


def test_arguments_of_every_kind() -> None:
    def f(tree, n, flag, how, k):
        y = mg.sum(tree["w"] * tree["v"][0]) * n * k
        return y if flag and how == "sum" else -y

    d = mg.derive(f, {"w": X, "v": [np.float64(2.0)]}, 3, True, "sum", 0.5)
    assert str(d.guards).splitlines() == [
        "type(tree) is dict and len(tree) == 2",
        "type(tree['w']) is ndarray and tree['w'].shape == (3,) and tree['w'].dtype is float64",
        "type(tree['v']) is list and len(tree['v']) == 1",
        "type(tree['v'][0]) is float64",
        "type(n) is int",
        "type(k) is float",
        "flag is True",
        "(how is 'sum' or type(how) is str and how == 'sum')",
    ]


class Batch(NamedTuple):
    x: Any
    scale: float


def parameter() -> tuple[mg.Tensor, Any]:
    w = mg.Tensor(np.ones((4, 2)), name="w")

    def step(batch: Batch, lr: float) -> Any:
        w.grad = None
        J = mg.sum(w * batch.x) * batch.scale
        J.backward()
        w.data -= lr * w.grad
        return J

    return w, step


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_a_gradient_that_is_replaced_unread_may_be_any(order: list[int]) -> None:
    """zero_grad comes first: None, an array and rows of a table before it are one specialization."""
    w, step = parameter()
    other, eager = parameter()
    compiled = mg.compile(step)
    mg.sum(mg.embedding(w, [1, 1])).backward()
    before = [None, np.full((4, 2), 7.0), w.grad]
    for i in order:
        w.grad = other.grad = before[i]
        batch = Batch(np.arange(8.0).reshape(4, 2), 2.0)
        assert same_bits(compiled(batch, 0.1), eager(batch, 0.1).data)
        assert same_bits(w.data, other.data) and same_bits(w.grad, other.grad)
    assert sum(map(len, compiled.cache.values())) == 1 and "grad" not in str(compiled.guards)


def test_a_gradient_that_is_read_first_is_guarded() -> None:
    w = mg.Tensor(np.ones(2), name="w")

    @mg.compile
    def step(x: Any) -> None:
        first = w.grad is None
        w.grad = None
        mg.sum(w * x).backward()
        w.grad = w.grad * (1 if first else 10)

    step(X[:2])
    assert w.grad.tolist() == [1, 2]
    step(X[:2])
    assert w.grad.tolist() == [10, 20]
    w.grad = None
    step(X[:2])
    assert w.grad.tolist() == [1, 2]


def test_a_gradient_that_is_held_elsewhere_too_is_an_input() -> None:
    w, kept = mg.Tensor(np.ones(2), name="w"), [np.ones(2)]

    @mg.compile
    def step(x: Any) -> Any:
        w.grad = None
        mg.sum(w * x).backward()
        return kept[0] * x

    for held in np.array([5.0, 6.0]), np.array([7.0, 8.0]):
        w.grad = kept[0] = held
        assert step(X[:2]).tolist() == (held * X[:2]).tolist() and w.grad.tolist() == [1, 2]
    assert step(X[:2]).tolist() == [7.0, 16.0] and w.grad.tolist() == [1, 2]


def test_the_quick_call_takes_containers_and_numbers_and_no_others() -> None:
    w, step = parameter()
    other, eager = parameter()
    compiled = mg.compile(step, audit=False)
    x = np.arange(8.0).reshape(4, 2)
    calls = [(Batch(x, 2.0), 0.1)] * 3
    calls += [(Batch(x, 2.0), np.float64(0.1)), (Batch(x, 2.0), np.array(0.1)), (Batch(x, 2), 0.1)]
    calls += [(Batch(x[:1], 2.0), 0.1), (Batch(x.astype(np.float32), 2.0), 0.1), calls[0]]
    for call in calls:
        for _ in range(3):
            assert same_bits(compiled(*call), eager(*call).data) and same_bits(w.data, other.data)
    assert same_bits(compiled.quick[0](*calls[0]), eager(*calls[0]).data) and same_bits(w.data, other.data)
    with pytest.raises(AttributeError):
        compiled((x, 2.0), 0.1)
    double = mg.compile(lambda s: mg.stop_gradient(s) * 2, audit=False)
    for s in np.float32(3.0), np.float32(3.0), mg.Tensor(np.float32(3.0)):  # of the same shape and dtype
        assert not isinstance(double(s), mg.Tensor)


def test_the_specialization_used_last_is_tried_first() -> None:
    _, step = parameter()
    compiled = mg.compile(step)
    small, large = (Batch(np.ones(shape), 1.0) for shape in [(1, 2), (4, 2)])
    for batch in small, large, small, small:
        compiled(batch, 0.1)
    ((first, second),) = compiled.cache.values()
    assert first.fits(small, 0.1) and second.fits(large, 0.1)


def test_arrays_that_come_to_share_memory_are_noticed() -> None:
    base = np.ones(6)
    for one, other, shared in [(base[:3], base[3:], False), (base[:3], base[2:5], True), (base[:3], np.ones(3), False)]:
        w, c = mg.Tensor(np.ones(3), name="w"), [np.ones(3)]

        def step(x: Any, w: mg.Tensor = w, c: list[Any] = c) -> Any:
            w.data += c[0] * x
            return c[0] + x

        compiled = mg.compile(step)
        compiled(np.ones(3))
        compiled(np.ones(3))
        w._data, c[0] = one.copy() if not shared else one, other
        guards = [g for g in compiled.guards if g.kind == "apart"]
        assert guards
        assert compiled.latest.fits(np.ones(3)) != shared
        assert compiled.latest.fits(np.ones(3)) != shared


def test_an_argument_that_lies_in_what_is_written_is_noticed() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=6)
    inside: dict[str, Callable[[Any], Any]] = {
        "itself": lambda w: w,
        "a view": lambda w: w[:3],
        "a view of a view": lambda w: w[1:][::-1],
        "through the buffer protocol": lambda w: np.frombuffer(memoryview(w))[:4],
        "another array": lambda w: start[::-1][1:3],
    }
    for name, of in inside.items():
        results = []
        for how in (lambda f: f, mg.compile):
            w = mg.Tensor(start)

            def step(x: Any, w: mg.Tensor = w) -> Any:
                w.data *= 0.5
                w.data[: len(x)] += x
                return w.data.copy(), x * 2

            run = how(step)
            run(np.ones(len(of(w.data))))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                results.append(run(of(w.data)))
        assert bool(caught) == (name != "another array"), name
        assert all(map(same_bits, *results)), name


def test_views_of_other_arrays_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    w, x = mg.Tensor(np.ones(2)), np.arange(8.0).reshape(4, 2)

    @mg.compile
    def moved(x: Any) -> None:
        w.data += x

    moved(x[0])
    moved(x[1])
    monkeypatch.setattr(Apart, "__call__", lambda *_: pytest.fail("looked up"))
    moved(x[2])
    moved(x[3].copy())
    assert w.data.tolist() == [13.0, 17.0]


@pytest.mark.parametrize(
    "relaid",
    [
        lambda x: x,
        np.asfortranarray,
        lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        lambda x: np.repeat(x, 2, 1)[:, ::2],
        lambda x: np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_is_the_same_wherever_its_matrix_lies(relaid: Callable[[Any], Any], dtype: Any) -> None:
    """x.dot(y) is x @ y to the last bit where both are contiguous, not where they are not."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(40, 37)).astype(dtype)
    x = rng.normal(size=37).astype(dtype)
    held = [W]

    def product(x: Any) -> Any:
        y = np.tanh(held[0] @ np.exp(x))
        return y, held[0].T @ y

    compiled = mg.compile(product)
    for of in np.copy, relaid, np.copy:
        held[0] = of(W)
        assert all(map(same_bits, compiled(x), product(x)))
    first, *others = next(iter(compiled.cache.values()))[::-1]
    assert any(guard.kind == "contiguous" for guard in first.guards)
    assert bool(others) != is_contiguous(relaid(W))


def test_an_array_that_reshape_copied_is_not_one_that_it_views() -> None:
    results = []
    for how in (lambda f: f, mg.compile):
        held = [np.arange(6.0).reshape(2, 3)]

        def step(x: Any, held: list[Any] = held) -> Any:
            r = held[0].T.reshape(2, 3)
            r *= x
            return r

        run = how(step)
        found = [run(2.0), run(2.0)]
        held[0] = np.asfortranarray(held[0])
        results.append([*found, run(2.0), held[0]])
    assert all(map(same_bits, *results))


def test_a_gradient_that_is_an_array_of_the_users_is_noticed_before_the_audit() -> None:
    w, kept = mg.Tensor(np.ones(2)), {"g": np.ones(2)}

    @mg.compile
    def step(x: Any) -> Any:
        w.grad = kept["g"]
        return x * w.grad

    for i in range(4):
        kept["g"][0] = i
        assert step(np.ones(2)).tolist() == [i, 1.0] and w.grad is kept["g"]
