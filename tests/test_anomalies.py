"""`debug`: it finds what it promises to find, names it, and finds nothing where nothing is wrong."""

import gc
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hostile import assert_shown
from sampling import sampled

import minigrad as mg
from minigrad import anomalies
from minigrad.trees import is_floating, leaves, map_leaves


@pytest.fixture(autouse=True)
def without_warnings() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(autouse=True, scope="module")
def nothing_is_kept() -> Iterator[None]:
    yield
    gc.collect()
    assert not anomalies._calls


def refused(kind: type[Exception], message: str, act: Callable[[], Any]) -> None:
    """Within debug an error, with the text of the line that is marked; without it none."""
    act()
    with pytest.raises(kind, match=message) as caught, mg.debug():
        act()
    assert "# here" in str(caught.value).split("\n", 1)[1], str(caught.value)
    caught.value.__traceback__ = None  # it would keep the graph


# nothing wrong


@sampled(CASES, one_in=2)
def test_every_op_passes(case: Case) -> None:
    """Every array that a pullback needs stays as it is, and every gradient has its shape and dtype."""
    args = map_leaves(lambda x: mg.Tensor(x) if is_floating(x) else x, list(case.args))
    with mg.debug():
        y = case(*args)
        y.backward(np.ones_like(y.data))


def test_ops_that_compute_in_float32_for_float16_pass() -> None:
    x = mg.Tensor(np.float16([[1.0, 2.0], [3.0, 4.0]]))
    with mg.debug():
        for f in (mg.sum, mg.mean, mg.std, mg.softmax, mg.logsumexp, lambda x: x @ x, lambda x: x * np.float32([1, 2])):
            mg.sum(f(x)).backward()
    assert x.grad.dtype == np.float16


@pytest.mark.parametrize("case", [c for c in CASES[::7] if c.op.__name__ != "by_gaps"], ids=str)
# by_gaps has the derivative NaN, by intention, where gaps are 0
def test_second_derivatives_pass(case: Case) -> None:
    args = [x for x in leaves(case.args) if is_floating(x)]

    def f(*values: Any) -> Any:
        rest = iter(values)
        y = case(*map_leaves(lambda x: next(rest) if is_floating(x) else x, list(case.args)))
        return mg.sum(mg.real(y) * 0.5)

    def second(*values: Any) -> Any:
        gradients = mg.grad(f, tuple(range(len(values))))(*values)
        return sum(mg.sum(mg.real(g)) for g in gradients)

    expected = mg.grad(second, tuple(range(len(args))))(*args)
    with mg.debug():
        found = mg.grad(second, tuple(range(len(args))))(*args)
    for g, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(g, wanted)


def test_training_with_all_that_there_is_passes() -> None:
    rng = np.random.default_rng(0)
    table, W, b = (mg.Tensor(rng.normal(size=s), name=n) for s, n in (((9, 4), "L"), ((4, 4), "W"), ((4,), "b")))
    optimizer = mg.optim.Adam([table, W, b], lr=0.01)
    block = mg.checkpoint(lambda h, W, b: mg.tanh(h @ W + b))
    ids, losses = np.zeros(3, int), []
    for _ in range(6):
        with mg.debug():
            ids[...] = rng.integers(0, 9, 3)  # a buffer that is filled again after backward
            h = block(block(mg.embedding(table, ids), W, b), W, b)
            J = mg.mean((h - 0.5) ** 2)
            optimizer.zero_grad()
            J.backward()
            optimizer.step()
            losses.append(J.item())
            mg.draw(J)
            assert mg.gradcheck(lambda x: mg.sum(mg.exp(x)), np.ones(2))
            assert mg.jvp(mg.sin, (1.0,), (1.0,))[1] == np.cos(1.0) and mg.hvp(lambda x: x**3)(2.0, 1.0) == 12.0
            assert mg.derive(lambda x: mg.sum(np.log(x)), np.zeros(2))  # on a tracer there are no values
    assert losses[-1] < losses[0]


def test_a_mask_of_infinities_is_no_error() -> None:
    x, mask = mg.Tensor([1.0, 2.0, 3.0]), np.array([0.0, -np.inf, 0.0])
    with mg.debug():
        mg.sum(mg.softmax(x + mask) ** 2).backward()
        mg.sum(mg.softmax(mg.where(mask == 0, x, -np.inf))[0]).backward()
    assert np.all(np.isfinite(x.grad))


