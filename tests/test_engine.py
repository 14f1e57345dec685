"""The pass: order, accumulation, memory, staleness, dtype, and what every error says."""

import contextlib
import gc
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.engine import implementations


def tensor(*numbers: float, name: str | None = None) -> mg.Tensor:
    return mg.Tensor(np.array(numbers), name=name)


def scalar(x: float = 3.0) -> mg.Tensor:
    return mg.Tensor(x)


def gradients(y: mg.Tensor, *variables: mg.Tensor) -> list[Any]:
    y.backward()
    return [None if x._grad is None else np.asarray(x._grad).tolist() for x in variables]


# order and accumulation


def test_added_to_itself() -> None:
    x = scalar()
    assert gradients(x + x, x) == [2.0]


def test_used_in_many_places() -> None:
    x, y = scalar(3.0), scalar(4.0)
    z = x * y
    assert gradients(z * x + z / y + x - z + x * 2.0, x, y) == [24 + 1 + 1 - 4 + 2, 9 - 3]


def test_diamond_waits_for_both_sides() -> None:
    x = scalar(2.0)
    root = x * x
    short, long = root * 1.0, ((root * 2.0) * 3.0) * 5.0
    assert gradients(short * long, x) == [4 * 30 * 2**3]  # x**2 times 30 x**2


def test_each_op_is_pulled_back_once() -> None:
    calls = []

    @mg.op()
    def counted(x: Any) -> Any:
        return x * 2.0, lambda g: calls.append(g) or g * 2.0

    x = scalar()
    y = counted(x)
    assert gradients(y * y + y + mg.exp(y) * 0.0 + y, x) == [2 * (12 + 2)]
    assert calls == [14.0]


def test_sixty_doublings() -> None:
    x = y = scalar(1.0)
    for _ in range(60):
        y = y + y
    assert gradients(y, x) == [2.0**60]


def test_results_may_be_older_than_unrelated_variables() -> None:
    x = scalar()
    y = x * x
    w = scalar(2.0)  # newer than y
    assert gradients(w * y, x, w) == [12.0, 9.0]


def test_what_it_does_not_depend_on_has_no_gradient() -> None:
    x, y = scalar(), scalar()
    assert gradients(x * 2.0, x, y) == [2.0, None]


@given(st.data())
def test_random_graph_equals_forward_accumulation(data: st.DataObject) -> None:
    """Linear graphs of any form: the derivative of each node is known on the way forward."""
    x = scalar(1.0)
    nodes, slopes = [x], [1]
    for _ in range(data.draw(st.integers(1, 25))):
        i, j = (data.draw(st.integers(0, len(nodes) - 1)) for _ in range(2))
        nodes.append(nodes[i] - nodes[j] if (i + j) % 3 == 0 else nodes[i] + nodes[j])
        slopes.append(slopes[i] - slopes[j] if (i + j) % 3 == 0 else slopes[i] + slopes[j])
    assert gradients(nodes[-1], x) == [slopes[-1]]


def test_backward_twice_is_exactly_twice() -> None:
    x = mg.Tensor(np.random.default_rng(0).normal(size=(3, 4)))
    y = mg.sum(mg.tanh(x @ x.T))
    y.backward()
    once = x.grad.copy()
    y.backward()
    np.testing.assert_array_equal(x.grad, 2 * once)


def test_gradients_add_up_over_graphs_until_forgotten() -> None:
    x = scalar()
    assert gradients(x * x, x) == [6.0]
    assert gradients(x * 2.0, x) == [8.0]
    x.zero_grad()
    assert x.grad is None
    assert gradients(x * 2.0, x) == [2.0]


def test_results_keep_no_gradient_unless_asked() -> None:
    x = scalar()
    y = x * x
    z = (y * 2.0).retain_grad()
    assert gradients(z * z, x, y, z) == [432.0, None, 36.0]


def test_constants_get_no_pullback() -> None:
    def refused(g: Any) -> Any:
        raise AssertionError("a constant's pullback was called")

    @mg.op()
    def times(x: Any, y: Any, z: Any = 1.0) -> Any:
        return x * y * z, lambda g: g * y * z, refused, refused

    x = scalar()
    assert gradients(times(x, 2.0) + times(x, np.array(3.0), 1.0), x) == [5.0]
    assert mg.grad(lambda x: mg.grad(lambda x: times(x, 2.0) * x)(x))(3.0) == 4.0


