"""The Tensor: NumPy's operators, methods and protocols, copies, and how it prints."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from duck import Duck
from hostile import assert_shown

import minigrad as mg
from minigrad.mode import recording

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
B = np.array([[2.0, 0.5, 1.0], [1.0, 3.0, 2.0]])

# operators: each as NumPy has it, with a Tensor on either side, recording


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow"])
@pytest.mark.parametrize(
    "other", [B, 2, 0.5, np.float64(3.0), B[0].tolist(), mg.Tensor(B)], ids=lambda x: type(x).__name__
)
def test_binary_operator(name: str, other: Any) -> None:
    f, t = getattr(operator, name), mg.Tensor(A)
    plain = other.data if isinstance(other, mg.Tensor) else np.asarray(other)
    for value, expected in [(f(t, other), f(A, plain)), (f(other, t), f(plain, A))]:
        assert isinstance(value, mg.Tensor) and value._edges
        np.testing.assert_array_equal(value.data, expected)


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ipow"])
def test_in_place_operator_makes_a_new_tensor(name: str) -> None:
    t = before = mg.Tensor(A)
    t = getattr(operator, name)(t, 2.0)
    assert t is not before and t._edges and before.data.tolist() == A.tolist()


@pytest.mark.parametrize(
    "f", [lambda t, m: t @ m.T, lambda t, m: m.T @ t, lambda t, m: t @ m.T.tolist(), lambda t, m: m.T.tolist() @ t]
)
def test_matrix_product(f: Callable[..., Any]) -> None:
    value = f(mg.Tensor(A), B)
    assert isinstance(value, mg.Tensor) and value.data.tolist() == np.asarray(f(A, B)).tolist()


@pytest.mark.parametrize("f", [operator.neg, abs, operator.pos, lambda t: t.T, lambda t: t[0, ::-1]])
def test_unary_operator(f: Callable[..., Any]) -> None:
    assert f(mg.Tensor(A - 3)).data.tolist() == f(A - 3).tolist()


@pytest.mark.parametrize("name", ["gt", "ge", "lt", "le", "eq", "ne"])
@pytest.mark.parametrize("other", [3.0, B, mg.Tensor(B)], ids=["number", "array", "Tensor"])
def test_comparison_gives_booleans(name: str, other: Any) -> None:
    f, t = getattr(operator, name), mg.Tensor(A)
    plain = other.data if isinstance(other, mg.Tensor) else other
    for value, expected in [(f(t, other), f(A, plain)), (f(other, t), f(plain, A))]:
        assert type(value) is np.ndarray and value.dtype == bool and value.tolist() == expected.tolist()


# methods

METHODS = [
    lambda t: t.sum(), lambda t: t.sum(axis=0), lambda t: t.sum(1, keepdims=True), lambda t: t.mean(),
    lambda t: t.mean(axis=-1), lambda t: t.max(), lambda t: t.max(axis=1), lambda t: t.min(),
    lambda t: t.min(axis=0, keepdims=True), lambda t: t.reshape(3, 2), lambda t: t.reshape((3, 2)),
    lambda t: t.reshape(-1), lambda t: t.transpose(), lambda t: t.transpose(1, 0), lambda t: t.transpose((1, 0)),
    lambda t: t.swapaxes(0, 1), lambda t: t[:1].squeeze(), lambda t: t[:1].squeeze(0), lambda t: t.T,
    lambda t: t.prod(axis=1), lambda t: t.var(), lambda t: t.std(0), lambda t: t.std(axis=1, ddof=1, keepdims=True),
    lambda t: t.cumsum(), lambda t: t.cumprod(axis=1), lambda t: t.clip(1.5, 4.5), lambda t: t.dot(B[0]),
    lambda t: t.trace(), lambda t: t.diagonal(1), lambda t: t.take([0, 0, 5]), lambda t: t.take([1], axis=0),
    lambda t: t.repeat(2, axis=1), lambda t: t.ravel(), lambda t: t.flatten("F"), lambda t: t.conj(), lambda t: t.mT,
    lambda t: t.copy(), lambda t: t.astype(t.dtype), lambda t: t.real, lambda t: t.reshape(3, 2, order="F"),
    lambda t: t % 2.5, lambda t: 7.0 % t, lambda t: np.sum(t, 0), lambda t: np.sum(t, axis=0, dtype=None, out=None),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_method_is_numpys(method: Callable[..., Any]) -> None:
    value = method(mg.Tensor(A))
    assert isinstance(value, mg.Tensor) and value._edges
    np.testing.assert_array_equal(value.data, method(A))
    assert mg.gradcheck(method, A, order=2)


def test_what_it_is() -> None:
    t = mg.Tensor(A, name="A")
    assert (t.shape, t.dtype, t.ndim, t.size, len(t), t.name, t.grad) == ((2, 3), np.float64, 2, 6, 2, "A", None)
    assert (float(mg.Tensor(2.5)), mg.Tensor([[2.5]]).item(), bool(mg.Tensor(0.0))) == (2.5, 2.5, False)
    assert [row.data.tolist() for row in t] == A.tolist() and all(row._edges for row in t)
    assert t in {t} and mg.Tensor(A) not in {t}


@pytest.mark.parametrize("f", [bool, float, len, iter, lambda t: t.item()], ids=lambda f: f.__name__)
def test_what_numpy_refuses_is_refused(f: Callable[..., Any]) -> None:
    x = np.array(1.0) if f in (len, iter) else A
    with pytest.raises(Exception) as numpys:
        list(f(x))
    with pytest.raises(numpys.type):
        list(f(mg.Tensor(x)))


# NumPy's functions without a gradient: plain answers


CONSTANT = [
    np.argmax, np.sign, np.isfinite, np.isnan, np.floor, np.any, np.all, np.shape, np.ndim, np.size, np.zeros_like,
    np.ones_like, np.result_type, np.argsort, np.count_nonzero, lambda t: np.argmin(t, axis=1),
    lambda t: np.full_like(t, 2.0), lambda t: np.allclose(t, A), lambda t: np.array_equal(A, t),
    lambda t: t.argmax(axis=1), lambda t: t.argsort(), lambda t: t.any(), lambda t: t.all(axis=0), lambda t: t.tolist(),
    lambda t: np.where(t), lambda t: t.nonzero(),
    lambda t: t // 2, lambda t: 7.0 // t, lambda t: divmod(t, 2.0)[0], lambda t: np.round(t), lambda t: np.floor(t),
    lambda t: np.logical_and(t > 1, t), lambda t: np.isclose(t, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("f", CONSTANT)
def test_function_without_a_gradient_is_plain(f: Callable[..., Any]) -> None:
    value, expected = f(mg.Tensor(A)), f(A)
    assert type(value) is type(expected)
    np.testing.assert_array_equal(value, expected)


# data: copied in, copies are variables of their own


@pytest.mark.parametrize(
    "kind", [np.array, Duck, lambda a: a.copy().view(np.matrix)], ids=["array", "duck", "subclass"]
)
def test_data_is_copied(kind: Callable[[Any], Any]) -> None:
    given = kind(A)
    t = mg.Tensor(given)
    given[0, 0] = 99.0
    assert type(t.data) is (Duck if kind is Duck else np.ndarray)
    assert (t.data.array if kind is Duck else t.data)[0, 0] == A[0, 0]


@pytest.mark.parametrize(
    "data",
    [
        *[1.5, [1.5, 2], [[1.5], [2.5]], np.float64(1.5), np.float32(1.5), [np.float32(1.5)], 1.5 + 1j],
        *[np.array(1.5, ">f4"), np.array([1.5 + 1j], ">c16")],
    ],
)
def test_data_of_every_kind(data: Any) -> None:
    t = mg.Tensor(data)
    assert t.dtype == np.asarray(data).dtype.newbyteorder("=")
    assert type(t.data) is np.ndarray and np.array_equal(t.data, data)


@pytest.mark.parametrize("new", [2.0, 2, np.float32(2), np.array(2.0)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128])
def test_data_of_no_dimension_stays_an_array(new: Any, dtype: Any) -> None:
    """A NumPy scalar would be replaced, not changed, by `data -= 1`, and has no item to assign."""
    t = mg.Tensor(np.array(1.0, dtype))
    t.data = new
    data = t.data
    data -= 1
    data[...] *= 3
    assert type(data) is np.ndarray and data is t.data and t.dtype == dtype and t.item() == 3


def test_is_leaf() -> None:
    x = mg.Tensor([1.0])
    y = x * x
    assert x.is_leaf and y.detach().is_leaf and not y.is_leaf and not y.retain_grad().is_leaf
    x.data, y.data = [2.0], [2.0]
    assert x.is_leaf and not y.is_leaf
    with mg.no_grad():
        assert (x * x).is_leaf


def test_assigned_data_is_copied_in_its_dtype() -> None:
    t, new = mg.Tensor(np.float32([1.0, 2.0])), np.array([3.0, 4.0])
    t.data = new
    new[0] = 99.0
    assert t.dtype == np.float32 and t.data.tolist() == [3.0, 4.0]


COPIES = [copy.copy, copy.deepcopy, mg.Tensor.detach, lambda t: pickle.loads(pickle.dumps(t))]
each_copy = pytest.mark.parametrize("how", COPIES, ids=["copy", "deepcopy", "detach", "pickle"])


@each_copy
def test_copy_is_a_variable_of_its_own(how: Callable[[mg.Tensor], mg.Tensor]) -> None:
    x = mg.Tensor(3.0, name="x")
    y = how(x)
    assert (type(y), y.name, y.grad, y.data) == (mg.Tensor, "x", None, 3.0)
    (x * y * y).backward()
    assert (x.grad, y.grad) == (9.0, 18.0)
    y.data += 1.0
    assert x.data == 3.0


class Decayed(mg.Tensor):
    """Its constructor takes other arguments than Tensor's."""

    def __init__(self, size: int, decay: float) -> None:
        super().__init__(np.ones(size), name=f"w{size}")
        self.decay = decay


