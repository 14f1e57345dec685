"""Ops that reduce along axes, and the softmax family made of them."""

import math
from typing import Any

import numpy as np

from minigrad.engine import Array, Node, implements, op, stop_gradient
from minigrad.ops import elementwise
from minigrad.ops.elementwise import _chosen
from minigrad.ops.index import getitem, scatter_add, take_along_axis
from minigrad.ops.shape import broadcast_to, concatenate, diagonal, expand_dims, moveaxis, reshape
from minigrad.shorthand import M, V, beside, changed, composed, in_chunks, in_float32, made_like, spread

Axis = int | tuple[int, ...] | None


def _kept(ndim: int, g: Array, axis: Axis, keepdims: bool) -> Array:
    """A reduced array with its axes back, of size one."""
    return g if keepdims or axis is None or ndim == 0 else np.expand_dims(g, axis)


def _in(x: Array, dtype: Any) -> Array:
    return x if dtype is None else elementwise.astype(x, dtype)


# NumPy's reductions take where= and initial=, those of other libraries do not: the bodies do without.


def _masked(h: Array, where: Any, instead: Any = 0) -> Array:
    return h if where is True else np.where(np.broadcast_to(where, h.shape), h, instead)


def _started(function: Any, y: Array, initial: Any) -> Array:
    """A reduction, continued with an initial value, in its own dtype."""
    return y if initial is None else np.positive(function(y, initial), dtype=y.dtype)


@op(np.sum)
def sum(
    x: Array, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """The sum along axes, of the elements where a mask holds; dtype is the type that is summed in.

    >>> float(sum([1.0, 2.0]))
    3.0
    """
    x = _in(x, dtype)
    like, y = in_chunks(x), _started(np.add, np.sum(_masked(x, where), axis=axis, keepdims=keepdims), initial)
    return y, lambda g: _masked(spread(_kept(x.ndim, g, axis, keepdims), x.shape, like), where)


def _count(x: Array, axis: Axis, where: Any) -> Any:
    """How many elements a mean is of: a number, or with a mask an array, its axes kept."""
    if where is True:
        return math.prod(x.shape if axis is None or x.ndim == 0 else (x.shape[k] for k in np.atleast_1d(axis)))
    return np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=True)


def _mean(x: Array, axis: Axis, where: Any, keepdims: bool = True) -> Array:
    if where is True:
        return np.mean(x, axis=axis, keepdims=keepdims)
    y = np.sum(_masked(x, where), axis=axis, keepdims=True) / _count(x, axis, where)
    y = np.positive(y, dtype=np.result_type(x, 1.0))  # the count is an array of integers, which promotes
    return y if keepdims else np.squeeze(y, axis)


@op(np.mean)
@in_float32
def mean(x: Array, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False, where: Any = True) -> Array:
    """The mean along axes, of the elements where a mask holds.

    >>> float(mean([1.0, 2.0]))
    1.5
    """
    x = _in(x, dtype)
    like, y, n = in_chunks(x), _mean(x, axis, where, keepdims), _count(x, axis, where)
    return y, lambda g: _masked(spread(_kept(x.ndim, g, axis, keepdims) / n, x.shape, like), where)


def _around_mean(x: Array, axis: Axis, ddof: float, where: Any) -> Array:
    """The derivative of half the variance: (x - mean) / (n - ddof)."""
    d = np.conj(x - _mean(x, axis, where))
    return _masked(d / (_count(x, axis, where) - ddof), where)


def _one(ddof: float, correction: Any) -> float:
    """Of two names for one number the one that is used."""
    if correction is not None and ddof:
        raise ValueError(f"ddof and correction are two names for one number, got {ddof} and {correction}; write one")
    return ddof if correction is None else correction


