"""`python -m models words`: trains word vectors or reads them, saves, queries and draws them."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from models import plots, storage, terminal, vectors
from models.training import Checkpoint, InEpochs, compile_option
from models.vectors import Vectors
from models.words import Blocks, Corpus, Recipe, minibatches, objective

KIND = "a checkpoint of `python -m models words`"
EVERY = 100  # minibatches between two losses: one costs more than the step, which needs its gradient only


@dataclass(frozen=True)
class Progress(InEpochs):
    """The progress of training, reported after every minibatch: these are counted."""

    loss: float  # of a pair in the latest minibatch whose loss was computed, before its step
    speed: float  # words of the corpus a second

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  {self.speed:,.0f} words/s"


class Run:
    """Training between two steps; an epoch's minibatches depend on nothing but its number."""

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        if len(corpus.words) < 2:
            got = f"got {len(corpus.words)} words of {recipe.min_count} places or more"
            raise ValueError(f"training needs a text with at least two words, {got}; see --min-count")
        self.corpus, self.recipe = corpus, recipe
        shape = len(corpus.words), recipe.dim
        bound = 0.5 / recipe.dim  # as in word2vec
        start = np.random.default_rng(recipe.seed).uniform(-bound, bound, shape)
        self.V, self.U = mg.Tensor(start.astype(np.float32), "V"), mg.Tensor(np.zeros(shape, np.float32), "U")
        self.optimizer = mg.optim.SGD([self.V, self.U], recipe.learning_rate)
        descend = _descent(self.V, self.U, self.optimizer)
        if recipe.compile is not None:
            of, _ = minibatches(corpus, recipe, np.random.default_rng([recipe.seed, 0]))
            descend = mg.compile(descend, backend=recipe.compile, calls=recipe.epochs * of)
        self._descend = descend
        self.epoch = self.done = 0  # epochs that are complete, and minibatches of the next one
        self.between_steps = True
        digest = sha256(repr(corpus.words).encode("utf-8", "surrogatepass"))
        digest.update(corpus.numbers.tobytes() + corpus.sentences.tobytes())
        self.identity = asdict(recipe) | {"corpus": digest.hexdigest()}

    def steps(self) -> Iterator[Progress]:
        """Learn; between the steps, the progress.

        Raises:
            FloatingPointError: where numbers are no longer finite.
        """
        recipe, words = self.recipe, self.corpus.numbers.size
        rate = mg.optim.linear(recipe.learning_rate, recipe.epochs * words, final=recipe.learning_rate / 250)
        began, first, loss = time.perf_counter(), None, math.nan
        while self.epoch < recipe.epochs:
            of, epoch = minibatches(self.corpus, recipe, np.random.default_rng([recipe.seed, self.epoch]))
            for blocks in islice(epoch, self.done, None):
                passed = words * (self.epoch + self.done / of)
                first = passed if first is None else first
                if self.done % EVERY == 0 or math.isnan(loss):
                    loss = float(objective(self.V.data, self.U.data, blocks)) / max(1.0, float(np.sum(blocks.pairs)))
                    self._check(loss)
                self.between_steps = False
                self.optimizer.lr = rate(round(passed))
                self._descend(blocks)
                self.done += 1
                self.between_steps = True
                if self.done < of:
                    speed = (passed - first) / (time.perf_counter() - began)
                    yield Progress(self.epoch + 1, recipe.epochs, self.done, of, loss, speed)
            self.epoch, self.done = self.epoch + 1, 0
            self._check(self.V.data, self.U.data)
            speed = (self.epoch * words - (first or 0)) / (time.perf_counter() - began)
            yield Progress(self.epoch, recipe.epochs, of, of, loss, speed)

    def _check(self, *numbers: Any) -> None:
        if not all(np.isfinite(x).all() for x in numbers):
            where = f"in epoch {self.epoch + 1}, after {self.done} minibatches of it"
            raise FloatingPointError(f"numbers are no longer finite {where}; a smaller learning rate may help")

    def vectors(self) -> Vectors:
        return Vectors(self.corpus.words, self.V.data)

    def save(self, path: str | Path) -> None:
        """Write the checkpoint. Where the file cannot be written, training is worth more: it goes on with a warning."""
        about = {"words": self.identity, "epoch": self.epoch, "done": self.done}
        try:
            storage.write(path, about, {"V": self.V.data, "U": self.U.data})
        except OSError as error:
            warnings.warn(f"the checkpoint of epoch {self.epoch + 1} could not be written: {error}", stacklevel=2)

    def restore(self, path: str | Path) -> None:
        """Go on where the run in a checkpoint was."""
        with storage.reading(path, KIND) as file:
            was, epoch, done = _position(file)
            other = [name for name in self.identity if was.get(name) != self.identity[name]]
            if not other:
                arrays = file.arrays({"V": self.V.shape, "U": self.U.shape})
                self.V.data, self.U.data = (arrays[name].astype(np.float32) for name in ("V", "U"))
                self.epoch, self.done = epoch, done
        if other:
            raise ValueError(
                f"{path}: needed the run that the checkpoint is of, got another {', another '.join(other)}"
            )


