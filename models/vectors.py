"""Word vectors in files: word2vec's text and binary formats, .npz; neighbours, analogies, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.files import replacing
from minigrad.text import printable, shortened
from models import plots, storage, text

Array = Any

KIND = "word vectors"


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words and their vectors, (words, d) in float32.

    >>> vectors = Vectors(["paris", "rome", "cheese"], np.array([[2, 0], [3, 1], [-1, 1]], np.float32))
    >>> [(word, round(cosine, 3)) for word, cosine in vectors.nearest("Paris")]
    [('rome', 0.949), ('cheese', -0.707)]
    """

    words: list[str]
    V: Array

    def __post_init__(self) -> None:
        if self.V.shape[:1] != (len(self.words),) or self.V.ndim != 2 or not self.V.size:
            raise ValueError(f"{KIND} need a row for each word, got {len(self.words)} words and shape {self.V.shape}")
        if not np.isfinite(self.V).all():
            raise ValueError(f"{KIND} need finite numbers, got {self.V[~np.isfinite(self.V)][0]}")
        if len(self.number) < len(self.words):
            raise ValueError(f"{KIND} need each word once, got {len(self.words) - len(self.number)} repeated ones")

    @cached_property
    def number(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    @property
    def fingerprint(self) -> str:
        words = repr(self.words).encode("utf-8", "surrogatepass")
        return sha256(words + np.ascontiguousarray(self.V).tobytes()).hexdigest()

    @cached_property
    def directions(self) -> Array:
        """The vectors in length 1; one of zeros stays so."""
        lengths = np.linalg.norm(self.V, axis=1, keepdims=True)
        return self.V / np.where(lengths > 0, lengths, 1)

    def find(self, word: str) -> int:
        """The number of a word, as it is or folded as `train` does."""
        for known in word, text.fold(word):
            if known in self.number:
                return self.number[known]
        raise ValueError(f"needed one of the {len(self.words):,} words of these vectors, got {printable(word)!r}")

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words of the smallest angle to one, and their cosines."""
        i = self.find(word)
        return self._nearest(self.directions[i], {i}, count)

    def analogy(self, a: str, b: str, c: str, count: int = 10) -> list[tuple[str, float]]:
        """What is to c as b is to a: the words nearest to b - a + c (Mikolov, Yih and Zweig, NAACL 2013)."""
        i, j, k = map(self.find, (a, b, c))
        return self._nearest(self.directions[j] - self.directions[i] + self.directions[k], {i, j, k}, count)

    def _nearest(self, x: Array, without: set[int], count: int) -> list[tuple[str, float]]:
        cosines = self.directions @ (x / (np.linalg.norm(x) or 1))
        order = [i for i in np.argsort(-cosines, kind="stable")[: count + len(without)].tolist() if i not in without]
        return [(self.words[i], float(cosines[i])) for i in order[:count]]

    def plot(self, words: Sequence[str], path: Path) -> None:
        """A picture of words, in the first two principal components of their vectors."""
        plots.check(path)
        numbers = list(dict.fromkeys(map(self.find, words)))
        if len(numbers) < 3:
            raise ValueError(f"a plot needs at least three words, got {len(numbers)}")
        points = principal_components(self.V[numbers])
        figure = plots.figure(8, 6)
        axes = figure.add_subplot(xlabel="first principal component", ylabel="second principal component")
        axes.scatter(*points.T, s=8)
        for i, point in zip(numbers, points):
            axes.annotate(self.words[i], point, (3, 3), textcoords="offset points", parse_math=False)
        plots.save(figure, path)

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all: .txt and .bin are word2vec's formats, .npz is NumPy's.

        Raises:
            OSError: where it cannot be written.
            ValueError: for another suffix, and for a word that the format cannot hold.
        """
        kind = suffix(path)
        if kind == ".npz":
            return storage.write(path, {"vectors": 1, "words": self.words}, {"V": self.V})
        wrong = [word for word in self.words if not word or set(word) & set(" \n\r\t")]
        if wrong:
            raise ValueError(f"{path}: needed words without spaces, got {printable(wrong[0])!r}; save .npz")
        with replacing(path) as file:
            file.write(b"%d %d\n" % self.V.shape)
            for word, row in zip(self.words, self.V.astype("<f4")):
                rest = row.tobytes() if kind == ".bin" else " ".join(map(str, row)).encode()
                file.write(word.encode() + b" " + rest + b"\n")

    @classmethod
    def load(cls, path: Path) -> Vectors:
        """Read a file that `save`, word2vec or gensim wrote.

        Raises:
            OSError: where there is no file, or it cannot be opened.
            ValueError: for a file that is damaged or of another kind.
        """
        if suffix(path) == ".npz":
            with storage.reading(path, f"{KIND} saved by `python -m models words`") as file:
                words, member = file.about().get("words"), file.members.get("V")
                if not (isinstance(words, list) and all(isinstance(w, str) for w in words) and member):
                    raise ValueError("it has no list of words, or no vectors")
                return cls(words, file.arrays({"V": member.shape})["V"])
        try:
            return cls(*_parsed(Path(path).read_bytes(), suffix(path) == ".bin"))
        except ValueError as error:  # also of text that is not UTF-8
            problem = shortened(error)
            raise ValueError(f"{path}: needed {KIND} in word2vec's format, got something else ({problem})") from None


def suffix(path: Path) -> str:
    """The format of a file of vectors."""
    kind = Path(path).suffix.lower()
    if kind not in (".txt", ".bin", ".npz"):
        raise ValueError(f"{path}: needed .txt, .bin or .npz for {KIND}, got {kind or 'no suffix'}")
    return kind


def _parsed(data: bytes, is_binary: bool) -> tuple[list[str], Array]:
    head, _, rest = data.partition(b"\n")
    sizes = head.split()
    if len(sizes) != 2 or not all(s.isdigit() and len(s) < 12 for s in sizes):
        raise ValueError(f"its first line is no number of words and of dimensions: {printable(head[:40])}")
    n, d = map(int, sizes)
    if n * (d * (4 if is_binary else 2) + 2) > len(data) + 1:
        raise ValueError(f"it is too short for {n:,} words of {d} numbers")
    words, V = [], np.empty((n, d), np.float32)
    if is_binary:
        at = 0
        for i in range(n):
            end = rest.index(b" ", at)
            words.append(rest[at:end].lstrip(b"\n").decode())
            V[i] = np.frombuffer(rest, "<f4", d, end + 1)
            at = end + 1 + 4 * d
        if rest[at:].strip():
            raise ValueError(f"it goes on after {n:,} words")
        return words, V
    lines = rest.decode().rstrip().split("\n")
    if len(lines) != n:
        raise ValueError(f"it has {len(lines):,} words, its first line says {n:,}")
    for i, line in enumerate(lines):
        word, *numbers = line.rstrip().rsplit(" ", d)
        if len(numbers) != d:
            raise ValueError(f"line {i + 2} has {len(numbers)} numbers, not {d}")
        words.append(word)
        V[i] = [float(x) for x in numbers]
    return words, V


def principal_components(X: Array, count: int = 2) -> Array:
    """The coordinates of points, (n, d), along the directions of their largest variance, (n, count).

    >>> principal_components(np.array([[1.0, 0, 0], [3, 0, 0], [2, 0, 0.5], [2, 0, -0.5]])).round(6).tolist()[2:]
    [[0.0, 0.5], [0.0, -0.5]]
    """
    centred = X - np.mean(X, axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:count]
    signs = np.sign(directions[np.arange(len(directions)), np.argmax(np.abs(directions), axis=1)])
    return centred @ (directions * signs[:, None]).T  # the sign of a direction is free: its largest number is positive
