"""Every rule by which a derived function is made simpler, computed both ways, on the values that break such rules."""

import ast
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from derived import same_bits
from program_values import FLOATS, nasty

import minigrad as mg
from minigrad.compiler.program import (
    Value,
    assigned,
    astype,
    examples,
    made_from,
    values_in,
)
from minigrad.compiler.rules import COMMUTATIVE, INEXACT, RULES, VARIABLES
from minigrad.compiler.simplify import Simplifier
from minigrad.compiler.tracer import Trace, Tracer

EXACT, ROUGH = RULES.strip().splitlines(), INEXACT.strip().splitlines()
KINDS = {
    "floats": FLOATS,
    "complex": [np.complex128, np.float64],
    "integers": [np.int64, np.int8, np.float64],
    "unsigned": [np.uint8, np.float64],
    "flags": [bool, np.float64],
}
rng = np.random.default_rng(7)
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")


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
    "newaxes": [(slice(None), None), (None, slice(None)), (slice(None), None, slice(None), None)],
    "dtype": FLOATS,
    "casting": ["same_kind", "unsafe"],
    "order": ["C", "K", "F"],
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
    return trace.input(x, name) if isinstance(x, np.ndarray | np.generic) else x


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
    """np.copy(x) = x and np.positive(x) = x, also of an array that is changed afterwards: values never change."""
    w = mg.Tensor([1.0, 2.0], name="w")

    def step(x):
        before = np.copy(w.data)
        w.data -= x
        return before

    compiled = mg.compile(step)
    np.testing.assert_array_equal(compiled(np.ones(2)), [1.0, 2.0])
    np.testing.assert_array_equal(w.data, [0.0, 1.0])


def test_every_variable_of_a_rule_is_known() -> None:
    named = {name for line in (*EXACT, *ROUGH) for name in variables(line)}
    assert set(VARIABLES) <= named and named <= {*VARIABLES, *WHAT_ELSE, "x", "y"}


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", ">f8", "c16", ">c16"])
def test_a_product_is_the_same_where_matmul_copies_the_matrix(dtype: str) -> None:
    v, M = (rng.normal(size=shape).astype(dtype) for shape in (101, (101, 17)))
    unaligned = np.frombuffer(b"." + M.tobytes(), np.uint8)[1:].view(dtype).reshape(M.shape)
    for matrix in M, unaligned:
        d = mg.derive(lambda v, M: v @ M, v, matrix, wrt=())
        assert same_bits(d(v, matrix), v @ matrix)
