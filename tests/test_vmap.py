"""vmap: its arguments, nesting, every transform inside and outside, what it refuses."""

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
from duck import Duck, plain

import minigrad as mg
from minigrad.mode import vmaps

rng = np.random.default_rng(5)
W, X, T = rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
V = np.arange(3.0) + 1


def loss(W: Any, x: Any, t: Any) -> Any:
    return np.sum((np.tanh(W @ x) - t) ** 2)


def hidden(x: Any) -> Any:
    return np.tanh(W @ x)


def square(x: Any) -> Any:
    return np.sum(hidden(x) ** 2)


def looped(f: Any, *arrays: Any) -> np.ndarray:
    return np.stack([f(*row) for row in zip(*arrays, strict=True)])


def same(x: Any, y: Any) -> None:
    np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


# arguments and values


def test_axes_of_arguments_and_values() -> None:
    same(mg.vmap(np.dot, (1, 0))(X.T, X), looped(np.dot, X, X))
    same(mg.vmap(lambda x: x * 2, in_axes=-1, out_axes=-1)(X), 2 * X)
    same(mg.vmap(lambda x: x * 2, out_axes=1)(X), 2 * X.T)
    same(mg.vmap(lambda x, *, y: x + y)(X, y=X), 2 * X)
    assert mg.vmap(lambda x: np.ones((2, 3)), out_axes=1)(X).shape == (2, 4, 3)
    same(mg.vmap(lambda x: (x, W), out_axes=(0, None))(X)[1], W)


@dataclasses.dataclass
class Layer:
    W: Any
    b: Any


def test_trees() -> None:
    found = mg.vmap(lambda layer, xs: {"y": [layer["W"] @ xs[0] + layer["b"]]}, in_axes=({"W": None, "b": 0}, 0))
    same(found({"W": W, "b": T}, [X])["y"][0], X @ W.T + T)
    value = mg.vmap(lambda d: {"sum": d["x"] + d["s"], "name": d["name"]}, in_axes=({"x": 0, "s": None, "name": 0},))
    assert value({"x": X, "s": 1.0, "name": "n"})["name"] == "n"


def test_dataclasses() -> None:
    found = mg.vmap(lambda layer, x: Layer(layer.W @ x, layer.b), in_axes=(Layer(None, 0), 0))(Layer(W, T), X)
    same(found.W, X @ W.T)
    same(found.b, T)


def test_what_is_the_same_for_all_is_repeated() -> None:
    found = mg.vmap(lambda x: 1.5)(X)
    same(found, np.full(4, 1.5))
    found[0] = 2.0
    assert found[1] == 1.5
    view = mg.vmap(lambda x: x)(X)
    view[0] = 0.0
    assert X[0].any()


