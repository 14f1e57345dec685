"""derive: what it prints reads like the slides, and what it gives is what `value_and_grad` gives, to the last bit."""

import ast
import functools
import random
import re
import types
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import derive_page
import numpy as np
import pytest
import random_programs
from cases import CASES, Case
from derived import arrays_in, assert_same, by_source, same_bits, share_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigrad as mg
from minigrad.tracer import Refused
from minigrad.trees import leaves
from models import network, neuron, softmax, window
from models.window import Parameters, Windows, hinge, objective, score

EPS = np.finfo(float).eps
rng = np.random.default_rng(11)
U, W, b = rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=8)
x, x_c = rng.normal(size=20), rng.normal(size=20)
X = np.array([1.0, 2.0, 3.0])


def J(U, W, b, x, x_c):
    return hinge(score(U, W, b, x), score(U, W, b, x_c))


# what it prints

SCORE = """\
def score(U, W, b, x):
    # U (8,), W (8, 20), b (8,), x (20,): float64
    z = W @ x + b  # shape (8,)
    e = np.exp(np.minimum(z, 709))  # shape (8,)
    total = 1 + e  # shape (8,)
    a = e / total  # ∂s/∂U, shape (8,)
    s = U @ a
    delta = U * a / total  # ∂s/∂z = ∂s/∂b, shape (8,)
    dW = np.outer(delta, x)  # ∂s/∂W, shape (8, 20)
    dx = W.T @ delta  # ∂s/∂x, shape (20,)
    return s, (a, dW, delta, dx)
"""

ONE_CORRUPT_WINDOW = """\
def J(U, W, b, x, x_c):
    # U (8,), W (8, 20), b (8,), x (20,), x_c (20,): float64
    z = W @ x + b  # shape (8,)
    e = np.exp(np.minimum(z, 709))  # shape (8,)
    total = 1 + e  # shape (8,)
    a = e / total  # shape (8,)
    s = U @ a
    z_c = W @ x_c + b  # shape (8,)
    e_c = np.exp(np.minimum(z_c, 709))  # shape (8,)
    total_c = 1 + e_c  # shape (8,)
    a_c = e_c / total_c  # shape (8,)
    s_c = U @ a_c
    m = 1 - s + s_c
    J = np.maximum(m, 0)
    dm = np.where(m > 0, 1, J)  # ∂J/∂m = ∂J/∂s_c
    da_c = dm * U  # ∂J/∂a_c, shape (8,)
    delta_c = da_c * a_c / total_c  # ∂J/∂z_c, shape (8,)
    delta = -da_c * a / total  # ∂J/∂z, shape (8,)
    dU = dm * a_c - dm * a  # ∂J/∂U, shape (8,)
    dW = np.outer(delta_c, x_c) + np.outer(delta, x)  # ∂J/∂W, shape (8, 20)
    db = delta_c + delta  # ∂J/∂b, shape (8,)
    dx = W.T @ delta  # ∂J/∂x, shape (20,)
    dx_c = W.T @ delta_c  # ∂J/∂x_c, shape (20,)
    return J, (dU, dW, db, dx, dx_c)
"""


def test_the_score_reads_like_the_slides() -> None:
    assert mg.derive(score, U, W, b, x).source == SCORE


def test_one_pair_of_windows_reads_like_the_slides() -> None:
    assert mg.derive(J, U, W, b, x, x_c).source == ONE_CORRUPT_WINDOW


def test_a_notebook_shows_the_source() -> None:
    d = mg.derive(score, U, W, b, x)
    assert d._repr_markdown_() == f"```python\n{SCORE}```"
    assert f"{d}\n" == SCORE


def test_it_is_called_what_the_function_is_called() -> None:
    d = mg.derive(score, U, W, b, x)
    assert d.__name__ == "score" and d.__doc__ == score.__doc__


# the parts of a listing


def statements(source: str) -> list[ast.stmt]:
    return next(node for node in reversed(ast.parse(source).body) if isinstance(node, ast.FunctionDef)).body