def _descent(V: mg.Tensor, U: mg.Tensor, optimizer: mg.optim.Optimizer) -> Callable[[Blocks], None]:
    """The step, which can be compiled. It does not return the loss: then only the gradient is computed."""

    def step(blocks: Blocks) -> None:
        J = objective(V, U, blocks)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()

    return step


def _position(file: storage.Reader) -> tuple[dict[str, Any], int, int]:
    about = file.about()
    was, epoch, done = (about.get(name) for name in ("words", "epoch", "done"))
    if not (isinstance(was, dict) and all(type(n) is int and n >= 0 for n in (epoch, done))):
        raise ValueError("its description is incomplete")
    return was, epoch, done  # type: ignore[return-value]


def train(
    corpus: Corpus,
    recipe: Recipe = Recipe(),
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Checkpoint | None = None,
) -> Vectors:
    """Train word vectors.

    >>> sentences = [["a", "cat", "sat"], ["a", "dog", "sat"]]
    >>> train(Corpus(sentences), Recipe(dim=4, epochs=2)).V.shape
    (4, 4)

    The same seed trains the same vectors, and so does a run that is resumed from its checkpoint. KeyboardInterrupt
    (Ctrl-C) ends training and keeps what was learnt; where `report` raises it, the checkpoint is saved too.

    Raises:
        FloatingPointError: where numbers are no longer finite.
        ValueError: for a text of fewer than two words; for a checkpoint of another run, and for one of an unfinished
            run that is not to be resumed, and would be lost.
    """
    run = Run(corpus, recipe)
    if checkpoint is not None and checkpoint.resume:
        run.restore(checkpoint.path)
    elif checkpoint is not None and os.path.lexists(checkpoint.path):
        with storage.reading(checkpoint.path, KIND) as file:
            was, epoch, _ = _position(file)
        if epoch != was.get("epochs"):
            remedy = "resume it (--resume), or remove the file to start anew"
            raise ValueError(f"{checkpoint.path}: this checkpoint is of a run that is not finished; {remedy}")
    steps = 0
    try:
        for now in run.steps():
            steps += 1
            if checkpoint is not None and (
                run.done == 0
                if checkpoint.every is None
                else steps % checkpoint.every == 0 or run.epoch == recipe.epochs
            ):
                run.save(checkpoint.path)
            report(now)
    except KeyboardInterrupt:
        if checkpoint is not None and run.between_steps:
            run.save(checkpoint.path)
    return run.vectors()