ERRORS: list[Any] = [
    (lambda: mg.vmap(loss, (None, 0, 0))(W, X, T[:3]), "4 of x .axis 0 of .4, 3.. and 3 of t .axis 0 of .3, 2.."),
    (lambda: mg.vmap(lambda p: p["a"] + p["b"])({"a": X, "b": X[:2]}), r"4 of p\['a'\] .* and 2 of p\['b'\]"),
    (lambda: mg.vmap(hidden, 2)(X), "x needs an axis 2, along which the examples are, got an array of shape .4, 3."),
    (lambda: mg.vmap(hidden, -3)(X), "x needs an axis -3"),
    (lambda: mg.vmap(lambda x, s: x * s)(X, 2.0), "s needs an axis 0, .*, got 2.0; in_axes has None"),
    (lambda: mg.vmap(hidden, None)(X), "in_axes is None for all"),
    (lambda: mg.vmap(loss, (None, 0))(W, X, T), "in_axes=.None, 0. needs 2 arguments, got 3"),
    (lambda: mg.vmap(hidden, "0")(X), "in_axes needs an integer, None, or a container"),
    (lambda: mg.vmap(hidden, ({"a": 0},))([X]), r"in_axes\[0\] needs an integer"),
    (lambda: mg.vmap(hidden, out_axes=5)(X), "out_axes=5 needs a value of 5 axes, the value has 1"),
    (lambda: mg.vmap(hidden, out_axes=None)(X), "out_axes=None needs the same value for all examples"),
    (lambda: mg.vmap(lambda x: {1, 2})(X), "returns arrays, got a set"),
    (lambda: mg.vmap(3), "vmap needed a function, got 3"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_errors_name_argument_and_axis(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# transforms inside and outside


INSIDE: list[Any] = [
    mg.grad(square),
    mg.value_and_grad(square),
    mg.grad(lambda x: np.sum(mg.grad(square)(x) ** 2)),
    mg.jacobian(hidden),
    mg.jacobian(lambda x: np.stack([square(x), x[0]])),
    mg.hessian(square),
    mg.elementwise_grad(np.tanh),
    lambda x: mg.jvp(hidden, (x,), (V,))[1],
    lambda x: mg.vjp(hidden, x)[1](np.ones(2))[0],
    lambda x: mg.vjp(hidden, np.ones(3))[1](x[:2])[0],
    lambda x: mg.hvp(square)(x, V),
    mg.grad(mg.checkpoint(square)),
    mg.grad(lambda x: np.sum(mg.stop_gradient(x) * x)),
    mg.no_grad(mg.grad(square)),
    mg.grad(lambda x: mg.grad(lambda c: np.sum(np.sin(c * x)))(1.0) ** 2),
    mg.vmap(lambda a: np.sin(a) * V),
    lambda x: mg.grad(lambda W: np.sum(mg.vmap(lambda a: np.tanh(W * a))(x)))(x),
    mg.grad(lambda x: np.abs(np.sum(np.exp(1j * x)) ** 2)),
    lambda x: mg.grad(lambda z: z * z * z, holomorphic=True)(x[0] + 1j),
]


CONSTANT, HOLOMORPHIC = 12, 18


@pytest.mark.parametrize("number", range(len(INSIDE)))
@pytest.mark.parametrize("outside", ["vmap", "grad", "hessian", "compile", "Tensor"])
def test_every_transform_inside_and_outside(number: int, outside: str) -> None:
    f = INSIDE[number]
    if (outside, number) in {("Tensor", CONSTANT), ("compile", HOLOMORPHIC)}:
        return  # a constant has no gradient; whether a function is holomorphic depends on values

    def total(X: Any, mapped: Any) -> Any:
        y = mapped(X)
        return np.sum(np.real(y[1] if isinstance(y, tuple) else y) ** 2)

    def by_vmap(X: Any) -> Any:
        return total(X, mg.vmap(f))

    def by_loop(X: Any) -> Any:
        def every(X: Any) -> Any:
            rows = [f(X[i]) for i in range(4)]
            return np.stack([row[1] if isinstance(row, tuple) else row for row in rows])

        return total(X, every)

    if outside == "vmap":
        found, expected = mg.vmap(f)(X), [f(x) for x in X]
        if isinstance(found, tuple):
            found, expected = found[1], [e[1] for e in expected]
        same(found, np.stack(expected))
    elif outside == "compile":
        same(mg.compile(by_vmap)(X), by_loop(X))
    elif outside == "Tensor":
        x, y = mg.Tensor(X), mg.Tensor(X)
        by_vmap(x).backward()
        by_loop(y).backward()
        same(x.grad, y.grad)
    elif outside == "hessian" and number in (3, 4, 5):
        same(
            mg.grad(lambda X: np.sum(mg.grad(by_vmap)(X) ** 2))(X),
            mg.grad(lambda X: np.sum(mg.grad(by_loop)(X) ** 2))(X),
        )
    else:
        transform = getattr(mg, outside)
        same(transform(by_vmap)(X), transform(by_loop)(X))


def test_the_gradient_of_each_example_and_of_all() -> None:
    each = mg.vmap(mg.grad(loss), (None, 0, 0))(W, X, T)
    same(each, looped(lambda x, t: mg.grad(loss)(W, x, t), X, T))
    same(mg.grad(lambda W: np.sum(mg.vmap(loss, (None, 0, 0))(W, X, T)))(W), each.sum(0))
    variable = mg.Tensor(W)
    np.sum(mg.vmap(lambda x, t: loss(variable, x, t))(X, T)).backward()  # through a closure
    same(variable.grad, each.sum(0))


def test_a_variable_made_inside_is_not_summed_over() -> None:
    def f(x: Any) -> Any:
        w = mg.Tensor(np.ones(3))
        return mg.vjp(lambda c: np.sum(w * c * x), V)[1](1.0)[0], mg.grad(lambda c: np.sum(c * x))(V)

    found = mg.vmap(f)(X)
    same(found[0], X)
    same(found[1], X)


def test_a_pullback_from_outside_is_mapped() -> None:
    _, pullback = mg.vjp(hidden, V)
    same(mg.vmap(pullback)(np.eye(2))[0], mg.jacobian(hidden)(V))


def test_vmaps_of_equal_size_are_not_confused() -> None:
    a, b = V, V + 10
    outer = mg.vmap(lambda x: mg.vmap(lambda y: x * y)(b))(a)
    same(outer, np.outer(a, b))
    same(mg.vmap(lambda x: mg.vmap(lambda y: y - x)(b))(a), b - a[:, None])
    same(mg.vmap(mg.vmap(lambda x, y: x * y, (None, 0)), (0, None))(a, b), np.outer(a, b))
    f = mg.vmap(mg.vmap(mg.vmap(lambda x, y, z: x + 2 * y * z, (None, None, 0)), (None, 0, None)), (0, None, None))
    same(f(a, a, a), a[:, None, None] + 2 * a[:, None] * a)
    square = np.arange(9.0).reshape(3, 3)
    same(mg.vmap(lambda row: mg.vmap(lambda column: row @ column, 1)(square))(square), square @ square)
    rows, columns = np.array([0, 0, 1]), np.array([2, 1, 0])
    picked = mg.vmap(lambda i: mg.vmap(lambda j: mg.take(mg.take(square, i, 0), j, 0))(columns))(rows)
    same(picked, square[rows][:, columns])


def test_the_order_of_operands_does_not_decide_the_nesting() -> None:
    M = mg.Tensor(W)
    for f in (lambda x: x @ M.T, lambda x: M @ x, lambda x: np.matmul(M, x), lambda x: mg.Tensor(W) @ x):
        same(mg.vmap(f)(X).data, X @ W.T)
        same(mg.vmap(lambda x, f=f: mg.vmap(f)(np.stack([x, x])))(X).data[:, 0], X @ W.T)


def test_jacobian_of_a_vmap_and_hessian_of_nested_ones() -> None:
    nested = lambda x: np.sum(mg.vmap(lambda a: mg.vmap(lambda b: np.sin(a * b**2))(x))(x))  # noqa: E731
    same(mg.hessian(nested)(V), mg.hessian(lambda x: np.sum(np.sin(x[:, None] * x**2)))(V))
    same(mg.jacobian(mg.vmap(hidden))(X), mg.jacobian(lambda X: np.tanh(X @ W.T))(X))


def test_embedding_is_sparse_in_the_sum_and_dense_in_each_example() -> None:
    ids, table = np.array([[0, 1], [3, 3], [1, 0]]), rng.normal(size=(1000, 2))

    def f(table: Any, ids: Any) -> Any:
        return np.sum(mg.embedding(table, ids) ** 2)

    t = mg.Tensor(table)
    np.sum(mg.vmap(f, (None, 0))(t, ids)).backward()
    assert type(t.grad).__name__ == "RowSparse" and t.grad.indices.tolist() == [0, 1, 3]
    each = mg.vmap(mg.grad(f), (None, 0))(table, ids)
    same(each, looped(lambda i: mg.grad(f)(table, i).dense(), ids))
    same(t.grad.dense(), each.sum(0))
    same(mg.vmap(mg.grad(f))(np.stack([table] * 3), ids), each)


def test_users_ops_just_run() -> None:
    @mg.op()
    def cube(x: Any) -> Any:
        return x * x * x, lambda g: g * 3 * x * x

    same(mg.vmap(mg.grad(mg.grad(cube)))(V), 6 * V)


def test_results_inside_no_grad_have_no_history() -> None:
    w = mg.Tensor(W)
    with mg.no_grad():
        y = mg.vmap(lambda x: w @ x)(X)
    with pytest.raises(RuntimeError, match="no_grad"):
        np.sum(y).backward()


def test_foreign_arrays_inside() -> None:
    f = mg.vmap(mg.grad(loss), (None, 0, 0))
    found = f(Duck(W), Duck(X), Duck(T))
    assert type(found) is Duck
    same(plain(found), f(W, X, T))
    same(plain(mg.hessian(lambda W: np.sum(mg.vmap(loss, (None, 0, 0))(W, Duck(X), Duck(T))))(Duck(W))),
         mg.hessian(lambda W: np.sum(mg.vmap(loss, (None, 0, 0))(W, X, T)))(W))  # fmt: skip


def test_dask_stays_lazy() -> None:
    dask_array = pytest.importorskip("dask.array")
    f = mg.vmap(loss, (None, 0, 0))
    found = f(*map(dask_array.from_array, (W, X, T)))
    assert isinstance(found, dask_array.Array)
    same(found.compute(), f(W, X, T))


# what is refused


kept: list[Any] = []
w = mg.Tensor(W)
REFUSED: list[Any] = [
    (lambda x: x if np.sum(x) > 0 else -x, "was read .if, and, or, not.*np.where"),
    (lambda x: x * float(x[0]), r"was read .float\(\)"),
    (lambda x: x * int(x[0]), r"was read .int\(\)"),
    (lambda x: V[int(np.argmax(x))], r"int\(\)"),
    (lambda x: np.arange(3.0)[np.argmax(x)], r"index of one.*mg\.take\(table, i, 0\)"),
    (lambda x: range(np.argmax(x)), "as an index or a length"),
    (lambda x: x[x > 0], "depends on values.*np.where"),
    (lambda x: np.nonzero(x), "np.nonzero depends on values"),
    (lambda x: np.where(x), "np.nonzero depends on values"),
    (lambda x: np.unique(x), "np.unique depends on values"),
    (lambda x: np.array([x[0], 1.0]), r"np\.stack\(\[x, y\]\)"),
    (lambda x: [v for v in x if v in (1.0, 2.0)], "if, and, or, not"),
    (lambda x: f"{x[0]:.2f}", "a format"),
    (lambda x: x.tolist(), r"tolist\(\)"),
    (lambda x: x.item(), r"item\(\)"),
    (lambda x: x * np.random.rand(), "random numbers were drawn"),
    (lambda x: x * rng.normal(), "random numbers were drawn"),
    (lambda x: setattr(w, "data", W * 2), "the data of .* was assigned"),
    (lambda x: np.sum(w @ x).backward(), "backward was called"),
    (lambda x: operator_setitem(x), "an argument, .*, was written into"),
    (lambda x: operator_setitem(np.zeros((3, 3)), x), "np.zeros_like"),
    (lambda x: np.add(x, 1.0, out=np.zeros(3)), "the same for all examples"),
    (lambda x: mg.Tensor(x[0]).item(), r"item\(\)"),
]


def operator_setitem(x: Any, v: Any = 1.0) -> None:
    x[0] = v


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused_with_the_line(number: int) -> None:
    f, message = REFUSED[number]
    state, before = np.random.get_state(legacy=False), X.copy()
    with pytest.raises(TypeError, match=f"(?s){message}") as error:
        mg.vmap(f)(X)
    assert "test_vmap.py" in str(error.value)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], state["state"]["key"])
    np.testing.assert_array_equal(X, before)


def test_an_array_that_is_kept_is_an_error_where_it_is_used() -> None:
    kept: list[Any] = []
    mg.vmap(lambda x: kept.append(x) or x)(X)
    mg.vmap(lambda x: kept.append(mg.Tensor(x) * 2) or x)(X)
    uses = [
        lambda a: a + 1,
        lambda a: np.sum(a),
        lambda a: a[0],
        lambda a: mg.vmap(lambda x: x + a)(X),
        lambda a: mg.grad(lambda x: np.sum(x * a))(X),
        lambda a: a.astype(np.float32) if isinstance(a, mg.Tensor) else np.matmul(a, W.T),
        lambda a: np.where(a > 0, a, 0),
    ]
    for a in kept:
        for use in uses:
            with pytest.raises(TypeError, match=r"its vmap has returned.*test_vmap.py"):
                use(a)


def test_an_array_of_one_thread_in_another() -> None:
    found: list[Any] = []

    def in_a_thread(x: Any) -> Any:
        thread = threading.Thread(target=lambda: found.append(np.tanh(x)))
        thread.start()
        thread.join()
        return found.pop()

    same(mg.vmap(in_a_thread)(X), np.tanh(X))

    def work() -> None:
        for _ in range(20):
            same(mg.vmap(lambda a: mg.vmap(lambda b: a * b)(V))(V), np.outer(V, V))

    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 4


def test_a_generator_that_is_suspended_inside() -> None:
    def steps(x: Any) -> Any:
        y = yield x * 2
        yield x + y

    def f(x: Any) -> Any:
        running = steps(x)
        return next(running), running.send(mg.vmap(np.sin)(V))

    found = mg.vmap(f)(X)
    same(found[0], 2 * X)
    same(found[1], X + np.sin(V))
    suspended: list[Any] = []

    def g(x: Any) -> Any:
        suspended.append(steps(x))
        return next(suspended[0])

    mg.vmap(g)(X)
    with pytest.raises(TypeError, match="its vmap has returned"):
        suspended[0].send(1.0)


def test_after_an_error_everything_is_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError):
        mg.vmap(lambda x: 1 / 0)(X)
    w.data = w.data * 1.0  # not inside any more


