"""Training the tagger: minibatches of true windows, corrupt windows drawn for each, the max-margin objective."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

import minigrad as mg
from models import conll, text
from models.tagger import Settings, Tagger, best_threshold, token_rate
from models.window import Parameters, Windows, objective

Array = Any

#: The optimizers, and the learning rate that suits each here.
OPTIMIZERS = {"sgd": (mg.optim.SGD, 0.02), "adagrad": (mg.optim.Adagrad, 0.01), "adam": (mg.optim.Adam, 0.001)}


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    epochs: int = 25  # at most
    patience: int = 6  # epochs without a better development F1 until it stops
    batch: int = 32  # true windows
    corrupt: int = 10  # windows for each true one
    optimizer: str = "adagrad"
    learning_rate: float | None = None  # None: depends on the optimizer
    word_dropout: float = 1.0  # a: a word seen n times is unknown in a / (a + n) of its windows, to learn the unknown
    held_out: float = 0.15  # of the training sentences, to choose the threshold on
    average: float = 0.2  # the weight of an epoch in the running mean of the parameters, which is the model
    seed: int = 0
    compile: str | None = None  # the step as straight-line source: for "numpy" or "numba"

    def __post_init__(self) -> None:
        for name in "epochs", "patience", "batch", "corrupt":
            if getattr(self, name) < 1:
                raise ValueError(f"{name} needs to be at least 1, got {getattr(self, name)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer needs to be one of {', '.join(OPTIMIZERS)}, got {self.optimizer}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out needs to be between 0 and 1, got {self.held_out}")
        if not 0 < self.average <= 1:
            raise ValueError(f"average needs to be above 0 and at most 1, got {self.average}")
        if self.word_dropout < 0:
            raise ValueError(f"word_dropout needs to be at least 0, got {self.word_dropout}")


@dataclass(frozen=True)
class Progress:
    """The progress of training, reported after every minibatch."""

    epoch: int
    epochs: int
    done: int  # true windows of this epoch
    of: int
    loss: float  # mean hinge of this epoch so far
    speed: float  # windows, true and corrupt, a second
    f1: float  # the best development F1 yet


def initial(settings: Settings, words: int, rng: np.random.Generator) -> Parameters:
    """Fresh parameters, small and random, in float32."""
    H, n = settings.hidden, (2 * settings.radius + 1) * (settings.dim + settings.case_feature * settings.case_dim)

    def uniform(bound: float, *shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    return Parameters(
        U=uniform(0.1, H),
        W=uniform(np.sqrt(6 / (H + n)), H, n),  # Glorot and Bengio, AISTATS 2010
        b=np.zeros(H, np.float32),
        L=uniform(0.02, words, settings.dim),
        C=uniform(0.5, len(text.CASES), settings.case_dim) if settings.case_feature else None,
    )


def mapped(function: Callable[..., Any], *params: Parameters) -> Parameters:
    """A function of arrays on each of the parameters; the case vectors may be None."""
    pairs = ([getattr(p, f.name) for p in params] for f in fields(Parameters))
    return Parameters(*(None if values[0] is None else function(*values) for values in pairs))


def rows(windows: Windows, at: Array) -> Windows:
    """Some of the windows."""
    return Windows(windows.words[at], None if windows.cases is None else windows.cases[at])


def train(
    sentences: Sequence[conll.Sentence],
    development: Sequence[conll.Sentence] | None = None,
    settings: Settings = Settings(),
    recipe: Recipe = Recipe(),
    report: Callable[[Progress], None] = lambda progress: None,
) -> Tagger:
    """Train a tagger; of all epochs, the one best on the development sentences is kept.

    >>> tagger = train(conll.embedded("train"), recipe=Recipe(epochs=1))
    >>> len(tagger.tag(["Not", "all", "museums", "in", "Paris"]))
    5

    Part of the training sentences is held out, and the threshold is chosen there: never on the development
    sentences. Without development sentences that part also chooses the epoch. The same seed trains the same model.
    KeyboardInterrupt (Ctrl-C) ends training and keeps the best model so far. A corpus of fewer words than any text has
    is trained on with a warning.

    Raises:
        ValueError: where the sentences have no entity of the kind, or nothing else.
    """
    rng = np.random.default_rng(recipe.seed)
    shuffled = rng.permutation(len(sentences))
    count = max(1, round(recipe.held_out * len(sentences)))
    held_out, kept = [sentences[i] for i in shuffled[:count]], [sentences[i] for i in shuffled[count:]]
    development = held_out if development is None else development
    for name, part in ("training", kept), ("held-out", held_out), ("development", development):
        marks = [m for s in part for m in conll.inside(s, settings.entity)]
        if not any(marks) or all(marks):
            raise ValueError(
                f"training needs tokens inside and outside of {settings.entity} in the {name} sentences, "
                f"got {sum(marks)} inside among {len(marks)} of {len(part)} sentences; see --entity"
            )

    vocabulary = text.Vocabulary.of((token for s in kept for token in s.tokens), settings.min_count)
    words, tokens = len(vocabulary) - 2, sum(len(s.tokens) for s in kept)
    if words**2 < tokens:  # text of n tokens has far more than sqrt(n) words (Heaps' law)
        remedy = "is the token in the right column, the corpus real text, and min_count small enough?"
        warnings.warn(f"of {tokens} tokens only {words} words remain, far fewer than text has; {remedy}", stacklevel=2)
    start = initial(settings, len(vocabulary), rng)
    variables = mapped(mg.Tensor, start)
    mean = mapped(np.copy, start)
    tagger = Tagger(settings, vocabulary, mean)
    make, usual_rate = OPTIMIZERS[recipe.optimizer]
    tensors = [t for f in fields(Parameters) if (t := getattr(variables, f.name)) is not None]
    optimizer = make(tensors, recipe.learning_rate or usual_rate)

    def step(true: Windows, corrupt: Windows) -> Any:
        J = objective(variables, true, corrupt)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    if recipe.compile is not None:
        step = mg.compile(step, backend=recipe.compile)

    windows, gold = _examples(tagger, kept)
    true, other = np.flatnonzero(gold), np.flatnonzero(~gold)
    seen = np.bincount(windows.words[:, settings.radius], minlength=len(vocabulary))
    dropout = recipe.word_dropout / (recipe.word_dropout + seen + (recipe.word_dropout == 0))
    dropout[:2] = 0

    def with_unknowns(drawn: Windows) -> Windows:
        unknown = rng.random(drawn.words.shape) < dropout[drawn.words]
        return Windows(np.where(unknown, 1, drawn.words), drawn.cases)

    best, best_f1, best_epoch = tagger, -1.0, 0
    parts = [_examples(tagger, part) for part in (held_out, development)]
    began = time.perf_counter()
    scored = 0
    try:
        for epoch in range(1, recipe.epochs + 1):
            loss = 0.0
            order = rng.permutation(true)
            for i in range(0, len(order), recipe.batch):
                at = order[i : i + recipe.batch]
                corrupt = other[rng.integers(0, len(other), (len(at), recipe.corrupt))]
                J = step(with_unknowns(rows(windows, at)), with_unknowns(rows(windows, corrupt)))
                loss += J.item()
                scored += at.size + corrupt.size
                done = i + len(at)
                speed = scored / (time.perf_counter() - began)
                f1 = max(best_f1, 0.0)
                report(Progress(epoch, recipe.epochs, done, len(order), loss / (done * recipe.corrupt), speed, f1))
            weight = np.float32(max(recipe.average, 1 / epoch))
            mean = mapped(lambda m, p, weight=weight: m + weight * (p.data - m), mean, variables)
            tagger = Tagger(settings, vocabulary, mean)
            (held, held_gold), (dev, dev_gold) = parts
            tagger.threshold = best_threshold(tagger.score(held), held_gold)
            f1 = token_rate(tagger.score(dev) > tagger.threshold, dev_gold).f1
            if f1 > best_f1:
                best, best_f1, best_epoch = tagger, f1, epoch
            elif epoch - best_epoch >= recipe.patience:
                break
    except KeyboardInterrupt:
        if not best_epoch:  # no epoch was completed: the current parameters are the best
            best = Tagger(settings, vocabulary, mapped(lambda p: p.data, variables))
            best.threshold = best_threshold(best.score(parts[0][0]), parts[0][1])
    return best


def _examples(tagger: Tagger, sentences: Sequence[conll.Sentence]) -> tuple[Windows, Array]:
    """The windows of sentences, and which have the entity in their centre."""
    gold = [inside for s in sentences for inside in conll.inside(s, tagger.settings.entity)]
    return tagger.windows(s.tokens for s in sentences), np.array(gold, dtype=bool)
