"""CoNLL columns, as they are in the wild: a token and its tag on each line, a blank line between sentences.

A line has two columns or more, the token first and the tag last. A line with a tab is split at tabs, any other at
spaces. No other character separates: a no-break or zero-width space stays part of its token, and so does a line
separator, for a line ends at \\n or \\r\\n only. A line of nothing visible is blank, whatever Unicode calls it.
A -DOCSTART- line ends a sentence and is no part of one.

A tag is O, or one of B I E L S U, a hyphen, and the entity type. One rule reads IO, IOB1, IOB2, IOBES and BILOU (see
`spans`), so the scheme need not be known.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

# Other names of a type, then kinds of a type: asked for LOC we find GPE, asked for GPE nothing but GPE.
SYNONYMS = {
    "location": "loc",
    "geo-loc": "loc",
    "place": "loc",
    "person": "per",
    "organization": "org",
    "organisation": "org",
}
KINDS = {"gpe": "loc", "corporation": "org", "group": "org"}


@dataclass(frozen=True)
class Sentence:
    """The tokens of a sentence, and the tag of each."""

    tokens: list[str]
    tags: list[str]


def read(path: str | Path) -> list[Sentence]:
    """The sentences of a CoNLL file in UTF-8, with a byte order mark or without.

    >>> sentences = read(Path(__file__).parent / "corpus" / "dev.conll")
    >>> set(sentences[0].tags) <= {"O", "B-LOC", "I-LOC"}
    True

    Raises:
        ValueError: for a line that is not columns, and for a file without a sentence.
    """
    sentences: list[Sentence] = []
    rows: list[tuple[str, str]] = []
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate([*lines, b""], start=1):  # one blank line more: the last sentence ends too
        row = _row(line, f"{path}:{number}")
        if row:
            rows.append(row)
        elif rows:
            sentences.append(Sentence([token for token, _ in rows], [tag for _, tag in rows]))
            rows = []
    if not sentences:
        raise ValueError(f"{path}: needed at least one sentence, got none; is it the right file?")
    return sentences


def embedded(part: str) -> list[Sentence]:
    """The sentences written for this project, "train" or "dev"; LOC is their only type.

    >>> len(embedded("train")), len(embedded("dev"))
    (400, 100)
    """
    if part not in ("train", "dev"):
        raise ValueError(f"embedded needs 'train' or 'dev', got {part!r}; to read a file, see read")
    with as_file(files("models") / "corpus" / f"{part}.conll") as path:
        return read(path)


def spans(sentence: Sentence, entity: str = "LOC") -> list[tuple[int, int]]:
    """The spans of an entity in a sentence, each as [start, stop).

    >>> spans(Sentence(["Cape", "Town", "Rome"], ["B-LOC", "I-LOC", "B-LOC"]))
    [(0, 2), (2, 3)]

    A span goes on while the type stays the same; B, S and U start another, and so does whatever follows E, L, S or U.
    In IO a span thus goes on until the type changes: IO cannot say more. Types are distinguished as in `inside`.
    """
    found: list[tuple[int, int]] = []
    ended, before = False, ""  # of the tag before
    for i, tag in enumerate(sentence.tags):
        prefix, name = _parts(tag)
        if _is(name, entity):
            start = i if ended or prefix in "BSU" or name != before else found.pop()[0]
            found.append((start, i + 1))
        ended, before = prefix in "ELSU", name
    return found


def inside(sentence: Sentence, entity: str = "LOC") -> list[bool]:
    """Is each token of a sentence part of an entity?

    >>> inside(Sentence(["in", "New", "York"], ["O", "B-location", "I-location"]), "LOC")
    [False, True, True]

    Upper and lower case are the same. LOC is also called location, geo-loc or place, and takes in GPE; PER is also
    person; ORG is also organization or organisation, and takes in corporation and group. Any other type goes by its
    own name only.
    """
    return [_is(_parts(tag)[1], entity) for tag in sentence.tags]


def _row(line: bytes, place: str) -> tuple[str, str] | None:
    """Token and tag of a line, or None where it ends a sentence."""
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: needed UTF-8, got the bytes {line[:80]!r}; save the file as UTF-8") from error
    if text.startswith("-DOCSTART-") or all(c.isspace() or unicodedata.category(c) == "Cf" for c in text):
        return None
    columns = [c.strip(" ") for c in text.rstrip("\t ").split("\t")] if "\t" in text else re.findall("[^ ]+", text)
    if len(columns) < 2 or not columns[0]:
        remedy = "give each token its tag, and leave the line between sentences blank"
        raise ValueError(f"{place}: needed a token and a tag, got {text[:80]!r}; {remedy}")
    token, tag = columns[0], columns[-1]
    if not (re.fullmatch(r"O|[BIELSU]-.+", tag) and tag.isprintable()):
        remedy = "put the token into the first column and its tag into the last"
        raise ValueError(f"{place}: needed a tag like O, B-LOC or I-LOC, got {tag[:80]!r} in {text[:80]!r}; {remedy}")
    return token, tag


def _parts(tag: str) -> tuple[str, str]:
    """The prefix of a tag and the one name of its type."""
    prefix, _, name = tag.partition("-")
    return prefix, _name(name)


def _name(entity: str) -> str:
    return SYNONYMS.get(entity.casefold(), entity.casefold())


def _is(name: str, entity: str) -> bool:
    return name != "" and _name(entity) in (name, KINDS.get(name))