def test_nothing_is_left_behind() -> None:
    """Where the arrays of a vmap are gone, backward passes do not look for them."""
    before = len(vmaps)
    J = np.sum(mg.vmap(lambda x: w @ x)(X))
    assert len(vmaps) == before + 1
    del J
    assert len(vmaps) == before


def test_planted_a_gradient_that_is_not_summed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.mode import mode

    monkeypatch.setattr(mode, "aligned", lambda g, x: g)
    with pytest.raises((AssertionError, TypeError, ValueError, AttributeError)):
        test_the_gradient_of_each_example_and_of_all()


# how it is computed


def test_the_sum_over_a_batch_of_outer_products_is_one_product() -> None:
    derived = mg.derive(lambda W: np.sum(mg.vmap(loss, (None, 0, 0))(W, X, T)), W)
    assert "dW = t3.T @ X" in derived.source or ".T @ X" in derived.source
    matrices = rng.normal(size=(4, 3, 5))
    f = lambda W: np.sum(np.sin(mg.vmap(lambda M: W @ M)(matrices)))  # noqa: E731
    assert "(axis=0)" not in mg.derive(f, W).source
    same(mg.grad(f)(W), sum(mg.grad(lambda W, M=M: np.sum(np.sin(W @ M)))(W) for M in matrices))


