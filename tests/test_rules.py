"""Every rule by which a derived function is made simpler, computed both ways, on the values that break such rules."""

import ast
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from derived import same_bits

import minigrad as mg
from minigrad.compiler.program import (
    ARGUMENT,
    Name,
    Value,
    assigned,
    astype,
    examples,
    made_from,
    new_value,
    number,
    values_in,
)
from minigrad.compiler.rules import COMMUTATIVE, INEXACT, RULES, VARIABLES
from minigrad.compiler.simplify import Simplifier, frozen, symbolic
from minigrad.compiler.tracer import Trace, Tracer

EXACT, ROUGH = RULES.strip().splitlines(), INEXACT.strip().splitlines()
FLOATS = [np.float32, np.float64]
KINDS = {
    "floats": FLOATS,
    "complex": [np.complex128, np.float64],
    "integers": [np.int64, np.int8, np.float64],
    "unsigned": [np.uint8, np.float64],
    "flags": [bool, np.float64],
}
rng = np.random.default_rng(7)
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

# the values that break rules


def nasty(dtype: Any) -> np.ndarray:
    """NaN, infinities, zeros of both signs, the smallest and the largest numbers, and ordinary ones; twelve in all."""
    if np.dtype(dtype).kind == "b":
        return np.array([True, False] * 6)
    if np.dtype(dtype).kind in "iu":
        ends = np.iinfo(dtype)
        return np.array([ends.min, ends.max, ends.min + 1, ends.max - 1, 0, 1, 2, 3, 5, 7, 100, 127], dtype)
    if np.dtype(dtype).kind == "c":
        parts = nasty(np.float64)
        return np.array([complex(a, b) for a, b in zip(parts, [*parts[5:], *parts[:5]])], dtype)
    kind = np.finfo(dtype)
    few = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        kind.smallest_subnormal,
        -kind.tiny,
        kind.max,
        -kind.max,
        1.0,
        -1 / 3,
        3.7,
    ]
    return np.array(few, dtype)


def matrices(dtype: Any) -> list[np.ndarray]:
    """Products are summed in an order that the layout decides: in order, transposed, with steps, thin, large."""
    if np.dtype(dtype).kind not in "fc":
        return [nasty(dtype).reshape(3, 4)]
    big = rng.normal(size=(130, 70)).astype(dtype)
    tame = [rng.normal(size=s).astype(dtype) for s in [(3, 4), (1, 5), (5, 1), (1, 1), (5, 5)]]
    return [nasty(dtype).reshape(3, 4), *tame, big, big.T, big[::2, ::3], big[::-1], np.asfortranarray(big)]


def vectors(dtype: Any) -> list[np.ndarray]:
    lengths = [1, 3, 4, 5, 24, 65, 70, 130]
    tame = [rng.normal(size=n).astype(dtype) for n in lengths] if np.dtype(dtype).kind in "fc" else []
    return [nasty(dtype), nasty(dtype)[:3], nasty(dtype)[-4:], rng.normal(size=140).astype(dtype)[::2], *tame]


WHAT_ELSE: dict[str, list[Any]] = {
    "ids": [np.array([0, -1, 1, 0]), np.array([[1, 1], [0, 2]]), np.array([2], np.uint8)],
    "shape": [(12,), (12, 1), (1, 12), (3, 4), -1, (2, 12), ()],
    "last": [(12,), (2, 6), (2, 12, 1), (3, 12, 12), ()],
    "axis": [0, 1, -1, (0, 1), 2],
    "index": [0, slice(1, 3), ..., np.array([0, 2, 0]), np.array([True, False] * 6), (slice(None), 0)],
    "dtype": FLOATS,
    "casting": ["same_kind", "unsafe"],
    "width": [0, 1, (0, 0), [(0, 0), (0, 0), (0, 0)]],
}


