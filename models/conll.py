"""CoNLL columns, as they are in the wild: a token and its tag on each line, a blank line between sentences.

A line has two columns or more, the token first and the tag last, and every line of a file has as many. Where the
first column numbers the tokens, as in CoNLL-U and GermEval, the token is in the second. Columns are separated by tabs
where every line has one, else by any run of spaces and tabs. No other character separates: a no-break or zero-width
space stays part of its token, and so does Unicode's line separator, for a line ends at \\n, \\r\\n or \\r only. A
line of nothing visible is blank, whatever Unicode calls it. A -DOCSTART- line ends a sentence and is no part of one.
Comments are refused: a line that starts with # may also be the token # and its tag.

A tag is O, or one of B I E L S U, a hyphen, and one entity type. One rule reads IO, IOB1, IOB2, IOBES and BILOU (see
`spans`), so the scheme need not be known.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import groupby
from pathlib import Path

LARGEST = 2**30  # bytes: beyond any corpus, and less than the memory that an endless file would take
MANY = 1000  # tags: more than any corpus has different ones

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

COLUMN = re.compile(r"[^ \t\r\n]+")
VISIBLE = re.compile(r"[!-~]")  # in ASCII
LINE_END = re.compile(r"\r{0,2}\n|\r")  # \r\r\n is what becomes of \r\n where \n is converted twice
TAG = re.compile(r"O|[BIELSU]-.+")
FURTHER_TAG = re.compile(r"\||[^\w-](O$|[BIELMSU]-)")  # as in B-LOC|B-PER

# What to do about a tag that is none, by its pattern.
REMEDIES = {
    r"M-.+": "write I- in place of M-",
    r"[BIELMSU]": "add the type of the entity",
    r"[BIELMSU]-.*": "leave one tag, of printable characters",
    r".*": "put the token into the first column and its tag into the last",
}


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
        ValueError: for a line that is not columns, for a file with several columns of entity tags, for one without a
            sentence, and for one that does not end.
    """
    lines = [line.rstrip("\t ") for line in _lines(path)]
    # Lines repeat: what depends on the text of a line alone is found once, in the order of the file.
    distinct = dict.fromkeys(lines)
    ends = {text for text in distinct if text.startswith("-DOCSTART-") or _is_blank(text)}
    texts = [text for text in distinct if text not in ends]
    if not texts:
        raise ValueError(f"{path}: needed at least one sentence, got none; is it the right file?")

    def place(text: str) -> str:
        return f"{path}:{lines.index(text) + 1}"

    tabs = all("\t" in text for text in texts)
    rows = {text: _columns(text, tabs, place) for text in texts}
    sentences = [[rows[text] for text in block] for is_end, block in groupby(lines, ends.__contains__) if not is_end]
    first = 1 if _is_numbered(sentences) else 0
    width = len(rows[texts[0]])
    for text, row in rows.items():
        if len(row) != width or not row[first] or not _is_tag(row[-1]):
            raise ValueError(f"{place(text)}: {_fault(row, width, first, text)}")
    if sum(map(len, sentences)) > 1 and all(" " in row[first] for row in rows.values()):  # "Paris NNP", before a tab
        raise ValueError(
            f"{path}: needed columns separated by tabs or by spaces, got both in every line, such as "
            f"{texts[0][:80]!r}; separate all columns by tabs"
        )
    _check_one_column_of_tags(list(rows.values()), first, path)
    return [Sentence([row[first] for row in block], [row[-1] for row in block]) for block in sentences]


def split(text: str) -> list[str]:
    """The tokens of a line of text, separated as `read` separates columns: by spaces and tabs, and by nothing else.

    >>> split("Over 10\u00a0000 people")
    ['Over', '10\\xa0000', 'people']
    """
    return [text[start:stop] for start, stop in places(text)]


def places(text: str) -> list[tuple[int, int]]:
    """Where the tokens of `split` are, each as [start, stop).

    >>> places("Not  all")
    [(0, 3), (5, 8)]
    """
    return [] if _is_blank(text) else [found.span() for found in COLUMN.finditer(text)]


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
    return [_is_inside(tag, entity) for tag in sentence.tags]


def _content(path: str | Path) -> bytes:
    content = bytearray()
    with open(path, "rb") as file:  # it may be a pipe, so that there is no size to ask for
        while block := file.read(2**20):
            content += block
            if len(content) > LARGEST:
                raise ValueError(
                    f"{path}: needed a corpus of at most {LARGEST:,} bytes, got more; train on a part of it"
                )
    return bytes(content)