def options(sub: argparse.ArgumentParser) -> None:
    """The options of the command."""
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="FILE", type=Path, nargs="+", help="train on these: a sentence a line")
    source.add_argument("--vectors", metavar="FILE", type=Path, help="use these: .txt, .bin or .npz")
    sub.add_argument("--out", metavar="FILE", type=Path, help="where they go: word2vec's .txt or .bin, or .npz")
    sub.add_argument("--nearest", metavar="WORD", nargs="+", default=(), help="print the words nearest to each")
    sub.add_argument("--analogy", metavar="WORD", nargs=3, help="A B C: print what is to C as B is to A")
    sub.add_argument("--plot", metavar="FILE", type=Path, help="draw --words in two principal components: .svg, .png")
    sub.add_argument("--words", metavar="WORD", nargs="+", help="the words to draw (default: the 50 most frequent)")
    sub.add_argument("--dim", type=int, help="length of a vector")
    sub.add_argument("--window", type=int, help="words to each side of the centre, at most")
    sub.add_argument("--negatives", type=int, help="words drawn at random for each pair")
    sub.add_argument("--min-count", type=int, help="rarer words are left out")
    sub.add_argument("--subsample", type=float, help="words more frequent than this lose some of their places")
    sub.add_argument("--epochs", type=int, help="passes over the text")
    sub.add_argument("--learning-rate", type=float, help="at the start; it decreases linearly")
    sub.add_argument("--seed", type=int, help="the same seed trains the same vectors")
    compile_option(sub)
    sub.add_argument("--checkpoint", metavar="FILE", type=Path, help="save the run there, to resume it")
    sub.add_argument("--every", metavar="N", type=int, help="steps between checkpoints (default: an epoch)")
    sub.add_argument(
        "--resume", action="store_true", help="go on with the run in --checkpoint, as if it had not been interrupted"
    )
    sub.set_defaults(run=run, **{f.name: f.default for f in fields(Recipe)})


def run(options: argparse.Namespace) -> int:
    """The command."""
    outputs = [path for path in (options.out, options.plot, options.checkpoint) if path is not None]
    storage.check_destinations(options.text or [options.vectors], outputs)
    if options.out is not None:
        vectors.suffix(options.out)
    if options.plot is not None:
        plots.check(options.plot)
    if options.text and not (outputs or options.nearest or options.analogy):
        raise ValueError("training needs a place for the vectors: --out FILE")
    checkpoint = Checkpoint.chosen(options.checkpoint, options.every, options.resume)
    recipe = Recipe(**{f.name: getattr(options, f.name) for f in fields(Recipe) if hasattr(options, f.name)})
    began = time.perf_counter()
    with terminal.stopping() as received:
        if options.text:
            try:
                found = trained(options.text, recipe, checkpoint, received)
            except FloatingPointError as error:
                terminal.say(f"python -m models: {error}", sys.stderr)
                return 1
        else:
            found = Vectors.load(options.vectors)
        if options.out is not None:
            found.save(options.out)
    seconds = time.perf_counter() - began
    if received:
        return 128 + received[0]
    if options.plot is not None:
        found.plot(options.words or found.words[:50], options.plot)
    with terminal.work_is_done(OSError if options.text else BrokenPipeError):
        if options.text:
            terminal.say(f"trained in {seconds:.1f} s")
        for word in options.nearest:
            show(f"nearest to {word}", found.nearest(word))
        if options.analogy:
            a, b, c = options.analogy
            show(f"{a} : {b} = {c} : ?", found.analogy(a, b, c))
        for path in filter(None, (options.out, options.plot)):
            terminal.say(f"saved {path}")
    return 0


def trained(paths: Sequence[Path], recipe: Recipe, checkpoint: Checkpoint | None, received: Sequence[int]) -> Vectors:
    """Train until it is done, or a signal to stop is received."""
    lines: list[list[str]] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8-sig") as file:
                lines.extend(map(str.split, file))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: needed a text in UTF-8, got {error}") from None
    corpus = Corpus(lines, recipe.min_count)
    with suppress(OSError):  # the training is worth more than this line
        terminal.say(f"training on {corpus.numbers.size:,} words, {len(corpus.words):,} different ones", flush=True)
    with terminal.progress() as progress:

        def report(now: Progress) -> None:
            progress(now)
            if received:
                raise KeyboardInterrupt

        return train(corpus, recipe, report, checkpoint)


def show(title: str, found: Sequence[tuple[str, float]]) -> None:
    terminal.table(title, ["", "cosine"], [[word, f"{cosine:.3f}"] for word, cosine in found])
