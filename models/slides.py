"""Every formula of the slides: as printed there, as an expression, by hand, and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import islice
from string import Template
from typing import Any

import numpy as np

import minigrad as mg
from models import conll, network, neuron, softmax, window, words
from models.tagger import Tagger
from models.window import Parameters, Windows

Array = Any
Arguments = dict[str, Array]


@dataclass(frozen=True)
class Derivation:
    """A value of the slides, and its derivatives by hand.

    Attributes:
        title: where in the slides.
        value: the differentiated value, as they write it.
        f: the expression, a scalar function of the arguments.
        by_hand: the gradients by the names of the arguments.
        draw: random arguments, numbers up to a bound.
        formulas: the gradients according to the slides.
        code: the names of f and by_hand in the project.
        claim: False for a slip of the slides, which a comparison has to catch.
    """

    title: str
    value: str
    f: Callable[..., Array]
    by_hand: Callable[..., dict[str, Array]]
    draw: Callable[[np.random.Generator, float], Arguments]
    formulas: dict[str, str]
    code: tuple[str, str]
    claim: bool = True

    def compare(self, arguments: Arguments) -> Any:
        """The comparison at these arguments, of the gradients that have a formula."""
        chosen = lambda *args: {name: g for name, g in self.by_hand(*args).items() if name in self.formulas}  # noqa: E731
        return mg.compare(self.f, chosen, *arguments.values())


def numbers(rng: np.random.Generator, bound: float, *shape: int) -> Array:
    return rng.uniform(-bound, bound, shape)


# a neuron


def _neuron(rng: np.random.Generator, bound: float) -> Arguments:
    return {"w": numbers(rng, bound, 6), "b": numbers(rng, bound)[()], "x": numbers(rng, bound, 6)}


def always_on_h(w: Array, x: Array) -> Array:
    """h with the bias as the weight of a feature that is always 1."""
    return neuron.neuron(w, 0.0, neuron.always_on(x))


def always_on_by_hand(w: Array, x: Array) -> dict[str, Array]:
    """dh/dw = delta (x, 1): the last weight's gradient is the bias's."""
    gradients = neuron.neuron_by_hand(w[:-1], w[-1], x)
    return {"w": np.append(gradients["w"], gradients["b"])}


def _always_on(rng: np.random.Generator, bound: float) -> Arguments:
    return {"w": numbers(rng, bound, 7), "x": numbers(rng, bound, 6)}


def log_loss(w: Array, b: Array, X: Array, y: Array) -> Array:
    """The cross entropy of logistic regression on a batch, from its logits.

    log(1 + e^z) - y z, which stays finite where h rounds to 1; `models.neuron.log_loss` is the textbook's form.
    """
    z = X @ w + b
    return mg.sum(mg.logsumexp(mg.stack([np.zeros_like(z), z]), axis=0) - y * z)


def log_loss_by_hand(w: Array, b: Array, X: Array, y: Array) -> dict[str, Array]:
    return neuron.log_loss_by_hand(w, b, X, y)


def _log_loss(rng: np.random.Generator, bound: float) -> Arguments:
    y = rng.integers(0, 2, 5)
    return {"w": numbers(rng, bound, 6), "b": numbers(rng, bound)[()], "X": numbers(rng, bound, 5, 6), "y": y}


# the window scorer


def _score(rng: np.random.Generator, bound: float) -> Arguments:
    U, W, b, x = (numbers(rng, bound, *shape) for shape in [(8,), (8, 20), (8,), (20,)])
    return {"U": U, "W": W, "b": b, "x": x}


def score_of_activations(U: Array, a: Array) -> Array:
    """s = U . a, of the activations."""
    return U @ a


def score_of_activations_by_hand(U: Array, a: Array) -> dict[str, Array]:
    return {"U": a, "a": U}


def _activations(rng: np.random.Generator, bound: float) -> Arguments:
    return {"U": numbers(rng, bound, 8), "a": numbers(rng, bound, 8)}


def score_of_z(U: Array, z: Array) -> Array:
    """s = U . f(z), of the hidden layer's input."""
    return U @ mg.sigmoid(z)


