"""Large results: their arrays are freed when nobody needs them, and computed again where somebody does."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad import engine
from minigrad.mode import observing_passes
from minigrad.node import LARGE, Entry, node_of
from minigrad.walk import ancestors, arguments

KEPT, FREED = 1 << 60, 0  # from how many bytes on

rng = np.random.default_rng(0)
W, V, b, X = (0.3 * rng.normal(size=shape) for shape in ((5, 4), (4, 3), (4,), (6, 5)))


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array is a large one."""
    monkeypatch.setattr(engine, "LARGE", FREED)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def network(W: Any, V: Any, b: Any, X: Any) -> Any:
    h = mg.sigmoid(X @ W + b).reshape(-1, 2, 2)
    h = np.swapaxes(h, 1, 2).reshape(-1, 4) * 3 + np.arange(4)
    return mg.sum(mg.softmax(mg.relu(h - 1.5) @ V) ** 2)


@pytest.mark.usefixtures("no_collector")
def test_an_array_that_no_pullback_needs_is_freed_with_its_tensor() -> None:
    x, w = mg.Tensor(np.ones(LARGE // 8)), mg.Tensor(np.ones(LARGE // 8))
    z = x + w
    y = mg.relu(z)
    held = {"z": weakref.ref(z.data), "y": weakref.ref(y.data)}
    J = mg.sum(y)
    assert held["z"]() is z.data
    del z, y
    assert held["z"]() is None and held["y"]() is not None  # which relu's pullback captures
    J.backward()
    assert np.all(x.grad == 1) and np.all(w.grad == 1)


def test_small_arrays_are_kept() -> None:
    J = mg.sum(mg.relu(mg.Tensor(np.ones(LARGE // 8 - 1)) + 1.0))
    assert not any(type(x) is Entry for x in J._edges)


ORDERS: dict[str, Callable[[Any], Any]] = {
    "first": lambda f: mg.grad(f, (0, 1, 2))(W, V, b, X),
    "second": lambda f: [mg.hvp(lambda w: f(w, V, b, X))(W, np.ones_like(W))],
    "forward": lambda f: mg.jvp(lambda w: f(w, V, b, X), (W,), (np.ones_like(W),)),
    "third": lambda f: [
        mg.grad(lambda t: mg.grad(lambda s: mg.grad(lambda r: f(W * (1 + r), V * s, b, X))(t * s))(1.0 + t))(0.1)
    ],
    "checkpoint": lambda f: mg.grad(mg.checkpoint(f), (0, 1, 2))(W, V, b, X),
    "jacobian": lambda f: [mg.jacobian(lambda w: mg.sigmoid(X @ w) * f(w, V, b, X))(W)],
}


@pytest.mark.parametrize("order", ORDERS)
def test_derivatives_are_the_same_to_the_bit(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for least in (KEPT, FREED):
        monkeypatch.setattr(engine, "LARGE", least)
        found.append(ORDERS[order](network))
    assert all(map(same_bits, *found))


def values(root: Any) -> list[Any]:
    return [node.data for node in ancestors(root)]


def test_every_value_of_a_graph_is_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for least in (KEPT, FREED):
        monkeypatch.setattr(engine, "LARGE", least)
        found.append(values(network(*map(mg.Tensor, (W, V, b)), X)))
    assert len(found[0]) == len(found[1]) and all(map(same_bits, *found))


@pytest.mark.parametrize("kind", ["float32 beside ints", "a list", "a complex number"])
def test_constants_promote_as_they_did(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        if kind == "float32 beside ints":
            return mg.sum(x.astype(np.float32) * np.arange(3) + 2)
        return mg.sum(x * [1, 2, 3] * 0.1) if kind == "a list" else mg.sum(mg.real(x * 2j * (1 + 1j)))

    found = []
    for least in (KEPT, FREED):
        monkeypatch.setattr(engine, "LARGE", least)
        found.append(values(f(mg.Tensor([0.1, 0.2, 0.3]))))
    assert all(map(same_bits, *found))


@pytest.mark.usefixtures("freed")
def test_a_value_is_computed_again_once_and_as_silently_as_it_may() -> None:
    with np.errstate(all="ignore"):
        J = mg.sum(np.log(mg.Tensor([0.0, 1.0])) * 2.0)
    with np.errstate(all="raise"):
        first, again = values(J), values(J)
    assert first[1].tolist() == [-np.inf, 0.0]
    assert all(x is y for x, y in zip(first, again))


@pytest.mark.usefixtures("freed")
def test_long_graphs_need_no_recursion() -> None:
    y = x = mg.Tensor([1.0])
    for _ in range(20_000):
        y = y + 1.0
    (before,) = (a for a in arguments(y) if isinstance(a, mg.Tensor))
    assert before.data.tolist() == [20_000.0]
    y.backward()
    assert x.grad.tolist() == [1.0]


@pytest.mark.usefixtures("freed")
def test_what_a_live_tensor_keeps() -> None:
    x = mg.Tensor([1.0, 2.0])
    y = (x * 2).retain_grad()
    z = (y * 3).retain_grad()
    J = mg.sum(z)
    del z
    J.backward()
    assert y.grad.tolist() == [3.0, 3.0] and x.grad.tolist() == [6.0, 6.0]
    assert any(node is y for node in ancestors(J))


@pytest.mark.usefixtures("freed")
def test_a_name_outlives_its_tensor() -> None:
    x = mg.Tensor([1.0, 2.0], name="x")

    def f() -> Any:
        h = x * 2
        J = mg.sum(h)
        mg.name(h=h)
        return J

    assert [node.name for node in ancestors(f())] == [None, "h", "x"]


@pytest.mark.usefixtures("freed")
def test_a_picture_shows_the_values() -> None:
    def page() -> str:
        return str(mg.draw(network(*map(mg.Tensor, (W, V, b)), X)).source)

    picture = page()
    engine.LARGE = KEPT  # the fixture puts it back
    assert picture == page()


# changes


@pytest.mark.usefixtures("freed")
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_data_of_a_result_that_was_set_is_seen(dies: bool, in_place: bool) -> None:
    x = mg.Tensor([1.0, 2.0])
    y = x * x
    J = mg.sum(y * y)
    if in_place:
        y.data -= 1.0
    else:
        y.data = np.ones(2)
    if dies:
        del y
    for use in (J.backward, lambda: ancestors(J)[-1].data if dies else J.backward()):
        with pytest.raises(RuntimeError, match="its data was then"):
            use()
    assert x.grad is None


@pytest.mark.usefixtures("freed")
def test_a_variable_that_was_set_is_seen() -> None:
    x = mg.Tensor([1.0, 2.0], name="x")
    J = mg.sum(x * 2 + 1)
    x.data = np.ones(2)
    for use in (J.backward, lambda: values(J)):
        with pytest.raises(RuntimeError, match=r"multiply used x and its data was then changed|used x and"):
            use()


def sort(batch: np.ndarray) -> None:
    batch.sort(axis=0)


def exchange(batch: np.ndarray, i: Any, j: Any) -> None:
    batch[[i, j]] = batch[[j, i]]


def set_one(batch: np.ndarray, place: int) -> None:
    batch.flat[place] = np.nextafter(batch.flat[place], 9)


CHANGES: dict[str, Callable[[np.ndarray], None]] = {
    "all": lambda x: x.fill(0.5),
    "a row": lambda x: x[77].fill(0.5),
    "the first element": lambda x: set_one(x, 0),
    "one element": lambda x: set_one(x, 77_777),
    "the last element": lambda x: set_one(x, -1),
    "columns sorted": sort,
    "rows sorted": lambda x: x.sort(axis=1),
    "rows exchanged": lambda x: exchange(x, 3, 4),
    "rows far apart exchanged": lambda x: exchange(x, 3, 3 + 1024),
    "rows shuffled": lambda x: np.random.default_rng(1).shuffle(x),
    "neighbours exchanged": lambda x: exchange(x.reshape(-1), 5000, 5001),
}

#: Graphs with a large value that nobody holds, from an array of shape (2048, 64) that is changed in place.
GRAPHS: dict[str, Callable[[np.ndarray], Any]] = {
    "a batch": lambda x: mg.relu(x @ mg.Tensor(np.ones((64, 128))) + 1.0),
    "a mask": lambda x: mg.relu(mg.relu(mg.Tensor(np.ones((2048, 64))) + 1.0) * x),
    "a view": lambda x: mg.relu(mg.Tensor(np.ones((128, 64))) @ x.T + 1.0),
    "integers": lambda x: mg.relu(mg.Tensor(np.ones((3, 1, 1))) * x.view(np.int64) + 1.0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("graph", GRAPHS)
def test_an_array_that_was_changed_in_place_is_no_other_value(graph: str, change: str) -> None:
    x = np.random.default_rng(0).normal(size=(2048, 64))
    J = mg.sum(GRAPHS[graph](x))
    CHANGES[change](x)
    J.backward()  # needs none of the values
    with pytest.raises(RuntimeError, match=r"the value of \w+, a Tensor .* is needed again"):
        values(J)


def test_rows_as_long_as_the_checksum_is_wide_are_told_apart() -> None:
    x = np.random.default_rng(0).normal(size=(512, 1021))
    J = mg.sum(mg.relu(x * mg.Tensor(np.ones((2, 1, 1))) + 1.0))
    exchange(x, 3, 4)
    with pytest.raises(RuntimeError, match="is needed again"):
        values(J)


@pytest.mark.parametrize("kind", ["a variable", "a small result", "an index", "indices", "a large result"])
def test_whatever_was_changed_in_place_is_no_other_value(kind: str) -> None:
    x, i, j = mg.Tensor(np.random.default_rng(0).normal(size=(64, 64))), np.arange(200_000) % 64, np.arange(200_000) % 7
    changed = {"a variable": x, "an index": i, "indices": j}.get(kind)
    h = x * 2.0
    if kind == "a large result":
        h = x[i] * 2.0
        J = mg.sum(mg.relu(h + 1.0))
    elif kind == "a small result":
        J = mg.sum(mg.relu(h[i] + 1.0))
    else:
        J = mg.sum(mg.relu((x[i, j] if kind == "indices" else x[i]) + 1.0))
    data = h.data if changed is None else changed.data if changed is x else changed
    data[5] = data[6]
    with pytest.raises(RuntimeError, match="is needed again"):
        values(J)


def test_a_value_that_was_computed_again_and_changed_is_seen() -> None:
    J = mg.sum(mg.relu(mg.Tensor(np.ones(LARGE // 8)) + 1.0))
    _, relu, add, _ = ancestors(J)
    del relu
    gc.collect()
    entry = next(e for e in J._edges if type(e) is Entry)
    entry._again = None
    add.data[3] = 7.0
    with pytest.raises(RuntimeError, match=r"the value of relu, .* is needed again"):
        node_of(entry)


@pytest.mark.usefixtures("freed")
def test_an_op_of_the_users_own_is_not_asked_again() -> None:
    drawn = np.random.default_rng(0)

    @mg.op()
    def noisy(x: Any) -> Any:
        mask = drawn.random(x.shape)
        return x * mask, lambda g: g * mask

    def f(x: Any) -> Any:
        return mg.sum(noisy(x * 2.0) ** 3)

    x = mg.Tensor([1.0, 2.0, 3.0])
    J = f(x)
    expected = 2.0 * np.array([1.0, 2.0, 3.0]) * np.random.default_rng(0).random(3)
    assert any(np.array_equal(value, expected) for value in values(J))


@pytest.mark.usefixtures("freed")
@pytest.mark.parametrize("dies", [False, True])
def test_a_result_that_is_its_argument_is_not_written_through(dies: bool) -> None:
    @mg.op()
    def same(x: Any) -> Any:
        return x, lambda g: g

    x = mg.Tensor([1.0, 2.0])
    y = x * 2.0
    z = same(y)
    J = mg.sum(y * y)
    if dies:
        del y
    z.data[...] = 7.0
    J.backward()
    assert x.grad.tolist() == [8.0, 16.0]


@pytest.mark.usefixtures("freed")
def test_debug_and_observers_find_every_value() -> None:
    x = mg.Tensor([1.0, 2.0])
    y = x * 2.0
    with mg.debug():
        J = mg.sum(np.sqrt(y))
        del y
        J.backward()
    J = mg.sum(np.sqrt(x * 2.0))
    with mg.debug():
        J.backward()
    assert np.allclose(x.grad, 2 * np.sqrt(0.5) / np.sqrt([1.0, 2.0]))
    seen = []
    J = mg.sum(np.sqrt(x * 2.0))
    with observing_passes(lambda: lambda node, g: seen.append(node.data.tolist())):
        J.backward()
    assert seen[2] == [2.0, 4.0]


@pytest.mark.usefixtures("freed")
def test_no_grad_keeps_its_values() -> None:
    x = mg.Tensor([1.0, 2.0])
    with mg.no_grad():
        y = x * 2.0
    J = mg.sum(y * x)
    del y
    assert [2.0, 4.0] in [value.tolist() for value in values(J)]
    assert node_of(x) is x
