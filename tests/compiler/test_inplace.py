"""Writes: each form in which NumPy writes in place does in a compiled step what it does in the step, and no more."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.compiler import inplace
from minigrad.compiler.tracer import Refused


class State:
    """What the steps below read and write."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.w = mg.Tensor([1.0, -2.0, 3.0], name="w")
        self.o = mg.Tensor([4.0, 5.0, 6.0], name="o")
        self.W = mg.Tensor(rng.normal(size=(2, 3)), name="W")
        self.b = mg.Tensor(0.5, name="b")
        self.v, self.m, self.z = np.zeros(3), np.ones(3), np.ones(2, complex)
        self.F = np.asfortranarray(rng.normal(size=(2, 3)))
        self.counts = np.zeros(3, int)
        self.last: Any = np.zeros(3)
        self.optimizer = mg.optim.SGD([self.W], lr=0.1)

    def arrays(self) -> list[np.ndarray]:
        tensors = [self.w.data, self.o.data, self.W.data, self.b.data]
        return [*tensors, self.v, self.m, self.z, self.F, self.counts, self.last]


def run(step: Callable[[State, Any], Any], wrap: Callable[..., Any], calls: int = 3) -> list[Any]:
    """What a step returns and leaves behind, and which arrays stay what they are, over some calls."""
    s, seen = State(), []
    f = wrap(lambda x: step(s, x))
    first = s.arrays()
    for k in range(calls):
        result = f(np.array([1.0, 2.0, 3.0]) + k)
        results = [np.copy(r) for r in (result if isinstance(result, tuple) else (result,)) if r is not None]
        same = [a is b for a, b in zip(s.arrays(), first)]
        seen.append((results, [np.copy(a) for a in s.arrays()], [np.copy(a) for a in first], same))
    return seen


def assert_alike(step: Callable[[State, Any], Any], backend: str = "numpy") -> None:
    """A step does the same compiled: with the pass that computes in place, and without it."""
    expected = run(step, lambda f: f)
    for on in (True, False):
        inplace.IN_PLACE = on
        try:
            found = run(step, lambda f: mg.compile(f, backend=backend))
        finally:
            inplace.IN_PLACE = True
        for (results, *states, same), (ours, *our_states, our_same) in zip(expected, found, strict=True):
            assert same == our_same
            for a, b in [
                *zip(results, ours, strict=True),
                *zip([*states[0], *states[1]], [*our_states[0], *our_states[1]], strict=True),
            ]:
                assert same_bits(a, b), (a, b)


def two_writes(s, x):
    s.w.data -= 0.1 * x
    s.w.data[0] = 0


def clipped_below_after_a_step(s, x):
    s.W.grad = None
    mg.sum((s.W @ x) ** 2).backward()
    s.optimizer.step()
    s.W.data[s.W.data < 0] = 0


def copied_over(s, x):
    s.o.data += x
    s.w.data[...] = s.o.data


def copied_over_before(s, x):
    s.w.data[...] = s.o.data
    s.o.data += x


def exchanged(s, x):
    s.v[...], s.m[...] = s.m + x, s.v.copy()


def swapped(s, x):
    old = s.v.copy()
    s.v[...] = s.m
    s.m[...] = old


def written_only(s, x):
    s.v[...] = 7


def a_copy_is_a_copy(s, x):
    s.w.data += x
    return s.w.data.copy()


def a_snapshot(s, x):
    y = s.w.data * 1.0
    s.w.data += x
    return s.w.data - y


def a_norm_before(s, x):
    norm = np.sqrt(np.sum(s.w.data**2))
    s.w.data += x
    return norm


def an_intermediate_state(s, x):
    s.w.data -= x
    y = s.w.data.copy()
    s.w.data[0] = 0
    return y


def by_functions(s, x):
    np.copyto(s.v, x)
    np.copyto(s.m, s.v, where=x > 2)
    np.put(s.w.data, [0, -1], x[:2])
    np.putmask(s.o.data, x > 2, s.v)
    np.place(s.v, x > 2, x[:1])
    np.fill_diagonal(s.W.data, x[0])
    np.put_along_axis(s.F, np.array([[0], [2]]), x[1], 1)


