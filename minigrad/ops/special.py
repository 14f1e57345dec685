"""Functions of scipy.special that have a gradient here. Imported when one is called: SciPy is optional, and slow."""

import math

import numpy as np

from minigrad.engine import Array, Node, implements, op
from minigrad.shorthand import unary

try:
    import scipy.special
except ImportError as error:
    raise ImportError(
        "erf, i0 and the exact gelu need SciPy, which is not installed: pip install scipy "
        '(gelu(x, approximate="tanh") does without)'
    ) from error

# Abramowitz and Stegun 7.1.1, 7.1.2, 9.6.26, 9.6.27.
erf = unary(scipy.special.erf, lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x))
erfc = unary(scipy.special.erfc, lambda x, y: -2 / math.sqrt(math.pi) * np.exp(-x * x))
i0 = unary(scipy.special.i0, lambda x, y: scipy.special.i1(x))
i1 = unary(scipy.special.i1, lambda x, y: (scipy.special.i0(x) + scipy.special.iv(2, x)) / 2)


@op()
def _iv(x: Array, v: Array) -> Array:
    return scipy.special.iv(v, x), lambda g: g * (scipy.special.iv(v - 1, x) + scipy.special.iv(v + 1, x)) / 2


@implements(scipy.special.iv)
def iv(v: Array, x: Array) -> Array:
    """The modified Bessel function of the first kind of an order v, which is a constant.

    >>> float(iv(0, 0.0))
    1.0
    """
    if isinstance(v, Node):
        raise TypeError("iv has no derivative with respect to its order; write mg.stop_gradient(v) for a constant")
    return _iv(x, v)
