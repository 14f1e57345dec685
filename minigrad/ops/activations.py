"""The smooth activations beside sigmoid: exact at both ends, in their derivatives too."""

import math
from typing import Any

import numpy as np

from minigrad.engine import Array, op
from minigrad.ops.elementwise import expm1, multiply, negative, sigmoid, where


@op()
def softplus(x: Array) -> Array:
    """log(1 + e**x), a smooth relu; its derivative is sigmoid(x).

    >>> float(softplus(1e4)), float(softplus(-1e4))
    (10000.0, 0.0)
    """
    return np.logaddexp(x, 0.0), lambda g: g * sigmoid(x)


def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)), without the overflow of the logarithm of a number near 0.

    >>> float(log_sigmoid(-1e4)), float(log_sigmoid(0.0)) == float(-np.log(2.0))
    (-10000.0, True)
    """
    return negative(softplus(negative(x)))


def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish (Elfwing, Uchibe and Doya, Neural Networks 107, 2018).

    >>> float(silu(1e4)), float(silu(0.0))
    (10000.0, 0.0)
    """
    return multiply(x, sigmoid(x))


def elu(x: Array, alpha: Any = 1.0) -> Array:
    """x where it is positive, else alpha (e**x - 1) (Clevert, Unterthiner and Hochreiter, ICLR 2016).

    >>> float(elu(2.0)), float(elu(-1e4))
    (2.0, -1.0)

    At 0 the derivative is alpha.
    """
    positive = np.greater(x, 0)
    return where(positive, x, multiply(alpha, expm1(where(positive, 0.0, x))))


def gelu(x: Array, approximate: str = "none") -> Array:
    """x times the probability that a normal variable is below x (Hendrycks and Gimpel, 2016).

    >>> float(gelu(0.0, approximate="tanh"))
    0.0

    Args:
        x: an array of any shape.
        approximate: "none" computes the probability by SciPy's erfc, and needs SciPy; "tanh" takes
            (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2 for it. The names are PyTorch's.
    """
    if approximate == "none":
        from minigrad.ops.special import erfc  # here, as SciPy is optional and slow to import

        return multiply(x, erfc(multiply(x, -math.sqrt(0.5))) / 2)
    if approximate != "tanh":
        raise ValueError(f'gelu has approximate="none" and "tanh", got {approximate!r}')
    # (1 + tanh(u)) / 2 is sigmoid(2u), which keeps its digits where tanh(u) is near -1
    return multiply(x, sigmoid(math.sqrt(8 / math.pi) * multiply(x, 0.044715 * multiply(x, x) + 1.0)))


def erf(x: Array) -> Array:
    """The error function, by SciPy: 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x.

    >>> float(erf(0.0))
    0.0

    `scipy.special.erf` of a Tensor is the same, and so are `erfc`, `i0`, `i1` and `iv`.
    """
    from minigrad.ops.special import erf

    return erf(x)
