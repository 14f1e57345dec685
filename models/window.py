"""The slides' window scorer: s = U . f(W x + b), trained so that s is one above the score of a corrupt window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

Array = Any


def score(U: Array, W: Array, b: Array, x: Array) -> Array:
    """The score s = U . a of one window, with a = f(z) and z = W x + b.

    >>> float(score(np.ones(8), np.zeros((8, 20)), np.zeros(8), np.ones(20)))
    4.0

    Shapes: U (8,), W (8, 20), b (8,), x (20,); s is a number. For a batch of windows see `scores`.
    """
    z = W @ x + b
    a = mg.sigmoid(z)
    s = U @ a
    return s


def scores(U: Array, W: Array, b: Array, X: Array) -> Array:
    """The scores of a batch of windows, the example first.

    >>> scores(np.ones(8), np.zeros((8, 20)), np.zeros(8), np.ones((3, 20)))
    array([4., 4., 4.])

    Shapes: U (H,), W (H, n), b (H,), X (..., n); the scores are (...).
    """
    return mg.sigmoid(X @ W.T + b) @ U


def hinge(s: Array, s_c: Array) -> Array:
    """The max-margin loss J = max(0, 1 - s + s_c); its gradient at the tie is 0.

    >>> float(hinge(2.0, 1.5)), float(hinge(2.0, 1.0))
    (0.5, 0.0)
    """
    return mg.relu(1 - s + s_c)


class Windows(NamedTuple):
    """Windows of text in numbers: of their words and, for the model with that feature, of their cases: (..., 5)."""

    words: Array
    cases: Array | None = None


@dataclass
class Parameters:
    """All that is learnt: U (H,), W (H, n), b (H,), the word vectors L (V, d), the case vectors C or None."""

    U: Array
    W: Array
    b: Array
    L: Array
    C: Array | None = None


def inputs(params: Parameters, windows: Windows) -> Array:
    """x: the vectors of a window's words in a row, then those of its cases: (..., n).

    >>> p = Parameters(np.ones(1), np.ones((1, 4)), np.ones(1), L=np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> inputs(p, Windows(np.array([[1, 0]])))
    array([[3., 4., 1., 2.]])
    """
    *leading, width = windows.words.shape
    x = mg.reshape(mg.embedding(params.L, windows.words), (*leading, width * params.L.shape[1]))
    if params.C is None:
        return x
    cases = mg.reshape(mg.embedding(params.C, windows.cases), (*leading, width * params.C.shape[1]))
    return mg.concatenate([x, cases], axis=-1)


def objective(params: Parameters, true_windows: Windows, corrupt_windows: Windows) -> Array:
    """The full objective: the hinge of every true window with each of its corrupt windows, summed over all.

    >>> p = Parameters(np.ones(1), np.ones((1, 2)), np.ones(1), L=np.array([[1.0], [3.0]]))
    >>> float(objective(p, Windows(np.array([[0, 1]])), Windows(np.array([[[0, 1], [0, 1]]]))))
    2.0

    Args:
        params: arrays, or Tensors to train.
        true_windows: N windows with a location in the centre, numbers (N, 5).
        corrupt_windows: K windows without one for each, (N, K, 5).
    """
    n, shape = len(true_windows.words), corrupt_windows.words.shape[:-1]
    s = scores(params.U, params.W, params.b, inputs(params, one_below_the_other(true_windows, corrupt_windows)))
    return mg.sum(hinge(s[:n, None], mg.reshape(s[n:], shape)))


def one_below_the_other(*parts: Windows) -> Windows:
    """Windows (..., 5) as one batch (N, 5): one product of matrices scores them all.

    >>> one_below_the_other(Windows(np.array([[1, 2]])), Windows(np.array([[[3, 4], [5, 6]]]))).words
    array([[1, 2],
           [3, 4],
           [5, 6]])
    """

    def joined(numbers: Iterable[Array]) -> Array:
        return np.concatenate([x.reshape(-1, x.shape[-1]) for x in numbers])

    words, cases = zip(*parts)
    return Windows(joined(words), None if cases[0] is None else joined(cases))


# The same gradients by hand, in plain NumPy, as the slides derive them.


def score_by_hand(U: Array, W: Array, b: Array, x: Array) -> dict[str, Array]:
    """ds/dU = a, ds/dW = delta x^T, ds/db = delta, ds/dx = W^T delta, with delta = U f'(z) and f' = a (1 - a).

    >>> gradients = score_by_hand(np.ones(1), np.zeros((1, 2)), np.zeros(1), np.array([1.0, 2.0]))
    >>> gradients["W"], gradients["b"]
    (array([[0.25, 0.5 ]]), array([0.25]))

    One heading of the slides says ds/db = a; their own derivation, and this, say delta.
    """
    a = mg.sigmoid(W @ x + b)
    delta = U * (a * (1 - a))
    return {"U": a, "W": np.outer(delta, x), "b": delta, "x": W.T @ delta}


def hinge_by_hand(U: Array, W: Array, b: Array, x: Array, x_c: Array) -> dict[str, Array]:
    """The gradients of J for one pair of windows: 1{1 - s + s_c > 0} times those of s_c less those of s.

    >>> gradients = hinge_by_hand(np.ones(1), np.zeros((1, 1)), np.zeros(1), np.ones(1), 3 * np.ones(1))
    >>> gradients["U"], gradients["W"]
    (array([0.]), array([[0.5]]))
    """
    a, a_c = mg.sigmoid(W @ x + b), mg.sigmoid(W @ x_c + b)
    active = 1 - U @ a + U @ a_c > 0
    delta, delta_c = -U * (a * (1 - a)), U * (a_c * (1 - a_c))
    return {
        "U": active * (-a + a_c),
        "W": active * (np.outer(delta, x) + np.outer(delta_c, x_c)),
        "b": active * (delta + delta_c),
        "x": active * (W.T @ delta),
        "x_c": active * (W.T @ delta_c),
    }


def objective_by_hand(params: Parameters, true_windows: Windows, corrupt_windows: Windows) -> Parameters:
    """The gradients of the full objective: those of each pair, summed; a word's over all its occurrences.

    >>> p = Parameters(np.ones(1), np.ones((1, 2)), np.ones(1), L=np.array([[1.0], [3.0]]))
    >>> objective_by_hand(p, Windows(np.array([[0, 1]])), Windows(np.array([[[0, 1]]]))).L
    array([[0.],
           [0.]])
    """
    U, W, b = params.U, params.W, params.b
    X, X_c = inputs(params, true_windows), inputs(params, corrupt_windows)
    A, A_c = mg.sigmoid(X @ W.T + b), mg.sigmoid(X_c @ W.T + b)
    active = 1.0 * (1 - (A @ U)[:, None] + A_c @ U > 0)  # (N, K)
    count = np.sum(active, axis=1)[:, None]  # how often each true window's score enters
    delta = -count * U * (A * (1 - A))  # (N, H)
    delta_c = active[..., None] * U * (A_c * (1 - A_c))  # (N, K, H)
    dX, dX_c = delta @ W, delta_c @ W
    flat, flat_c = delta_c.reshape(-1, U.size), X_c.reshape(-1, W.shape[1])
    gradients = Parameters(
        U=np.sum(active[..., None] * A_c, axis=(0, 1)) - np.sum(count * A, axis=0),
        W=delta.T @ X + flat.T @ flat_c,
        b=np.sum(delta, axis=0) + np.sum(flat, axis=0),
        L=np.zeros_like(params.L),
        C=None if params.C is None else np.zeros_like(params.C),
    )
    width = true_windows.words.shape[-1] * params.L.shape[1]
    for windows, dx in (true_windows, dX), (corrupt_windows, dX_c):
        np.add.at(gradients.L, windows.words, dx[..., :width].reshape(*windows.words.shape, -1))
        if gradients.C is not None and windows.cases is not None:
            np.add.at(gradients.C, windows.cases, dx[..., width:].reshape(*windows.words.shape, -1))
    return gradients
