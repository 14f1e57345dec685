"""compare: right gradients are equal, and each classic mistake is recognised by the gradient it produces."""

import json

import numpy as np
import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.check.terms import distance
from models.window import hinge, hinge_by_hand, score, score_by_hand, scores


def arguments(seed=0, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes or [(8,), (8, 20), (8,), (20,)]]


def J(U, W, b, x, x_c):
    return hinge(score(U, W, b, x), score(U, W, b, x_c))


def with_one(name, change, by_hand=score_by_hand):
    """The gradients by hand, one of them changed."""

    def wrong(*args):
        gradients = by_hand(*args)
        return gradients | {name: change(gradients, *args)}

    return wrong


@settings(max_examples=12)
@given(st.integers(0, 999))
def test_right_gradients_are_equal(seed):
    report = mg.compare(J, hinge_by_hand, *arguments(seed, (8,), (8, 20), (8,), (20,), (20,)))
    assert report
    for row in report:
        assert row.verdict == "equal" and row.ulp <= 4 and row.numeric_ulp <= 4


@pytest.mark.parametrize(
    ("name", "change", "verdict"),
    [
        ("W", lambda g, U, W, b, x: g["W"].T, "equals autograd's transpose"),
        ("x", lambda g, U, W, b, x: -g["x"], "the sign is flipped"),
        ("U", lambda g, U, W, b, x: 2 * g["U"], "differs by a factor of exactly 2"),
        ("b", lambda g, U, W, b, x: g["b"] / 5, "differs by a factor of exactly 1/5"),
        ("b", lambda g, U, W, b, x: -3 * g["b"] / 7, "differs by a factor of exactly -3/7"),
        ("b", lambda g, U, W, b, x: g["U"], "equals the value of sigmoid, not a gradient"),  # the slides' heading
        ("b", lambda g, U, W, b, x: U, "missing the factor a*(1-a), the derivative of sigmoid"),
        ("W", lambda g, U, W, b, x: np.outer(U, x), "missing the factor a*(1-a), the derivative of sigmoid"),
        ("x", lambda g, U, W, b, x: W.T @ U, "missing the factor a*(1-a), the derivative of sigmoid"),
        ("U", lambda g, U, W, b, x: g["b"], "equals the gradient of b"),
        ("x", lambda g, U, W, b, x: x, None),
        ("b", lambda g, U, W, b, x: g["b"] * np.nan, "it is not a number in some elements"),
        ("W", lambda g, U, W, b, x: g["W"][:, :5], "needs the shape (8, 20), has (8, 5)"),
        ("b", lambda g, U, W, b, x: g["b"] + np.arange(8), "differs"),
    ],
)
def test_mistakes_in_the_score(name, change, verdict):
    report = mg.compare(score, with_one(name, change), *arguments())
    assert not report
    assert [row.argument for row in report if not row] == [name]
    if verdict is not None:
        assert report[name].verdict == verdict


def first_term(name):
    """The part of a gradient of J that comes through the true window."""
    return lambda U, W, b, x, x_c: -score_by_hand(U, W, b, x)[name]


@pytest.mark.parametrize("name", ["U", "W", "b"])
@pytest.mark.parametrize(
    ("times", "verdict"), [(1, "is counted twice"), (-1, "is missing"), (-2, "has the wrong sign")]
)
def test_mistakes_in_a_sum(name, times, verdict):
    wrong = with_one(name, lambda g, *args: g[name] + times * first_term(name)(*args), hinge_by_hand)
    report = mg.compare(J, wrong, *arguments(1, (8,), (8, 20), (8,), (20,), (20,)))
    assert verdict in report[name].verdict and "the term that comes through" in report[name].verdict


def test_a_missing_indicator():
    U, W, b = np.ones(2), np.eye(2), np.zeros(2)
    args = U, W, b, np.full(2, 5.0), np.full(2, -5.0)  # a margin apart: J is 0

    def always_active(U, W, b, x, x_c):
        return {"U": mg.sigmoid(W @ x_c + b) - mg.sigmoid(W @ x + b)}

    assert mg.compare(J, always_active, *args)["U"].verdict == "missing the factor 1{m > 0}, the derivative of relu"


X = np.random.default_rng(2).normal(size=(5, 20))


def test_a_missing_sum_over_the_batch():
    def by_hand(U, W, b):
        A = mg.sigmoid(X @ W.T + b)
        delta = U * (A * (1 - A))
        return {"U": A, "W": delta[:, :, None] * X[:, None, :], "b": delta.mean(axis=0)}

    report = mg.compare(lambda U, W, b: mg.sum(scores(U, W, b, X)), by_hand, *arguments()[:3])
    assert report["U"].verdict == report["W"].verdict
    assert report["U"].verdict == "a missing sum over the batch: equals autograd's when summed over axis 0"
    assert report["b"].verdict == "differs by a factor of exactly 1/5"