def score_of_z_by_hand(U: Array, z: Array) -> dict[str, Array]:
    a = mg.sigmoid(z)
    return {"U": a, "z": U * (a * (1 - a))}


def _z(rng: np.random.Generator, bound: float) -> Arguments:
    return {"U": numbers(rng, bound, 8), "z": numbers(rng, bound, 8)}


def weight(W_ij: Array, U_i: Array, W_i: Array, x: Array, b_i: Array) -> Array:
    """The part of the score that a single weight touches: U_i a_i, with W_ij the first weight of row i."""
    return U_i * mg.sigmoid(W_ij * x[0] + W_i @ x[1:] + b_i)


def weight_by_hand(W_ij: Array, U_i: Array, W_i: Array, x: Array, b_i: Array) -> dict[str, Array]:
    """delta_i x_j: the local error signal times the local input signal."""
    a_i = mg.sigmoid(W_ij * x[0] + W_i @ x[1:] + b_i)
    return {"W_ij": U_i * (a_i * (1 - a_i)) * x[0]}


def _weight(rng: np.random.Generator, bound: float) -> Arguments:
    W_ij, U_i, b_i = (numbers(rng, bound)[()] for _ in range(3))
    return {"W_ij": W_ij, "U_i": U_i, "W_i": numbers(rng, bound, 19), "x": numbers(rng, bound, 20), "b_i": b_i}


def erratum_by_hand(U: Array, W: Array, b: Array, x: Array) -> dict[str, Array]:
    """The heading of one slide: ds/db = a."""
    return {"b": mg.sigmoid(W @ x + b)}


# the max-margin loss


def hinge_of_windows(U: Array, W: Array, b: Array, x: Array, x_c: Array) -> Array:
    """J = max(0, 1 - s + s_c) for one true and one corrupt window."""
    return window.hinge(window.score(U, W, b, x), window.score(U, W, b, x_c))


def _hinge(rng: np.random.Generator, bound: float) -> Arguments:
    return {**_score(rng, bound), "x_c": numbers(rng, bound, 20)}


def hinge_of_scores_by_hand(s: Array, s_c: Array) -> dict[str, Array]:
    active = 1.0 * (1 - s + s_c > 0)
    return {"s": -active, "s_c": active}


def _scores(rng: np.random.Generator, bound: float) -> Arguments:
    return {"s": numbers(rng, bound)[()], "s_c": numbers(rng, bound)[()]}


TRUE = Windows(np.array([[0, 1, 2, 1, 3], [4, 4, 5, 0, 6], [7, 2, 2, 2, 8]]))
CORRUPT = Windows(
    np.array([[[1, 2, 1, 3, 0], [5, 0, 6, 4, 1]], [[8, 8, 8, 8, 8], [0, 1, 2, 1, 3]], [[9, 7, 1, 4, 2]] * 2])
)


def full_objective(U: Array, W: Array, b: Array, L: Array) -> Array:
    """The full objective of 3 windows with 2 corrupt ones each, whose words repeat within and across windows."""
    return window.objective(Parameters(U, W, b, L), TRUE, CORRUPT)


def full_objective_by_hand(U: Array, W: Array, b: Array, L: Array) -> dict[str, Array]:
    gradients = window.objective_by_hand(Parameters(U, W, b, L), TRUE, CORRUPT)
    return {"U": gradients.U, "W": gradients.W, "b": gradients.b, "L": gradients.L}


def _full(rng: np.random.Generator, bound: float) -> Arguments:
    U, W, b = (numbers(rng, bound, *shape) for shape in [(8,), (8, 20), (8,)])
    return {"U": U, "W": W, "b": b, "L": numbers(rng, bound, 10, 4)}


# softmax, and a deeper network


CLASSES = np.array([2, 0, 1, 2])


