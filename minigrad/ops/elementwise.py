"""Ops that work element by element, arguments broadcast against each other."""

import functools
import math
import operator
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, implements, op, stop_gradient
from minigrad.operands import selected
from minigrad.shorthand import V, beside, binary, changed, composed, in_float32, unary


@op()
def _chosen(slope: Array, r: Array) -> Array:
    """A slope that was chosen where r is 0, among others that are as good: its own derivative there is NaN."""
    return slope, lambda g: np.where(r == 0, np.nan, g)


def _same(g: Array) -> Array:
    return g


@op(np.add)
def add(x: Array, y: Array) -> Array:
    """The sum x + y.

    >>> add(1.0, 2.0)
    3.0
    """
    return x + y, _same, _same


@op(np.subtract)
def subtract(x: Array, y: Array) -> Array:
    """The difference x - y.

    >>> subtract(1.0, 2.0)
    -1.0
    """
    return x - y, _same, operator.neg


@op(np.multiply)
def multiply(x: Array, y: Array) -> Array:
    """The product x y, element by element.

    >>> multiply(3.0, 2.0)
    6.0
    """
    return x * y, y, x


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
    return -x, operator.neg


@op(np.power)
def power(x: Array, n: Array) -> Array:
    """The power x**n; the exponent may be a variable too, where x > 0.

    >>> power(3.0, 2)
    9.0
    """
    p = x**n

    def by_x(g: Array) -> Array:
        # at x = 0 too the derivative of x**0 is 0; elsewhere that of n * x ** (n - 1) with respect to n is 1 / x there
        at_zero = (stop_gradient(n) == 0) & (stop_gradient(x) == 0) if isinstance(n, Node) else n == 0
        return g * n * x ** ((n - 1) * np.logical_not(at_zero))

    # x + (x == 0): the derivative of 0**n with respect to n > 0 is 0
    return p, by_x, lambda g: g * p * np.log(x + (x == 0))


@op(np.exp)
def exp(x: Array) -> Array:
    """The exponential e**x.

    >>> float(exp(0.0))
    1.0
    """
    y = np.exp(x)
    return y, y


@op(np.log)
def log(x: Array) -> Array:
    """The natural logarithm.

    >>> float(log(1.0))
    0.0
    """
    return np.log(x), lambda g: g / x


log1p = unary(np.log1p, lambda x, y: 1 / (1 + x))


@op(np.tanh)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent.

    >>> float(tanh(0.0))
    0.0
    """
    a = np.tanh(x)
    return a, lambda g: g * (1 - a * a)


sin = unary(np.sin, lambda x, y: np.cos(x))


cos = unary(np.cos, lambda x, y: -np.sin(x))


sqrt = unary(np.sqrt, lambda x, y: 1 / (2 * y))


square = unary(np.square, lambda x, y: 2 * x)


@op(np.abs, np.fabs)
def abs(x: Array) -> Array:
    """The absolute value |x|; its gradient at 0 is 0, a second derivative there NaN. Of a complex number: the modulus.

    >>> float(abs(-3.0))
    3.0
    """
    y = np.abs(x)
    if np.iscomplexobj(x):
        return y, lambda g: g * _chosen(np.conj(x) / (y + (y == 0)), y)
    if isinstance(x, Node):  # whose sign is a constant: at 0 x stands for it, so that the choice is differentiated
        return y, lambda g: g * _chosen(where(y == 0, x, np.sign(stop_gradient(x))), y)
    return y, lambda g: g * np.sign(x)


#: The largest exponent that sigmoid takes: beyond it e**x overflows, and the value is 1 long before.
_LARGEST = {np.dtype(np.float32): 88.0, np.dtype(np.float64): 709.0}


@op()
@in_float32
def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + e**-x), the slides' f, with f' = f (1 - f).

    >>> float(sigmoid(0.0))
    0.5

    Accurate to a few ulp and silent for every x: exponents are clamped below overflow. So is its derivative: 1 - f is
    computed as 1 / (1 + e**x), because the difference has no digits left where f is near 1. (Beyond the clamp, where
    the derivative is below the smallest normal number, it stays at its value there.)
    """
    if isinstance(x, Node):
        a = sigmoid(x)  # 1 - a is sigmoid(-x): with this rule derivatives of any order are sums of products
        return a, lambda g: g * a * sigmoid(negative(x))
    e = np.exp(np.minimum(x, _LARGEST.get(getattr(x, "dtype", None), 709.0)))
    total = 1.0 + e
    a = e / total
    return a, lambda g: g * a / total  # 1 / total is 1 - a


@op()
def relu(m: Array) -> Array:
    """max(0, m), with the gradient 1{m > 0}: 0 at the tie, as in the slides' hinge.

    >>> float(relu(-1.0)), float(relu(2.0))
    (0.0, 2.0)
    """
    y = np.maximum(m, 0.0)
    return y, lambda g: selected(y > 0, g, stop_gradient(y))  # elsewhere y is 0, or NaN like m


