"""Programs as formulas: every equation is read from its LaTeX, evaluated, and compared with the line it stands for."""

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import random_programs
from cases import CASES, Case
from derived import differentiated
from derived_models import MODELS, J, U, W, b, every_model, x, x_c
from hostile import ATTACKS, NAMES, assert_shown
from latex_reader import Reader, tokens
from read_formulas import check
from sampling import sampled

import minigrad as mg
from minigrad.compiler.tracer import Refused
from minigrad.text import tex
from minigrad.trees import leaves
from minigrad.viz.formulas import (
    Cases,
    Equations,
    Fenced,
    Formula,
    Fraction,
    Root,
    Row,
    Script,
    Word,
    latex,
    mathml,
    name,
    plain,
)
from models.window import score

rng = np.random.default_rng(4)


def network(W1, b1, W2, b2, X, y):
    z1 = X @ W1.T + b1
    h = mg.relu(z1)
    z2 = h @ W2.T + b2
    J = mg.cross_entropy(z2, y)
    return J


def attention(Q, K, V):
    S = Q @ K.T / np.sqrt(K.shape[-1])
    A = mg.softmax(S)
    O = A @ V  # noqa: E741
    J = mg.sum(O**2)
    return J


NETWORK = [rng.normal(size=s) for s in ((5, 4), 5, (3, 5), 3, (6, 4))], np.array([0, 1, 2, 0, 1, 2])
ATTENTION = [rng.normal(size=s) for s in ((5, 4), (6, 4), (6, 3))]


# the golden examples


def lines(d: Any) -> list[str]:
    return [line.removesuffix(r" \\") for line in d.latex.splitlines()[1:-1]]


def test_the_slides_score() -> None:
    d = mg.derive(score, U, W, b, x)
    assert lines(d) == [
        r"z &= W \, x + b",
        r"a &= \sigma \left( z \right)",
        r"s &= U^{\top} \, a",
        r"\delta &= \frac{\partial s}{\partial z} = U \circ a \circ \left( 1 - a \right)",
        r"\frac{\partial s}{\partial W} &= \delta \, x^{\top}",
        r"\frac{\partial s}{\partial x} &= W^{\top} \, \delta",
        r"\frac{\partial s}{\partial U} &= a",
        r"\frac{\partial s}{\partial b} &= \delta",
    ]
    assert check(d, (U, W, b, x)) == 8


def test_the_slides_objective() -> None:
    d = mg.derive(J, U, W, b, x, x_c)
    found = lines(d)
    for line in (
        r"z_{c} &= W \, x_{c} + b",
        r"J &= \max \left( 0 , 1 - s + s_{c} \right)",
        r"\frac{\partial J}{\partial s_{c}} &= \mathbf{1} \left\{ J > 0 \right\}",
        r"\delta &= \frac{\partial J}{\partial z} = - \frac{\partial J}{\partial a_{c}}"
        r" \circ a \circ \left( 1 - a \right)",
        r"\frac{\partial J}{\partial W} &= \delta_{c} \, x_{c}^{\top} + \delta \, x^{\top}",
    ):
        assert line in found
    check(d, (U, W, b, x, x_c))
    big = U * 40
    check(mg.derive(J, big, W, b, x, x_c), (big, W, b, x, x_c))  # the margin is met, or it is not


def test_a_network_of_two_layers_with_cross_entropy() -> None:
    args = (*NETWORK[0], NETWORK[1])
    d = mg.derive(network, *args)
    found = lines(d)
    for line in (
        r"z_{1} &= X \, W_{1}^{\top} + b_{1}",
        r"\frac{\partial J}{\partial z_{2}} &= \frac{1}{6} \cdot \left( \operatorname{softmax} \left( z_{2} \right)"
        r" - \operatorname{onehot}_{3} \left( y \right) \right)",
        r"\frac{\partial J}{\partial W_{1}} &= \delta_{1}^{\top} \, X",
        r"\frac{\partial J}{\partial b_{1}} &= \sum_{i} \left( \delta_{1} \right)_{i \cdot}",
    ):
        assert line in found, found
    check(d, args)