def candidates(name: str, dtype: Any) -> list[Any]:
    """What a variable of a rule may be, as VARIABLES says: all pairs of values meet, as a column does with a row."""
    if name in WHAT_ELSE:
        return WHAT_ELSE[name]
    if name in ("v", "w"):
        return vectors(dtype)
    if name == "M":
        return matrices(dtype)
    x = nasty(bool if name == "mask" else dtype)
    return [x, x[:, None], x[None, :, None], x[0], x[3], x[4]]


def fits(name: str, x: Any) -> bool:
    """Does VARIABLES let a name of a rule stand for it?"""
    return VARIABLES.get(name, lambda x, _: True)(Value(None, (), {}, x) if hasattr(x, "dtype") else x, {})


# a rule, computed


def sides(line: str) -> list[str]:
    return [side.strip() for side in line.split(" = ")]


def variables(line: str) -> list[str]:
    found = {node.id for side in sides(line) for node in ast.walk(ast.parse(side)) if isinstance(node, ast.Name)}
    return sorted(found - {"np", "astype", "assigned", "SHAPE", "DTYPE"})


def instances(line: str, kinds: list[Any] = FLOATS) -> Iterator[dict[str, Any]]:
    """What the variables of a rule may be, each of its own dtype."""
    names = variables(line)
    choices = [[x for kind in kinds for x in candidates(name, kind) if fits(name, x)] for name in names]
    for name, some in zip(names, choices):
        if name in WHAT_ELSE:
            some[:] = WHAT_ELSE[name]
    yield from (dict(zip(names, values)) for values in product(*choices))


def both(line: str, scope: dict[str, Any]) -> tuple[Any, Any] | None:
    """The two sides; None where there is no left one, or where the right one is of another kind and is not taken."""
    left, right = sides(line)
    known = scope | {"np": np, "astype": astype, "assigned": assigned}
    with np.errstate(all="ignore"):
        try:
            x = eval(left, known)
        except (ValueError, IndexError, TypeError, OverflowError):  # shapes that do not go together, - of a bool
            return None
        y = eval(right, known | {"SHAPE": x.shape, "DTYPE": x.dtype.type})
    return (x, y) if np.shape(x) == np.shape(y) and np.result_type(x) == np.result_type(y) else None


def counted(line: str, kinds: list[Any] = FLOATS) -> tuple[int, list[dict[str, Any]]]:
    """How often a rule could be applied, and where its sides differ."""
    pairs = [(both(line, scope), scope) for scope in instances(line, kinds)]
    taken = [(pair, scope) for pair, scope in pairs if pair is not None]
    return len(taken), [scope for pair, scope in taken if not same_bits(*pair)]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("line", EXACT)
def test_a_rule_holds_to_the_last_bit(line: str, kinds: str) -> None:
    count, different = counted(line, KINDS[kinds])
    assert count or kinds != "floats", "this rule was never applied"
    wrong = [scope for scope in different if is_applied(line, scope)]
    assert not wrong, f"differs in {len(wrong)} of {count} cases, first for {wrong[0]}"


@pytest.mark.parametrize("line", ROUGH)
def test_an_inexact_rule_differs_somewhere(line: str) -> None:
    assert counted(line)[1]


FALSE = ["x + y = x - y", "x + 0 = x", "x * y / y = x", "0 * x = 0 * np.zeros_like(x)", "np.sqrt(x * x) = np.abs(x)"]
FALSE += [
    "-(x - y) = y - x",
    "x - 0.0 * x = x",
    "v @ M = np.sum(v[:, None] * M, axis=0)",
    "v[:, None] * w = np.outer(w, v)",
]


@pytest.mark.parametrize("line", FALSE)
def test_planted_rule_that_is_false_is_found(line: str) -> None:
    assert counted(line)[1]


def test_sums_and_products_may_be_turned_around() -> None:
    """A rule for x + y is one for y + x."""
    assert not counted("x + y = y + x")[1] and not counted("x * y = y * x")[1]
    assert {np.add, np.multiply} == COMMUTATIVE


# the same rules, as the simplifier applies them


