"""Word vectors: skip-gram with negative sampling (Mikolov et al., NIPS 2013; word2vec), beside its gradient by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from models import text

Array = Any


def loss(v_c: Array, u_o: Array, U_k: Array) -> Array:
    """J = -log σ(u_o . v_c) - Σ log σ(-u_k . v_c): of a centre word, a word near it, and K words drawn at random.

    >>> float(loss(np.zeros(4), np.ones(4), np.ones((3, 4))) / np.log(2.0))
    4.0

    Shapes: v_c (d,), u_o (d,), U_k (K, d); J is a number.
    """
    return -mg.log_sigmoid(u_o @ v_c) - mg.sum(mg.log_sigmoid(-(U_k @ v_c)))


def loss_by_hand(v_c: Array, u_o: Array, U_k: Array) -> dict[str, Array]:
    """With δ_o = σ(u_o . v_c) - 1 = -σ(-u_o . v_c) and δ_k = σ(u_k . v_c), each gradient is the sum of δ times vectors.

    >>> loss_by_hand(np.zeros(2), np.ones(2), np.ones((3, 2)))["v_c"]
    array([1., 1.])
    """
    delta_o, delta_k = -mg.sigmoid(-(u_o @ v_c)), mg.sigmoid(U_k @ v_c)
    return {"v_c": delta_o * u_o + U_k.T @ delta_k, "u_o": delta_o * v_c, "U_k": np.outer(delta_k, v_c)}


class Blocks(NamedTuple):
    """G blocks of T words in a row, each of which shares its K negatives: a product of matrices has all its scores."""

    centres: Array  # numbers of words, (G, T)
    nearby: Array  # the same words and those to both sides, (G, T + 2 window)
    negatives: Array  # (G, K)
    pairs: Array  # 1 where a word of `nearby` is in the window of a centre, else 0: (G, T, T + 2 window)
    shares: Array  # the weight of a negative: the pairs of the centre times the negatives of a pair, over K: (G, T, 1)


def objective(V: Array, U: Array, blocks: Blocks) -> Array:
    """The losses of all pairs: a centre meets all negatives of its block, weighted as if each pair had its own.

    Its expectation is the sum of `loss` over the pairs, where a negative may be the word nearby. V and U (words, d) are
    the vectors of words as centres and of words near them; both gradients are row-sparse.
    """
    v = mg.embedding(V, blocks.centres)
    s_o = v @ np.swapaxes(mg.embedding(U, blocks.nearby), 1, 2)
    s_k = v @ np.swapaxes(mg.embedding(U, blocks.negatives), 1, 2)
    return -mg.sum(blocks.pairs * mg.log_sigmoid(s_o)) - mg.sum(blocks.shares * mg.log_sigmoid(-s_k))


def objective_by_hand(V: Array, U: Array, blocks: Blocks) -> dict[str, Array]:
    """The same δ, weighted; the gradient of a word is the sum over its places."""
    v, u_o, u_k = V[blocks.centres], U[blocks.nearby], U[blocks.negatives]
    delta_o = -blocks.pairs * mg.sigmoid(-(v @ u_o.swapaxes(1, 2)))
    delta_k = blocks.shares * mg.sigmoid(v @ u_k.swapaxes(1, 2))
    dV, dU = np.zeros_like(V), np.zeros_like(U)
    np.add.at(dV, blocks.centres, delta_o @ u_o + delta_k @ u_k)
    np.add.at(dU, blocks.nearby, delta_o.swapaxes(1, 2) @ v)
    np.add.at(dU, blocks.negatives, delta_k.swapaxes(1, 2) @ v)
    return {"V": dV, "U": dU}


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of word2vec and gensim, but for dim and epochs."""

    dim: int = 50
    window: int = 5  # words to each side, at most: a centre draws its own number
    negatives: int = 5  # for each pair
    min_count: int = 5  # rarer words are left out
    subsample: float = 1e-3  # t: of the places of a word of frequency f, sqrt(t / f) + t / f are kept
    epochs: int = 10
    learning_rate: float = 0.025  # at the start; it decreases linearly to a 250th
    length: int = 32  # words in a block
    blocks: int = 8  # in a minibatch
    shared: int = 32  # negatives of a block
    seed: int = 0
    compile: str | None = None  # the step as straight-line source: "numpy", or "numba" where it pays

    def __post_init__(self) -> None:
        for name in "dim", "window", "negatives", "min_count", "epochs", "length", "blocks", "shared":
            if getattr(self, name) < 1:
                raise ValueError(f"{name} needs to be at least 1, got {getattr(self, name)}")
        for name in "subsample", "learning_rate":
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} needs to be a finite number above 0, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed needs to be at least 0, got {self.seed}")