def _winning(x: Array, y: Array, z: Array) -> Any:
    """The pullback to x of z, the larger or smaller of x and y: all where it is x, half at a tie, NaN where z is."""
    x, y, z = map(stop_gradient, (x, y, z))
    return lambda g: selected(x == z, np.where(y == z, g / 2, g), np.where(z == z, 0, z))


@op(np.maximum)
def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y, element by element; a tie shares the gradient evenly.

    >>> float(maximum(1.0, 2.0))
    2.0
    """
    z = np.maximum(x, y)
    return z, _winning(x, y, z), _winning(y, x, z)


@op(np.minimum)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y, element by element; a tie shares the gradient evenly.

    >>> float(minimum(1.0, 2.0))
    1.0
    """
    z = np.minimum(x, y)
    return z, _winning(x, y, z), _winning(y, x, z)


@op()
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, else y.

    >>> where([True, False], 1.0, 2.0)
    array([1., 2.])
    """
    if type(condition) is bool:  # not every library takes one
        condition = beside(x if hasattr(x, "dtype") else y, condition)
    return np.where(condition, x, y), None, lambda g: np.where(condition, g, 0), lambda g: np.where(condition, 0, g)


@implements(np.where)
def _where(condition: Array, *choices: Array) -> Any:
    return where(condition, *choices) if choices else np.nonzero(condition)


def _root_of_one_more(x: Array) -> Array:
    """The square root of 1 + x**2, which does not overflow."""
    return np.sqrt(1 + 1j * x) * np.sqrt(1 - 1j * x) if np.iscomplexobj(x) else np.hypot(x, 1)


# Derivatives as Abramowitz and Stegun list them (4.3.105, 4.4.52, 4.5.71, 4.6.37).
tan = unary(np.tan, lambda x, y: 1 + y * y)
arcsin = unary(np.arcsin, lambda x, y: 1 / np.sqrt((1 - x) * (1 + x)))
arccos = unary(np.arccos, lambda x, y: -1 / np.sqrt((1 - x) * (1 + x)))
arctan = unary(np.arctan, lambda x, y: 1 / (1 + x * x))
sinh = unary(np.sinh, lambda x, y: np.cosh(x))
cosh = unary(np.cosh, lambda x, y: np.sinh(x))
arcsinh = unary(np.arcsinh, lambda x, y: 1 / _root_of_one_more(x))
arccosh = unary(np.arccosh, lambda x, y: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)), at=1.5)
arctanh = unary(np.arctanh, lambda x, y: 1 / ((1 - x) * (1 + x)))
exp2 = unary(np.exp2, lambda x, y: y * math.log(2))
expm1 = unary(np.expm1, lambda x, y: np.exp(x))  # not y + 1, which has no digits left where y is near -1
log2 = unary(np.log2, lambda x, y: 1 / (x * math.log(2)))
log10 = unary(np.log10, lambda x, y: 1 / (x * math.log(10)))
cbrt = unary(np.cbrt, lambda x, y: 1 / (3 * y * y))
reciprocal = unary(np.reciprocal, lambda x, y: -y * y)
deg2rad = unary(np.deg2rad, lambda x, y: math.pi / 180)
rad2deg = unary(np.rad2deg, lambda x, y: 180 / math.pi)
implements(np.radians)(deg2rad)
implements(np.degrees)(rad2deg)


#: sinc'(x) = pi sum of these times (pi x)**(2k + 1): near 0, (cos(pi x) - sinc(x)) / x cancels.
_SINC_SERIES = [(-1) ** (k + 1) * (2 * k + 2) / math.factorial(2 * k + 3) for k in range(10)]


@op(np.sinc)
def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), smooth at 0 to any order.

    >>> float(sinc(0.0))
    1.0
    """

    def derivative() -> Array:
        near = np.abs(x) < 0.4
        u, far = np.pi * np.where(near, x, 0), np.where(near, 1, x)
        series = functools.reduce(lambda total, c: total * (u * u) + c, _SINC_SERIES[::-1], 0 * u)
        return np.where(near, np.pi * u * series, (np.cos(np.pi * far) - np.sinc(far)) / far)

    return np.sinc(x), lambda g: g * derivative()