@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_broadcasting_is_undone(shapes: Any) -> None:
    x, y = (mg.Tensor(np.random.default_rng(i).normal(size=shape)) for i, shape in enumerate(shapes.input_shapes))
    mg.sum(x * y).backward()
    for a, b in [(x, y), (y, x)]:
        slots = np.broadcast_to(np.arange(a.size).reshape(a.shape), shapes.result_shape)
        b_everywhere = np.broadcast_to(b.data, shapes.result_shape)
        summed = np.bincount(slots.ravel(), b_everywhere.ravel(), a.size).reshape(a.shape)
        assert a.grad.shape == a.shape
        np.testing.assert_allclose(a.grad, summed, atol=1e-14)


# length and memory


def test_long_chain() -> None:
    n = 300_000
    x = y = scalar(1.0)
    for _ in range(n // 2):
        y = (y + 1.0) * 0.5
    y.backward()
    assert (y.data, x.grad) == (1.0, 0.5 ** (n // 2))
    del y  # no recursion, which a stack has room for some ten thousand times


def slow_step(W: mg.Tensor, x: np.ndarray) -> mg.Tensor:
    rows = mg.embedding(W, [0, 1, 1])
    return mg.sum(
        mg.max(mg.sigmoid(mg.concatenate([rows @ x, W @ x])[1:] ** 2)) + mg.cross_entropy(W, np.zeros(50, int))
    )


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_no_cycles() -> None:
    W, x = mg.Tensor(np.full((50, 20), 0.1)), np.ones(20)
    loss = slow_step(W, x)
    loss.backward()
    watched = [weakref.ref(loss)]
    pending = [loss]
    while pending:
        for below in pending.pop()._edges:
            if isinstance(below, mg.Tensor) and below is not W:
                watched.append(weakref.ref(below))
                pending.append(below)
    del loss, below
    assert len(watched) >= 9 and not any(node() for node in watched)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["backward", "grad", "second", "no_grad", "error"])
def test_memory_stays_flat(how: str) -> None:
    W, x = mg.Tensor(np.full((50, 20), 0.1)), np.ones(20)

    def step() -> None:
        if how == "backward":
            slow_step(W, x).backward()
            W.data -= 0.01 * W.grad
            W.zero_grad()
        elif how == "grad":
            mg.value_and_grad(slow_step)(W.data, x)
        elif how == "second":
            mg.hvp(lambda w: mg.sum(mg.tanh(w @ x)))(W.data, W.data)
        elif how == "no_grad":
            with mg.no_grad():
                slow_step(W, x)
        else:
            with contextlib.suppress(ValueError):
                (W * 2.0).backward()

    for _ in range(3):
        step()
    before = len(gc.get_objects())
    for _ in range(200):
        step()
    assert len(gc.get_objects()) - before < 50  # not even one object in four steps


# no_grad


def test_no_grad_records_nothing() -> None:
    x = scalar()
    with mg.no_grad():
        y = x * x
    assert y._edges == () and gradients(y * x, x, y) == [9.0, 3.0]


def test_no_grad_nests_and_survives_errors() -> None:
    x, recorded = scalar(), []
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        with mg.no_grad():
            pass
        recorded.append(bool((x * x)._edges))
        raise ZeroDivisionError
    recorded.append(bool((x * x)._edges))
    assert recorded == [False, True]


def test_no_grad_holds_for_its_thread_only() -> None:
    x, results = scalar(), []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: results.append(x * x))
        thread.start()
        thread.join()
        results.append(x * x)
    assert [bool(y._edges) for y in results] == [True, False]


def test_threads_do_not_mix() -> None:
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        x = y = scalar(1.0)
        for _ in range(300):
            y = y * 1.0 + x * float(i)
        y.backward()
        found[i] = x.grad

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {i: 1.0 + 300 * i for i in range(8)}


# data that changed since


def in_place(x: mg.Tensor) -> None:
    x.data -= 0.5


def replaced(x: mg.Tensor) -> None:
    x.data = x.data * 2


def by_element(x: mg.Tensor) -> None:
    x.data[0] = 7.0
    x.data = x.data


change = pytest.mark.parametrize("change", [in_place, replaced, by_element])


@change
def test_changed_variable_is_seen(change: Callable[[mg.Tensor], None]) -> None:
    w = tensor(1.0, 2.0, name="w")
    loss = mg.sum(w * w)
    change(w)
    with pytest.raises(RuntimeError, match="multiply used w and its data was then changed: run the forward pass again"):
        loss.backward()
    np.testing.assert_array_equal(mg.grad(lambda w: mg.sum(w * w))(w.data), 2 * w.data)
    assert gradients(mg.sum(w * w), w) == [(2 * w.data).tolist()]  # a new forward pass is fine


@change
def test_changed_result_is_seen(change: Callable[[mg.Tensor], None]) -> None:
    w = tensor(1.0, 2.0)
    y = w * w
    loss = mg.sum(y * y)
    change(y)
    with pytest.raises(RuntimeError, match="used a Tensor and its data was then changed"):
        loss.backward()


@change
def test_changed_output_is_seen(change: Callable[[mg.Tensor], None]) -> None:
    y = tensor(1.0, 2.0) * 2.0
    change(y)
    with pytest.raises(RuntimeError, match="multiply made a Tensor and its data was then replaced"):
        y.backward(np.ones(2))


def test_change_elsewhere_does_not_matter() -> None:
    w, v = tensor(1.0, 2.0), tensor(3.0, 4.0)
    loss = mg.sum(w * w)
    in_place(v)
    assert gradients(loss, w) == [[2.0, 4.0]]
    in_place(w)  # after backward: the usual step
    assert gradients(mg.sum(w * v), w) == [[2.0 + 2.5, 4.0 + 3.5]]


def test_change_of_a_detached_copy_does_not_matter() -> None:
    w = tensor(1.0, 2.0)
    loss = mg.sum(w * w)
    in_place(w.detach())
    assert gradients(loss, w) == [[2.0, 4.0]]


# .grad belongs to its Tensor


def test_gradients_share_no_memory() -> None:
    x, y, seed = tensor(1.0, 2.0), tensor(1.0, 2.0), np.array([1.0, 1.0])
    z = (x + y).retain_grad()
    w = (z.reshape(2, 1) + 0.0).retain_grad()
    out = (w.reshape(2) + 0.0).retain_grad()
    out.backward(seed)
    x_only = tensor(1.0, 2.0)
    x_only.backward(seed)
    held = [seed, *(t.grad for t in (x, y, z, w, out, x_only)), *(t.data for t in (x, y, z, w, out, x_only))]
    held = [a for a in held if a is not None]
    shared = [(i, j) for i, a in enumerate(held) for j, b in enumerate(held) if i < j and np.shares_memory(a, b)]
    views = {(i, j) for i in range(7, len(held)) for j in range(7, len(held))}  # z, w, out are views of one another
    assert len(held) == 13 and set(shared) <= views


def test_gradients_of_rows_share_no_memory() -> None:
    """What a result keeps, and what came from above, is not what its table will merge when it is asked."""
    table = mg.Tensor(np.ones((4, 2)))
    rows = mg.embedding(table, [1, 2, 2]).retain_grad()
    (rows * rows).backward(np.ones((3, 2)))
    rows.grad *= 0
    assert table.grad.dense().tolist() == [[0, 0], [2, 2], [4, 4], [0, 0]]


def test_merged_rows_are_not_shared() -> None:
    one, other = mg.Tensor(np.ones((4, 2))), mg.Tensor(np.ones((4, 2)))
    mg.sum(
        mg.embedding(2.0 * (one + other), np.arange(2000) % 4)
    ).backward()  # so many are merged before they are scaled
    one.grad.rows[...] = 0
    assert np.all(other.grad.rows == 1000)


@pytest.mark.parametrize(
    "f", [mg.sum, lambda x: mg.sum(mg.broadcast_to(x, (3, 2))), lambda x: mg.sum(x.T + 0.0), lambda x: x[0]]
)
def test_gradient_may_be_written(f: Callable[[Any], Any]) -> None:
    x = tensor(1.0, 2.0)
    f(x).backward()
    x.grad *= 2.0
    before = x.grad.copy()
    f(x).backward()
    np.testing.assert_array_equal(x.grad, before * 1.5)


def test_earlier_gradient_is_left_alone() -> None:
    x = tensor(1.0, 2.0)
    mg.sum(x).backward()
    first = x.grad
    mg.sum(x).backward()
    assert first.tolist() == [1.0, 1.0] and x.grad.tolist() == [2.0, 2.0]


# dtype

ONE = np.float32([1.0, 2.0])
BY = [
    2, 2.0, True, np.array([1, 2]), np.array([1, 2], np.int8), np.array([1, 2], np.uint64), np.array(3), np.int64(3),
    [1, 2], [1.5, 2.5], [[1.5, 2.5], [1, 2]], np.float16(2), np.float32(2),
]  # fmt: skip


@pytest.mark.parametrize("y", BY, ids=repr)
@pytest.mark.parametrize(
    "f", [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, lambda x, y: mg.where([True, False], x, y)]
)
@pytest.mark.parametrize("swap", [False, True])
def test_constants_do_not_promote(f: Callable[..., Any], y: Any, swap: bool) -> None:
    x = mg.Tensor(ONE)
    z = f(y, x) if swap else f(x, y)
    z.backward(np.ones(z.shape))
    assert z.dtype == x.grad.dtype == np.float32
    plain = np.asarray(y, np.float64), ONE.astype(float)
    np.testing.assert_allclose(z.data, f(*plain) if swap else f(*plain[::-1]), rtol=1e-6)


@pytest.mark.parametrize(
    "y", [np.array([1.0, 2.0]), np.float64(2.0), mg.Tensor([1.0, 2.0])], ids=["array", "scalar", "Tensor"]
)
@pytest.mark.parametrize("swap", [False, True])
def test_float64_promotes_and_the_gradient_comes_back(y: Any, swap: bool) -> None:
    x = mg.Tensor(ONE)
    z = y * x if swap else x * y
    z.backward(np.ones(2))
    assert (z.dtype, x.grad.dtype) == (np.float64, np.float32)
    assert not isinstance(y, mg.Tensor) or y.grad.dtype == np.float64


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "c8", "c16"])
def test_dtype_is_kept(dtype: str) -> None:
    x = mg.Tensor(np.array([1.0, 2.0], dtype))
    y = (2 * x * x + 1).sum()
    y.backward()
    assert {x.dtype, y.dtype, x.grad.dtype} == {np.dtype(dtype)}
    assert x.grad.tolist() == [4.0, 8.0]