def walked(d: Any, args: tuple[Any, ...]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each line of a listing, what it assigns to, and all that has a value after it."""
    *_, function = (node for node in ast.parse(d.source).body if isinstance(node, ast.FunctionDef))
    names = [argument.arg for argument in function.args.args]
    scope: dict[str, Any] = {"np": np}
    exec(d.source, scope)
    scope |= dict(zip(names, [*args, *d.latest.captured()], strict=True))
    lines = d.source.splitlines()
    with np.errstate(all="ignore"):
        for statement in function.body[:-1]:
            exec(compile(ast.Module([statement], []), "listing", "exec"), scope)
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(target, ast.Name):
                yield lines[statement.lineno - 1], target.id, scope


def check_comments(d: Any, args: tuple[Any, ...]) -> int:
    """A comment gives the shape of every array that is computed, and no other; how many there were."""
    count = 0
    for line, name, scope in walked(d, args):
        told = re.search(r"# .*?shape (\(.*?\))$", line)
        if isinstance(scope[name], np.ndarray) and scope[name].ndim and not re.match(r"\s*\w+ = \w+[.\[]\S*$", line):
            assert told and ast.literal_eval(told[1]) == scope[name].shape, line
            count += 1
        else:
            assert not told or np.shape(scope[name]) == ast.literal_eval(told[1]), line
    return count


def dead(source: str) -> set[str]:
    """Names that a listing assigns to and never uses."""
    nodes = [node for s in statements(source) for node in ast.walk(s) if isinstance(node, ast.Name)]
    stored = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return stored - {node.id for node in nodes if isinstance(node.ctx, ast.Load)}


NOISE = re.compile(
    r"(?<![\w.\])])1 \* |\* 1(?![\d.\w])|[+-] 0(?![\d.\w]| \*)|/ 1(?![\d.\w])|\*\* 1(?![\d.\w])|--|- -|\+ -"
)


class Watched(ast.NodeTransformer):
    """Lets every reshape and astype of a listing be seen."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "np"
        if method and node.func.attr in ("reshape", "astype"):
            return ast.Call(ast.Name("see", ast.Load()), [node.func.value, node], [])
        return node


def idle(d: Any, args: tuple[Any, ...]) -> int:
    """How many reshapes and changes of dtype change nothing."""
    seen = []

    def see(before: Any, after: Any) -> Any:
        seen.append((np.shape(before), np.result_type(before)) == (np.shape(after), np.result_type(after)))
        return after

    scope = {"np": np, "see": see}
    tree = ast.fix_missing_locations(Watched().visit(ast.parse(d.source)))
    with np.errstate(all="ignore"):
        exec(compile(tree, "listing", "exec"), scope)
        scope[d.latest.program.name](*args, *d.latest.captured())
    return sum(seen)


def check_listing(d: Any, args: tuple[Any, ...]) -> None:
    assert not dead(d.source), d
    assert not NOISE.search(re.sub(r"#.*", "", d.source)), d
    assert not idle(d, args), d
    check_comments(d, args)


def layers_of(*widths: int) -> list[Any]:
    return [(V, rng.normal(size=c.shape)) for V, c in network.initial(widths, rng)]


IDS, CASE_IDS = rng.integers(0, 30, (6, 5)), rng.integers(0, 3, (6, 5))
CORRUPT, CORRUPT_CASES = rng.integers(0, 30, (6, 3, 5)), rng.integers(0, 3, (6, 3, 5))
ALL = Parameters(U, rng.normal(size=(8, 30)), b, rng.normal(size=(30, 4)), rng.normal(size=(3, 2)))
TRUE, FALSE = Windows(IDS, CASE_IDS), Windows(CORRUPT, CORRUPT_CASES)

MODELS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "score": (score, (U, W, b, x)),
    "J": (J, (U, W, b, x, x_c)),
    "scores": (lambda U, W, b, X: mg.sum(window.scores(U, W, b, X) ** 2), (U, W, b, rng.normal(size=(5, 20)))),
    "objective": (objective, (ALL, TRUE, FALSE)),
    "neuron": (neuron.neuron, (rng.normal(size=4), np.float64(0.5), rng.normal(size=4))),
    "log loss": (
        lambda w, b, X, y: neuron.log_loss(neuron.neuron(w, b, X), y),
        (rng.normal(size=4), np.float64(0.5), rng.normal(size=(6, 4)), np.arange(6) % 2),
    ),
    "softmax": (softmax.loss, (rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), np.array([0, 1, 2, 2, 0]))),
    **{
        f"network {f}": (
            lambda layers, x, f: mg.sum(network.network(layers, x, f) ** 2),
            (layers_of(4, 5, 3, 2), rng.normal(size=4), f),
        )
        for f in network.activations
    },
    "network of a batch": (
        lambda layers, X: mg.mean(network.network(layers, X) ** 2),
        (layers_of(4, 5, 2), rng.normal(size=(6, 4))),
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)


def differentiated(args: tuple[Any, ...]) -> tuple[int, ...]:
    """The arguments that hold floating-point arrays and nothing else."""
    return tuple(i for i, a in enumerate(args) if leaves(a) and all(map(is_floating, leaves(a))))


def is_floating(x: Any) -> bool:
    return isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind in "fc"


def expected(f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What derive has to give, by the engine."""
    numbers = differentiated(args)
    value, found = mg.value_and_grad(f, numbers)(*args)
    return value, found[0] if len(numbers) == 1 else found


@every_model
def test_a_model_is_the_engines_to_the_last_bit(name: str) -> None:
    f, args = MODELS[name]
    d = mg.derive(f, *args)
    assert_same(d(*args), expected(f, args))
    assert not share_memory(d(*args), args)
    if name != "objective":
        assert_same(by_source(d, *args), expected(f, args))


@pytest.mark.parametrize("name", ["J", "objective", "softmax", "network of a batch"])
def test_a_model_by_numba(name: str) -> None:
    """All of it, or there would be a warning."""
    pytest.importorskip("numba")
    f, args = MODELS[name]
    d = mg.derive(f, *args, backend="numba")
    for got, wanted in zip(leaves(d(*args)), leaves(expected(f, args)), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-12, atol=1e-15)


@every_model
def test_a_model_reads_well(name: str) -> None:
    f, args = MODELS[name]
    check_listing(mg.derive(f, *args), args)


@every_model
def test_a_model_is_no_longer_than_its_work(name: str) -> None:
    """Nothing is written twice: no two lines of a listing have the same right side."""
    formulas = [
        line.split("#")[0].split(" = ")[1].strip()
        for line in mg.derive(*flat(name)).source.splitlines()
        if " = " in line
    ]
    assert [f for f, n in Counter(formulas).items() if n > 1 and "zeros" not in f] == []


def flat(name: str) -> tuple[Any, ...]:
    f, args = MODELS[name]
    return f, *args


@every_model
def test_comments_say_what_a_line_is_the_gradient_by(name: str) -> None:
    """∂J/∂W in a comment, W an argument: the line holds the gradient that the engine gives."""
    f, args = MODELS[name]
    d = mg.derive(f, *args)
    names = d.latest.program.parameters
    numbers = differentiated(args)
    known = dict(zip([names[i] for i in numbers], mg.grad(f, numbers)(*args)))
    for line, target, scope in walked(d, args):
        for by in re.findall(r"∂\w+/∂(\w+)", line.partition("# ")[2]):
            if isinstance(known.get(by), np.ndarray | np.generic):
                assert same_bits(scope[target], known[by]), line


def test_the_source_of_the_objective_gives_rows_to_add() -> None:
    """Pasted elsewhere it gives a dict, and for word vectors pairs of row numbers and rows."""
    d = mg.derive(objective, ALL, TRUE, FALSE)
    value, gradients = by_source(d, ALL, TRUE, FALSE)
    right_value, right, *_ = expected(objective, (ALL, TRUE, FALSE))
    assert value == right_value and list(gradients) == ["U", "W", "b", "L", "C"]
    for key, g in gradients.items():
        assert_same(g, getattr(right, key))
    assert type(d(ALL, TRUE, FALSE)[1]) is Parameters


def test_an_unused_argument_has_no_part_in_the_listing() -> None:
    d = mg.derive(lambda x, y: np.sum(x), X, X)
    assert "y (" not in d.source
    assert_same(d(X, X), (np.float64(6.0), (np.ones(3), np.zeros(3))))


def test_names_of_variables_are_kept() -> None:
    def f(weights, rate):
        energy = weights @ weights
        cooled = np.exp(-rate * energy)
        return np.log(cooled + 1)

    d = mg.derive(f, X, 0.5)
    for name in ("weights", "rate", "energy", "cooled"):
        assert re.search(rf"\b{name}\b", d.source)
    assert "∂f/∂weights" in d.source and "∂f/∂rate" in d.source


def test_no_name_hides_another() -> None:
    """Variables called like Python's words, like NumPy and like each other."""

    def f(sum, np_, list):
        e = mg.exp(sum)
        d = mg.exp(np_ * e)
        return mg.sum(d * list)

    args = X / 9, X / 8, X / 7
    d = mg.derive(f, *args)
    assert_same(by_source(d, *args), expected(f, args))


def test_reused_names_are_told_apart() -> None:
    def f(x):
        for _ in range(3):
            x = np.sin(x) * x
        return np.sum(x)

    d = mg.derive(f, X)
    assigned = [name for _, name, _ in walked(d, (X,))]
    assert len(assigned) == len(set(assigned)) and "x" not in assigned
    assert_same(by_source(d, X), expected(f, (X,)))


# every op

every_case = pytest.mark.parametrize("case", CASES, ids=str)

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
}
REASONS = re.compile(r"depends on values|was asked for")


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