class Slotted(mg.Tensor):
    __slots__ = ("lr",)
    lr: list[float]


@pytest.mark.parametrize("how", [h for h in COPIES if h is not mg.Tensor.detach])
def test_a_copy_has_all_that_belongs_to_a_variable(how: Callable[[mg.Tensor], Any]) -> None:
    w, v = Decayed(2, 0.1), Slotted([1.0, 2.0])
    v.lr = [0.5]
    mg.sum(w * v).backward()
    for x in (w, v):
        y = how(x)
        assert (type(y), y.name, y.data.tolist(), y.grad.tolist()) == (
            type(x), x.name, x.data.tolist(), x.grad.tolist()
        )  # fmt: skip
        assert not np.shares_memory(y.grad, x.grad) and not np.shares_memory(y.data, x.data)
    assert how(w).decay == 0.1 and how(v).lr == [0.5]


@pytest.mark.parametrize("how", [h for h in COPIES if h is not mg.Tensor.detach])
def test_a_copy_keeps_a_row_sparse_gradient_and_what_no_grad_made(how: Callable[[mg.Tensor], Any]) -> None:
    table = mg.Tensor(np.ones((4, 2)))
    mg.sum(mg.embedding(table, [1, 1])).backward()
    assert how(table).grad.indices.tolist() == [1] and how(table).grad.dense()[1].tolist() == [2.0, 2.0]
    with mg.no_grad():
        y = mg.sum(table)
    with pytest.raises(RuntimeError, match="computed under no_grad"):
        how(y).backward()