def softmax_loss(W: Array, a: Array) -> Array:
    """Cross entropy after softmax(W a), for a batch."""
    return softmax.loss(W, a, CLASSES)


def softmax_loss_by_hand(W: Array, a: Array) -> dict[str, Array]:
    return softmax.loss_by_hand(W, a, CLASSES)


def _softmax(rng: np.random.Generator, bound: float) -> Arguments:
    return {"W": numbers(rng, bound, 3, 8), "a": numbers(rng, bound, 4, 8)}


def logits_loss(z: Array) -> Array:
    """Cross entropy of one example from its logits."""
    return mg.cross_entropy(z, np.array(1))


def logits_loss_by_hand(z: Array) -> dict[str, Array]:
    p, y = mg.softmax(z), np.eye(z.size)[1]
    return {"z": p - y}


def _logits(rng: np.random.Generator, bound: float) -> Arguments:
    return {"z": numbers(rng, bound, 5)}


NAMES = ("W1", "b1", "W2", "b2", "W3", "b3")


def three_layers(W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array, x: Array) -> Array:
    """A network of three layers with one output."""
    return network.network([(W1, b1), (W2, b2), (W3, b3)], x)[0]


def three_layers_by_hand(
    W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array, x: Array
) -> dict[str, Array]:
    """Backpropagation: each layer re-uses the delta of the layer above; delta is as long as its layer."""
    layers = [(W1, b1), (W2, b2), (W3, b3)]
    gradients, dx = network.network_by_hand(layers, x, np.ones(1))
    return dict(zip(NAMES, (g for pair in gradients for g in pair))) | {"x": dx}


def _three(rng: np.random.Generator, bound: float) -> Arguments:
    shapes = [(8, 6), (8,), (5, 8), (5,), (1, 5), (1,), (6,)]
    return {name: numbers(rng, bound, *shape) for name, shape in zip((*NAMES, "x"), shapes)}


# word vectors


def log_sigmoid(x: Array) -> Array:
    """log σ(x), which the complex step can follow; np.logaddexp, of which `mg.log_sigmoid` is made, is real."""
    return -mg.logsumexp(mg.stack([np.zeros_like(x), -x]), axis=0)


def negative_sampling(v_c: Array, u_o: Array, U_k: Array) -> Array:
    """The loss of a pair of words, as `models.words.loss` has it."""
    return -log_sigmoid(u_o @ v_c) - mg.sum(log_sigmoid(-(U_k @ v_c)))


def _negative_sampling(rng: np.random.Generator, bound: float) -> Arguments:
    bound = bound**0.5  # a score is a product of two
    return {"v_c": numbers(rng, bound, 6), "u_o": numbers(rng, bound, 6), "U_k": numbers(rng, bound, 5, 6)}