@op(np.positive)
def positive(x: Array, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """+x, optionally in another floating-point type.

    >>> positive(np.array([1.0]), dtype=np.float32).dtype
    dtype('float32')
    """
    return np.positive(x, dtype=dtype, **changed("same_kind", casting=casting)), lambda g: g


@implements(np.astype)
def astype(x: Array, dtype: Any) -> Array:
    """x in another floating-point type.

    >>> astype(np.array([1.0]), np.float32).dtype
    dtype('float32')
    """
    if np.dtype(dtype).kind not in "fc":
        raise TypeError(f"astype needs a floating-point type, got {np.dtype(dtype)}; use t.data.astype(...)")
    return positive(x, dtype=dtype, casting="unsafe" if np.iscomplexobj(x) else "same_kind")


copy = composed(np.copy, lambda x: positive(x), V)


def _double(x: Array, y: Array) -> Array:
    return positive(x, dtype=np.result_type(x, y, float))


float_power = composed(np.float_power, lambda x, n: power(_double(x, n), _double(n, x)), V, 2.0)


# at (0, 0) the gradient is 0
hypot = binary(np.hypot, lambda x, y, r: _chosen(x / (r + (r == 0)), r), lambda x, y, r: _chosen(y / (r + (r == 0)), r))


def _per_square(a: Array, x: Array, y: Array) -> Array:
    r = np.hypot(x, y)
    r = r + (r == 0)
    return a / r / r


arctan2 = binary(np.arctan2, lambda y, x, _: _per_square(x, x, y), lambda y, x, _: -_per_square(y, x, y))


def _share(x: Array, y: Array, unit: float = 1.0) -> Array:
    """e**x / (e**x + e**y): half for each of two infinities, 0 where both terms are 0."""
    alike = np.isinf(x) & np.equal(x, y)  # their difference is NaN
    p = sigmoid((np.where(alike, 0, x) - np.where(alike, 0, y)) * unit)
    return np.where(alike & np.signbit(x), 0, p)


logaddexp = binary(np.logaddexp, lambda x, y, z: _share(x, y), lambda x, y, z: _share(y, x))


logaddexp2 = binary(np.logaddexp2, lambda x, y, z: _share(x, y, math.log(2)), lambda x, y, z: _share(y, x, math.log(2)))


# Between their jumps. The quotient is the one that NumPy computed: x / y may be rounded up to the next whole number.
remainder = binary(np.remainder, lambda x, y, _: 1, lambda x, y, _: -np.floor_divide(x, y))


mod = remainder


fmod = binary(np.fmod, lambda x, y, _: 1, lambda x, y, z: -np.rint((x - z) / y))


divmod = composed(np.divmod, lambda x, y: (np.floor_divide(x, y), remainder(x, y)), 5.5, 2.0)


def _numbers(x: Array, y: Array) -> tuple[Array, Array]:
    return where(np.isnan(x), y, x), where(np.isnan(y), x, y)


fmax = composed(np.fmax, lambda x, y: maximum(*_numbers(x, y)), V, 2.0)


fmin = composed(np.fmin, lambda x, y: minimum(*_numbers(x, y)), V, 2.0)


@implements(np.clip)
def clip(x: Array, a_min: Array = None, a_max: Array = None, *, min: Array = None, max: Array = None) -> Array:
    """x kept between two limits, each of them optional; a tie shares the gradient evenly.

    >>> clip(np.array([-1.0, 0.5, 3.0]), 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


@op(np.nan_to_num)
def nan_to_num(x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """x with numbers in place of NaN and infinities, where the gradient is 0.

    >>> nan_to_num(np.array([1.0, np.nan]))
    array([1., 0.])
    """
    instead = changed(0.0, nan=nan) | changed(None, posinf=posinf, neginf=neginf)
    return np.nan_to_num(x, **instead), lambda g: np.where(np.isfinite(x), g, 0)


# Complex numbers. Between ops the gradient of a real L with respect to z = a + bi is dL/da - i dL/db, under which every
# holomorphic f has the pullback g f'(z), as in the rules above; backward conjugates it once, for `.grad`.


@op(np.real)
def real(z: Array) -> Array:
    """The real part.

    >>> float(real(1 + 2j))
    1.0
    """
    return np.real(z), lambda g: g


@op(np.imag)
def imag(z: Array) -> Array:
    """The imaginary part.

    >>> float(imag(1 + 2j))
    2.0
    """
    return np.imag(z), lambda g: g * -1j


@op(np.conjugate)
def conjugate(z: Array) -> Array:
    """The complex conjugate.

    >>> conjugate(1 + 2j) == 1 - 2j
    np.True_
    """
    return np.conjugate(z), lambda g: np.conjugate(g)


conj = conjugate


@implements(np.angle)
def angle(z: Array, deg: bool = False) -> Array:
    """The angle of a complex number, in radians or degrees.

    >>> float(angle(1j, deg=True))
    90.0
    """
    phi = arctan2(imag(z), real(z))
    return rad2deg(phi) if deg else phi


@implements(np.i0)
def i0(x: Array) -> Array:
    """The modified Bessel function of the first kind, of order 0, by SciPy.

    >>> float(i0(0.0))
    1.0
    """
    from minigrad.ops.special import i0  # here, as SciPy is optional and slow to import

    return i0(x)


@implements(np.sign)
def sign(x: Array) -> Array:
    """-1, 0 or 1, without a gradient; of a complex number z / |z|, with one, which is NaN at 0.

    >>> sign(np.array([-2.0, 0.0]))
    array([-1.,  0.])
    """
    if not np.iscomplexobj(x):
        return np.sign(stop_gradient(x))
    r = abs(x)
    return _chosen(x / (r + (r == 0)), r)