def by_methods(s, x):
    s.v.fill(2)
    s.w.data.sort()
    s.o.data.put([1], x[0])
    s.m[...] = -x
    s.m.partition(1)


def where_selected(s, x):
    return np.divide(x, s.o.data, out=s.v, where=x > 2)


def reduced_into(s, x):
    np.sum(s.W.data * x, axis=0, out=s.v)
    np.add.reduce(s.W.data, 0, None, s.m)
    s.W.data *= 0.5
    return s.v + s.m


def with_out(s, x):
    np.matmul(s.W.data.T, s.W.data[:, 0], out=s.v)
    np.concatenate([x[:1], s.v[1:]], out=s.m)
    np.take(x, [2, 1, 0], out=s.v, mode="clip")
    np.clip(s.w.data, -1, 1, out=s.w.data)
    np.cumsum(s.o.data, out=s.o.data)
    np.modf(x * 0.3, out=(s.v, None))
    return np.divmod(x, 2, out=(None, s.m))[0]


def scattered(s, x):
    np.add.at(s.w.data, [0, 0, 2], x)
    np.multiply.at(s.v, 1, 3.0)


def in_another_dtype(s, x):
    s.counts[x > 2] += 1
    s.counts[0] = x[1]
    s.v += s.counts
    s.z += 1j * x[:2]


def through_views(s, x):
    row, column, turned = s.W.data[0], s.W.data[:, 1], s.W.data.T
    row += x
    column[...] = 5
    turned[2] = 7
    s.w.data[::-1][1:] *= 2
    s.W.data.reshape(-1)[3] = 1
    s.F.swapaxes(0, 1)[0] = 2
    np.moveaxis(s.F, 0, -1)[1, 0] = 3
    s.F[None].squeeze().transpose(1, 0)[2] -= 1
    np.flip(s.v)[0] = x[0]
    return row, column.copy(), np.sum(turned, axis=0)


def a_view_taken_before(s, x):
    turned = s.w.data[::-1]
    before = turned + 0
    s.w.data -= x
    return turned, before


def parts_of_complex_numbers(s, x):
    s.z.real = x[:2]
    s.z.imag[0] = np.nan
    s.z.real[1] = np.inf


def overlapping(s, x):
    s.w.data[1:] = s.w.data[:-1]
    s.o.data -= s.o.data[::-1]
    s.v[...] = s.v[::-1] + x
    s.m[::-1] = s.m
    np.multiply(s.m, s.m[::-1], out=s.m, where=x > 1)


def overlapping_after_a_view_was_written(s, x):
    s.W.data.T[:, 0] += x
    np.multiply(s.W.data, s.W.data[::-1], out=s.W.data, where=s.W.data > 0)
    row = s.W.data[0]
    s.W.data[1] = 0
    s.W.data.T[0] = 1
    return row, s.W.data.T[1]


def rebound(s, x):
    s.w.data = s.w.data - x
    s.o.data -= x
    s.v = s.v + 1
    s.v[0] = 5


def bound_to_the_same(s, x):
    s.w.data -= x
    s.last = s.w.data


def without_axes(s, x):
    old, number = s.b.data.copy(), s.b.data[()]
    s.b.data -= 0.25 * x[0]
    s.b.data[...] = s.b.data * 2
    return old, number, s.b.data * 1.0


def without_axes_and_rebound(s, x):
    s.b.data = s.b.data - s.b.data.copy() * 0.5
    s.b.data += x[0]


def of_a_computed_array(s, x):
    y = s.w.data * x
    z = y[1:]
    y[0] = 0
    z += 1
    y *= 2
    return y.copy(), z, y + x


def gradients_clipped(s, x):
    s.W.grad = None
    mg.sum((s.W @ x) ** 2).backward()
    g = s.W.grad
    g *= np.minimum(1.0, 1 / np.sqrt(np.sum(g * g)))
    g[g > 0.5] = 0.5
    s.W.data -= 0.1 * s.W.grad
    s.v[...] = 0.9 * s.v + g[0]


def tied(s, x):
    other = s.w.data
    s.w.data *= 0.5
    other += x
    s.m[...] = 0.9 * s.m + 0.1 * other


