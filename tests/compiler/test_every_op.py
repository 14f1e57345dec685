"""Every op, and random programs: derived, they equal the engine to the last bit."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import random_programs
from cases import CASES, Case
from derived import assert_same, by_source, differentiated, expected, share_memory
from derived_models import X, rng
from listings import check_comments, dead, idle
from sampling import sampled

import minigrad as mg
from minigrad.compiler.tracer import Refused
from minigrad.trees import leaves

# every op

#: What a derived function cannot say, and in how many cases: the shape depends on values (an index of flags, counts),
#: or an array that the case itself makes is indexed by a traced one.
REFUSED = {
    "getitem": 6,
    "scatter_add": 6,
    "repeat": 1,
    "compress": 1,
    "extract": 1,
    "at.set": 2,
    "at.add": 2,
    "at.multiply": 2,
    "piecewise": 3,
    "bincount": 3,
    "insert": 1,
    "delete": 1,
}
REASONS = re.compile(r"depends on values|was read|was converted")


def total(case: Case) -> Callable[..., Any]:
    """The case as a function with one real value, in which every element counts."""

    def f(*args: Any) -> Any:
        parts = [
            part for y in leaves(case(*args)) for part in ([np.real(y), np.imag(y)] if np.iscomplexobj(y) else [y])
        ]
        y = mg.sum(np.sin(parts[0]))
        for part in parts[1:]:
            y = y + mg.sum(np.sin(part))
        return y

    return f


def derived(case: Case) -> Any:
    return mg.derive(total(case), *case.args, wrt=differentiated(case.args))


@sampled(CASES, one_in=3)
def test_every_op_to_the_last_bit(case: Case) -> None:
    try:
        d = derived(case)
    except Refused as refusal:
        assert case.op.__name__ in REFUSED and REASONS.search(str(refusal))
        return
    right = mg.value_and_grad(total(case), differentiated(case.args))(*case.args)
    found = d(*case.args)
    assert_same(found, right)
    assert_same(by_source(d, *case.args), right)
    assert not share_memory(found, (case.args, list(case.kwargs.values())))
    assert not dead(d.source)


def test_what_is_refused_is_listed() -> None:
    found: Counter[str] = Counter()
    for case in CASES:
        if case.op.__name__ in REFUSED:
            try:
                derived(case)
            except Refused:
                found[case.op.__name__] += 1
    assert found == REFUSED


@pytest.mark.parametrize("case", [c for c in CASES if c.op.__name__ not in ("float_power", "astype")][::12], ids=str)
def test_ops_in_single_precision(case: Case) -> None:
    def single(x: Any) -> Any:
        if isinstance(x, float):  # a variable in double precision, as which alone the source takes it
            return np.float64(x)
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
            return x
        return x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)

    args = mg.trees.map_leaves(single, case.args)
    case = case._replace(args=args)
    try:
        d = derived(case)
    except Refused:
        assert case.op.__name__ in REFUSED
        return
    right = mg.value_and_grad(total(case), differentiated(args))(*args)
    assert_same(d(*args), right)
    assert_same(by_source(d, *args), right)


# layouts

LARGE, TALL = rng.normal(size=(300, 200)), rng.normal(size=300)
BY_LAYOUT: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (lambda x, v: np.sum(x @ v), (LARGE, LARGE[0])),
    (lambda x, v, c: np.sum((x @ v) * c), (LARGE, LARGE[0], 0.7)),
    (lambda x, v: np.mean(np.outer(x, v) @ v), (TALL, LARGE[0])),
    (lambda x: np.sum(np.zeros_like(x.T) + x.T, axis=0) @ TALL, (LARGE,)),
    (lambda x: np.sum(np.broadcast_to(x, (300, 200)) * 2) + np.sum(x), (LARGE[0],)),
    (lambda x: np.sum(np.sum(x @ x.T, axis=0) ** 2) + np.sum(x.T.copy() @ TALL), (LARGE,)),
]


@pytest.mark.parametrize(("f", "args"), BY_LAYOUT)
def test_what_is_added_up_lies_as_the_engine_has_it(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """BLAS and sums add in an order that depends on where elements lie: repeated ones are no array of ones to them."""
    d = mg.derive(f, *args)
    assert_same(d(*args), expected(f, args))
    assert_same(by_source(d, *args), expected(f, args))
    assert not dead(d.source)


def test_what_is_repeated_meets_arrays_as_it_is() -> None:
    def f(a, k):
        p = a / np.sum(a, axis=1, keepdims=True)
        return np.mean(np.log1p(np.sin(p))) * k

    source = mg.derive(f, rng.uniform(size=(6, 8)), 0.5).source
    assert "broadcast_to" not in source and "np.full" not in source and "np.ones" not in source


# programs

SEEDS = range(40)


def along(f: Callable[..., Any], at: list[Any]) -> Callable[..., Any]:
    """The derivative of f along a direction: to derive it is the second order."""

    def slope(*xs: Any) -> Any:
        parts = [
            np.sum(g * np.cos(np.arange(float(x.size))).reshape(x.shape))
            for g, x in zip(mg.grad(f, (0, 1, 2, 3))(*xs), at)
        ]
        return parts[0] + parts[1] + parts[2] + parts[3]

    return slope


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program(seed: int) -> None:
    f, at = random_programs.program(seed).function(np), tuple(random_programs.inputs(seed))
    d = mg.derive(f, *at)
    assert_same(d(*at), expected(f, at))
    assert_same(by_source(d, *at), expected(f, at))
    assert not share_memory(d(*at), at)
    assert not dead(d.source) and not idle(d, at)
    check_comments(d, at)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program_of_the_second_order(seed: int) -> None:
    f, at = random_programs.program(seed).function(np), tuple(random_programs.inputs(seed))
    slope = along(f, list(at))
    d = mg.derive(slope, *at)
    assert_same(d(*at), expected(slope, at))
    assert_same(by_source(d, *at), expected(slope, at))
    assert not dead(d.source)


@pytest.mark.parametrize("seed", SEEDS[::4])
def test_random_program_on_other_values(seed: int) -> None:
    """What was derived at one point holds at another: nothing of the first is frozen in it."""
    f, at = random_programs.program(seed).function(np), tuple(random_programs.inputs(seed))
    elsewhere = tuple(-1.3 * x + 0.1 for x in at)
    with np.errstate(all="ignore"):
        assert_same(mg.derive(f, *at)(*elsewhere), expected(f, elsewhere))


def test_the_hessian_of_a_listing_is_that_of_the_function() -> None:
    """A listing is NumPy, so that it can be differentiated again."""

    def f(x):
        return np.sum(np.exp(x) * np.sin(x))

    scope: dict[str, Any] = {"np": np}
    exec(mg.derive(f, X).source, scope)
    np.testing.assert_allclose(mg.jacobian(lambda x: scope["f"](x)[1])(X), mg.hessian(f)(X), rtol=1e-14, atol=1e-14)
