"""Additions to mkdocs: formulas without a script, pages from outside docs/, examples in docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent

#: Files outside docs/ that the site has too, and their names there.
OUTSIDE = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "results.md",
    "benchmarks/scaling.svg": "scaling.svg",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the files from outside docs/."""
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Formulas become MathML, which browsers draw themselves; links that cross the border of docs/ stay on the site."""

    def mathml(formula: re.Match[str]) -> str:
        return convert(formula[1].replace("aligned", "split"), display="block")  # the same, and known there

    markdown = re.sub(r"^\$\$\n(.*?)\n\$\$$", mathml, markdown, flags=re.M | re.S)
    for path, name in OUTSIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(path)}(?=[)#])", f"]({name}", markdown)
    return markdown.replace("](docs/", "](")


class Docstrings(griffe.Extension):
    """Additions to the reading of modules, which does not run them."""

    def __init__(self) -> None:
        self.classes: dict[str, Any] = {}

    def on_class_members(self, *, cls: Any, **_: Any) -> None:
        self.classes[cls.path] = cls

    def on_module_members(self, *, mod: Any, **_: Any) -> None:
        """A name assigned again after its class statement (so that a reload keeps the class) is still the class."""
        for name, member in mod.members.items():
            if not member.is_alias and member.path in self.classes:
                mod.members[name] = self.classes[member.path]
        if mod.exports:  # `__all__` may have names that are computed
            mod.exports = [name for name in mod.exports if isinstance(name, str)]

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Examples (`>>> ...`) become code; Markdown would read them as quotations."""
        if obj.docstring:
            example = re.compile(r"^( *)(>>> .*(?:\n\1.+)*)", re.MULTILINE)
            obj.docstring.value = example.sub(r"\1```pycon\n\1\2\n\1```", obj.docstring.value)
