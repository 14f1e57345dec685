"""Type checkers accept the code of README and the recipes, and a user's script, in which they find the mistakes."""

import ast
import json
import runpy
import subprocess
import symtable
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stubs
from test_readme import ROOT, blocks

PAGES = [ROOT / "README.md", ROOT / "docs" / "recipes.md"]
SCRIPT = Path(__file__).parent / "typed.py"

#: Pages leave functions without annotations, which mypy's strict mode has each of us write.
MYPY = f"""[mypy]
strict = true
mypy_path = {ROOT}
[mypy-pages.*]
disallow_untyped_defs = false
disallow_incomplete_defs = false
disallow_untyped_calls = false
[mypy-scipy.*]
ignore_missing_imports = true
"""
#: pyright's standard mode, which basedpyright has too: there a name that only an `except` binds is a warning.
PYRIGHT = {
    "typeCheckingMode": "standard",
    "reportPossiblyUnboundVariable": "warning",
    "reportUnnecessaryTypeIgnoreComment": "error",
    "enableTypeIgnoreComments": False,
    "extraPaths": [str(ROOT)],
}


def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from tables(child)


def is_read_first(tree: ast.Module, name: str) -> bool:
    """Is a name read before it is bound?"""
    lines: dict[bool, list[int]] = {True: [], False: []}
    for node in ast.walk(tree):
        if name in (getattr(node, "id", None), getattr(node, "name", None)):  # the latter of a def or a class
            lines[isinstance(getattr(node, "ctx", None), ast.Load)].append(node.lineno)
    return bool(lines[True]) and min(lines[True]) <= min(lines[False])


def modules(page: Path) -> Iterator[tuple[str, str]]:
    """The blocks of a page, each a module that imports from those before, so that it may bind a name anew."""
    bound_by: dict[str, str] = {}
    for i, block in enumerate(blocks(page.read_text("utf-8"))):
        tree, table = ast.parse(block), symtable.symtable(block, page.name, "exec")
        own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        read = {s.get_name() for t in tables(table) for s in t.get_symbols() if s.is_global() or t is table}
        needed = [name for name in read & bound_by.keys() if name not in own or is_read_first(tree, name)]
        name = f"{page.stem.lower().replace('-', '_')}_{i}"
        yield name, "\n".join([*(bound_by[name] for name in sorted(needed)), "", block])
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound_by |= {a.asname or a.name: ast.unparse(node) for a in node.names}
        assigned = [s.get_name() for s in table.get_symbols() if s.is_assigned()]
        bound_by |= {word: f"from pages.{name} import {word}" for word in assigned}


@pytest.mark.slow
def test_type_checkers_accept_the_pages_and_a_script(type_checker: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "__init__.py").touch()
    for page in PAGES:
        for name, source in modules(page):
            (tmp_path / "pages" / f"{name}.py").write_text(source, encoding="utf-8")
    (tmp_path / "script.py").write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
    arguments = {"mypy": ["script.py", "pages"], "basedpyright": ["--level", "error"]}[type_checker]
    command = [sys.executable, "-m", type_checker, *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_script_runs() -> None:
    runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("path", stubs.STUBS, ids=lambda path: path.name)
def test_the_stubs_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == stubs.STUBS[path](), "write them by `python tests/stubs.py`"
