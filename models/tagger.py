"""The location tagger: the window scorer with its vocabulary and a threshold, evaluated, saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from models import conll, storage, text
from models.window import Parameters, Windows, inputs, scores

Array = Any

BLOCK = 1024  # windows that are scored together: what is computed of them stays in the processor's cache
FORMAT = 2  # of the file; format 1 is read too, of any other a reader says so instead of guessing


@dataclass(frozen=True)
class Settings:
    """The architecture of a model: all that is needed to load it again."""

    entity: str = "LOC"
    radius: int = 2  # words to each side of the centre
    dim: int = 50  # of a word vector
    hidden: int = 100
    case_dim: int = 5  # of a case vector
    case_feature: bool = True  # False is the slides' plain model
    min_count: int = 1  # rarer words are the unknown word

    def __post_init__(self) -> None:
        for name, least in ("radius", 0), ("dim", 1), ("hidden", 1), ("case_dim", 1), ("min_count", 1):
            if getattr(self, name) < least:
                raise ValueError(f"{name} needs to be at least {least}, got {getattr(self, name)}")


@dataclass
class Tagger:
    """A trained window scorer: a token is inside a location where its window's score is above the threshold.

    >>> tagger = Tagger.load("model.npz")  # doctest: +SKIP
    >>> tagger.tag(["Not", "all", "museums", "in", "Paris", "are", "amazing"])  # doctest: +SKIP
    array([False, False, False, False,  True, False, False])
    """

    settings: Settings
    vocabulary: text.Vocabulary
    params: Parameters
    threshold: float = 0.0

    def windows(self, sentences: Iterable[Sequence[str]]) -> Windows:
        """The window of every token, as this model sees it."""
        windows = text.windows(sentences, self.vocabulary, self.settings.radius)
        return windows if self.settings.case_feature else Windows(windows.words)

    def score(self, windows: Windows) -> Array:
        """The score of each window."""
        U, W, b = self.params.U, self.params.W, self.params.b
        starts = range(0, max(1, len(windows.words)), BLOCK)
        blocks = (Windows(*(a if a is None else a[i : i + BLOCK] for a in windows)) for i in starts)
        return np.concatenate([scores(U, W, b, inputs(self.params, block)) for block in blocks])

    def tag(self, tokens: Sequence[str]) -> Array:
        """Is each token of a sentence inside a location?"""
        return self.score(self.windows([tokens])) > self.threshold

    def spans(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """The locations of a sentence, each as [start, stop)."""
        return runs(self.tag(tokens))

    def save(self, path: str | Path) -> None:
        """Write the model to a file, whole or not at all: a file of that name stays until the new one is complete.

        Raises:
            OSError: where the file cannot be written.
            ValueError: for a model that `load` would refuse, such as one with NaN.
        """
        needed = shapes(self.settings, len(self.vocabulary))
        arrays = {name: a for name, a in vars(self.params).items() if a is not None}
        got = {name: a.shape for name, a in arrays.items()}
        if got != needed or not math.isfinite(self.threshold):
            needed_too, got_too = f"{needed} and a finite threshold", f"{got} and {self.threshold}"
            raise ValueError(f"{path}: needed arrays {needed_too} to save, got {got_too}")
        about = {"format": FORMAT, "settings": asdict(self.settings), "threshold": float(self.threshold)}
        about["words"] = self.vocabulary.words  # an array of strings would make each as long as the longest
        storage.write(path, about, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Tagger:
        """Read a model that `save` wrote, in format 2 or 1. Nothing in the file is executed.

        Raises:
            OSError: where there is no file, or it cannot be opened.
            ValueError: for a file that is damaged, of another kind, or of another format.
        """
        with storage.reading(path, "a model saved by `python -m models train`") as file:
            about = file.about()
            if about.get("format") not in (1, FORMAT):
                remedy = "train the model again with this version"
                raise ValueError(f"needed format 1 or {FORMAT}, got {about.get('format')!r}; {remedy}")
            if about["format"] == 1:
                words: Any = file.strings("words", file.members["words"].shape[:1] if "words" in file.members else ())
            else:
                words = about.get("words")
            if not (isinstance(words, list) and all(isinstance(w, str) for w in words) and words[:2] == SPECIAL):
                raise ValueError(f"needed a list of words that starts with {', '.join(SPECIAL)}")
            settings, threshold = _settings(about.get("settings")), about.get("threshold")
            if not (isinstance(threshold, float) and math.isfinite(threshold)):
                raise ValueError(f"needed a finite threshold, got {threshold!r}")
            arrays = file.arrays(shapes(settings, len(words)))
        return cls(settings, text.Vocabulary(words), Parameters(**arrays), threshold)


SPECIAL = [text.PADDING, text.UNKNOWN]


def _settings(values: Any) -> Settings:
    """The settings in a file's description."""
    types = {f.name: type(f.default) for f in fields(Settings)}
    if not isinstance(values, dict) or {name: type(value) for name, value in values.items()} != types:
        raise ValueError(f"needed settings {', '.join(types)}, got {values!r}"[:500])
    return Settings(**values)