# values that are not finite


def test_log_of_zero() -> None:
    x = mg.Tensor([1.0, 0.0, 0.0], name="x")

    def loss() -> Any:
        p = x * 1.0
        return mg.sum(
            np.log(p)  # here
        )

    refused(
        FloatingPointError, r"log made the first .* -inf at index 1 of shape \(3,\) and 1 more, where .* 0\.0", loss
    )


def test_an_rnn_that_explodes() -> None:
    rng = np.random.default_rng(0)
    W, x = mg.Tensor(rng.normal(size=(8, 8)) * 1e30, name="W"), rng.normal(size=8)

    def run() -> Any:
        h = mg.Tensor(np.ones(8))
        for _ in range(20):
            h = W @ h  # here
            h = h + x
        return mg.sum(h)

    refused(FloatingPointError, "matmul made the first value that is not finite", run)


def test_nan_in_the_data_is_found_where_it_comes_in() -> None:
    w, x = mg.Tensor([1.0, 1.0], name="w"), np.array([1.0, np.nan])
    use = lambda: w * x  # noqa: E731  # here
    make = lambda: mg.Tensor(x)  # noqa: E731  # here
    refused(FloatingPointError, "multiply made the first .* nan at index 1 of shape", use)
    refused(FloatingPointError, r"a Tensor \(2,\) is made of data that is not finite: nan", make)


def test_values_under_no_grad_are_checked() -> None:
    x = mg.Tensor(0.0)

    @mg.no_grad()
    def value() -> Any:
        return 1.0 / x  # here

    refused(FloatingPointError, "divide made the first value that is not finite: inf", value)


# gradients that are not finite


def test_the_derivative_of_sqrt_at_zero() -> None:
    x = mg.Tensor([4.0, 0.0], name="x")

    def norm() -> Any:
        n = np.sqrt(x)  # here
        return mg.sum(n).backward()

    refused(FloatingPointError, r"pullback of sqrt with respect to x \(2,\) .* inf at index 1 .*where x is 0\.0", norm)
    x.grad = None
    with pytest.raises(FloatingPointError), mg.debug():
        norm()
    assert x.grad is None


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: mg.grad(f)(np.zeros(2)),
        lambda f: mg.hvp(f)(np.zeros(2), np.ones(2)),
        lambda f: mg.jvp(f, (np.zeros(2),), (np.ones(2),)),
        lambda f: mg.jacobian(f)(np.zeros(2)),
        lambda f: mg.grad(mg.checkpoint(f))(np.zeros(2)),
        lambda f: mg.grad(lambda x: mg.sum(mg.grad(f)(x)))(np.zeros(2)),
    ],
)
def test_the_derivative_of_sqrt_at_zero_in_transforms(transform: Callable[[Any], Any]) -> None:
    def f(x: Any) -> Any:
        y = np.sqrt(x)  # here
        return mg.sum(y)

    refused(FloatingPointError, "of sqrt", lambda: transform(f))


def test_a_gradient_whose_sum_overflows() -> None:
    x = mg.Tensor(np.float32(0.0), name="x")

    def add_up() -> Any:
        y = x * np.float32(1.0)  # here
        return (y * np.float32(3e38) + y * np.float32(3e38)).backward(np.float32(1.0))

    with (
        pytest.raises(FloatingPointError, match=r"the gradient of a Tensor \(\) is the first .* sum of finite ones"),
        mg.debug(),
    ):
        add_up()


def test_rows_of_a_table() -> None:
    table = mg.Tensor(np.zeros((5, 2)), name="table")

    def look_up() -> Any:
        rows = mg.embedding(table, [1, 2])
        return mg.sum(np.sqrt(rows)).backward()  # here

    refused(FloatingPointError, "the pullback of sqrt", look_up)


# arrays that were changed


def by_setter_behind(t: mg.Tensor, buffer: np.ndarray) -> None:
    t.data[0] = 9.0


def by_copyto(t: mg.Tensor, buffer: np.ndarray) -> None:
    np.copyto(t.data, 9.0)


def by_buffer(t: mg.Tensor, buffer: np.ndarray) -> None:
    buffer[...] = 3.0