def test_seed_takes_the_dtype_of_its_value() -> None:
    x = mg.Tensor(ONE)
    y = (x * 2.0).retain_grad()
    y.backward([1, 2])
    assert x.grad.dtype == y.grad.dtype == np.float32 and x.grad.tolist() == [2.0, 4.0]


ANALYTIC = [
    mg.exp, mg.log, mg.sin, mg.cos, mg.tanh, mg.sqrt, mg.square, mg.log1p, mg.negative, mg.sigmoid,
    lambda z: z * z / (z + 1.0) - 2.0, lambda z: z**3, lambda z: z @ z, lambda z: mg.softmax(z), lambda z: z[::-1].T,
]  # fmt: skip


@pytest.mark.parametrize("f", ANALYTIC)
def test_analytic_ops_are_complex(f: Callable[..., Any]) -> None:
    z, h = np.array([0.3 + 0.2j, 0.7 - 0.4j]), 1e-6
    t = mg.Tensor(z)
    y = f(t)
    seed = np.cos(np.arange(y.size)).reshape(y.shape) * (1 + 0.5j)
    y.backward(np.conj(seed))  # a gradient handed in, and .grad, are conjugates of what rules see
    numeric = [np.sum(seed * (f(z + h * e) - f(z - h * e))) / (2 * h) for e in np.eye(2)]
    assert y.dtype == t.grad.dtype == complex
    np.testing.assert_allclose(t.grad, np.conj(numeric), rtol=1e-8)