def shapes(settings: Settings, words: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of a model with so many words.

    >>> shapes(Settings(dim=4, hidden=8, case_feature=False), words=10)
    {'U': (8,), 'W': (8, 20), 'b': (8,), 'L': (10, 4)}
    """
    n = (2 * settings.radius + 1) * (settings.dim + settings.case_feature * settings.case_dim)
    needed = {"U": (settings.hidden,), "W": (settings.hidden, n), "b": (settings.hidden,), "L": (words, settings.dim)}
    return needed | ({"C": (len(text.CASES), settings.case_dim)} if settings.case_feature else {})


@dataclass(frozen=True)
class Rate:
    """Precision, recall and their harmonic mean F1, from counts; 0 where there is nothing to divide by."""

    right: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.predicted + self.gold) if self.predicted + self.gold else 0.0

    def to_dict(self) -> dict[str, float]:
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


def token_rate(predicted: Array, gold: Array) -> Rate:
    """How many tokens are rightly inside a location.

    >>> token_rate(np.array([True, True]), np.array([True, False])).precision
    0.5
    """
    return Rate(int(np.sum(predicted & gold)), int(np.sum(predicted)), int(np.sum(gold)))


def evaluate(tagger: Tagger, sentences: Sequence[conll.Sentence]) -> dict[str, Rate]:
    """How well a tagger finds the locations of sentences: by "token", and by "span", exact from end to end.

    The scorer marks tokens, so tokens marked side by side are one predicted span.
    """
    entity = tagger.settings.entity
    marks = tagger.score(tagger.windows(s.tokens for s in sentences)) > tagger.threshold
    gold = np.array([inside for s in sentences for inside in conll.inside(s, entity)], dtype=bool)
    right = predicted = total = start = 0
    for s in sentences:
        stop = start + len(s.tokens)
        ours, theirs = set(runs(marks[start:stop])), set(conll.spans(s, entity))
        right, predicted, total = right + len(ours & theirs), predicted + len(ours), total + len(theirs)
        start = stop
    return {"token": token_rate(marks, gold), "span": Rate(right, predicted, total)}


def runs(marks: Iterable[bool]) -> list[tuple[int, int]]:
    """The runs of marked tokens as [start, stop).

    >>> runs([True, True, False, True])
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(list(marks), dtype=int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def best_threshold(s: Array, gold: Array) -> float:
    """The threshold between scores at which F1 by token is largest.

    >>> best_threshold(np.array([0.0, 1.0, 3.0]), np.array([False, False, True]))
    2.0
    """
    order = np.argsort(-s, kind="stable")
    right = np.cumsum(gold[order])
    f1 = 2 * right / (np.arange(1, len(s) + 1) + np.sum(gold))
    ranked = s[order]
    cut = np.append(ranked[:-1] > ranked[1:], True)  # equal scores fall on one side
    last = int(np.argmax(np.where(cut, f1, -1.0)))
    below = ranked[last + 1] if last + 1 < len(s) else ranked[last] - 1
    return float((ranked[last] + below) / 2)