def traced(trace: Trace, name: str, x: Any) -> Any:
    return trace.input(x, name) if hasattr(x, "dtype") else x


def simplified(line: str, scope: dict[str, Any], exact: bool = True) -> tuple[Any, Any]:
    """What the simplifier makes of the two sides, recorded in one program."""
    trace = Trace()
    known = {name: traced(trace, name, x) for name, x in scope.items()}
    known["np"] = np
    known["astype"] = lambda x, dtype: trace.call(astype, (x, np.dtype(dtype)), {})
    known["assigned"] = lambda *args: trace.call(assigned, args, {})
    left = eval(sides(line)[0], known)
    right = eval(sides(line)[1], known | {"SHAPE": left.shape, "DTYPE": left.dtype.type})
    simplifier, simplest = Simplifier(exact), {}
    for value in trace.values:
        simplest[value] = simplifier(value, simplest)
    return simplest[left.value], simplest[right.value] if isinstance(right, Tracer) else right


def is_applied(line: str, scope: dict[str, Any], exact: bool = True) -> bool:
    """Do the two sides become one?"""
    left, right = simplified(line, scope, exact)
    if isinstance(right, Value):
        return left is right
    made_of_nothing = all(x.call is not None for x in made_from(list(values_in(left))))
    return made_of_nothing and same_bits(examples(left), right)


@pytest.mark.parametrize(("line", "exact"), [*((line, True) for line in EXACT), *((line, False) for line in ROUGH)])
def test_a_rule_is_applied(line: str, exact: bool) -> None:
    scope = next(s for s in instances(line, FLOATS) if both(line, s) is not None)
    assert is_applied(line, scope, exact)


@pytest.mark.parametrize("line", ROUGH)
def test_an_inexact_rule_is_for_those_who_ask(line: str) -> None:
    scope = next(s for s in instances(line, FLOATS) if both(line, s) is not None)
    left, right = simplified(line, scope)
    assert left is not right and isinstance(left, Value)


def test_a_result_of_another_dtype_or_shape_is_not_taken() -> None:
    left, right = simplified("x * 1 = x", {"x": np.array([True, False])})
    assert left is not right and left.dtype == int
    left, right = simplified("np.broadcast_to(x, shape) = x", {"x": np.ones(3), "shape": (2, 3)})
    assert left is not right


def test_a_rule_goes_into_nothing_that_has_a_name() -> None:
    """-(-x) is x; but where the user calls -x something, that stays."""
    unnamed = mg.derive(lambda x: np.negative(-x), np.ones(3), wrt=())
    assert "-" not in unnamed.source

    def f(x):
        opposite = -x
        return -opposite

    assert "opposite = -x" in mg.derive(f, np.ones(3), wrt=()).source


def test_memory_that_is_written_into_is_no_copy_of_itself() -> None:
    """np.copy(t) = t and np.positive(t) = t, but not of an array that is changed afterwards."""
    w = mg.Tensor([1.0, 2.0], name="w")

    def step(x):
        before = np.copy(w.data)
        w.data -= x
        return before

    compiled = mg.compile(step)
    np.testing.assert_array_equal(compiled(np.ones(2)), [1.0, 2.0])
    np.testing.assert_array_equal(w.data, [0.0, 1.0])


# what is no line: constants, numbers repeated, zeros that are filled, what is computed twice


def value(call: Any, *args: Any, **kwargs: Any) -> Value:
    return new_value(call, *args, **kwargs)


def argument(x: Any, name: str = "x") -> Value:
    made = Value(None, (), {}, x)
    made.name = Name(ARGUMENT, name)
    return made