def test_a_copied_model_is_trained_by_its_copied_optimizer() -> None:
    w = mg.Tensor([1.0, 2.0], name="w")
    model, optimizer = copy.deepcopy(({"w": w, "tied": w}, mg.optim.Adam([w])))
    assert model["w"] is model["tied"] is optimizer.params[0] is not w


@pytest.mark.parametrize("how", [h for h in COPIES if h is not mg.Tensor.detach])
def test_a_result_is_not_copied_without_its_history(how: Callable[[mg.Tensor], Any]) -> None:
    x = mg.Tensor([3.0, 1.0], name="x")
    for act in (lambda: how(x * x), lambda: mg.grad(lambda v: mg.sum(how(v) * v))(x.data)):
        with pytest.raises(TypeError, match=r"is a result, and its copy would be none: .*t?\.detach\(\)"):
            act()
    assert mg.grad(lambda v: mg.sum(how(x) * v))(x.data).tolist() == [3.0, 1.0]


def test_copies_are_derived() -> None:
    x = copy.deepcopy(mg.Tensor([3.0, 1.0], name="x"))
    assert mg.derive(lambda v: mg.sum(v * copy.deepcopy(x)), np.ones(2))(np.ones(2))[1].tolist() == [3.0, 1.0]
    with pytest.raises(TypeError, match="is a result, and its copy would be none"):
        mg.derive(lambda v: mg.sum(copy.deepcopy(v) * v), np.ones(2))(np.ones(2))


