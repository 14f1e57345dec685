"""Word vectors: words of a corpus a second, against gensim's skip-gram with one worker; first, equal quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.harness import Benchmark, Measure, faster, timed
from models.vectors_command import Run
from models.words import Corpus, Recipe

Array = Any
Lines = list[list[str]]

WORDS, TOPICS = 5_000, 50


def text(sentences: int, seed: int = 0) -> Lines:
    """Sentences of 25 words, whose frequencies follow Zipf's law; half of the words of a sentence are of its topic."""
    rng = np.random.default_rng(seed)
    names = ["".join(chr(97 + i // 26**k % 26) for k in range(3)) for i in range(WORDS)]
    p = 1 / np.arange(10, WORDS + 10)
    p /= p.sum()
    lines = rng.choice(WORDS, (sentences, 25), p=p)
    topics = rng.integers(0, TOPICS, (sentences, 1))
    of_topic = np.minimum(lines // TOPICS * TOPICS + topics, WORDS - 1)
    return [[names[i] for i in line] for line in np.where(rng.random(lines.shape) < 0.5, of_topic, lines).tolist()]


def minigrad(lines: Lines, recipe: Recipe) -> tuple[Callable[[], object], Callable[[], tuple[Array, Array]]]:
    """Training, and the vectors of words as centres and as words nearby."""
    run = Run(Corpus(lines, recipe.min_count), recipe)
    return lambda: [None for _ in run.steps()], lambda: (run.V.data, run.U.data)


def gensim(lines: Lines, recipe: Recipe) -> tuple[Callable[[], object], Callable[[], tuple[Array, Array]]]:
    model = import_module("gensim.models").Word2Vec(
        vector_size=recipe.dim, window=recipe.window, negative=recipe.negatives, min_count=recipe.min_count, sg=1,
        sample=recipe.subsample, alpha=recipe.learning_rate, workers=1, seed=recipe.seed + 1,
    )  # fmt: skip
    model.build_vocab(lines)
    rows = [model.wv.key_to_index[word] for word in Corpus(lines, recipe.min_count).words]
    return (
        lambda: model.train(lines, total_examples=len(lines), epochs=recipe.epochs),
        lambda: (model.wv.vectors[rows], model.syn1neg[rows]),
    )


def held_out_loss(V: Array, U: Array, corpus: Corpus, lines: Lines, recipe: Recipe) -> float:
    """The mean loss of the pairs of other sentences, with negatives of their own."""
    rng = np.random.default_rng(1)
    number = {word: i for i, word in enumerate(corpus.words)}
    sentences = [[number[word] for word in line if word in number] for line in lines]
    pairs = [(s[i], s[j]) for s in sentences for i in range(len(s)) for j in range(len(s)) if 0 < abs(i - j) <= 2]
    c, o = np.array(pairs).T
    noise = corpus.counts**0.75
    k = rng.choice(noise.size, (c.size, recipe.negatives), p=noise / noise.sum())
    s_o, s_k = np.sum(V[c] * U[o], axis=1), np.sum(V[c][:, None] * U[k], axis=2)
    return float(np.mean(np.sum(mg.softplus(s_k), axis=1) - mg.log_sigmoid(s_o)))


@cache
def check_quality(quick: bool) -> float:
    """The held-out loss as a ratio of gensim's.

    Raises:
        AssertionError: where it is more than 1 % above.
    """
    train, other, recipe = text(1_000 if quick else 8_000), text(200, seed=1), Recipe(compile="numpy", epochs=5)
    losses = []
    for make in minigrad, gensim:
        run, result = make(train, recipe)
        run()
        losses.append(held_out_loss(*result(), Corpus(train, recipe.min_count), other, recipe))
    if not quick and losses[0] > 1.01 * losses[1]:
        raise AssertionError(f"the held-out loss is {losses[0]:.4f}, gensim's {losses[1]:.4f}")
    return losses[0] / losses[1]


WARM = 5  # steps, in which the first call compiles and the second is compared with it


def speed(lines: Lines, backend: str | None) -> Measure | None:
    """The microseconds of a word of an epoch, without building the vocabulary and compiling."""
    if backend == "numba" and find_spec("numba") is None:
        return None
    run = Run(Corpus(lines, 5), Recipe(epochs=1, compile=backend))

    def measure() -> float:
        run.epoch = run.done = 0
        steps = run.steps()
        for _ in range(WARM):
            next(steps)
        before = time.perf_counter()
        for now in steps:
            last = now
        share = 1 - WARM / (last.of if last else 1)
        return (time.perf_counter() - before) / (share * run.corpus.numbers.size) * 1e6

    return measure


def speed_of_gensim(lines: Lines) -> Measure | None:
    if find_spec("gensim") is None:
        return None
    recipe = Recipe(epochs=1)
    run, _ = gensim(lines, recipe)
    return timed(lambda: (lambda i: run(), list), 1, 1e6 / Corpus(lines, recipe.min_count).numbers.size)


def benchmarks(quick: bool) -> Iterator[Benchmark]:
    lines = text(1_000 if quick else 8_000)
    peer = speed_of_gensim(lines)
    title = "words: skip-gram, 5 negatives, window 5, 50 numbers, one thread"
    if peer is not None:
        title += f"; held-out loss {check_quality(quick):.3f} times gensim's"
    yield Benchmark(
        title,
        "µs a word",
        [faster(0.3, "minigrad, compiled", "gensim"), faster(1.0, "minigrad, compiled, numba", "gensim")],
        {
            "minigrad": speed(lines, None),
            "minigrad, compiled": speed(lines, "numpy"),
            "minigrad, compiled, numba": speed(lines, "numba"),
            "gensim": peer,
        },
        rounds=2 if quick else 7,
    )