def by_optimizer_behind(t: mg.Tensor, buffer: np.ndarray) -> None:
    t.data.__isub__(0.1 * np.ones(2))


@pytest.mark.parametrize("change", [by_setter_behind, by_copyto, by_buffer, by_optimizer_behind])
@pytest.mark.parametrize("how", ["backward", "grad", "second"])
def test_an_array_that_was_changed(change: Callable[..., None], how: str) -> None:
    def run() -> Any:
        w, buffer = mg.Tensor([1.0, 2.0], name="w"), np.array([5.0, 6.0])

        def loss(v: Any) -> Any:
            y = w * (buffer * v)
            z = np.exp(y) * w * v * buffer  # here
            change(w, buffer)
            return mg.sum(z)

        if how == "backward":
            return loss(mg.Tensor([0.1, 0.2])).backward()
        if how == "grad":
            return mg.grad(loss)(np.array([0.1, 0.2]))
        return mg.grad(lambda v: mg.sum(mg.grad(loss)(v)))(np.array([0.1, 0.2]))

    refused(RuntimeError, r"(w|an array) \(2,\), used by multiply, was changed since: call backward before", run)


def test_a_reused_buffer_of_ids_and_one_inside_an_index() -> None:
    ids = np.array([0, 1])

    def look_up(how: Callable[[Any], Any]) -> Any:
        ids[...] = [0, 1]
        table = mg.Tensor(np.ones((4, 2)), name="table")
        rows = how(table)  # here
        J = mg.sum(rows)
        ids[...] = [2, 3]
        return J.backward()

    for how in (lambda t: mg.embedding(t, ids), lambda t: t[ids], lambda t: t[ids, ids % 2]):
        message = r"an array \(2,\), used by (embedding|getitem), was changed since"
        with pytest.raises(RuntimeError, match=message), mg.debug():
            look_up(how)


def test_a_change_that_no_pullback_notices_is_no_error() -> None:
    x, buffer = mg.Tensor([1.0, 2.0]), np.ones(2)
    with mg.debug():
        J = mg.sum(x + buffer)
        buffer[...] = 7.0
        J.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_an_array_that_the_rule_of_an_op_of_ones_own_holds_on_to() -> None:
    mask = np.array([1.0, 0.0])

    @mg.op()
    def masked(x: Any) -> Any:
        return x * mask, lambda g: g * mask

    def run() -> Any:
        mask[...] = [1.0, 0.0]
        y = masked(mg.Tensor([1.0, 2.0]))  # here
        mask[...] = 1.0
        return y.backward(np.ones(2))

    refused(RuntimeError, r"an array \(2,\), used by masked, was changed since", run)


# pullbacks


def op_with(pullback: Callable[[Any], Any], body: Callable[[Any], Any] = lambda x: x * x.dtype.type(2)) -> Any:
    @mg.op()
    def careless(x: Any) -> Any:
        return body(x), pullback

    return careless


@pytest.mark.parametrize(
    ("op", "kind", "message"),
    [
        (op_with(lambda g: g * np.float64(2.0)), TypeError, "dtype float64; needed the argument's dtype, float32"),
        (op_with(lambda g: np.array([2, 2])), TypeError, "dtype int64; needed"),
        (op_with(lambda g: np.ones((3, 2), np.float32)), ValueError, r"shape \(3, 2\); needed .* shape \(2,\)"),
        (op_with(lambda g: np.ones((5, 2), np.float32), np.sum), ValueError, r"shape \(5, 2\); needed .* or the"),
    ],
)
def test_a_pullback_of_another_shape_or_dtype(op: Any, kind: type[Exception], message: str) -> None:
    def run() -> Any:
        y = op(mg.Tensor(np.ones(2, np.float32), name="x"))  # here
        return y.backward(np.ones(y.shape))

    refused(kind, f"pullback of careless with respect to x \\(2,\\) returned .*{message}", run)


# where it holds


def test_a_graph_from_outside_is_checked_without_its_line() -> None:
    y = np.sqrt(mg.Tensor([0.0], name="x"))
    with pytest.raises(FloatingPointError, match=r"pullback of sqrt.*\n.*called outside of debug: "), mg.debug():
        y.backward([1.0])


