"""A Digraph of the graphviz package that is saved by suffix, and drawn by whichever Graphviz is installed."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import graphviz
from graphviz.backend.dot_command import command

from minigrad.files import replacing
from minigrad.text import Markup, markup, printable
from minigrad.viz.command import NoGraphviz, installed_command, run

#: What Graphviz reads as a character of HTML, in plain text too.
ENTITY = re.compile(r"&(?=#?\w+;)")


def quoted(**attributes: str) -> dict[str, str]:
    r"""Attributes for DOT: markup, and any other text literally, whatever its characters mean to Graphviz.

    >>> from minigrad.text import markup
    >>> quoted(label=markup("<<b>{}</b>>", "x"), tooltip=r"\N of <pad> &lt;")
    {'label': '<<b>x</b>>', 'tooltip': '\\\\\\\\N of <pad> &amp;lt;'}
    """
    return {
        key: Markup(_without_escapes(text))
        if isinstance(text, Markup)
        # in a tooltip Graphviz looks for escapes twice
        else _literally(_without_escapes(text) if key == "tooltip" else text)
        for key, text in attributes.items()
    }


def _without_escapes(text: str) -> str:
    r"""Backslashes that begin no escape, in markup too: \N would be the key of the node."""
    return text.replace("\\", r"\\")


def _literally(text: str) -> str:
    text = ENTITY.sub("&amp;", printable(text))
    if text.startswith("<"):  # Graphviz takes a text for markup, quoted or not, that is equal to markup elsewhere
        text = f"&lt;{text[1:]}"
    return graphviz.escape(text)


class Picture(graphviz.Digraph):  # type: ignore[misc]
    """A graph as DOT text, with the attributes and methods of a `graphviz.Digraph`: `.source`, `.render(...)`.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> mg.draw(x * x).source.startswith("digraph")
    True
    """

    #: Where laying it out takes too long: the number of lines of the body to replace, and the smaller picture.
    smaller: tuple[int, Picture] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.titles: dict[str, str] = {}  # of nodes, by their keys

    def save(self, filename: Any = None, directory: Any = None, *, skip_existing: bool | None = False) -> str:
        """Write the picture in the format of the suffix: svg, png, pdf, html (a page around it), or gv, the DOT text.

        PNG and PDF need Graphviz's `dot`; SVG and HTML are drawn by graphviz-pure too. Where the program is missing,
        the DOT text goes to a .gv file beside it, one line says so, and its path is returned. A file that is there
        already is replaced by a picture that has been drawn, and by nothing else.
        """
        data = self.source.encode(self.encoding)  # an error where it cannot be, before a file is opened
        path = Path(filename) if filename is not None else None
        kind = path.suffix[1:].lower() if path is not None else "gv"
        if path is None or kind in ("gv", "dot", ""):
            return str(super().save(filename, directory=directory, skip_existing=skip_existing))
        if kind not in ("svg", "png", "pdf", "html"):
            raise ValueError(f"a picture is saved as .svg, .png, .pdf, .html or .gv, got {printable(path.name)}")
        path = Path(directory or "") / path
        if skip_existing and path.exists():
            return str(path)
        try:
            if kind == "html":
                svg = self.pipe(format="svg", encoding="utf-8")
                data = PAGE.format(title=markup("{}", path.stem), svg=svg[svg.index("<svg") :]).encode()
            else:
                data = self.pipe(format=kind)
        except NoGraphviz as missing:
            source = path.with_suffix(".gv")
            if source.exists() and source.read_bytes() != data:  # somebody else's
                source = path.with_name(f"{path.name}.gv")
            super().save(source)
            print(printable(f"saved {source}, not {path.name}: {missing}"))
            return str(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
        return str(path)

    def pipe(
        self,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        *,
        engine: str | None = None,
        encoding: str | None = None,
    ) -> Any:
        """The picture in a format, as bytes, or as text with `encoding=`.

        A picture that is not laid out within 10 seconds becomes one of its part nearest to the result, and says so.

        Raises:
            ExecutableNotFound: where no program is installed that writes it.
            TimeoutError: where a small one cannot be laid out either.
        """
        how = engine or self.engine, format or self.format
        options = command(*how, renderer=renderer, formatter=formatter, neato_no_op=neato_no_op)[1:]
        try:
            drawn = run(how[1], self.source.encode(self.encoding), options, quiet)
        except TimeoutError:
            if self.smaller is None:
                raise
            (lines, small), self.smaller = self.smaller, None
            self.body[:lines], self.titles = small.body, small.titles
            return self.pipe(format, renderer, formatter, neato_no_op, quiet, engine=engine, encoding=encoding)
        drawn = self._titled(compact(drawn)) if how[1] == "svg" else drawn
        return drawn.decode(encoding) if encoding else drawn

    def _titled(self, svg: bytes) -> bytes:
        """An SVG whose titles are those of the values and ops, not Graphviz's keys."""
        titled = re.sub(
            r"<title>(.*?)</title>", lambda found: markup("<title>{}</title>", self._title(found[1])), svg.decode()
        )
        return titled.encode()

    def _title(self, key: str) -> str:
        ends = [end.split(":")[0] for end in unescape(key).split("->")]
        return " → ".join(self.titles.get(end, end) for end in ends)

    def render(self, *args: Any, quiet: bool = False, **kwargs: Any) -> Any:
        """Write the DOT text and the picture, as graphviz's own `render` does; `save` writes the picture alone.

        The DOT text is written once the picture can be drawn: of a picture that cannot, no file is left.
        """
        outfile = kwargs.get("outfile")
        format = kwargs.get("format") or (Path(outfile).suffix[1:] if outfile else self.format)
        with installed_command(format) as noisy:
            how = {key: kwargs[key] for key in ("renderer", "formatter", "neato_no_op", "engine") if key in kwargs}
            self.pipe(format, quiet=quiet, **how)
            return super().render(*args, quiet=quiet or noisy, **kwargs)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._repr_mimebundle_(*args, **kwargs)
        except NoGraphviz as missing:
            return {"text/plain": f"{self.source}\n({missing})"}


FONT = b' font-family="Helvetica,sans-Serif"'


def compact(svg: bytes) -> bytes:
    """An SVG of Graphviz in fewer bytes: the font is named once, and attributes that state a default are left out.

    >>> compact(b'<svg width="9"><text text-anchor="start" font-family="Helvetica,sans-Serif">x</text></svg>')
    b'<svg font-family="Helvetica,sans-Serif" width="9"><text>x</text></svg>'
    """
    for attribute in (FONT, b' text-anchor="start"', b' stroke="none"'):
        svg = svg.replace(attribute, b"")
    return svg.replace(b"<svg ", b"<svg" + FONT + b" ", 1)


PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ margin: 1rem; background: white }}</style>
{svg}
</html>
"""