STEPS = [
    f for f in list(globals().values()) if getattr(f, "__code__", None) and f.__code__.co_varnames[:2] == ("s", "x")
]


@pytest.mark.parametrize("step", STEPS, ids=lambda f: f.__name__)
def test_a_step_that_writes(step: Callable[[State, Any], Any]) -> None:
    assert_alike(step)


@pytest.mark.parametrize("step", [two_writes, a_snapshot, overlapping, swapped], ids=lambda f: f.__name__)
def test_a_step_that_writes_with_numba(step: Callable[[State, Any], Any]) -> None:
    with pytest.warns(UserWarning, match="no form for numba") if step is overlapping else np.errstate():
        assert_alike(step, "numba")


def test_the_steps_differ_without_care() -> None:
    """The comparison finds a step that does something else."""
    with pytest.raises(AssertionError):
        for (a, *_), (b, *_) in zip(run(a_snapshot, lambda f: f), run(a_norm_before, mg.compile), strict=True):
            assert all(map(same_bits, a, b))


def test_a_stored_array_is_the_array_itself() -> None:
    s = State()
    mg.compile(lambda x: bound_to_the_same(s, x))(np.ones(3))
    assert s.last is s.w.data

    def part(x):
        s.w.data -= x
        s.last = s.w.data[1:]

    mg.compile(part)(np.ones(3))
    assert s.last.base is s.w.data


def test_what_is_returned_is_not_the_state() -> None:
    s = State()

    @mg.compile
    def step(x):
        s.w.data -= x
        s.b.data -= 1
        return s.w.data, s.w.data[1:], s.v, s.w, s.v * 1.0, s.b.data * 1.0

    for result in step(np.ones(3)):
        assert not any(np.shares_memory(result, a) for a in s.arrays())


def parts(s: State, x: Any) -> None:
    s.w.data[1:] += x[1:]
    s.w.data[:2] *= 3
    s.w.data[1:] += s.w.data[:2]
    s.v[:2] = s.w.data[:2] + s.w.data[1:]


LISTINGS = [
    (two_writes, ["w -= 0.1 * x", "w[0] = 0"]),
    (copied_over, ["o += x", "w[...] = o"]),
    (written_only, ["v[...] = 7"]),
    (a_copy_is_a_copy, ["w += x", "return w.copy()"]),
    (a_norm_before, ["norm = np.sqrt((w**2).sum())", "w += x", "return norm"]),
    (where_selected, ["np.divide(x, o, out=v, where=x > 2)", "return v.copy()"]),
    (scattered, ["np.add.at(w, [0, 0, 2], x)", "np.multiply.at(v, 1, 3.0)"]),
    (parts, ["w[1:] += x[1:]", "w[:2] *= 3", "w[1:] = w[1:] + w[:2]", "v[:2] = w[:2] + w[1:]"]),
]


@pytest.mark.parametrize(("step", "lines"), LISTINGS, ids=lambda f: getattr(f, "__name__", ""))
def test_what_can_be_computed_in_place_is(step: Callable[[State, Any], Any], lines: list[str]) -> None:
    s = State()
    compiled = mg.compile(lambda x: step(s, x))
    compiled(np.ones(3))
    written = [line.partition("  #")[0].strip() for line in compiled.source.splitlines()[1:]]
    assert [line for line in written if line and line[0] != "#" and line != "return None"] == lines


def test_the_gradient_of_windows_is_added_window_by_window() -> None:
    x, y = np.arange(5.0), np.array([1.0, -2.0, 3.0])
    for backend in "numpy", "numba":
        d = mg.derive(lambda x, y: mg.sum(mg.sliding_window_view(x, 3) @ y), x, y, backend=backend)
        np.testing.assert_array_equal(d(x, y)[1][0], [1, -1, 2, 1, 3])
    lines = [line.partition("  #")[0].strip() for line in str(d).splitlines()]
    assert [line for line in lines if "+=" in line] == [f"padded[{i}:{i + 3}] += dwindows[..., {i}]" for i in range(3)]
    assert "copy" not in str(d)


