"""The listings: they read like the slides, no line is dead, and the comments say which derivative a line is."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from derived import assert_same, by_source, differentiated, expected, same_bits, share_memory
from derived_models import ALL, FALSE, MODELS, TRUE, J, U, W, X, b, every_model, x, x_c
from listings import check_listing, walked

import minigrad as mg
from models.window import Parameters, objective, score

# what it prints

SCORE = """\
def score(U, W, b, x):
    # U (8,), W (8, 20), b (8,), x (20,): float64
    z = W @ x + b  # shape (8,)
    e = np.exp(np.minimum(z, 709))  # shape (8,)
    total = 1 + e  # shape (8,)
    a = e / total  # ∂s/∂U, shape (8,)
    s = U @ a
    delta = U * a / total  # ∂s/∂z = ∂s/∂b, shape (8,)
    dW = np.outer(delta, x)  # ∂s/∂W, shape (8, 20)
    dx = W.T @ delta  # ∂s/∂x, shape (20,)
    return s, (a, dW, delta, dx)
"""

ONE_CORRUPT_WINDOW = """\
def J(U, W, b, x, x_c):
    # U (8,), W (8, 20), b (8,), x (20,), x_c (20,): float64
    z = W @ x + b  # shape (8,)
    e = np.exp(np.minimum(z, 709))  # shape (8,)
    total = 1 + e  # shape (8,)
    a = e / total  # shape (8,)
    s = U @ a
    z_c = W @ x_c + b  # shape (8,)
    e_c = np.exp(np.minimum(z_c, 709))  # shape (8,)
    total_c = 1 + e_c  # shape (8,)
    a_c = e_c / total_c  # shape (8,)
    s_c = U @ a_c
    J = np.maximum(1 - s + s_c, 0)
    dm = np.where(J > 0, 1, J)  # ∂J/∂s_c
    da_c = dm * U  # ∂J/∂a_c, shape (8,)
    delta_c = da_c * a_c / total_c  # ∂J/∂z_c, shape (8,)
    delta = -da_c * a / total  # ∂J/∂z, shape (8,)
    dU = dm * a_c - dm * a  # ∂J/∂U, shape (8,)
    dW = np.outer(delta_c, x_c) + np.outer(delta, x)  # ∂J/∂W, shape (8, 20)
    db = delta_c + delta  # ∂J/∂b, shape (8,)
    dx = W.T @ delta  # ∂J/∂x, shape (20,)
    dx_c = W.T @ delta_c  # ∂J/∂x_c, shape (20,)
    return J, (dU, dW, db, dx, dx_c)
"""


def test_the_score_reads_like_the_slides() -> None:
    assert mg.derive(score, U, W, b, x).source == SCORE


def test_one_pair_of_windows_reads_like_the_slides() -> None:
    assert mg.derive(J, U, W, b, x, x_c).source == ONE_CORRUPT_WINDOW


def test_a_notebook_shows_the_source() -> None:
    d = mg.derive(score, U, W, b, x)
    assert d._repr_markdown_() == f"```python\n{SCORE}```"
    assert f"{d}\n" == SCORE


@every_model
def test_a_model_is_the_engines_to_the_last_bit(name: str) -> None:
    f, args = MODELS[name]
    d = mg.derive(f, *args)
    assert_same(d(*args), expected(f, args))
    assert not share_memory(d(*args), args)
    if name != "objective":
        assert_same(by_source(d, *args), expected(f, args))


@every_model
def test_a_model_reads_well(name: str) -> None:
    f, args = MODELS[name]
    check_listing(mg.derive(f, *args), args)


@every_model
def test_a_model_is_no_longer_than_its_work(name: str) -> None:
    """Nothing is written twice: no two lines of a listing have the same right side."""
    formulas = [
        line.split("#")[0].split(" = ")[1].strip()
        for line in mg.derive(*flat(name)).source.splitlines()
        if " = " in line
    ]
    assert [f for f, n in Counter(formulas).items() if n > 1 and "zeros" not in f] == []


def flat(name: str) -> tuple[Any, ...]:
    f, args = MODELS[name]
    return f, *args


@every_model
def test_comments_say_what_a_line_is_the_gradient_by(name: str) -> None:
    """∂J/∂W in a comment, W an argument: the line holds the gradient that the engine gives."""
    f, args = MODELS[name]
    d = mg.derive(f, *args)
    names = d.latest.program.parameters
    numbers = differentiated(args)
    known = dict(zip([names[i] for i in numbers], mg.grad(f, numbers)(*args)))
    for line, target, scope in walked(d, args):
        for by in re.findall(r"∂\w+/∂(\w+)", line.partition("# ")[2]):
            if isinstance(known.get(by), np.ndarray | np.generic):
                assert same_bits(scope[target], known[by]), line


def test_the_source_of_the_objective_gives_rows_to_add() -> None:
    """Pasted elsewhere it gives a dict, and for word vectors pairs of row numbers and rows."""
    d = mg.derive(objective, ALL, TRUE, FALSE)
    value, gradients = by_source(d, ALL, TRUE, FALSE)
    right_value, right, *_ = expected(objective, (ALL, TRUE, FALSE))
    assert value == right_value and list(gradients) == ["U", "W", "b", "L", "C"]
    for key, g in gradients.items():
        assert_same(g, getattr(right, key))
    assert type(d(ALL, TRUE, FALSE)[1]) is Parameters


def test_an_unused_argument_has_no_part_in_the_listing() -> None:
    d = mg.derive(lambda x, y: np.sum(x), X, X)
    assert "y (" not in d.source
    assert_same(d(X, X), (np.float64(6.0), (np.ones(3), np.zeros(3))))


def test_what_a_transposed_array_is_of_is_computed_once():
    def f(x, y):
        unnamed = [(x @ y).T]
        return unnamed[0] * 2.0, unnamed[0] * 3.0

    x, y = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    compiled = mg.compile(f)
    for one, other in zip(compiled(x, y), f(x, y), strict=True):
        np.testing.assert_array_equal(one, other)
    assert str(compiled).count(" @ ") == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_choice_between_two_constants_keeps_their_dtype(dtype: Any) -> None:
    f = lambda x: mg.maximum(0.0, 1.0 - mg.sum(x))  # noqa: E731
    d, x = mg.derive(f, np.zeros(2, dtype)), np.full(2, 0.5, dtype)
    for ours, wanted in zip(d(x), mg.value_and_grad(f)(x), strict=True):
        assert same_bits(ours, wanted)
    assert "np.where(y == 0, 0.5, 1.0)" in d.source.replace("np.float32(0.5)", "0.5").replace("np.float32(1.0)", "1.0")