class Corpus:
    """Sentences in numbers: of words, folded as the tagger's are, the most frequent first.

    >>> corpus = Corpus([["To", "be", "or", "not", "to", "be"]], min_count=2)
    >>> corpus.words, corpus.counts, corpus.numbers, corpus.sentences
    (['to', 'be'], array([2, 2]), array([0, 1, 0, 1], dtype=int32), array([0, 0, 0, 0], dtype=int32))
    """

    def __init__(self, sentences: Iterable[Sequence[str]], min_count: int = 1) -> None:
        lines = list(sentences)
        folded = {token: text.fold(token) for token in set(chain.from_iterable(lines))}
        counts = Counter(folded[token] for line in lines for token in line)
        kept = [(word, n) for word, n in counts.most_common() if n >= min_count]
        self.words = [word for word, _ in kept]
        self.counts = np.array([n for _, n in kept], dtype=np.int64)
        number = {word: i for i, (word, _) in enumerate(kept)}
        places = ((number.get(folded[token], -1), i) for i, line in enumerate(lines) for token in line)
        found = np.fromiter(chain.from_iterable(places), np.int32).reshape(-1, 2)
        self.numbers, self.sentences = found[found[:, 0] >= 0].T.copy()


def kept_places(corpus: Corpus, subsample: float, rng: np.random.Generator) -> Array:
    """The places that subsampling keeps: a word of frequency f at sqrt(t / f) + t / f of its places, at most at all."""
    ratio = subsample * np.sum(corpus.counts) / corpus.counts
    return np.flatnonzero(rng.random(corpus.numbers.size) < (np.sqrt(ratio) + ratio)[corpus.numbers])


def minibatches(corpus: Corpus, recipe: Recipe, rng: np.random.Generator) -> tuple[int, Iterator[Blocks]]:
    """An epoch, and how many minibatches it has: blocks of the places that are kept, in a random order."""
    T, w, kept = recipe.length, recipe.window, kept_places(corpus, recipe.subsample, rng)
    size = -(-kept.size // (T * recipe.blocks)) * T * recipe.blocks  # minibatches of one shape are compiled once
    words, sentences = np.zeros(size + 2 * w, np.int32), np.full(size + 2 * w, -1, np.int32)
    words[w : w + kept.size], sentences[w : w + kept.size] = corpus.numbers[kept], corpus.sentences[kept]
    reach = np.where(sentences < 0, 0, rng.integers(1, w + 1, sentences.size, np.int32))
    at, around = np.arange(w, w + T), np.arange(T + 2 * w)
    distance = np.abs(at[:, None] - around).astype(np.int32)
    distance[distance == 0] = w + 1  # no word is near itself
    noise = np.cumsum(corpus.counts**0.75)
    starts = rng.permutation(np.arange(0, size, T)).reshape(-1, recipe.blocks, 1)

    def made(start: Array) -> Blocks:
        centres, nearby = start + at, start + around
        pairs = (distance <= reach[centres][..., None]) & (sentences[centres][..., None] == sentences[nearby][:, None])
        shares = np.sum(pairs, axis=2, keepdims=True) * np.float32(recipe.negatives / recipe.shared)
        drawn = np.searchsorted(noise, rng.random((recipe.blocks, recipe.shared)) * noise[-1], side="right")
        return Blocks(words[centres], words[nearby], drawn, pairs.astype(np.float32), shares.astype(np.float32))

    return len(starts), map(made, starts)