def test_rows_of_a_table_are_written_in_place() -> None:
    table = mg.Tensor(np.ones((50, 3)), name="table")
    optimizer = mg.optim.Adagrad([table], lr=0.1)

    @mg.compile
    def step(ids):
        table.grad = None
        mg.sum(mg.embedding(table, ids) ** 2).backward()
        optimizer.step()

    step(np.array([1, 2, 1]))
    source = step.source.partition("def step")[2]
    assert ".copy()" not in source and "[...]" not in source


REFUSED: list[tuple[Callable[[State, Any], Any], str]] = [
    (
        lambda s, x: np.split(s.w.data, 3)[0].fill(1),
        "the result of split was written into.*write into the array itself",
    ),
    (lambda s, x: np.broadcast_to(s.w.data, (2, 3)).fill(1), "the result of broadcast_to was written into"),
    (lambda s, x: np.nan_to_num(s.w.data, copy=False), "nan_to_num writes into its argument"),
    (lambda s, x: np.median(s.w.data, overwrite_input=True), "median writes into its argument"),
    (lambda s, x: s.w.data.resize(2), "an array was resized in place"),
    (lambda s, x: np.copyto(np.zeros(3), x), "a computed value was written into an array"),
    (lambda s, x: np.add(x, x, out=np.zeros(3)), "a computed value was written into an array"),
    (lambda s, x: np.divmod(x, 2, out=(s.v, s.m), where=x > 1), "several arrays for out="),
    (lambda s, x: np.place(s.W.data.T[:, 0], x > 0, s.W.data[0]), "place writes into an array that it also reads"),
    (lambda s, x: np.take(s.w.data, [1, 1, 0], out=s.w.data, mode="clip"), "take writes into an array that it also"),
    (lambda s, x: np.copyto(x, s.w.data), "the argument x was written into"),
    (lambda s, x: x[1:].fill(0), "the argument x was written into"),
]


@pytest.mark.parametrize(("step", "message"), REFUSED)
def test_what_cannot_be_written_is_refused_before_anything_is(step: Callable[[State, Any], Any], message: str) -> None:
    s, x = State(), np.ones(3)
    before = [np.copy(a) for a in s.arrays()]

    def first_something_else(x: Any) -> None:
        s.v[...] = 9
        step(s, x)

    with pytest.raises(Refused, match=message):
        mg.compile(first_something_else)(x)
    assert all(map(same_bits, before, s.arrays())) and same_bits(x, np.ones(3))


ERRORS: list[Callable[[State, Any], Any]] = [
    lambda s, x: s.counts.__iadd__(x),
    lambda s, x: s.v.__iadd__(s.z[0] * x),
    lambda s, x: s.v.__iadd__(s.W.data),
    lambda s, x: s.v.__iadd__(x[None]),
    lambda s, x: np.copyto(s.counts, x),
    lambda s, x: s.v.__setitem__(slice(2), x),
    lambda s, x: s.v.__setitem__(5, 0),
    lambda s, x: np.add(x, x, out=s.W.data[:, :2]),
    lambda s, x: np.sum(s.W.data, axis=0, out=s.z),
]


@pytest.mark.parametrize("step", ERRORS)
def test_errors_are_numpys(step: Callable[[State, Any], Any]) -> None:
    s, x = State(), np.ones(3)
    before = [np.copy(a) for a in s.arrays()]
    with pytest.raises((TypeError, ValueError, IndexError)) as numpys:
        step(s, x)
    with pytest.raises(numpys.type.__mro__[-3] if numpys.type.__module__ != "builtins" else numpys.type):
        mg.compile(lambda x: step(s, x))(x)
    assert all(map(same_bits, before, s.arrays()))


def test_a_reshape_is_a_view_or_a_copy() -> None:
    """In Fortran order it is a copy, and what is written into it is lost."""
    both = []
    for wrap in (lambda f: f, mg.compile):
        held = {"a": np.ones((2, 3))}

        def step(x, held=held):
            held["a"].reshape(-1)[0] += x[0]
            return held["a"] * 1.0

        run = wrap(step)
        found = [run(np.ones(2)), run(np.ones(2))]
        held["a"] = np.asfortranarray(np.ones((2, 3)))
        both.append([*found, run(np.ones(2)), held["a"]])
    for x, y in zip(*both):
        assert same_bits(x, y)