def test_attention() -> None:
    d = mg.derive(attention, *ATTENTION)
    for line in (
        r"S &= \frac{Q \, K^{\top}}{2}",
        r"A &= \operatorname{softmax} \left( S \right)",
        r"\frac{\partial J}{\partial K} &= t^{\top} \, Q",
        r"\frac{\partial J}{\partial V} &= A^{\top} \, \frac{\partial J}{\partial O}",
    ):
        assert line in lines(d), lines(d)
    check(d, tuple(ATTENTION))


# every formula, evaluated


def total(case: Case) -> Callable[..., Any]:
    def f(*args: Any) -> Any:
        parts = [p for y in leaves(case(*args)) for p in ([np.real(y), np.imag(y)] if np.iscomplexobj(y) else [y])]
        return sum((mg.sum(mg.sin(part)) for part in parts[1:]), start=mg.sum(mg.sin(parts[0])))

    return f


#: Where a case lies at a tie (the diagonal of corrcoef is clipped at 1), rounding decides, which formulas have not.
SMOOTH = [case for case in CASES if not str(case).startswith("corrcoef")]
#: Those that differ in more than the lengths of axes.
KINDS = {(c.op, *(getattr(x, "ndim", repr(x)) for x in c.args), repr(c.kwargs)): c for c in SMOOTH}


@sampled(KINDS.values(), one_in=3)
def test_every_op(case: Case) -> None:
    try:
        d = mg.derive(total(case), *case.args, wrt=differentiated(case.args))
    except Refused:
        return  # test_every_op says which these are
    check(d, case.args)


@every_model
def test_every_model(name: str) -> None:
    f, args = MODELS[name]
    check(mg.derive(f, *args), args)


def test_random_programs(request: pytest.FixtureRequest) -> None:
    for seed in range(20):
        at = random_programs.inputs(seed)
        p = random_programs.program(seed)
        try:
            check(mg.derive(p.function(np), *at), tuple(at))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}:\n{p}") from error


