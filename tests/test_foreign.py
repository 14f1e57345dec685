"""The ops on the arrays of other libraries: a duck that refuses NumPy's arrays, CuPy's answer to every call, Dask."""

import functools
import re
from typing import Any, Never

import numpy as np
import pytest
from cases import CASES, Case
from duck import Duck, plain
from foreign import (
    NOT_IN_CUPY,
    NOT_WITH_CUPY,
    NOT_WITH_DASK,
    CuPys,
    chunked,
    cupy,
    dask,
    dense,
    derivatives,
    needs_cupy,
    needs_dask,
    value_and_gradients,
)
from sampling import sampled

import minigrad as mg
from minigrad.check.numeric import EPS
from minigrad.engine import implementations

every_case = pytest.mark.parametrize("case", CASES, ids=str)
A = np.array([[1.0, 2.0], [3.0, 5.0]])


@every_case
def test_runs_on_a_foreign_array(case: Case) -> None:
    # its memory may lie otherwise, and a product then sums in another order: not to the last bit
    for x, y in zip(derivatives(case, Duck), derivatives(case, np.asarray), strict=True):
        assert isinstance(dense(x), Duck)
        np.testing.assert_allclose(plain(dense(x)), dense(y), rtol=8 * EPS, atol=8 * EPS)


def test_a_duck_refuses_numpys_arrays() -> None:
    for call in (lambda x: x + A, lambda x: np.where(x > 0, x, A), lambda x: x[np.array([0])]):
        with pytest.raises(TypeError, match="beside a duck"):
            call(Duck(A))


# CuPy, asked about every call


@needs_cupy
@sampled(CASES, one_in=3)
def test_cupy_takes_every_call(case: Case) -> None:
    refused = any(re.fullmatch(names, str(case)) for names in NOT_WITH_CUPY.values())
    try:
        assert all(isinstance(dense(x), CuPys) for x in derivatives(case, CuPys))
    except TypeError:
        if not refused:
            raise
        return
    assert not refused, "it is listed among those that CuPy does not take"


@needs_cupy
def test_the_functions_that_cupy_lacks_are_listed() -> None:
    plainly = {f for f, ours in implementations.items() if isinstance(ours, functools.partial)}
    names = {f"{f.__module__}.{f.__name__}".removeprefix("numpy.") for f in plainly if not isinstance(f, np.ufunc)}
    names |= {f.__name__ for f in plainly if isinstance(f, np.ufunc)}
    assert sorted(name for name in names if not has(cupy, name)) == NOT_IN_CUPY


def has(module: Any, name: str) -> bool:
    """Is there a function of CuPy's own under this name?"""
    found = functools.reduce(lambda x, part: getattr(x, part, None), name.split("."), module)
    return found is not None and found is not functools.reduce(getattr, name.split("."), np)


@needs_cupy
@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        (lambda x: np.sum(x, where=x > 0), "unexpected keyword argument 'where'"),
        (lambda x: np.sum(x, initial=0), "unexpected keyword argument 'initial'"),
        (lambda x: np.sqrt(x, where=True), "Wrong arguments"),
        (lambda x: np.spacing(x), "NotImplemented"),
        (lambda x: np.lexsort((x,), axis=0, keys=None), "keys"),
        (lambda x: np.add.at(x, ([0], [1]), 1.0), "NotImplemented"),
    ],
)
def test_cupys_refusals_are_heard(call: Any, refusal: str) -> None:
    with pytest.raises(TypeError, match=refusal):
        call(CuPys(A))


def test_a_function_that_the_library_lacks_is_named() -> None:
    class Bare(Duck):
        def answer(self, protocol: str, *call: Any) -> Any:
            return NotImplemented if call[0] in (np.linalg.inv, np.tan) else None

    with pytest.raises(TypeError, match=r"inv of a Tensor \(2, 2\): it calls np\.linalg\.inv, which \w+ has no"):
        mg.linalg.inv(mg.Tensor(Bare(A)))
    with pytest.raises(TypeError, match=r"tan of a Tensor \(2, 2\): it calls np\.tan, which \w+ has no"):
        mg.tan(mg.Tensor(Bare(A)))


# Dask, for real


def not_now(*_: Any, **__: Any) -> Never:
    raise AssertionError("an array was computed")


WITH_DASK = [
    "numpy",
    *(f"minigrad.ops.{name}" for name in ("elementwise", "activations", "special", "reduce", "products", "statistics")),
]


@needs_dask
@sampled([c for c in CASES if (getattr(c.op, "__module__", None) or "numpy") in WITH_DASK], one_in=4)
def test_dask_stays_lazy_and_is_right(case: Case) -> None:
    refused = any(re.fullmatch(names, str(case)) for names in NOT_WITH_DASK.values())
    try:
        with dask.config.set(scheduler=not_now):
            found = [dense(x) for x in value_and_gradients(case, chunked)]
        assert all(isinstance(x, dask.array.Array) for x in found)
        found = dask.compute(*found, scheduler="sync")
    except (FutureWarning, AssertionError, NotImplementedError, TypeError, ValueError, IndexError):
        if not refused:
            raise
        return
    assert not refused, "it is listed among those that Dask does not take"
    for x, y in zip(found, value_and_gradients(case, np.asarray), strict=True):
        np.testing.assert_allclose(x, dense(y), rtol=1e-12, atol=1e-12)
