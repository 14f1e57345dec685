"""Training the tagger: minibatches of true windows, corrupt windows drawn for each, the max-margin objective."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import ranks
from minigrad.text import shortened
from models import conll, processes, storage, text
from models.device import CPU, Device, is_array
from models.tagger import Settings, Tagger, best_threshold, token_rate
from models.vectors import Vectors
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
    compile: str | None = None  # the step as straight-line source: "numpy", or "numba" where it pays

    def __post_init__(self) -> None:
        for name, least in ("epochs", 1), ("patience", 1), ("batch", 1), ("corrupt", 1), ("seed", 0):
            if getattr(self, name) < least:
                raise ValueError(f"{name} needs to be at least {least}, got {getattr(self, name)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer needs to be one of {', '.join(OPTIMIZERS)}, got {self.optimizer}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out needs to be between 0 and 1, got {self.held_out}")
        if not 0 < self.average <= 1:
            raise ValueError(f"average needs to be above 0 and at most 1, got {self.average}")
        if not 0 <= self.word_dropout < math.inf:
            raise ValueError(f"word_dropout needs to be at least 0 and finite, got {self.word_dropout}")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"training needs a finite learning rate above 0, got {self.learning_rate}")


def compile_option(sub: argparse.ArgumentParser) -> None:
    """The option of the commands that train in epochs, for the recipe's `compile`."""
    sub.add_argument(
        "--compile",
        nargs="?",
        const="numpy",
        choices=["numpy", "numba"],
        help="compile the training step: numpy by default, or numba (pip install -e '.[fast]') where there are so many "
        "steps that it wins back the seconds it takes",
    )


@dataclass(frozen=True)
class InEpochs:
    """How far training in epochs is."""

    epoch: int
    epochs: int
    done: int  # examples, or minibatches, of this epoch
    of: int

    @property
    def place(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}"

    @property
    def parts(self) -> int:
        return self.epochs

    @property
    def fraction(self) -> float:
        return (self.epoch - 1 + self.done / self.of) / self.epochs


@dataclass(frozen=True)
class Progress(InEpochs):
    """The progress of training, reported after every minibatch: true windows are counted."""

    loss: float  # mean hinge of this epoch so far
    speed: float  # windows, true and corrupt, a second
    f1: float  # the best yet, on the development sentences or those held out
    epoch_f1: float = math.nan  # of the epoch, once it is complete

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  {self.speed:,.0f} windows/s  best F1 {self.f1:.3f}"


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


SPREAD = 0.06  # the standard deviation of word vectors that training starts from


def _extended(vocabulary: text.Vocabulary, vectors: Vectors, settings: Settings) -> text.Vocabulary:
    """With the words that only the vectors know: the vector of such a word is better than the unknown word's."""
    if vectors.V.shape[1] != settings.dim:
        length = vectors.V.shape[1]
        raise ValueError(f"needed vectors of {settings.dim} numbers, got {length}; choose --dim {length}")
    return text.Vocabulary([*vocabulary.words, *(word for word in vectors.words if word not in vocabulary.number)])


def _start_from(vectors: Vectors, L: Array, vocabulary: text.Vocabulary) -> None:
    """Replace the rows of words that have a vector."""
    pairs = [(i, vectors.number[word]) for i, word in enumerate(vocabulary.words) if word in vectors.number]
    rows, numbers = np.array(pairs, np.intp).reshape(-1, 2).T
    L[rows] = vectors.V[numbers] * (SPREAD / np.std(vectors.V))


def mapped(function: Callable[..., Any], *params: Parameters) -> Parameters:
    """A function of arrays on each of the parameters; the case vectors may be None."""
    pairs = ([getattr(p, f.name) for p in params] for f in fields(Parameters))
    return Parameters(*(None if values[0] is None else function(*values) for values in pairs))


def rows(windows: Windows, at: Array) -> Windows:
    """Some of the windows."""
    return Windows(windows.words.take(at, 0), None if windows.cases is None else windows.cases.take(at, 0))


