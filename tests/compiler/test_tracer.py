"""The tracer: what a program of NumPy calls cannot express is refused, with the line."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derived import assert_same, expected, same_bits
from derived_models import X

import minigrad as mg
from minigrad.compiler.tracer import Refused


def test_the_line_that_cannot_be_is_named() -> None:
    """Not one that fails when what the closure holds is given as numbers, as the value depends on an argument too."""
    table = mg.Tensor(np.ones((3, 2)))

    def f(ids: Any) -> Any:
        rows = mg.embedding(table, ids)
        return float(mg.sum(rows))

    with pytest.raises(Refused, match=r"was read in f, line .*`return float"):
        mg.derive(f, np.array([1, 2]))


# what is refused


def if_on_a_value(x):
    return np.sum(x) if np.sum(x) > 0 else x[0]


def a_loop_on_a_value(x):
    while np.sum(x) > 1:
        x = x / 2
    return np.sum(x)


def pythons_float(x):
    return np.sum(x * float(x[0]))


def an_item(x):
    return np.sum(x) * x[0].item()


def a_list(x):
    return np.sum(x) + sum(x.tolist())


def the_larger_of_two(x):
    return max(x[0], x[1])


def sorted_by_python(x):
    return sorted(x)[0]


def a_member(x):
    return x[0] if 1.0 in x else x[1]


def indexed_by_flags(x):
    return np.sum(np.sin(x[x > 1]))


def a_mathematical_function_of_python(x):
    import math

    return math.exp(x[0])


def shown(x):
    print(x)
    return np.sum(x)


REFUSALS = [
    (if_on_a_value, "the value of greater ()", "if np.sum(x) > 0 else x[0]"),
    (a_loop_on_a_value, "the value of greater ()", "while np.sum(x) > 1:"),
    (pythons_float, "the value of getitem ()", "float(x[0])"),
    (an_item, "the value of getitem ()", "x[0].item()"),
    (a_list, "the value of the argument x (3,)", "sum(x.tolist())"),
    (the_larger_of_two, "the value of greater ()", "max(x[0], x[1])"),
    (sorted_by_python, "the value of less ()", "sorted(x)[0]"),
    (a_member, "the value of equal ()", "1.0 in x"),
    (indexed_by_flags, "the shape of sin (2,)", "np.sin(x[x > 1])"),
    (a_mathematical_function_of_python, "the value of getitem ()", "math.exp(x[0])"),
    (shown, "the value of the argument x (3,) was read", "print(x)"),
]


@pytest.mark.parametrize(("f", "what", "where"), REFUSALS, ids=lambda x: getattr(x, "__name__", ""))
def test_what_python_decides_on_values_is_refused(f: Callable[..., Any], what: str, where: str) -> None:
    """The message names the op, the function, the line, and what is written there; and says what to write instead."""
    with pytest.raises(Refused) as refusal:
        mg.derive(f, X)
    message = str(refusal.value)
    assert what in message and where in message and ("mg.where(" in message or "leave the conversion out" in message)
    assert re.search(rf" in {f.__name__}, line \d+ of {__file__.rpartition('/')[2]}", message)
    assert issubclass(Refused, TypeError)


@pytest.mark.parametrize("f", [f for f, *_ in REFUSALS], ids=lambda f: f.__name__)
def test_after_a_refusal_the_function_works_as_before(f: Callable[..., Any]) -> None:
    with pytest.raises(Refused):
        mg.derive(f, X)
    assert not isinstance(f(X), mg.Tensor) and np.isfinite(f(X))


def test_iterating_and_unpacking_is_no_decision() -> None:
    def f(x):
        first, *rest = x
        total = first * 2
        for y in rest:
            total = total + y * y
        for i in range(len(x)):
            total = total + x[i] * i
        return total

    assert_same(mg.derive(f, X)(X), expected(f, (X,)))


def test_shapes_and_dtypes_may_be_decided_on() -> None:
    def f(x):
        if x.ndim == 1 and x.dtype == float and len(x) > 2 and np.size(x) == 3 and x.shape[0] == 3:
            return np.sum(x) / x.size
        return np.sum(x * x)

    assert_same(mg.derive(f, X)(X), expected(f, (X,)))


@pytest.mark.parametrize("convert", [np.asarray, np.ascontiguousarray, np.require])
def test_a_write_into_a_converted_array_is_refused(convert: Callable[[Any], Any]) -> None:
    """NumPy returns the array itself, and the write would be lost."""
    w = mg.Tensor(np.ones((2, 2)))
    held = [np.ones((2, 2))]

    def step(x: Any, of: Any) -> Any:
        converted = convert(of())
        converted *= 0.5
        return x

    for of in (lambda: w.data), (lambda: held[0]), (lambda: held[0] * 2):
        with pytest.raises(ValueError, match="read-only"):
            mg.compile(step)(np.ones(2), of)
    assert w.data.tolist() == held[0].tolist() == np.ones((2, 2)).tolist()


def test_a_converted_array_is_read_and_a_copy_of_it_written() -> None:
    held = [np.arange(3.0)]

    def f(x: Any) -> Any:
        copied, other = np.array(held[0]), np.asarray(held[0], np.float32)
        copied += 1
        other += 1
        return x * np.asarray(held[0]), copied, other

    compiled = mg.compile(f)
    for _ in range(2):
        for found, wanted in zip(compiled(X), f(X)):
            assert same_bits(found, wanted)
        held[0] = held[0] + 1