@every_case
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


@pytest.mark.parametrize("case", [c for c in CASES if c.op.__name__ not in ("float_power", "astype")][::4], ids=str)
def test_ops_in_single_precision(case: Case) -> None:
    def single(x: Any) -> Any:
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


# the slides' models, for any values

sizes = st.integers(1, 4)


def values(*shape, bound=3.0):
    return arrays(float, shape, elements=st.floats(-bound, bound))


def close(found: Any, by_hand: Any, magnitude: float, ulp: float = 16) -> None:
    scale = max(np.max(np.abs(by_hand), initial=0.0), magnitude)
    assert np.shape(found) == np.shape(by_hand)
    assert np.max(np.abs(np.asarray(found) - by_hand), initial=0.0) <= ulp * EPS * scale


@st.composite
def scorers(draw, pairs=1):
    H, n = draw(sizes), draw(sizes)
    return [draw(values(H)), draw(values(H, n)), draw(values(H)), *(draw(values(n)) for _ in range(pairs))]


few = settings(max_examples=30)


@given(scorers())
@few
def test_score(args):
    value, found = mg.derive(score, *args)(*args)
    assert_same((value, found), expected(score, tuple(args)))
    for g, h in zip(found, window.score_by_hand(*args).values(), strict=True):
        close(g, h, magnitude=100)


@given(scorers(pairs=2))
@few
def test_hinge(args):
    value, found = mg.derive(J, *args)(*args)
    assert_same((value, found), expected(J, tuple(args)))
    for g, h in zip(found, window.hinge_by_hand(*args).values(), strict=True):
        close(g, h, magnitude=100)


@given(sizes, sizes, st.data())
@few
def test_neuron(N, n, data):
    w, b, X = data.draw(values(n)), data.draw(values()), data.draw(values(N, n))
    y = data.draw(arrays(float, N, elements=st.sampled_from([0.0, 1.0])))
    found = mg.derive(neuron.neuron, w, b, X[0])(w, b, X[0])
    assert_same(found, expected(neuron.neuron, (w, b, X[0])))
    for g, h in zip(found[1], neuron.neuron_by_hand(w, b, X[0]).values(), strict=True):
        close(g, h, magnitude=10)

    def loss(w, b):
        return neuron.log_loss(neuron.neuron(w, b, X), y)

    args = 0.1 * w, 0.1 * b
    found = mg.derive(loss, *args)(*args)
    assert_same(found, expected(loss, args))
    for g, h in zip(found[1], neuron.log_loss_by_hand(*args, X, y).values(), strict=True):
        close(g, h, magnitude=1000 * N)


@given(st.lists(sizes, min_size=2, max_size=5), st.sampled_from(list(network.activations)), st.integers(0, 99))
@few
def test_network(widths, f, seed):
    rng = np.random.default_rng(seed)
    layers = [(V, rng.normal(size=c.shape)) for V, c in network.initial(widths, rng)]
    x, g = rng.normal(size=widths[0]), rng.normal(size=widths[-1])
    value, (found, dx) = mg.derive(network.network, layers, x, f)(layers, x, f, gradient=g)
    assert_same(value, network.network(layers, x, f))
    assert_same((found, dx), mg.vjp(lambda layers, x: network.network(layers, x, f), layers, x)[1](g))
    by_hand, dx_by_hand = network.network_by_hand(layers, x, g, f)
    close(dx, dx_by_hand, magnitude=10)
    for pair, pair_by_hand in zip(found, by_hand, strict=True):
        for one, other in zip(pair, pair_by_hand, strict=True):
            close(one, other, magnitude=10)


@given(sizes, sizes, sizes, st.data())
@few
def test_softmax(N, k, m, data):
    V, A = data.draw(values(k, m)), data.draw(values(N, m))
    y = data.draw(arrays(np.intp, N, elements=st.integers(0, k - 1)))
    found = mg.derive(softmax.loss, V, A, y)(V, A, y)
    assert_same(found, expected(softmax.loss, (V, A, y)))
    for g, h in zip(found[1], softmax.loss_by_hand(V, A, y).values(), strict=True):
        close(g, h, magnitude=10)


@st.composite
def objectives(draw):
    N, K, H, d, V, cases = (draw(st.integers(1, 3)) for _ in range(6))
    width = draw(st.sampled_from([1, 3]))
    n = width * (d + cases)
    params = Parameters(*(draw(values(*shape)) for shape in [(H,), (H, n), (H,), (V, d), (3, cases)]))

    def windows(*shape):
        words = draw(arrays(np.intp, (*shape, width), elements=st.integers(0, V - 1)))
        return Windows(words, draw(arrays(np.intp, (*shape, width), elements=st.integers(0, 2))))

    return params, windows(N), windows(N, K)


@given(objectives())
@few
def test_objective(drawn):
    found = mg.derive(objective, *drawn)(*drawn)
    assert_same(found, expected(objective, drawn))
    by_hand = window.objective_by_hand(*drawn)
    count = drawn[1].words.shape[0] * (1 + drawn[2].words.shape[1])
    for name in ("U", "W", "b", "L", "C"):
        close(getattr(found[1], name), getattr(by_hand, name), magnitude=100.0 * count)