LISTING = """
def vmap_loss(W, x, t, gradient):
    # W (2, 3), x (4, 3), t (4, 2), gradient (4,): float64
    tanh = np.tanh(x @ W.T)  # shape (4, 2)
    t2 = tanh - t  # shape (4, 2)
    vmap_loss = (t2**2).sum(axis=1)  # shape (4,)
    t3 = gradient[:, None] * 2 * t2  # shape (4, 2)
    t4 = t3 * (1 - tanh * tanh)  # shape (4, 2)
    dW = t4.T @ x  # gradient · ∂vmap_loss/∂W, shape (2, 3)
    dx = t4 @ W  # gradient · ∂vmap_loss/∂x, shape (4, 3)
    dt = -t3  # gradient · ∂vmap_loss/∂t, shape (4, 2)
    return vmap_loss, (dW, dx, dt)
"""


def test_derive_prints_the_batched_source() -> None:
    assert str(mg.derive(mg.vmap(loss, (None, 0, 0)), W, X, T)) == LISTING.strip()


def test_compile_takes_it() -> None:
    for f in (
        mg.vmap(mg.grad(loss), (None, 0, 0)),
        mg.vmap(mg.hessian(loss), (None, 0, 0)),
        mg.vmap(loss, (None, 0, 0)),
    ):
        np.testing.assert_array_equal(mg.compile(f)(W, X, T), f(W, X, T))

    @mg.compile
    def step(X: Any, T: Any) -> Any:
        J = np.mean(mg.vmap(lambda x, t: loss(weights, x, t))(X, T))
        J.backward()
        weights.data -= 0.1 * weights.grad
        weights.grad = None
        return J

    weights = mg.Tensor(W)
    eager = mg.Tensor(W)
    for _ in range(3):
        first = step(X, T)
        J = np.mean(mg.vmap(lambda x, t: loss(eager, x, t))(X, T))
        J.backward()
        eager.data -= 0.1 * eager.grad
        eager.grad = None
        same(first, J.data)
    same(weights.data, eager.data)