def _lines(path: str | Path) -> list[str]:
    content = _content(path).removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode()
        return LINE_END.split(text) if "\r" in text else text.split("\n")
    except UnicodeDecodeError as error:
        number = len(LINE_END.split(content[: error.start].decode()))
        line = re.split(LINE_END.pattern.encode(), content)[number - 1]
        raise ValueError(
            f"{path}:{number}: needed UTF-8, got the bytes {line[:80]!r}; save the file as UTF-8"
        ) from error


def _is_blank(text: str) -> bool:
    return not VISIBLE.search(text) and all(c.isspace() or unicodedata.category(c) == "Cf" for c in text)


def _columns(text: str, tabs: bool, place: Callable[[str], str]) -> list[str]:
    columns = text.split("\t") if tabs else COLUMN.findall(text)
    if tabs and " " in text:
        columns = [c.strip(" ") for c in columns]
    if len(columns) < 2 or not columns[0] or (text.startswith("#") and " = " in text):
        remedy = "remove the comments" if text.startswith("#") else "give each token its tag"
        remedy += ", and leave the line between sentences blank"
        raise ValueError(f"{place(text)}: needed a token and a tag, got {text[:80]!r}; {remedy}")
    return columns


def _is_numbered(sentences: list[list[list[str]]]) -> bool:
    """Does the first column number the tokens, from 0 or 1 in each sentence or through the file?"""
    starts = [block[0][0] for block in sentences]
    return (
        len(sentences[0][0]) > 2
        and starts[0] in ("0", "1")
        and any(len(block) > 1 for block in sentences)
        and all(start.isdecimal() for start in starts)
        and all(row[0] == str(int(s) + i) for s, block in zip(starts, sentences) for i, row in enumerate(block))
    )


@lru_cache(MANY)
def _is_tag(tag: str) -> bool:
    return TAG.fullmatch(tag) is not None and tag.isprintable() and not FURTHER_TAG.search(tag)


def _fault(row: list[str], width: int, first: int, text: str) -> str:
    """The fault of a row that is none, and the remedy."""
    tag = row[-1]
    if len(row) != width:  # a comment, or a token that contains what separates columns
        remedy = "remove comments, and separate all columns by tabs"
        return f"needed {width} columns as before, got {len(row)} in {text[:80]!r}; {remedy}"
    if not row[first]:
        return f"needed a token and a tag, got {text[:80]!r}; give each tag its token"
    remedy = next(remedy for pattern, remedy in REMEDIES.items() if re.fullmatch(pattern, tag, re.DOTALL))
    remedy = "remove the comments" if text.startswith("#") else remedy
    return f"needed a tag like O, B-LOC or I-LOC, got {tag[:80]!r} in {text[:80]!r}; {remedy}"


def _check_one_column_of_tags(rows: list[list[str]], first: int, path: str | Path) -> None:
    """Nested entities, as in GermEval, and predictions beside the truth are further columns of entity tags.

    A column of chunks (B-NP) is not: its types are others, and parts of speech stand between it and the token.
    """
    last = _types({row[-1] for row in rows})
    for i in range(first + 1, len(rows[0]) - 1):
        if all(map(TAG.fullmatch, {row[i] for row in rows})):
            types = _types({row[i] for row in rows})
            if types & last or (types and not last and i == first + 1):
                raise ValueError(
                    f"{path}: needed one column of entity tags, got {', '.join(sorted(types))} in column {i + 1} of "
                    f"{len(rows[0])} too; remove all but the column to learn"
                )


def _types(tags: Iterable[str]) -> set[str]:
    return {_parts(tag)[1] for tag in tags} - {""}


@lru_cache(MANY)
def _parts(tag: str) -> tuple[str, str]:
    """The prefix of a tag and the one name of its type."""
    prefix, _, name = tag.partition("-")
    return prefix, _name(name)


def _name(entity: str) -> str:
    return SYNONYMS.get(entity.casefold(), entity.casefold())


@lru_cache(MANY)
def _is_inside(tag: str, entity: str) -> bool:
    return _is(_parts(tag)[1], entity)


@lru_cache(MANY)
def _is(name: str, entity: str) -> bool:
    return name != "" and _name(entity) in (name, KINDS.get(name))
