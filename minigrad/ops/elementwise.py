"""Ops that work element by element, arguments broadcast against each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine import Node, op

Array = Any


@op(np.add)
def add(x: Array, y: Array) -> Array:
    """The sum x + y.

    >>> add(1.0, 2.0)
    3.0
    """
    return x + y, lambda g: g, lambda g: g


@op(np.subtract)
def subtract(x: Array, y: Array) -> Array:
    """The difference x - y.

    >>> subtract(1.0, 2.0)
    -1.0
    """
    return x - y, lambda g: g, lambda g: -g


@op(np.multiply)
def multiply(x: Array, y: Array) -> Array:
    """The product x y, element by element.

    >>> multiply(3.0, 2.0)
    6.0
    """
    return x * y, lambda g: g * y, lambda g: g * x


@op(np.divide)
def divide(x: Array, y: Array) -> Array:
    """The quotient x / y.

    >>> divide(3.0, 2.0)
    1.5
    """
    q = x / y
    return q, lambda g: g / y, lambda g: -g * q / y


@op(np.negative)
def negative(x: Array) -> Array:
    """The negative -x.

    >>> negative(3.0)
    -3.0
    """
    return -x, lambda g: -g


@op(np.power)
def power(x: Array, n: Array) -> Array:
    """The power x**n; the exponent may be a variable too, where x > 0.

    >>> power(3.0, 2)
    9.0
    """
    p = x**n
    # n - (n != 0): the derivative of x**0 is 0 at x = 0 too. x + (x == 0): so is that of 0**n with respect to n > 0.
    return p, lambda g: g * n * x ** (n - (n != 0)), lambda g: g * p * np.log(x + (x == 0))


@op(np.exp)
def exp(x: Array) -> Array:
    """The exponential e**x.

    >>> float(exp(0.0))
    1.0
    """
    y = np.exp(x)
    return y, lambda g: g * y


@op(np.log)
def log(x: Array) -> Array:
    """The natural logarithm.

    >>> float(log(1.0))
    0.0
    """
    return np.log(x), lambda g: g / x


@op(np.log1p)
def log1p(x: Array) -> Array:
    """log(1 + x), accurate for small x.

    >>> float(log1p(1e-20))
    1e-20
    """
    return np.log1p(x), lambda g: g / (1 + x)


@op(np.tanh)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent.

    >>> float(tanh(0.0))
    0.0
    """
    a = np.tanh(x)
    return a, lambda g: g * (1 - a * a)


@op(np.sin)
def sin(x: Array) -> Array:
    """The sine of x radians.

    >>> float(sin(0.0))
    0.0
    """
    return np.sin(x), lambda g: g * np.cos(x)


@op(np.cos)
def cos(x: Array) -> Array:
    """The cosine of x radians.

    >>> float(cos(0.0))
    1.0
    """
    return np.cos(x), lambda g: -g * np.sin(x)


@op(np.sqrt)
def sqrt(x: Array) -> Array:
    """The square root.

    >>> float(sqrt(9.0))
    3.0
    """
    r = np.sqrt(x)
    return r, lambda g: g / (2 * r)


@op(np.square)
def square(x: Array) -> Array:
    """The square x**2.

    >>> float(square(3.0))
    9.0
    """
    return np.square(x), lambda g: g * 2 * x


@op(np.abs)
def abs(x: Array) -> Array:
    """The absolute value |x|; its gradient at 0 is 0.

    >>> float(abs(-3.0))
    3.0
    """
    return np.abs(x), lambda g: g * np.sign(x)


@op()
def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + e**-x), the slides' f, with f' = f (1 - f).

    >>> float(sigmoid(0.0))
    0.5

    Accurate to a few ulp and silent for every x: only negative exponents are taken.
    """
    a = _logistic(x)
    return a, lambda g: g * a * (1.0 - a)


def _logistic(x: Array) -> Array:
    if isinstance(x, Node):
        return sigmoid(x)  # the rule above is all that a derivative of any order needs
    return np.exp(np.minimum(x, 0.0)) / (1.0 + np.exp(np.minimum(x, -x)))


@op()
def relu(m: Array) -> Array:
    """max(0, m), with the gradient 1{m > 0}: 0 at the tie, as in the slides' hinge.

    >>> float(relu(-1.0)), float(relu(2.0))
    (0.0, 2.0)
    """
    positive = m > 0
    return np.maximum(m, 0.0), lambda g: g * positive


def _larger_share(x: Array, y: Array) -> Any:
    """The pullback to x of max(x, y): all where x is larger, half at a tie."""
    larger, tie = x > y, x == y
    return lambda g: g * larger + g * tie / 2


@op(np.maximum)
def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y, element by element; a tie shares the gradient evenly.

    >>> float(maximum(1.0, 2.0))
    2.0
    """
    return np.maximum(x, y), _larger_share(x, y), _larger_share(y, x)


@op(np.minimum)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y, element by element; a tie shares the gradient evenly.

    >>> float(minimum(1.0, 2.0))
    1.0
    """
    return np.minimum(x, y), _larger_share(y, x), _larger_share(x, y)


@op(np.where)
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, else y.

    >>> where([True, False], 1.0, 2.0)
    array([1., 2.])
    """
    return np.where(condition, x, y), None, lambda g: np.where(condition, g, 0), lambda g: np.where(condition, 0, g)