# two blocks of three words, which repeat within and across them, with a word to each side and two negatives
BLOCKS = words.Blocks(
    centres=np.array([[1, 2, 1], [0, 3, 3]]),
    nearby=np.array([[0, 1, 2, 1, 0], [1, 0, 3, 3, 4]]),
    negatives=np.array([[1, 5], [5, 5]]),
    pairs=np.array([[[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], [[0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0] * 5]]),
    shares=np.array([[[5.0], [5.0], [2.5]], [[2.5], [5.0], [0.0]]]),
)


def skip_gram(V: Array, U: Array) -> Array:
    """The objective of two blocks of text, as `models.words.objective` has it."""
    v = mg.embedding(V, BLOCKS.centres)
    s_o = v @ np.swapaxes(mg.embedding(U, BLOCKS.nearby), 1, 2)
    s_k = v @ np.swapaxes(mg.embedding(U, BLOCKS.negatives), 1, 2)
    return -mg.sum(BLOCKS.pairs * log_sigmoid(s_o)) - mg.sum(BLOCKS.shares * log_sigmoid(-s_k))


def skip_gram_by_hand(V: Array, U: Array) -> dict[str, Array]:
    return words.objective_by_hand(V, U, BLOCKS)


def _skip_gram(rng: np.random.Generator, bound: float) -> Arguments:
    return {"V": numbers(rng, bound**0.5, 6, 4), "U": numbers(rng, bound**0.5, 6, 4)}


DERIVATIONS = (
    Derivation(
        "A neuron is a logistic regression", "h = f(wᵀx + b)", neuron.neuron, neuron.neuron_by_hand, _neuron,
        {"w": "∂h/∂w = h(1−h) x", "b": "∂h/∂b = h(1−h)", "x": "∂h/∂x = h(1−h) w"},
        ("models.neuron.neuron", "models.neuron.neuron_by_hand"),
    ),
    Derivation(
        "The bias as an always-on feature", "h = f(wᵀ(x, 1))", always_on_h, always_on_by_hand, _always_on,
        {"w": "∂h/∂w = h(1−h) (x, 1)"},
        ("models.slides.always_on_h", "models.slides.always_on_by_hand"),
    ),
    Derivation(
        "Logistic regression with cross entropy", "J = −Σ y log h + (1−y) log(1−h)",
        log_loss, log_loss_by_hand, _log_loss,
        {"w": "∂J/∂w = Σ (h−y) x", "b": "∂J/∂b = Σ (h−y)"},
        ("models.slides.log_loss", "models.neuron.log_loss_by_hand"),
    ),
    Derivation(
        "A single layer: the score", "s = Uᵀa", score_of_activations, score_of_activations_by_hand, _activations,
        {"U": "∂s/∂U = a", "a": "∂s/∂a = U"},
        ("models.slides.score_of_activations", "models.slides.score_of_activations_by_hand"),
    ),
    Derivation(
        "Deriving gradients: the error signal", "s = Uᵀf(z)", score_of_z, score_of_z_by_hand, _z,
        {"z": "∂s/∂z = δ = U ∘ f′(z),  f′ = f(1−f)"},
        ("models.slides.score_of_z", "models.slides.score_of_z_by_hand"),
    ),
    Derivation(
        "Deriving gradients: a single weight", "Uᵢaᵢ = Uᵢ f(Wᵢ·x + bᵢ)", weight, weight_by_hand, _weight,
        {"W_ij": "∂s/∂Wᵢⱼ = Uᵢ f′(zᵢ) xⱼ = δᵢ xⱼ"},
        ("models.slides.weight", "models.slides.weight_by_hand"),
    ),
    Derivation(
        "Deriving gradients: all of the score's", "s = Uᵀf(Wx + b)", window.score, window.score_by_hand, _score,
        {"U": "∂s/∂U = a", "W": "∂s/∂W = δxᵀ", "b": "∂s/∂b = δ", "x": "∂s/∂x = Wᵀδ"},
        ("models.window.score", "models.window.score_by_hand"),
    ),
    Derivation(
        "Deriving gradients: a heading that is wrong", "s = Uᵀf(Wx + b)", window.score, erratum_by_hand, _score,
        {"b": "∂s/∂b = a"},
        ("models.window.score", "models.slides.erratum_by_hand"), claim=False,
    ),
    Derivation(
        "The max-margin loss", "J = max(0, 1 − s + s_c)", window.hinge, hinge_of_scores_by_hand, _scores,
        {"s": "∂J/∂s = −1{1−s+s_c > 0}", "s_c": "∂J/∂s_c = 1{1−s+s_c > 0}"},
        ("models.window.hinge", "models.slides.hinge_of_scores_by_hand"),
    ),
    Derivation(
        "Putting all gradients together", "J = max(0, 1 − s + s_c), with 1 for 1{1−s+s_c > 0}", hinge_of_windows,
        window.hinge_by_hand, _hinge,
        {
            "U": "∂J/∂U = 1 (−a + a_c)", "W": "∂J/∂W = 1 (−δxᵀ + δ_c x_cᵀ)", "b": "∂J/∂b = 1 (−δ + δ_c)",
            "x": "∂J/∂x = −1 Wᵀδ", "x_c": "∂J/∂x_c = 1 Wᵀδ_c",
        },
        ("models.slides.hinge_of_windows", "models.window.hinge_by_hand"),
    ),
    Derivation(
        "The full objective, several corrupt windows for each true one", "J = Σₙ Σₖ max(0, 1 − sₙ + s_c,ₙₖ)",
        full_objective, full_objective_by_hand, _full,
        {
            "U": "∂J/∂U = Σ 1 (−a + a_c)", "W": "∂J/∂W = Σ 1 (−δxᵀ + δ_c x_cᵀ)", "b": "∂J/∂b = Σ 1 (−δ + δ_c)",
            "L": "∂J/∂L_word = Σ over its places of its part of ∂J/∂x",
        },
        ("models.window.objective", "models.window.objective_by_hand"),
    ),
    Derivation(
        "Softmax and cross entropy: the error", "J = −log softmax(z)_y", logits_loss, logits_loss_by_hand, _logits,
        {"z": "∂J/∂z = p − y"},
        ("minigrad.cross_entropy", "models.slides.logits_loss_by_hand"),
    ),
    Derivation(
        "Softmax and cross entropy: a layer", "J = −mean log softmax(Wa)_y",
        softmax_loss, softmax_loss_by_hand, _softmax,
        {"W": "∂J/∂W = (p−y)ᵀ a / N", "a": "∂J/∂a = (p−y) W / N"},
        ("models.softmax.loss", "models.softmax.loss_by_hand"),
    ),
    Derivation(
        "Backpropagation through three layers", "s = W₃ f(W₂ f(W₁x + b₁) + b₂) + b₃",
        three_layers, three_layers_by_hand, _three,
        {
            "W3": "∂s/∂W₃ = δ₃ a₂ᵀ", "b3": "∂s/∂b₃ = δ₃ = 1", "W2": "∂s/∂W₂ = δ₂ a₁ᵀ",
            "b2": "∂s/∂b₂ = δ₂ = f′(z₂) ∘ W₃ᵀδ₃", "W1": "∂s/∂W₁ = δ₁ xᵀ", "b1": "∂s/∂b₁ = δ₁ = f′(z₁) ∘ W₂ᵀδ₂",
            "x": "∂s/∂x = W₁ᵀδ₁",
        },
        ("models.network.network", "models.network.network_by_hand"),
    ),
    Derivation(
        "Word vectors: negative sampling", "J = −log σ(u_o·v_c) − Σ log σ(−u_k·v_c)",
        negative_sampling, words.loss_by_hand, _negative_sampling,
        {
            "v_c": "∂J/∂v_c = δ_o u_o + Σ δ_k u_k,  δ_o = σ(u_o·v_c) − 1,  δ_k = σ(u_k·v_c)",
            "u_o": "∂J/∂u_o = δ_o v_c", "U_k": "∂J/∂u_k = δ_k v_c",
        },
        ("models.slides.negative_sampling", "models.words.loss_by_hand"),
    ),
    Derivation(
        "Word vectors: text in blocks", "J = Σ over pairs, negatives shared in a block",
        skip_gram, skip_gram_by_hand, _skip_gram,
        {
            "V": "∂J/∂V_word = Σ over its places of Σ δ u", "U": "∂J/∂U_word = Σ over its places of Σ δ v",
        },
        ("models.slides.skip_gram", "models.words.objective_by_hand"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A formula of the table, and the worst of its comparisons."""

    derivation: Derivation
    argument: str
    formula: str
    shape: tuple[int, ...]
    ulp: float  # by hand from autograd
    numeric_ulp: float  # autograd from the complex step
    verdict: str
    is_zero: bool  # rightly, every element, at all arguments

    @property
    def as_claimed(self) -> bool:
        """Do they agree; or, for a slip of the slides, was it caught?"""
        return (self.verdict == "equal") == self.derivation.claim

    @property
    def remark(self) -> str:
        """The verdict, and what it is worth."""
        if not self.derivation.claim:
            return f"the slides' slip, caught: {self.verdict}"
        return "equal, but all are 0: every margin is met" if self.is_zero else self.verdict


def lines(derivation: Derivation, many: Iterator[Arguments]) -> list[Line]:
    """Compare at many arguments, and keep the worst result for each formula.

    >>> from itertools import islice
    >>> [line.verdict for line in lines(DERIVATIONS[0], islice(random_arguments(DERIVATIONS[0]), 3))]
    ['equal', 'equal', 'equal']
    """
    worst: dict[str, Line] = {}
    for arguments in many:
        by_hand = derivation.by_hand(*arguments.values())
        for row in derivation.compare(arguments):
            old = worst.get(row.argument)
            verdict = old.verdict if old is not None and old.verdict != "equal" else row.verdict
            worst[row.argument] = Line(
                derivation,
                row.argument,
                derivation.formulas[row.argument],
                row.shape,
                max(row.ulp, old.ulp if old else 0.0),
                max(row.numeric_ulp, old.numeric_ulp if old else 0.0),
                verdict,
                verdict == "equal" and not np.any(by_hand[row.argument]) and (old is None or old.is_zero),
            )
    return [worst[name] for name in derivation.formulas if name in worst]


def random_arguments(derivation: Derivation, seed: int = 0) -> Iterator[Arguments]:
    """Arguments without end, of every size from a thousandth to ten."""
    rng = np.random.default_rng(seed)
    while True:
        yield derivation.draw(rng, 10.0 ** rng.uniform(-3, 1))


def trained_arguments(tagger: Tagger, derivation: Derivation, pairs: int = 5, seed: int = 0) -> Iterator[Arguments]:
    """Arguments of a derivation from a trained model on development sentences; none if it needs other parameters.

    The windows violate the margin where any do among a thousand pairs: where it is met, J and its gradients are 0.
    """
    params = tagger.params
    known = {"U": params.U, "W": params.W, "b": params.b, "L": params.L}
    known = {name: value.astype(float) for name, value in known.items()}
    sentences = conll.embedded("dev")
    gold = np.array([inside for s in sentences for inside in conll.inside(s, tagger.settings.entity)])
    X = window.inputs(params, tagger.windows(s.tokens for s in sentences)).astype(float)
    plain = tagger.settings.radius == 2 and not tagger.settings.case_feature
    wanted = list(derivation.draw(np.random.default_rng(0), 1.0))
    rng = np.random.default_rng(seed)
    if (
        "U" not in wanted
        or "W" not in wanted
        or not set(wanted) <= {*known, "x", "x_c"}
        or ("L" in wanted and not plain)
    ):
        return

    def drawn() -> Arguments:
        windows = {"x": X[rng.choice(np.flatnonzero(gold))], "x_c": X[rng.choice(np.flatnonzero(~gold))]}
        words = {"L": known["L"][rng.integers(len(known["L"]), size=10)]}  # as many as `full_objective` has
        return {name: (known | windows | words)[name] for name in wanted}

    for _ in range(pairs):
        tries = (drawn() for _ in range(1000))
        yield next((found for found in tries if derivation.f(*found.values()) != 0), drawn())


def table(derivations_and_arguments: Iterable[tuple[Derivation, Iterator[Arguments]]]) -> list[Line]:
    """The lines of several derivations, one after the other."""
    return [line for derivation, many in derivations_and_arguments for line in lines(derivation, many)]


def page(tables: dict[str, list[Line]]) -> str:
    """The tables as one self-contained HTML page."""
    body = "".join(_section(title, found) for title, found in tables.items() if found)
    everything = [line for found in tables.values() for line in found]
    wrong = sum(not line.as_claimed for line in everything)
    worst = max((line.ulp for line in everything if line.derivation.claim), default=0.0)
    worst_numeric = max((line.numeric_ulp for line in everything), default=0.0)
    state = "All agree." if not wrong else f"{wrong} of {len(everything)} do not agree."
    return PAGE.substitute(
        state=state,
        kind="good" if not wrong else "bad",
        worst=f"{worst:.2f}",
        numeric=f"{worst_numeric:.2f}",
        body=body,
    )


def _section(title: str, found: list[Line]) -> str:
    rows = []
    last = None
    for line in found:
        d = line.derivation
        if d is not last:
            code = "".join(f"<code>{escape(name)}</code>" for name in d.code)
            title = f'<span class="title">{escape(d.title)}</span><span class="math">{_math(d.value)}</span>'
            head = f'<th colspan="5" scope="rowgroup" role="rowheader">{title}<span class="code">{code}</span></th>'
            rows.append(f'<tbody role="rowgroup"><tr class="head" role="row">{head}</tr>')
            last = d
        cells = [("shape", _shape(line.shape)), ("number", _ulp(line.ulp)), ("number", _ulp(line.numeric_ulp))]
        numbers = "".join(  # on a narrow screen each has its head beside it
            f'<td class="{kind}" data-of="{head}" role="cell">{text}</td>'
            for (kind, text), head in zip(cells, HEADS[1:])
        )
        rows.append(
            f'<tr class="{"good" if line.as_claimed else "bad"}" role="row">'
            f'<td class="math" role="cell">{_math(line.formula)}</td>{numbers}'
            f'<td class="verdict" role="cell">{escape(line.remark)}</td></tr>'
        )
    columns = "".join(
        f'<th scope="col" role="columnheader"{" class=number" * ("−" in head)}>{head}</th>' for head in HEADS
    )
    heads = f'<thead role="rowgroup"><tr role="row">{columns}</tr></thead>'
    table = f'<div class="scroll"><table role="table">{heads}{"".join(rows)}</table></div>'
    return f"<section><h2>{escape(title)}</h2>{table}</section>"


HEADS = ("formula", "shape", "by hand − autograd", "autograd − complex step", "verdict")


def _math(formula: str) -> str:
    """A formula in HTML: x_c and W_ij with their indices below."""
    return re.sub(r"_(\w+)", r"<sub>\1</sub>", escape(formula))


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "number"


def _ulp(ulp: float) -> str:
    return f"{ulp:.2f}" if ulp < 1000 else f"{ulp:.0e}"


PAGE = Template((files("models") / "slides.html").read_text(encoding="utf-8"))


def markdown(found: list[Line], draws: int) -> str:
    """The table as docs/slides.md has it."""
    text = [
        "# The slides' gradients, by hand and by machine",
        "",
        "The slides are *Neural Networks basics* by Valentin Malykh (DeepHack.CISS), based on Stanford CS224d.",
        "Written by `python -m models.slides > docs/slides.md`. Each formula of the slides, the expression it is the",
        "gradient of, the same by hand, and the largest distance in units in the last place (ulp) of the magnitude of",
        f"the terms summed, over {draws} draws of parameters of all sizes: of the gradient by hand from autograd's,",
        "and of autograd's from the complex step. `tests/models/test_slides.py` holds each row under its title, with",
        "hypothesis, to at most 4 ulp. The magnitude counts all the terms, those of the sums Wx + b and 1 − f(z) too:",
        "a gradient that is the small difference of large terms is held only to the accuracy that those terms allow.",
        "",
        "| formula | shape | by hand − autograd | autograd − complex step | verdict |",
        "|---|---|---|---|---|",
    ]
    last = None
    for line in found:
        d = line.derivation
        if d is not last:
            text.append(f"| **{d.title}**: {d.value}<br>`{d.code[0]}`, `{d.code[1]}` | | | | |")
            last = d
        figures = f"{_ulp(line.ulp)} | {_ulp(line.numeric_ulp)}"
        text.append(f"| {line.formula} | {_shape(line.shape)} | {figures} | {line.remark} |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    print(markdown(table((d, islice(random_arguments(d), 100)) for d in DERIVATIONS), 100), end="")