def _var(x: Array, axis: Axis, ddof: float, keepdims: bool, where: Any) -> Array:
    if where is True:
        return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    d = np.abs(x - _mean(x, axis, where))
    y = np.sum(_masked(d * d, where), axis=axis, keepdims=True) / np.maximum(_count(x, axis, where) - ddof, 0)
    y = np.positive(y, dtype=d.dtype)
    return y if keepdims else np.squeeze(y, axis)


@op(np.var)
@in_float32
def var(
    x: Array, axis: Axis = None, *, dtype: Any = None, ddof: float = 0, correction: Any = None, keepdims: bool = False,
    where: Any = True,
) -> Array:  # fmt: skip
    """The variance along axes: the squares of the distances from the mean, divided by their number less ddof.

    >>> float(var([1.0, 3.0]))
    1.0

    ddof is called correction too, as in the array API.
    """
    x, ddof = _in(x, dtype), _one(ddof, correction)
    y = _var(x, axis, ddof, keepdims, where)
    return y, lambda g: _kept(x.ndim, 2 * g, axis, keepdims) * _around_mean(x, axis, ddof, where)


@op(np.std)
@in_float32
def std(
    x: Array, axis: Axis = None, *, dtype: Any = None, ddof: float = 0, correction: Any = None, keepdims: bool = False,
    where: Any = True,
) -> Array:  # fmt: skip
    """The standard deviation along axes; its gradient is 0 where all elements are equal, a second derivative NaN.

    >>> float(std([1.0, 3.0]))
    1.0
    """
    x, ddof = _in(x, dtype), _one(ddof, correction)
    scale = _magnitude(_masked(x, where), axis)
    u = x / scale
    # from an element, not from 0: the deviation of equal elements is then 0, whatever the rounding of their mean
    d = u - _largest(_masked(u, where, -np.inf), axis)
    if where is True:
        r = np.std(d, axis=axis, ddof=ddof, keepdims=True)
    elif isinstance(x, Node):
        r = std(d, axis, ddof=ddof, keepdims=True, where=where)
    else:
        r = np.sqrt(_var(d, axis, ddof, True, where))
    y = r * scale if keepdims else np.squeeze(r * scale, axis)

    def pullback(g: Array) -> Array:
        single = _count(x, axis, where) == 1  # whose deviation is 0 everywhere
        slope = _around_mean(d, axis, ddof, where) / (r + (r == 0))
        return _kept(x.ndim, g, axis, keepdims) * _chosen(slope, r + single)

    return y, pullback


def _magnitude(x: Array, axis: Axis) -> Array:
    """A number near the largest |x| along axes, to divide by before squares overflow or vanish; 1 for 0 and infinity.

    It is a power of two, so that the division is exact.
    """
    return np.exp2(np.floor(_bits(_largest(np.abs(x), axis))))


def _bits(size: Array) -> Array:
    """The logarithm to base 2, as a constant; 0 of 0 and of infinity."""
    size = stop_gradient(size)
    return np.log2(np.where((size > 0) & np.isfinite(size), size, 1))


def _largest(x: Array, axis: Axis) -> Array:
    """The largest along axes, as a constant; 0 of no elements."""
    return stop_gradient((np.max if x.size else np.sum)(x, axis=axis, keepdims=True))


def _extremum(f: Any, x: Array, axis: Axis, keepdims: bool, initial: Any, where: Any) -> Any:
    """The value and the pullback of max or min: ties share evenly."""
    if where is not True and initial is None:
        raise ValueError("a mask where= needs initial=, the value where it holds nowhere")
    larger = np.maximum if f is np.max else np.minimum
    y = _started(larger, f(_masked(x, where, initial), axis=axis, keepdims=True), initial)

    def pullback(g: Array) -> Array:
        chosen, top = x == y if where is True else (x == y) & where, stop_gradient(y)
        n = np.sum(chosen, axis=axis, keepdims=True)
        share = _kept(x.ndim, g, axis, keepdims) / (n + (n == 0))
        share = np.positive(share, dtype=np.result_type(g, 1.0))  # the count is an array of integers, which promotes
        return _masked(np.where(chosen, share, np.where(top == top, 0, top)), where)  # NaN where the value is

    return y if keepdims else np.squeeze(y, axis), pullback