# memory


def test_writing_into_a_gradient_changes_nothing_else() -> None:
    """Where two gradients are the same, or an argument itself, each comes as an array of its own."""

    def f(x, y):
        return np.sum(x + y) + np.sum(x * y)

    d = mg.derive(f, X, X + 1)
    args = X.copy(), X + 1
    for i in range(2):
        value, found = d(*args)
        right = [g.copy() for g in found]
        found[i][...] = 99
        assert same_bits(found[1 - i], right[1 - i])
        assert same_bits(args[0], X) and same_bits(args[1], X + 1)
        assert_same(d(*args), (value, tuple(right)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[::-1],
        lambda x: np.reshape(x, (1, 3)),
        lambda x: (x, x),
        lambda x: [x[:2], x[1:]],
        lambda x: {"a": np.broadcast_to(x, (2, 3)), "b": np.sin(x)},
    ],
)
def test_values_are_arrays_of_their_own(f: Callable[..., Any]) -> None:
    x = X.copy()
    d = mg.derive(f, x, wrt=())
    found = d(x)
    assert_same(found, f(x))
    assert not share_memory(found, x)
    for y in arrays_in(found):
        y[...] = 99
    assert same_bits(x, X)


# what it reaches beside its arguments

scale = 2.0  # a global of the functions below


def test_rows_share_no_memory_with_what_else_is_given() -> None:
    table, b, seed, ids = np.ones((4, 2)), np.ones((3, 2)), np.ones((3, 2)), np.array([1, 2, 2])
    for f, args in (
        (lambda table, b: mg.tanh(mg.embedding(table, ids) + b), (table, b)),
        (lambda b, table: mg.tanh(mg.embedding(table, ids) + b), (b, table)),
        (lambda table: mg.embedding(table, ids), (table,)),
    ):
        d = mg.derive(f, *args)
        assert not share_memory(d(*args, gradient=seed), [*args, seed, ids])


def test_numbers_and_arrays_of_the_closure_count_when_they_change() -> None:
    weights, factor = np.ones(3), 3.0

    def f(x):
        return np.sum(x * weights) * factor * scale

    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    weights[1] = 5.0  # in place
    assert_same(d(X), expected(f, (X,)))
    weights, factor = np.array([3.0, 1.0, -1.0]), -1.5  # and others
    assert_same(d(X), expected(f, (X,)))
    assert len(d.cache) == 1 and "weights" in d.source and "factor" in d.source


def test_globals_count_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x):
        return np.sum(x) * scale

    d = mg.derive(f, X)
    before = d(X)[0]
    monkeypatch.setitem(globals(), "scale", 5.0)
    assert d(X)[0] == 2.5 * before == f(X)


def test_flags_numbers_and_lists_count_when_they_change() -> None:
    squared, times, parts, kind = True, 2, [np.ones(3)], "sin"

    def f(x):
        y = x * x if squared else x
        for _ in range(times):
            y = np.sin(y) if kind == "sin" else np.cos(y)
        for part in parts:
            y = y + part * x
        return np.sum(y)

    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    squared = False
    assert_same(d(X), expected(f, (X,)))
    times = 4
    assert_same(d(X), expected(f, (X,)))
    kind = "cos"
    assert_same(d(X), expected(f, (X,)))
    parts.append(np.array([0.0, 1.0, 2.0]))
    assert_same(d(X), expected(f, (X,)))
    parts[0] = np.full(3, 7.0)
    assert_same(d(X), expected(f, (X,)))
    del parts[0]
    assert_same(d(X), expected(f, (X,)))


def test_arrays_of_another_shape_or_dtype_count() -> None:
    weights = np.ones(3)

    def f(x):
        return np.sum(x * weights)

    d = mg.derive(f, X)
    for weights in (np.ones((2, 3)), np.ones(3, np.float32), np.arange(3), np.ones(3)):  # noqa: B007
        assert_same(d(X), expected(f, (X,)))


def exchange(x: Any, key: Any, new: Any, at: Any) -> None:
    del x[key]
    x[at] = new


