"""mg.compile: a whole step does what the step does, to the last bit, and leaves behind what it leaves behind."""

import numpy as np
import pytest
from derived import same_bits
from steps import FEW, MAKERS, MANY, losses_of, trained

import minigrad as mg
from minigrad.compiler.tracer import Refused


@pytest.mark.parametrize("shape", [FEW, MANY])
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_with_an_optimizer_to_the_last_bit(name: str, shape: tuple[int, int]) -> None:
    losses, m, optimizer = trained(MAKERS[name], shape, None)
    again, ours, other = trained(MAKERS[name], shape, "numpy")
    assert losses == again and len(set(losses)) == 5
    for p, q in ((m.W, ours.W), (m.b, ours.b), (m.L, ours.L)):
        assert same_bits(p.data, q.data) and same_bits(np.asarray(p.grad), np.asarray(q.grad))
    assert type(ours.L.grad) is type(m.L.grad)
    assert other.steps == optimizer.steps == 5


def test_an_update_written_by_hand() -> None:
    results = []
    for compiled in (False, True):
        w, v = mg.Tensor(np.arange(6.0)), np.zeros(6)

        def step(x, w=w, v=v):
            J = mg.sum((w * x) ** 2)
            J.backward()
            scale = np.minimum(1.0, 1 / np.sqrt(np.sum(w.grad**2)))  # clipped by its norm
            v[...] = 0.9 * v + scale * w.grad
            w.data[1:4] -= 0.1 * v[1:4]
            w.data = w.data
            w.grad = None
            return J

        run = mg.compile(step) if compiled else step
        losses = [float(run(np.ones(6) * k).item()) for k in range(1, 5)]
        results.append((losses, w.data.copy(), v.copy()))
    (losses, w, v), (ours, our_w, our_v) = results
    assert losses == ours and same_bits(w, our_w) and same_bits(v, our_v) and np.any(v)


def test_gradients_add_up_over_calls() -> None:
    both = []
    for compiled in (False, True):
        w = mg.Tensor(np.array([1.0, 2.0]))

        def step(x, w=w):
            mg.sum(w * w * x).backward()

        run = mg.compile(step) if compiled else step
        for k in range(3):
            run(np.array([1.0, k]))
        both.append(w.grad)
    assert same_bits(*both) and both[0][0] == 6.0


def test_what_changes_outside_counts_at_once() -> None:
    w, lr, state = mg.Tensor(np.ones(2)), 0.5, {"twice": False}

    @mg.compile
    def step(x):
        J = mg.sum(w * x) * (2 if state["twice"] else 1)
        J.backward()
        w.data -= lr * w.grad
        w.grad = None
        return J

    x, array = np.array([1.0, 2.0]), w.data
    step(x)
    assert same_bits(w.data, np.array([0.5, 0.0])) and w.data is array
    lr = 0.25
    step(x)
    assert same_bits(w.data, np.array([0.25, -0.5]))
    state["twice"] = True
    assert step(x) == 2 * (0.25 - 1.0)
    w.data = np.array([10.0, 10.0])
    assert step(x) == 60.0


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_gradient_that_is_there_or_not(shape: tuple[int, ...]) -> None:
    w = mg.Tensor(np.ones(shape))

    @mg.compile
    def step(x):
        mg.sum(w * x).backward()

    for before in (None, np.ones(shape), None, np.float64(2.0) * np.ones(shape)):
        w.grad = before
        step(np.ones(3))
        assert np.all(w.grad == (3 if shape == () else 1) + (0 if before is None else before))


def test_a_gradient_may_be_set_to_a_constant() -> None:
    w = mg.Tensor(np.ones(3), name="w")

    @mg.compile
    def step(x):
        J = mg.sum(w * x)
        J.backward()
        w.grad = np.zeros(3)
        return J

    assert step(np.ones(3)) == 3.0 and same_bits(w.grad, np.zeros(3))


def test_a_graph_that_used_the_old_data_says_so() -> None:
    w = mg.Tensor(np.ones(2))
    J = mg.sum(w * w)

    @mg.compile
    def step(x):
        w.data -= x

    step(np.ones(2))
    with pytest.raises(RuntimeError, match="run the forward pass again"):
        J.backward()


