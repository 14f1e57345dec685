"""Where a gradient is zero, the picture says why, with the numbers."""

import re

import numpy as np
import pytest
from dot_text import drawn, written
from totals import REAL, total, variables

import minigrad as mg

T = mg.Tensor


def why(J):
    """The reasons, by the names of the values that nothing flows to."""
    return {box.label: box.why for box in written(J, backward=True).boxes if box.why}


def test_the_hinge_of_a_pair_whose_margin_is_met():
    s, s_c = T(9.0, "s"), T(0.5, "s_c")
    expected = "1 − s + s_c = −7.5 < 0, so 1{1 − s + s_c > 0} is 0"
    for J in (mg.relu(1 - s + s_c), mg.maximum(0, 1 - s + s_c), mg.maximum(1 - s + s_c, 0.0)):
        assert why(J)["s"] == why(J)["s_c"] == expected  # it comes down from where it began
    edge = mg.relu(T(1.0, "u") - T(1.0, "v"))
    assert why(edge)["u"] == "u − v = 0, so 1{u − v > 0} is 0"
    assert f"nothing flows back: {expected}" in drawn(mg.relu(1 - s + s_c), backward=True)


@pytest.mark.parametrize(
    "J, name, expected",
    [
        (
            lambda x: mg.sum(mg.relu(x)),
            "x",
            "x, between −2 and −1, is not above 0 in any element, so 1{x > 0} is 0",
        ),
        (lambda x: mg.sum(mg.where(np.array([False, False]), x, T([1.0, 1.0], "y"))), "x", "is False wherever"),
        (lambda x: mg.sum(mg.sin(x) * T([0.0, 0.0], "U")), "x", "U is 0"),
        (lambda x: mg.sum(mg.tanh(T(np.zeros((3, 2)), "W") @ x)), "x", "W is 0"),
        (lambda x: mg.sum(x) * 0.0, "x", "a factor is 0"),
        (
            lambda x: mg.sum(T([0.0, 1.0], "a") * mg.relu(x + T([3.0, 1.0], "c"))),
            "x",
            "1{x + c > 0} is 0 wherever a is not",
        ),
        (lambda x: mg.sum(mg.exp(x * 1000)), "x", "v₁ is 0"),
        (lambda x: mg.sum(mg.minimum(T([-5.0, -5.0], "low"), x)), "x", "is not below low in any element"),
        (lambda x: mg.sum(mg.tanh(x * 500)), "x", "is 0"),
        (lambda x: mg.sum(mg.abs(x * 0.0)), "x", "is 0"),
        (lambda x: mg.sum(np.array([[1.0, -1.0]]) @ mg.stack([x, x])), "x", ""),
        (lambda x: mg.sum(mg.clip(x, 0.0, 1.0)), "x", "is not above 0"),
    ],
)
def test_the_factor_that_is_zero(J, name, expected):
    found = why(J(T([-1.0, -2.0], "x")))
    assert expected in found[name] if expected else not found.get(name)


@pytest.mark.parametrize("case", REAL[::5], ids=str)
def test_every_zero_has_a_reason_and_nothing_else_has(case):
    J = total(case, variables(case))
    for root in (J * 0.0, J):
        if any(np.iscomplexobj(b.data) for b in written(root).boxes):
            return
        for box in written(root, backward=True).boxes:
            for o in box.op.operands if box.op else ():
                if o.flow is not None:
                    assert bool(o.why) == (not np.any(getattr(o.flow, "rows", o.flow)))


def test_a_reason_names_numbers_that_are_those_of_the_graph():
    z = T(-3.25, "z")
    (number,) = re.findall(r"z = (\S+) <", why(mg.relu(z))["z"])
    assert float(number.replace("−", "-")) == z.data
