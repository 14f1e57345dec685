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

#: Each room and the rooms below it: a room imports only from what stands before it.
ROOMS = [
    "origin",
    "errors",
    "hints",
    "mode",
    "operands",
    "show",
    "sparse",
    "engine",
    "walk",
    "shorthand",
    "ops",
    "_tensor",
    "trees",
    "generators",
    "transforms",
    "numeric",
    "terms",
    "comparison",
    "notation",
    "graph",
    "graphviz_command",
    "dotfile",
    "drawing",
    "page",
    "tracer",
    "captured",
    "record",
    "rules",
    "source",
    "fast",
    "derivation",
]
PUBLIC_ONLY = ["optim", "nn"]  # these know what a user knows, and the RowSparse gradients


def room(path: Path) -> str:
    return path.relative_to(ROOT / "minigrad").parts[0].removesuffix(".py")


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
def test_rooms_do_not_import_upwards(path: Path) -> None:
    here = room(path)
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("minigrad.")}
    if here in ROOMS:
        assert inside - {here} <= set(ROOMS[: ROOMS.index(here)])
    elif here in PUBLIC_ONLY:
        assert inside <= {"Tensor", "no_grad", "sparse", "_tensor", "trees", "engine"}
    else:
        assert here == "__init__"


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) in ("engine", "ops", "show", "sparse", "_tensor")], ids=lambda p: p.name
)
def test_the_core_needs_numpy_only(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "minigrad"}
    if path.name == "engine.py":
        assert {name for name in imports(path) if name.startswith("minigrad")} <= {
            "minigrad.errors",
            "minigrad.mode",
            "minigrad.operands",
        }


def test_engine_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "minigrad" / "engine.py").read_text().splitlines()) < 300


FORBIDDEN = {
    "asks for a NumPy array": r"isinstance\([^)]*\bndarray|type\([^)]*\) is np\.ndarray",
    "turns data into a NumPy array": r"np\.as(any|contiguous)?array\(",
    "creates from nothing": r"np\.(zeros|ones|empty|full|eye)\(",
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "ops"], ids=lambda p: p.name)
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
    assert sum(written(p) for p in FILES if room(p) == "ops") < 1000


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
    rooms = {f"minigrad.{room}" for room in [*ROOMS[ROOMS.index("numeric") :], *PUBLIC_ONLY]}
    code = "import sys, numpy; before = {*sys.modules}; import minigrad; print(*sys.modules.keys() - before)"
    loaded = set(run(code).split())
    assert "minigrad.engine" in loaded
    assert not loaded & (slow | rooms)


def test_no_room_hides_something_public() -> None:
    rooms = sorted({room(path) for path in FILES} - {"__init__", "fast"})  # numba may be missing
    load = "\n".join(f"import minigrad.{room}" for room in rooms)
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