# a result that shares memory

VIEWS = {
    "row": lambda x: x[0], "slice": lambda x: x[1:], "all": lambda x: x[...], "reshape": lambda x: x.reshape(4),
    "T": lambda x: x.T, "mT": lambda x: x.mT, "ravel": lambda x: x.ravel(), "flatten": lambda x: x.flatten(),
    "diagonal": lambda x: x.diagonal(), "broadcast": lambda x: np.broadcast_to(x, (3, 2, 2)),
    "squeeze": lambda x: np.squeeze(x), "real": lambda x: x.real, "flip": lambda x: np.flip(x),
    "expand": lambda x: np.expand_dims(x, 0), "split": lambda x: np.split(x, 2)[1],
    "swapaxes": lambda x: x.swapaxes(0, 1), "moveaxis": lambda x: np.moveaxis(x, 0, 1), "view": lambda x: x[0].T[:1],
    "astype": lambda x: x.astype(x.dtype), "transform": lambda x: mg.transforms.identity(x), "item": lambda x: x[0, 0],
    "stack": lambda x: np.stack([x, x]), "roll": lambda x: np.roll(x, 1), "rot90": lambda x: np.rot90(x),
}  # fmt: skip


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_a_write_into_a_view_leaves_its_source_alone(view: str, recorded: bool) -> None:
    x = mg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    source = x * 1.0 if recorded else x
    with recording(recorded):
        y = VIEWS[view](source)
    J = mg.sum(source * source) + mg.sum(y)
    before = y.data.copy()
    y.data += 5
    y.data[...] += 1
    np.testing.assert_array_equal(source.data, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(y.data, before + 6)
    if recorded:
        with pytest.raises(RuntimeError, match="its data was then changed"):
            J.backward()


def test_data_of_a_result_that_shares_nothing_is_not_copied() -> None:
    y = mg.Tensor([1.0, 2.0]) * 2.0
    assert y.data is y.data is y._data


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (mg.Tensor([1.0, 2.5]), "Tensor([1. , 2.5])"),
        (mg.Tensor(np.float32([1.0]), name="b"), "Tensor([1.], dtype=float32, name='b')"),
        (mg.Tensor(2.0) * 3.0, "Tensor(6., op=multiply)"),
        (mg.Tensor([[1.0], [2.0]]), "Tensor([[1.],\n        [2.]])"),
    ],
)
def test_repr(tensor: mg.Tensor, text: str) -> None:
    assert repr(tensor) == text


class WithState(mg.Tensor):
    def __getstate__(self):
        return {"kept": self.kept}

    def __setstate__(self, state):
        self.kept = state["kept"] + 1


def test_a_subclass_says_what_its_copies_keep():
    x = WithState([1.0, 2.0], name="x")
    x.kept, x.grad = 1, np.ones(2)
    for how in COPIES[:2] + COPIES[3:]:
        other = how(x)
        assert (type(other), other.name, other.kept) == (WithState, "x", 2)
        assert other.grad.tolist() == [1.0, 1.0] and other.grad is not x.grad


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_keeps_a_gradient_of_rows(protocol):
    table = mg.Tensor(np.ones((5, 2)))
    mg.sum(mg.embedding(table, [3, 1, 3])).backward()
    other = pickle.loads(pickle.dumps(table, protocol))
    assert other.grad.indices.tolist() == [1, 3] and other.grad.rows.tolist() == [[1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("plus", [lambda x: +x, np.positive, np.copy], ids=["+", "positive", "copy"])
def test_plus_is_a_copy(plus):
    x = mg.Tensor([1.0, 2.0])
    y = plus(x)
    y.data += 5.0
    assert x.data.tolist() == [1.0, 2.0]
    J = mg.sum(plus(x) * x)
    J.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_the_name_of_a_result_is_shown_where_it_cannot_be_copied():
    y = mg.Tensor([1.0]) * 2.0
    y.name = "\x1b[31m"
    with pytest.raises(TypeError) as error:
        copy.copy(y)
    assert_shown(str(error.value))