# chunks


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_jacobian_in_chunks(chunk: int) -> None:
    for f in (hidden, lambda x: np.outer(x, x) @ x, lambda x: (x * 1j, x)):
        found, expected = mg.jacobian(f, chunk=chunk)(V), mg.jacobian(f)(V)
        for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (found, expected)), strict=True):
            same(a, b)
    same(mg.hessian(square, chunk=chunk)(V), mg.hessian(square)(V))
    same(mg.compile(mg.hessian(square, chunk=chunk))(V), mg.hessian(square)(V))


def test_a_chunk_bounds_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad import transforms

    sizes: list[int] = []
    before = transforms.batching
    monkeypatch.setattr(transforms, "batching", lambda size: sizes.append(size) or before(size))
    monkeypatch.setattr(transforms, "MEMORY", 8 * 40)  # 10 gradients of x (3,) and y (2,), their product, its value
    mg.jacobian(lambda x: np.tanh(np.ones((20, 3)) @ x) @ np.ones((20, 2)))(V)
    assert sizes == [1, 1]
    with pytest.raises(ValueError, match="a chunk of 1 or more, got 0"):
        mg.jacobian(hidden, chunk=0)


# debug


def test_debug_looks_into_a_batch() -> None:
    with np.errstate(all="ignore"), mg.debug():
        with pytest.raises(FloatingPointError, match=r"(?s)log made the first value.* -inf .*test_vmap.py"):
            mg.vmap(lambda x: np.log(mg.Tensor(x)))(X * 0)
        with pytest.raises(FloatingPointError, match=r"(?s)pullback of sqrt.* -inf .*test_vmap.py"):
            mg.vmap(mg.grad(lambda x: np.sum(np.sqrt(x))))(X * 0)
        with pytest.raises(FloatingPointError, match="pullback of sqrt"):
            mg.jacobian(np.sqrt)(V * 0)
        same(mg.vmap(mg.grad(square))(X), looped(mg.grad(square), X))
        same(mg.grad(lambda x: np.sum(mg.vmap(square)(x)))(X), looped(mg.grad(square), X))


