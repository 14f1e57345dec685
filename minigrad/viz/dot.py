"""A graphviz.Digraph that is saved in the format of a suffix, and shows its text where the program `dot` is missing."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import graphviz

REMEDY = "the program dot was not found; install Graphviz (apt install graphviz, brew install graphviz) for a picture"


class Picture(graphviz.Digraph):  # type: ignore[misc]
    """A graph as DOT text, with the attributes and methods of a `graphviz.Digraph`: `.source`, `.render(...)`.

    >>> import minigrad as mg
    >>> x = mg.Tensor(3.0, name="x")
    >>> mg.draw(x * x).source.startswith("digraph")
    True
    """

    def save(self, filename: Any = None, directory: Any = None, *, skip_existing: bool | None = False) -> str:
        """Write the picture in the format of the suffix: svg, png, pdf, html (a page around it), or gv, the DOT text.

        Without the program `dot` this writes the DOT text to a .gv file instead, says so in one line, and returns the
        path of that file.
        """
        path = Path(filename) if filename is not None else None
        kind = path.suffix[1:].lower() if path is not None else "gv"
        if path is None or kind in ("gv", "dot", ""):
            return str(super().save(filename, directory=directory, skip_existing=skip_existing))
        if kind not in ("svg", "png", "pdf", "html"):
            raise ValueError(f"a picture is saved as .svg, .png, .pdf, .html or .gv, got {path.name}")
        path = Path(directory or "") / path
        if skip_existing and path.exists():
            return str(path)
        try:
            if kind == "html":
                svg = self.pipe(format="svg", encoding="utf-8")
                data = PAGE.format(title=html.escape(path.stem), svg=svg[svg.index("<svg") :]).encode()
            else:
                data = self.pipe(format=kind)
        except graphviz.ExecutableNotFound:
            source = super().save(path.with_suffix(".gv").name, directory=path.parent)
            print(f"saved {source}, not {path.name}: {REMEDY}")
            return str(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._repr_mimebundle_(*args, **kwargs)
        except graphviz.ExecutableNotFound:
            return {"text/plain": f"{self.source}\n({REMEDY})"}


PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ margin: 1rem; background: white }} svg {{ max-width: 100%; height: auto }}</style>
{svg}
</html>
"""