@pytest.mark.parametrize(
    ("held", "f", "change"),
    [
        ([[np.ones(2)], [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[1].append(np.ones(2))),
        ([[np.ones(2)] * 2, [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[0].pop()),
        ([[], [np.ones(2)]], lambda x, h: x + sum(map(sum, h)), lambda h: h[0].append(np.ones(2))),
        ([(np.ones(2),)], lambda x, h: x if h[0] is None else x + h[0][0], lambda h: h.__setitem__(0, None)),
        ({"a": 1.0, "b": 2.0}, lambda x, h: x * list(h.values())[1], lambda h: exchange(h, "a", 3.0, "a")),
        ({"a": 1.0, "b": 2.0}, lambda x, h: x * list(h.values())[1], lambda h: exchange(h, "b", 3.0, "c")),
        ([np.float64(2.0)], lambda x, h: x if h[0] is None else x * h[0], lambda h: h.__setitem__(0, None)),
        ([np.ones(2)], lambda x, h: x * h[0], lambda h: h.__setitem__(0, [2.0, 3.0])),
        ([np.ones(2)], lambda x, h: x * h[0], lambda h: h.__setitem__(0, mg.Tensor([2.0, 3.0]))),
        ([np.ones(2)], lambda x, h: x / len(h[0]), lambda h: h.__setitem__(0, np.ones(3))),
        ([2.5], lambda x, h: x * (2 if h[0] is None else 3), lambda h: h.__setitem__(0, None)),
        ([2], lambda x, h: x * h[0], lambda h: h.__setitem__(0, np.arange(2.0))),
        ([np.arange(2)], lambda x, h: x * 2 if h[0] is None or h[0][1] else x, lambda h: h.__setitem__(0, None)),
    ],
)
def test_what_stands_in_containers_may_become_anything(held: Any, f: Any, change: Any) -> None:
    d = mg.derive(lambda x: f(x, held), np.ones(2), wrt=())
    change(held)
    assert same_bits(d(np.arange(2.0)), mg.stop_gradient(f(np.arange(2.0), held)))
    assert same_bits(d(np.ones(2)), mg.stop_gradient(f(np.ones(2), held)))


def test_attributes_that_come_and_go_count() -> None:
    model = types.SimpleNamespace(a=np.ones(2))
    f = lambda x: x * (model.a if hasattr(model, "a") else model.b)  # noqa: E731
    d = mg.derive(f, np.ones(2), wrt=())
    del model.a
    model.b = np.arange(2.0)
    assert same_bits(d(np.ones(2)), np.arange(2.0))


def test_the_line_that_cannot_be_is_named() -> None:
    """Not one that fails when what the closure holds is given as numbers, as the value depends on an argument too."""
    table = mg.Tensor(np.ones((3, 2)))

    def f(ids: Any) -> Any:
        rows = mg.embedding(table, ids)
        return float(mg.sum(rows))

    with pytest.raises(Refused, match=r"was asked for in f, line .*`return float"):
        mg.derive(f, np.array([1, 2]))


def test_objects_and_functions_that_are_called_count() -> None:
    class Scaled:
        def __init__(self) -> None:
            self.by, self.power, self.w = 2.0, 2, np.ones(3)

        def __call__(self, x: Any) -> Any:
            return inner(x, self) * self.by

    def inner(x: Any, model: Any) -> Any:
        return np.sum(x**model.power * model.w)

    model = Scaled()
    d = mg.derive(model, X)
    assert_same(d(X), expected(model, (X,)))
    model.by, model.w = 3.0, X + 1
    assert_same(d(X), expected(model, (X,)))
    model.power = 3
    assert_same(d(X), expected(model, (X,)))
    bound = mg.derive(model.__call__, X)
    model.by = -1.0
    assert_same(bound(X), expected(model, (X,)))


def test_defaults_count() -> None:
    def f(x, k=3.0, *, shift=np.ones(3)):
        return np.sum(x * k + shift)

    assert_same(mg.derive(f, X)(X), expected(f, (X,)))
    assert_same(by_source(mg.derive(f, X), X), expected(f, (X,)))


def test_tensors_of_the_closure_are_constants_here() -> None:
    t = mg.Tensor(X, name="t")

    def f(x):
        return np.sum(x * t)

    value, g = mg.derive(f, X)(X)
    assert value == 14.0 and same_bits(g, X) and t.grad is None


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
    (shown, "the value of the argument x (3,)", "print(x)"),
]


@pytest.mark.parametrize(("f", "what", "where"), REFUSALS, ids=lambda x: getattr(x, "__name__", ""))
def test_what_python_decides_on_values_is_refused(f: Callable[..., Any], what: str, where: str) -> None:
    """The message names the op, the function, the line, and what is written there; and says what to write instead."""
    with pytest.raises(Refused) as refusal:
        mg.derive(f, X)
    message = str(refusal.value)
    assert what in message and where in message and "mg.where(" in message
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


def test_random_numbers_are_refused_and_not_used_up() -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises(Refused, match=r"random numbers were drawn.*pass them as arguments"):
        mg.derive(lambda x: np.sum(x * rng.normal(size=3)), X)
    assert rng.bit_generator.state == state
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.derive(lambda x: np.sum(x * np.random.rand(3)), X)


def test_writing_into_an_argument_is_refused() -> None:
    def f(x):
        x[0] = 1.0
        return np.sum(x)

    args = X.copy()
    with pytest.raises(Refused, match="the argument x was written into; compute a new array instead"):
        mg.derive(f, args, wrt=())
    assert same_bits(args, X)

    def g(x):
        x += 1
        return np.sum(x)

    with pytest.raises(Refused, match="the argument x was written into"):
        mg.derive(g, args, wrt=())
    assert same_bits(args, X)


def test_effects_are_refused_and_undone() -> None:
    """Arrays, numbers, lists and attributes that f changes are what they were: derive is for functions."""
    array, counts, calls = np.ones(3), [0], 0

    class Model:
        mean = np.zeros(3)

    model = Model()
    model.mean = np.zeros(3)

    def writes(x):
        array[0] += 1
        return np.sum(x * array)

    def counting(x):
        counts[0] += 1
        return np.sum(x)

    def rebinds(x):
        nonlocal calls
        calls += 1
        return np.sum(x)

    def remembers(x):
        model.mean = np.copy(array) * 2
        return np.sum(x)

    for f, name in ((writes, "array"), (counting, "counts0"), (rebinds, "calls"), (remembers, "mean")):
        with pytest.raises(Refused, match=f"a function without effects, got one that changes {name}; see mg.compile"):
            mg.derive(f, X)
    assert same_bits(array, np.ones(3)) and counts == [0] and calls == 0
    assert type(array) is type(model.mean) is np.ndarray and same_bits(model.mean, np.zeros(3))


def test_a_value_that_is_stored_is_refused_and_removed() -> None:
    kept: list[Any] = []

    def f(x):
        kept.append(np.sin(x))
        return np.sum(x)

    with pytest.raises(Refused, match="something was stored in a list"):
        mg.derive(f, X)
    assert kept == []


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.concatenate([x, x * 2], axis=None),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.take_along_axis(x, np.array([1, 0]), axis=None) * x.shape[0],
        lambda x: np.concatenate(np.stack([x, x]) * 2) + np.sum(x, axis=None),
        lambda x: np.transpose(x * 2, axes=(0, 1)) + x,
    ],
)
def test_keywords_that_are_the_default_of_other_functions(f: Callable[..., Any]) -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert same_bits(mg.derive(f, x, wrt=())(x), f(x))


def test_what_is_captured_is_afterwards_the_very_same() -> None:
    array, number, parts, table = np.ones(3), 2.0, [np.ones(3), 1.5], {"a": np.ones(3), "b": (np.zeros(3), 4.0)}
    before = array, number, parts[0], parts[1], table["a"], table["b"]
    error = True

    def f(x):
        y = np.sum(x * array * parts[0] * table["a"] + table["b"][0]) * number * parts[1] * table["b"][1]
        return float(y) if error else y

    with pytest.raises(Refused):
        mg.derive(f, X)
    assert all(p is q for p, q in zip(before[:5], (array, number, parts[0], parts[1], table["a"])))
    error = False
    mg.derive(f, X)
    assert all(p is q for p, q in zip(before[:5], (array, number, parts[0], parts[1], table["a"])))
    assert table["b"][0] is before[5][0] and table["b"][1] is before[5][1]


def test_an_error_of_the_function_passes_and_leaves_nothing_behind() -> None:
    array = np.ones(3)

    def f(x):
        raise ZeroDivisionError(f"{np.shape(x * array)}")

    with pytest.raises(ZeroDivisionError):
        mg.derive(f, X)
    assert type(array) is np.ndarray and not mg.mode.mode.tracing
    assert np.sum(mg.Tensor(X)).item() == 6.0


# for which arguments


def test_the_cache_is_seen_and_limited() -> None:
    d = mg.derive(lambda x: np.sum(x * x), X)
    assert len(d.cache) == 1
    d(X + 1)
    assert len(d.cache) == 1
    d(np.ones(4))
    d(np.ones(3, np.float32))
    assert len(d.cache) == 3
    for n in range(5, 30):
        d(np.ones(n))
    assert len(d.cache) == 8
    assert d(X)[0] == 14.0


def test_flags_that_come_and_go_do_not_fill_the_memory() -> None:
    n = 0

    def f(x):
        y = x
        for _ in range(n):
            y = y * x
        return np.sum(y)

    d = mg.derive(f, X)
    for n in range(20):  # noqa: B007
        assert d(X)[0] == f(X)
    assert sum(map(len, d.cache.values())) <= 8


def test_pinned_to_its_shapes() -> None:
    d = mg.derive(lambda x, y: np.sum(x * y), X, X, pinned=True)
    assert d(X, X)[0] == 14.0
    with pytest.raises(
        TypeError, match=re.escape("was derived for x (3,) float64, y (3,) float64, got x (4,) float64")
    ):
        d(np.ones(4), np.ones(4))
    with pytest.raises(TypeError, match="float32"):
        d(X.astype(np.float32), X)
    assert len(d.cache) == 1


def two(x, y):
    return np.sum(x * y * y)


@pytest.mark.parametrize(
    ("wrt", "numbers", "bare"),
    [
        (0, (0,), True),
        (1, (1,), True),
        (-1, (1,), True),
        ("y", (1,), True),
        ("x", (0,), True),
        ((0,), (0,), False),
        ((1, 0), (1, 0), False),
        (("y", "x"), (1, 0), False),
        (["x"], (0,), False),
        (None, (0, 1), False),
    ],
)
def test_which_to_differentiate_by(wrt: Any, numbers: tuple[int, ...], bare: bool) -> None:
    value, right = mg.value_and_grad(two, numbers)(X, X + 1)
    assert_same(mg.derive(two, X, X + 1, wrt=wrt)(X, X + 1), (value, right[0] if bare else right))


def test_by_nothing_gives_the_value_alone() -> None:
    d = mg.derive(lambda x, y: {"sum": x + y, "both": [x * y, 2]}, X, X, wrt=())
    assert_same(d(X, X + 1), {"sum": X + X + 1, "both": [X * (X + 1), 2]})
    assert mg.derive(lambda x: 2 * x, 1.5, wrt=())(2.5) == 5.0


@pytest.mark.parametrize(
    ("wrt", "message"),
    [
        (2, "wrt=2 needs an argument 2, got the arguments x, y"),
        (-3, "wrt=-3 needs an argument -3, got the arguments x, y"),
        ("z", "wrt='z' needs an argument z, got the arguments x, y"),
        (("x", "z"), "needs an argument z"),
    ],
)
def test_an_argument_that_is_not_there(wrt: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        mg.derive(two, X, X, wrt=wrt)


def test_whole_numbers_have_no_gradient() -> None:
    with pytest.raises(
        TypeError, match=re.escape("wrt=1 needs floating-point arrays in y, got (3,) int64; use x.astype(float)")
    ):
        mg.derive(two, X, np.arange(3), wrt=1)
    _value, g = mg.derive(two, X, np.arange(3))(X, np.arange(3))
    assert_same(g, mg.grad(two)(X, np.arange(3)))


def test_several_values_have_no_gradient() -> None:
    with pytest.raises(TypeError, match="one array as the value, got a tuple; derive each, or use wrt="):
        mg.derive(lambda x: (x, x), X)


def test_a_value_that_is_no_number_takes_its_gradient() -> None:
    def f(x, y):
        return np.outer(np.sin(x), y)

    d = mg.derive(f, X, X)
    assert "gradient" in d.source
    g = rng.normal(size=(3, 3))
    value, found = d(X, X + 1, gradient=g)
    assert_same(value, f(X, X + 1))
    assert_same(found, mg.vjp(f, X, X + 1)[1](g))
    with pytest.raises(
        ValueError, match=re.escape("the value has shape (3, 3), so its pullback is derived: call it with gradient=")
    ):
        d(X, X)


def test_complex_numbers() -> None:
    z = np.array([1 + 2j, -0.5 + 0.1j, 3 - 1j])

    def f(z, w):
        return np.sum(np.abs(z * np.exp(w)) ** 2) + np.sum(np.real(z * w))

    d = mg.derive(f, z, z[::-1].copy())
    assert_same(d(z, z * 1j), expected(f, (z, z * 1j)))
    assert_same(by_source(d, z, z * 1j), expected(f, (z, z * 1j)))


def test_single_precision_stays() -> None:
    args = tuple(a.astype(np.float32) for a in (U, W, b, x))
    d = mg.derive(score, *args)
    value, found = d(*args)
    assert {a.dtype for a in (value, *found)} == {np.dtype(np.float32)} and "float64" not in d.source
    assert_same((value, found), expected(score, args))
    assert_same(by_source(d, *args), expected(score, args))


def test_pythons_numbers_are_numbers() -> None:
    def f(x, k):
        return np.sum(np.sin(x) * k) + k**3

    for k in (2.0, np.float64(2.0), np.array(2.0)):
        d = mg.derive(f, X, k)
        assert_same(d(X, k), expected(f, (X, k)))
        assert_same(by_source(d, X, k), expected(f, (X, k)))
    single = X.astype(np.float32)
    assert_same(mg.derive(f, single, 2.0, wrt=0)(single, 2.0), mg.value_and_grad(f, 0)(single, 2.0))


def test_arguments_by_name() -> None:
    def f(x, n=2, *, k, how="sum"):
        y = x**n * k
        return np.sum(y) if how == "sum" else np.mean(y)

    d = mg.derive(f, X, n=3, k=2.0, how="mean")
    value, (dx, dk) = d(X, n=3, k=2.0, how="mean")
    assert value == f(X, 3, k=2.0, how="mean")
    assert_same(dx, mg.grad(lambda x: f(x, 3, k=2.0, how="mean"))(X))
    assert_same(dk, np.float64(mg.grad(lambda k: f(X, 3, k=k, how="mean"))(2.0)))
    assert d(X, n=2, k=2.0, how="sum")[0] == f(X, k=2.0) and len(d.cache) == 2


def test_any_number_of_arguments() -> None:
    def f(*parts, **named):
        y = parts[0] * 0.5
        for part in parts[1:]:
            y = y + part * named["k"]
        return np.sum(y * y)

    d = mg.derive(f, X, X, X, k=3.0)
    value, found = d(X, X + 1, X + 2, k=2.0)
    assert len(found) == 4
    assert_same((value, found[:3]), mg.value_and_grad(lambda *p: f(*p, k=2.0), (0, 1, 2))(X, X + 1, X + 2))


def test_rough_rules_are_for_those_who_ask() -> None:
    def f(x):
        return np.sum(-(x - 1) * x + 0)

    exact, rough = mg.derive(f, X), mg.derive(f, X, exact=False)
    assert "(0 - " in exact.source and "0 - " not in rough.source
    assert_same(exact(X), expected(f, (X,)))
    for found, right in zip(rough(X), expected(f, (X,))):
        np.testing.assert_allclose(found, right, rtol=1e-15)


def test_a_line_of_a_derived_function_is_found_by_tracebacks() -> None:
    d = mg.derive(lambda x, y: np.sum(x[y]), X, np.array([0, 1]))
    with pytest.raises(IndexError) as error:
        d(X, np.array([0, 7]))
    assert any("<derived" in str(entry.path) for entry in error.traceback)


def test_a_backend_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="backend needs to be one of numpy, numba, got 'torch'"):
        mg.derive(two, X, X, backend="torch")


def test_the_page_is_what_derive_gives() -> None:
    assert derive_page.PAGE.read_text(encoding="utf-8") == derive_page.page(), "run python tests/derive_page.py"


SCALE = 2.0


class Scaled:
    rate = np.array([1.0, 2.0, 3.0])

    def __init__(self) -> None:
        self.rows = [[np.ones(3)], [np.ones(3)]]
        self.power: Any = 2

    def __call__(self, x: Any) -> Any:
        return np.sum(SCALE * self.rate * self.rows[0][0] * x**self.power)


def test_what_an_object_its_class_and_its_methods_reach_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Scaled(), np.array([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return model(x)

    d = mg.derive(f, x)

    def follows() -> None:
        assert_same(d(x), mg.value_and_grad(f)(x))

    follows()
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    follows()
    monkeypatch.setattr(Scaled, "rate", np.array([3.0, 2.0, 1.0]))
    follows()
    model.rows[0] = [np.array([7.0, 8.0, 9.0])]
    follows()
    model.power = 3
    follows()
    model.power = True
    follows()


def test_a_python_number_that_is_differentiated_by_is_a_float64() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x * y)

    x = np.ones(3, np.float32)
    assert_same(mg.derive(f, x, 0.1)(x, 0.3), mg.value_and_grad(f, (0, 1))(x, 0.3))


# what is reached, and how


def follows(f: Callable[..., Any], *changes: Callable[[], Any]) -> Any:
    """derive gives what the engine gives, also after each of some changes outside of f."""
    d = mg.derive(f, X)
    assert_same(d(X), expected(f, (X,)))
    for change in changes:
        change()
        assert_same(d(X), expected(f, (X,)))
    return d


def test_functions_that_share_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.ones(3)

    def inner(x):
        return x * w * scale

    def f(x):
        return np.sum(inner(x) * w) * scale

    d = follows(f, lambda: w.__setitem__(0, 5.0), lambda: monkeypatch.setitem(globals(), "scale", 3.0))
    assert d.latest.program.name == "f" and "def f(x, w, scale):" in d.source and len(d.cache) == 1


def test_what_stands_in_a_module_of_the_users_counts() -> None:
    config, inner = types.ModuleType("config"), types.ModuleType("inner")
    exec("rate, n = 2.0, 2\ndef scaled(x): return x * rate * offset\noffset = 1.5", vars(config))
    config.inner, inner.config, inner.w = inner, config, np.ones(3)  # type: ignore[attr-defined]
    scope = {"config": config, "np": np}
    exec("def f(x): return np.sum(config.scaled(x) ** config.n * config.inner.w)", scope)
    d = follows(
        scope["f"],  # type: ignore[arg-type]
        lambda: setattr(config, "rate", 5.0),
        lambda: setattr(config, "offset", 2.5),
        lambda: setattr(inner, "w", X),
        lambda: setattr(config, "n", 3),
    )
    assert "def f(x, w, offset, rate):" in d.source


class Config:
    rate, times, w, widths = 0.5, 2, np.ones(3), (1, 2)
    t = mg.Tensor([1.0, 2.0, 3.0])

    @property
    def doubled(self) -> Any:
        return 2 * self.rate * SCALE

    @staticmethod
    def shifted(x: Any) -> Any:
        return x + SCALE

    @classmethod
    def scaled(cls, x: Any) -> Any:
        return cls.rate * x * SCALE


def test_what_stands_in_a_class_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x):
        return np.sum(x * Config.rate * Config.w**Config.times * Config.t.data) * sum(Config.widths)

    def change(name: str, v: Any) -> Callable[[], None]:
        return lambda: monkeypatch.setattr(Config, name, v)

    follows(f, change("rate", 3.0), change("times", 3), change("w", X), change("widths", (4,)))
    config = Config()

    def g(x):
        return np.sum(config.shifted(config.scaled(x))) * config.doubled

    follows(g, lambda: monkeypatch.setitem(globals(), "SCALE", 5.0), lambda: setattr(config, "rate", 7.0))


def test_attributes_of_functions_and_in_slots_count() -> None:
    @dataclass(slots=True)
    class Model:
        w: Any
        n: int

    model = Model(np.ones(3), 2)

    def f(x):
        return np.sum(model.w * x**model.n) * f.rate

    f.rate = 2.0
    follows(f, lambda: setattr(f, "rate", 3.0), lambda: setattr(model, "w", X), lambda: setattr(model, "n", 3))


def test_what_a_deque_a_set_and_a_partial_hold_counts() -> None:
    recent, chosen, model = deque([np.ones(3), 2.0], maxlen=2), {1, 2}, types.SimpleNamespace(scale=2.0)

    def f(model, x, k):
        y = np.sum(x * recent[0] * recent[1]) * model.scale * k
        return y * x[0] if 3 in chosen else y

    follows(
        part := functools.partial(f, model, k=2.0),
        lambda: recent.append(3.0) or recent.appendleft(X),  # type: ignore[func-returns-value]
        lambda: chosen.add(3),
        lambda: setattr(model, "scale", -1.0),
        lambda: part.keywords.update(k=3.0),
    )
    with pytest.raises(Refused, match="an array in a functools"):
        mg.derive(functools.partial(f, 1.0), X)


def test_an_array_that_python_decides_on_counts() -> None:
    flags = np.array([1.0, -1.0, np.nan])

    def f(x):
        y = x
        for flag in flags:
            y = y * x if flag > 0 else y
        return np.sum(y)

    d = follows(f, lambda: flags.__setitem__(0, -1.0), lambda: flags.__setitem__(1, 1.0))
    count = sum(map(len, d.cache.values()))
    assert d(X)[0] == f(X) and sum(map(len, d.cache.values())) == count == 3


def test_a_tuple_that_stands_in_two_places() -> None:
    pair = (np.ones(3), 2.0)
    a, b = [pair], [pair]

    def f(x):
        return np.sum(x * a[0][0] * b[0][0]) * b[0][1]

    follows(
        f, lambda: pair[0].__setitem__(0, 7.0), lambda: b.__setitem__(0, (X, 1.0)), lambda: b[0][0].__setitem__(0, 9.0)
    )


@pytest.mark.parametrize(
    "draw",
    [
        np.random.RandomState(0).normal,
        np.random.Generator(np.random.MT19937(0)).normal,
        random.Random(0).random,
        random.random,
    ],
)
def test_random_numbers_of_every_kind_are_refused(draw: Callable[[], float]) -> None:
    with pytest.raises(Refused, match="random numbers were drawn"):
        mg.derive(lambda x: np.sum(x) * draw(), X)


def test_what_was_stored_is_named() -> None:
    table, seen, recent = {}, set(), deque()

    def in_dict(x):
        table["last"] = np.sum(x)
        return np.sum(x)

    def in_set(x):
        seen.add(1)
        return np.sum(x)

    with pytest.raises(Refused, match=r"stored in a dict or an attribute \('last'\)"):
        mg.derive(in_dict, X)
    with pytest.raises(Refused, match="stored in a set"):
        mg.derive(in_set, X)

    def in_deque(x):
        recent.append(np.sum(x))
        return np.sum(x)

    with pytest.raises(Refused, match="stored in a deque"):
        mg.derive(in_deque, X)
    assert not table and not seen and not recent


# names, and what is not said


def test_a_parameter_called_gradient_is_one_of_f() -> None:
    def f(x, gradient):
        return np.sum(x * gradient)

    assert_same(mg.derive(f, X, X + 1)(X, X + 1), expected(f, (X, X + 1)))

    def g(x, gradient):
        return x * gradient

    d = mg.derive(g, X, X + 1)
    with pytest.raises(ValueError, match="call it with gradient_of_value="):
        d(X, X + 1)
    assert_same(d(X, X + 1, gradient_of_value=X)[1], (X * (X + 1), X * X))


def test_parameters_called_like_what_a_listing_needs() -> None:
    def f(np, bool, np_):
        return mg.sum(mg.exp(np) * bool + mg.sort(np_))

    d = mg.derive(f, X, X, X)
    assert "def f(np__, bool_, np_):" in d.source
    assert_same(by_source(d, X, X + 1, X), expected(f, (X, X + 1, X)))

    def g(x0, *x):
        return np.sum(x0 * x[0] * x[1])

    assert_same(by_source(mg.derive(g, X, X, X), X, X + 1, X), expected(g, (X, X + 1, X)))


def test_a_listing_takes_pythons_numbers() -> None:
    def f(x, y):
        return np.sum(x) * y

    scope: dict[str, Any] = {"np": np}
    exec(mg.derive(f, 2.0, 3.0).source, scope)
    assert_same(scope["f"](2.0, 3.0), (6.0, (3.0, 2.0)))


def test_new_state_is_called_after_the_old() -> None:
    steps, mean = 0, np.zeros(3)

    @mg.compile
    def step(x):
        nonlocal steps, mean
        steps += 1
        mean = 0.9 * mean + 0.1 * x
        return np.sum(mean) / steps

    step(X)
    assert "mean2 = 0.9 * mean + 0.1 * x" in step.source and "steps2 = steps + 1" in step.source


SAID = {
    "np.ones": lambda x: np.mean(np.log(x)),
    "& True": lambda x: np.max(x),
    "np.float64(": lambda x: np.sum(x[:2]),
    "broadcast_to": lambda x: np.sum((x - np.mean(x)) ** 2),
    "ddof": lambda x: np.var(x),
    "optimize": lambda x: np.einsum("i,i->", x, x),
    "np.pad": lambda x: np.sum(np.abs(np.fft.fft(x))),
    "positive": lambda x: np.sum(np.outer(x, x).T.copy() ** 2),
    "1.0 *": lambda x: np.sum(x * np.arange(3)),
    "[1.0, 0.0, 0.0]": lambda x: np.sum(np.eye(3) * x),
    "[0.0, 1.0, 2.0]": lambda x: np.sum(np.arange(3.0) * x),
    "swapaxes": lambda x: np.sum(np.swapaxes(np.outer(x, x), 0, 1) @ x),
    ".reshape(3, 1)": lambda x: np.sum(np.outer(x, x) / np.sum(np.outer(x, x) ** 2, axis=1, keepdims=True)),
    "0).copy()": lambda x: np.sum(x) * 0.5,
    "assigned": lambda x: np.sum(x[:2] * x[1:]),
}


@pytest.mark.parametrize("word", SAID)
def test_what_goes_without_saying_is_not_said(word: str) -> None:
    d = mg.derive(SAID[word], X)
    assert word not in d.source
    assert_same(d(X), expected(SAID[word], (X,)))
    assert_same(by_source(d, X), expected(SAID[word], (X,)))