@op(np.max, np.amax)
def max(x: Array, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Array:
    """The largest along axes; ties share the gradient evenly. A mask `where` needs an initial value.

    >>> float(max([1.0, 2.0]))
    2.0
    """
    return _extremum(np.max, x, axis, keepdims, initial, where)


@op(np.min, np.amin)
def min(x: Array, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Array:
    """The smallest along axes; ties share the gradient evenly. A mask `where` needs an initial value.

    >>> float(min([1.0, 2.0]))
    1.0
    """
    return _extremum(np.min, x, axis, keepdims, initial, where)


amax, amin = max, min


ptp = composed(np.ptp, lambda x, axis=None, **how: max(x, axis, **how) - min(x, axis, **how), V)


def _reduction_axes_first(x: Array, axis: Axis) -> tuple[Array, tuple[int, ...]]:
    """x with the axes to reduce made one and put in front; and which they were."""
    n = np.ndim(x)
    axes = tuple(range(n)) if axis is None or n == 0 else tuple(k % n for k in np.atleast_1d(axis).tolist())
    x = moveaxis(x, axes, tuple(range(len(axes))))
    return reshape(x, (math.prod(np.shape(x)[: len(axes)]), *np.shape(x)[len(axes) :])), axes


@op(np.prod)
def prod(
    x: Array, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """The product along axes, of the elements where a mask holds.

    >>> float(prod([2.0, 3.0]))
    6.0

    Its derivative is the product of the elements before, times that of those behind: right where elements are 0.
    """
    x = _in(x, dtype)

    def pullback(g: Array) -> Array:
        rows, axes = _reduction_axes_first(_masked(x, where, 1), axis)
        others = np.reshape(_others(rows), (*(x.shape[k] for k in axes), *rows.shape[1:]))
        others = np.moveaxis(others, tuple(range(len(axes))), axes)
        g = g if initial is None else g * initial
        return _masked(_kept(x.ndim, g, axis, keepdims) * others, where)

    return _started(np.multiply, np.prod(_masked(x, where, 1), axis=axis, keepdims=keepdims), initial), pullback


def _before(x: Array) -> Array:
    """For each element the product of those before it along the first axis."""
    return np.concatenate([np.ones_like(x[:1]), np.cumprod(x[:-1], 0)])


def _others(x: Array) -> Array:
    """For each element the product of the others along the first axis.

    Powers of two are taken out, so that no product of some of them overflows or vanishes where that of all does not.
    """
    kind = np.finfo(x.dtype)
    sums = np.rint(np.cumsum(_bits(np.abs(x)), 0))
    bits = np.concatenate([sums[:1], sums[1:] - sums[:-1]])  # what is left multiplies to about 1
    bits = np.clip(bits, kind.minexp, kind.maxexp - 1)
    rest = np.sum(bits, axis=0, keepdims=True) - bits
    half, x = np.floor(rest / 2), x / np.exp2(bits)  # the power of all may be beyond the range
    return _before(x) * np.flip(_before(np.flip(x, 0)), 0) * np.exp2(half) * np.exp2(rest - half)


@op(np.cumsum)
def cumsum(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """The sums of the first, the first two, ... elements along an axis; with axis None, of the flattened array.

    >>> cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    x, k = _in(x, dtype), axis or 0
    return np.cumsum(x, axis), lambda g: np.reshape(np.flip(np.cumsum(np.flip(g, k), k), k), x.shape)


@op(np.cumprod)
def cumprod(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """The products of the first, the first two, ... elements along an axis; with axis None, of the flattened array.

    >>> cumprod([1.0, 2.0, 3.0])
    array([1., 2., 6.])

    The derivative is right where elements are 0. It adds up from the end, r[i] = g[i] + x[i + 1] r[i + 1], by doubling
    (Hillis and Steele, CACM 29, 1986).
    """
    x, k = _in(x, dtype), axis or 0

    def pullback(g: Array) -> Array:
        rows = np.reshape(x, (-1,)) if axis is None or x.ndim == 0 else np.moveaxis(x, k, 0)
        r, steps, by = np.moveaxis(g, k, 0), rows[1:], 1
        while by < r.shape[0]:
            r = np.concatenate([r[:-by] + steps * r[by:], r[-by:]])
            steps, by = steps[:-by] * steps[by:], 2 * by
        return np.reshape(np.moveaxis(_before(rows) * r, 0, k), x.shape)

    return np.cumprod(x, axis), pullback


def _cumulative(function: Any, how: Any, start: float) -> Any:
    """The array API's cumulative functions: of one axis, optionally from the value of no elements on."""

    def cumulative(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Array:
        if axis is None and np.ndim(x) != 1:
            raise ValueError(f"{function.__name__} needs an axis for an array of shape {np.shape(x)}")
        y, k = how(x, axis or 0, dtype=dtype), axis or 0
        first = (*np.shape(y)[:k], 1, *np.shape(y)[k:][1:])
        return concatenate([np.full_like(y, start, shape=first), y], k) if include_initial else y

    return composed(function, cumulative, V)


cumulative_sum = _cumulative(np.cumulative_sum, cumsum, 0)
cumulative_prod = _cumulative(np.cumulative_prod, cumprod, 1)


@implements(np.average)
def average(x: Array, axis: int | None = None, weights: Array = None) -> Array:
    """The mean along an axis, weighted.

    >>> float(average(np.array([1.0, 2.0]), weights=np.array([1.0, 3.0])))
    1.75
    """
    if weights is None:
        return mean(x, axis)
    if np.shape(weights) != np.shape(x):  # one for each place along the axis
        weights = reshape(weights, tuple(-1 if k == (axis or 0) % np.ndim(x) else 1 for k in range(np.ndim(x))))
    return sum(x * weights, axis) / sum(broadcast_to(weights, np.shape(x)), axis)


nansum = composed(np.nansum, lambda x, axis=None, **how: sum(elementwise.where(np.isnan(x), 0, x), axis, **how), V)
nanprod = composed(np.nanprod, lambda x, axis=None, **how: prod(elementwise.where(np.isnan(x), 1, x), axis, **how), V)


def _of_numbers(function: Any, how: Any, **initial: Any) -> Any:
    """A reduction that does not count NaN; of nothing but NaN it is NaN."""

    def reduction(x: Array, axis: Axis = None, *, where: Any = True, **kwargs: Any) -> Array:
        there = ~np.isnan(x) if where is True else ~np.isnan(x) & where
        y = how(elementwise.where(there, x, 0), axis, where=there, **(initial | kwargs))
        if "initial" in kwargs:
            return y
        return elementwise.where(np.any(there, axis, keepdims=np.ndim(y) == np.ndim(x)), y, np.nan)

    return composed(function, reduction, [1.0, 3.0])


nanmax = _of_numbers(np.nanmax, max, initial=-np.inf)
nanmin = _of_numbers(np.nanmin, min, initial=np.inf)
nanmean = _of_numbers(np.nanmean, mean)
nanvar = _of_numbers(np.nanvar, var)
nanstd = _of_numbers(np.nanstd, std)


@op()
def _evenly(y: Array, axis: int) -> Array:
    """y itself, sorted along an axis; the gradient is shared evenly among equal neighbours."""
    row = np.moveaxis(y, axis, -1)
    fresh = np.concatenate([np.ones_like(row[..., :1], dtype=bool), row[..., 1:] != row[..., :-1]], axis=-1)
    group = (np.cumsum(np.reshape(fresh, (-1,))) - 1,)

    def shared(g: Array) -> Array:
        g = np.moveaxis(g, axis, -1)
        n = scatter_add(np.ones_like(g, shape=(g.size,)), group, (g.size,))
        mean = scatter_add(np.reshape(g, (-1,)), group, (g.size,))[group] / n[group]
        return np.moveaxis(np.reshape(mean, g.shape), -1, axis)

    return y, shared


#: The two names of the stable algorithm first.
_KINDS = ("stable", "mergesort", "quicksort", "heapsort")


@implements(np.sort)
def sort(x: Array, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Array:
    """The elements along an axis in ascending order; ties share the gradient evenly.

    >>> sort(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])

    kind and stable are NumPy's; all algorithms but the stable one count as one: the value and the gradient do not
    depend on them.
    """
    x, axis = (reshape(x, -1), 0) if axis is None else (x, axis)
    if kind not in (None, *_KINDS) or None not in (kind, stable):
        raise ValueError(f"sort takes one of kind= ({', '.join(_KINDS)}) and stable=, got {kind!r} and {stable!r}")
    how = changed(None, kind="stable" if stable or kind in _KINDS[:2] else None)
    return _evenly(take_along_axis(x, np.argsort(x, axis=axis, **how), axis), axis)


@implements(np.partition)
def partition(x: Array, kth: Any, axis: int | None = -1) -> Array:
    """The element number kth of the sorted array in its place, the smaller before it, the larger behind it.

    >>> float(partition(np.array([3.0, 1.0, 2.0]), 1)[1])
    2.0
    """
    x, axis = (reshape(x, -1), 0) if axis is None else (x, axis)
    return take_along_axis(x, np.argpartition(x, kth, axis=axis), axis)


@op()
def _part(x: Array, weight: Array) -> Array:
    """x times its weight in a mean: nothing where that is 0, of infinity too."""
    return np.where(weight == 0, 0, x) * weight, weight, x


#: The methods of quantile whose place among n sorted elements moves with q: at q (n + 1 - a - b) + a - 1, by a and b
#: (Hyndman and Fan, The American Statistician 50, 1996).
_MOVING = {
    "linear": (1, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "interpolated_inverted_cdf": (0, 1),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


@implements(np.quantile)
def quantile(x: Array, q: Any, axis: Axis = None, *, keepdims: bool = False, method: str = "linear") -> Array:
    """The value below which a fraction q of the elements along axes falls, by one of NumPy's methods.

    >>> float(quantile([1.0, 2.0, 4.0], 0.25))
    1.5

    q may be a variable too, a number or a vector between 0 and 1; where the place jumps with q its gradient is 0.
    """
    front, axes = _reduction_axes_first(x, axis)
    # NaN anywhere makes all of it NaN, and the gradient too
    front = front * np.where(np.any(np.isnan(front), axis=0), np.nan, np.ones_like(stop_gradient(front)))
    y, n = sort(front, 0), np.shape(front)[0]
    if method == "linear" and type(q) is float and 0 <= q <= 1:
        at = np.multiply(beside(x, q), n - 1)  # as below, without the time that np.quantile takes
    else:
        at = np.quantile(made_like(x, np.arange, n), beside(x, stop_gradient(q)), method=method)  # type: ignore[call-overload]
    low = np.positive(np.minimum(np.floor(at), n - 1 - (n > 1)), dtype=int, casting="unsafe")
    share = at - low
    if isinstance(q, Node) and method in _MOVING:
        a, b = _MOVING[method]
        place = q * (n + 1 - a - b) + a - 1
        share = share + elementwise.where((place >= 0) & (place <= n - 1), place - stop_gradient(place), 0)
    share = np.positive(np.reshape(share, np.shape(at) + (1,) * (np.ndim(y) - 1)), dtype=y.dtype)
    z = _part(getitem(y, low), 1 - share) + _part(getitem(y, np.minimum(low + 1, n - 1)), share)
    return expand_dims(z, tuple(k + np.ndim(at) for k in axes)) if keepdims else z


percentile = composed(np.percentile, lambda x, q, axis=None, **how: quantile(x, np.divide(q, 100), axis, **how), V, 25)


median = composed(np.median, lambda x, axis=None, **how: quantile(x, 0.5, axis, **how), V)


trace = composed(
    np.trace,
    lambda x, offset=0, axis1=0, axis2=1, **how: sum(diagonal(x, offset, axis1, axis2), axis=-1, **how),
    M,
)


def _counting(x: Array, where: Any) -> Array:
    """x with -inf, whose exponential is 0, where a mask does not hold."""
    return x if where is True else np.where(where, x, -np.inf)


@op()
@in_float32
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False, *, where: Any = True) -> Array:
    """log(sum(exp(x))) along axes, of the elements where a mask holds, without overflow.

    >>> float(logsumexp([1000.0, 1000.0])) - 1000 == float(np.log(2.0))
    False
    >>> round(float(logsumexp([1000.0, 1000.0])) - 1000, 6)
    0.693147

    The largest element is taken out first. The gradient is the softmax of x. Where every x is -inf no term counts, and
    it is 0, as that of `logaddexp`; elements that are inf share it evenly.
    """
    x = _counting(x, where)
    top = _largest(x, axis)
    e = np.exp(x - np.nan_to_num(np.where(top == -np.inf, 0, top)))
    e = np.where(e > 1, 1, e)  # of an infinite x
    total = np.sum(e, axis=axis, keepdims=True)
    none = total == 0
    y = np.where(none, -np.inf, np.log(total + none) + top)
    p = e / (total + none)
    return y if keepdims else np.squeeze(y, axis), lambda g: _masked(_kept(x.ndim, g, axis, keepdims) * p, where)


@op()
@in_float32
def softmax(x: Array, axis: Axis = -1, *, where: Any = True) -> Array:
    """exp(x) / sum(exp(x)) along an axis, of the elements where a mask holds; the others are 0.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    x = _counting(x, where)
    e = np.exp(x - _largest(x, axis))
    p = e / np.sum(e, axis=axis, keepdims=True)

    def pullback(g: Array) -> Array:
        gp = _masked(g * p, where)
        return gp - p * np.sum(gp, axis=axis, keepdims=True)

    return p, pullback


@op()
@in_float32
def log_softmax(x: Array, axis: Axis = -1, *, where: Any = True) -> Array:
    """x - logsumexp(x) along an axis, of the elements where a mask holds; the others are -inf.

    >>> log_softmax(np.array([0.0, 0.0])) == -np.log(2.0)
    array([ True,  True])
    """
    x = _counting(x, where)
    y = x - logsumexp(x, axis=axis, keepdims=True)

    def pullback(g: Array) -> Array:
        g = _masked(g, where)
        return g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)

    return y, pullback


@op()
@in_float32
def cross_entropy(z: Array, classes: Array) -> Array:
    """The mean of -log softmax(z)[class] over the examples, from logits and integer classes.

    >>> float(cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))) == float(np.log(2.0))
    True

    Args:
        z: logits, shape (..., number of classes).
        classes: integers, shape (...); as in NumPy's indexing, a negative one counts from the end.

    Its gradient with respect to z is (p - y) / n: the probabilities, less one at the class.
    """
    k = z.shape[-1]
    y = np.expand_dims(beside(z, classes), -1)
    z = z - _largest(z, -1)
    e = np.exp(z)
    total = np.sum(e, axis=-1, keepdims=True)
    hit = made_like(y, np.arange, k) == y % k
    # Dask has no np.take_along_axis
    at = np.take_along_axis(z, y, axis=-1) if in_chunks(z) is None else np.sum(np.where(hit, z, 0), -1, keepdims=True)
    return np.mean(np.log(total) - at), lambda g: g / total.size * (e / total - hit)
