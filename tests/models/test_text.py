"""Text to numbers: cases, folding, vocabularies, windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import text

tokens = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("token", "case"),
    [
        ("paris", "lower"), ("Paris", "title"), ("I", "title"), ("USA", "upper"), ("U.S.", "upper"),
        ("iPhone", "mixed"), ("McDonald", "mixed"), ("1984", "digits"), ("3.5", "digits"), ("...", "other"),
        ("São", "title"), ("東京", "lower"), ("B2B", "upper"), ("1st", "lower"),
    ],
)  # fmt: skip
def test_case(token, case):
    assert text.case(token) == case


@given(tokens)
def test_every_token_has_a_case_and_a_folded_form(token):
    assert text.case(token) in text.CASES[1:]
    assert text.fold(text.fold(token)) == text.fold(token)


def test_digits_are_folded():
    assert text.fold("19.5-B") == "00.0-b"


@given(st.lists(tokens), st.integers(1, 3))
def test_vocabulary_keeps_what_is_frequent(seen, least):
    vocabulary = text.Vocabulary.of(seen, least)
    folded = [text.fold(token) for token in seen]
    assert set(vocabulary.words[2:]) == {word for word in folded if folded.count(word) >= least}
    for token, number in zip(seen, vocabulary.numbers(seen), strict=True):
        assert vocabulary.words[number] == (
            text.fold(token) if folded.count(text.fold(token)) >= least else text.UNKNOWN
        )


@given(st.lists(st.lists(tokens, min_size=1, max_size=6), max_size=5), st.integers(0, 3))
def test_windows(sentences, radius):
    vocabulary = text.Vocabulary.of(token for sentence in sentences for token in sentence)
    windows = text.windows(sentences, vocabulary, radius)
    expected = []
    for sentence in sentences:
        padded = [text.PADDING] * radius + [text.fold(token) for token in sentence] + [text.PADDING] * radius
        expected += [padded[i : i + 2 * radius + 1] for i in range(len(sentence))]
    assert windows.words.shape == windows.cases.shape == (len(expected), 2 * radius + 1)
    assert [[vocabulary.words[n] for n in row] for row in windows.words] == expected
    assert np.array_equal(windows.cases == 0, windows.words == 0)
    centres = [text.CASES[n] for n in windows.cases[:, radius]]
    assert centres == [text.case(token) for sentence in sentences for token in sentence]


def test_each_distinct_token_is_looked_at_once(monkeypatch):
    """Text repeats its words: a corpus is read in the time of its vocabulary."""
    folded, cased = [], []
    monkeypatch.setattr(text, "fold", lambda token, fold=text.fold: folded.append(token) or fold(token))
    monkeypatch.setattr(text, "case", lambda token, case=text.case: cased.append(token) or case(token))
    sentences = [["The", "cat", "the", "cat"], ["The", "The"]] * 10
    vocabulary = text.Vocabulary.of(token for s in sentences for token in s)
    assert folded == ["The", "cat", "the"]
    text.windows(sentences, vocabulary)
    assert folded == ["The", "cat", "the"] * 2 and cased == ["The", "cat", "the"]