def test_threads_are_checked_apart() -> None:
    x, found = mg.Tensor([0.0], name="x"), []

    def work(checked: bool) -> None:
        with np.errstate(all="ignore"):
            for _ in range(50):
                try:
                    with mg.debug() if checked else mg.no_grad():
                        np.log(x)
                    found.append(checked)
                except FloatingPointError:
                    found.append(not checked)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [False] * 200


def test_it_names_no_line_of_minigrads_own() -> None:
    x = mg.Tensor(np.zeros(3), name="x")
    with pytest.raises(FloatingPointError) as caught, mg.debug():
        mg.std(mg.log(x) * 1.0)
    assert re.search(r"in test_it_names_no_line_of_minigrads_own, line \d+ of test_anomalies", str(caught.value))


class Held:
    __slots__ = ("c",)

    def __init__(self, c: Any) -> None:
        self.c = c

    def pullback(self, g: Any) -> Any:
        return g * self.c


@pytest.mark.parametrize(
    "pullback",
    [
        lambda c: lambda g, held=Held(c): g * held.c,
        lambda c: Held(c).pullback,
        lambda c: lambda g, held=deque([c]): g * held[0],
        lambda c: lambda g, held=SimpleNamespace(deep={"c": [c]}): g * held.deep["c"][0],
    ],
    ids=["object with slots", "bound method", "deque", "object"],
)
def test_an_array_is_watched_however_a_pullback_holds_it(pullback: Any) -> None:
    c, x = np.ones(2), mg.Tensor([1.0, 2.0])

    @mg.op()
    def scale(x: Any) -> Any:
        return x * c, pullback(c)

    with mg.debug():
        scale(x).backward(np.ones(2))
        y = scale(x)
        c[0] = 5.0
        with pytest.raises(RuntimeError, match="used by scale, was changed since"):
            y.backward(np.ones(2))


@pytest.mark.parametrize("reduce", [mg.sum, mg.mean, lambda y: mg.sum(mg.reshape(y, (2, 1)), axis=0, keepdims=True)])
def test_a_pullback_that_needs_only_a_shape_is_not_concerned(reduce: Callable[[Any], Any]) -> None:
    x = mg.Tensor([1.0, 2.0])
    with mg.debug():
        y = x + 0.0
        s = reduce(y)
        y.data[0] = 5.0
        s.backward()


def test_infinities_in_the_data_are_no_error() -> None:
    with mg.debug():
        mask = mg.Tensor([0.0, -np.inf])
        mg.grad(lambda p: mg.sum(mg.exp(p["x"] + p["mask"])))({"x": np.ones(2), "mask": np.array([0.0, -np.inf])})
        mg.sum(mg.exp(mask + 1.0)).backward()
        with pytest.raises(FloatingPointError, match="is made of data that is not finite"):
            mg.Tensor([np.nan, np.inf])


LARGE = np.ones(1_000_000)


def test_what_an_op_only_looks_up_in_is_not_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of an embedding, of which its pullback needs the shape; a global, of which only a part is looked at."""
    read: list[int] = []
    fingerprint = anomalies._fingerprint

    def counted(array: Any, enough: int) -> int:
        read.append(min(array.size, 2 * enough))
        return fingerprint(array, enough)

    monkeypatch.setattr(anomalies, "_fingerprint", counted)

    @mg.op()
    def first(x: Any) -> Any:
        return x * LARGE[0], lambda g: g * LARGE[0]

    table = mg.Tensor(np.ones((100_000, 4)))
    with mg.debug():
        mg.sum(first(mg.embedding(table, np.array([1, 2])))).backward()
        assert read and sum(read) < 50_000
        y = first(mg.Tensor(1.0))
        LARGE[:] = 2.0
        with pytest.raises(RuntimeError, match="was changed since"):
            y.backward()
        LARGE[:] = 1.0


def test_names_are_shown_in_the_messages_of_debug() -> None:
    @mg.op()
    def bad(x: Any) -> Any:
        return x * np.nan, lambda g: g

    bad.__name__ = "\x1b[31m"
    with mg.debug(), pytest.raises(FloatingPointError) as error:
        bad(mg.Tensor([1.0, 2.0], name="\x1b[32m"))
    assert_shown(str(error.value))
    assert r"\x1b[31m made" in str(error.value) and r"where \x1b[32m is 1.0" in str(error.value)
