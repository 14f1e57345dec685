"""From text to numbers: words and their cases, vocabularies, windows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from models import conll
from models.window import Windows

Array = Any

PADDING, UNKNOWN = "<pad>", "<unk>"
DIGIT = re.compile(r"\d")
CASES = ("padding", "lower", "title", "upper", "mixed", "digits", "other")


def fold(token: str) -> str:
    """A token as the vocabulary knows it: lower case, every digit a 0.

    >>> fold("Paris"), fold("1984")
    ('paris', '0000')
    """
    return DIGIT.sub("0", token.lower())


def case(token: str) -> str:
    """How a token is written: one of `CASES`.

    >>> [case(token) for token in ["paris", "Paris", "USA", "McDonald", "1984", "..."]]
    ['lower', 'title', 'upper', 'mixed', 'digits', 'other']

    One capital letter, as in "I", is a title: it says no more than a capital at the start does.
    """
    letters = [c for c in token if c.isalpha()]
    if not letters:
        return "digits" if any(c.isdigit() for c in token) else "other"
    if token == token.lower():
        return "lower"
    if letters[0].isupper() and all(c == c.lower() for c in letters[1:]):
        return "title"
    return "upper" if token == token.upper() else "mixed"


# Punctuation, at the start and at the end of what spaces separate; one sign repeated, as in ..., is one token.
OPENING = re.compile(r"""(["'“”„‚‘«»‹›(\[{¿¡])\1*""")
CLOSING = re.compile(r"""(?:(["'“”’»«›‹)\]},;:!?.…])\1*|['’]s)$""", re.IGNORECASE)
ABBREVIATION = re.compile(r"(?:[^\W\d_]\.)+")  # U.S., and an initial


def tokens(line: str, known: Container[str]) -> list[tuple[int, int]]:
    """The places [start, stop) of the tokens in a line of text, in which punctuation touches the words.

    >>> line = "She left “L.A.” for St. Paul's (in London)..."
    >>> [line[start:stop] for start, stop in tokens(line, known={"st."})]
    ['She', 'left', '“', 'L.A.', '”', 'for', 'St.', 'Paul', "'s", '(', 'in', 'London', ')', '...']

    A corpus has such signs as tokens of their own. Where they are separated by spaces already, the tokens are those of
    `conll.split`.

    Args:
        known: words, as `fold` writes them, that are left whole.
    """

    def is_word(start: int, stop: int) -> bool:
        token = line[start:stop]
        return fold(token) in known or ABBREVIATION.fullmatch(token) is not None

    places = []
    for start, stop in conll.places(line):
        after: list[tuple[int, int]] = []
        while start < stop and not is_word(start, stop):
            if found := OPENING.match(line, start, stop):
                places.append((start, found.end()))
                start = found.end()
            elif found := CLOSING.search(line, start, stop):
                after.append((found.start(), stop))
                stop = found.start()
            else:
                break
        places += [(start, stop)] * (start < stop) + after[::-1]
    return places


class Vocabulary:
    """Words by number: 0 is the padding around a sentence, 1 the unknown word.

    >>> vocabulary = Vocabulary.of(["Paris", "is", "is", "Paris", "rare"], min_count=2)
    >>> vocabulary.words
    ['<pad>', '<unk>', 'paris', 'is']
    >>> vocabulary.numbers(["Paris", "Rome"])
    array([2, 1])
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.number = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def of(cls, tokens: Iterable[str], min_count: int = 1) -> Vocabulary:
        """The folded words that occur at least min_count times, in the order they first occur."""
        counts: Counter[str] = Counter()
        for token, n in Counter(tokens).items():  # each token is folded once
            counts[fold(token)] += n
        return cls([PADDING, UNKNOWN, *(word for word, n in counts.items() if n >= min_count)])

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, tokens: Iterable[str]) -> Array:
        return np.array([self.number.get(fold(token), 1) for token in tokens], dtype=np.intp)


def windows(sentences: Iterable[Sequence[str]], vocabulary: Vocabulary, radius: int = 2) -> Windows:
    """The window around every token of every sentence, padded where it reaches beyond the sentence.

    >>> windows([["Not", "all"]], Vocabulary.of(["Not", "all"]), radius=1)
    Windows(words=array([[0, 2, 3],
           [2, 3, 0]]), cases=array([[0, 2, 1],
           [2, 1, 0]]))

    Returns:
        Word and case numbers, each (number of tokens, 2 radius + 1).
    """
    sentences = list(sentences)
    tokens = list(chain.from_iterable(sentences))
    distinct = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    at = np.array([distinct[token] for token in tokens], dtype=np.intp)
    gaps = np.repeat(np.arange(1, len(sentences) + 1), [len(s) for s in sentences])  # before each token
    places = np.arange(len(tokens)) + gaps * radius
    around = places[:, None] + np.arange(-radius, radius + 1)

    def padded(numbers: Array) -> Array:
        line = np.zeros(len(tokens) + (len(sentences) + 1) * radius, dtype=np.intp)
        line[places] = numbers[at]
        return line[around]

    cases = np.array([CASES.index(case(token)) for token in distinct], dtype=np.intp)
    return Windows(padded(vocabulary.numbers(distinct)), padded(cases))