def test_what_was_read_before_a_write_is_what_it_was() -> None:
    w = mg.Tensor(np.arange(3.0))

    @mg.compile
    def step(x):
        old, turned = w.data.copy(), w.data[::-1]
        total = turned + x
        w.data -= x
        return old * 2, total, w.data + 0.0

    old, total, new = step(np.ones(3))
    assert same_bits(old, np.array([0.0, 2.0, 4.0])) and same_bits(total, np.array([3.0, 2.0, 1.0]))
    assert same_bits(new, np.array([-1.0, 0.0, 1.0])) and same_bits(w.data, new)


def test_an_array_by_two_names() -> None:
    """Written into by one name, it is seen by the other; where they hold two arrays later, it is compiled again."""
    both = []
    for compiled in (False, True):
        w = mg.Tensor(np.ones(3), name="w")
        held, results = {"v": w.data}, []

        def step(x, w=w, held=held):
            before = held["v"] * x
            w.data -= x
            return before, held["v"] * x

        run = mg.compile(step) if compiled else step
        results += [*run(np.arange(3.0)), *run(np.arange(3.0))]
        held["v"] = np.full(3, 7.0)
        results += [*run(np.arange(3.0)), w.data, held["v"]]
        both.append(results)
    assert all(map(same_bits, *both))


def test_a_step_whose_inputs_overlap_runs_uncompiled() -> None:
    """A view from outside of an array that is written into: which order is meant shows only in the step itself."""
    table = np.ones((2, 3))
    row = table[0]

    @mg.compile
    def step(x):
        y = row * x
        table[...] = table + 1
        return y, row * x

    for k in (1.0, 2.0):
        with pytest.warns(RuntimeWarning, match="step runs uncompiled: table was written into, and row shares its mem"):
            before, after = step(np.ones(3))
        assert same_bits(before, np.full(3, k)) and same_bits(after, np.full(3, k + 1)) and row.base is table


def test_inputs_that_come_to_overlap() -> None:
    w, held = mg.Tensor(np.ones(3), name="w"), {"v": np.ones(3)}

    @mg.compile
    def step(x):
        w.data -= x
        return held["v"] * 1.0, x * 1.0

    step(np.ones(3)), step(np.ones(3))
    whole = np.arange(4.0)
    for v, x in ((w.data[:], np.ones(3)), (whole[1:], w.data), (whole[1:], w.data[::-1])):
        held["v"] = v
        expected = w.data - x
        with pytest.warns(RuntimeWarning, match="shares its memory"):
            found = step(x)
        assert same_bits(w.data, expected) and same_bits(found[0], v) and same_bits(found[1], x)
    step(whole[1:])
    assert len(step.cache) == 1


def test_what_cannot_be_found_again_is_refused() -> None:
    w, losses = mg.Tensor(np.ones(2)), []

    @mg.compile
    def step(x):
        losses.append(mg.sum(w * x))

    with pytest.raises(Refused, match="stored in a list"):
        step(np.ones(2))
    assert losses == [] and type(w.data) is np.ndarray


def test_the_source_is_there_after_the_first_call() -> None:
    step = mg.compile(lambda x: x + 1)
    with pytest.raises(ValueError, match="compiled when it is first called"):
        step.source  # noqa: B018
    step(np.ones(2))
    assert "return x + 1" in step.source


def test_backends_are_named() -> None:
    with pytest.raises(ValueError, match="backend needs to be one of numpy, numba, got 'cuda'"):
        mg.compile(lambda x: x, backend="cuda")


def test_a_number_that_is_returned_stays_a_number() -> None:
    lr = 0.5
    step = mg.compile(lambda x, y: (x * lr, y * lr, lr))
    assert type(step(np.ones(3), np.ones(3))[2]) is float


def test_compiled_training_has_the_losses_of_training() -> None:
    assert losses_of("numpy") == losses_of(None)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_assigned_0d_data_stays_an_array(backend: str) -> None:
    w = mg.Tensor(1.0)

    def step(x):
        (w * x).backward()
        w.data = w.data - 0.5 * w.grad
        w.grad = None

    step = mg.compile(step, backend=backend)
    step(np.ones(()))
    data = w.data
    data -= 1
    step(np.ones(()))
    assert type(w.data) is np.ndarray and w.data == -1 and len(step.cache) == 1
