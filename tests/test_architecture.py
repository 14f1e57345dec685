"""Who may know whom, what an op body may say, and how long the engine may be."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "minigrad").rglob("*.py"))

#: Every module, in the order of who may import whom: a module imports only from what stands before it. A package that
#: comes with a list keeps that order inside, too.
ORDER: list[str | tuple[str, list]] = [
    "errors",
    "hints",
    "mode",
    "origin",
    "show",
    "sparse",
    "engine",
    "walk",
    "shorthand",
    "ops",
    "_tensor",
    "trees",
    "transforms",
    "numeric",
    "terms",
    "comparison",
    "notation",
    "graph",
    "dotfile",
    "drawing",
    "page",
    (
        "compiler",
        [
            "program",
            "tracer",
            "names",
            "captures",
            "record",
            "rules",
            "layout",
            "simplify",
            "source",
            "schedule",
            "identifiers",
            "printer",
            ("dialects", ["readable", "fast", "numba", "loops"]),
            "jit",
            "guards",
            "specialization",
            "api",
        ],
    ),
]


def flattened(order: list[str | tuple[str, list]], within: str = "") -> list[str]:
    """The modules by their dotted names, those of a package after the ones before it."""
    names = []
    for entry in order:
        if isinstance(entry, str):
            names.append(within + entry)
        else:
            package, inside = entry
            names += flattened(inside, f"{within}{package}.")
    return names


MODULES = flattened(ORDER)
PUBLIC_ONLY = ["optim", "nn"]  # these know what a user knows, and the RowSparse gradients


def dotted(path: Path) -> str:
    """The name of a module below minigrad; that of the package for a module of one without an order inside."""
    parts = [*path.relative_to(ROOT / "minigrad").with_suffix("").parts]
    name = ".".join(parts)
    return name if name in MODULES or parts[0] not in MODULES else parts[0]


def package(path: Path) -> str:
    """The package or module directly below minigrad."""
    return path.relative_to(ROOT / "minigrad").parts[0].removesuffix(".py")


def imported(name: str) -> str:
    """The module of the list that an import from below minigrad needs."""
    parts = name.split(".")
    return next((m for n in range(len(parts), 0, -1) if (m := ".".join(parts[:n])) in MODULES), name)


def imports(path: Path) -> set[str]:
    """The modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {
                f"{node.module}.{alias.name}" if node.module == "minigrad" else str(node.module) for alias in node.names
            }
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_do_not_import_upwards(path: Path) -> None:
    here = dotted(path)
    inside = {imported(name.removeprefix("minigrad.")) for name in imports(path) if name.startswith("minigrad.")}
    if here in MODULES:
        assert inside - {here} <= set(MODULES[: MODULES.index(here)])
    elif here in PUBLIC_ONLY:
        assert inside <= {"Tensor", "no_grad", "sparse", "_tensor", "trees", "engine"}
    else:
        assert path.name == "__init__.py" and (here == "__init__" or not inside)


def test_the_order_lists_what_is_there() -> None:
    there = {dotted(path) for path in FILES if path.name != "__init__.py"}
    assert there - {*PUBLIC_ONLY} == set(MODULES)


@pytest.mark.parametrize(
    "path", [p for p in FILES if package(p) in ("engine", "ops", "show", "sparse", "_tensor")], ids=lambda p: p.name
)
def test_the_core_needs_numpy_only(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "minigrad"}
    if path.name == "engine.py":
        assert {name for name in imports(path) if name.startswith("minigrad")} <= {"minigrad.errors", "minigrad.mode"}


def test_engine_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "minigrad" / "engine.py").read_text().splitlines()) < 300


FORBIDDEN = {
    "asks for a NumPy array": r"isinstance\([^)]*\bndarray|type\([^)]*\) is np\.ndarray",
    "turns data into a NumPy array": r"np\.as(any|contiguous)?array\(",
    "creates from nothing": r"np\.(zeros|ones|empty|full|eye)\(",
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("path", [p for p in FILES if package(p) == "ops"], ids=lambda p: p.name)
def test_op_bodies_speak_for_any_array(path: Path, what: str) -> None:
    assert not re.search(FORBIDDEN[what], code(path)), what


def test_what_is_forbidden_would_be_found() -> None:
    lines = ["isinstance(x, np.ndarray)", "np.asarray(x)", "np.zeros(3)"]
    assert [bool(re.search(p, line)) for p, line in zip(FORBIDDEN.values(), lines, strict=True)] == [True] * 3
    assert not any(re.search(p, "np.zeros_like(g, shape=s)") for p in FORBIDDEN.values())


def code(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize(
    "path",
    [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml"} and ".venv" not in p.parts],
    ids=lambda p: p.name,
)
def test_no_paths_of_one_machine(path: Path) -> None:
    private = re.compile("/(" + "|".join(["home", "root", "Users", "work", "tmp"]) + r")/\w")
    assert not private.search(path.read_text())


def test_the_ops_fit_a_sitting_too() -> None:
    """Under 1,000 lines without docstrings and comments, as they are written."""
    assert sum(written(p) for p in FILES if package(p) == "ops") < 1000


def written(path: Path) -> int:
    """The lines of a file that hold code."""
    text = path.read_text()
    lines = {i for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def run(code: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_minigrad_loads_what_everybody_needs() -> None:
    slow = {"inspect", "dataclasses", "ast", "graphviz", "numpy.ma", "numpy.testing", "numpy.f2py"}
    later = {f"minigrad.{name}" for name in [*MODULES[MODULES.index("numeric") :], *PUBLIC_ONLY]}
    code = "import sys, numpy; before = {*sys.modules}; import minigrad; print(*sys.modules.keys() - before)"
    loaded = set(run(code).split())
    assert "minigrad.engine" in loaded
    assert not loaded & (slow | later)


def test_no_module_hides_something_public() -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in FILES if path.name != "__init__.py"]
    load = "\n".join("import " + ".".join(file.parts) for file in files)
    public = sorted({*mg.__all__} - {"fft", "linalg", "optim"})
    code = f"{load}\nprint(*(name for name in {public} if not callable(getattr(minigrad, name))))"
    assert run(code).split() == []


def test_what_is_loaded_later_is_listed_and_what_is_not_there_is_named() -> None:
    assert {"derive", "optim", "grad", "exp"} <= set(mg.__all__) <= set(dir(mg))
    assert (
        run("from minigrad import *; print(derive.__name__, optim.SGD.__name__, 'Any' in globals())")
        == "derive SGD False\n"
    )
    with pytest.raises(AttributeError, match="no attribute 'derivative'"):
        mg.derivative  # noqa: B018
