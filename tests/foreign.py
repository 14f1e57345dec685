"""The arrays of other libraries: what of the table of cases each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case
from duck import Duck, converted, plain

import minigrad as mg
from minigrad.engine import implementations
from minigrad.sparse import RowSparse
from minigrad.trees import leaves, map_leaves

try:
    import cupy
    from cupy_backends.cuda.api.runtime import CUDARuntimeError
except ImportError:
    cupy = None

needs_cupy = pytest.mark.skipif(cupy is None, reason="needs CuPy, with or without a GPU: pip install -e '.[arrays]'")

try:
    import dask
    import dask.array
except ImportError:
    dask = None

needs_dask = pytest.mark.skipif(dask is None, reason="needs Dask: pip install -e '.[arrays]'")

#: The functions without a derivative that CuPy has not.
NOT_IN_CUPY = ["spacing"]

#: What CuPy does not take: a reason, and a pattern of the names of the cases.
NOT_WITH_CUPY = {"no scipy.special.iv, of which the second derivative of i0 is made": r"(i0|i1|iv)-.*"}

#: What Dask does not take of the modules that are tried: a reason, and a pattern of the names of
#: the cases.
NOT_WITH_DASK = {
    "no np.argsort, np.argpartition": r"(sort|partition|median|quantile|percentile)-.*",
    "no np.cumsum and np.cumprod of a single number": r"(cumsum|cumprod)-\(\)-.*",
    "no np.linalg.pinv": r"polyfit-.*",
    "no np.concatenate of empty arrays alone": r"prod-\(0,\)",
    "no np.max and np.min of an empty array": r"(max|min)-\(0,.*",
}


def floating(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(int)).kind in "fc"


def of_kind(case: Case, kind: Callable[[Any], Any]) -> Case:
    """The case with all its arrays, and an op's lists of numbers, as arrays of a kind: no library takes another's."""

    def array(x: Any) -> Any:
        return kind(x) if isinstance(x, np.ndarray | np.floating) else x

    args = case.args
    if hasattr(implementations.get(case.op, case.op), "body"):
        args = tuple(np.asarray(x, None if np.size(x) else int) if type(x) is list else x for x in args)
    return case._replace(args=map_leaves(array, args), kwargs={key: array(x) for key, x in case.kwargs.items()})


def derivatives(case: Case, kind: Callable[[Any], Any]) -> Iterator[Any]:
    """The value from plain arrays, from variables, the first derivatives, and the derivatives of these."""
    case = of_kind(case, kind)
    variables = [x for x in leaves(case.args) if floating(x)]

    def f(*xs: Any) -> Any:
        rest = iter(xs)
        return case(*map_leaves(lambda x: next(rest) if floating(x) else x, case.args))

    def weights(y: Any) -> Any:
        return kind(np.cos(np.arange(np.prod(y.shape, dtype=int))).reshape(y.shape))

    def first(*xs: Any) -> Any:
        y, pullback = mg.vjp(f, *xs)
        return pullback(weights(y))

    yield f(*variables)
    yield mg.vjp(f, *variables)[0]
    gradients, pullback = mg.vjp(first, *variables)
    yield from gradients
    yield from pullback(tuple(map(weights, gradients)))


def value_and_gradients(case: Case, kind: Callable[[Any], Any]) -> list[Any]:
    """A weighted sum of the value, and its gradients."""
    case = of_kind(case, kind)
    variables = [x for x in leaves(case.args) if floating(x)]

    def f(*xs: Any) -> Any:
        rest = iter(xs)
        y = case(*map_leaves(lambda x: next(rest) if floating(x) else x, case.args))
        return np.real(np.sum(y * kind(np.cos(np.arange(np.prod(y.shape, dtype=int))).reshape(y.shape))))

    value, gradients = mg.value_and_grad(f, argnums=tuple(range(len(variables))))(*variables)
    return [value, *gradients]


def chunked(x: Any) -> Any:
    """An array of Dask's, in two chunks along each axis."""
    return dask.array.from_array(np.asarray(x), chunks=tuple(max(1, (n + 1) // 2) for n in np.shape(x)))


def dense(x: Any) -> Any:
    return x.dense() if isinstance(x, RowSparse) else x


class CuPys(Duck):
    """A duck that asks CuPy itself about each call, and has the methods of CuPy's arrays."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "array" or not hasattr(cupy.ndarray, name):
            raise AttributeError(name)
        found = getattr(self.array, name)
        if not callable(found):
            return self.wrapped(found)
        return lambda *args, **kwargs: self.wrapped(found(*plain(args), **plain(kwargs)))

    def answer(self, protocol: str, *call: Any) -> Any:
        *call, kwargs = converted(call, on_the_gpu)
        try:
            if protocol == "__array_ufunc__":
                return on_the_gpu(self).__array_ufunc__(*call, **kwargs)
            function, args = call
            return on_the_gpu(self).__array_function__(function, (cupy.ndarray,), args, kwargs)
        except (CUDARuntimeError, ImportError):  # there is no GPU, or none of NVIDIA's libraries
            return None  # it would have computed


def on_the_gpu(x: Duck) -> Any:
    """An array of CuPy's like x: where there is no GPU, of the same shape and dtype, but nowhere in memory."""
    if cupy.cuda.is_available():
        return cupy.asarray(x.array)
    memory = cupy.cuda.UnownedMemory(1 << 20, 1 << 30, None, 0)
    return cupy.ndarray(x.shape, x.dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))