def test_a_graph_through_a_batch_is_not_drawn() -> None:
    J = np.sum(mg.vmap(lambda x: w @ x)(X))
    for show in (mg.draw, lambda J: mg.replay(J, "never.html")):
        with pytest.raises(TypeError, match=r"(?s)through vmap has no picture.*mg\.derive.*test_vmap.py"):
            show(J)


def test_compiled_and_derived_functions_inside() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) ** 2)

    same(mg.vmap(mg.compile(f))(X), looped(f, X))
    same(mg.vmap(mg.derive(f, V, wrt=()))(X), looped(f, X))
    same(mg.vmap(lambda x: mg.compile(lambda: f(x))())(X), looped(f, X))
    same(mg.vmap(mg.grad(mg.compile(f)))(X), looped(mg.grad(f), X))


def test_a_row_sparse_gradient_of_a_result_goes_back_into_the_batch() -> None:
    ids = np.array([1, 1, 3])
    f = lambda X: np.sum(mg.embedding(mg.vmap(np.tanh)(X), ids) ** 2)  # noqa: E731
    same(mg.grad(f)(X), mg.grad(lambda X: np.sum(np.tanh(X)[ids] ** 2))(X))
    same(mg.grad(lambda X: np.sum(mg.grad(f)(X) ** 2))(X),
         mg.grad(lambda X: np.sum(mg.grad(lambda X: np.sum(np.tanh(X)[ids] ** 2))(X) ** 2))(X))  # fmt: skip


def test_a_gradient_that_is_changed_in_place_is_read_as_it_is_now() -> None:
    def f(x: Any) -> Any:
        g = mg.grad(lambda W: np.sum(np.tanh(W @ x)))(W)  # a product
        g[0] = 0.0
        return mg.vjp(lambda W: W * 1.0, W)[1](g)[0]

    assert not mg.vmap(f)(X)[:, 0].any()
    same(mg.vjp(lambda W: mg.vmap(lambda x: W)(X), W)[1](np.ones((4, 2, 3)))[0], np.full((2, 3), 4.0))


def test_writing_into_the_data_of_a_result_leaves_the_argument_as_it_is() -> None:
    variable, before = mg.Tensor(X), X.copy()
    mg.vmap(lambda x: operator_setitem(x.data))(variable)
    same(variable.data, before)


def test_backward_on_a_value_kept_from_a_vmap_is_refused() -> None:
    w, kept = mg.Tensor(V), []
    value = mg.vmap(lambda x: kept.append(mg.sum(w * x)) or kept[0])(X)
    with pytest.raises(TypeError, match="backward was called on"):
        kept[0].backward()
    assert w.grad is None
    mg.sum(value).backward()
    same(w.grad, X.sum(axis=0))