def test_a_wrong_rule_in_the_engine_is_not_blamed_on_the_hand():
    wrong = mg.op()(lambda x: (x * x, lambda g: g * 2.002 * x))
    report = mg.compare(lambda x: mg.sum(wrong(x)), lambda x: 2 * x, np.arange(1.0, 4.0))
    assert "autograd and the complex step disagree" in report["x"].verdict


def test_forms_of_the_hand_made_gradients():
    args = arguments()
    for form in (score_by_hand, lambda *a: tuple(score_by_hand(*a).values()), lambda *a: [*score_by_hand(*a).values()]):
        assert [row.argument for row in mg.compare(score, form, *args)] == ["U", "W", "b", "x"]
    assert [row.argument for row in mg.compare(score, lambda *a: {"b": score_by_hand(*a)["b"]}, *args)] == ["b"]
    assert mg.compare(lambda x: mg.sum(x * x), lambda x: 2 * x, np.ones(3))


@pytest.mark.parametrize(
    ("by_hand", "error", "message"),
    [
        (lambda U, W, b, x: {"c": b}, ValueError, "needs gradients of U, W, b, x, got one of c"),
        (lambda U, W, b, x: (U, W), ValueError, "needs 4 gradients, of U, W, b, x, got 2"),
    ],
)
def test_errors_of_by_hand(by_hand, error, message):
    with pytest.raises(error, match=message):
        mg.compare(score, by_hand, *arguments())


def test_errors_of_f():
    with pytest.raises(ValueError, match=r"compare needs a scalar, got shape \(8,\)"):
        mg.compare(lambda W, x: W @ x, lambda W, x: (W, x), *arguments(0, (8, 20), (20,)))
    with pytest.raises(mg.GradientError, match="is it random"):
        mg.compare(lambda x: mg.sum(x) * np.random.rand(), lambda x: x, np.ones(2))
    with pytest.raises(TypeError, match="compare needs arrays as arguments, got a container"):
        mg.compare(lambda p: mg.sum(p["x"]), lambda p: p, {"x": np.ones(2)})


def test_float32_has_its_own_ulp():
    args = [a.astype(np.float32) for a in arguments()]
    report = mg.compare(score, score_by_hand, *args)
    assert report and all(row.numeric_ulp < 16 for row in report)
    off = with_one("b", lambda g, *a: g["b"] * np.float32(1.001))
    assert not mg.compare(score, off, *args)


def test_a_large_argument_is_differentiated_at_some_elements():
    calls = 0

    def f(W, x):
        nonlocal calls
        calls += 1
        return mg.sum(mg.tanh(W @ x))

    report = mg.compare(f, lambda W, x: (np.outer(1 - np.tanh(W @ x) ** 2, x), W.T @ (1 - np.tanh(W @ x) ** 2)),
                        *arguments(3, (100, 300), (300,)))  # fmt: skip
    assert report and calls < 5000


def test_as_a_table_as_html_as_numbers():
    report = mg.compare(score, with_one("x", lambda g, *a: -g["x"]), *arguments())
    lines = str(report).splitlines()
    assert lines[0].split()[:3] == ["argument", "shape", "at"]
    assert [line.split()[0] for line in lines[1:]] == ["U", "W", "b", "x"]
    assert lines[-1].endswith("the sign is flipped")
    html = report._repr_html_()
    assert html.count("<tr>") == 5 and "crimson" in html
    numbers = report.to_dict()
    assert json.loads(json.dumps(numbers))["x"]["verdict"] == "the sign is flipped"
    assert numbers["U"]["ulp"] <= 4 and numbers["x"]["absolute"] > 0


def test_as_a_rich_table():
    out = rich.console.Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with out.file:
        out.print(mg.compare(score, score_by_hand, *arguments()))
    assert out.export_text().count("equal") == 4


def test_distance():
    one = np.ones(1)
    assert distance(one, one, one, 2.0**-52) == 0
    assert distance(np.nextafter(one, 2), one, one, 2.0**-52) == 1
    assert distance(np.nextafter(one, 2), one, 4 * one, 2.0**-52) == 0.25
    assert np.isinf(distance(np.full(1, np.inf), one, one, 2.0**-52))


def test_a_gradient_of_any_size_has_a_verdict():
    w, x = np.array([0.5, -1.0]), np.array([2.0, 3.0])
    for size in (1e308, -1e308, np.inf):
        report = mg.compare(lambda w, x: 1e-3 * (w @ x), lambda w, x: {"w": np.full(2, size)}, w, x)  # noqa: B023
        assert report["w"].verdict == "differs"