def test_single_precision_and_whole_numbers() -> None:
    single = [np.float32(v) for v in (U, W, b, x)]
    check(mg.derive(score, *single), tuple(single))
    n = np.arange(1, 5)
    check(mg.derive(lambda x, n: np.sum(x * (n // 2) + x**n / (n % 3 + 1)), np.ones(4), n), (np.ones(4), n))
    small = np.arange(250, 254).astype(np.uint8)  # wraps around: no mathematics
    d = mg.derive(lambda x, n: np.sum(x * (n + n)), np.ones(4), small)
    assert r"\texttt{np.add} \left( n , n \right)" in d.latex
    check(d, (np.ones(4), small))


def test_a_reader_that_finds_a_fault() -> None:
    d = mg.derive(score, U, W, b, x)
    for right, wrong in ((r"\circ a", r"\circ z"), (r"\delta \, x^{\top}", r"x \, \delta^{\top}"), ("1 - a", "1 + a")):
        symbols = {"U": U, "W": W, "b": b, "x": x}
        reader, faulty = Reader(symbols, {}), Reader(symbols, {})
        reader.read(d.latex)
        faulty.read(d.latex.replace(right, wrong))
        same = [
            np.array_equal(
                reader[rf"\frac{{\partial s}}{{\partial {v}}}"], faulty[rf"\frac{{\partial s}}{{\partial {v}}}"]
            )
            for v in "UWbx"
        ]
        assert not all(same)
    for nonsense in (r"x \, x", r"W \cdot W", r"x^{\top} \circ x \, x", r"\sum_{i} W_{j}", "W^{2}", r"W \, x^{\top}"):
        with pytest.raises((AssertionError, ValueError, IndexError)):
            Reader({"x": x, "W": W}, {}).value(tokens(nonsense))


# what a gradient is the derivative of


def test_a_gradient_that_starts_from_another_one_says_so() -> None:
    def f(x):
        y = np.sin(x)
        return y

    d = mg.derive(f, X := np.ones(3))
    assert r"\frac{\partial \left\langle \mathrm{gradient} , y \right\rangle}{\partial x}" in d.latex
    assert "# gradient · ∂y/∂x" in d.source
    check_all = d(X, gradient=np.ones(3))
    np.testing.assert_allclose(check_all[1], np.cos(X))

    def g(x):
        s = np.sum(np.sin(x))
        return s

    scaled = mg.derive(g, X, gradient=np.array(2.0))
    assert r"\frac{\partial s}{\partial x}" not in scaled.latex and "gradient · ∂s/∂x" in scaled.source


def test_a_part_of_a_derivative_is_not_called_the_derivative() -> None:
    def f(x):
        s = np.sum(np.sin(np.tanh(x)) + np.cos(np.tanh(x)))
        return s

    d = mg.derive(f, np.array([0.5, -1.0]))
    check(d, (np.array([0.5, -1.0]),))
    labels = re.findall(r"∂s/∂\w+", d.source)
    assert labels == ["∂s/∂x"]  # tanh(x) was recorded twice: what flows to one of them is half of ∂s/∂tanh


def test_complex_gradients_are_no_derivatives() -> None:
    z = np.array([1 + 2j, -0.5j])
    d = mg.derive(lambda z: np.sum(np.real(z * z)), z)
    assert r"\partial z" not in d.latex
    check(d, (z,))


# programs with state


def test_a_step_assigns() -> None:
    w = mg.Tensor(np.ones(3), name="w")
    optimizer = mg.optim.SGD([w], lr=0.1)

    @mg.compile
    def step(x, y):
        J = mg.mean((x @ w - y) ** 2)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    args = rng.normal(size=(4, 3)), np.ones(4)
    step(*args)
    assert r"w &\leftarrow w - \mathrm{lr} \, \frac{\partial J}{\partial w}" in lines(step)
    assert r"\mathrm{steps} &\leftarrow \mathrm{steps} + 1" in lines(step)
    before = w.data.copy()
    step(*args)
    reader = Reader({"w": before, "x": args[0], "y": args[1], r"\mathrm{lr}": 0.1, r"\mathrm{steps}": 1}, {})
    reader.read(step.latex)
    np.testing.assert_allclose(reader["w"], w.data)


def test_elements_by_an_index() -> None:
    def f(x, i):
        y = mg.stack([x, x])
        z = y[i]
        return mg.sum(z * z) + mg.sum(x[1:] * x[:-1])

    at = rng.normal(size=4)
    check(mg.derive(f, at, np.array([0, 0])), (at, np.array([0, 0])))


# names


@pytest.mark.parametrize(
    "words", [("z1", "z_1"), ("delta", "δ"), ("sigma", "x"), ("e", "pi"), ("x_i", "x_j"), ("i", "j"), ("e_", "x_")]
)
def test_two_names_are_two_symbols(words: tuple[str, str]) -> None:
    source = f"def f({', '.join(words)}):\n    return np.sum(mg.sigmoid({words[0]}) * {words[1]} - {words[1]} ** 3)"
    scope: dict[str, Any] = {"np": np, "mg": mg}
    exec(source, scope)
    at = rng.normal(size=(3, 4)), rng.normal(size=4)
    check(mg.derive(scope["f"], *at), at)


@pytest.mark.parametrize("text", NAMES, ids=range(len(NAMES)))
def test_hostile_names(text: str) -> None:
    w = mg.Tensor(np.ones(2), name=text)
    step = mg.compile(lambda x: mg.sum(w * x))
    step(np.ones(2))
    for formula in (Word(text, style) for style in ("italic", "upright", "function", "code")):
        inside = latex(Row((formula,)))
        assert balanced(inside), inside
        assert_shown(inside)
        assert ElementTree.fromstring(mathml(formula)) is not None
    assert balanced(step.latex)
    html = step._repr_html_()
    assert ElementTree.fromstring(html) is not None
    assert "<script" not in html and "onerror=" not in re.sub(r"&\w+;[^<]*", "", html)


def test_a_notebook_shows_a_function_that_has_not_run_yet() -> None:
    step = mg.compile(lambda x: mg.sum(x * x))
    assert step._repr_html_() is None and step._repr_markdown_() is None  # it shows the repr then
    assert str(step) == repr(step) == "<f, to be compiled when it is called>"
    step(np.ones(2))
    assert "def f" in step._repr_html_() and "def f" in step._repr_markdown_() and "def f" in str(step)


def balanced(text: str) -> bool:
    """No command but the printer's own, and no brace that a name opened or closed."""
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    own = set(re.findall(r"\\([A-Za-z]+)", "".join(map(str, [latex_commands()]))))
    count = 0
    for token in re.findall(r"\\.|[{}]", text):
        count += (token == "{") - (token == "}")
        if count < 0:
            return False
    return count == 0 and commands <= own


def latex_commands() -> str:
    from minigrad.text import ESCAPED
    from minigrad.viz.formulas import COMMANDS, SIGNS

    layout = r"\frac\sqrt\left\right\begin\end\operatorname\mathrm\texttt\text\exp\log\max\min\sin\cos\tan"
    return layout + "".join((*ESCAPED.values(), *COMMANDS.values(), *SIGNS.values()))


def test_text_in_latex_is_text() -> None:
    for text in ATTACKS:
        assert balanced(tex(r"\texttt{{{}}}", text))


# the printers


def formulas() -> list[Formula]:
    a, two = name("a_c"), Word("2", "number")
    return [
        a,
        Fraction(a, two),
        Script(Fenced(Row((a, Word("+", "sign"), two))), above=Word("⊤", "sign")),
        Root(Fraction(two, a)),
        Cases(Row((a, Word(">", "sign"), two)), a, two),
        Row((Script(Word("∑", "sign"), Word("i")), Script(a, Word("i")))),
        Row((Word("softmax", "function"), Fenced(name("z1"), "[", "]"))),
        Equations(((a, Word("=", "sign"), two), (Word("x<y", "code"),))),
        Word("np.add", "code"),
    ]


COUNTED = {"mfrac": r"\frac", "msqrt": r"\sqrt"}


@pytest.mark.parametrize("formula", formulas(), ids=str)
def test_mathml_says_what_latex_says(formula: Formula) -> None:
    tree = ElementTree.fromstring(mathml(formula))
    assert tree.tag == "math"
    text = "".join(tree.itertext()).replace("\u2062", "")
    for tag, command in COUNTED.items():
        assert len(tree.findall(f".//{tag}")) == latex(formula).count(command)
    assert visible(latex(formula)) == re.sub(r"\s", "", text.replace("−", "-"))


def test_mathml_of_whole_programs_says_what_latex_says() -> None:
    args = (*NETWORK[0], NETWORK[1])
    for d in (mg.derive(score, U, W, b, x), mg.derive(network, *args), mg.derive(attention, *ATTENTION)):
        equations = d.latest.formulas()
        text = "".join(ElementTree.fromstring(mathml(equations)).itertext()).replace("\u2062", "")
        assert visible(latex(equations)) == re.sub(r"\s", "", text.replace("−", "-"))
        assert d.latex == latex(equations)
        assert mathml(equations) in d._repr_html_() and "def " in d._repr_html_()


def visible(text: str) -> str:
    """The characters that LaTeX sets."""
    from minigrad.viz.formulas import COMMANDS, SIGNS

    signs = {
        command: sign for sign, command in {**COMMANDS, **SIGNS}.items() if command.startswith("\\") and sign != " "
    }
    text = re.sub(r"\\(begin|end)\{cases\}", lambda m: "\\{" if m[1] == "begin" else "", text)
    text = re.sub(r"\\(begin|end)\{\w+\}|\\left|\\right|\\,|\\\\|&|\\frac|\\sqrt|\\text(?![a-z])", "", text)
    text = text.replace(r"\textless{}", "<").replace(r"\textgreater{}", ">").replace(r"\mathbf{1}", "𝟏")
    text = re.sub(r"\\(mathrm|operatorname|texttt)(?![a-z])", "", text)
    text = re.sub(r"\\[A-Za-z]+", lambda m: signs.get(m[0], m[0][1:]), text)
    text = re.sub(r"(?<!\\)[{}^_]", "", text)
    return re.sub(r"\s|\\", "", text)


def test_formulas_on_one_line() -> None:
    a, b = name("a"), name("b")
    fraction = Fraction(Row((a, Word("+", "sign"), b), 1), Row((a, Word("∘", "sign"), b), 3))
    assert plain(fraction) == "(a + b) / (a ∘ b)"
    assert plain(Row((a, Word("∘", "sign"), Fraction(a, b)), 3)) == "a ∘ (a / b)"
    assert plain(Script(Fenced(a), above=Word("⊤", "sign"))) == "(a)ᵀ"
    assert plain(Script(a, above=name("n_1"))) == "a^(n₁)"
