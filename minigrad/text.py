"""The gate for text that is data (names, keys, file names) on its way into source, a picture, a page or a terminal."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from typing import Any

#: Words that Python's grammar, or its run time, keeps for itself.
RESERVED = {*keyword.kwlist, "__debug__", "__builtins__"}
MAX_LENGTH = 100  # characters of an identifier: as many as a line of a listing has room for


def printable(text: Any) -> str:
    r"""Text for people: a character that does not print (a control character, half of a surrogate pair, a change of the
    direction of writing) as an escape: it could move a terminal's cursor, or hide what is beside it.

    >>> print(printable("\x1b[31mred"), printable("zürich"))
    \x1b[31mred zürich
    """
    text = str(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def shortened(text: Any, length: int = 300) -> str:
    """Text of a file, for a message: printable, and not much of it.

    >>> shortened("a" * 1000, 10)
    'aaaaaaaaaa ...'
    """
    text = str(text)
    return printable(text[:length]) + " ..." * (len(text) > length)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def named(x: Any, otherwise: str = "a Tensor") -> str:
    """The name of a Tensor in a message."""
    return printable(x.name) if x.name else otherwise


def op_name(op: Any) -> str:
    """The name of an op in messages and pictures."""
    return printable(op.__name__ or "op")


class Markup(str):
    """Markup of HTML, or of Graphviz, which is like it. Text becomes markup by `markup` alone, which escapes it."""

    __slots__ = ()


def markup(template: str, *texts: Any) -> Markup:
    """A template with texts written in: they are escaped, those that are markup already are not.

    >>> markup("<b>{}</b>{}", "<pad>", markup("<br/>"))
    '<b>&lt;pad&gt;</b><br/>'
    """
    from html import escape  # here, as only pictures need it

    return Markup(template.format(*(t if isinstance(t, Markup) else escape(printable(t), quote=False) for t in texts)))


def joined(parts: Iterable[Markup]) -> Markup:
    """Markup, one after the other."""
    return Markup("".join(parts))


class TeX(str):
    """LaTeX. Text becomes LaTeX by `tex` alone, which escapes it."""

    __slots__ = ()


#: The characters that LaTeX reads as commands, as it writes them in text.
ESCAPED = {c: f"\\{c}" for c in "#$%&_{}"}
ESCAPED |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}"}  # a page that holds the LaTeX may read them as tags


def tex(template: str, *texts: Any) -> TeX:
    r"""A template with texts written in as LaTeX sets them in text mode: each character of theirs is only a character.

    >>> print(tex(r"\texttt{{{}}}", r"a_b}\input{x}"))
    \texttt{a\_b\}\textbackslash{}input\{x\}}
    """
    return TeX(template.format(*("".join(ESCAPED.get(c, c) for c in printable(text)) for text in texts)))


class Identifier(str):
    """A name in generated source. There is none that Python would read in another way.

    >>> Identifier("x-1")
    Traceback (most recent call last):
        ...
    ValueError: a name in source must be an identifier, got 'x-1'
    """

    __slots__ = ()

    def __new__(cls, word: str) -> Identifier:
        if not is_identifier(word):
            raise ValueError(f"a name in source must be an identifier, got {word!r}")
        return super().__new__(cls, word)


def is_identifier(word: Any) -> bool:
    """Does Python read a string as a name, and as this name? It normalizes names: ﬁ is read as fi.

    >>> [is_identifier(word) for word in ("fi", "ﬁ", "class", "a b", 5)]
    [True, False, False, False, False]
    """
    return type(word) in (str, Identifier) and word.isidentifier() and normalized(word) == word and word not in RESERVED


def normalized(word: str) -> str:
    """A string as Python reads it in source, by the form NFKC."""
    if word.isascii():
        return word
    import unicodedata  # here, as few names need it

    return unicodedata.normalize("NFKC", word)


def identifier(text: Any, otherwise: str = "x") -> Identifier:
    """An identifier that resembles a text, or another word where nothing of the text could be part of one.

    >>> identifier("learning-rate"), identifier("class"), identifier("ﬁ"), identifier("5"), identifier(None)
    ('learning_rate', 'class_', 'fi', 'x5', 'x')
    """
    word = normalized(str.__str__(text)) if isinstance(text, str) else ""
    if not word.isidentifier():
        word = re.sub(r"\W+", "_", word).strip("_")
        word = word if ("_" + word).isidentifier() else re.sub(r"[^A-Za-z0-9_]+", "_", word).strip("_")
        word = word if word.isidentifier() or not word else otherwise + word
    word = word[:MAX_LENGTH]
    return Identifier(word.strip("_") + "_" if word in RESERVED else word or otherwise)
