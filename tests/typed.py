"""A user's script, annotated in full: type checkers accept it in their strict modes, and find its mistakes.

What is asserted holds in both checkers. A mistake has a comment for each, which is itself an error where not needed.
"""

from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
from numpy.typing import NDArray

import minigrad as mg
from minigrad import nn

Array = NDArray[np.float64]

W, b = mg.Tensor(np.full((2, 3), 0.5), name="W"), mg.Tensor([0.1, 0.2])
x = np.array([1.0, 2.0, 3.0])


def score(W: mg.Tensor, x: Array) -> mg.Tensor:
    return mg.sum(mg.sigmoid(W @ x + b))


def by_numpy(W: mg.Tensor, x: Array) -> mg.Tensor:
    h = np.tanh(W @ x)  # Any, as the value of each ufunc
    J: mg.Tensor = np.sum(np.exp(-h) + 2.0 * h)
    return J


def loss(x: Array, scale: float = 1.0) -> Any:
    return np.sum(np.exp(x) * scale)


# operators, methods and mg's functions
assert_type(W @ x, mg.Tensor)
assert_type(1.0 - W / 2, mg.Tensor)
assert_type(W[0].T, mg.Tensor)
assert_type(W.sum(axis=0).reshape(3, 1), mg.Tensor)
assert_type(mg.stack([W, W]), mg.Tensor)
assert_type(mg.where(x > 1, W, 0.0), mg.Tensor)
assert_type(mg.linalg.norm(W), mg.Tensor)
assert_type(mg.split(b, 2), list[mg.Tensor])
assert_type(W.shape, tuple[int, ...])
assert_type(-x @ W.T, Any)

# NumPy's functions
assert_type(np.sum(W), mg.Tensor)
np.mean(W @ x).backward()
mg.mean(np.square(W @ x)).backward()
np.max(W).backward()
score(W, x).backward()
by_numpy(W, x).backward()
W.data -= 0.1 * W.grad
W.zero_grad()

# transforms keep the parameters of the function
mg.grad(loss)(x, scale=2.0)
value, gradient = mg.value_and_grad(loss)(x)
mg.vmap(mg.grad(loss))(np.ones((4, 3)))
derived = mg.derive(loss, x)
print(derived(x)[0], derived.source)


@mg.compile
def step(x: Array) -> mg.Tensor:
    J = score(W, x)
    J.backward()
    optimizer.step()
    optimizer.zero_grad()
    return J


@mg.no_grad()
def accuracy(x: Array) -> float:
    return float(score(W, x))


rng = np.random.default_rng(0)
model = nn.Sequential([nn.Linear.init(rng, 3, 4), mg.relu, nn.Linear.init(rng, 4, 2)])
optimizer = mg.optim.Adam([W, b], lr=0.01)
print(step(x), accuracy(x), mg.__version__)
mg.cross_entropy(model(x[None]), [1]).backward()
report = mg.gradcheck(loss, x)
print(report.method)
with mg.debug(), mg.scope("checked"):
    print(mg.draw(score(W, x)))

if TYPE_CHECKING:  # mistakes
    W.bakward()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    W.tobytes()  # type: ignore[misc]  # pyright: ignore[reportOptionalCall]
    W[0] = 1.0  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    print(W + None)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    mg.tensor([1.0])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    mg.sum(W, axes=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    mg.Tensor([1.0], requires_grad=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mg.grad(loss)(x, scal=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mg.vmap(loss)("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    step(x, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    accuracy()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