CHECKPOINT_FORMAT = 1
KIND = "a checkpoint of `python -m models train`"
#: The fields of a `Run` that say where it is.
POSITION = "epoch", "steps", "done", "loss", "best_f1", "best_epoch", "finished", "epoch_state"


class Diverged(ValueError):
    """Training in which numbers stopped being finite; `best` is the best model of the epochs before, if any."""

    def __init__(self, message: str, best: Tagger | None) -> None:
        super().__init__(message)
        self.best = best


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a run is saved, so that it can be resumed after an interruption.

    The file holds all that the next step depends on: parameters, their running mean and the best model so far, the
    optimizer's state, the random generator's, and the position in the epoch. The corpora are not in it.
    """

    path: str | Path
    every: int | None = None  # steps; None: once an epoch
    resume: bool = False  # go on with the run in the file

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"every needs to be at least 1, got {self.every}")

    @classmethod
    def chosen(cls, path: Path | None, every: int | None, resume: bool) -> Checkpoint | None:
        """The one that the options of a command choose, if any."""
        if path is None and (resume or every is not None):
            raise ValueError("--resume and --every need --checkpoint FILE")
        return None if path is None else cls(path, every, resume)


def train(
    sentences: Sequence[conll.Sentence],
    development: Sequence[conll.Sentence] | None = None,
    settings: Settings = Settings(),
    recipe: Recipe = Recipe(),
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint: Checkpoint | None = None,
    vectors: Vectors | None = None,
    comm: Any = None,
    device: Device = CPU,
) -> Tagger:
    """Train a tagger; of all epochs, the one best on the development sentences is kept.

    >>> tagger = train(conll.embedded("train"), recipe=Recipe(epochs=1))
    >>> len(tagger.tag(["Not", "all", "museums", "in", "Paris"]))
    5

    Part of the training sentences is held out, and the threshold is chosen there: never on the development
    sentences. Without development sentences that part also chooses the epoch. The same seed trains the same model, and
    so does a run that is interrupted and resumed from its checkpoint. KeyboardInterrupt (Ctrl-C) ends training and
    keeps the best model so far; where `report` raises it, between two steps, the checkpoint is saved too. A corpus of
    fewer words than any text has is a warning, and so is a checkpoint that could not be written.

    With an MPI communicator its ranks share the work of each minibatch, and return the model that one process trains,
    up to rounding. Every rank passes the same arguments, which is checked; `report` raises KeyboardInterrupt on all of
    them or on none. The first rank writes the checkpoint. Another error in the training of one rank ends all processes.

    On another device, parameters, windows and optimizer are there while training; the minibatches are the same, and the
    model, which comes back on NumPy's arrays, is so up to rounding. A checkpoint can be resumed on any device.

    Raises:
        Diverged: where the loss or the parameters are no longer finite. It has the best model so far.
        ValueError: where the sentences have no entity of the kind, or nothing else; for a checkpoint of another run,
            and for one of an unfinished run that is not to be resumed, and would be lost; for ranks that differ; for
            another device with a communicator or a compiled step.
    """

    def begun() -> Run:
        run = Run(sentences, development, settings, recipe, vectors, comm, device)
        if checkpoint is not None and checkpoint.resume:
            run.restore(checkpoint.path)
        elif checkpoint is not None and os.path.lexists(checkpoint.path):
            _check_finished(checkpoint.path)
        return run

    run = ranks.together(comm, begun)
    if comm is not None:
        run.check_ranks(checkpoint=checkpoint and f"every {checkpoint.every or 'epoch'}", **run.identity)
    with processes.one_fate(comm, Diverged):
        try:
            while not run.finished:
                progress = run.step()
                if checkpoint is not None:
                    due = run.done == 0 if checkpoint.every is None else run.steps % checkpoint.every == 0
                    if due or run.finished:
                        run.save(checkpoint.path)
                report(progress)
        except KeyboardInterrupt:
            if checkpoint is not None and run.between_steps:
                run.save(checkpoint.path)
        return device.back(run.best or run.current())


class Run:
    """Training between two steps: what the next step depends on is in its fields, and in its checkpoint."""

    def __init__(
        self,
        sentences: Sequence[conll.Sentence],
        development: Sequence[conll.Sentence] | None,
        settings: Settings,
        recipe: Recipe,
        vectors: Vectors | None = None,
        comm: Any = None,
        device: Device = CPU,
    ) -> None:
        device.check(recipe.compile, comm)
        self.settings, self.recipe, self.pretrained, self.comm, self.device = settings, recipe, vectors, comm, device
        self.corpora = sentences, development
        self.rng = rng = np.random.default_rng(recipe.seed)
        shuffled = rng.permutation(len(sentences))
        count = max(1, round(recipe.held_out * len(sentences)))
        held_out, kept = [sentences[i] for i in shuffled[:count]], [sentences[i] for i in shuffled[count:]]
        parts = {"training": kept, "held-out": held_out}
        if development is not None:
            parts["development"] = list(development)
        gold = {name: _gold(part, settings.entity) for name, part in parts.items()}
        for name, marks in gold.items():
            if not marks.any() or marks.all():
                raise ValueError(
                    f"training needs tokens inside and outside of {settings.entity} in the {name} sentences, "
                    f"got {marks.sum()} inside among {marks.size} of {len(parts[name])} sentences; see --entity"
                )

        self.vocabulary = text.Vocabulary.of((token for s in kept for token in s.tokens), settings.min_count)
        if vectors is not None:
            self.vocabulary = _extended(self.vocabulary, vectors, settings)
        words, tokens = len(self.vocabulary) - 2, sum(len(s.tokens) for s in kept)
        if words**2 < tokens:  # text of n tokens has far more than sqrt(n) words (Heaps' law)
            remedy = "is the token in the right column, the corpus real text, and min_count small enough?"
            warnings.warn(
                f"of {tokens} tokens only {words} words remain, far fewer than text has; {remedy}", stacklevel=3
            )
        start = initial(settings, len(self.vocabulary), rng)
        if vectors is not None:
            _start_from(vectors, start.L, self.vocabulary)
        start = device.to(start)
        self.variables = mapped(mg.Tensor, start)
        self.mean = mapped(np.copy, start)
        make, usual_rate = OPTIMIZERS[recipe.optimizer]
        rate = usual_rate if recipe.learning_rate is None else recipe.learning_rate
        self.optimizer = make([t for t in vars(self.variables).values() if t is not None], rate, comm=comm)

        shape = Tagger(settings, self.vocabulary, start)
        windows = {name: shape.windows(s.tokens for s in part) for name, part in parts.items()}
        training = windows.pop("training")
        self.windows = device.to(training)
        #: what a model is judged on: the held-out sentences, and those of development where they are others
        self.parts = [(device.to(part), gold[name]) for name, part in windows.items()]
        self.true, self.other = np.flatnonzero(gold["training"]), np.flatnonzero(~gold["training"])
        self._uncompiled = _descent(self.variables, self.optimizer) if comm is None else _gradients(self.variables)
        self._descend = self._uncompiled
        if recipe.compile is not None:
            calls = recipe.epochs * math.ceil(len(self.true) / recipe.batch)
            self._descend = mg.compile(self._uncompiled, backend=recipe.compile, calls=calls)
        seen = np.bincount(training.words[:, settings.radius], minlength=len(self.vocabulary))
        dropout = recipe.word_dropout / (recipe.word_dropout + seen + (recipe.word_dropout == 0))
        dropout[:2] = 0
        self.dropout = device.to(dropout)

        self.best: Tagger | None = None
        self.best_f1, self.best_epoch = 0.0, 0
        self.epoch = self.steps = 0
        self.finished, self.between_steps = False, True
        self.began, self.scored = time.perf_counter(), 0
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self.done, self.loss = 0, 0.0  # true windows of this epoch, and the sum of their hinges
        self.epoch_state = self.rng.bit_generator.state
        self.order = self.rng.permutation(self.true)

    def _part(self, n: int) -> slice:
        """Those of n things that are this rank's."""
        rank, size = (0, 1) if self.comm is None else (self.comm.Get_rank(), self.comm.Get_size())
        return slice(n * rank // size, n * (rank + 1) // size)

    def _windows_at(self, at: Array) -> Windows:
        """This rank's part of some windows, with words unknown at random: every rank draws all random numbers."""
        part = self._part(len(at))
        own, chance = self.device.to((at[part], self.rng.random((*at.shape, self.windows.words.shape[-1]))[part]))
        drawn = rows(self.windows, own)
        return Windows(np.where(chance < self.dropout[drawn.words], 1, drawn.words), drawn.cases)

    def _descended(self, true: Windows, corrupt: Windows) -> float:
        """The loss of a minibatch, after the step that all ranks have made."""
        if self.comm is None:
            return float(self._descend(true, corrupt))
        self.optimizer.zero_grad()
        J = float(self._descend(true, corrupt))
        self.optimizer.step()
        return float(sum(self.comm.allgather(J)))

    def step(self) -> Progress:
        """Learn from one minibatch; after the last one of an epoch, update the best model."""
        self.between_steps = False
        recipe, epoch, of = self.recipe, self.epoch, len(self.order)
        at = self.order[self.done : self.done + recipe.batch]
        corrupt = self.other[self.rng.integers(0, len(self.other), (len(at), recipe.corrupt))]
        self.loss += self._descended(self._windows_at(at), self._windows_at(corrupt))
        self.steps += 1
        self.scored += at.size + corrupt.size
        self.done = done = self.done + len(at)
        loss = self.loss / (done * recipe.corrupt)
        if not math.isfinite(loss):
            self._diverge(f"the loss is {loss}")
        f1 = self._end_epoch() if done == of else math.nan
        self.between_steps = True
        speed = self.scored / (time.perf_counter() - self.began)
        return Progress(epoch, recipe.epochs, done, of, loss, speed, self.best_f1, f1)

    def _end_epoch(self) -> float:
        """Update the running mean, and the best model; the F1 of the mean."""
        weight = np.float32(max(self.recipe.average, 1 / self.epoch))
        self.mean = mapped(lambda m, p: m + weight * (p.data - m), self.mean, self.variables)
        tagger, f1 = self._tagger(self.mean)
        if not all(np.isfinite(a).all() for a in [*_present(self.mean).values(), tagger.threshold]):
            self._diverge("the parameters are not finite")
        if self.comm is not None:
            self.check_ranks()
        if self.best is None or f1 > self.best_f1:
            self.best, self.best_f1, self.best_epoch = tagger, f1, self.epoch
        self.finished = self.epoch == self.recipe.epochs or self.epoch - self.best_epoch >= self.recipe.patience
        self._begin_epoch()
        return f1

    def _diverge(self, what: str) -> None:
        kept = f"the best model, of epoch {self.best_epoch}, is kept" if self.best else "there is no model yet"
        remedy = "a smaller learning rate may help"
        raise Diverged(
            f"{what} at step {self.steps}, in epoch {self.epoch}: training stops, {kept}; {remedy}",
            self.device.back(self.best),
        )

    def _tagger(self, params: Parameters) -> tuple[Tagger, float]:
        """A model with the threshold that is best on the held-out sentences, and its F1 on those of development."""
        tagger = Tagger(self.settings, self.vocabulary, params)
        scores = [self._scores(tagger, windows) for windows, _ in self.parts]
        golds = [gold for _, gold in self.parts]
        tagger.threshold = best_threshold(scores[0], golds[0])
        return tagger, token_rate(scores[-1] > tagger.threshold, golds[-1]).f1

    def _scores(self, tagger: Tagger, windows: Windows) -> Array:
        """The scores of all windows, of which each rank computes its part."""
        part = self._part(len(windows.words))
        own = self.device.back(tagger.score(Windows(*(None if a is None else a[part] for a in windows))))
        return own if self.comm is None else np.concatenate(self.comm.allgather(own))

    def check_ranks(self, **further: Any) -> None:
        """Compare the place in training, all arrays and some further facts on all ranks.

        Raises:
            ValueError: where they are not the same.
        """

        def facts() -> dict[str, Any]:
            arrays = {name: ranks.fact(a) for name, a in self._arrays().items()}
            return {**further, **self._numbers(), **arrays}

        ranks.require_same(ranks.gathered(self.comm, facts))

    def current(self) -> Tagger:
        """The model of the parameters as they are, in the first epoch."""
        return self._tagger(mapped(lambda p: p.data, self.variables))[0]

    def _arrays(self) -> dict[str, Array]:
        """The arrays that change while training, by name."""
        groups = {"variables": mapped(lambda p: p.data, self.variables), "mean": self.mean}
        if self.best is not None:
            groups["best"] = self.best.params
        arrays = {f"{group}.{name}": a for group, params in groups.items() for name, a in _present(params).items()}
        for name, values in self._optimizer_state().items():
            arrays |= {f"optimizer.{name}.{i}": a for i, a in enumerate(values) if is_array(a)}
        return arrays

    def _optimizer_state(self) -> dict[str, list[Any]]:
        """An optimizer's state: its lists, of arrays or numbers, other than that of the parameters."""
        return {name: a for name, a in vars(self.optimizer).items() if isinstance(a, list) and name != "params"}

    def _numbers(self) -> dict[str, Any]:
        """What else changes while training, as JSON has it."""
        state = self._optimizer_state().items()
        return {
            "threshold": None if self.best is None else self.best.threshold,
            **{name: getattr(self, name) for name in POSITION},
            "optimizer": {name: a for name, a in state if not any(map(is_array, a))},
            "optimizer steps": self.optimizer.steps,
            "random state": self.rng.bit_generator.state,
        }

    @property
    def _backend(self) -> str | None:
        """The backend that the first step chose; None before it, and where steps are not compiled.

        The first step after `restore` may be that of a smaller minibatch, which would choose another: other bits.
        """
        return getattr(self._descend, "backend", None) if self.steps else None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a run to resume has to have in common with this one."""
        names = "training corpus", "development corpus"
        corpora = {name: None if c is None else _fingerprint(c) for name, c in zip(names, self.corpora)}
        pretrained = {"vectors": None if self.pretrained is None else self.pretrained.fingerprint}
        return asdict(self.settings) | asdict(self.recipe) | corpora | pretrained

    def save(self, path: str | Path) -> None:
        """Write the checkpoint. Where the file cannot be written, training is worth more: it goes on with a warning."""
        arrays = self.device.back(self._arrays())
        state = self._numbers() | {"backend": self._backend}
        about = {"checkpoint": CHECKPOINT_FORMAT, "run": self.identity, "state": state}
        try:
            if self.comm is None or self.comm.Get_rank() == 0:
                storage.write(path, about, arrays)
            else:
                storage.storable(path, arrays)
        except OSError as error:
            warnings.warn(f"the checkpoint of step {self.steps} could not be written: {error}", stacklevel=3)
        except ValueError as error:
            self._diverge(str(error))

    def restore(self, path: str | Path) -> None:
        """Go on where the run in a checkpoint was."""
        with storage.reading(path, KIND) as file:
            about = _checkpoint(file)
            was, now = about["run"], self.identity
            other = [name for name in now if was.get(name) != now[name]]
            if not other:
                self._restore(file, about["state"])
        if other:
            pairs = ((name, shortened(was.get(name), 100), shortened(now[name], 100)) for name in other)
            changes = (
                f"{name} is another" if name.endswith("corpus") else f"{name} was {before} and is {after}"
                for name, before, after in pairs
            )
            raise ValueError(f"{path}: needed the run that the checkpoint is of, got another: {', '.join(changes)}")

    def _restore(self, file: storage.Reader, state: dict[str, Any]) -> None:
        threshold, backend = state.pop("threshold", None), state.pop("backend", None)
        model = self._numbers()
        del model["threshold"]
        of = len(self.order)
        if not (
            (threshold is None or _is_like(threshold, 0.0))
            and (backend is None or (self.recipe.compile is not None and backend in ("numpy", self.recipe.compile)))
            and _is_like(state, model)
            and 1 <= state["epoch"] <= self.recipe.epochs + 1
            and state["done"] in range(0, of, self.recipe.batch)
            and 0 <= state["best_epoch"] < state["epoch"]
            and (threshold is None) == (state["best_epoch"] == 0)
        ):
            raise ValueError("its state is not one of this run")
        if threshold is not None:
            self.best = Tagger(self.settings, self.vocabulary, mapped(np.copy, self.mean), threshold)
        mine = self._arrays()
        for name, a in file.arrays({name: a.shape for name, a in mine.items()}).items():
            if a.dtype != mine[name].dtype:
                raise ValueError(f"needed {mine[name].dtype}, got {a.dtype} in {name}")
            mine[name][...] = self.device.to(a)
        for t in _present(self.variables).values():
            t.data = t.data  # it was changed in place
        for name, values in state["optimizer"].items():
            self._optimizer_state()[name][:] = values
        self.optimizer.steps = state["optimizer steps"]
        if backend is not None:
            self._descend = mg.compile(self._uncompiled, backend=backend)
        for name in POSITION:
            setattr(self, name, state[name])
        self.rng.bit_generator.state = self.epoch_state
        self.order = self.rng.permutation(self.true)
        self.rng.bit_generator.state = state["random state"]


def _descent(variables: Parameters, optimizer: mg.optim.Optimizer) -> Callable[[Windows, Windows], Any]:
    """The step, which can be compiled: it reaches nothing but what it moves."""

    def step(true: Windows, corrupt: Windows) -> Any:
        J = objective(variables, true, corrupt)
        optimizer.zero_grad()
        J.backward()
        optimizer.step()
        return J

    return step


def _gradients(variables: Parameters) -> Callable[[Windows, Windows], Any]:
    """The part of a step that no other rank takes part in, which can be compiled."""

    def gradients(true: Windows, corrupt: Windows) -> Any:
        J = objective(variables, true, corrupt)
        J.backward()
        return J

    return gradients


def _checkpoint(file: storage.Reader) -> dict[str, Any]:
    """The description of a checkpoint."""
    about = file.about()
    if about.get("checkpoint") != CHECKPOINT_FORMAT:
        raise ValueError(f"needed format {CHECKPOINT_FORMAT}, got {about.get('checkpoint')!r}")
    if not (isinstance(about.get("run"), dict) and isinstance(about.get("state"), dict)):
        raise ValueError("its description is incomplete")
    return about


def _check_finished(path: str | Path) -> None:
    """Is it right to replace a checkpoint by that of another run?"""
    with storage.reading(path, KIND) as file:
        finished = _checkpoint(file)["state"].get("finished") is True
    if not finished:
        remedy = "resume it (--resume), or remove the file to start anew"
        raise ValueError(f"{path}: this checkpoint is of a run that is not finished, and would be lost; {remedy}")


def _fingerprint(sentences: Iterable[conll.Sentence]) -> str:
    digest = sha256()
    for s in sentences:
        digest.update(json.dumps([s.tokens, s.tags]).encode())
    return digest.hexdigest()


def _is_like(value: Any, model: Any) -> bool:
    """Is a value from JSON of the structure and the types of another?"""
    if type(value) is not type(model):
        return False
    if isinstance(value, dict):
        return value.keys() == model.keys() and all(_is_like(value[name], model[name]) for name in model)
    if isinstance(value, list):
        return len(value) == len(model) and all(map(_is_like, value, model))
    return not isinstance(value, float) or math.isfinite(value)


def _present(params: Parameters) -> dict[str, Any]:
    """The parameters by name, without case vectors where there are none."""
    return {name: a for name, a in vars(params).items() if a is not None}


def _gold(sentences: Iterable[conll.Sentence], entity: str) -> Array:
    """Which tokens have the entity."""
    return np.array([inside for s in sentences for inside in conll.inside(s, entity)], dtype=bool)