def test_real_variable_in_complex_company_has_a_real_gradient() -> None:
    x = tensor(1.0, 2.0)
    (x * np.array([1j, 2.0])).backward(np.array([-1j, 1.0]))
    assert x.grad.dtype == float and x.grad.tolist() == [-1.0, 2.0]


# errors

w, v, matrix = tensor(1.0, 2.0, name="w"), tensor(1.0, 2.0, 3.0, name="v"), mg.Tensor(np.ones((4, 5)), name="V")


def op_with(pullback: Callable[[Any], Any]) -> Any:
    @mg.op()
    def careless(x: Any) -> Any:
        return x * 2.0, pullback

    return careless


def assign(x: mg.Tensor) -> None:
    x[0] = 1.0


ERRORS = [
    (lambda: w.backward(), ValueError,
     "backward needs a scalar, got w of shape (2,); sum it, or pass backward(gradient)"),
    (lambda: (w * 2).backward(), ValueError, "backward needs a scalar, got a Tensor of shape (2,)"),
    (lambda: w.backward(np.ones(3)), ValueError, "the gradient of w must have its shape (2,), got (3,)"),
    (lambda: w.sum().backward([1.0]), ValueError, "the gradient of a Tensor must have its shape (), got (1,)"),
    (lambda: w + v, ValueError, "add of w (2,) and v (3,): operands could not be broadcast"),
    (lambda: np.ones(3) * w, ValueError, "multiply of an array (3,) and w (2,): operands could not be broadcast"),
    (lambda: matrix @ w, ValueError, "matmul of V (4, 5) and w (2,): matmul"),
    (lambda: w @ 2.0, ValueError, "matmul of w (2,) and 2.0"),
    (lambda: np.concatenate([w, matrix]), ValueError, "concatenate of w (2,) and V (4, 5)"),
    (lambda: w.reshape(3), ValueError, "reshape of w (2,) and 3: cannot reshape"),
    (lambda: mg.max(w, axis=3), IndexError, "max of w (2,): axis 3 is out of bounds"),
    (lambda: w[5], IndexError, "getitem of w (2,) and 5: index 5 is out of bounds"),
    (lambda: mg.embedding(matrix, [7]), IndexError, "embedding of V (4, 5) and [7]: index 7 is out of bounds"),
    (lambda: w + "a", TypeError, "add of w (2,) and 'a'"),
    (lambda: w * None, TypeError, "multiply of w (2,) and None"),
    (lambda: assign(w), TypeError,
     "elements of w cannot be assigned: results computed from them would not change; use mg.where"),
    (lambda: setattr(w, "data", np.ones(3)), ValueError, "data of w has shape (2,), got (3,); make a new Tensor"),
    (lambda: setattr(w, "data", np.ones(2) * 1j), TypeError, "complex128"),
    (lambda: np.asarray(w), TypeError,
     "a Tensor is not converted to an array implicitly, as its gradient would be lost: use np.stack([a, b])"),
    (lambda: np.array([w, w]), TypeError, "use np.stack([a, b]) for np.array([a, b])"),
    (lambda: np.frexp(w), TypeError,
     "np.frexp has no gradient in minigrad; use t.data for the plain array, or mg.op"),
    (lambda: np.copysign(w, 1.0), TypeError, "np.copysign has no gradient in minigrad; write mg.abs(x) * np.sign(y)"),
    (lambda: np.polymul(w, w), TypeError, "np.polymul has no gradient in minigrad; write mg.convolve("),
    (lambda: np.add.reduce(w), TypeError, "np.add.reduce has no gradient in minigrad; write mg.sum"),
    (lambda: np.add.at(np.zeros(2), [0], w), TypeError, "np.add.at has no gradient in minigrad; write t.at[index]"),
    (lambda: np.exp(w, dtype=np.float32), TypeError, "np.exp of a Tensor does not take dtype=; use t.astype(dtype)"),
    (lambda: np.exp(w, out=np.zeros(2)), TypeError,
     "np.exp cannot write a Tensor into an array (out=, or an in-place operator"),
    (lambda: np.ones(2).__iadd__(w), TypeError,
     "np.add cannot write a Tensor into an array (out=, or an in-place operator"),
    (lambda: np.sum(w, out=np.zeros(())), TypeError, "np.sum of a Tensor does not take out=; use the result"),
    (lambda: np.exp(w, where=[True, False]), TypeError,
     "np.exp of a Tensor does not take where=; use np.where(mask, y, t)"),
    (lambda: mg.Tensor([1, 2]), TypeError,
     "Tensor needs floating-point data, got int64; use data.astype(float), or write 1.0 for 1"),
    (lambda: mg.Tensor(np.array([True])), TypeError,
     "Tensor needs floating-point data, got bool; use data.astype(float)"),
    (lambda: mg.Tensor([object()]), TypeError, "Tensor needs floating-point data, got object; use numbers"),
    (lambda: mg.Tensor("text"), TypeError, "Tensor needs floating-point data, got <U4; use numbers"),
    (lambda: mg.Tensor(w), TypeError, "Tensor needs data, got a Tensor; use w.detach() for a new variable"),
    (lambda: op_with(lambda g: np.ones(3))(w).backward(np.ones(2)), ValueError,
     "the pullback of careless returned a gradient of shape (3,) for an argument of shape (2,); a gradient has"),
    (lambda: op_with(lambda g: g[0])(w).backward(np.ones(2)), ValueError,
     "the pullback of careless returned a gradient of shape ()"),
    (lambda: op_with(lambda g: 2.0)(w).backward(np.ones(2)), TypeError,
     "the pullback of careless: needed an array of shape (2,), got 2.0"),
    (lambda: op_with(lambda g: None)(w).backward(np.ones(2)), TypeError,
     "the pullback of careless: needed an array of shape (2,), got None"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "kind", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_error_says_what_to_do(act: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        act()


def test_failed_in_place_operator_changes_nothing() -> None:
    array = np.ones(2)
    with pytest.raises(TypeError):
        array += tensor(1.0, 2.0)
    assert array.tolist() == [1.0, 1.0]


# op


def test_own_op_to_any_order() -> None:
    @mg.op()
    def cube(x: Any) -> Any:
        """The cube."""
        return x * x * x, lambda g: g * 3.0 * x * x

    assert (cube.__name__, cube.__doc__, cube(2.0)) == ("cube", "The cube.", 8.0)
    assert mg.gradcheck(cube, np.array([1.0, -2.0]), order=2)
    assert mg.grad(mg.grad(mg.grad(cube)))(5.0) == 6.0


def test_own_op_for_a_numpy_function() -> None:
    before = implementations[np.fix]
    mg.op(np.fix)(lambda x: (np.square(x), lambda g: g * 2 * x))  # in place of the one that there is
    try:
        assert mg.gradcheck(lambda x: np.fix(x) if isinstance(x, mg.Tensor) else x * x, np.array([0.5, -2.0]), order=2)
    finally:
        implementations[np.fix] = before


@pytest.mark.parametrize(
    ("keyed", "plain"),
    [
        (lambda x: mg.multiply(x=x, y=3.0), lambda x: x * 3.0),
        (lambda x: mg.multiply(2.0, y=x), lambda x: 2.0 * x),
        (lambda x: mg.divide(y=x, x=x * x), lambda x: x * x / x),
        (lambda x: mg.sum(keepdims=True, x=x), lambda x: mg.sum(x, keepdims=True)),
        (lambda x: mg.relu(m=x - 1.0), lambda x: mg.relu(x - 1.0)),
        (lambda x: mg.where(condition=True, x=x, y=0.0), lambda x: x * 1.0),
        (lambda x: mg.concatenate(arrays=[x, x], axis=0), lambda x: mg.concatenate([x, x])),
        (lambda x: np.sum(x, axis=0, keepdims=True), lambda x: mg.sum(x, 0, keepdims=True)),
        (lambda x: mg.embedding(table=x, ids=[0, 0]), lambda x: mg.embedding(x, [0, 0])),
    ],
)
def test_variables_by_keyword(keyed: Callable[..., Any], plain: Callable[..., Any]) -> None:
    found = []
    for f in (keyed, plain):
        x = tensor(1.0, 2.0)
        y = f(x)
        y.backward(np.ones(y.shape))
        found.append((np.asarray(y.data).tolist(), type(x.grad), np.add(x.grad, 0.0).tolist()))
    assert found[0] == found[1]


def test_variable_for_a_keyword_only_argument() -> None:
    @mg.op()
    def scaled(x: Any, *, by: Any) -> Any:
        return x * by, lambda g: g * by

    x, by = scalar(3.0), scalar(5.0)
    assert gradients(scaled(x, by=by), x, by) == [5.0, 3.0]


def test_no_tensor_no_graph() -> None:
    y = mg.sigmoid(np.ones((2, 3)) @ np.ones(3) + 1.0)
    assert type(y) is np.ndarray and type(mg.exp(1.0)) is np.float64


@mg.op()
def cubed(x):
    return x * x * x, 3 * x * x


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_pullback_may_be_the_derivative_itself(order):
    """In a pass, in passes that are recorded, in a batch, derived, checked numerically and by debug, drawn."""
    x, f = np.array([0.5, -2.0]), cubed
    for _ in range(order - 1):
        f = mg.elementwise_grad(f)
    wanted = [3 * x * x, 6 * x, np.full(2, 6.0)][order - 1]
    assert np.allclose(mg.elementwise_grad(f)(x), wanted)
    assert np.allclose(mg.vmap(mg.grad(f))(x), wanted)
    assert np.allclose(mg.derive(lambda x: mg.sum(f(x)), x)(x)[1], wanted)
    assert mg.gradcheck(lambda x: mg.sum(f(x)), x)
    with mg.debug():
        w = mg.Tensor(x, name="w")
        J = mg.sum(f(w))
        J.backward()
    assert np.allclose(w.grad, wanted)
    assert mg.draw(J).source.count("->") > 2


def test_products_hold_no_functions():
    """A graph is full of them, and Python's collector traverses what it tracks again and again."""
    y = mg.Tensor(2.0) * mg.Tensor(3.0)
    assert not any(map(callable, y._edges[1::2])) and not any(map(gc.is_tracked, y._edges[1::2]))