def simplest(*values: Value) -> list[Any]:
    """What values become, in a program that makes all they are made of first."""
    order: dict[Value, None] = {}

    def visit(v: Value) -> None:
        for x in values_in((v.args, v.kwargs)):
            visit(x)
        order[v] = None

    for v in values:
        visit(v)
    simplifier, new = Simplifier(), {}
    for v in order:
        new[v] = simplifier(v, new)
    return [new[v] for v in values]


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_computed_from_constants_is_one(dtype: Any) -> None:
    (three,) = simplest(value(np.add, dtype(1), dtype(2)))
    assert three == 3 and type(three) is dtype
    (ones,) = simplest(value(np.exp, value(np.broadcast_to, dtype(0), (2, 3))))
    assert ones.call is np.full and ones.args == ((2, 3), 1) and ones.dtype == dtype


def test_zeros_of_both_signs_are_no_number_repeated() -> None:
    assert isinstance(symbolic(np.array([0.0, -0.0])), np.ndarray)
    assert symbolic(np.array([-0.0, -0.0])).call is np.full
    assert np.signbit(number(symbolic(np.array([-0.0, -0.0]))))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("call", [np.add, np.multiply, np.maximum, np.power, np.copysign])
def test_a_number_repeated_is_spread_only_as_far_as_needed(call: Any, dtype: Any) -> None:
    x = argument(nasty(dtype))
    for c in nasty(dtype):
        with_array = value(call, x, value(np.broadcast_to, c, (12,)))
        (made,) = simplest(with_array)
        assert not any(isinstance(a, Value) and a.call is np.broadcast_to for a in getattr(made, "args", ()))
        assert same_bits(made.example, with_array.example) and made.dtype == dtype


def test_a_number_that_gives_the_shape_stays_spread() -> None:
    (made,) = simplest(value(np.add, argument(np.ones(())), value(np.broadcast_to, np.float64(2), (3,))))
    assert made.shape == (3,) and made.call is np.full


@pytest.mark.parametrize("index", [..., slice(None), (slice(None), slice(None)), (slice(None), ...)])
def test_zeros_of_which_all_is_assigned_are_what_is_assigned(index: Any) -> None:
    x = argument(nasty(np.float64).reshape(3, 4))
    filled, x_now = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), index, x), x)
    assert filled is x_now


@pytest.mark.parametrize("index", [slice(0, 2), 0, (slice(None), slice(1, 4)), np.array([0, 1, 2])])
def test_zeros_of_which_a_part_is_assigned_stay(index: Any) -> None:
    zeros = np.zeros((3, 4))
    part = argument(np.ones_like(zeros[index]))
    (made,) = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), index, part))
    assert made.call is assigned


def test_zeros_that_are_filled_with_what_is_broadcast_stay() -> None:
    (made,) = simplest(value(assigned, value(np.zeros, (3, 4), np.dtype(float)), ..., argument(np.ones(4))))
    assert made.call is assigned


def test_what_is_computed_twice_is_computed_once() -> None:
    x = argument(np.ones(3))
    a, b, c = simplest(value(np.exp, x), value(np.exp, x), value(np.sin, x))
    assert a is b and a is not c
    first, second = simplest(value(np.sum, x, axis=0), value(np.sum, x, axis=None))
    assert first is not second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.0,), (-0.0,)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        ((np.float32(1),), (np.float64(1),)),
        ((np.array([1, 2]),), (np.array([[1, 2]]),)),
        ((slice(0, 1),), ((0, 1, None),)),
        (([0, 1],), ((0, 1),)),
    ],
)
def test_constants_that_differ_make_different_calls(one: Any, other: Any) -> None:
    assert frozen(one) != frozen(other)
    assert frozen(one) == frozen(one)


def test_what_goes_without_saying_is_not_said() -> None:
    x = argument(np.ones((2, 3)))
    plain, said, initial = simplest(
        value(np.sum, x), value(np.sum, x, axis=None, keepdims=False), value(np.sum, x, initial=0.0)
    )
    assert plain is said and plain is not initial


def test_every_variable_of_a_rule_is_known() -> None:
    named = {name for line in (*EXACT, *ROUGH) for name in variables(line)}
    assert set(VARIABLES) <= named and named <= {*VARIABLES, *WHAT_ELSE, "x", "y"}
